//! The interleavings that break simpler hand-overs, each with its repair and without.

use siltstone_catalog::mark::{MarkKind, MarkTarget};
use siltstone_format::id::TraceId;

use super::*;
use crate::planted::Planting;
use crate::test_world::{Ingester, World, everything, mark, spans};

/// How often each span is seen.
type Seen = BTreeMap<u64, usize>;

/// With all repairs each of three spans is seen once; without one of these, not.
fn must_matter(interleaving: impl Fn() -> Result<Seen, ViewError>, bugs: &[Bug]) {
    let once: Seen = [(0, 1), (1, 1), (2, 1)].into();
    assert_eq!(interleaving().unwrap(), once);
    for bug in bugs {
        let _planting = Planting::of(Some(*bug));
        let seen = interleaving();
        println!("{bug:?}: {seen:?}");
        assert!(!seen.is_ok_and(|seen| seen == once), "{bug:?} makes no difference");
    }
}

/// A reader's process that has a snapshot already, from before anything was committed.
fn reader(world: &World) -> Arc<Catalog> {
    let reader = world.process();
    world.finish(reader.snapshot(&Cover::default())).unwrap();
    world.time.advance(Duration::from_millis(1));
    reader
}

#[test]
fn should_see_a_span_once_wherever_it_is() {
    let world = World::new();
    let (reader, ingester) = (reader(&world), Ingester::new(&world));
    let look = || {
        let view = world.open(&reader, &[&ingester], &everything()).unwrap();
        assert!(view.partial.is_empty());
        (view.live.len(), world.seen(&reader, &view))
    };
    let once: Seen = [(0, 1), (1, 1), (2, 1)].into();
    ingester.accept(spans(0..3));
    assert_eq!(look(), (1, once.clone()));
    ingester.flush();
    assert_eq!(look(), (0, once.clone()));
    world.fold_merge_and_sweep(&ingester.catalog);
    world.time.advance(Duration::from_secs(3));
    assert_eq!(look(), (0, once));
}

/// It leaves the ingester's memory just before the question comes: what it says of itself tells the reader
/// that its snapshot is too old.
#[test]
fn should_not_miss_what_was_committed_since_the_snapshot() {
    let interleaving = || {
        let world = World::new();
        let (reader, ingester) = (reader(&world), Ingester::new(&world));
        ingester.accept(spans(0..3));
        ingester.before_answer(|this| this.flush());
        let view = world.open(&reader, &[&ingester], &everything())?;
        Ok(world.seen(&reader, &view))
    };
    must_matter(interleaving, &[Bug::LiveLast, Bug::NoCover]);
}

/// It is committed between the live answer and the snapshot.
#[test]
fn should_drop_a_segment_that_was_committed_after_the_answer() {
    let interleaving = || {
        let world = World::new();
        // It has no snapshot that would do.
        let (reader, ingester) = (world.process(), Ingester::new(&world));
        ingester.accept(spans(0..3));
        ingester.after_answer(|this| this.flush());
        let view = world.open(&reader, &[&ingester], &everything())?;
        assert!(!view.snapshot.entries.is_empty());
        Ok(world.seen(&reader, &view))
    };
    must_matter(interleaving, &[Bug::DropNothing]);
}

/// The same, and it is folded, merged away and swept from the log before the snapshot.
#[test]
fn should_drop_a_segment_whose_flush_was_merged_away() {
    let interleaving = || {
        let world = World::new();
        let (reader, ingester) = (world.process(), Ingester::new(&world));
        ingester.accept(spans(0..3));
        ingester.after_answer(|this| {
            this.flush();
            this.world.fold_merge_and_sweep(&this.catalog);
        });
        let view = world.open(&reader, &[&ingester], &everything())?;
        assert!(view.snapshot.entries.is_empty());
        Ok(world.seen(&reader, &view))
    };
    must_matter(interleaving, &[Bug::DropByEntry]);
}

/// It is folded and swept from the log, and its block stands as it was.
#[test]
fn should_drop_a_segment_whose_entry_was_swept() {
    let interleaving = || {
        let world = World::new();
        let (reader, ingester) = (world.process(), Ingester::new(&world));
        ingester.accept(spans(0..3));
        ingester.after_answer(|this| {
            this.flush();
            this.world.finish(this.catalog.fold()).unwrap();
            this.world.sweep(&this.catalog);
        });
        let view = world.open(&reader, &[&ingester], &everything())?;
        assert!(view.snapshot.entries.is_empty());
        Ok(world.seen(&reader, &view))
    };
    must_matter(interleaving, &[Bug::DropByEntry]);
}

/// Its writer is fenced after the answer, and the same spans are committed under another name.
#[test]
fn should_ask_a_fenced_writer_again() {
    let interleaving = || {
        let world = World::new();
        let (reader, ingester) = (world.process(), Ingester::new(&world));
        ingester.accept(spans(0..3));
        // Longer than blocks that nobody refers to are waited for.
        world.time.advance(Duration::from_secs(40 * 3600));
        let trace = MarkTarget::Trace(TraceId([9; 16]));
        world.finish(mark(&ingester.catalog, MarkKind::Archive, trace));
        ingester.after_answer(|this| {
            this.world.sweep(&this.catalog);
            this.flush();
        });
        let view = world.open(&reader, &[&ingester], &everything())?;
        Ok(world.seen(&reader, &view))
    };
    must_matter(interleaving, &[Bug::NoSecondLive]);
}

/// It commits all and goes away before it is asked.
#[test]
fn should_look_afresh_when_an_ingester_has_vanished() {
    let interleaving = || {
        let world = World::new();
        let (reader, ingester) = (reader(&world), Ingester::new(&world));
        ingester.accept(spans(0..3));
        ingester.before_answer(|this| {
            this.flush();
            this.go_down();
        });
        let view = world.open(&reader, &[&ingester], &everything())?;
        assert!(matches!(&view.partial[..], [Gap::Ingester { .. }]), "{:?}", view.partial);
        Ok(world.seen(&reader, &view))
    };
    must_matter(interleaving, &[Bug::NoFreshLook]);
}

/// An ingester's log, read without it: it does not say what is committed.
struct Log {
    of: Arc<Ingester>,
    fresh: bool,
}

#[async_trait::async_trait]
impl LiveSource for Log {
    fn name(&self) -> &str {
        "log"
    }

    async fn ask(&self, question: &Question) -> Result<Answer, LiveError> {
        let answer = self.of.ask(question).await?;
        Ok(Answer { segments: answer.segments, fresh: self.fresh, ..Answer::default() })
    }
}

/// All is committed, and gone from the log, before it is read.
#[test]
fn should_look_afresh_after_an_answer_that_wants_it() {
    for fresh in [true, false] {
        let world = World::new();
        let (reader, ingester) = (reader(&world), Ingester::new(&world));
        ingester.accept(spans(0..3));
        ingester.before_answer(Ingester::flush);
        let sources: [Arc<dyn LiveSource>; 1] = [Arc::new(Log { of: ingester, fresh })];
        let view = world.finish(View::open(&reader, &*world.clock, &sources, &everything())).unwrap();
        let seen = world.seen(&reader, &view);
        let expected: Seen = if fresh { [(0, 1), (1, 1), (2, 1)].into() } else { Seen::new() };
        assert_eq!(seen, expected, "fresh: {fresh}");
    }
}

#[test]
fn should_name_an_ingester_that_does_not_answer_and_go_on_with_the_others() {
    let world = World::new();
    let (reader, alive, hung) = (reader(&world), Ingester::new(&world), Ingester::new(&world));
    alive.accept(spans(0..3));
    hung.hang();
    let view = world.open(&reader, &[&hung, &alive], &everything()).unwrap();
    assert_eq!(world.seen(&reader, &view).len(), 3);
    let gaps: Vec<String> = view.partial.iter().map(Gap::to_string).collect();
    assert!(gaps.len() == 1 && gaps[0].contains("no answer within 15s"), "{gaps:?}");
}

#[test]
fn should_give_up_on_a_writer_that_stays_fenced() {
    let world = World::new();
    let (reader, ingester) = (world.process(), Ingester::new(&world));
    ingester.accept(spans(0..3));
    world.time.advance(Duration::from_secs(40 * 3600));
    // Another process's entry under the same name is refused; the ingester does not learn of it.
    let twin = ingester.twin();
    world.finish(mark(&ingester.catalog, MarkKind::Archive, MarkTarget::Trace(TraceId([9; 16]))));
    world.sweep(&ingester.catalog);
    twin.flush();
    let error = world.open(&reader, &[&ingester], &everything()).unwrap_err();
    assert!(matches!(error, ViewError::Stale { .. }), "{error}");
    assert_eq!(ingester.asked(), MOST_ASKS);
}

#[test]
fn should_take_a_segment_that_two_sources_offer_once() {
    let world = World::new();
    let (reader, ingester) = (reader(&world), Ingester::new(&world));
    ingester.accept(spans(0..3));
    let view = world.open(&reader, &[&ingester, &ingester], &everything()).unwrap();
    assert_eq!(world.seen(&reader, &view), [(0, 1), (1, 1), (2, 1)].into());
}

#[test]
fn should_be_a_task_that_any_thread_can_run() {
    fn is_send<T: Send>(_: &T) {}
    let world = World::new();
    let reader = world.process();
    let question = everything();
    let opening = View::open(&reader, &*world.clock, &[], &question);
    is_send(&opening);
    let view = world.finish(opening).unwrap();
    is_send(&crate::find::find_traces(&reader, &*world.clock, &view, &[]));
    is_send(&crate::find::scan_all(&reader, &*world.clock, &view));
}
