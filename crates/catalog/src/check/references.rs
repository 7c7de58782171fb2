//! What a root and its log refer to, and whether its pages agree with each other.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream};
use siltstone_format::id::{BlockId, ObjectId};
use siltstone_format::path::ObjectKey;
use siltstone_format::tenant::Tenant;
use ulid::Ulid;

use super::CheckError;
use super::finding::{Report, Wrong};
use crate::block_entry::BlockEntry;
use crate::block_page::{BlockPage, MAX_PAGE_BLOCKS, Section};
use crate::bucket::PARALLEL_GETS;
use crate::catalog::Catalog;
use crate::draft::{DraftError, read_block_page, read_mark_page, read_tenant_page, read_trace_page};
use crate::load::Loaded;
use crate::root::TenantRef;
use crate::sweep::keys_of_retired;
use crate::tenant_page::{PageRef, TenantPage};

/// What is known of a block that is referred to.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) tenant: Tenant,
    pub(super) spans_bytes: u64,
    pub(super) origins_bytes: u64,
    pub(super) disjoint_set: Option<Ulid>,
    pub(super) places: usize,
}

/// Everything that is referred to.
#[derive(Debug, Default)]
pub(super) struct References {
    pub(super) blocks: BTreeMap<BlockId, Known>,
    pub(super) others: BTreeMap<ObjectKey, Tenant>,
    pub(super) retired: BTreeSet<ObjectKey>,
    /// Pages of blocks, in the order of the walk.
    pub(super) pages: Vec<(Tenant, Section, ObjectId)>,
    /// A page could not be read: more is referred to than is known.
    pub(super) is_incomplete: bool,
    /// A page is not there: it is lost, or a newer root replaced it.
    pub(super) lacks_pages: bool,
}

impl References {
    pub(super) async fn of(
        catalog: &Catalog,
        loaded: &Loaded,
        report: &mut Report,
    ) -> Result<Self, CheckError> {
        let root = &loaded.root;
        let mut found =
            Self { retired: root.retired.iter().flat_map(keys_of_retired).collect(), ..Self::default() };
        for (tenant, known) in &root.tenants {
            found.others.insert(ObjectKey::Page(known.page), tenant.clone());
            match read_tenant_page(&catalog.bucket, known.page, tenant).await {
                Ok(page) => found.walk_tenant(catalog, known, &page, report).await?,
                Err(error) => found.note(tenant, error, report)?,
            }
        }
        for block in loaded.accepted.visible.iter().flat_map(|entry| &entry.blocks) {
            found.add(block);
        }
        Ok(found)
    }

    async fn walk_tenant(
        &mut self,
        catalog: &Catalog,
        known: &TenantRef,
        page: &TenantPage,
        report: &mut Report,
    ) -> Result<(), CheckError> {
        let (tenant, bucket) = (&page.tenant, &catalog.bucket);
        for id in &page.damaged {
            self.is_incomplete = true;
            self.others.insert(ObjectKey::Page(*id), tenant.clone());
            report.add(&ObjectKey::Page(*id), Wrong::StoodIn { tenant: tenant.clone() });
        }
        let groups = page.groups.iter();
        let groups =
            groups.flat_map(|group| [ObjectKey::FilterGroup(group.id), ObjectKey::Page(group.index)]);
        self.others.extend(groups.map(|key| (key, tenant.clone())));
        let mark_pages = page.mark_pages.iter().map(|id| (*id, false));
        let trace_pages = page.trace_pages.iter().map(|page| (page.id, true));
        for (id, is_of_traces) in mark_pages.chain(trace_pages) {
            let key = ObjectKey::Page(id);
            self.others.insert(key.clone(), tenant.clone());
            let read = match is_of_traces {
                true => read_trace_page(bucket, id).await.map(|_| ()),
                false => read_mark_page(bucket, id).await.map(|_| ()),
            };
            match read {
                Ok(()) => {}
                Err(DraftError::Store(error)) => return Err(error.into()),
                Err(DraftError::Damaged { damage, .. }) => {
                    report.add(&key, Wrong::MarksUnreadable { tenant: tenant.clone(), damage });
                }
                // Told with all that is missing, if the newest root refers to it.
                Err(DraftError::Gone { .. }) => self.lacks_pages = true,
            }
        }
        let mut read = stream::iter(&page.pages)
            .map(|wanted| async move {
                (wanted, read_block_page(bucket, wanted.id, tenant, wanted.section).await)
            })
            .buffered(PARALLEL_GETS);
        let mut sums = Sums::default();
        while let Some((wanted, blocks)) = read.next().await {
            self.others.insert(ObjectKey::Page(wanted.id), tenant.clone());
            self.pages.push((tenant.clone(), wanted.section, wanted.id));
            match blocks {
                Ok(blocks) => {
                    sums.add(&blocks);
                    check_page(known, wanted, &blocks, report);
                    blocks.blocks.iter().for_each(|block| self.add(block));
                }
                Err(error) => {
                    sums.is_incomplete = true;
                    self.note(tenant, error, report)?;
                }
            }
        }
        sums.compare(known, tenant, report);
        Ok(())
    }

    fn add(&mut self, block: &BlockEntry) {
        let known = Known {
            tenant: block.tenant().clone(),
            spans_bytes: block.summary.spans.bytes,
            origins_bytes: block.summary.origins.bytes,
            disjoint_set: block.disjoint_set,
            places: 0,
        };
        self.blocks.entry(block.id()).or_insert(known).places += 1;
    }

    /// A page that is gone is seen again when all that is missing is looked at.
    fn note(&mut self, tenant: &Tenant, error: DraftError, report: &mut Report) -> Result<(), CheckError> {
        self.is_incomplete = true;
        match error {
            DraftError::Store(error) => return Err(error.into()),
            DraftError::Damaged { key, damage } => {
                report.add(&key, Wrong::PageUnreadable { tenant: tenant.clone(), damage });
            }
            DraftError::Gone { .. } => self.lacks_pages = true,
        }
        Ok(())
    }

    pub(super) fn holds(&self, key: &ObjectKey) -> bool {
        match key {
            ObjectKey::Spans(block) | ObjectKey::Origins(block) => self.blocks.contains_key(block),
            other => self.others.contains_key(other),
        }
    }

    pub(super) fn tenant_of(&self, key: &ObjectKey) -> Option<&Tenant> {
        match key {
            ObjectKey::Spans(block) | ObjectKey::Origins(block) => {
                self.blocks.get(block).map(|known| &known.tenant)
            }
            other => self.others.get(other),
        }
    }

    /// What the report says in its first line; and blocks that are there twice.
    pub(super) fn note_totals(&self, loaded: &Loaded, report: &mut Report) {
        report.root = Some(loaded.root.number);
        report.tenants = loaded.root.tenants.len() as u64;
        report.blocks = self.blocks.len() as u64;
        let folded: u64 = loaded.root.tenants.values().map(|tenant| tenant.rows).sum();
        let logged = loaded.accepted.visible.iter().flat_map(|entry| &entry.blocks);
        report.rows = folded + logged.map(|block| block.summary.spans.rows).sum::<u64>();
        for (block, known) in self.blocks.iter().filter(|(_, known)| known.places > 1) {
            let wrong = Wrong::Twice { tenant: known.tenant.clone(), places: known.places };
            report.add(&ObjectKey::Spans(*block), wrong);
        }
    }
}

/// What a tenant's entry in the root sums up.
#[derive(Default)]
struct Sums {
    blocks: u64,
    rows: u64,
    bytes: u64,
    inbox_blocks: u64,
    is_incomplete: bool,
}

impl Sums {
    fn add(&mut self, page: &BlockPage) {
        let blocks = page.blocks.len() as u64;
        self.blocks += blocks;
        self.inbox_blocks += if page.section == Section::Inbox { blocks } else { 0 };
        self.rows += page.blocks.iter().map(|block| block.summary.spans.rows).sum::<u64>();
        self.bytes += page.blocks.iter().map(BlockEntry::bytes).sum::<u64>();
    }

    fn compare(&self, known: &TenantRef, tenant: &Tenant, report: &mut Report) {
        if self.is_incomplete {
            return;
        }
        for (what, found, said) in [
            ("the tenant's number of blocks", self.blocks, known.blocks),
            ("the tenant's number of spans", self.rows, known.rows),
            ("the tenant's number of bytes", self.bytes, known.bytes),
            ("the tenant's number of blocks that are not merged", self.inbox_blocks, known.inbox_blocks),
        ] {
            if found != said {
                report.add(&format!("tenant {tenant}"), Wrong::Totals { what, found, said });
            }
        }
    }
}

/// Whether a page is what the tenant's page says of it.
fn check_page(known: &TenantRef, said: &PageRef, page: &BlockPage, report: &mut Report) {
    let key = ObjectKey::Page(said.id);
    let found = PageRef::of(said.id, page);
    for (what, found, said) in [
        ("the page's number of blocks", found.blocks, said.blocks),
        ("the page's number of spans", found.rows, said.rows),
        ("the page's number of bytes", found.bytes, said.bytes),
    ] {
        if found != said {
            report.add(&key, Wrong::Totals { what, found, said });
        }
    }
    let named_later = !said.may_be_named_since(found.last_named);
    if named_later || said.grouped > found.grouped {
        report.add(&key, Wrong::Misleads { tenant: page.tenant.clone() });
    }
    let leaves_out = found.min_start_unix_nano < said.min_start_unix_nano
        || found.max_end_unix_nano > said.max_end_unix_nano;
    if leaves_out {
        report.add(&key, Wrong::TimeRange { tenant: page.tenant.clone() });
    }
    if page.blocks.len() > MAX_PAGE_BLOCKS {
        report.add(&key, Wrong::LongPage { blocks: page.blocks.len() as u64 });
    }
    let Some(cut) = known.cut else { return };
    for block in page.blocks.iter().filter(|block| block.last_day() < cut) {
        report.add(&ObjectKey::Spans(block.id()), Wrong::BehindCut { tenant: page.tenant.clone() });
    }
}
