//! The plain reader: whole traces by their ids, and all spans of a tenant. Exact before fast: it decodes all
//! that it finds into spans and collapses same ones.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, stream};
use siltstone_ask::Window;
use siltstone_catalog::Catalog;
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::groups::Wanted as WantedBlocks;
use siltstone_catalog::snapshot::{Missing, SnapshotError};
use siltstone_catalog::time::Clock;
use siltstone_format::filter::split_block::FilterKey;
use siltstone_format::id::TraceId;
use siltstone_format::span::Span;
use siltstone_format::value::ValueError;
use siltstone_live::question::Wanted;

use crate::block::{BlockError, read_block};
use crate::gap::Gap;
use crate::hidden::{Hidden, HiddenHere};
use crate::traces::once_in_order;
use crate::view::View;

/// Blocks that are read at the same time.
const PARALLEL_BLOCKS: usize = 8;

/// Spans, each once, ordered by trace, start, id and content.
#[derive(Debug, Default)]
pub struct Found {
    pub spans: Vec<Span>,
    /// What was not to be had beside what [`View::partial`] names.
    pub missing: Vec<Missing>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    #[error(transparent)]
    Snapshot(Box<SnapshotError>),
    #[error(transparent)]
    Block(#[from] BlockError),
    #[error("a live span holds what is no value: {0}")]
    Live(#[from] ValueError),
    #[error("the view was opened with another question, so live spans may be missing")]
    NotAsked,
    #[error("reading took so long that the snapshot expired: open a new view")]
    Expired,
}

/// All spans of some traces.
pub async fn find_traces(
    catalog: &Catalog,
    clock: &dyn Clock,
    view: &View,
    traces: &[TraceId],
) -> Result<Found, FindError> {
    let traces: BTreeSet<TraceId> = traces.iter().copied().collect();
    let asked = match &view.question.wanted {
        Wanted::Traces(asked) => traces.iter().all(|trace| asked.contains(trace)),
        wanted => is_everything(wanted),
    };
    if !asked {
        return Err(FindError::NotAsked);
    }
    let all_of_any = [traces.iter().map(FilterKey::of_trace).collect()];
    let wanted = WantedBlocks::traces(&all_of_any);
    let found = catalog.blocks_that_may_hold(&view.snapshot, &view.question.tenant, wanted).await;
    let found = found.map_err(|error| late_or(error.into(), clock, view))?;
    let blocks = found.holding.into_iter().chain(found.unasked).collect();
    let hidden = Hidden::of(view, &found.deleted);
    let reading = Reading { catalog, clock, view, traces: Some(traces), hidden };
    reading.finish(blocks, found.missing).await
}

/// All spans of the view's tenant.
pub async fn scan_all(catalog: &Catalog, clock: &dyn Clock, view: &View) -> Result<Found, FindError> {
    if !is_everything(&view.question.wanted) {
        return Err(FindError::NotAsked);
    }
    let found = catalog.blocks(&view.snapshot, &view.question.tenant, 0, u64::MAX).await;
    let found = found.map_err(|error| late_or(error.into(), clock, view))?;
    let hidden = Hidden::of(view, &found.deleted);
    let reading = Reading { catalog, clock, view, traces: None, hidden };
    reading.finish(found.blocks, found.missing).await
}

impl From<SnapshotError> for FindError {
    fn from(error: SnapshotError) -> Self {
        Self::Snapshot(Box::new(error))
    }
}

impl Found {
    /// Everything that this answer may lack.
    pub fn gaps<'a>(&'a self, view: &'a View) -> Vec<String> {
        let missing = self.missing.iter().map(|missing| Gap::Page(missing.clone()).to_string());
        view.partial.iter().map(Gap::to_string).chain(missing).collect()
    }
}

fn is_everything(wanted: &Wanted) -> bool {
    matches!(wanted, Wanted::Matching { filter: None, window } if *window == Window::ALL)
}

/// What is gone after its time is no broken promise.
fn late_or(error: FindError, clock: &dyn Clock, view: &View) -> FindError {
    let is_gone = match &error {
        FindError::Snapshot(error) => matches!(**error, SnapshotError::Gone { .. }),
        error => matches!(error, FindError::Block(BlockError::Gone { .. })),
    };
    if is_gone && clock.elapsed() > view.snapshot.expires() { FindError::Expired } else { error }
}

struct Reading<'a> {
    catalog: &'a Catalog,
    clock: &'a dyn Clock,
    view: &'a View,
    /// None: all.
    traces: Option<BTreeSet<TraceId>>,
    hidden: Hidden,
}

impl Reading<'_> {
    async fn finish(self, blocks: Vec<BlockEntry>, missing: Vec<Missing>) -> Result<Found, FindError> {
        let mut spans = self.live()?;
        let reads: Vec<_> = blocks.iter().map(|block| self.block(block)).collect();
        let mut read = stream::iter(reads).buffered(PARALLEL_BLOCKS);
        while let Some(of_block) = read.try_next().await? {
            spans.extend(of_block);
        }
        drop(read);
        if self.clock.elapsed() > self.view.snapshot.expires() {
            return Err(FindError::Expired);
        }
        Ok(Found { spans: once_in_order(spans), missing })
    }

    fn live(&self) -> Result<Vec<Span>, FindError> {
        let mut seen = Vec::new();
        for segment in &self.view.live {
            let hidden = self.hidden.at(segment.known_deletions);
            let spans = segment.spans.spans()?.into_iter();
            seen.extend(spans.filter(|span| self.is_seen(span, &hidden)));
        }
        Ok(seen)
    }

    async fn block(&self, block: &BlockEntry) -> Result<Vec<Span>, FindError> {
        let hidden = self.hidden.at(block.clean_through);
        let read = read_block(&**self.catalog.bucket().objects(), block, self.traces.as_ref()).await;
        let mut spans = read.map_err(|error| late_or(error.into(), self.clock, self.view))?;
        spans.retain(|span| self.is_seen(span, &hidden));
        Ok(spans)
    }

    fn is_seen(&self, span: &Span, hidden: &HiddenHere) -> bool {
        self.traces.as_ref().is_none_or(|traces| traces.contains(&span.trace_id))
            && !hidden.hides(&span.trace_id, span.start_unix_nano)
    }
}

#[cfg(test)]
mod tests;
