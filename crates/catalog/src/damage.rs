//! What is damaged stops as little as possible, loses nothing else, and is named: the
//! table of `docs/catalog.md`, line by line.

use std::time::Duration;

use siltstone_format::id::ObjectId;
use siltstone_format::path::ObjectKey;
use siltstone_format::tenant::Tenant;

use crate::block_page::Section;
use crate::catalog::Catalog;
use crate::change::{AddMark, Quarantine};
use crate::commit::Fate;
use crate::draft::read_tenant_page;
use crate::load::LoadError;
use crate::mark::{MarkKind, MarkTarget};
use crate::publish::PublishError;
use crate::sweep::SweepError;
use crate::test_world::{TestWorld, TestWriter, numbers, span, spans, tenant};
use crate::time::StoreTime;

fn tenant_page(world: &TestWorld, catalog: &Catalog, tenant: &Tenant) -> ObjectId {
    world.finish(catalog.load()).unwrap().root.tenants[tenant].page
}

fn newest_root(world: &TestWorld) -> ObjectKey {
    world.keys("cat/root").last().unwrap().parse().unwrap()
}

#[test]
fn should_answer_from_the_root_before_and_write_nothing_when_a_root_is_damaged() {
    let (world, catalog) = TestWorld::with_catalog();
    let (tenant, mut writer) = (Tenant::single(), TestWriter::new(&catalog));
    writer.flush(&world, &catalog, &[(&tenant, &spans(0..5, 0))]);
    world.fold(&catalog).unwrap();
    world.touch(&catalog);
    let damaged = newest_root(&world);
    world.damage(&damaged);

    let other = world.process();
    assert_eq!(world.found(&other, &tenant), numbers(&[(0, 5)]));
    let number = world.snapshot(&other).damaged_root.as_ref().map(|(number, _)| *number);
    assert_eq!(damaged, ObjectKey::Root { number: number.unwrap() });
    assert!(matches!(world.fold(&other), Err(PublishError::DamagedRoot { .. })));
    let swept = world.finish(other.sweep(crate::sweep::SweepMode::Delete));
    assert!(matches!(swept, Err(SweepError::DamagedRoot { .. })), "{swept:?}");
    // Who commits does not look at roots.
    writer.flush(&world, &other, &[(&tenant, &spans(5..9, 0))]);
    assert_eq!(world.found(&other, &tenant), numbers(&[(0, 9)]));
}

#[test]
fn should_fold_for_all_tenants_when_the_page_of_one_is_damaged() {
    let (world, catalog) = TestWorld::with_catalog();
    let (harmed, well) = (tenant("harmed"), tenant("well"));
    let mut writer = TestWriter::new(&catalog);
    writer.flush(&world, &catalog, &[(&harmed, &spans(0..5, 0)), (&well, &spans(0..5, 0))]);
    world.fold(&catalog).unwrap();
    let page = tenant_page(&world, &catalog, &harmed);
    world.damage(&ObjectKey::Page(page));

    writer.flush(&world, &catalog, &[(&harmed, &spans(5..9, 0)), (&well, &spans(5..9, 0))]);
    let other = world.process();
    world.fold(&other).unwrap();
    assert_eq!(world.found(&other, &well), numbers(&[(0, 9)]));
    let partial = world.blocks(&other, &harmed);
    assert_eq!(
        partial.missing.iter().map(|missing| &missing.key).collect::<Vec<_>>(),
        [&ObjectKey::Page(page)]
    );
    assert_eq!(world.found(&other, &harmed), numbers(&[(5, 9)]));
    // Merging and marking go on for what is known.
    let inputs = world.section(&other, &harmed, Section::Inbox);
    world.merge(&other, &harmed, &inputs);
    assert_eq!(world.blocks(&other, &harmed).missing.len(), 1);
}

#[test]
fn should_sweep_no_orphan_while_a_page_is_damaged_and_go_on_when_it_is_restored() {
    let (world, catalog) = TestWorld::with_catalog();
    let harmed = tenant("harmed");
    let mut writer = TestWriter::new(&catalog);
    writer.flush(&world, &catalog, &[(&harmed, &spans(0..5, 0))]);
    world.fold(&catalog).unwrap();
    let key = ObjectKey::Page(tenant_page(&world, &catalog, &harmed));
    let content = world.get(&key).unwrap().to_vec();
    world.damage(&key);
    writer.flush(&world, &catalog, &[(&harmed, &spans(5..9, 0))]);
    let other = world.process();
    world.fold(&other).unwrap();

    world.sweep_all(&other, 3);
    assert_eq!(world.sweep(&other).unreadable, Some(key.clone()));
    assert_eq!(world.keys("blk").len(), 4, "what the page refers to is nobody's orphan");
    assert_eq!(world.finish(other.load()).unwrap().root.swept, StoreTime::default());
    assert_eq!(world.keys("cat/log").len(), 0, "the rest is swept");

    world.put(&key, content);
    writer.flush(&world, &other, &[(&harmed, &spans(9..12, 0))]);
    world.fold(&other).unwrap();
    assert!(world.blocks(&other, &harmed).missing.is_empty());
    assert_eq!(world.found(&other, &harmed), numbers(&[(0, 12)]));
    world.sweep_all(&other, 3);
    assert_eq!(world.found(&other, &harmed), numbers(&[(0, 12)]));
    assert_eq!(world.get(&key), None, "it is not needed any more");
}

#[test]
fn should_miss_one_day_only_when_its_page_is_damaged() {
    let (world, catalog) = TestWorld::with_catalog();
    let tenant = Tenant::single();
    let mut writer = TestWriter::new(&catalog);
    let both_days = [spans(0..5, 0), spans(5..9, 1)].concat();
    writer.flush(&world, &catalog, &[(&tenant, &both_days)]);
    world.fold(&catalog).unwrap();
    let inputs = world.section(&catalog, &tenant, Section::Inbox);
    let merge = world.merge(&catalog, &tenant, &inputs);
    let harmed_day = merge.outputs[0].0;
    let page = world.finish(async {
        let id = catalog.load().await.unwrap().root.tenants[&tenant].page;
        let page = crate::draft::read_tenant_page(&catalog.bucket, id, &tenant).await.unwrap();
        page.pages.into_iter().find(|page| page.section == Section::Day(harmed_day)).unwrap().id
    });
    world.damage(&ObjectKey::Page(page));

    let other = world.process();
    let found = world.blocks(&other, &tenant);
    assert_eq!(
        found.missing.iter().map(|missing| &missing.key).collect::<Vec<_>>(),
        [&ObjectKey::Page(page)]
    );
    assert_eq!(world.found(&other, &tenant), numbers(&[(5, 9)]));
    let other_day = merge.outputs[1].0;
    let from = other_day.start_unix_nano();
    let of_other_day = world.finish(other.blocks(&world.snapshot(&other), &tenant, from, u64::MAX)).unwrap();
    assert!(of_other_day.missing.is_empty(), "who asks for another day does not hear of it");
    // Flushes go on, and so does the other day.
    writer.flush(&world, &other, &[(&tenant, &spans(9..12, 1))]);
    world.fold(&other).unwrap();
    let mut inputs = world.section(&other, &tenant, Section::Inbox);
    inputs.extend(world.section(&other, &tenant, Section::Day(other_day)));
    world.merge(&other, &tenant, &inputs);
    assert_eq!(world.found(&other, &tenant), numbers(&[(5, 12)]));
}

#[test]
fn should_name_a_damaged_log_entry_in_every_answer_until_it_is_quarantined() {
    let (world, catalog) = TestWorld::with_catalog();
    let tenant = Tenant::single();
    let mut writer = TestWriter::new(&catalog);
    let entries: Vec<_> = (0..3u64)
        .map(|n| writer.flush(&world, &catalog, &[(&tenant, &spans(n * 10..n * 10 + 2, 0))]))
        .collect();
    world.damage(&ObjectKey::LogEntry { writer: writer.id, number: 1 });

    let other = world.process();
    let seen = world.snapshot(&other);
    assert_eq!(
        seen.damaged.iter().map(|entry| (entry.writer, entry.number)).collect::<Vec<_>>(),
        [(writer.id, 1)]
    );
    let rest = numbers(&[(0, 2), (20, 22)]);
    assert_eq!(world.found(&other, &tenant), rest);
    // Folding waits in front of it, and so does the floor.
    world.fold(&other).unwrap();
    world.sweep_all(&other, 2);
    let root = world.finish(other.load()).unwrap().root;
    assert_eq!((root.writers[&writer.id].next, root.floor), (1, StoreTime::default()));
    assert_eq!(world.keys("cat/log").len(), 2);

    let pass = Quarantine { writer: writer.id, number: 1 };
    assert!(world.finish(other.publish(&Quarantine { number: 2, ..pass })).is_err(), "it is well");
    world.finish(other.publish(&pass)).unwrap();
    world.fold(&other).unwrap();
    assert!(world.snapshot(&other).damaged.is_empty());
    assert_eq!(world.found(&other, &tenant), rest);
    assert_eq!(world.finish(other.resolve(writer.id, 2)).unwrap(), Fate::Committed);
    world.sweep_all(&other, 3);
    assert_eq!(world.keys("cat/log").len(), 0);
    assert_eq!(world.get(&ObjectKey::Spans(entries[1].blocks[0].id())), None, "an orphan by then");
    writer.flush(&world, &other, &[(&tenant, &spans(30..32, 0))]);
    world.pass(Duration::from_secs(5));
    assert_eq!(world.found(&other, &tenant), numbers(&[(0, 2), (20, 22), (30, 32)]));
}

#[test]
fn should_refuse_to_stand_in_for_a_page_of_a_later_release() {
    let (world, catalog) = TestWorld::with_catalog();
    let tenant = Tenant::single();
    let mut writer = TestWriter::new(&catalog);
    writer.flush(&world, &catalog, &[(&tenant, &spans(0..5, 0))]);
    world.fold(&catalog).unwrap();
    let key = ObjectKey::Page(tenant_page(&world, &catalog, &tenant));
    let mut content = world.get(&key).unwrap().to_vec();
    content[4] = 99;
    world.put(&key, content);
    writer.flush(&world, &catalog, &[(&tenant, &spans(5..9, 0))]);
    let refused = world.fold(&world.process());
    assert!(matches!(refused, Err(PublishError::Draft(_))), "{refused:?}");
}

#[test]
fn should_refuse_to_begin_where_blocks_are_and_no_root() {
    let (world, catalog) = TestWorld::with_catalog();
    let mut writer = TestWriter::new(&catalog);
    writer.flush(&world, &catalog, &[(&Tenant::single(), &spans(0..5, 0))]);
    world.fold(&catalog).unwrap();
    world.sweep_all(&catalog, 1);
    world.keys("cat").iter().for_each(|key| world.delete(&key.parse().unwrap()));
    let begun = world.finish(world.process().init());
    assert!(matches!(begun, Err(LoadError::Lost)), "{begun:?}");
    assert!(world.keys("cat").is_empty());
    assert_eq!(world.keys("blk").len(), 2);
}

#[test]
fn should_fold_and_sweep_for_all_tenants_when_the_page_of_one_is_gone() {
    let (world, catalog) = TestWorld::with_catalog();
    let (harmed, well) = (tenant("harmed"), tenant("well"));
    let mut writer = TestWriter::new(&catalog);
    writer.flush(&world, &catalog, &[(&harmed, &spans(0..5, 0)), (&well, &spans(0..5, 0))]);
    world.fold(&catalog).unwrap();
    world.delete(&ObjectKey::Page(tenant_page(&world, &catalog, &harmed)));
    writer.flush(&world, &catalog, &[(&harmed, &spans(5..9, 0)), (&well, &spans(5..9, 0))]);

    let other = world.process();
    world.fold(&other).unwrap();
    assert_eq!(world.found(&other, &well), numbers(&[(0, 9)]));
    assert_eq!(world.found(&other, &harmed), numbers(&[(5, 9)]));
    assert_eq!(world.blocks(&other, &harmed).missing.len(), 1);
    world.pass(Duration::from_secs(30 * 3600));
    world.touch(&other);
    let swept = world.sweep(&other);
    assert!(!swept.log_entries.is_empty(), "{swept:?}");
}

#[test]
fn should_write_a_torn_entry_again_while_its_writer_has_the_spans() {
    let (world, catalog) = TestWorld::with_catalog();
    let (tenant, mut writer) = (Tenant::single(), TestWriter::new(&catalog));
    let opened = world.clock.monotonic();
    let entry = writer.write(&world, &catalog, &[(&tenant, &spans(0..5, 0))]);
    world.put(&ObjectKey::LogEntry { writer: entry.writer, number: 0 }, Vec::new());
    assert_eq!(world.finish(catalog.commit(&entry, Some(opened))).unwrap(), Fate::Committed);
    assert_eq!(world.found(&catalog, &tenant), numbers(&[(0, 5)]));
}

#[test]
fn should_send_a_writer_to_another_name_when_its_entry_was_passed_over() {
    let (world, catalog) = TestWorld::with_catalog();
    let (tenant, mut writer) = (Tenant::single(), TestWriter::new(&catalog));
    let entry = writer.write(&world, &catalog, &[(&tenant, &spans(0..5, 0))]);
    world.put(&ObjectKey::LogEntry { writer: entry.writer, number: 0 }, Vec::new());
    world.finish(catalog.publish(&Quarantine { writer: entry.writer, number: 0 })).unwrap();

    let fate = world.finish(catalog.commit(&entry, None)).unwrap();
    assert!(matches!(fate, Fate::Fenced { .. }), "{fate:?}");
    let snapshot = world.snapshot(&catalog);
    assert!(!snapshot.holds(entry.writer, 0) && snapshot.is_stale(entry.writer, 0));
    assert!(world.found(&catalog, &tenant).is_empty());
}

#[test]
fn should_not_claim_deletions_that_a_page_that_stands_in_does_not_know() {
    let (world, catalog) = TestWorld::with_catalog();
    let (tenant, mut writer) = (Tenant::single(), TestWriter::new(&catalog));
    writer.flush(&world, &catalog, &[(&tenant, &spans(0..5, 0))]);
    world.fold(&catalog).unwrap();
    let target = MarkTarget::Trace(span(7, 0).trace_id);
    let delete = AddMark { tenant: tenant.clone(), kind: MarkKind::Delete, target };
    world.finish(catalog.publish(&delete)).unwrap();
    let page = ObjectKey::Page(tenant_page(&world, &catalog, &tenant));
    let whole = world.get(&page).unwrap().to_vec();
    writer.flush(&world, &catalog, &[(&tenant, &spans(7..9, 0))]); // of a deleted trace, late
    world.damage(&page);
    let other = world.process();
    world.fold(&other).unwrap();
    let inputs = world.section(&other, &tenant, Section::Inbox);
    world.merge(&other, &tenant, &inputs);

    world.put(&page, whole);
    writer.flush(&world, &other, &[(&tenant, &spans(20..21, 0))]);
    world.fold(&other).unwrap();
    let found = world.blocks(&other, &tenant);
    assert!(found.missing.is_empty());
    assert_eq!(found.marks.len(), 1);
    assert!(found.blocks.iter().all(|block| found.marks[0].hides_from(block.clean_through)));
}

#[test]
fn should_keep_the_blocks_of_a_page_that_does_not_say_when_they_were_named() {
    let (world, catalog) = TestWorld::with_catalog();
    let (tenant, mut writer) = (Tenant::single(), TestWriter::new(&catalog));
    writer.flush(&world, &catalog, &[(&tenant, &spans(0..5, 0))]);
    world.fold(&catalog).unwrap();
    world.sweep_all(&catalog, 2);
    writer.flush(&world, &catalog, &[(&tenant, &spans(5..9, 0))]);
    world.fold(&catalog).unwrap();
    let id = tenant_page(&world, &catalog, &tenant);
    let mut page = world.finish(read_tenant_page(&catalog.bucket, id, &tenant)).unwrap();
    page.pages.iter_mut().for_each(|page| page.last_named = StoreTime::default());
    world.put(&ObjectKey::Page(id), page.encode().to_vec());
    let other = world.process();
    world.sweep_all(&other, 2);
    assert_eq!(world.found(&other, &tenant), numbers(&[(0, 9)]));
}
