//! Answers with whole traces: messages as pieces of them come.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use siltstone_format::id::TraceId;
use siltstone_format::span::Span;

use super::call::Messages;
use super::model::chunks;
use super::status::of_query;
use crate::jaeger::adjust::{Piece, warn};
use crate::jaeger::origins::WrittenOrigins;
use crate::jaeger::otlp::traces_data;
use crate::jaeger::written::{WriteTrace, Written};

/// Spans as messages `TracesData`.
pub(crate) struct AsOtlp;

impl WriteTrace for AsOtlp {
    type Item = Bytes;

    fn begin(_: TraceId) -> Self {
        Self
    }

    fn piece(&mut self, piece: Piece, _: &mut WrittenOrigins, out: &mut Vec<Bytes>) {
        out.extend(traces_data(&warned(piece)));
    }
}

/// Spans as the older API has them.
pub(crate) struct AsModel;

impl WriteTrace for AsModel {
    type Item = Bytes;

    fn begin(_: TraceId) -> Self {
        Self
    }

    fn piece(&mut self, piece: Piece, _: &mut WrittenOrigins, out: &mut Vec<Bytes>) {
        out.extend(chunks(&warned(piece)));
    }
}

fn warned(mut piece: Piece) -> Vec<Span> {
    if let Some(first) = piece.spans.first_mut() {
        // There is no other place for what is said of a trace.
        piece.warnings.drain(..).for_each(|warning| warn(first, warning));
    }
    piece.spans
}

pub(crate) fn messages<W: WriteTrace<Item = Bytes>>(traces: Written<W>) -> Messages {
    let gaps = traces.gaps();
    Messages { stream: traces.items().map_err(|error| of_query(&error)).boxed(), gaps }
}
