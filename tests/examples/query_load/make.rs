//! Generated spans into merged blocks, as a compactor leaves them: of neighbouring times, traces whole but for
//! what comes very late, one set that shares no spans, filters in groups.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::time::Duration;

use object_store::path::Path as Key;
use object_store::{ObjectStoreExt, PutPayload};
use siltstone_catalog::Catalog;
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::change::Merge;
use siltstone_format::block::identity::BlockIdentity;
use siltstone_format::block::write::encode_block;
use siltstone_format::columns::SpanColumns;
use siltstone_format::day::Day;
use siltstone_format::id::{BlockId, TraceId};
use siltstone_format::path::ObjectKey;
use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;
use siltstone_tests::decode::request_spans;
use siltstone_traffic::{Traffic, TrafficConfig};
use ulid::Ulid;

use crate::process::Place;
use crate::truth::{Counting, Truth};
use crate::{Failure, Plan};

/// Spans of blocks that stay open for what comes late. It bounds memory.
const MOST_OPEN_SPANS: usize = 2_000_000;
/// 2026-01-05, a Monday.
const START: u64 = 1_767_571_200_000_000_000;

pub(crate) async fn open_or_make(plan: &Plan) -> Result<Truth, Failure> {
    let path = plan.data.join("truth.json");
    let made_of = format!("{} spans, {} a block, {} a second", plan.spans, plan.block_spans, plan.span_rate);
    if path.exists() {
        let truth = Truth::read(&path)?;
        return match truth.made_of == made_of {
            true => Ok(truth),
            false => Err(format!("{} holds {}, not {made_of}", plan.data.display(), truth.made_of).into()),
        };
    }
    let truth = make(plan, made_of).await?;
    truth.write(Path::new(&path))?;
    Ok(truth)
}

async fn make(plan: &Plan, made_of: String) -> Result<Truth, Failure> {
    std::fs::create_dir_all(&plan.data)?;
    let place = Place::open(&plan.data, Duration::ZERO).await?;
    let catalog = place.catalog()?;
    catalog.init().await?;
    let config = TrafficConfig {
        spans: plan.spans,
        span_rate: plan.span_rate,
        start_unix_nano: START,
        ..TrafficConfig::default()
    };
    let middle = START + (plan.spans as f64 / plan.span_rate / 2.0 * 1e9) as u64;
    let mut counting = Counting::new(plan.spans, middle);
    let mut open = OpenBlocks::new(plan.block_spans);
    let mut written =
        Written { place: &place, catalog: &catalog, outputs: Vec::new(), set: catalog.next_id() };
    for batch in Traffic::new(config) {
        for span in request_spans(&batch.request) {
            counting.add(&span);
            if let Some(full) = open.add(&span)? {
                written.write(&full).await?;
            }
        }
    }
    for rest in open.blocks {
        written.write(&rest).await?;
    }
    let entries: Vec<BlockEntry> = written.outputs.iter().map(|(_, entry)| entry.clone()).collect();
    let tenant = Tenant::single();
    let merge = Merge { tenant: tenant.clone(), inputs: Vec::new(), outputs: written.outputs };
    catalog.publish(&merge).await?;
    while catalog.regroup(&tenant).await?.more {}
    let traces = entries.iter().map(|entry| entry.summary.spans.traces).sum();
    let bytes = entries.iter().map(BlockEntry::bytes).sum();
    counting.finish(made_of, entries.len(), traces, bytes)
}

/// Blocks that may still get spans, the oldest first.
struct OpenBlocks {
    block_spans: usize,
    blocks: VecDeque<SpanColumns>,
    spans: usize,
    /// The block of each trace that is in one of them, counted from the first that there was.
    places: HashMap<TraceId, usize>,
    gone: usize,
}

impl OpenBlocks {
    fn new(block_spans: usize) -> Self {
        Self {
            block_spans,
            blocks: VecDeque::from([SpanColumns::default()]),
            spans: 0,
            places: HashMap::new(),
            gone: 0,
        }
    }

    /// Adds a span to the block of its trace, or to the newest. The oldest block, if there are too many.
    fn add(&mut self, span: &Span) -> Result<Option<SpanColumns>, Failure> {
        let newest = self.gone + self.blocks.len() - 1;
        let place = *self.places.entry(span.trace_id).or_insert(newest);
        self.blocks[place - self.gone].push(span)?;
        self.spans += 1;
        if self.blocks.back().is_some_and(|newest| newest.len() >= self.block_spans) {
            self.blocks.push_back(SpanColumns::default());
        }
        if self.spans < MOST_OPEN_SPANS.max(2 * self.block_spans) {
            return Ok(None);
        }
        let Some(oldest) = self.blocks.pop_front() else { return Ok(None) };
        self.gone += 1;
        self.spans -= oldest.len();
        oldest.trace_ids.iter().for_each(|trace| _ = self.places.remove(trace));
        Ok(Some(oldest))
    }
}

/// Blocks that stand in the store.
struct Written<'a> {
    place: &'a Place,
    catalog: &'a Catalog,
    outputs: Vec<(Day, BlockEntry)>,
    set: Ulid,
}

impl Written<'_> {
    async fn write(&mut self, columns: &SpanColumns) -> Result<(), Failure> {
        if columns.is_empty() {
            return Ok(());
        }
        let block = BlockId(self.catalog.next_id());
        let identity = BlockIdentity { block, tenant: Tenant::single(), inputs: Vec::new() };
        let encoded = encode_block(columns, &identity)?;
        for (key, bytes) in
            [(ObjectKey::Spans(block), encoded.spans), (ObjectKey::Origins(block), encoded.origins)]
        {
            self.place.objects().put(&Key::from(key.to_string()), PutPayload::from(bytes)).await?;
        }
        let day = Day::of_unix_nano(encoded.summary.spans.min_start_unix_nano);
        self.outputs.push((day, BlockEntry::merged(encoded.summary, 0, self.set)));
        Ok(())
    }
}
