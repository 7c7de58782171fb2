//! Whole traces on their way to a client: adjusted, and written as it reads them, where that holds up no socket.
//!
//! ```text
//! spans as they are read ──▶ some, adjusted and written on one thread ───▶ in their order ──▶ a body, or messages
//!                        └─▶ the next ones on another, and a few more ─▶
//! ```
//!
//! The first of what is written is waited for before the answer begins, so that most errors come in its place.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use siltstone_format::id::TraceId;
use tokio::sync::oneshot;

use super::adjust::{Adjuster, Piece, Reading};
use super::origins::WrittenOrigins;
use crate::querier::{QueryError, Turn};
use crate::stream::{TracePiece, TraceStream};

/// Chunks that are written at the same time.
const AT_ONCE: usize = 4;

/// Writes one trace.
pub(crate) trait WriteTrace: Send + 'static {
    type Item: Send + 'static;
    /// So much is written of a span, about: room is made for it at once.
    const OF_A_SPAN: usize = 0;

    fn begin(trace: TraceId) -> Self;

    /// Pieces come one after the other. Of a whole trace something is written in any case. `origins` are of this
    /// writer, for any of its traces.
    fn piece(&mut self, piece: Piece, origins: &mut WrittenOrigins, out: &mut Vec<Self::Item>);
}

/// What was written of some traces.
pub(crate) struct Chunk<I> {
    /// At least one.
    pub(crate) items: Vec<I>,
    /// Those that begin in it.
    pub(crate) traces: Vec<TraceId>,
}

/// Traces as they are written. Whoever drops it stops all work for it.
pub(crate) struct Written<W: WriteTrace> {
    first: Option<Chunk<W::Item>>,
    rest: BoxStream<'static, Result<Chunk<W::Item>, QueryError>>,
    gaps: Gaps,
}

type Gaps = Arc<Mutex<Vec<String>>>;

impl<W: WriteTrace> Written<W> {
    pub(crate) async fn begin(traces: TraceStream, reading: Reading) -> Result<Self, QueryError> {
        let gaps = Gaps::default();
        let mut rest = chunks::<W>(traces, reading, Arc::clone(&gaps)).boxed();
        let first = rest.try_next().await?;
        Ok(Self { first, rest, gaps })
    }

    /// There is no trace.
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// None: these were all.
    pub(crate) async fn next(&mut self) -> Result<Option<Chunk<W::Item>>, QueryError> {
        match self.first.take() {
            Some(first) => Ok(Some(first)),
            None => self.rest.try_next().await,
        }
    }

    pub(crate) fn items(self) -> impl Stream<Item = Result<W::Item, QueryError>> {
        let first = stream::iter(self.first.map(Ok));
        first.chain(self.rest).map_ok(|chunk| stream::iter(chunk.items).map(Ok)).try_flatten()
    }

    /// What the answer lacks, as far as it is known by now.
    pub(crate) fn gaps(&self) -> Vec<String> {
        locked(&self.gaps).clone()
    }
}

fn locked<T>(list: &Mutex<Vec<T>>) -> MutexGuard<'_, Vec<T>> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Chunks in the order of their traces, several in work at a time.
fn chunks<W: WriteTrace>(
    traces: TraceStream,
    reading: Reading,
    gaps: Gaps,
) -> impl Stream<Item = Result<Chunk<W::Item>, QueryError>> {
    let querier = Arc::clone(traces.querier());
    // Of each chunk that is written at the time.
    let kept = Arc::new(Mutex::new(Vec::<WrittenOrigins>::new()));
    // Of a trace of which a chunk does not have the end, its pen comes when that is written.
    let mut unfinished: Option<oneshot::Receiver<Pen<W>>> = None;
    let write = move |(pieces, turn): (Vec<TracePiece>, Arc<Turn>)| {
        let before = unfinished.take();
        let hand_on = pieces.last().is_some_and(|piece| !piece.is_last).then(|| {
            let (hand_on, next) = oneshot::channel();
            unfinished = Some(next);
            hand_on
        });
        let (querier, kept) = (Arc::clone(&querier), Arc::clone(&kept));
        async move {
            let mut pen = match before {
                Some(pen) => pen.await.map_err(|_| QueryError::NotDone)?,
                None => Pen::new(reading),
            };
            let write = move || {
                let mut origins = locked(&kept).pop().unwrap_or_default();
                let chunk = pen.write(pieces, &mut origins);
                locked(&kept).push(origins);
                (chunk, pen)
            };
            let (chunk, pen) = querier.work(write).await?;
            drop(turn);
            if let Some(hand_on) = hand_on {
                // Nobody reads on if this fails.
                let _ = hand_on.send(pen);
            }
            Ok(chunk)
        }
    };
    let written = pieces(traces, gaps).map_ok(write).try_buffered(AT_ONCE);
    // Nothing is written of a trace that is still to be looked at as a whole.
    written.try_filter(|chunk| std::future::ready(!chunk.items.is_empty()))
}

/// Pieces of a chunk each, and the turn of their query, which lasts until the last of them is written.
fn pieces(
    traces: TraceStream,
    gaps: Gaps,
) -> impl Stream<Item = Result<(Vec<TracePiece>, Arc<Turn>), QueryError>> {
    stream::try_unfold((traces, gaps), async |(mut traces, gaps)| {
        let next = traces.next_pieces().await?;
        *locked(&gaps) = traces.gaps().to_vec();
        Ok(next.map(|pieces| ((pieces, Arc::clone(traces.turn())), (traces, gaps))))
    })
}

/// Adjusts and writes traces, one after the other.
struct Pen<W> {
    adjuster: Adjuster,
    /// The trace of which something was written, but not its end.
    open: Option<W>,
}

impl<W: WriteTrace> Pen<W> {
    fn new(reading: Reading) -> Self {
        Self { adjuster: Adjuster::new(reading), open: None }
    }

    fn write(&mut self, pieces: Vec<TracePiece>, origins: &mut WrittenOrigins) -> Chunk<W::Item> {
        let spans: usize = pieces.iter().map(|piece| piece.spans.len()).sum();
        let mut chunk = Chunk { items: Vec::with_capacity(spans * W::OF_A_SPAN), traces: Vec::new() };
        for piece in pieces.into_iter().flat_map(|piece| self.adjuster.add(piece)) {
            let mut trace = self.open.take().unwrap_or_else(|| {
                chunk.traces.push(piece.trace);
                W::begin(piece.trace)
            });
            let is_last = piece.is_last;
            trace.piece(piece, origins, &mut chunk.items);
            self.open = (!is_last).then_some(trace);
        }
        chunk
    }
}

#[cfg(test)]
mod tests;
