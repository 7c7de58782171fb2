//! Each kind of finding planted in a catalog that is otherwise well, and nothing found
//! in one that is.

use std::collections::BTreeMap;
use std::mem::discriminant;
use std::time::Duration;

use siltstone_format::block::identity::BlockIdentity;
use siltstone_format::day::Day;
use siltstone_format::id::{BlockId, ObjectId, TraceId};
use siltstone_format::path::ObjectKey;
use siltstone_format::tenant::Tenant;
use siltstone_testkit::{Fault, FaultPlan, Operation, Rule};
use ulid::Ulid;

use super::*;
use crate::block_entry::BlockEntry;
use crate::block_page::{BlockPage, MAX_PAGE_BLOCKS, Section};
use crate::bucket::Listing;
use crate::change::{AddMark, CutDays};
use crate::lease::{Acquired, lease_of};
use crate::mark::{MarkKind, MarkTarget};
use crate::message::Damage;
use crate::root::Root;
use crate::tenant_page::{PageRef, TenantPage};
use crate::test_world::{TestWorld, TestWriter, spans, tenant};
use crate::time::StoreTime;
use crate::windows::Windows;

const HOUR: Duration = Duration::from_secs(3600);

/// A catalog with some history: two tenants, flushes folded and not, merged days.
struct Lived {
    world: TestWorld,
    catalog: Catalog,
    one: Tenant,
    writer: TestWriter,
}

fn lived() -> Lived {
    let (world, catalog) = TestWorld::with_catalog();
    let (one, other) = (tenant("one"), tenant("other"));
    let mut writer = TestWriter::new(&catalog);
    for round in 0..6u64 {
        let first = round * 100;
        let mixed = [spans(first..first + 5, 0), spans(first + 5..first + 9, 1)].concat();
        writer.flush(&world, &catalog, &[(&one, &mixed), (&other, &spans(first..first + 3, 0))]);
        world.pass(Duration::from_secs(30));
        world.fold(&catalog).unwrap();
        if round % 2 == 1 {
            let inputs = world.section(&catalog, &one, Section::Inbox);
            world.merge(&catalog, &one, &inputs);
        }
        world.pass(HOUR);
        world.sweep(&catalog);
    }
    // The last flush waits in the log, the one before in the inbox.
    writer.flush(&world, &catalog, &[(&one, &spans(900..905, 0))]);
    world.fold(&catalog).unwrap();
    writer.flush(&world, &catalog, &[(&one, &spans(910..915, 0))]);
    world.pass(Duration::from_secs(60));
    Lived { world, catalog, one, writer }
}

impl Lived {
    fn check(&self, depth: Depth) -> Report {
        self.check_with(&CheckOptions { depth, leaks: Leaks::Keep })
    }

    /// By another process: nothing is held in memory.
    fn check_with(&self, options: &CheckOptions) -> Report {
        self.world.pass(Duration::from_millis(1));
        self.world.finish(self.world.process().check(options)).unwrap()
    }

    fn root(&self) -> Root {
        (*self.world.finish(self.world.process().load()).unwrap().root).clone()
    }

    fn tenant_page(&self) -> TenantPage {
        let id = self.root().tenants[&self.one].page;
        TenantPage::decode(&self.world.get(&ObjectKey::Page(id)).unwrap(), &self.one).unwrap()
    }

    fn page(&self, is_it: impl Fn(&PageRef) -> bool) -> (PageRef, BlockPage) {
        let page = self.tenant_page().pages.into_iter().find(|page| is_it(page)).unwrap();
        let object = self.world.get(&ObjectKey::Page(page.id)).unwrap();
        let blocks = BlockPage::decode(&object, &self.one, page.section).unwrap();
        (page, blocks)
    }

    fn merged(&self) -> BlockEntry {
        self.page(|page| page.section != Section::Inbox).1.blocks.last().unwrap().clone()
    }

    /// Writes a page of blocks over the one that stands there.
    fn replace_page(&self, page: &PageRef, change: impl FnOnce(&mut BlockPage)) {
        let object = self.world.get(&ObjectKey::Page(page.id)).unwrap();
        let mut blocks = BlockPage::decode(&object, &self.one, page.section).unwrap();
        change(&mut blocks);
        self.world.put(&ObjectKey::Page(page.id), blocks.encode().to_vec());
    }

    fn replace_root(&self, change: impl FnOnce(&mut Root)) {
        let mut root = self.root();
        change(&mut root);
        self.world.put(&ObjectKey::Root { number: root.number }, root.encode().to_vec());
    }

    /// A root after the newest, as a program with a mistake might write it.
    fn add_root(&self, change: impl FnOnce(&mut Root)) {
        let loaded = self.world.finish(self.world.process().load()).unwrap();
        let mut next = loaded.root.successor(loaded.root_at, self.catalog.next_id());
        change(&mut next);
        self.world.put(&ObjectKey::Root { number: next.number }, next.encode().to_vec());
    }
}

/// The findings are these and no other: key and kind.
fn assert_found(report: &Report, expected: &[(String, Wrong)]) {
    let found: Vec<_> =
        report.findings.iter().map(|finding| (finding.key.clone(), discriminant(&finding.wrong))).collect();
    let wanted: Vec<_> = expected.iter().map(|(key, wrong)| (key.clone(), discriminant(wrong))).collect();
    assert_eq!(found, wanted, "{report}");
    assert_eq!(report.more, 0);
    for finding in &report.findings {
        let text = finding.to_string();
        assert!(text.contains(&finding.key) && text.contains("To do: "), "{text}");
    }
}

fn assert_one(report: &Report, key: &impl std::fmt::Display, wrong: Wrong) {
    assert_found(report, &[(key.to_string(), wrong)]);
}

#[test]
fn should_find_nothing_in_a_catalog_that_is_well() {
    let lived = lived();
    for depth in [Depth::Catalog, Depth::Headers, Depth::Blocks] {
        let report = lived.check(depth);
        assert!(report.is_clean(), "{report}");
        assert!(report.blocks >= 8 && report.tenants == 2 && report.rows > 60, "{report}");
    }
    // And after all that is old is swept.
    let Lived { world, catalog, .. } = &lived;
    world.sweep_all(catalog, 3);
    let report = lived.check(Depth::Blocks);
    assert!(report.is_clean(), "{report}");
}

#[test]
fn should_find_nothing_where_log_and_roots_are_listed_at_once() {
    let world = TestWorld::new();
    let catalog = world.process_with(Windows::default(), Listing::Together, 0);
    world.finish(catalog.init()).unwrap();
    let (tenant, mut writer) = (Tenant::single(), TestWriter::new(&catalog));
    for round in 0..5u64 {
        writer.flush(&world, &catalog, &[(&tenant, &spans(round * 10..round * 10 + 4, 0))]);
        world.fold(&catalog).unwrap();
        let inputs = world.section(&catalog, &tenant, Section::Inbox);
        world.merge(&catalog, &tenant, &inputs);
        let mark = MarkTarget::Trace(TraceId(u128::from(round + 1).to_be_bytes()));
        let mark = AddMark { tenant: tenant.clone(), kind: MarkKind::Archive, target: mark };
        world.finish(catalog.publish(&mark)).unwrap();
        world.pass(HOUR);
        world.sweep(&catalog);
        world.pass(Duration::from_millis(1));
        let options = CheckOptions { depth: Depth::Blocks, leaks: Leaks::Keep };
        let report = world.finish(catalog.check(&options)).unwrap();
        assert!(report.is_clean(), "{report}");
    }
    let days = CutDays { tenant: tenant.clone(), first_kept: Day(30_000) };
    world.finish(catalog.publish(&days)).unwrap();
    let options = CheckOptions { depth: Depth::Blocks, leaks: Leaks::Keep };
    let report = world.finish(catalog.check(&options)).unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.blocks, 0);
}

#[test]
fn should_find_nothing_in_an_empty_bucket_and_blocks_without_a_root() {
    let world = TestWorld::new();
    let options = CheckOptions { depth: Depth::Catalog, leaks: Leaks::Keep };
    assert!(world.finish(world.process().check(&options)).unwrap().is_clean());
    world.write_block(
        BlockId(Ulid::from_parts(1_800_000_000_000, 1)),
        &Tenant::single(),
        &spans(0..3, 0),
        &[],
    );
    let report = world.finish(world.process().check(&options)).unwrap();
    assert_one(&report, &"cat/root", Wrong::NoRoot { blocks: 1 });
}

#[test]
fn should_find_a_root_that_cannot_be_read() {
    let lived = lived();
    lived.world.touch(&lived.catalog);
    let number = lived.root().number;
    let key = ObjectKey::Root { number };
    lived.world.damage(&key);
    let wrong = |instead| Wrong::RootUnreadable { damage: Damage::Checksum, instead, newest: true };
    let report = lived.check(Depth::Catalog);
    assert_one(&report, &key, wrong(Some(number - 1)));
    assert_eq!(report.worst(), Some(Severity::Partial));
    for key in lived.world.keys("cat/root") {
        lived.world.put_at(&key, b"rubbish".to_vec());
    }
    let report = lived.check(Depth::Catalog);
    assert_one(&report, &key, wrong(None));
    assert_eq!(report.worst(), Some(Severity::Loss));
}

#[test]
fn should_find_an_old_root_that_cannot_be_read_and_not_mind() {
    let lived = lived();
    let key = ObjectKey::Root { number: lived.root().number };
    lived.world.touch(&lived.catalog);
    lived.world.damage(&key);
    let report = lived.check(Depth::Catalog);
    assert_one(
        &report,
        &key,
        Wrong::RootUnreadable { damage: Damage::Checksum, instead: None, newest: false },
    );
    assert_eq!(report.worst(), Some(Severity::Note));
}

#[test]
fn should_find_objects_that_are_gone() {
    for pick in 0..4 {
        let lived = lived();
        let logged = lived.writer.next - 1;
        let entry = ObjectKey::LogEntry { writer: lived.writer.id, number: logged };
        let entry = lived.world.get(&entry).unwrap();
        let entry = crate::log_entry::LogEntry::decode(&entry, lived.writer.id, logged).unwrap();
        let key = match pick {
            0 => ObjectKey::Spans(lived.merged().id()),
            1 => ObjectKey::Origins(lived.merged().id()),
            2 => ObjectKey::Origins(entry.blocks[0].id()),
            _ => ObjectKey::Page(lived.page(|page| page.section != Section::Inbox).0.id),
        };
        lived.world.delete(&key);
        for depth in [Depth::Catalog, Depth::Headers] {
            let report = lived.check(depth);
            let gone = (key.to_string(), Wrong::Gone { tenant: lived.one.clone() });
            match key {
                // What the page refers to is not known either.
                ObjectKey::Page(_) => {
                    assert_found(&report, &[gone, ("man".to_owned(), Wrong::StraysUnknown)])
                }
                _ => assert_found(&report, &[gone]),
            }
            assert_eq!(report.worst(), Some(Severity::Loss));
        }
    }
}

#[test]
fn should_find_pages_that_cannot_be_read() {
    let lived = lived();
    let (page, _) = lived.page(|page| page.section != Section::Inbox);
    lived.world.damage(&ObjectKey::Page(page.id));
    let unreadable = Wrong::PageUnreadable { tenant: lived.one.clone(), damage: Damage::Checksum };
    let unknown = ("man".to_owned(), Wrong::StraysUnknown);
    let expected = [(ObjectKey::Page(page.id).to_string(), unreadable), unknown];
    assert_found(&lived.check(Depth::Blocks), &expected);
}

#[test]
fn should_find_a_page_that_another_stands_in_for() {
    let lived = lived();
    let key = ObjectKey::Page(lived.root().tenants[&lived.one].page);
    lived.world.damage(&key);
    lived.world.fold(&lived.world.process()).unwrap();
    let expected = [
        (key.to_string(), Wrong::StoodIn { tenant: lived.one.clone() }),
        ("man".to_owned(), Wrong::StraysUnknown),
    ];
    assert_found(&lived.check(Depth::Headers), &expected);
}

#[test]
fn should_find_marks_that_cannot_be_read() {
    let Lived { world, catalog, one, writer } = lived();
    for number in 0..1025u128 {
        let target = MarkTarget::Trace(TraceId((number + 1_000_000).to_be_bytes()));
        let mark = AddMark { tenant: one.clone(), kind: MarkKind::Archive, target };
        world.finish(catalog.publish(&mark)).unwrap();
    }
    let lived = Lived { world, catalog, one, writer };
    let key = ObjectKey::Page(lived.tenant_page().mark_pages[0]);
    lived.world.damage(&key);
    let report = lived.check(Depth::Catalog);
    assert_one(&report, &key, Wrong::MarksUnreadable { tenant: lived.one.clone(), damage: Damage::Checksum });
}

#[test]
fn should_find_a_block_that_is_listed_twice() {
    let lived = lived();
    let (page, blocks) = lived.page(|page| page.section != Section::Inbox);
    lived.replace_page(&page, |twice| twice.blocks.push(blocks.blocks[0].clone()));
    let report = lived.check(Depth::Headers);
    let twice = Wrong::Twice { tenant: lived.one.clone(), places: 2 };
    let key = ObjectKey::Spans(blocks.blocks[0].id()).to_string();
    assert!(report.findings.iter().any(|found| found.key == key && found.wrong == twice), "{report}");
    // The sums are not right either, and nothing else is.
    let others = report.findings.iter().filter(|found| found.wrong != twice);
    assert!(others.clone().count() > 0);
    assert!(others.clone().all(|found| matches!(found.wrong, Wrong::Totals { .. })), "{report}");
}

#[test]
fn should_find_an_input_beside_its_output() {
    let lived = lived();
    let inbox = lived.page(|page| page.section == Section::Inbox).1.blocks[0].clone();
    let merge = lived.world.prepare_merge(&lived.catalog, &lived.one, &[(Section::Inbox, inbox.clone())]);
    // A program that forgets to give up its input.
    let forgetful = crate::change::Merge { inputs: Vec::new(), ..merge };
    lived.world.finish(lived.catalog.publish(&forgetful)).unwrap();
    let report = lived.check(Depth::Headers);
    let output = ObjectKey::Spans(forgetful.outputs[0].1.id()).to_string();
    let beside = Wrong::InputBeside { input: inbox.id(), same_set: false };
    assert!(report.findings.iter().any(|found| found.key == output && found.wrong == beside), "{report}");
    let root = ObjectKey::Root { number: lived.root().number }.to_string();
    let chain = Wrong::Chain { before: 0, what: String::new() };
    assert_found(&report, &[(root, chain), (output, beside)]);
    assert!(report.to_string().contains("replaces nothing"), "{report}");
}

/// A mistake in the next root.
type Plant = fn(&Lived, &mut Root);

#[test]
fn should_find_a_root_that_does_not_follow() {
    let plants: [(&str, Plant); 6] = [
        ("a root that it does not name", |_, next| next.recent.clear()),
        ("the floor went back", |_, next| next.floor = StoreTime::default()),
        ("is no longer there", |lived, next| drop(next.tenants.remove(&lived.one))),
        ("went back from entry", |lived, next| next.writers.get_mut(&lived.writer.id).unwrap().next = 1),
        ("is no longer listed", lose_a_block),
        ("no log entry brought it", invent_a_block),
    ];
    for (expected, plant) in plants {
        let lived = lived();
        lived.add_root(|next| plant(&lived, next));
        let report = lived.check(Depth::Catalog);
        let key = ObjectKey::Root { number: lived.root().number }.to_string();
        let found = report.findings.iter().find(|found| matches!(found.wrong, Wrong::Chain { .. }));
        let found = found.unwrap_or_else(|| panic!("{expected}: {report}"));
        assert_eq!(found.key, key);
        assert!(found.to_string().contains(expected), "{expected}: {report}");
    }
}

#[test]
fn should_pass_over_a_root_that_landed_late_and_is_part_of_nothing() {
    let lived = lived();
    let loaded = lived.world.finish(lived.catalog.load()).unwrap();
    lived.world.touch(&lived.catalog);
    lived.world.touch(&lived.catalog);
    let mut late = loaded.root.successor(loaded.root_at, lived.catalog.next_id());
    late.tenants.clear();
    lived.world.put(&ObjectKey::Root { number: late.number }, late.encode().to_vec());
    lived.world.delete(&ObjectKey::Root { number: loaded.root.number });
    assert!(lived.check(Depth::Catalog).is_clean());
}

/// Writes the pages of the tenant with a changed page of blocks, and has the root refer
/// to them and give up the old ones.
fn change_blocks(lived: &Lived, next: &mut Root, section: Section, change: impl FnOnce(&mut BlockPage)) {
    let (old, mut blocks) = lived.page(|page| page.section == section);
    change(&mut blocks);
    let mut page = lived.tenant_page();
    let new = ObjectId(lived.catalog.next_id());
    lived.world.put(&ObjectKey::Page(new), blocks.encode().to_vec());
    for known in page.pages.iter_mut().filter(|known| known.id == old.id) {
        *known = PageRef::of(new, &blocks);
    }
    let id = ObjectId(lived.catalog.next_id());
    lived.world.put(&ObjectKey::Page(id), page.encode().to_vec());
    let mut known = crate::root::TenantRef::new(id, next.tenants.get(&lived.one));
    page.pages.iter().for_each(|page| known.count(page));
    let before = next.tenants.insert(lived.one.clone(), known).unwrap();
    let pages = vec![old.id, before.page];
    next.retired.push(crate::root::Retired { pages, ..Default::default() });
}

fn lose_a_block(lived: &Lived, next: &mut Root) {
    change_blocks(lived, next, Section::Inbox, |page| page.blocks.truncate(0));
}

fn invent_a_block(lived: &Lived, next: &mut Root) {
    let id = BlockId(lived.catalog.next_id());
    let block = lived.world.write_block(id, &lived.one, &spans(0..3, 0), &[]);
    change_blocks(lived, next, Section::Inbox, |page| page.blocks.push(block));
}

#[test]
fn should_find_a_block_of_another_size() {
    let lived = lived();
    let block = lived.merged();
    let key = ObjectKey::Spans(block.id());
    let content = lived.world.get(&key).unwrap().to_vec();
    lived.world.put(&key, [content, vec![0]].concat());
    let wrong = Wrong::Size { found: block.summary.spans.bytes + 1, said: block.summary.spans.bytes };
    for depth in [Depth::Catalog, Depth::Headers, Depth::Blocks] {
        let report = lived.check(depth);
        assert_one(&report, &key, wrong.clone());
        assert_eq!(report.findings[0].wrong, wrong);
    }
}

#[test]
fn should_find_damaged_metadata_only_where_it_is_read() {
    let lived = lived();
    let block = lived.merged();
    for (key, at) in [
        (ObjectKey::Spans(block.id()), block.summary.spans.metadata_offset + 20),
        (ObjectKey::Origins(block.id()), block.summary.origins.origins_offset + 20),
    ] {
        let whole = lived.world.get(&key).unwrap().to_vec();
        let mut damaged = whole.clone();
        damaged[at as usize] ^= 1;
        lived.world.put(&key, damaged);
        assert!(lived.check(Depth::Catalog).is_clean());
        assert_one(&lived.check(Depth::Headers), &key, Wrong::Header { why: String::new() });
        lived.world.put(&key, whole);
    }
}

#[test]
fn should_find_a_block_under_another_s_name() {
    let lived = lived();
    let block = lived.merged();
    // The same spans, as a block of another tenant: all numbers agree, and the hashes do not.
    let identity = BlockIdentity { block: block.id(), tenant: tenant("else"), inputs: Vec::new() };
    let all = lived.world.read_block(&block);
    let written = lived.world.write_block(block.id(), &identity.tenant, &all, &[]);
    assert_eq!(written.summary.spans.rows, block.summary.spans.rows);
    let report = lived.check(Depth::Headers);
    assert!(!report.is_clean() && report.worst() == Some(Severity::Loss), "{report}");
}

#[test]
fn should_find_damaged_pages_of_a_block_only_where_it_is_read_whole() {
    let lived = lived();
    let key = ObjectKey::Spans(lived.merged().id());
    let mut damaged = lived.world.get(&key).unwrap().to_vec();
    // Within the first page, behind its header: what only a checksum sees.
    damaged[60] ^= 1;
    lived.world.put(&key, damaged);
    assert!(lived.check(Depth::Headers).is_clean());
    assert_one(&lived.check(Depth::Blocks), &key, Wrong::Content { why: String::new() });
}

#[test]
fn should_find_sums_that_are_not_right() {
    let lived = lived();
    lived.replace_root(|root| root.tenants.get_mut(&lived.one).unwrap().rows += 1);
    assert_one(&lived.check(Depth::Catalog), &"tenant one", Wrong::Totals { what: "", found: 0, said: 0 });
}

#[test]
fn should_find_a_page_whose_range_of_time_is_too_short() {
    let lived = lived();
    let (page, _) = lived.page(|page| page.section != Section::Inbox);
    let mut of_tenant = lived.tenant_page();
    of_tenant.pages.iter_mut().find(|known| known.id == page.id).unwrap().min_start_unix_nano += 1;
    let key = ObjectKey::Page(lived.root().tenants[&lived.one].page);
    lived.world.put(&key, of_tenant.encode().to_vec());
    let wrong = Wrong::TimeRange { tenant: lived.one.clone() };
    assert_one(&lived.check(Depth::Catalog), &ObjectKey::Page(page.id), wrong);
}

#[test]
fn should_find_a_page_that_is_too_long() {
    let lived = lived();
    let (page, blocks) = lived.page(|page| page.section == Section::Inbox);
    lived.replace_page(&page, |long| long.blocks = vec![blocks.blocks[0].clone(); MAX_PAGE_BLOCKS + 1]);
    let report = lived.check(Depth::Catalog);
    let long = Wrong::LongPage { blocks: MAX_PAGE_BLOCKS as u64 + 1 };
    assert!(report.findings.iter().any(|found| found.wrong == long), "{report}");
}

#[test]
fn should_find_blocks_behind_a_cut() {
    let lived = lived();
    let (one, other) = (lived.merged(), lived.page(|page| page.section == Section::Inbox).1);
    let cut = Day(one.last_day().0 + 1);
    lived.replace_root(|root| root.tenants.get_mut(&lived.one).unwrap().cut = Some(cut));
    let report = lived.check(Depth::Catalog);
    assert!(!other.blocks.is_empty() && !report.is_clean());
    for found in &report.findings {
        assert_eq!(found.wrong, Wrong::BehindCut { tenant: lived.one.clone() }, "{report}");
    }
}

#[test]
fn should_find_nothing_after_days_were_given_up_while_a_merge_ran() {
    let lived = lived();
    let flush = [spans(2_000..2_003, 0), spans(2_003..2_006, 1)].concat();
    let mut writer = TestWriter::new(&lived.catalog);
    let entry = writer.flush(&lived.world, &lived.catalog, &[(&lived.one, &flush)]);
    lived.world.fold(&lived.catalog).unwrap();
    let inputs = [(Section::Inbox, entry.blocks[0].clone())];
    let merge = lived.world.prepare_merge(&lived.catalog, &lived.one, &inputs);
    let first_kept = merge.outputs[1].0;
    lived.world.finish(lived.catalog.publish(&CutDays { tenant: lived.one.clone(), first_kept })).unwrap();
    lived.world.finish(lived.catalog.publish(&merge)).unwrap();
    let report = lived.check(Depth::Headers);
    assert!(report.is_clean(), "{report}");
    let days = lived.tenant_page().pages.into_iter().map(|page| page.section);
    assert!(days.filter(|section| matches!(section, Section::Day(day) if *day < first_kept)).count() == 0);
}

#[test]
fn should_find_a_damaged_log_entry() {
    let lived = lived();
    let key = ObjectKey::LogEntry { writer: lived.writer.id, number: lived.writer.next - 1 };
    lived.world.damage(&key);
    let wrong = Wrong::EntryUnreadable { damage: Damage::Checksum };
    let report = lived.check(Depth::Catalog);
    let of_entry: Vec<_> = report.findings.iter().filter(|found| found.key == key.to_string()).collect();
    assert_eq!(of_entry.len(), 1);
    assert_eq!(discriminant(&of_entry[0].wrong), discriminant(&wrong), "{report}");
    assert_eq!(report.findings.len(), 1, "{report}");
}

#[test]
fn should_find_an_entry_that_waits_for_one_that_is_not_there() {
    let mut lived = lived();
    lived.writer.next += 1;
    let entry = lived.writer.write(&lived.world, &lived.catalog, &[(&lived.one, &spans(930..935, 0))]);
    let key = ObjectKey::LogEntry { writer: entry.writer, number: entry.number };
    lived.world.put(&key, entry.encode().to_vec());
    let wrong = Wrong::Stranded { expected: entry.number - 1 };
    let report = lived.check(Depth::Catalog);
    assert_one(&report, &key, wrong.clone());
    assert_eq!(report.findings[0].wrong, wrong);
}

#[test]
fn should_find_orphans_that_are_not_due_and_nothing_in_what_is_under_way() {
    let lived = lived();
    let id = BlockId(lived.catalog.next_id());
    lived.world.write_block(id, &lived.one, &spans(0..3, 0), &[]);
    assert!(lived.check(Depth::Catalog).is_clean(), "somebody may be about to commit it");
    lived.world.pass(HOUR * 3);
    lived.world.touch(&lived.catalog);
    let report = lived.check(Depth::Catalog);
    assert_one(&report, &ObjectKey::Spans(id), Wrong::Orphans { objects: 2, bytes: 0 });
    lived.world.sweep_all(&lived.catalog, 3);
    assert!(lived.check(Depth::Catalog).is_clean());
}

#[test]
fn should_find_leaks_and_delete_them_when_told() {
    let lived = lived();
    lived.world.sweep_all(&lived.catalog, 3);
    let swept = lived.root().swept;
    assert!(swept > StoreTime::default());
    // They landed late: no sweep looks there again.
    let late = |number| Ulid::from_parts(swept.0 - 1_000, number);
    lived.world.write_block(BlockId(late(1)), &lived.one, &spans(0..3, 0), &[]);
    lived.world.put(&ObjectKey::Page(ObjectId(late(2))), b"a page".to_vec());
    lived.world.put(&ObjectKey::FilterGroup(ObjectId(late(3))), b"a group".to_vec());
    lived.world.pass(Duration::from_secs(5));
    lived.world.touch(&lived.catalog);
    let kept = lived.check(Depth::Catalog);
    let leaks = |report: &Report| {
        let leaks = report.findings.iter().filter(|found| matches!(found.wrong, Wrong::Leak { .. }));
        leaks.map(|found| found.key.clone()).collect::<Vec<_>>()
    };
    assert_eq!(leaks(&kept).len(), 4, "{kept}");
    // An object under such an old name tells that some clock is off, or this.
    let others = kept.findings.iter().filter(|found| !matches!(found.wrong, Wrong::Leak { .. }));
    assert!(others.clone().all(|found| matches!(found.wrong, Wrong::Clock { ahead: false, .. })), "{kept}");
    let deleted = lived.check_with(&CheckOptions { depth: Depth::Catalog, leaks: Leaks::Delete });
    assert_eq!(leaks(&deleted), leaks(&kept));
    let after = lived.check(Depth::Blocks);
    assert!(after.is_clean(), "{after}");
}

#[test]
fn should_find_half_a_block() {
    let lived = lived();
    let id = BlockId(lived.catalog.next_id());
    lived.world.write_block(id, &lived.one, &spans(0..3, 0), &[]);
    lived.world.delete(&ObjectKey::Origins(id));
    lived.world.pass(HOUR * 3);
    lived.world.touch(&lived.catalog);
    let wrong = Wrong::Incomplete { missing: ObjectKey::Origins(id) };
    assert_one(&lived.check(Depth::Catalog), &ObjectKey::Spans(id), wrong);
}

#[test]
fn should_find_what_was_given_up_and_is_gone_or_stays() {
    let lived = lived();
    let inputs = lived.world.section(&lived.catalog, &lived.one, Section::Inbox);
    lived.world.merge(&lived.catalog, &lived.one, &inputs);
    lived.world.touch(&lived.catalog);
    let key = ObjectKey::Spans(inputs[0].1.id());
    let content = lived.world.get(&key).unwrap().to_vec();
    lived.world.delete(&key);
    assert_one(&lived.check(Depth::Catalog), &key, Wrong::GoneTooSoon);
    lived.world.put(&key, content);
    assert!(lived.check(Depth::Catalog).is_clean());
    lived.world.pass(HOUR * 48);
    lived.world.touch(&lived.catalog);
    let report = lived.check(Depth::Catalog);
    let not_swept = report.findings.iter().filter(|found| matches!(found.wrong, Wrong::NotSwept { .. }));
    assert_eq!((not_swept.count(), report.findings.len()), (1, 1), "{report}");
}

#[test]
fn should_find_foreign_keys() {
    let lived = lived();
    lived.world.put_at("backup/notes.txt", b"hello".to_vec());
    assert_one(&lived.check(Depth::Catalog), &"backup/notes.txt", Wrong::Foreign);
}

#[test]
fn should_find_clocks_that_are_off() {
    let lived = lived();
    let fast =
        lived.world.process_with(Windows::default(), Listing::LogThenRoots, 3 * HOUR.as_nanos() as i64);
    lived.world.fold(&lived.catalog).unwrap();
    lived.world.touch(&fast);
    assert!(lived.check(Depth::Catalog).is_clean(), "roots bear no time in their names");
    let id = BlockId(fast.next_id());
    lived.world.write_block(id, &lived.one, &spans(0..3, 0), &[]);
    let report = lived.check(Depth::Catalog);
    assert_one(&report, &ObjectKey::Origins(id), Wrong::Clock { off: 3 * HOUR, ahead: true });

    let slow =
        lived.world.process_with(Windows::default(), Listing::LogThenRoots, -3 * HOUR.as_nanos() as i64);
    let options = CheckOptions { depth: Depth::Catalog, leaks: Leaks::Keep };
    let report = lived.world.finish(slow.check(&options)).unwrap();
    assert!(report.findings.iter().any(|found| found.key == "this machine"), "{report}");
}

#[test]
fn should_find_a_clock_probe_that_was_left_behind() {
    let lived = lived();
    let key = ObjectKey::ClockProbe(ObjectId(lived.catalog.next_id()));
    lived.world.put(&key, b"clock".to_vec());
    assert!(lived.check(Depth::Catalog).is_clean());
    lived.world.pass(HOUR * 3);
    lived.world.touch(&lived.catalog);
    assert_one(&lived.check(Depth::Catalog), &key, Wrong::LeftProbe);
}

#[test]
fn should_find_stale_and_damaged_leases() {
    let lived = lived();
    let acquired = lived.world.finish(lived.catalog.acquire_lease("merge", HOUR)).unwrap();
    assert!(matches!(acquired, Acquired::Ours(_)));
    assert!(lived.check(Depth::Catalog).is_clean());
    lived.world.pass(HOUR * 2);
    lived.world.touch(&lived.catalog);
    let key = ObjectKey::Lease(lease_of("merge"));
    assert_one(&lived.check(Depth::Catalog), &key, Wrong::StaleLease { job: "merge".to_owned() });
    lived.world.put(&key, b"rubbish".to_vec());
    assert_one(&lived.check(Depth::Catalog), &key, Wrong::LeaseUnreadable { damage: Damage::NotOurs });
}

/// A check that is held at each of its requests in turn while others fold, merge and
/// sweep, finds nothing.
#[test]
fn should_find_nothing_because_others_are_at_work() {
    use futures::FutureExt;
    use siltstone_testkit::{FaultPlan, RandomFaults};
    let mut held_at = 0;
    loop {
        let mut lived = lived();
        let slow = RandomFaults::none(1).delaying(1.0, Duration::from_millis(2));
        lived.world.store.set_plan(FaultPlan::random(slow));
        let process = lived.world.process();
        let options = CheckOptions { depth: Depth::Headers, leaks: Leaks::Keep };
        let mut check = process.check(&options).boxed_local();
        let before = lived.world.requests();
        let mut done = None;
        while done.is_none() && lived.world.requests() - before < held_at {
            done = (&mut check).now_or_never();
            if done.is_none() {
                assert!(lived.world.clock.advance_to_next_sleeper());
            }
        }
        let is_over = done.is_some();
        if !is_over {
            work(&mut lived);
        }
        let report = done.unwrap_or_else(|| lived.world.finish(check)).unwrap();
        assert!(report.is_clean(), "held at request {held_at}: {report}");
        if is_over {
            return;
        }
        held_at += 5;
    }
}

/// Flushes, folds, merges, lets the graces pass and sweeps.
fn work(lived: &mut Lived) {
    let Lived { world, catalog, one, writer } = lived;
    for round in 0..2u64 {
        writer.flush(world, catalog, &[(one, &spans(2_000 + round * 10..2_005 + round * 10, 0))]);
        world.fold(catalog).unwrap();
        let inputs = world.section(catalog, one, Section::Inbox);
        world.merge(catalog, one, &inputs);
        world.pass(HOUR + Duration::from_secs(60));
        world.touch(catalog);
        world.sweep(catalog);
    }
}

#[test]
fn should_say_the_worst_first_and_how_many_more_there_are() {
    let mut report = Report::of(Depth::Catalog);
    for number in 0..30 {
        report.add(&format!("notes/{number:02}"), Wrong::Foreign);
    }
    report.add(&"blk/x", Wrong::Gone { tenant: Tenant::single() });
    report.finish();
    let text = report.to_string();
    assert!(text.contains("LOSS    blk/x\n        C1:"), "{text}");
    assert!(text.ends_with("and 10 more of these kinds"), "{text}");
    let kinds: BTreeMap<_, _> = report.findings.iter().map(|found| (found.severity, ())).collect();
    assert_eq!(kinds.len(), 2);
    assert_eq!(report.worst(), Some(Severity::Loss));
}

#[test]
fn should_find_a_page_in_short_that_says_other_than_the_page() {
    let changes: [fn(&mut PageRef); 2] =
        [|page| page.last_named = StoreTime(1), |page| page.grouped = page.blocks];
    for change in changes {
        let lived = lived();
        let id = lived.root().tenants[&lived.one].page;
        let mut page = lived.tenant_page();
        change(&mut page.pages[0]);
        lived.world.put(&ObjectKey::Page(id), page.encode().to_vec());
        let key = ObjectKey::Page(page.pages[0].id);
        assert_one(&lived.check(Depth::Catalog), &key, Wrong::Misleads { tenant: lived.one.clone() });
    }
}

#[test]
fn should_not_take_marks_for_well_that_the_store_does_not_show() {
    let lived = lived();
    let id = lived.root().tenants[&lived.one].page;
    let mut page = lived.tenant_page();
    page.mark_pages.push(ObjectId(lived.catalog.next_id()));
    let key = ObjectKey::Page(page.mark_pages[0]);
    lived.world.put(&ObjectKey::Page(id), page.encode().to_vec());
    assert_one(&lived.check(Depth::Catalog), &key, Wrong::Gone { tenant: lived.one.clone() });
    let fails = Rule::new(Fault::ErrorBefore).on(Operation::Get).containing(&key.to_string());
    lived.world.store.set_plan(FaultPlan::script([fails]));
    let options = CheckOptions { depth: Depth::Catalog, leaks: Leaks::Keep };
    let failed = lived.world.finish(lived.world.process().check(&options));
    assert!(matches!(failed, Err(CheckError::Store(_))), "{failed:?}");
}
