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
use crate::draft::{DraftError, read_tenant_page};
use crate::listing::Listed;
use crate::load::Loaded;
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
        base: Option<&Loaded>,
        candidates: &Candidates,
        chosen: &Chosen,
        report: &mut Rebuilt,
    ) -> Result<Root, RebuildError> {
        let nonce = self.next_id();
        let mut root =
            base.map_or_else(|| Root::first(nonce), |base| base.root.successor(base.root_at, nonce));
        let tenants = std::mem::take(&mut root.tenants);
        root.number = root_number(began, log);
        root.recent = vec![(root.number, root.nonce)];
        root.write_version = base.map_or(OLDEST_FORMAT_VERSION, |base| base.root.write_version);
        root.floor = root.floor.max(began.minus(self.windows.orphan_grace));
        root.floors = vec![(root.floor, None)];
        root.swept = root.floor;
        root.forgotten = root.forgotten.max(began.minus(self.windows.forget_writer));
        root.mark_number = root.mark_number.max(began.0);
        let decided = candidates.blocks.keys().copied();
        root.taken = decided.filter(|block| drawn_at(block.0) >= root.floor).collect();
        for ((writer, number), landed) in &log.entries {
            let state = root.writers.entry(*writer).or_insert_with(WriterState::unknown);
            if state.fenced {
                continue;
            }
            state.next = state.next.max(number.saturating_add(1));
            state.last_entry = state.last_entry.max(*landed);
        }
        self.note_entries(log, candidates, report).await?;

        report.carried = base.map(|base| base.root.number);
        let mut sections = by_section(candidates, chosen);
        for tenant in tenants.keys() {
            sections.entry(tenant.clone()).or_default();
        }
        for (tenant, sections) in sections {
            let before = tenants.get(&tenant);
            let page = self.with_marks(&tenant, before, report).await?;
            let known = self.write_pages(page, before, sections).await?;
            report.blocks += known.blocks;
            report.rows += known.rows;
            root.tenants.insert(tenant, known);
        }
        report.tenants = root.tenants.len() as u64;
        report.covered = chosen.covered.iter().copied().collect();
        report.doubled = chosen.doubled.iter().copied().collect();
        Ok(root)
    }

    /// An empty page of the tenant, with the marks that it had.
    async fn with_marks(
        &self,
        tenant: &Tenant,
        before: Option<&TenantRef>,
        report: &mut Rebuilt,
    ) -> Result<TenantPage, StoreError> {
        let mut page = TenantPage::new(tenant.clone());
        let Some(before) = before else { return Ok(page) };
        match read_tenant_page(&self.bucket, before.page, tenant).await {
            Ok(earlier) => {
                if !earlier.damaged.is_empty() {
                    report.without_marks.push(tenant.clone());
                }
                (page.marks, page.mark_pages) = (earlier.marks, earlier.mark_pages);
            }
            Err(DraftError::Store(error)) => return Err(error),
            Err(DraftError::Damaged { .. } | DraftError::Gone { .. }) => {
                report.without_marks.push(tenant.clone());
            }
        }
        Ok(page)
    }

    async fn write_pages(
        &self,
        mut page: TenantPage,
        before: Option<&TenantRef>,
        sections: BTreeMap<Section, Vec<BlockEntry>>,
    ) -> Result<TenantRef, StoreError> {
        let tenant = page.tenant.clone();
        for (section, blocks) in sections {
            for some in blocks.chunks(MAX_PAGE_BLOCKS) {
                let mut of_blocks = BlockPage::new(tenant.clone(), section);
                of_blocks.blocks = some.to_vec();
                let id = ObjectId(self.next_id());
                self.bucket.put(&ObjectKey::Page(id), of_blocks.encode()).await?;
                page.pages.push(PageRef::of(id, &of_blocks));
            }
        }
        let id = ObjectId(self.next_id());
        self.bucket.put(&ObjectKey::Page(id), page.encode()).await?;
        let mut known = TenantRef::new(id, before);
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
