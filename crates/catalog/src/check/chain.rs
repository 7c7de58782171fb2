//! C3: each root is the one before with the log folded in, inputs replaced by outputs,
//! and what was given up taken away.
//!
//! It is proven of every two roots that follow each other and still stand, as far as
//! their pages and the log entries between them do: a sweep takes those first.

use std::collections::{BTreeMap, BTreeSet};

use siltstone_format::id::{BlockId, ObjectId, WriterId};
use siltstone_format::path::ObjectKey;
use siltstone_format::tenant::Tenant;

use super::blocks::inputs_of;
use super::finding::{Report, Wrong};
use super::{CheckError, Depth};
use crate::block_entry::BlockEntry;
use crate::block_page::Section;
use crate::bucket::Bucket;
use crate::catalog::Catalog;
use crate::draft::{DraftError, read_block_page, read_tenant_page};
use crate::load::Loaded;
use crate::log_entry::LogEntry;
use crate::root::{Retired, Root};
use crate::tenant_page::TenantPage;

impl Catalog {
    pub(super) async fn check_roots(
        &self,
        loaded: &Loaded,
        depth: Depth,
        report: &mut Report,
    ) -> Result<(), CheckError> {
        let mut before: Option<Root> = None;
        for number in loaded.listed.roots.keys().copied() {
            // Gone: it was swept meanwhile.
            let Some(object) = self.bucket.get(&ObjectKey::Root { number }).await? else { continue };
            match Root::decode(&object, number) {
                Ok(root) => {
                    if let Some(before) = before.filter(|before| before.number.checked_add(1) == Some(number))
                    {
                        self.check_step(&before, &root, depth, report).await?;
                    }
                    before = Some(root);
                }
                Err(damage) => {
                    before = None;
                    let newest = number > loaded.root.number;
                    let instead = newest.then_some(loaded.root.number);
                    report
                        .add(&ObjectKey::Root { number }, Wrong::RootUnreadable { damage, instead, newest });
                }
            }
        }
        Ok(())
    }

    async fn check_step(
        &self,
        before: &Root,
        after: &Root,
        depth: Depth,
        report: &mut Report,
    ) -> Result<(), CheckError> {
        let known = after.recent.iter().find(|(number, _)| *number == before.number);
        if known.is_some_and(|(_, nonce)| *nonce != before.nonce) {
            // A paused publisher made it when the real one was swept: it is part of nothing.
            return Ok(());
        }
        let key = ObjectKey::Root { number: after.number };
        let mut tell = |what: String| report.add(&key, Wrong::Chain { before: before.number, what });
        backwards(before, after).into_iter().for_each(&mut tell);
        if after.is_rebuilt() {
            // It says what stands in the bucket, and not what became of the one before.
            return Ok(());
        }
        let Some(moved) = Moved::between(&self.bucket, before, after).await? else { return Ok(()) };
        let folded = Folded::between(&self.bucket, before, after).await?;
        let given_up: BTreeSet<BlockId> =
            new_retired(after).flat_map(|retired| retired.blocks.iter().copied()).collect();
        for block in moved.lost.iter().filter(|block| !given_up.contains(block)) {
            tell(format!("block {block} is no longer listed, and nobody gave it up"));
        }
        for block in folded.blocks.iter().filter(|(block, tenant)| {
            let known = moved.gained.contains_key(block) || given_up.contains(block);
            !known && !moved.unknown.contains(tenant) && !before.taken.contains(block)
        }) {
            tell(format!("block {} of a folded log entry was left out", block.0));
        }
        for (block, (section, entry)) in &moved.gained {
            if folded.blocks.contains_key(block) {
                continue;
            }
            match section {
                Section::Inbox if folded.is_complete => {
                    tell(format!("block {block} came into an inbox, and no log entry brought it"));
                }
                Section::Day(_) if given_up.is_empty() => {
                    tell(format!("block {block} came into a day, and replaces nothing"));
                }
                Section::Day(_) if depth >= Depth::Headers => {
                    // Replaced blocks stand until the grace is over, and so does what replaced them.
                    let Some(inputs) = inputs_of(&self.bucket, entry).await? else { continue };
                    if inputs.is_empty() || !inputs.iter().all(|input| given_up.contains(input)) {
                        tell(format!(
                            "block {block} came in the place of blocks that were not given up for it"
                        ));
                    }
                }
                Section::Inbox | Section::Day(_) => {}
            }
        }
        Ok(())
    }
}

/// What only ever grows and did not.
fn backwards(before: &Root, after: &Root) -> Vec<String> {
    let mut told = Vec::new();
    if !after.recent.contains(&(before.number, before.nonce)) {
        told.push("it was published over a root that it does not name".to_owned());
    }
    for (what, was, is) in [
        ("the floor", before.floor.0, after.floor.0),
        ("the swept floor", before.swept.0, after.swept.0),
        ("the time of forgotten writers", before.forgotten.0, after.forgotten.0),
        ("the number of the newest mark", before.mark_number, after.mark_number),
        ("the written version", before.write_version.into(), after.write_version.into()),
    ] {
        if is < was {
            told.push(format!("{what} went back from {was} to {is}"));
        }
    }
    for (writer, was) in &before.writers {
        match after.writers.get(writer) {
            Some(is) if is.next < was.next => {
                told.push(format!("writer {writer} went back from entry {} to {}", was.next, is.next));
            }
            Some(is) if was.fenced && !is.fenced => told.push(format!("writer {writer} is no longer fenced")),
            Some(_) | None => {}
        }
    }
    for (tenant, was) in &before.tenants {
        match after.tenants.get(tenant) {
            None => told.push(format!("tenant {tenant} is no longer there")),
            Some(is) if is.cut < was.cut => told.push(format!("tenant {tenant} took back days it gave up")),
            Some(_) => {}
        }
    }
    told
}

/// What a root itself gave up: its own time is not known to it.
fn new_retired(root: &Root) -> impl Iterator<Item = &Retired> {
    root.retired.iter().filter(|retired| retired.at.is_none())
}

/// Blocks that one root lists and the other does not.
#[derive(Default)]
struct Moved {
    gained: BTreeMap<BlockId, (Section, BlockEntry)>,
    lost: BTreeSet<BlockId>,
    /// Tenants of which a page is gone or damaged.
    unknown: BTreeSet<Tenant>,
}

impl Moved {
    /// None: nothing of it is known any more.
    async fn between(bucket: &Bucket, before: &Root, after: &Root) -> Result<Option<Self>, CheckError> {
        let mut moved = Self::default();
        let mut any = false;
        for (tenant, is) in &after.tenants {
            let was = before.tenants.get(tenant);
            if was.is_some_and(|was| was.page == is.page) {
                any = true;
                continue;
            }
            let was = match was {
                Some(was) => tenant_page(bucket, was.page, tenant).await?,
                None => Some(TenantPage::new(tenant.clone())),
            };
            let is = tenant_page(bucket, is.page, tenant).await?;
            match was.zip(is) {
                // What a page lists that was taken back, no entry brought.
                Some((was, is)) if was.damaged.is_empty() && is.damaged.is_empty() => {
                    any |= moved.add_tenant(bucket, &was, &is).await?;
                }
                _ => {
                    moved.unknown.insert(tenant.clone());
                }
            }
        }
        Ok((any || after.tenants.is_empty()).then_some(moved))
    }

    /// False: one of the pages that differ is gone.
    async fn add_tenant(
        &mut self,
        bucket: &Bucket,
        was: &TenantPage,
        is: &TenantPage,
    ) -> Result<bool, CheckError> {
        let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
        for (all, others, found) in [(was, is, &mut before), (is, was, &mut after)] {
            for page in all.pages.iter().filter(|page| others.pages.iter().all(|other| other.id != page.id)) {
                match read_block_page(bucket, page.id, &all.tenant, page.section).await {
                    Ok(read) => {
                        let blocks = read.blocks.into_iter();
                        found.extend(blocks.map(|block| (block.id(), (page.section, block))));
                    }
                    Err(DraftError::Store(error)) => return Err(error.into()),
                    Err(DraftError::Gone { .. } | DraftError::Damaged { .. }) => {
                        self.unknown.insert(all.tenant.clone());
                        return Ok(false);
                    }
                }
            }
        }
        self.lost.extend(before.keys().filter(|block| !after.contains_key(block)));
        self.gained.extend(after.into_iter().filter(|(block, _)| !before.contains_key(block)));
        Ok(true)
    }
}

async fn tenant_page(
    bucket: &Bucket,
    id: ObjectId,
    tenant: &Tenant,
) -> Result<Option<TenantPage>, CheckError> {
    match read_tenant_page(bucket, id, tenant).await {
        Ok(page) => Ok(Some(page)),
        Err(DraftError::Store(error)) => Err(error.into()),
        Err(DraftError::Gone { .. } | DraftError::Damaged { .. }) => Ok(None),
    }
}

/// What the log entries brought that were folded between two roots.
struct Folded {
    blocks: BTreeMap<BlockId, Tenant>,
    /// All of them still stand in the log and can be read.
    is_complete: bool,
}

impl Folded {
    async fn between(bucket: &Bucket, before: &Root, after: &Root) -> Result<Self, CheckError> {
        let mut folded = Self { blocks: BTreeMap::new(), is_complete: true };
        for (writer, state) in &after.writers {
            let from = before.writers.get(writer).map_or(0, |before| before.next);
            for number in from..state.next {
                let Some(entry) = entry(bucket, *writer, number).await? else {
                    folded.is_complete = false;
                    // Those before a swept one are swept too, and what follows proves no more.
                    break;
                };
                folded.blocks.extend(entry.blocks.iter().map(|block| (block.id(), block.tenant().clone())));
            }
        }
        Ok(folded)
    }
}

async fn entry(bucket: &Bucket, writer: WriterId, number: u64) -> Result<Option<LogEntry>, CheckError> {
    let object = bucket.get(&ObjectKey::LogEntry { writer, number }).await?;
    Ok(object.and_then(|object| LogEntry::decode(&object, writer, number).ok()))
}
