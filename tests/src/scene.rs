//! Spans in places of all kinds, some of them twice, with the oracle that knows them; and questions about them.

use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use proptest::prelude::*;
use proptest::sample::select;
use siltstone_ask::Window;
use siltstone_format::id::TraceId;
use siltstone_format::span::Span;
use siltstone_querier::rank::Order;
use siltstone_testkit::oracle::{self, CanonicalSpan, Oracle, TimeWindow, canonical_spans};

use crate::decode::request_spans;
use crate::described::{Built, Described, described};
use crate::encode::encode_request;
use crate::query_world::QueryWorld;

/// Where a span is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Live,
    Flush(usize),
    Merged(usize),
}

/// Where spans may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    LiveOnly,
    FlushesOnly,
    MergedOnly,
    Mixed,
}

pub const LAYOUTS: [Layout; 4] = [Layout::LiveOnly, Layout::FlushesOnly, Layout::MergedOnly, Layout::Mixed];
const FEW: Numbers = Numbers { flushes: 3, merges: 2 };

/// How many places of each kind there are.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    pub flushes: usize,
    pub merges: usize,
}

impl Layout {
    pub fn places(self, numbers: Numbers) -> Vec<Place> {
        let flushes = (0..numbers.flushes).map(Place::Flush);
        let merged = (0..numbers.merges).map(Place::Merged);
        match self {
            Self::LiveOnly => vec![Place::Live],
            Self::FlushesOnly => flushes.collect(),
            Self::MergedOnly => merged.collect(),
            Self::Mixed => [Place::Live].into_iter().chain(flushes).chain(merged).collect(),
        }
    }
}

/// All spans, some of them twice, each in its place.
pub struct Scene {
    pub world: QueryWorld,
    pub oracle: Oracle,
    pub spans: Vec<Span>,
    /// Traces that lie in more than three blocks.
    pub scattered: Vec<TraceId>,
}

fn scattered(placed: &[(Place, Vec<Span>)]) -> Vec<TraceId> {
    let mut blocks = BTreeMap::<TraceId, BTreeSet<Place>>::new();
    for (place, spans) in placed.iter().filter(|(place, _)| *place != Place::Live) {
        for span in spans {
            blocks.entry(span.trace_id).or_default().insert(*place);
        }
    }
    blocks.into_iter().filter(|(_, places)| places.len() > 3).map(|(trace, _)| trace).collect()
}

impl Scene {
    /// `dice` decides for each span where it goes, and whether it comes once more.
    pub async fn of(
        requests: &[ExportTraceServiceRequest],
        layout: Layout,
        most_spans_of_a_block: usize,
        dice: impl FnMut(usize) -> usize,
    ) -> Self {
        Self::among(requests, &layout.places(FEW), most_spans_of_a_block, dice).await
    }

    pub async fn among(
        requests: &[ExportTraceServiceRequest],
        places: &[Place],
        most_spans_of_a_block: usize,
        mut dice: impl FnMut(usize) -> usize,
    ) -> Self {
        let world = QueryWorld::new().await;
        let spans: Vec<Span> = requests.iter().flat_map(request_spans).collect();
        let mut placed: Vec<(Place, Vec<Span>)> = places.iter().map(|place| (*place, Vec::new())).collect();
        for span in &spans {
            for _ in 0..1 + usize::from(dice(8) == 0) {
                placed[dice(places.len())].1.push(span.clone());
            }
        }
        let scattered = scattered(&placed);
        for (_, spans) in placed.iter().filter(|(place, _)| matches!(place, Place::Merged(_))) {
            // Of several flushes each.
            let half = spans.len() / 2;
            world.flush(&spans[..half]).await;
            world.flush(&spans[half..]).await;
            world.merge(most_spans_of_a_block).await;
        }
        for (place, spans) in placed {
            match place {
                Place::Merged(_) => {}
                Place::Live => world.live.accept(spans),
                Place::Flush(_) => world.flush(&spans).await,
            }
        }
        let mut oracle = Oracle::default();
        requests.iter().for_each(|request| oracle.accept(request));
        Self { world, oracle, spans, scattered }
    }

    /// Deletes the trace of a span: no answer has it any more.
    pub async fn delete(&mut self, trace: TraceId) {
        self.world.delete(trace).await;
        self.oracle.forget(&trace.0);
        self.spans.retain(|span| span.trace_id != trace);
    }
}

/// What is asked of find traces and find spans.
#[derive(Clone, Debug)]
pub struct Asked {
    pub described: Described,
    pub order: Order,
    /// Positions among the starts of all spans.
    window: Option<(prop::sample::Index, prop::sample::Index)>,
    pub limit: usize,
}

pub fn asked() -> impl Strategy<Value = Asked> {
    let order = select(vec![Order::Newest, Order::Oldest, Order::Longest]);
    let window = proptest::option::of(any::<(prop::sample::Index, prop::sample::Index)>());
    (described(), order, window, 1..6_usize).prop_map(|(described, order, window, limit)| Asked {
        described,
        order,
        window,
        limit,
    })
}

impl Asked {
    pub fn window(&self, spans: &[Span]) -> Option<Window> {
        let (one, other) = self.window?;
        let (one, other) = (one.get(spans).start_unix_nano, other.get(spans).start_unix_nano);
        Some(Window { start: one.min(other), end: one.max(other) + 1 })
    }

    pub fn of_oracle(&self, built: &Built, window: Option<Window>, limit: usize) -> oracle::Search {
        oracle::Search {
            filter: built.oracle.clone(),
            window: window
                .map(|window| TimeWindow { start_unix_nanos: window.start, end_unix_nanos: window.end }),
            order: match self.order {
                Order::Newest => oracle::Order::Newest,
                Order::Oldest => oracle::Order::Oldest,
                Order::Longest => oracle::Order::Longest,
            },
            limit,
        }
    }
}

pub fn canonical(spans: &[Span]) -> Vec<CanonicalSpan> {
    let mut spans = canonical_spans(&encode_request(spans));
    spans.sort();
    spans
}
