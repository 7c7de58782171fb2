//! Catalogs that lost their roots, by loss and by damage, and what came of it.

use std::time::Duration;

use object_store::ObjectStoreExt;
use siltstone_format::day::Day;
use siltstone_format::id::{BlockId, ObjectId, TraceId};
use siltstone_format::path::ObjectKey;
use siltstone_format::tenant::Tenant;
use siltstone_format::version::FORMAT_VERSION;
use siltstone_testkit::{Fault, FaultPlan, Operation, Rule};
use ulid::Ulid;

use super::*;
use crate::block_page::Section;
use crate::bucket::path;
use crate::change::{AddMark, CutDays, Merge};
use crate::check::{CheckOptions, Depth, Leaks, Report, Severity, Wrong};
use crate::commit::Fate;
use crate::mark::{Mark, MarkKind, MarkTarget, encode_page};
use crate::publish::PublishError;
use crate::test_world::{START_UNIX_NANOS, TestWorld, TestWriter, numbers, spans, tenant};

const HOUR: Duration = Duration::from_secs(3600);

/// Two tenants, merged days, an inbox, and a flush that waits in the log.
struct Lived {
    world: TestWorld,
    one: Tenant,
    other: Tenant,
    writer: TestWriter,
}

fn lived() -> Lived {
    let (world, catalog) = TestWorld::with_catalog();
    let (one, other) = (tenant("one"), tenant("other"));
    let mut writer = TestWriter::new(&catalog);
    for round in 0..4u64 {
        let first = round * 10;
        let mixed = [spans(first..first + 3, 0), spans(first + 3..first + 6, 1)].concat();
        writer.flush(&world, &catalog, &[(&one, &mixed), (&other, &spans(first..first + 2, 0))]);
        world.pass(Duration::from_secs(30));
        world.fold(&catalog).unwrap();
        if round % 2 == 1 {
            let inputs = world.section(&catalog, &one, Section::Inbox);
            world.merge(&catalog, &one, &inputs);
        }
        world.pass(HOUR + Duration::from_secs(1));
        world.touch(&catalog);
        world.sweep(&catalog);
    }
    writer.flush(&world, &catalog, &[(&one, &spans(40..43, 0))]);
    world.fold(&catalog).unwrap();
    writer.flush(&world, &catalog, &[(&one, &spans(50..53, 0))]);
    Lived { world, one, other, writer }
}

const OF_ONE: [(u64, u64); 6] = [(0, 6), (10, 16), (20, 26), (30, 36), (40, 43), (50, 53)];
const OF_OTHER: [(u64, u64); 4] = [(0, 2), (10, 12), (20, 22), (30, 32)];

impl Lived {
    fn lose_roots(&self) {
        self.world.keys("cat/root").iter().for_each(|key| self.world.delete(&key.parse().unwrap()));
    }

    fn damage_roots(&self) {
        self.world.keys("cat/root").iter().for_each(|key| self.world.damage(&key.parse().unwrap()));
    }

    fn rebuild(&self) -> (Catalog, Rebuilt) {
        let catalog = self.world.process();
        let rebuilt = self.world.finish(catalog.rebuild(Force::No)).unwrap();
        (catalog, rebuilt)
    }

    fn check(&self, depth: Depth) -> Report {
        self.world.pass(Duration::from_millis(1));
        let options = CheckOptions { depth, leaks: Leaks::Keep };
        self.world.finish(self.world.process().check(&options)).unwrap()
    }

    /// Every span of the beginning is found, and these.
    fn assert_found(&self, catalog: &Catalog, more: &[(u64, u64)]) {
        assert_eq!(self.world.found(catalog, &self.one), numbers(&[&OF_ONE, more].concat()));
        assert_eq!(self.world.found(catalog, &self.other), numbers(&OF_OTHER));
    }

    /// Nothing is wrong, but what may be after a rebuild.
    fn assert_well(&self, depth: Depth) {
        let report = self.check(depth);
        let bad = report.findings.iter().any(|found| found.severity >= Severity::Partial);
        assert!(!bad, "{report}");
    }

    fn merge_all(&self, catalog: &Catalog) {
        let sections = self.world.finish(async {
            let root = catalog.load().await.unwrap().root;
            let id = root.tenants[&self.one].page;
            let page = crate::draft::read_tenant_page(&catalog.bucket, id, &self.one).await.unwrap();
            page.pages.iter().map(|page| page.section).collect::<Vec<_>>()
        });
        let inputs: Vec<_> =
            sections.iter().flat_map(|section| self.world.section(catalog, &self.one, *section)).collect();
        self.world.merge(catalog, &self.one, &inputs);
    }
}

#[test]
fn should_find_all_spans_again_when_every_root_is_gone_or_damaged() {
    for lose in [Lived::lose_roots, Lived::damage_roots] {
        let mut lived = lived();
        let old_number = lived.world.finish(lived.world.process().load()).unwrap().root.number;
        lose(&lived);
        assert_eq!(lived.check(Depth::Catalog).worst(), Some(Severity::Loss));
        let (catalog, rebuilt) = lived.rebuild();
        assert!(rebuilt.root > old_number + 1_000_000);
        assert!(rebuilt.unreadable.is_empty() && rebuilt.incomplete.is_empty(), "{rebuilt}");
        assert!(rebuilt.to_string().contains("TRACES THAT WERE DELETED MAY BE FOUND AGAIN"), "{rebuilt}");
        lived.assert_found(&catalog, &[]);
        lived.assert_well(Depth::Blocks);

        // Life goes on, for the writer that knows nothing too.
        lived.writer.flush(&lived.world, &catalog, &[(&lived.one, &spans(60..63, 0))]);
        lived.assert_found(&catalog, &[(60, 63)]);
        lived.world.fold(&catalog).unwrap();
        lived.merge_all(&catalog);
        lived.assert_found(&catalog, &[(60, 63)]);
        lived.world.sweep_all(&catalog, 3);
        lived.assert_found(&catalog, &[(60, 63)]);
        lived.assert_well(Depth::Blocks);
        let report = lived.check(Depth::Blocks);
        assert!(report.findings.iter().all(|found| matches!(found.wrong, Wrong::Leak { .. })), "{report}");
    }
}

#[test]
fn should_refuse_while_a_root_can_be_read_unless_told() {
    let lived = lived();
    let catalog = lived.world.process();
    let refused = lived.world.finish(catalog.rebuild(Force::No));
    assert!(matches!(refused, Err(RebuildError::Readable { .. })), "{refused:?}");
    let before = lived.world.finish(catalog.load()).unwrap().root.number;
    let rebuilt = lived.world.finish(catalog.rebuild(Force::Yes)).unwrap();
    assert_eq!(rebuilt.root, before + 1);
    lived.assert_found(&lived.world.process(), &[]);
    assert_eq!(lived.world.keys("lse"), Vec::<String>::new());
}

#[test]
fn should_carry_over_marks_and_cuts_where_a_root_can_be_read() {
    let lived = lived();
    let catalog = lived.world.process();
    let trace = MarkTarget::Trace(TraceId(1u128.to_be_bytes()));
    for tenant in [&lived.one, &lived.other] {
        let mark = AddMark { tenant: tenant.clone(), kind: MarkKind::Delete, target: trace.clone() };
        lived.world.finish(catalog.publish(&mark)).unwrap();
    }
    let first_kept = Day::of_unix_nano(START_UNIX_NANOS + 86_400_000_000_000);
    let cut = CutDays { tenant: lived.other.clone(), first_kept };
    lived.world.finish(catalog.publish(&cut)).unwrap();
    // What one tenant has is damaged: it is found again, and the other loses nothing.
    let page = lived.world.finish(catalog.load()).unwrap().root.tenants[&lived.one].page;
    lived.world.damage(&ObjectKey::Page(page));
    let catalog = lived.world.process();
    let rebuilt = lived.world.finish(catalog.rebuild(Force::Yes)).unwrap();
    assert_eq!(rebuilt.without_marks, std::slice::from_ref(&lived.one));
    assert!(rebuilt.to_string().contains("NOT RECOVERED of one"), "{rebuilt}");
    assert_eq!(lived.world.found(&catalog, &lived.one), numbers(&OF_ONE));
    assert_eq!(lived.world.found(&catalog, &lived.other), numbers(&[]));
    let marks = lived.world.blocks(&catalog, &lived.other).marks;
    assert!(marks.len() == 1 && marks[0].target == trace && marks[0].hides_from(0));
    lived.assert_well(Depth::Blocks);
    lived.merge_all(&catalog);
    lived.world.sweep_all(&catalog, 3);
    assert_eq!(lived.world.found(&catalog, &lived.one), numbers(&OF_ONE));
    lived.assert_well(Depth::Blocks);
}

#[test]
fn should_count_entries_that_landed_before_and_after_and_none_twice() {
    let mut lived = lived();
    let ingester = lived.world.process();
    // Blocks are there, the entry is not: the flush is open while the catalog is rebuilt.
    let opened = lived.world.clock.monotonic();
    let open = lived.writer.write(&lived.world, &ingester, &[(&lived.one, &spans(70..73, 0))]);
    lived.lose_roots();
    let (catalog, _) = lived.rebuild();
    // Its spans are found already, which they may be.
    lived.assert_found(&catalog, &[(70, 73)]);
    assert_eq!(lived.world.finish(ingester.commit(&open, Some(opened))).unwrap(), Fate::Committed);
    lived.assert_found(&catalog, &[(70, 73)]);
    lived.world.fold(&catalog).unwrap();
    lived.assert_found(&catalog, &[(70, 73)]);
    lived.assert_well(Depth::Blocks);
    assert_eq!(lived.world.finish(ingester.resolve(open.writer, open.number)).unwrap(), Fate::Committed);
    // What it committed before is known too.
    for number in 0..open.number {
        assert_eq!(lived.world.finish(ingester.resolve(open.writer, number)).unwrap(), Fate::Committed);
    }
    // Merged away and swept, the late entry's block comes back by nothing.
    lived.merge_all(&catalog);
    lived.world.sweep_all(&catalog, 3);
    lived.assert_found(&catalog, &[(70, 73)]);
    lived.assert_well(Depth::Blocks);
}

#[test]
fn should_let_in_a_writer_whose_entries_were_all_swept() {
    let mut lived = lived();
    let ingester = lived.world.process();
    lived.world.fold(&ingester).unwrap();
    lived.world.touch(&ingester);
    lived.world.sweep(&ingester);
    assert_eq!(lived.world.keys("cat/log"), Vec::<String>::new());
    lived.lose_roots();
    let (catalog, _) = lived.rebuild();
    let entry = lived.writer.flush(&lived.world, &ingester, &[(&lived.one, &spans(70..73, 0))]);
    lived.writer.flush(&lived.world, &ingester, &[(&lived.one, &spans(80..83, 0))]);
    // It waits, and nothing of it is swept however long it does.
    lived.assert_found(&catalog, &[]);
    lived.world.sweep_all(&catalog, 3);
    let report = lived.check(Depth::Catalog);
    let stranded = report.findings.iter().filter(|found| matches!(found.wrong, Wrong::Stranded { .. }));
    assert_eq!(stranded.count(), 2, "{report}");
    let adopted = lived.world.finish(catalog.adopt()).unwrap();
    assert_eq!(adopted.writers.get(&lived.writer.id), Some(&entry.number));
    lived.assert_found(&catalog, &[(70, 73), (80, 83)]);
    lived.assert_well(Depth::Blocks);
    assert_eq!(lived.world.finish(catalog.adopt()).unwrap(), Adopted::default());
    assert_eq!(lived.world.finish(ingester.resolve(entry.writer, entry.number)).unwrap(), Fate::Committed);
}

#[test]
fn should_accept_a_writer_that_is_new_since() {
    let lived = lived();
    lived.lose_roots();
    let (catalog, _) = lived.rebuild();
    let mut fresh = TestWriter::new(&catalog);
    fresh.flush(&lived.world, &catalog, &[(&lived.one, &spans(90..93, 0))]);
    lived.world.fold(&catalog).unwrap();
    lived.assert_found(&catalog, &[(90, 93)]);
}

#[test]
fn should_refuse_a_merge_that_began_before_and_keep_its_inputs() {
    let lived = lived();
    let compactor = lived.world.process();
    let inputs = lived.world.section(&compactor, &lived.one, Section::Inbox);
    let merge = lived.world.prepare_merge(&compactor, &lived.one, &inputs);
    // One that has not written anything yet is as good as one that begins later.
    let unwritten = lived.world.section(&compactor, &lived.other, Section::Inbox);
    lived.lose_roots();
    let (catalog, rebuilt) = lived.rebuild();
    assert_eq!(rebuilt.covered.len(), merge.outputs.len());
    let refused = lived.world.finish(compactor.publish(&merge));
    assert!(matches!(refused, Err(PublishError::Refused(_))), "{refused:?}");
    lived.world.merge(&compactor, &lived.other, &unwritten);
    lived.assert_found(&catalog, &[]);
    lived.world.sweep_all(&catalog, 3);
    lived.assert_found(&catalog, &[]);
    lived.assert_well(Depth::Blocks);
    // Its outputs were nobody's and went as orphans.
    assert_eq!(lived.world.get(&ObjectKey::Spans(merge.outputs[0].1.id())), None);
}

#[test]
fn should_keep_both_an_input_and_an_output_where_another_input_is_gone() {
    let lived = lived();
    let compactor = lived.world.process();
    let inputs = lived.world.section(&compactor, &lived.one, Section::Inbox);
    assert!(!inputs.is_empty());
    lived.world.fold(&compactor).unwrap();
    let inputs = lived.world.section(&compactor, &lived.one, Section::Inbox);
    assert!(inputs.len() >= 2, "{}", inputs.len());
    let merge: Merge = lived.world.merge(&compactor, &lived.one, &inputs);
    for key in [ObjectKey::Spans(inputs[0].1.id()), ObjectKey::Origins(inputs[0].1.id())] {
        lived.world.delete(&key);
    }
    lived.lose_roots();
    let (catalog, rebuilt) = lived.rebuild();
    assert_eq!(rebuilt.doubled, inputs[1..].iter().map(|(_, block)| block.id()).collect::<Vec<_>>());
    assert!(rebuilt.covered.is_empty(), "{rebuilt:?}");
    lived.assert_found(&catalog, &[]);
    lived.assert_well(Depth::Headers);
    lived.merge_all(&catalog);
    lived.assert_found(&catalog, &[]);
    let report = lived.check(Depth::Headers);
    assert!(report.is_clean(), "{report}");
    assert!(!merge.outputs.is_empty());
}

#[test]
fn should_not_lean_on_a_damaged_input() {
    let lived = lived();
    let compactor = lived.world.process();
    lived.world.fold(&compactor).unwrap();
    let inputs = lived.world.section(&compactor, &lived.one, Section::Inbox);
    let merge = lived.world.merge(&compactor, &lived.one, &inputs);
    let harmed = inputs[0].1.id();
    let key = ObjectKey::Spans(harmed);
    let mut content = lived.world.get(&key).unwrap().to_vec();
    content[60] ^= 1;
    lived.world.put(&key, content);
    lived.lose_roots();
    let (catalog, rebuilt) = lived.rebuild();
    assert_eq!(rebuilt.harmed.keys().copied().collect::<Vec<_>>(), [harmed]);
    assert!(rebuilt.covered.is_empty(), "the outputs may be all that is left: {rebuilt:?}");
    let snapshot = lived.world.snapshot(&catalog);
    let blocks = lived.world.finish(catalog.blocks(&snapshot, &lived.one, 0, u64::MAX)).unwrap().blocks;
    for (_, output) in &merge.outputs {
        assert!(blocks.iter().any(|block| block.id() == output.id()));
    }
}

#[test]
fn should_tell_what_it_cannot_read_and_delete_none_of_it() {
    let lived = lived();
    let catalog = lived.world.process();
    let half = BlockId(catalog.next_id());
    lived.world.write_block(half, &lived.one, &spans(70..73, 0), &[]);
    lived.world.delete(&ObjectKey::Origins(half));
    let blocks = lived.world.blocks(&catalog, &lived.one).blocks;
    let harmed = blocks.iter().find(|block| block.summary.spans.rows > 0).unwrap().id();
    lived.world.damage(&ObjectKey::Origins(harmed));
    lived.world.pass(HOUR * 24 * 3);
    lived.lose_roots();
    let (catalog, rebuilt) = lived.rebuild();
    assert_eq!(rebuilt.incomplete, [half]);
    assert_eq!(rebuilt.unreadable.keys().copied().collect::<Vec<_>>(), [harmed], "{rebuilt}");
    assert!(rebuilt.to_string().contains(&format!("LOST unless it is restored: block {harmed}")));
    lived.world.sweep_all(&catalog, 4);
    assert!(lived.world.get(&ObjectKey::Spans(half)).is_some());
    assert!(lived.world.get(&ObjectKey::Origins(harmed)).is_some());
    let report = lived.check(Depth::Catalog);
    let leaks = report.findings.iter().filter(|found| matches!(found.wrong, Wrong::Leak { .. })).count();
    assert!(leaks >= 1, "{report}");
    let left_out = report.findings.iter().filter(|found| found.wrong == Wrong::LeftOut).count();
    assert_eq!(left_out, 1, "{report}");
}

#[test]
fn should_forget_deletions_and_apply_new_ones_to_merges_begun_before() {
    let lived = lived();
    let catalog = lived.world.process();
    let deletion = |number: u64| AddMark {
        tenant: lived.one.clone(),
        kind: MarkKind::Delete,
        target: MarkTarget::Trace(TraceId(u128::from(number + 1).to_be_bytes())),
    };
    for number in 0..5 {
        lived.world.finish(catalog.publish(&deletion(number))).unwrap();
    }
    let before = lived.world.finish(catalog.load()).unwrap().root.mark_number;
    lived.lose_roots();
    let (catalog, _) = lived.rebuild();
    assert!(lived.world.blocks(&catalog, &lived.one).marks.is_empty());
    lived.world.finish(catalog.publish(&deletion(3))).unwrap();
    let mark = lived.world.blocks(&catalog, &lived.one).marks[0].number;
    assert!(mark > before && lived.world.blocks(&catalog, &lived.one).marks[0].hides_from(before));
}

#[test]
fn should_be_made_by_one_of_two_at_a_time() {
    let lived = lived();
    lived.lose_roots();
    let (one, other) = (lived.world.process(), lived.world.process());
    let lease = lived.world.finish(one.acquire_lease(JOB, LEASE)).unwrap();
    assert!(matches!(lease, Acquired::Ours(_)));
    let busy = lived.world.finish(other.rebuild(Force::No));
    assert!(matches!(busy, Err(RebuildError::Busy { .. })), "{busy:?}");
    // Two that hold it make the same number, and one of them the root.
    let number = |catalog: &Catalog| {
        lived.world.finish(async {
            let began = catalog.probe_store_time().await.unwrap();
            root_number(began, &Listed::now(&catalog.bucket, &*catalog.clock).await.unwrap(), None)
        })
    };
    assert_eq!(number(&one), number(&other));
    lived.world.pass(LEASE * 2);
    lived.world.finish(other.rebuild(Force::No)).unwrap();
    let late = lived.world.finish(one.rebuild(Force::No));
    assert!(matches!(late, Err(RebuildError::Readable { .. })), "{late:?}");
}

#[test]
fn should_pass_over_a_root_of_the_old_chain_that_lands_late() {
    let lived = lived();
    let catalog = lived.world.process();
    let old = lived.world.finish(catalog.load()).unwrap();
    lived.lose_roots();
    let (rebuilt, _) = lived.rebuild();
    let late = old.root.successor(old.root_at, catalog.next_id());
    lived.world.put(&ObjectKey::Root { number: late.number }, late.encode().to_vec());
    lived.assert_found(&lived.world.process(), &[]);
    lived.world.fold(&catalog).unwrap();
    lived.world.sweep_all(&rebuilt, 1);
    lived.assert_found(&lived.world.process(), &[]);
    assert_eq!(lived.world.get(&ObjectKey::Root { number: late.number }), None);
}

#[test]
fn should_take_in_the_same_again_when_it_is_lost_again() {
    let lived = lived();
    lived.lose_roots();
    let (_, first) = lived.rebuild();
    lived.damage_roots();
    let (catalog, second) = lived.rebuild();
    assert_eq!((first.blocks, first.rows), (second.blocks, second.rows));
    assert!(second.root > first.root);
    lived.assert_found(&catalog, &[]);
    lived.assert_well(Depth::Blocks);
}

#[test]
fn should_give_way_to_whoever_publishes_meanwhile() {
    let lived = lived();
    let (catalog, other) = (lived.world.process(), lived.world.process());
    // It lands before the last look at the roots, and between that look and the create.
    for seconds in [1, 3] {
        let target = MarkTarget::Trace(TraceId(u128::from(seconds).to_be_bytes()));
        let mark = AddMark { tenant: lived.one.clone(), kind: MarkKind::Delete, target };
        let slow = Rule::new(Fault::Delay(Duration::from_secs(4))).on(Operation::Put).under("cat/root");
        lived.world.store.set_plan(FaultPlan::script([slow]));
        let (rebuilt, marked) = lived.world.finish(async {
            let mark = async {
                lived.world.clock.sleep(Duration::from_secs(seconds)).await;
                other.publish(&mark).await
            };
            futures::join!(catalog.rebuild(Force::Yes), mark)
        });
        lived.world.store.set_plan(FaultPlan::none());
        marked.unwrap();
        assert!(matches!(rebuilt, Err(RebuildError::Overtaken { .. })), "{rebuilt:?}");
    }
    assert_eq!(lived.world.blocks(&lived.world.process(), &lived.one).marks.len(), 2);
    lived.assert_well(Depth::Blocks);
}

#[test]
fn should_know_those_who_published_before_where_a_root_can_be_read() {
    let lived = lived();
    let catalog = lived.world.process();
    lived.world.touch(&catalog);
    let before = lived.world.finish(catalog.load()).unwrap().root;
    lived.world.finish(catalog.rebuild(Force::Yes)).unwrap();
    let after = lived.world.finish(catalog.load()).unwrap().root;
    assert!(after.was_published_by(before.nonce) && after.is_rebuilt() && !before.is_rebuilt());
    lived.world.touch(&catalog);
    assert!(!lived.world.finish(catalog.load()).unwrap().root.is_rebuilt());
}

#[test]
fn should_take_a_number_above_all_where_a_newer_root_is_damaged() {
    let lived = lived();
    let catalog = lived.world.process();
    lived.world.touch(&catalog);
    let newest = lived.world.finish(catalog.load()).unwrap().root.number;
    lived.world.damage(&ObjectKey::Root { number: newest });
    let catalog = lived.world.process();
    let rebuilt = lived.world.finish(catalog.rebuild(Force::Yes)).unwrap();
    assert!(rebuilt.carried == Some(newest - 1) && rebuilt.root > newest + 1_000_000, "{rebuilt:?}");
    lived.assert_found(&catalog, &[]);
}

#[test]
fn should_not_go_on_over_a_block_of_a_later_release_whatever_it_is_told() {
    let lived = lived();
    let catalog = lived.world.process();
    let block = lived.world.blocks(&catalog, &lived.one).blocks[0].id();
    let key = ObjectKey::Origins(block);
    let mut content = lived.world.get(&key).unwrap().to_vec();
    let version = b"siltstone.version\x18\x01";
    let at = content.windows(version.len()).position(|some| some == version).unwrap() + version.len();
    assert_eq!(content[at], b'1');
    content[at] = b'9';
    lived.world.put(&key, content);
    let refused = lived.world.finish(catalog.rebuild(Force::Yes));
    assert!(matches!(refused, Err(RebuildError::LaterRelease { .. })), "{refused:?}");
    lived.lose_roots();
    let refused = lived.world.finish(catalog.rebuild(Force::No));
    assert!(matches!(refused, Err(RebuildError::LaterRelease { .. })), "{refused:?}");
}

#[test]
fn should_touch_nothing_where_the_root_is_of_a_later_release() {
    let lived = lived();
    let catalog = lived.world.process();
    let newest = lived.world.finish(catalog.load()).unwrap().root;
    let mut later = newest.successor(StoreTime(0), Ulid::from_bytes([7; 16]));
    later.write_version = FORMAT_VERSION + 1;
    lived.world.put(&ObjectKey::Root { number: later.number }, later.encode().to_vec());
    let catalog = lived.world.process();
    // Nobody goes on from the older root, which can be read.
    let looked = lived.world.finish(catalog.load());
    assert!(
        matches!(looked, Err(LoadError::LaterRelease { number, .. }) if number == later.number),
        "{looked:?}"
    );
    for force in [Force::No, Force::Yes] {
        let refused = lived.world.finish(catalog.rebuild(force));
        let is_told = |error: &RebuildError| error.to_string().contains("use the release that wrote it");
        assert!(refused.as_ref().is_err_and(is_told), "{refused:?}");
    }
}

#[test]
fn should_not_believe_one_bad_transfer() {
    let lived = lived();
    let catalog = lived.world.process();
    let block = lived.world.blocks(&catalog, &lived.one).blocks[0].id();
    let key = ObjectKey::Origins(block);
    let well = lived.world.get(&key).unwrap();
    lived.world.damage(&key);
    lived.lose_roots();
    // What is read second comes when the object is well again.
    let slow = Rule::new(Fault::Delay(Duration::from_secs(60))).on(Operation::Get);
    lived.world.store.set_plan(FaultPlan::script([slow.containing(&key.to_string()).nth(2)]));
    let rebuilt = lived.world.finish(async {
        let mend = async {
            lived.world.clock.sleep(Duration::from_secs(30)).await;
            lived.world.store.put(&path(&key), well.into()).await
        };
        let (rebuilt, mended) = futures::join!(catalog.rebuild(Force::No), mend);
        mended.unwrap();
        rebuilt.unwrap()
    });
    assert!(rebuilt.unreadable.is_empty(), "{rebuilt}");
    lived.assert_found(&catalog, &[]);
}

#[test]
fn should_keep_from_sweeps_what_could_not_be_read_until_it_can() {
    let lived = lived();
    let catalog = lived.world.process();
    let inbox = lived.world.section(&catalog, &lived.one, Section::Inbox);
    let harmed = inbox.last().unwrap().1.id();
    let keys = [ObjectKey::Spans(harmed), ObjectKey::Origins(harmed)];
    let well = lived.world.get(&keys[1]).unwrap();
    lived.world.damage(&keys[1]);
    lived.lose_roots();
    let (catalog, rebuilt) = lived.rebuild();
    assert_eq!(rebuilt.unreadable.keys().copied().collect::<Vec<_>>(), [harmed], "{rebuilt}");
    lived.world.sweep_all(&catalog, 4);
    let options = CheckOptions { depth: Depth::Catalog, leaks: Leaks::Delete };
    let report = lived.world.finish(lived.world.process().check(&options)).unwrap();
    let named = report.findings.iter().filter(|found| matches!(found.wrong, Wrong::LeftOut));
    assert_eq!(named.map(|found| found.key.clone()).collect::<Vec<_>>(), [keys[0].to_string()], "{report}");
    assert!(keys.iter().all(|key| lived.world.get(key).is_some()));
    lived.world.put(&keys[1], well.to_vec());
    let catalog = lived.world.process();
    lived.world.finish(catalog.rebuild(Force::Yes)).unwrap();
    lived.assert_found(&catalog, &[]);
    lived.assert_well(Depth::Blocks);
}

#[test]
fn should_say_what_a_sweeper_took_meanwhile_and_find_it_in_what_was_left_out() {
    let lived = lived();
    let compactor = lived.world.process();
    let inputs = lived.world.section(&compactor, &lived.one, Section::Inbox);
    let merge = lived.world.merge(&compactor, &lived.one, &inputs);
    let outputs: Vec<BlockId> = merge.outputs.iter().map(|(_, block)| block.id()).collect();
    lived.lose_roots();
    // A sweeper that saw the merge's root goes on deleting when the rebuild has looked.
    let slow = Rule::new(Fault::Delay(Duration::from_secs(60))).on(Operation::Put).under("cat/root");
    lived.world.store.set_plan(FaultPlan::script([slow]));
    let catalog = lived.world.process();
    let rebuilt = lived.world.finish(async {
        let sweep = async {
            lived.world.clock.sleep(Duration::from_secs(30)).await;
            for (_, block) in &inputs {
                for key in [ObjectKey::Spans(block.id()), ObjectKey::Origins(block.id())] {
                    lived.world.store.delete(&path(&key)).await.unwrap();
                }
            }
        };
        futures::join!(catalog.rebuild(Force::No), sweep).0.unwrap()
    });
    lived.world.store.set_plan(FaultPlan::none());
    let gone: Vec<_> = inputs.iter().map(|(_, block)| (block.id(), outputs.clone())).collect();
    assert_eq!(rebuilt.gone.clone().into_iter().collect::<Vec<_>>(), gone);
    let told = rebuilt.to_string();
    assert!(told.contains("STOP ALL COMPACTORS") && told.contains(&outputs[0].to_string()), "{told}");
    let again = lived.world.finish(catalog.rebuild(Force::Yes)).unwrap();
    assert!(again.gone.is_empty() && !again.covered.contains(&outputs[0]), "{again}");
    lived.assert_found(&catalog, &[]);
    lived.assert_well(Depth::Blocks);
}

#[test]
fn should_leave_out_pages_of_marks_that_cannot_be_read_and_say_so() {
    let lived = lived();
    let catalog = lived.world.process();
    let root = lived.world.finish(catalog.load()).unwrap().root;
    let id = root.tenants[&lived.one].page;
    let read = crate::draft::read_tenant_page(&catalog.bucket, id, &lived.one);
    let mut page = lived.world.finish(read).unwrap();
    let target = MarkTarget::Trace(TraceId(1u128.to_be_bytes()));
    let mark = Mark::new(1, MarkKind::Delete, target.clone());
    for harmed in [false, true, true] {
        let id = ObjectId(catalog.next_id());
        page.mark_pages.push(id);
        lived.world.put(&ObjectKey::Page(id), encode_page(std::slice::from_ref(&mark)).to_vec());
        if harmed {
            lived.world.damage(&ObjectKey::Page(id));
        }
    }
    lived.world.delete(&ObjectKey::Page(page.mark_pages[2]));
    lived.world.put(&ObjectKey::Page(id), page.encode().to_vec());
    let catalog = lived.world.process();
    let rebuilt = lived.world.finish(catalog.rebuild(Force::Yes)).unwrap();
    assert_eq!(rebuilt.without_marks, std::slice::from_ref(&lived.one));
    lived.assert_found(&catalog, &[]);
    let marks = lived.world.blocks(&catalog, &lived.one).marks;
    assert!(marks.len() == 1 && marks[0].target == target);
    assert_eq!(lived.check(Depth::Catalog).worst().filter(|worst| *worst >= Severity::Partial), None);
}

#[test]
fn should_not_let_in_a_writer_of_which_entries_are_missing() {
    let mut lived = lived();
    let ingester = lived.world.process();
    lived.world.fold(&ingester).unwrap();
    lived.world.touch(&ingester);
    lived.world.sweep(&ingester);
    lived.lose_roots();
    let (catalog, _) = lived.rebuild();
    let flush = |lived: &mut Lived, number: u64| {
        let spans = spans(number..number + 1, 0);
        lived.writer.flush(&lived.world, &ingester, &[(&lived.one, &spans)]).number
    };
    let first = flush(&mut lived, 70);
    let lost = flush(&mut lived, 80);
    let last = flush(&mut lived, 90);
    let id = lived.writer.id;
    lived.world.delete(&ObjectKey::LogEntry { writer: id, number: lost });
    let adopted = lived.world.finish(catalog.adopt()).unwrap();
    assert_eq!(adopted.writers.len(), 0);
    assert_eq!(adopted.with_gaps.get(&id), Some(&vec![first, last]));
    // Nothing of it is passed over for good.
    assert!(lived.world.get(&ObjectKey::LogEntry { writer: id, number: first }).is_some());
    let root = lived.world.finish(catalog.load()).unwrap().root;
    assert!(root.writers.get(&id).is_none_or(|state| state.next <= first));
}
