//! What goes, and which days are to be decided: most of it is told by the tenant's page alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use siltstone_catalog::Catalog;
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::block_page::Section;
use siltstone_catalog::expire::{Expire, Grounds, Known, MAX_EXPIRED};
use siltstone_catalog::kept::Until;
use siltstone_catalog::mark::{MarkKind, MarkTarget};
use siltstone_catalog::snapshot::{Snapshot, SnapshotError};
use siltstone_catalog::tenant_page::PageRef;
use siltstone_format::day::Day;
use siltstone_format::id::TraceId;
use siltstone_format::tenant::Tenant;

use super::verdicts::Verdicts;
use super::{Hours, Judged, Rules};
use crate::holding::{MOST_ASKED, may_hold};
use crate::planted::{Bug, planted};

/// A tenant that has rules.
pub(crate) struct Ruled {
    pub(crate) tenant: Tenant,
    pub(crate) rules: Rules,
    pub(crate) pages: Vec<PageRef>,
}

/// A block with what a job must know that writes it anew.
pub(crate) type Anew = ((Section, BlockEntry), Judged);

/// Blocks whose time has come.
#[derive(Default)]
pub(crate) struct Due {
    pub(crate) gone: Vec<(Section, BlockEntry)>,
    /// They may hold traces that were archived since it was decided about them.
    pub(crate) anew: Vec<Anew>,
}

impl Ruled {
    /// Days with blocks about which nothing is decided, and that are old enough: the oldest first.
    pub(crate) fn undecided_days(&self, hour: u32, slack_hours: u32) -> BTreeSet<Day> {
        let undecided = self.pages.iter().filter(|page| page.is_undecided(self.rules.reapplied));
        let days = undecided.filter_map(|page| page.section.day());
        let is_over = |until: Until| until.has_passed(hour.saturating_sub(slack_hours));
        days.filter(|day| {
            self.rules.least().until(*day).has_passed(hour) && is_over(Hours::default().until(*day))
        })
        .collect()
    }

    /// Whether a block of a page goes in this hour, or has to.
    pub(crate) fn has_something_due(&self, hour: u32) -> bool {
        self.pages.iter().any(|page| self.may_have_gone(page, hour))
    }

    /// What goes in this hour.
    pub(crate) async fn due(
        &self,
        catalog: &Catalog,
        snapshot: &Snapshot,
        hour: u32,
    ) -> Result<Due, SnapshotError> {
        let mut blocks = Vec::new();
        for page in self.pages.iter().filter(|page| self.may_have_gone(page, hour)) {
            let read = catalog.blocks_of(&self.tenant, page).await?;
            let gone = read.blocks.iter().filter(|block| self.has_gone(block, hour));
            blocks.extend(gone.map(|block| (page.section, block.clone())));
        }
        if blocks.is_empty() {
            return Ok(Due::default());
        }
        let oldest = blocks.iter().filter_map(|(_, block)| block.kept).map(|kept| kept.marks).min();
        let archived = archived_since(catalog, snapshot, &self.tenant, oldest.unwrap_or(0)).await?;
        if archived.is_empty() || planted(Bug::ForgetMarks) {
            return Ok(Due { gone: blocks, anew: Vec::new() });
        }
        let traces: Vec<TraceId> = archived.iter().map(|(_, trace)| *trace).collect();
        let holding = match traces.len() <= MOST_ASKED {
            true => Some(may_hold(catalog, snapshot, &self.tenant, &traces).await?),
            false => None,
        };
        let mut verdicts = Verdicts::of_any(traces.len());
        traces.into_iter().for_each(|trace| verdicts.add(trace, self.rules.of_archived()));
        let (verdicts, newest) = (Arc::new(verdicts), archived.iter().map(|(number, _)| *number).max());
        let mut due = Due::default();
        for block in blocks {
            let may_hold = holding.as_ref().is_none_or(|holding| holding.contains(&block.1.id()));
            let known = block.1.kept.map_or(0, |kept| kept.marks);
            if may_hold && newest.is_some_and(|newest| newest > known) {
                let marks = snapshot.root.mark_number;
                let judged = Judged { marks, ..self.anew(&block, &verdicts, hour, marks) };
                due.anew.push((block, judged));
            } else {
                due.gone.push(block);
            }
        }
        Ok(due)
    }

    fn may_have_gone(&self, page: &PageRef, hour: u32) -> bool {
        page.expires_by(hour) || (planted(Bug::DropUndecided) && page.section != Section::Inbox)
    }

    fn has_gone(&self, block: &BlockEntry, hour: u32) -> bool {
        match self.rules.decided(block.kept) {
            Some(kept) => kept.until.has_passed(hour),
            None => {
                planted(Bug::DropUndecided) && self.rules.least().until(block.last_day()).has_passed(hour)
            }
        }
    }

    /// What is to be known of a block that was decided before: its traces are kept as long as was decided, or longer. Of
    /// the archive marks only those that were known then are taken to be looked at.
    pub(crate) fn anew(
        &self,
        (section, block): &(Section, BlockEntry),
        verdicts: &Arc<Verdicts>,
        hour: u32,
        marks: u64,
    ) -> Judged {
        let day = day_of(*section, block);
        let least = block.kept.map_or(self.rules.least(), |kept| Hours::from_end_of(day, kept.until));
        let policy = block.kept.map_or(self.rules.number, |kept| kept.policy.min(self.rules.number));
        let grounds = Grounds { policy: self.rules.number, marks, known: None };
        let marks = block.kept.map_or(0, |kept| kept.marks);
        Judged { verdicts: Arc::clone(verdicts), least, hour, policy, marks, grounds }
    }

    /// What is to be known of blocks about which nothing is decided.
    pub(crate) fn undecided(
        &self,
        verdicts: &Arc<Verdicts>,
        known: Option<Known>,
        (hour, marks): (u32, u64),
    ) -> Judged {
        let grounds = Grounds { policy: self.rules.number, marks, known };
        let (verdicts, least, policy) = (Arc::clone(verdicts), self.rules.least(), self.rules.number);
        Judged { verdicts, least, hour, policy, marks, grounds }
    }

    /// The changes that give up these blocks.
    pub(crate) fn give_up(
        &self,
        blocks: &[(Section, BlockEntry)],
        known: Option<&Known>,
        marks: u64,
    ) -> Vec<Expire> {
        let grounds = Grounds { policy: self.rules.number, marks, known: known.cloned() };
        let chunks = blocks.chunks(MAX_EXPIRED).map(|some| {
            let mut sections = BTreeMap::<Section, Vec<_>>::new();
            for (section, block) in some {
                sections.entry(*section).or_default().push(block.id());
            }
            Expire {
                tenant: self.tenant.clone(),
                blocks: sections.into_iter().collect(),
                grounds: grounds.clone(),
            }
        });
        chunks.collect()
    }
}

pub(super) fn day_of(section: Section, block: &BlockEntry) -> Day {
    section.day().unwrap_or_else(|| Day::of_unix_nano(block.summary.spans.min_start_unix_nano))
}

/// Traces that were archived under a later number than this, each with its number.
pub(crate) async fn archived_since(
    catalog: &Catalog,
    snapshot: &Snapshot,
    tenant: &Tenant,
    after: u64,
) -> Result<Vec<(u64, TraceId)>, SnapshotError> {
    let found = catalog.marks(snapshot, tenant).await?;
    let archived = found.marks.iter().filter(|mark| mark.kind == MarkKind::Archive && mark.number > after);
    let traces = archived.map(|mark| {
        let MarkTarget::Trace(trace) = mark.target;
        (mark.number, trace)
    });
    Ok(traces.collect())
}
