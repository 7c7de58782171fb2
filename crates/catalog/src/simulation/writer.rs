//! A writer: accepts spans into flushes and commits them, in the order of their numbers.

use std::collections::BTreeMap;

use siltstone_format::day::Day;
use siltstone_format::id::{BlockId, WriterId};
use siltstone_format::tenant::Tenant;

use siltstone_testkit::schedule::Violation;

use super::world::{Flush, SimSpan, Site, entry_of};
use crate::commit::Fate;
use crate::log_entry::LogEntry;
use crate::time::{StoreTime, drawn_at};

/// Days that spans lie in.
pub(super) const DAYS: [u32; 2] = [100, 101];

pub(super) fn tenants() -> [Tenant; 2] {
    ["one", "two"].map(|name| name.parse().expect("a tenant's name"))
}

/// Begins an incarnation: what is pending is of an earlier one.
pub(super) fn begin(site: &Site, index: usize) {
    let mut world = site.world.borrow_mut();
    let log = &mut world.writers[index];
    log.up = true;
    log.pending.iter_mut().for_each(|flush| {
        flush.old = true;
        flush.blocks.clear();
    });
    log.current = Some(WriterId(site.catalog.next_id()));
    log.next = 0;
}

pub(super) async fn run(site: Site, index: usize) -> Result<(), Violation> {
    loop {
        site.rest(400).await;
        let pending = site.world.borrow().writers[index].pending.len();
        if pending == 0 || (pending < 2 && site.draw(2) == 0) {
            accept(&site, index);
        }
        let first = site.world.borrow().writers[index].pending.first().cloned();
        match first {
            Some(flush) => commit(&site, index, &flush).await,
            None => return Ok(()),
        }
    }
}

/// Opens a flush with some spans, if there are more to come.
fn accept(site: &Site, index: usize) {
    let (tenants, count) = (tenants(), 1 + site.draw(3));
    let drawn = || (site.draw(2) as usize, Day(DAYS[site.draw(2) as usize]));
    let drawn: Vec<_> = (0..count).map(|_| drawn()).collect();
    let mut world = site.world.borrow_mut();
    if world.writers[index].to_accept == 0 {
        return;
    }
    let first = world.spans.len() as u64;
    let spans: Vec<SimSpan> = drawn
        .into_iter()
        .zip(first..)
        .map(|((tenant, day), number)| SimSpan { number, tenant: tenants[tenant].clone(), day })
        .collect();
    world.spans.extend(spans.iter().map(|span| (span.number, span.clone())));
    let log = &mut world.writers[index];
    log.to_accept -= 1;
    let Some(current) = log.current else { return };
    log.pending.push(Flush { label: (current, log.next), spans, old: false, blocks: Vec::new() });
    log.next += 1;
}

async fn commit(site: &Site, index: usize, flush: &Flush) {
    let opened = (!flush.old).then(|| site.clock.monotonic());
    let mut of_tenants: BTreeMap<Tenant, Vec<SimSpan>> = BTreeMap::new();
    for span in &flush.spans {
        of_tenants.entry(span.tenant.clone()).or_default().push(span.clone());
    }
    let named: Vec<(BlockId, Tenant, Vec<SimSpan>)> = of_tenants
        .into_iter()
        .map(|(tenant, spans)| (BlockId(site.catalog.next_id()), tenant, spans))
        .collect();
    site.world.borrow_mut().writers[index].pending[0].blocks = named.iter().map(|(id, ..)| *id).collect();
    for (block, _, spans) in &named {
        site.write_block(*block, spans).await;
    }
    let (writer, number) = flush.label;
    let blocks = named.iter().map(|(block, tenant, spans)| entry_of(*block, tenant, spans)).collect();
    let entry = LogEntry { writer, number, blocks };
    site.tell(|| {
        format!(
            "writer {index} commits {:?} (old: {}) spans {:?} as {:?}",
            flush.label,
            flush.old,
            flush.spans.iter().map(|span| span.number).collect::<Vec<_>>(),
            named.iter().map(|(id, ..)| *id).collect::<Vec<_>>()
        )
    });
    loop {
        match site.catalog.commit(&entry, opened).await {
            Ok(Fate::Committed) => return committed(site, index, flush),
            Ok(Fate::Fenced { root }) => return relabel(site, index, flush, root),
            // Written again under the same name.
            Ok(Fate::Missing) | Err(_) => site.rest(300).await,
        }
    }
}

fn committed(site: &Site, index: usize, flush: &Flush) {
    site.tell(|| format!("writer {index} committed {:?}", flush.label));
    let mut world = site.world.borrow_mut();
    world.counts.commits += 1;
    world.counts.resolved += u64::from(flush.old);
    let log = &mut world.writers[index];
    log.listed_soon.push((site.clock.monotonic(), flush.spans.clone()));
    log.pending.remove(0);
    let (writer, number) = flush.label;
    log.committed.insert(writer, number + 1);
}

/// All that is pending under the fenced writer goes on under a new one.
fn relabel(site: &Site, index: usize, flush: &Flush, root: u64) {
    site.tell(|| format!("writer {index} is fenced by root {root}: {:?}", flush.label));
    let fenced = flush.label.0;
    let fresh = WriterId(site.catalog.next_id());
    let now = StoreTime(site.store.clock().now() / 1_000_000);
    let is_forgotten = drawn_at(fenced.0) < now.minus(site.catalog.windows().forget_writer);
    let mut world = site.world.borrow_mut();
    world.counts.fenced += 1;
    if is_forgotten {
        let spans: Vec<u64> = flush.spans.iter().map(|span| span.number).collect();
        world.may_double.extend(spans);
    }
    let log = &mut world.writers[index];
    log.min_root = log.min_root.max(root);
    let mut next = 0;
    for pending in log.pending.iter_mut().filter(|pending| pending.label.0 == fenced) {
        pending.label = (fresh, next);
        next += 1;
    }
    if log.current == Some(fenced) {
        log.current = Some(fresh);
        log.next = next;
    }
}
