//! The changes that can be published, each with what must hold for it.

use futures::FutureExt;
use futures::future::BoxFuture;
use siltstone_format::day::Day;
use siltstone_format::id::{BlockId, ObjectId, TraceId, WriterId};
use siltstone_format::tenant::Tenant;

use crate::block_entry::BlockEntry;
use crate::block_page::Section;
use crate::deleted::{MAX_PAGE_TRACES, MOST_MARKED};
use crate::draft::Draft;
use crate::mark::{MarkKind, MarkTarget};
use crate::planted::{Bug, planted};
use crate::publish::{Change, ChangeError};
use crate::time::{StoreTime, drawn_at};

/// Folds the log, and nothing else.
pub struct Fold;

impl Change for Fold {
    fn apply<'a>(&'a self, _: &'a mut Draft<'_>) -> BoxFuture<'a, Result<(), ChangeError>> {
        async { Ok(()) }.boxed()
    }
}

/// Puts blocks in the place of others that they were made of.
#[derive(Clone, Debug)]
pub struct Merge {
    pub tenant: Tenant,
    /// The inputs, each section with its blocks. Empty for no section.
    pub inputs: Vec<(Section, Vec<BlockId>)>,
    /// Each output with the day that it belongs to. `clean_through` is that of the root
    /// whose marks were applied.
    pub outputs: Vec<(Day, BlockEntry)>,
}

impl Change for Merge {
    fn apply<'a>(&'a self, draft: &'a mut Draft<'_>) -> BoxFuture<'a, Result<(), ChangeError>> {
        async move {
            let floor = draft.base().floor;
            let named_late = |block: &BlockEntry| drawn_at(block.id().0) >= floor || planted(Bug::NoFence);
            if !self.outputs.iter().all(|(_, block)| named_late(block)) {
                return Err(ChangeError::Refused(
                    "the merge took longer than the grace for orphans, so its outputs may be swept: \
                     merge again"
                        .to_owned(),
                ));
            }
            if self.outputs.iter().any(|(_, block)| draft.base().taken.contains(&block.id())) {
                return Err(ChangeError::Refused(
                    "the catalog was rebuilt while the merge ran, and has decided about its outputs: merge again"
                        .to_owned(),
                ));
            }
            for (section, blocks) in &self.inputs {
                if !draft.retire_blocks(&self.tenant, *section, blocks).await? {
                    return Err(ChangeError::Refused(format!(
                        "a block of tenant {} that was merged is no longer there: somebody else merged or \
                         deleted it",
                        self.tenant
                    )));
                }
            }
            let cut = draft.cut_of(&self.tenant).await?;
            for (day, block) in &self.outputs {
                // The day was given up while the merge ran.
                if cut.is_some_and(|cut| *day < cut) {
                    draft.give_up(block.id());
                    continue;
                }
                let mut block = block.clone();
                if planted(Bug::StaleMarks) {
                    block.clean_through = draft.base().mark_number;
                }
                draft.add(Section::Day(*day), block).await?;
            }
            if planted(Bug::DropMarks) {
                drop_marks_that_all_blocks_know(draft, &self.tenant).await?;
            }
            Ok(())
        }
        .boxed()
    }
}

async fn drop_marks_that_all_blocks_know(draft: &mut Draft<'_>, tenant: &Tenant) -> Result<(), ChangeError> {
    let sections: Vec<Section> =
        draft.tenant_page(tenant).await?.pages.iter().map(|page| page.section).collect();
    let mut known = u64::MAX;
    for section in sections.into_iter().chain([Section::Inbox]) {
        let blocks = draft.blocks(tenant, section).await?;
        known = known.min(blocks.iter().map(|block| block.clean_through).min().unwrap_or(u64::MAX));
    }
    Ok(draft.retain_marks(tenant, |mark| mark.number > known).await?)
}

/// Archives or deletes traces: in force once it is published.
#[derive(Clone, Debug)]
pub struct AddMark {
    pub tenant: Tenant,
    pub kind: MarkKind,
    pub target: MarkTarget,
}

impl Change for AddMark {
    fn apply<'a>(&'a self, draft: &'a mut Draft<'_>) -> BoxFuture<'a, Result<(), ChangeError>> {
        async move {
            // Asked for twice, an archive mark is one: it holds for what comes later too. A deletion does not.
            let page = draft.tenant_page(&self.tenant).await?;
            let is_there = self.kind == MarkKind::Archive
                && page.marks.iter().any(|mark| mark.kind == self.kind && mark.target == self.target);
            if !is_there {
                draft.mark(&self.tenant, self.kind, self.target.clone()).await?;
            }
            Ok(())
        }
        .boxed()
    }
}

/// Deletes traces: in force once it is published. Its record is written before.
#[derive(Clone, Debug)]
pub(crate) struct Delete<'a> {
    pub(crate) tenant: &'a Tenant,
    pub(crate) record: ObjectId,
    pub(crate) at: StoreTime,
    /// Ascending.
    pub(crate) traces: &'a [TraceId],
}

/// Pages of deleted traces of one tenant: of as many large deletions. Smaller ones need none.
const MOST_TRACE_PAGES: usize = if cfg!(test) { 8 } else { 4096 };

impl Change for Delete<'_> {
    fn apply<'a>(&'a self, draft: &'a mut Draft<'_>) -> BoxFuture<'a, Result<(), ChangeError>> {
        async move {
            let pages = draft.tenant_page(self.tenant).await?.trace_pages.len();
            let more = self.traces.len().div_ceil(MAX_PAGE_TRACES);
            if self.traces.len() > MOST_MARKED && pages + more > MOST_TRACE_PAGES {
                return Err(ChangeError::Refused(format!(
                    "the catalog holds {pages} pages of deleted traces of tenant {}, and can hold {MOST_TRACE_PAGES}",
                    self.tenant
                )));
            }
            draft.delete(self.tenant, self.record, self.at, self.traces).await?;
            Ok(())
        }
        .boxed()
    }
}

/// Gives up the days before one: their blocks are retired, and late ones never appear.
#[derive(Clone, Debug)]
pub struct CutDays {
    pub tenant: Tenant,
    pub first_kept: Day,
}

impl Change for CutDays {
    fn apply<'a>(&'a self, draft: &'a mut Draft<'_>) -> BoxFuture<'a, Result<(), ChangeError>> {
        async move { Ok(draft.cut(&self.tenant, self.first_kept).await?) }.boxed()
    }
}

/// Passes over a damaged log entry for good: what it named is lost to the catalog, unless
/// its writer still has it and commits it under another name.
#[derive(Clone, Copy, Debug)]
pub struct Quarantine {
    pub writer: WriterId,
    pub number: u64,
}

impl Change for Quarantine {
    fn apply<'a>(&'a self, draft: &'a mut Draft<'_>) -> BoxFuture<'a, Result<(), ChangeError>> {
        async move {
            let damaged = &draft.base_loaded().accepted.damaged;
            if !damaged.iter().any(|entry| (entry.writer, entry.number) == (self.writer, self.number)) {
                return Err(ChangeError::Refused(format!(
                    "log entry {} of writer {} is not damaged, or not in the log",
                    self.number, self.writer
                )));
            }
            let state = draft.writer_mut(self.writer);
            if state.next != self.number {
                return Err(ChangeError::Refused(format!(
                    "entry {} of writer {} is damaged too: quarantine that one first",
                    state.next, self.writer
                )));
            }
            state.next = self.number.saturating_add(1);
            state.passed_over.push(self.number);
            Ok(())
        }
        .boxed()
    }
}
