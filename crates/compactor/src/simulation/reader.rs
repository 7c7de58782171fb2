//! A reader: all blocks of a snapshot, compared with the truth.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng;
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::block_page::Section;
use siltstone_catalog::snapshot::{Cover, Snapshot, SnapshotError};
use siltstone_format::block::origins::OriginsFile;
use siltstone_format::content::same_span;
use siltstone_format::day::Day;
use siltstone_format::id::TraceId;
use siltstone_format::invariants::{WholeBlock, check_f1};
use siltstone_format::path::ObjectKey;
use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;
use siltstone_testkit::schedule::Violation;
use ulid::Ulid;

use super::world::{Site, span, trace_of};

pub(super) async fn run(site: Site, readings: u64) -> Result<(), Violation> {
    for _ in 0..readings {
        site.rest(4_000).await;
        while !read_once(&site).await? {}
    }
    Ok(())
}

/// False: the snapshot expired meanwhile, or the store failed.
async fn read_once(site: &Site) -> Result<bool, Violation> {
    let (before, deleted) = {
        let world = site.world.borrow();
        (world.committed.clone(), world.deleted.clone())
    };
    let fresh = Cover { fresh: true, ..Cover::default() };
    let Ok(snapshot) = site.catalog.snapshot(&fresh).await else { return Ok(false) };
    let Some(spans) = read_all(site, &snapshot, &Tenant::single()).await? else { return Ok(false) };
    let mut times: BTreeMap<u64, u32> = BTreeMap::new();
    for span in &spans {
        *times.entry(checked(span)?).or_default() += 1;
    }
    let mut world = site.world.borrow_mut();
    for (number, times) in &times {
        let attempts = world.attempts.get(number).map_or(0, Vec::len);
        if *times as usize > attempts {
            return Err(format!("span {number} was flushed {attempts} times, and is there {times} times"));
        }
    }
    if let Some(back) = times.keys().find(|number| world.is_deleted(**number, &deleted)) {
        return Err(format!("span {back} was deleted, and is there"));
    }
    let missed = before
        .iter()
        .find(|(number, known)| !times.contains_key(number) && !world.may_be_deleted(**number, **known));
    if let Some((missed, _)) = missed {
        return Err(format!("span {missed} was committed, and is not there"));
    }
    let taken_again = times.keys().filter(|number| deleted.contains_key(&trace_of(**number)));
    world.counts.taken_again += taken_again.count() as u64;
    world.counts.readings += 1;
    Ok(true)
}

/// All spans of a tenant that are not deleted, however often they are there. None: the snapshot expired meanwhile, or the
/// store failed.
pub(super) async fn read_all(
    site: &Site,
    snapshot: &Snapshot,
    tenant: &Tenant,
) -> Result<Option<Vec<Span>>, Violation> {
    let found = match site.catalog.blocks(snapshot, tenant, 0, u64::MAX).await {
        Ok(found) => found,
        Err(SnapshotError::Gone { key }) => return gone(site, snapshot, &key.to_string()),
        Err(_) => return Ok(None),
    };
    let mut all = Vec::new();
    for block in &found.blocks {
        let is_slow = site.rng.borrow_mut().random_bool(0.01);
        if is_slow {
            site.rest(40_000).await;
        }
        let Some(spans) = read_block(site, block).await? else {
            return gone(site, snapshot, &block.id().to_string());
        };
        all.extend(
            spans.into_iter().filter(|span| !found.deleted.hides(&span.trace_id, block.clean_through)),
        );
    }
    Ok(Some(all))
}

/// Something that a snapshot refers to is not there: only after its time.
fn gone<T>(site: &Site, snapshot: &Snapshot, what: &str) -> Result<Option<T>, Violation> {
    if site.clock.monotonic() < snapshot.expires() {
        return Err(format!(
            "{what} is gone, and the snapshot of root {} refers to it",
            snapshot.root.number
        ));
    }
    site.world.borrow_mut().counts.late_readings += 1;
    Ok(None)
}

/// All spans of a block, which must be what its entry says. None: it is gone.
async fn read_block(site: &Site, block: &BlockEntry) -> Result<Option<Vec<Span>>, Violation> {
    let Some(spans) = site.get(ObjectKey::Spans(block.id())).await else { return Ok(None) };
    let Some(origins) = site.get(ObjectKey::Origins(block.id())).await else { return Ok(None) };
    let (_, said) = OriginsFile::open_unverified("origins", &origins).map_err(|error| error.to_string())?;
    let mut summary = block.summary.clone();
    // Its files alone say what it was made of.
    summary.identity.inputs = said.identity.inputs;
    let whole = WholeBlock { summary: &summary, spans: &spans, origins: &origins };
    check_f1(&whole).map(Some).map_err(|error| error.to_string())
}

/// The number of a span that says all that it must.
fn checked(found: &Span) -> Result<u64, Violation> {
    let number: u64 = found.name.parse().map_err(|_| format!("a span is called `{}`", found.name))?;
    if !same_span(found, &span(number)) {
        return Err(format!("span {number} is another one: {found:?}"));
    }
    Ok(number)
}

/// When all is merged: nothing waits, no row of a deleted trace is left, and each trace lies in one day, that of its
/// earliest span among those that were merged together.
pub(super) async fn check_all_is_merged(site: Site) -> Result<(), Violation> {
    let (fresh, tenant) = (Cover { fresh: true, ..Cover::default() }, Tenant::single());
    let snapshot = site.catalog.snapshot(&fresh).await.map_err(|error| error.to_string())?;
    if !snapshot.entries.is_empty() {
        return Err("the log holds entries that nobody has folded".to_owned());
    }
    let said = |error: SnapshotError| error.to_string();
    // Of each trace that was merged in one job: where it lies, and when it begins.
    let mut found: BTreeMap<(Option<Ulid>, TraceId), (BTreeSet<Day>, u64)> = BTreeMap::new();
    for page in site.catalog.pages(&snapshot, &tenant).await.map_err(said)? {
        let Section::Day(day) = page.section else { return Err("blocks were left in the inbox".to_owned()) };
        for block in &site.catalog.blocks_of(&tenant, &page).await.map_err(said)?.blocks {
            let Some(spans) = read_block(&site, block).await? else {
                return Err(format!("block {} is gone", block.id()));
            };
            for span in &spans {
                let world = site.world.borrow();
                if world.is_deleted(checked(span)?, &world.deleted) {
                    return Err(format!(
                        "span {} was deleted, and block {} still has it",
                        span.name,
                        block.id()
                    ));
                }
                let of_trace = found.entry((block.disjoint_set, span.trace_id)).or_default();
                of_trace.1 =
                    if of_trace.0.is_empty() { u64::MAX } else { of_trace.1 }.min(span.start_unix_nano);
                of_trace.0.insert(day);
            }
        }
    }
    for ((_, trace), (days, start)) in found {
        if days != BTreeSet::from([Day::of_unix_nano(start)]) {
            return Err(format!("trace {trace} begins at {start}, and lies in {days:?}"));
        }
    }
    Ok(())
}
