//! Deletions of few traces and of many, of which roots, pages and records are lost.

use std::time::Duration;

use siltstone_format::id::{ObjectId, TraceId};
use siltstone_format::path::ObjectKey;
use siltstone_format::tenant::Tenant;
use siltstone_testkit::{Fault, FaultPlan, Operation, Rule};

use super::*;
use crate::block_entry::BlockEntry;
use crate::check::{CheckOptions, Depth, Leaks, Severity};
use crate::deleted::MAX_PAGE_TRACES;
use crate::planted::{Bug, Planting};
use crate::rebuild::Force;
use crate::snapshot::TenantBlocks;
use crate::test_world::{TestWorld, TestWriter, spans};

fn trace(number: u64) -> TraceId {
    TraceId(u128::from(number + 1).to_be_bytes())
}

fn request(traces: impl IntoIterator<Item = u64>) -> Request {
    let traces = traces.into_iter().map(trace).collect();
    Request { tenant: Tenant::single(), asked: Asked::Traces, traces, blocks: 1 }
}

/// Numbers below thirty of the spans that a reader is shown.
fn seen(world: &TestWorld, catalog: &Catalog) -> Vec<u64> {
    let TenantBlocks { blocks, deleted, .. } = world.blocks(catalog, &Tenant::single());
    let of_block = |block: &BlockEntry| {
        let spans = world.read_block(block).into_iter();
        let seen = spans.filter(|span| !deleted.hides(&span.trace_id, block.clean_through));
        seen.map(|span| u64::from_be_bytes(span.span_id.0) - 1).collect::<Vec<_>>()
    };
    let mut seen: Vec<u64> = blocks.iter().flat_map(of_block).collect();
    seen.sort_unstable();
    seen
}

/// A flush whose spans were accepted by who knew the deletions up to a number.
fn flush(world: &TestWorld, catalog: &Catalog, numbers: std::ops::Range<u64>, known: u64) {
    let mut writer = TestWriter::new(catalog);
    let opened = world.clock.monotonic();
    let mut entry = writer.write(world, catalog, &[(&Tenant::single(), &spans(numbers, 0))]);
    entry.blocks.iter_mut().for_each(|block| block.clean_through = known);
    world.finish(catalog.commit(&entry, Some(opened))).unwrap();
}

fn delete(world: &TestWorld, catalog: &Catalog, traces: impl IntoIterator<Item = u64>) -> DeletionRecord {
    world.finish(catalog.delete(request(traces))).unwrap()
}

#[test]
fn should_hide_what_was_accepted_unknowingly_and_only_that() {
    let (world, catalog) = TestWorld::with_catalog();
    flush(&world, &catalog, 0..4, 0);
    let first = delete(&world, &catalog, [1, 2]);
    assert_eq!((first.number, first.request.traces.as_slice()), (Some(1), &[trace(1), trace(2)][..]));
    assert_eq!(seen(&world, &catalog), [0, 3]);
    // Late, from who did not know it, and from who did.
    flush(&world, &catalog, 1..3, 0);
    assert_eq!(seen(&world, &catalog), [0, 3]);
    flush(&world, &catalog, 1..2, 1);
    assert_eq!(seen(&world, &catalog), [0, 1, 3]);
    // Asked for again, it hides those too.
    assert_eq!(delete(&world, &catalog, [1]).number, Some(2));
    assert_eq!(seen(&world, &catalog), [0, 3]);
}

#[test]
fn should_keep_many_traces_on_pages_that_outlive_sweeps_and_are_read_once() {
    let (world, catalog) = TestWorld::with_catalog();
    flush(&world, &catalog, 0..4, 0);
    let many = (0..MAX_PAGE_TRACES as u64 * 2 + 5).map(|number| number * 2);
    let record = delete(&world, &catalog, many);
    let pages = {
        let loaded = world.finish(catalog.load()).unwrap();
        let id = loaded.root.tenants[&Tenant::single()].page;
        let page =
            world.finish(crate::draft::read_tenant_page(&catalog.bucket, id, &Tenant::single())).unwrap();
        assert!(page.encode().len() < 2_000);
        page.trace_pages
    };
    assert_eq!(pages.iter().map(|page| page.traces).collect::<Vec<_>>(), [65_536, 65_536, 5]);
    assert!(pages.iter().all(|page| Some(page.number) == record.number && page.record == record.id));
    assert_eq!(seen(&world, &catalog), [1, 3]);
    world.sweep_all(&catalog, 3);
    let reader = world.process();
    assert_eq!(seen(&world, &reader), [1, 3]);
    let before = world.store.log().len();
    assert_eq!(seen(&world, &reader), [1, 3]);
    // Two listings and the block's two objects: what is known is not read again.
    assert!(world.store.log().len() - before <= 4, "{:?}", &world.store.log()[before..]);
    let options = CheckOptions { depth: Depth::Blocks, leaks: Leaks::Keep };
    let report = world.finish(world.process().check(&options)).unwrap();
    assert!(report.findings.iter().all(|finding| finding.severity < Severity::Partial), "{report}");
}

#[test]
fn should_refuse_none_and_too_many() {
    let (world, catalog) = TestWorld::with_catalog();
    assert!(matches!(world.finish(catalog.delete(request([]))), Err(DeleteError::Nothing)));
    let too_many = world.finish(catalog.delete(request(0..=MOST_TRACES as u64)));
    assert!(matches!(too_many, Err(DeleteError::TooMany(_))));
    assert!(world.keys("del").is_empty());
    assert_eq!(world.finish(catalog.load()).unwrap().root.mark_number, 0);
}

#[test]
fn should_record_a_deletion_before_it_is_in_force() {
    let (world, catalog) = TestWorld::with_catalog();
    flush(&world, &catalog, 0..4, 0);
    let no_root = Rule::new(Fault::ErrorBefore).on(Operation::Put).under("cat/root");
    world.store.set_plan(FaultPlan::script([no_root]));
    let failed = world.finish(catalog.delete(request([1])));
    assert!(matches!(failed, Err(DeleteError::Publish { .. })), "{failed:?}");
    world.store.set_plan(FaultPlan::none());
    let id = world.finish(catalog.deletion_ids()).unwrap()[0];
    let record = world.finish(catalog.deletion(id)).unwrap().unwrap();
    assert_eq!((record.request, record.number), (request([1]), None));
}

#[test]
fn should_leave_no_record_of_what_was_refused() {
    for bug in [None, Some(Bug::KeepRefused)] {
        let (world, catalog) = TestWorld::with_catalog();
        flush(&world, &catalog, 0..4, 0);
        // As many large deletions as a tenant may have.
        (0..8).for_each(|_| drop(delete(&world, &catalog, 100..400)));
        let ids = world.finish(catalog.deletion_ids()).unwrap();
        let _planting = Planting::of(bug);
        let refused = world.finish(catalog.delete(request(1..400)));
        let is_refused = matches!(refused, Err(DeleteError::Refused(_)));
        assert_eq!(is_refused, bug.is_none(), "{refused:?}");
        assert_eq!(world.finish(catalog.deletion_ids()).unwrap() == ids, bug.is_none());
        world.finish(catalog.rebuild(Force::Yes)).unwrap();
        let expected = if bug.is_none() { vec![0, 1, 2, 3] } else { vec![0] };
        assert_eq!(seen(&world, &catalog), expected, "{bug:?}");
    }
    // It cannot be taken back: that is said.
    let (world, catalog) = TestWorld::with_catalog();
    (0..8).for_each(|_| drop(delete(&world, &catalog, 100..400)));
    let no_delete = Rule::new(Fault::ErrorBefore).on(Operation::Delete).under("del");
    world.store.set_plan(FaultPlan::script([no_delete]));
    let refused = world.finish(catalog.delete(request(1..400))).unwrap_err().to_string();
    assert!(refused.contains("del/") && refused.contains("could not be taken back"), "{refused}");
}

/// Two deletions, few traces and many, and a third of which nobody was told whether it is in force.
fn deleted() -> (TestWorld, Vec<ObjectId>) {
    let (world, catalog) = TestWorld::with_catalog();
    flush(&world, &catalog, 0..10, 0);
    let few = delete(&world, &catalog, [1]);
    let many = delete(&world, &catalog, (2..10).chain(100..1_000));
    assert_eq!(seen(&world, &catalog), [0]);
    flush(&world, &catalog, 20..23, 0);
    let unsure = DeletionRecord::new(ObjectId(catalog.next_id()), few.at, request([21]), None);
    world.put(&ObjectKey::Deletion(unsure.id), unsure.encode().to_vec());
    (world, vec![few.id, many.id, unsure.id])
}

#[test]
fn should_stay_deleted_when_every_root_is_lost() {
    for bug in [None, Some(Bug::NoRecords)] {
        let (world, ids) = deleted();
        world.keys("cat/root").iter().for_each(|key| world.delete(&key.parse().unwrap()));
        let catalog = world.process();
        let _planting = Planting::of(bug);
        let rebuilt = world.finish(catalog.rebuild(Force::No)).unwrap();
        let found = seen(&world, &catalog);
        if bug.is_some() {
            assert!(
                found.contains(&5),
                "a rebuild without records brings back nothing: the test cannot fail"
            );
            continue;
        }
        assert_eq!((found, rebuilt.deletions), (vec![0, 20, 22], 3), "{rebuilt}");
        let record = world.finish(catalog.deletion(ids[1])).unwrap().unwrap();
        let snapshot = world.snapshot(&catalog);
        assert_eq!(world.finish(catalog.number_of(&snapshot, &record)).unwrap(), Some(2));
        // Whoever knew a deletion before the catalog was lost is right to show what he took.
        flush(&world, &catalog, 5..6, 2);
        assert_eq!(seen(&world, &catalog), [0, 5, 20, 22]);
        world.sweep_all(&catalog, 3);
        assert_eq!(seen(&world, &world.process()), [0, 5, 20, 22]);
    }
}

#[test]
fn should_stay_deleted_when_pages_are_damaged_and_the_catalog_is_rebuilt_over_them() {
    let (world, ids) = deleted();
    let catalog = world.process();
    let root = world.finish(catalog.load()).unwrap().root;
    let page = root.tenants[&Tenant::single()].page;
    let traces =
        world.finish(crate::draft::read_tenant_page(&catalog.bucket, page, &Tenant::single())).unwrap();
    world.damage(&ObjectKey::Page(traces.trace_pages[0].id));
    let catalog = world.process();
    let rebuilt = world.finish(catalog.rebuild(Force::Yes)).unwrap();
    assert_eq!(rebuilt.without_marks, [Tenant::single()]);
    assert_eq!(seen(&world, &catalog), [0, 20, 22], "{rebuilt}");

    // What cannot be read is named.
    world.damage(&ObjectKey::Deletion(ids[0]));
    world.keys("cat/root").iter().for_each(|key| world.delete(&key.parse().unwrap()));
    world.pass(Duration::from_secs(1));
    let catalog = world.process();
    let rebuilt = world.finish(catalog.rebuild(Force::No)).unwrap();
    assert_eq!(rebuilt.unreadable_deletions.keys().copied().collect::<Vec<_>>(), [ids[0]]);
    assert!(rebuilt.to_string().contains(&format!("NOT RECOVERED: what deletion {} was about", ids[0])));
    assert_eq!(seen(&world, &catalog), [0, 1, 20, 22]);
}

#[test]
fn should_stay_deleted_while_the_newest_root_or_the_tenant_s_page_cannot_be_read() {
    for bug in [None, Some(Bug::NoRecords)] {
        let (world, catalog) = TestWorld::with_catalog();
        flush(&world, &catalog, 0..4, 0);
        world.fold(&catalog).unwrap();
        world.pass(Duration::from_secs(5));
        delete(&world, &catalog, [1]);
        let root = world.finish(catalog.load()).unwrap().root;
        world.damage(&ObjectKey::Root { number: root.number });
        let _planting = Planting::of(bug);
        let expected = if bug.is_none() { vec![0, 2, 3] } else { vec![0, 1, 2, 3] };
        assert_eq!(seen(&world, &world.process()), expected, "{bug:?}: the newest root");
        world.damage(&ObjectKey::Root { number: root.number });

        // What is not folded is not on the page.
        flush(&world, &catalog, 0..3, 0);
        assert_eq!(seen(&world, &world.process()), [0, 0, 2, 2, 3]);
        world.damage(&ObjectKey::Page(root.tenants[&Tenant::single()].page));
        let expected = if bug.is_none() { vec![0, 2] } else { vec![0, 1, 2] };
        assert_eq!(seen(&world, &world.process()), expected, "{bug:?}: the page");
    }
}
