//! Chunks are written beside each other, and come as if one pen had written them all.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures::FutureExt;
use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;

use super::*;
use crate::querier::Querier;
use crate::querier::tests::one_at_a_time;
use crate::stream::PIECE_SPANS;
use crate::test_world::{Ingester, World, span_of};

/// Says of each piece how many pieces of its trace came before it, and how many spans it has.
struct Counting {
    trace: TraceId,
    pieces: usize,
}

impl WriteTrace for Counting {
    type Item = (TraceId, usize, usize);

    fn begin(trace: TraceId) -> Self {
        Self { trace, pieces: 0 }
    }

    fn piece(&mut self, piece: Piece, _: &mut WrittenOrigins, out: &mut Vec<Self::Item>) {
        assert_eq!(self.trace, piece.trace);
        out.push((piece.trace, self.pieces, piece.spans.len()));
        self.pieces += 1;
    }
}

/// A querier in whose world these traces have so many spans each, in one block.
fn querier_with(traces: &[usize]) -> (Arc<World>, Arc<Querier>, Vec<TraceId>) {
    let world = World::new();
    let ingester = Ingester::new(&world);
    let traces = (0..).zip(traces);
    let spans: Vec<Span> = traces
        .flat_map(|(trace, count)| (0..*count as u64).map(move |number| span_of(trace, number)))
        .collect();
    let mut ids: Vec<TraceId> = spans.iter().map(|span| span.trace_id).collect();
    ids.dedup();
    ingester.accept(spans);
    ingester.flush();
    let querier = Arc::new(one_at_a_time(&world));
    (world, querier, ids)
}

fn finish<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test)
}

async fn begin<W: WriteTrace>(querier: &Arc<Querier>, ids: &[TraceId], reading: Reading) -> Written<W> {
    let traces = querier.stream_traces(&Tenant::single(), ids).await.unwrap();
    Written::begin(traces, reading).await.unwrap()
}

/// Traces of less than a chunk, of one, and of several, that end in the middle of one.
const SIZES: [usize; 8] = [1, PIECE_SPANS, 3, 3 * PIECE_SPANS + 7, 5, 20 * PIECE_SPANS, PIECE_SPANS + 1, 1];

#[test]
fn should_write_each_trace_with_one_pen_and_in_order() {
    let (_world, querier, ids) = querier_with(&SIZES);
    finish(async {
        for reading in [Reading::Raw, Reading::Adjusted { max_clock_skew: Duration::ZERO }] {
            let mut written = begin::<Counting>(&querier, &ids, reading).await;
            let (mut items, mut begun) = (Vec::new(), Vec::new());
            while let Some(chunk) = written.next().await.unwrap() {
                assert!(!chunk.items.is_empty());
                items.extend(chunk.items);
                begun.extend(chunk.traces);
            }
            assert_eq!(begun, ids);
            let expected = ids.iter().zip(SIZES).flat_map(|(id, spans)| {
                let pieces = spans.div_ceil(PIECE_SPANS);
                let size = move |piece: usize| PIECE_SPANS.min(spans - piece * PIECE_SPANS);
                (0..pieces).map(move |piece| (*id, piece, size(piece)))
            });
            assert_eq!(items, expected.collect::<Vec<_>>(), "{reading:?}");
        }
    });
}

#[test]
fn should_hold_its_turn_until_the_last_is_written() {
    let (_world, querier, ids) = querier_with(&[PIECE_SPANS, PIECE_SPANS]);
    finish(async {
        let tenant = Tenant::single();
        let mut written = begin::<Counting>(&querier, &ids, Reading::Raw).await;
        let mut next = Box::pin(querier.turn(&tenant));
        // All is read when the second chunk is asked for; until it came the query goes on.
        assert!(written.next().await.unwrap().is_some());
        assert!((&mut next).now_or_never().is_none());
        assert!(written.next().await.unwrap().is_some());
        assert!((&mut next).now_or_never().unwrap().is_ok());
        assert!(written.next().await.unwrap().is_none());
    });
}

#[test]
fn should_give_its_turn_back_when_nobody_wants_the_rest() {
    let (_world, querier, ids) = querier_with(&SIZES);
    finish(async {
        let tenant = Tenant::single();
        let mut written = begin::<Counting>(&querier, &ids, Reading::Raw).await;
        assert!(written.next().await.unwrap().is_some());
        let mut next = Box::pin(querier.turn(&tenant));
        assert!((&mut next).now_or_never().is_none());
        drop(written);
        assert!((&mut next).now_or_never().unwrap().is_ok());
    });
}

static WRITTEN: AtomicUsize = AtomicUsize::new(0);

/// Fails at the third piece of all.
struct Failing;

impl WriteTrace for Failing {
    type Item = ();

    fn begin(_: TraceId) -> Self {
        Self
    }

    fn piece(&mut self, _: Piece, _: &mut WrittenOrigins, out: &mut Vec<()>) {
        assert!(WRITTEN.fetch_add(1, SeqCst) < 2, "planted");
        out.push(());
    }
}

#[test]
fn should_end_with_an_error_where_a_pen_breaks() {
    let (_world, querier, ids) = querier_with(&[8 * PIECE_SPANS]);
    finish(async {
        let mut written = begin::<Failing>(&querier, &ids, Reading::Raw).await;
        assert_eq!(written.next().await.unwrap().unwrap().items.len(), 1);
        assert_eq!(written.next().await.unwrap().unwrap().items.len(), 1);
        assert!(matches!(written.next().await, Err(QueryError::NotDone)));
    });
}
