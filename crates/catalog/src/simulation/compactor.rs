//! A compactor: folds, puts a few blocks of a section together, cut by day, and builds
//! filter groups.

use std::collections::{BTreeMap, BTreeSet};

use siltstone_format::day::Day;
use siltstone_format::id::{BlockId, TraceId};
use siltstone_format::path::ObjectKey;
use siltstone_format::tenant::Tenant;

use siltstone_testkit::schedule::Violation;

use super::world::{SimSpan, Site, entry_of};
use super::writer::tenants;
use crate::block_entry::BlockEntry;
use crate::block_page::Section;
use crate::change::Merge;
use crate::draft::{read_block_page, read_tenant_page};
use crate::groups::plan::Limits;
use crate::mark::{Mark, MarkKind, MarkTarget};
use crate::planted::{Bug, planted};
use crate::publish::PublishError;
use crate::root::Root;
use crate::tenant_page::TenantPage;

const MOST_INPUTS: usize = 3;

pub(super) async fn run(site: Site, rounds: u64) -> Result<(), Violation> {
    for _ in 0..rounds {
        site.rest(2_000).await;
        let _ = site.catalog.fold().await;
        // A request that fails ends this round; another one follows.
        if let Some(job) = plan(&site).await {
            merge(&site, job).await;
        }
        if site.draw(2) == 0 {
            regroup(&site).await;
        }
    }
    Ok(())
}

async fn regroup(site: &Site) {
    let tenants = tenants();
    let tenant = &tenants[site.draw(tenants.len() as u64) as usize];
    let loose = 1 + site.draw(3) as usize;
    let limits =
        Limits { loose_of_days: loose, loose_of_inbox: loose, groups_of_days: 2, ..Limits::default() };
    let done = site.catalog.regroup_within(tenant, &limits, &BTreeSet::new()).await;
    site.tell(|| format!("regroup {tenant}: {:?}", done.as_ref().map_err(ToString::to_string)));
    if let Ok(done) = done {
        site.world.borrow_mut().counts.groups += done.built.len() as u64;
    }
}

struct Job {
    tenant: Tenant,
    section: Section,
    inputs: Vec<BlockEntry>,
    marks: Vec<Mark>,
    /// Of the root that all this was read from.
    mark_number: u64,
    cut: Option<Day>,
}

async fn plan(site: &Site) -> Option<Job> {
    let root = site.catalog.load().await.ok()?.root;
    let (tenant, known) = nth(root.tenants.iter(), site.draw(root.tenants.len() as u64))?;
    let bucket = site.catalog.bucket();
    let page = read_tenant_page(bucket, known.page, tenant).await.ok()?;
    let wanted = nth(page.pages.iter(), site.draw(page.pages.len() as u64))?;
    let blocks = read_block_page(bucket, wanted.id, tenant, wanted.section).await.ok()?.blocks;
    let is_clean = |block: &BlockEntry| block.clean_through >= root.mark_number;
    if wanted.section != Section::Inbox && blocks.len() < 2 && blocks.iter().all(is_clean) {
        return None;
    }
    Some(Job {
        tenant: tenant.clone(),
        section: wanted.section,
        inputs: blocks.into_iter().take(MOST_INPUTS).collect(),
        marks: page.marks,
        mark_number: if page.damaged.is_empty() { root.mark_number } else { 0 },
        cut: known.cut,
    })
}

fn nth<T>(mut items: impl Iterator<Item = T>, number: u64) -> Option<T> {
    items.nth(number as usize)
}

async fn merge(site: &Site, job: Job) {
    let mut days: BTreeMap<Day, Vec<SimSpan>> = BTreeMap::new();
    for input in &job.inputs {
        let Some(spans) = site.read_block(input.id()).await else { return };
        let hidden = deleted(&job.marks, input.clean_through);
        for span in spans {
            let is_cut = job.cut.is_some_and(|cut| span.day < cut);
            if !is_cut && !hidden.contains(&span.trace()) {
                days.entry(span.day).or_default().push(span);
            }
        }
    }
    let set = site.catalog.next_id();
    let mut outputs = Vec::new();
    for (day, spans) in days {
        let block = BlockId(site.catalog.next_id());
        site.write_block(block, &spans).await;
        let summary = entry_of(block, &job.tenant, &spans).summary;
        outputs.push((day, BlockEntry::merged(summary, job.mark_number, set)));
    }
    let inputs = vec![(job.section, job.inputs.iter().map(BlockEntry::id).collect())];
    let merge = Merge { tenant: job.tenant, inputs, outputs };
    let published = site.catalog.publish(&merge).await;
    site.tell(|| {
        let outputs: Vec<_> = merge.outputs.iter().map(|(day, block)| (day.0, block.id())).collect();
        let root = published.as_ref().map(|done| done.root().number).map_err(ToString::to_string);
        format!("merge {:?} into {outputs:?}: {root:?}", merge.inputs)
    });
    match &published {
        Ok(_) => site.world.borrow_mut().counts.merges += 1,
        Err(_) => site.world.borrow_mut().counts.refused_merges += 1,
    }
    if planted(Bug::NoNonce) && matches!(published, Err(PublishError::GaveUp { .. })) {
        delete_outputs(site, &merge).await;
    }
}

/// Traces that are hidden from a block that knows the deletions up to a number.
pub(super) fn deleted(marks: &[Mark], clean_through: u64) -> BTreeSet<TraceId> {
    let hiding = marks.iter().filter(|mark| mark.kind == MarkKind::Delete && mark.hides_from(clean_through));
    let traces = hiding.map(|mark| {
        let MarkTarget::Trace(trace) = mark.target;
        trace
    });
    traces.collect()
}

async fn delete_outputs(site: &Site, merge: &Merge) {
    for (_, block) in &merge.outputs {
        for key in [ObjectKey::Spans(block.id()), ObjectKey::Origins(block.id())] {
            let _ = site.catalog.bucket().delete(&key).await;
        }
    }
}

/// In how many groups each block is; all groups are there.
async fn grouped(site: &Site, page: &TenantPage) -> Result<BTreeMap<BlockId, u32>, Violation> {
    let mut members = BTreeMap::new();
    for group in &page.groups {
        let index = site.catalog.indexes.of(site.catalog.bucket(), group).await;
        let index = index.map_err(|error| format!("C1: {error}"))?;
        let object = site.read(&ObjectKey::FilterGroup(group.id)).await;
        if object.is_none_or(|object| object.len() as u64 != index.header.object_len()) {
            return Err(format!("C1: group {} is gone", group.id));
        }
        index.members().for_each(|(block, _)| *members.entry(block).or_default() += 1);
    }
    Ok(members)
}

/// All that a root refers to is there (C1), no block is there twice (C2), and none lies
/// in days that were given up.
pub(super) async fn check_root(site: &Site, root: &Root) -> Result<(), Violation> {
    let mut seen = BTreeSet::new();
    for (tenant, known) in &root.tenants {
        let bucket = site.catalog.bucket();
        let page = read_tenant_page(bucket, known.page, tenant).await.map_err(|error| error.to_string())?;
        let mut members = grouped(site, &page).await?;
        for wanted in &page.pages {
            let blocks = read_block_page(bucket, wanted.id, tenant, wanted.section).await;
            for block in blocks.map_err(|error| error.to_string())?.blocks {
                if known.cut.is_some_and(|cut| block.last_day() < cut) {
                    return Err(format!("block {} of a day that was given up is still there", block.id()));
                }
                if !seen.insert(block.id()) {
                    return Err(format!("C2: block {} is there twice", block.id()));
                }
                if site.read_block(block.id()).await.is_none() {
                    return Err(format!("C1: block {} is gone", block.id()));
                }
                let groups = members.remove(&block.id()).unwrap_or(0);
                if groups != 2 * u32::from(block.grouped) {
                    return Err(format!("block {} is in {groups} groups", block.id()));
                }
            }
        }
    }
    Ok(())
}
