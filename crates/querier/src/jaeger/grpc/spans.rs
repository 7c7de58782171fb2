//! Answers with whole traces: messages as pieces of them come.
//!
//! The first piece is waited for before the call is answered, so that most errors come in the place of an answer.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use siltstone_format::span::Span;
use tonic::Status;

use super::call::Messages;
use super::status::of_query;
use crate::jaeger::adjust::{Piece, Reading, Traces, warn};
use crate::stream::TraceStream;

/// Writes spans of one trace as messages, never an empty one.
pub(crate) type Encode = fn(&[Span]) -> Vec<Bytes>;

/// Traces on their way.
pub(crate) struct Sending {
    traces: Traces,
    first: Option<Piece>,
}

impl Sending {
    pub(crate) async fn new(traces: TraceStream, reading: Reading) -> Result<Self, Status> {
        let mut sending = Self { traces: Traces::new(traces, reading), first: None };
        sending.first = sending.next().await?;
        Ok(sending)
    }

    /// There is no trace.
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(crate) fn gaps(&self) -> Vec<String> {
        self.traces.gaps()
    }

    pub(crate) async fn next(&mut self) -> Result<Option<Piece>, Status> {
        if let Some(piece) = self.first.take() {
            return Ok(Some(piece));
        }
        let mut next = self.traces.next().await.map_err(|error| of_query(&error))?;
        if let Some(piece) = &mut next
            && let Some(first) = piece.spans.first_mut()
        {
            // There is no other place for what is said of a trace.
            piece.warnings.drain(..).for_each(|warning| warn(first, warning));
        }
        Ok(next)
    }

    pub(crate) fn messages(self, encode: Encode) -> Messages {
        let gaps = self.gaps();
        let pieces = stream::try_unfold(self, async |mut sending| {
            Ok::<_, Status>(sending.next().await?.map(|piece| (piece, sending)))
        });
        let encoded = pieces.map_ok(move |piece| stream::iter(encode(&piece.spans).into_iter().map(Ok)));
        Messages { stream: encoded.try_flatten().boxed(), gaps }
    }
}
