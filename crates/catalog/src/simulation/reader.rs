//! A reader: asks the writers, takes a snapshot that covers them, reads all blocks, and
//! compares what it found with the truth.

use std::collections::{BTreeMap, BTreeSet};

use std::time::Duration;

use siltstone_format::day::Day;
use siltstone_format::filter::transposed::GroupKind;
use siltstone_format::id::{BlockId, WriterId};
use siltstone_format::tenant::Tenant;

use siltstone_testkit::schedule::Violation;

use super::compactor::deleted;
use super::world::{Flush, SimSpan, Site};
use super::writer::tenants;
use crate::block_entry::BlockEntry;
use crate::groups::Wanted;
use crate::planted::{Bug, planted};
use crate::snapshot::{Cover, Snapshot, SnapshotError};

pub(super) async fn run(site: Site, rounds: u64) -> Result<(), Violation> {
    for _ in 0..rounds {
        site.rest(3_000).await;
        let before = Before::now(&site);
        while let Some(answer) = ask(&site).await? {
            let is_in_time = answer.in_time;
            let mut world = site.world.borrow_mut();
            if is_in_time {
                world.counts.queries += 1;
                drop(world);
                before.check(&site, &answer)?;
                break;
            }
            // The snapshot expired while it was read: begin again with a new one.
            world.counts.late_queries += 1;
        }
    }
    Ok(())
}

/// The truth as it was when the query began.
struct Before {
    spans: BTreeSet<u64>,
    deleted: BTreeSet<u64>,
    cut: BTreeMap<Tenant, Day>,
}

#[derive(Default)]
struct Answer {
    found: BTreeMap<u64, u32>,
    /// Spans of writers that were down: nobody can ask for them.
    unreachable: BTreeSet<u64>,
    in_time: bool,
}

#[derive(Default)]
struct Live {
    flushes: Vec<Flush>,
    cover: Cover,
    unreachable: BTreeSet<u64>,
}

impl Before {
    fn now(site: &Site) -> Self {
        let world = site.world.borrow();
        let since = site.clock.monotonic().checked_sub(site.catalog.windows().snapshot_age);
        let in_force = |at: &Duration| since.is_some_and(|since| *at < since);
        let deleted = world.deletions_confirmed.iter().filter(|(_, at)| in_force(at));
        let cut = world.cut_confirmed.iter().filter(|(_, (_, at))| in_force(at));
        Self {
            spans: world.spans.keys().copied().collect(),
            deleted: deleted.map(|(number, _)| *number).collect(),
            cut: cut.map(|(tenant, (day, _))| (tenant.clone(), *day)).collect(),
        }
    }

    fn check(&self, site: &Site, answer: &Answer) -> Result<(), Violation> {
        let world = site.world.borrow();
        for (number, times) in &answer.found {
            let span = &world.spans[number];
            if *times > 1 && !world.may_double.contains(number) {
                return Err(format!("span {number} was seen {times} times"));
            }
            if self.deleted.contains(number) {
                return Err(format!("span {number} was seen though its deletion was confirmed"));
            }
            if self.cut.get(&span.tenant).is_some_and(|cut| span.day < *cut) {
                return Err(format!("span {number} was seen though its day was given up"));
            }
        }
        for number in &self.spans {
            let span = &world.spans[number];
            let may_miss = world.deletions_asked.contains(number)
                || answer.unreachable.contains(number)
                || world.cut_asked.get(&span.tenant).is_some_and(|cut| span.day < *cut);
            if !may_miss && !answer.found.contains_key(number) {
                return Err(format!("span {number} was missed"));
            }
        }
        Ok(())
    }
}

/// What the writers hold, each asked at a moment of its own.
async fn ask_writers(site: &Site) -> Live {
    let mut live = Live::default();
    let writers = site.world.borrow().writers.len();
    for index in 0..writers {
        site.rest(50).await;
        let world = site.world.borrow();
        let log = &world.writers[index];
        if log.up {
            live.flushes.extend(log.pending.iter().cloned());
            live.cover.committed.extend(log.committed.iter().map(|(writer, next)| (*writer, *next)));
            live.cover.min_root = live.cover.min_root.max(log.min_root);
        } else {
            // Whoever is up says what is committed, and a listing that lacks it is repeated.
            let since = site.clock.monotonic().saturating_sub(site.catalog.windows().visibility);
            let lagging = log.listed_soon.iter().filter(|(at, _)| *at >= since).flat_map(|(_, spans)| spans);
            let held = log.pending.iter().flat_map(|flush| &flush.spans);
            live.unreachable.extend(held.chain(lagging).map(|span| span.number));
            live.cover.fresh = true;
        }
    }
    live
}

/// One query. None: it gave up, because the store failed too often.
async fn ask(site: &Site) -> Result<Option<Answer>, Violation> {
    for _ in 0..20 {
        let mut live = if planted(Bug::LiveLast) { Live::default() } else { ask_writers(site).await };
        let snapshot = match site.catalog.snapshot(&live.cover).await {
            Ok(snapshot) => snapshot,
            Err(SnapshotError::NotCovered(what)) => {
                return Err(format!("a snapshot taken after the live answers does not cover {what}"));
            }
            Err(_) => continue,
        };
        if planted(Bug::LiveLast) {
            live = ask_writers(site).await;
        }
        let is_stale = |flush: &Flush| snapshot.is_stale(flush.label.0, flush.label.1);
        if live.flushes.iter().any(is_stale) && !planted(Bug::NoSecondLive) {
            continue;
        }
        if let Some(answer) = answer(site, &snapshot, live).await? {
            return Ok(Some(answer));
        }
    }
    Ok(None)
}

async fn answer(site: &Site, snapshot: &Snapshot, live: Live) -> Result<Option<Answer>, Violation> {
    let mut answer = Answer { unreachable: live.unreachable, ..Answer::default() };
    let mut blocks = BTreeSet::new();
    for tenant in tenants() {
        let found = match site.catalog.blocks(snapshot, &tenant, 0, u64::MAX).await {
            Ok(found) => found,
            Err(SnapshotError::Gone { key }) => return gone(site, snapshot, &key.to_string()),
            Err(_) => return Ok(None),
        };
        for block in &found.blocks {
            if !blocks.insert(block.id()) {
                return Err(format!("C2: block {} is there twice", block.id()));
            }
            let Some(spans) = site.read_block(block.id()).await else {
                return gone(site, snapshot, &block.id().to_string());
            };
            let hidden = deleted(&found.marks, block.clean_through);
            add(&mut answer, snapshot, spans.iter().filter(|span| !hidden.contains(&span.trace())));
        }
        if !look_up(site, snapshot, &tenant, &found.blocks).await? {
            return Ok(None);
        }
        let all_marks = deleted(&found.marks, 0);
        let of_tenant = |span: &&SimSpan| span.tenant == tenant && !all_marks.contains(&span.trace());
        for flush in live.flushes.iter().filter(|flush| !is_in(snapshot, flush, &blocks)) {
            add(&mut answer, snapshot, flush.spans.iter().filter(of_tenant));
        }
    }
    site.tell(|| {
        let labels: Vec<_> = live.flushes.iter().map(|flush| flush.label).collect();
        format!(
            "answer of root {}, entries {:?}, blocks {blocks:?}, live {labels:?}, cover {:?}: {:?}",
            snapshot.root.number,
            snapshot.entries.iter().map(|entry| (entry.writer, entry.number)).collect::<Vec<_>>(),
            live.cover,
            answer.found
        )
    });
    answer.in_time = site.clock.monotonic() <= snapshot.expires();
    Ok(Some(answer))
}

/// Looks one span up by its trace alone: its block must be found. False: something could
/// not be read, and may be so.
async fn look_up(
    site: &Site,
    snapshot: &Snapshot,
    tenant: &Tenant,
    blocks: &[BlockEntry],
) -> Result<bool, Violation> {
    let Some(block) = blocks.get(site.draw(blocks.len() as u64) as usize) else { return Ok(true) };
    let Some(spans) = site.read_block(block.id()).await else {
        return gone(site, snapshot, &block.id().to_string()).map(|_| false);
    };
    let Some(span) = spans.get(site.draw(spans.len() as u64) as usize) else { return Ok(true) };
    let kind = if site.draw(2) == 0 { GroupKind::TraceIds } else { GroupKind::Terms };
    let all_of_any = [vec![span.key()]];
    let wanted = Wanted { kind, all_of_any: &all_of_any, from_unix_nano: 0, to_unix_nano: u64::MAX };
    let found = match site.catalog.blocks_that_may_hold(snapshot, tenant, wanted).await {
        Ok(found) => found,
        Err(SnapshotError::Gone { key }) => return gone(site, snapshot, &key.to_string()).map(|_| false),
        Err(_) => return Ok(false),
    };
    let candidates = found.holding.len() + found.unasked.len();
    site.world.borrow_mut().counts.excluded += blocks.len().saturating_sub(candidates) as u64;
    match found.holding.iter().chain(&found.unasked).any(|found| found.id() == block.id()) {
        true => Ok(true),
        false => Err(format!("block {} was missed by its filter groups", block.id())),
    }
}

/// Whether the snapshot has a live flush, so that its spans must not be added.
fn is_in(snapshot: &Snapshot, flush: &Flush, blocks: &BTreeSet<BlockId>) -> bool {
    if planted(Bug::DropByBlock) {
        return !flush.blocks.is_empty() && flush.blocks.iter().all(|block| blocks.contains(block));
    }
    let (writer, number): (WriterId, u64) = flush.label;
    snapshot.holds(writer, number)
}

fn add<'a>(answer: &mut Answer, snapshot: &Snapshot, spans: impl Iterator<Item = &'a SimSpan>) {
    for span in spans {
        let cut = snapshot.root.tenants.get(&span.tenant).and_then(|tenant| tenant.cut);
        if cut.is_none_or(|cut| span.day >= cut) {
            *answer.found.entry(span.number).or_default() += 1;
        }
    }
}

/// Something that a snapshot refers to is not there: a broken promise, unless it is late.
fn gone(site: &Site, snapshot: &Snapshot, what: &str) -> Result<Option<Answer>, Violation> {
    match site.clock.monotonic() <= snapshot.expires() {
        true => {
            Err(format!("{what} is gone within the time of the snapshot of root {}", snapshot.root.number))
        }
        false => Ok(Some(Answer::default())),
    }
}
