//! Blocks as flushes and merges write them, and one step of a merger.

use std::sync::Arc;

use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use siltstone_catalog::Catalog;
use siltstone_catalog::block_page::Section;
use siltstone_catalog::snapshot::Cover;
use siltstone_catalog::time::SystemClock;
use siltstone_compactor::config::CompactorConfig;
use siltstone_compactor::metrics::Metrics;
use siltstone_compactor::plan::Policy;
use siltstone_compactor::service::Compactor;
use siltstone_format::block::identity::BlockIdentity;
use siltstone_format::block::origins::OriginsFile;
use siltstone_format::block::summary::BlockSummary;
use siltstone_format::block::write::encode_block;
use siltstone_format::columns::SpanColumns;
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

/// Folds the log, and merges a tenant's inbox as the compactor does it, in one job and cut by day only, into blocks of
/// about so many spans. None if there was nothing to do, or somebody was faster.
pub async fn merge_the_inbox(catalog: &Arc<Catalog>, tenant: &Tenant, most_spans: usize) -> Option<Merged> {
    catalog.fold().await.expect("folds");
    let fresh = Cover { fresh: true, ..Cover::default() };
    let snapshot = catalog.snapshot(&fresh).await.expect("reads");
    let mut inputs = Vec::new();
    for page in catalog.pages(&snapshot, tenant).await.expect("lists") {
        if page.section == Section::Inbox {
            let blocks = catalog.blocks_of(tenant, &page).await.expect("lists");
            inputs.extend(blocks.blocks.iter().map(|block| (page.section, block.clone())));
        }
    }
    if inputs.is_empty() {
        return None;
    }
    let policy = Policy { target_rows: most_spans as u64, ..Policy::default() };
    let config = CompactorConfig { policy, ..CompactorConfig::default() };
    let clock = Arc::new(SystemClock::new());
    let compactor = Compactor::new(Arc::clone(catalog), clock, config, Arc::new(Metrics::default()));
    match compactor.merge(tenant, inputs, Vec::new()).await {
        Ok(done) => Some(Merged { dropped: done.collapsed as usize }),
        Err(error) if error.is_late() => None,
        Err(error) => panic!("{error}"),
    }
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

/// The spans of a block, of which all must hold.
pub async fn read_block(catalog: &Catalog, summary: &BlockSummary) -> Vec<Span> {
    let get = async |key: ObjectKey| {
        let got = catalog.bucket().objects().get(&Path::from(key.to_string())).await.expect("gets");
        got.bytes().await.expect("gets")
    };
    let id = summary.identity.block;
    let (spans, origins) = (get(ObjectKey::Spans(id)).await, get(ObjectKey::Origins(id)).await);
    let mut summary = summary.clone();
    // Its files alone say what it was made of.
    let (_, said) = OriginsFile::open_unverified("origins", &origins).expect("opens");
    summary.identity.inputs = said.identity.inputs;
    Block { summary, spans, origins }.checked_spans().expect("holds")
}
