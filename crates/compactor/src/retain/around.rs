//! The blocks that tell of the traces of a day.

use siltstone_catalog::Catalog;
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::block_page::Section;
use siltstone_catalog::snapshot::SnapshotError;
use siltstone_catalog::tenant_page::PageRef;
use siltstone_format::day::Day;
use siltstone_format::id::{BlockId, ObjectId};

use super::due::Ruled;

/// A block and where it stands.
pub(crate) type Placed = (Section, BlockEntry);

#[derive(Debug, Default)]
pub(crate) struct Around {
    /// Blocks of the day about which nothing is decided.
    pub(crate) undecided: Vec<Placed>,
    /// The same of the days beside it, and of the inbox.
    pub(super) beside: Vec<Placed>,
    pub(super) decided: Vec<Placed>,
    /// The pages of these days.
    pub(super) pages: Vec<ObjectId>,
}

impl Around {
    pub(crate) async fn of(
        catalog: &Catalog,
        ruled: &Ruled,
        pages: &[PageRef],
        day: Day,
    ) -> Result<Self, SnapshotError> {
        let mut around = Self::default();
        let first = Day(day.0.saturating_sub(1)).start_unix_nano();
        let end = Day(day.0.saturating_add(2)).start_unix_nano();
        for page in pages {
            let is_near = match page.section {
                Section::Day(other) => other.0.abs_diff(day.0) <= 1,
                Section::Inbox => page.overlaps(first, end),
            };
            if !is_near {
                continue;
            }
            if page.section != Section::Inbox {
                around.pages.push(page.id);
            }
            for block in &catalog.blocks_of(&ruled.tenant, page).await?.blocks {
                let blocks = match page.section {
                    Section::Inbox => &mut around.beside,
                    _ if ruled.rules.decided(block.kept).is_some() => &mut around.decided,
                    Section::Day(other) if other == day => &mut around.undecided,
                    Section::Day(_) => &mut around.beside,
                };
                blocks.push((page.section, block.clone()));
            }
        }
        Ok(around)
    }

    /// When the first of the undecided blocks was named, in Unix milliseconds.
    pub(crate) fn oldest_millis(&self) -> Option<u64> {
        self.undecided.iter().map(|(_, block)| block.id().0.timestamp_ms()).min()
    }

    /// Blocks of the day about which something is decided.
    pub(crate) fn decided_of(&self, day: Day) -> impl Iterator<Item = &Placed> {
        self.decided.iter().filter(move |(section, _)| *section == Section::Day(day))
    }

    /// Blocks about which something is decided.
    pub(crate) fn decided(&self) -> impl Iterator<Item = BlockId> {
        self.decided.iter().map(|(_, block)| block.id())
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = BlockId> {
        let all = self.undecided.iter().chain(&self.beside).chain(&self.decided);
        all.map(|(_, block)| block.id())
    }
}
