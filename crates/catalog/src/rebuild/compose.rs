//! The pages and the root of a rebuilt catalog.

use std::collections::{BTreeMap, BTreeSet};

use siltstone_format::day::Day;
use siltstone_format::id::{BlockId, ObjectId};
use siltstone_format::path::ObjectKey;
use siltstone_format::tenant::Tenant;
use siltstone_format::version::OLDEST_FORMAT_VERSION;

use super::candidates::Candidates;
use super::choose::Chosen;
use super::{RebuildError, Rebuilt, root_number};
use crate::block_entry::BlockEntry;
use crate::block_page::{BlockPage, MAX_PAGE_BLOCKS, Section};
use crate::bucket::StoreError;
use crate::catalog::Catalog;
use crate::listing::Listed;
use crate::log_entry::LogEntry;
use crate::root::{Root, TenantRef, WriterState};
use crate::tenant_page::{PageRef, TenantPage};
use crate::time::{StoreTime, drawn_at};

impl Catalog {
    /// Writes the pages, and gives the root that refers to them.
    pub(super) async fn compose_root(
        &self,
        began: StoreTime,
        log: &Listed,
        candidates: &Candidates,
        chosen: &Chosen,
        report: &mut Rebuilt,
    ) -> Result<Root, RebuildError> {
        let mut root = Root::first(self.next_id());
        root.number = root_number(began, log);
        root.recent = vec![(root.number, root.nonce)];
        root.write_version = OLDEST_FORMAT_VERSION;
        root.floor = began.minus(self.windows.orphan_grace);
        root.floors = vec![(root.floor, None)];
        root.swept = root.floor;
        root.forgotten = began.minus(self.windows.forget_writer);
        root.mark_number = began.0;
        let decided = candidates.blocks.keys().copied();
        root.taken = decided.filter(|block| drawn_at(block.0) >= root.floor).collect();
        for ((writer, number), landed) in &log.entries {
            let state = root.writers.entry(*writer).or_insert_with(WriterState::unknown);
            state.next = state.next.max(number.saturating_add(1));
            state.last_entry = state.last_entry.max(*landed);
        }
        self.note_entries(log, candidates, report).await?;

        for (tenant, sections) in by_section(candidates, chosen) {
            let known = self.write_pages(&tenant, sections).await?;
            report.blocks += known.blocks;
            report.rows += known.rows;
            root.tenants.insert(tenant, known);
        }
        report.tenants = root.tenants.len() as u64;
        report.covered = chosen.covered.iter().copied().collect();
        report.doubled = chosen.doubled.iter().copied().collect();
        Ok(root)
    }

    async fn write_pages(
        &self,
        tenant: &Tenant,
        sections: BTreeMap<Section, Vec<BlockEntry>>,
    ) -> Result<TenantRef, StoreError> {
        let mut page = TenantPage::new(tenant.clone());
        for (section, blocks) in sections {
            for some in blocks.chunks(MAX_PAGE_BLOCKS) {
                let mut of_blocks = BlockPage::new(tenant.clone(), section);
                of_blocks.blocks = some.to_vec();
                let id = ObjectId(self.next_id());
                self.bucket.put(&ObjectKey::Page(id), of_blocks.encode()).await?;
                page.pages.push(PageRef::of(id, &of_blocks, None));
            }
        }
        let id = ObjectId(self.next_id());
        self.bucket.put(&ObjectKey::Page(id), page.encode()).await?;
        let mut known = TenantRef::new(id, None);
        page.pages.iter().for_each(|page| known.count(page));
        Ok(known)
    }

    /// What the log can add to the report: its blocks were found without it.
    async fn note_entries(
        &self,
        log: &Listed,
        candidates: &Candidates,
        report: &mut Rebuilt,
    ) -> Result<(), StoreError> {
        for (writer, number) in log.entries.keys() {
            let key = ObjectKey::LogEntry { writer: *writer, number: *number };
            let Some(object) = self.bucket.get(&key).await? else { continue };
            match LogEntry::decode(&object, *writer, *number) {
                Ok(entry) => {
                    let lacks = entry.blocks.iter().any(|block| !candidates.blocks.contains_key(&block.id()));
                    report.entries_without_block += u64::from(lacks);
                }
                Err(_) => report.damaged_entries += 1,
            }
        }
        Ok(())
    }
}

/// The blocks that are taken in. What an ingester wrote belongs to the inbox; what was
/// merged, to the day of its earliest span.
fn by_section(
    candidates: &Candidates,
    chosen: &Chosen,
) -> BTreeMap<Tenant, BTreeMap<Section, Vec<BlockEntry>>> {
    let mut found: BTreeMap<Tenant, BTreeMap<Section, Vec<BlockEntry>>> = BTreeMap::new();
    let left_out: &BTreeSet<BlockId> = &chosen.covered;
    for (_, summary) in candidates.blocks.iter().filter(|(block, _)| !left_out.contains(block)) {
        let section = match summary.identity.inputs.is_empty() {
            true => Section::Inbox,
            false => Section::Day(Day::of_unix_nano(summary.spans.min_start_unix_nano)),
        };
        let of_tenant = found.entry(summary.identity.tenant.clone()).or_default();
        // No deletion is known to be applied, and nobody shares no spans with anybody.
        of_tenant.entry(section).or_default().push(BlockEntry::flushed(summary.clone()));
    }
    found
}
