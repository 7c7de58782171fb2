//! Blocks as flushes and merges write them, and one step of a merger.

use std::collections::BTreeMap;

use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use siltstone_ask::collapse;
use siltstone_catalog::Catalog;
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::block_page::Section;
use siltstone_catalog::change::Merge;
use siltstone_catalog::publish::PublishError;
use siltstone_catalog::snapshot::Cover;
use siltstone_format::block::identity::BlockIdentity;
use siltstone_format::block::summary::BlockSummary;
use siltstone_format::block::write::encode_block;
use siltstone_format::columns::SpanColumns;
use siltstone_format::day::Day;
use siltstone_format::id::BlockId;
use siltstone_format::path::ObjectKey;
use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;

use crate::blocks::Block;

/// What a merge did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Rows that said what another one said.
    pub dropped: usize,
}

/// Folds the log, and merges a tenant's inbox into blocks of at most so many spans, a trace going whole to the day of
/// its earliest span. None if there was nothing to do, or somebody was faster.
pub async fn merge_the_inbox(catalog: &Catalog, tenant: &Tenant, most_spans: usize) -> Option<Merged> {
    catalog.fold().await.expect("folds");
    let fresh = Cover { fresh: true, ..Cover::default() };
    let snapshot = catalog.snapshot(&fresh).await.expect("reads");
    let found = catalog.blocks(&snapshot, tenant, 0, u64::MAX).await.expect("lists");
    // What was committed since is in no inbox yet.
    let in_the_log =
        |id| snapshot.entries.iter().flat_map(|entry| &entry.blocks).any(|known| known.id() == id);
    let in_the_inbox = |block: &&BlockEntry| block.disjoint_set.is_none() && !in_the_log(block.id());
    let inputs: Vec<&BlockEntry> = found.blocks.iter().filter(in_the_inbox).collect();
    if inputs.is_empty() {
        return None;
    }
    let mut spans = Vec::new();
    for input in &inputs {
        spans.extend(read_block(catalog, &input.summary).await);
    }
    let rows = spans.len();
    let days = by_day(spans, most_spans);
    let kept: usize = days.values().flatten().map(Vec::len).sum();
    let ids: Vec<BlockId> = inputs.iter().map(|input| input.id()).collect();
    let set = catalog.next_id();
    let mut outputs = Vec::new();
    for (day, blocks) in days {
        for spans in blocks {
            let summary = write_block(catalog, tenant, &spans, ids.clone()).await;
            outputs.push((day, BlockEntry::merged(summary, found.clean_through, set)));
        }
    }
    let merge = Merge { tenant: tenant.clone(), inputs: vec![(Section::Inbox, ids)], outputs };
    match catalog.publish(&merge).await {
        Ok(_) => Some(Merged { dropped: rows - kept }),
        Err(PublishError::Refused(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Whole traces, each span once, by the day of their earliest span, in parts of at most so many spans.
fn by_day(spans: Vec<Span>, most_spans: usize) -> BTreeMap<Day, Vec<Vec<Span>>> {
    let mut traces = BTreeMap::<_, Vec<Span>>::new();
    for span in spans {
        traces.entry(span.trace_id).or_default().push(span);
    }
    let mut days = BTreeMap::<Day, Vec<Vec<Span>>>::new();
    for spans in traces.into_values() {
        let spans = collapse(spans);
        let first = spans.iter().map(|span| span.start_unix_nano).min().unwrap_or(0);
        let blocks = days.entry(Day::of_unix_nano(first)).or_default();
        match blocks.last_mut() {
            Some(block) if block.len() + spans.len() <= most_spans => block.extend(spans),
            _ => blocks.push(spans),
        }
    }
    days
}

/// Stores a block that nothing refers to yet.
pub async fn write_block(
    catalog: &Catalog,
    tenant: &Tenant,
    spans: &[Span],
    inputs: Vec<BlockId>,
) -> BlockSummary {
    let mut columns = SpanColumns::default();
    spans.iter().for_each(|span| columns.push(span).expect("fits"));
    let block = BlockId(catalog.next_id());
    let identity = BlockIdentity { block, tenant: tenant.clone(), inputs };
    let encoded = encode_block(&columns, &identity).expect("encodes");
    for (key, bytes) in
        [(ObjectKey::Spans(block), encoded.spans), (ObjectKey::Origins(block), encoded.origins)]
    {
        let path = Path::from(key.to_string());
        catalog.bucket().objects().put(&path, PutPayload::from(bytes)).await.expect("stores");
    }
    encoded.summary
}

async fn read_block(catalog: &Catalog, summary: &BlockSummary) -> Vec<Span> {
    let get = async |key: ObjectKey| {
        let got = catalog.bucket().objects().get(&Path::from(key.to_string())).await.expect("gets");
        got.bytes().await.expect("gets")
    };
    let id = summary.identity.block;
    let block = Block {
        summary: summary.clone(),
        spans: get(ObjectKey::Spans(id)).await,
        origins: get(ObjectKey::Origins(id)).await,
    };
    block.checked_spans().expect("holds")
}
