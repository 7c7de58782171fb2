use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStoreExt;
use object_store::path::Path;
use siltstone_catalog::change::CutDays;
use siltstone_catalog::mark::{MarkKind, MarkTarget};
use siltstone_format::day::Day;
use siltstone_format::tenant::Tenant;
use siltstone_live::question::Question;

use super::*;
use crate::test_world::{Ingester, START, World, everything, mark, number_of, span_of};

fn trace(number: u64) -> TraceId {
    span_of(number, 0).trace_id
}

fn traces(numbers: &[u64]) -> (Question, Vec<TraceId>) {
    let ids: Vec<TraceId> = numbers.iter().map(|number| trace(*number)).collect();
    (Question { tenant: Tenant::single(), wanted: Wanted::Traces(ids.clone()) }, ids)
}

/// A world with spans in all places: merged, in a folded block, in the log, live. The same span twice.
fn world() -> (Arc<World>, Arc<Ingester>, Arc<Catalog>) {
    let world = World::new();
    let ingester = Ingester::new(&world);
    let add = |numbers: &[u64]| {
        ingester.accept(numbers.iter().map(|number| span_of(number % 3, *number)).collect());
    };
    add(&[0, 1, 2]);
    add(&[3, 4]);
    ingester.flush();
    world.fold_merge_and_sweep(&ingester.catalog);
    add(&[5, 6, 0]);
    ingester.flush();
    world.finish(ingester.catalog.fold()).unwrap();
    add(&[7, 8]);
    ingester.flush();
    add(&[9, 10, 7, 3]);
    let reader = world.process();
    (world, ingester, reader)
}

fn find(
    world: &World,
    ingester: &Arc<Ingester>,
    reader: &Catalog,
    numbers: &[u64],
) -> Result<Vec<u64>, FindError> {
    let (question, ids) = traces(numbers);
    let view = world.open(reader, &[ingester], &question).unwrap();
    let found = world.finish(find_traces(reader, &*world.clock, &view, &ids))?;
    assert!(found.gaps(&view).is_empty());
    Ok(found.spans.iter().map(number_of).collect())
}

fn scan(world: &World, ingester: &Arc<Ingester>, reader: &Catalog) -> Result<Vec<u64>, FindError> {
    let view = world.open(reader, &[ingester], &everything()).unwrap();
    let found = world.finish(scan_all(reader, &*world.clock, &view))?;
    let mut numbers: Vec<u64> = found.spans.iter().map(number_of).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

#[test]
fn should_find_whole_traces_wherever_their_spans_are() {
    let (world, ingester, reader) = world();
    assert_eq!(find(&world, &ingester, &reader, &[0]).unwrap(), [0, 3, 6, 9]);
    assert_eq!(find(&world, &ingester, &reader, &[1]).unwrap(), [1, 4, 7, 10]);
    // Ordered by trace, whatever the order of the question.
    assert_eq!(find(&world, &ingester, &reader, &[2, 1]).unwrap(), [1, 4, 7, 10, 2, 5, 8]);
    assert!(find(&world, &ingester, &reader, &[77]).unwrap().is_empty());
    assert!(find(&world, &ingester, &reader, &[]).unwrap().is_empty());
}

#[test]
fn should_give_spans_back_as_they_were() {
    let (world, ingester, reader) = world();
    let view = world.open(&reader, &[&ingester], &everything()).unwrap();
    let found = world.finish(find_traces(&reader, &*world.clock, &view, &[trace(2)])).unwrap();
    assert_eq!(found.spans, [span_of(2, 2), span_of(2, 5), span_of(2, 8)]);
}

#[test]
fn should_find_all_spans_once() {
    let (world, ingester, reader) = world();
    assert_eq!(scan(&world, &ingester, &reader).unwrap(), (0..=10).collect::<Vec<_>>());
}

#[test]
fn should_not_show_what_was_deleted_or_cut() {
    let (world, ingester, reader) = world();
    world.finish(mark(&ingester.catalog, MarkKind::Delete, MarkTarget::Trace(trace(1))));
    world.finish(mark(&ingester.catalog, MarkKind::Archive, MarkTarget::Trace(trace(0))));
    world.time.advance(Duration::from_secs(3));
    assert!(find(&world, &ingester, &reader, &[1]).unwrap().is_empty());
    assert_eq!(scan(&world, &ingester, &reader).unwrap(), [0, 2, 3, 5, 6, 8, 9]);

    let first_kept = Day(Day::of_unix_nano(START).0 + 1);
    world.finish(ingester.catalog.publish(&CutDays { tenant: Tenant::single(), first_kept })).unwrap();
    world.time.advance(Duration::from_secs(3));
    assert!(scan(&world, &ingester, &reader).unwrap().is_empty());
}

#[test]
fn should_refuse_a_view_of_another_question() {
    let (world, ingester, reader) = world();
    let view = world.open(&reader, &[&ingester], &traces(&[1]).0).unwrap();
    let other = world.finish(find_traces(&reader, &*world.clock, &view, &[trace(2)]));
    assert!(matches!(other, Err(FindError::NotAsked)));
    assert!(matches!(world.finish(scan_all(&reader, &*world.clock, &view)), Err(FindError::NotAsked)));
}

#[test]
fn should_tell_a_missing_block_from_an_expired_view() {
    let (world, ingester, reader) = world();
    let view = world.open(&reader, &[&ingester], &everything()).unwrap();
    let blocks = world.finish(reader.blocks(&view.snapshot, &Tenant::single(), 0, u64::MAX)).unwrap().blocks;
    let scan = || world.finish(scan_all(&reader, &*world.clock, &view));
    assert!(scan().is_ok());
    let key = siltstone_format::path::ObjectKey::Spans(blocks[0].id());
    world.finish(world.objects.delete(&Path::from(key.to_string()))).unwrap();
    assert!(matches!(scan(), Err(FindError::Block(BlockError::Gone { .. }))));
    world.time.advance(Duration::from_secs(16 * 60));
    assert!(matches!(scan(), Err(FindError::Expired)));
}

#[test]
fn should_not_answer_from_a_view_that_expired() {
    let (world, ingester, reader) = world();
    let view = world.open(&reader, &[&ingester], &everything()).unwrap();
    world.time.advance(Duration::from_secs(16 * 60));
    assert!(matches!(world.finish(scan_all(&reader, &*world.clock, &view)), Err(FindError::Expired)));
}

#[test]
fn should_refuse_damaged_blocks() {
    let (world, ingester, reader) = world();
    let view = world.open(&reader, &[&ingester], &everything()).unwrap();
    let blocks = world.finish(reader.blocks(&view.snapshot, &Tenant::single(), 0, u64::MAX)).unwrap().blocks;
    let path = Path::from(siltstone_format::path::ObjectKey::Origins(blocks[0].id()).to_string());
    let mut content =
        world.finish(async { world.objects.get(&path).await.unwrap().bytes().await.unwrap() }).to_vec();
    let at = content.len() - 30;
    content[at] ^= 1;
    world.finish(world.objects.put(&path, content.into())).unwrap();
    let scan = world.finish(scan_all(&reader, &*world.clock, &view));
    assert!(matches!(scan, Err(FindError::Block(BlockError::Damaged(_)))), "{scan:?}");
}
