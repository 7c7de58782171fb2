//! The pages and the root of a rebuilt catalog.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use siltstone_format::day::Day;
use siltstone_format::id::{BlockId, ObjectId};
use siltstone_format::path::ObjectKey;
use siltstone_format::tenant::Tenant;
use siltstone_format::version::OLDEST_FORMAT_VERSION;

use super::candidates::Candidates;
use super::choose::Chosen;
use super::{RebuildError, Rebuilt, root_number};
use crate::accept::EntryName;
use crate::block_entry::BlockEntry;
use crate::block_page::{BlockPage, MAX_PAGE_BLOCKS, Section};
use crate::bucket::{Bucket, PARALLEL_GETS, StoreError};
use crate::catalog::Catalog;
use crate::deleted::NewDeletion;
use crate::deletion::DeletionRecord;
use crate::draft::{DraftError, read_mark_page, read_tenant_page, read_trace_page};
use crate::listing::Listed;
use crate::load::Loaded;
use crate::log_entry::LogEntry;
use crate::mark::Mark;
use crate::planted::{Bug, planted};
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
        root.number = root_number(began, log, base);
        match base.is_some_and(|base| base.damaged_root.is_none()) {
            // It is one more of the chain: who published before finds itself in it.
            true => {}
            false => root.recent = vec![(root.number, root.nonce)],
        }
        root.write_version = base.map_or(OLDEST_FORMAT_VERSION, |base| base.root.write_version);
        root.floor = root.floor.max(began.minus(self.windows.orphan_grace));
        root.floors = vec![(root.floor, None)];
        root.swept = root.floor;
        root.forgotten = root.forgotten.max(began.minus(self.windows.forget_writer));
        root.mark_number = root.mark_number.max(began.0);
        // What an earlier rebuild decided about may be given up by now, and still be named.
        root.taken.extend(candidates.blocks.keys().copied());
        root.taken.retain(|block| drawn_at(block.0) >= root.floor);
        root.unread.clone_from(&candidates.unread);
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
        let deletions = self.recorded_deletions(report).await?;
        for record in &deletions {
            sections.entry(record.request.tenant.clone()).or_default();
        }
        let mut pages = self.with_marks(sections.keys(), &tenants, report).await?;
        self.delete_again(&deletions, &mut pages, &mut root, report).await?;
        let pages = pages.into_iter().map(|(tenant, marked)| (tenant, marked.page)).collect();
        for (tenant, known) in self.write_pages(pages, &tenants, sections).await? {
            report.blocks += known.blocks;
            report.rows += known.rows;
            root.tenants.insert(tenant, known);
        }
        report.tenants = root.tenants.len() as u64;
        report.covered = chosen.covered.iter().copied().collect();
        report.doubled = chosen.doubled.iter().copied().collect();
        Ok(root)
    }

    /// An empty page of each tenant, with the marks that it had.
    async fn with_marks(
        &self,
        all: impl Iterator<Item = &Tenant>,
        before: &BTreeMap<Tenant, TenantRef>,
        report: &mut Rebuilt,
    ) -> Result<BTreeMap<Tenant, Carried>, StoreError> {
        let mut read = stream::iter(all.cloned())
            .map(|tenant| async move {
                let known = before.get(&tenant);
                Ok::<_, StoreError>((marks_of(&self.bucket, &tenant, known).await?, tenant))
            })
            .buffered(PARALLEL_GETS);
        let mut pages = BTreeMap::new();
        while let Some((carried, tenant)) = read.try_next().await? {
            if carried.lost {
                report.without_marks.push(tenant.clone());
            }
            pages.insert(tenant, carried);
        }
        Ok(pages)
    }

    /// All records of deletions that can be read.
    async fn recorded_deletions(&self, report: &mut Rebuilt) -> Result<Vec<DeletionRecord>, StoreError> {
        let mut records = Vec::new();
        for record in self.read_deletions(self.deletion_ids().await?).await? {
            match record {
                Ok(record) => records.push(record),
                Err((id, damage)) => {
                    report.unreadable_deletions.insert(id, damage.to_string());
                }
            }
        }
        Ok(records)
    }

    /// What is recorded and was not carried over is deleted again, under its number. What has none gets the next one.
    async fn delete_again(
        &self,
        deletions: &[DeletionRecord],
        pages: &mut BTreeMap<Tenant, Carried>,
        root: &mut Root,
        report: &mut Rebuilt,
    ) -> Result<(), StoreError> {
        let known = deletions.iter().filter_map(|record| record.number).max();
        root.mark_number = root.mark_number.max(known.unwrap_or(0));
        for record in deletions {
            let Some(carried) = pages.get_mut(&record.request.tenant) else { continue };
            if carried.records.contains(&record.id) || planted(Bug::NoRecords) {
                continue;
            }
            let number = record.number.unwrap_or(root.mark_number + 1);
            root.mark_number = root.mark_number.max(number);
            let traces = &record.request.traces;
            let deletion = NewDeletion { number, at: record.at, record: record.id, traces };
            for (id, page) in deletion.add_to(&mut carried.page, || ObjectId(self.next_id())) {
                self.bucket.put(&ObjectKey::Page(id), page).await?;
            }
            report.deletions += 1;
        }
        for carried in pages.values_mut() {
            carried.page.marks.sort_by_key(|mark| mark.number);
            carried.page.trace_pages.sort_by_key(|traces| traces.number);
        }
        Ok(())
    }

    /// Writes the pages of blocks of all tenants, and then the tenants' own.
    async fn write_pages(
        &self,
        mut pages: BTreeMap<Tenant, TenantPage>,
        before: &BTreeMap<Tenant, TenantRef>,
        sections: BTreeMap<Tenant, BTreeMap<Section, Vec<BlockEntry>>>,
    ) -> Result<Vec<(Tenant, TenantRef)>, StoreError> {
        let all = sections.iter().flat_map(|(tenant, sections)| {
            sections.iter().flat_map(move |(section, blocks)| {
                blocks.chunks(MAX_PAGE_BLOCKS).map(move |some| (tenant.clone(), *section, some.to_vec()))
            })
        });
        let mut written = stream::iter(all.collect::<Vec<_>>())
            .map(|(tenant, section, blocks)| async move {
                let mut page = BlockPage::new(tenant.clone(), section);
                page.blocks = blocks;
                let id = ObjectId(self.next_id());
                self.bucket.put(&ObjectKey::Page(id), page.encode()).await?;
                Ok::<_, StoreError>((tenant, PageRef::of(id, &page)))
            })
            .buffered(PARALLEL_GETS);
        while let Some((tenant, page)) = written.try_next().await? {
            if let Some(of_tenant) = pages.get_mut(&tenant) {
                of_tenant.pages.push(page);
            }
        }
        drop(written);
        stream::iter(pages)
            .map(|(tenant, page)| async move {
                let id = ObjectId(self.next_id());
                self.bucket.put(&ObjectKey::Page(id), page.encode()).await?;
                let mut known = TenantRef::new(id, before.get(&tenant));
                page.pages.iter().for_each(|page| known.count(page));
                known.newest_mark = known.newest_mark.max(page.newest_mark());
                Ok((tenant, known))
            })
            .buffered(PARALLEL_GETS)
            .try_collect()
            .await
    }

    /// What the log can add to the report: its blocks were found without it.
    async fn note_entries(
        &self,
        log: &Listed,
        candidates: &Candidates,
        report: &mut Rebuilt,
    ) -> Result<(), StoreError> {
        let names: Vec<EntryName> = log.entries.keys().copied().collect();
        let mut read = stream::iter(names)
            .map(|(writer, number)| async move {
                let object = self.bucket.get(&ObjectKey::LogEntry { writer, number }).await?;
                Ok::<_, StoreError>(object.map(|object| LogEntry::decode(&object, writer, number)))
            })
            .buffered(PARALLEL_GETS);
        while let Some(entry) = read.try_next().await? {
            match entry {
                Some(Ok(entry)) => {
                    let lacks = entry.blocks.iter().any(|block| !candidates.blocks.contains_key(&block.id()));
                    report.entries_without_block += u64::from(lacks);
                }
                Some(Err(_)) => report.damaged_entries += 1,
                None => {}
            }
        }
        Ok(())
    }
}

/// An empty page of a tenant with the marks and the rules of retention that it had.
struct Carried {
    page: TenantPage,
    /// Some of them are not.
    lost: bool,
    /// Of the deletions that are.
    records: BTreeSet<ObjectId>,
}

async fn marks_of(
    bucket: &Bucket,
    tenant: &Tenant,
    before: Option<&TenantRef>,
) -> Result<Carried, StoreError> {
    let mut page = TenantPage::new(tenant.clone());
    let mut records = BTreeSet::new();
    let Some(before) = before else { return Ok(Carried { page, lost: false, records }) };
    let earlier = match read_tenant_page(bucket, before.page, tenant).await {
        Ok(earlier) => earlier,
        Err(DraftError::Store(error)) => return Err(error),
        Err(DraftError::Damaged { .. } | DraftError::Gone { .. }) => {
            return Ok(Carried { page, lost: true, records });
        }
    };
    let mut lost = !earlier.damaged.is_empty();
    let record_of = |mark: &Mark| mark.record;
    records.extend(earlier.marks.iter().filter_map(record_of));
    (page.marks, page.retention) = (earlier.marks, earlier.retention);
    for traces in earlier.trace_pages {
        match read_trace_page(bucket, traces.id).await {
            Ok(_) => page.trace_pages.push(traces),
            Err(DraftError::Store(error)) => return Err(error),
            Err(DraftError::Damaged { .. } | DraftError::Gone { .. }) => lost = true,
        }
    }
    for id in earlier.mark_pages {
        match read_mark_page(bucket, id).await {
            Ok(marks) => {
                records.extend(marks.iter().filter_map(record_of));
                page.mark_pages.push(id);
            }
            Err(DraftError::Store(error)) => return Err(error),
            // Carried along, it would fail every query of the tenant for good.
            Err(DraftError::Damaged { .. } | DraftError::Gone { .. }) => lost = true,
        }
    }
    records.extend(page.trace_pages.iter().map(|traces| traces.record));
    if lost {
        // Whatever was there is deleted again under the same number: that does no harm.
        records.clear();
    }
    Ok(Carried { page, lost, records })
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
