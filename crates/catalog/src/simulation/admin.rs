//! Somebody who deletes traces and gives up days.

use siltstone_format::day::Day;

use siltstone_testkit::schedule::Violation;

use super::world::{SimSpan, Site};
use super::writer::{DAYS, tenants};
use crate::change::{AddMark, CutDays};
use crate::mark::{MarkKind, MarkTarget};

pub(super) async fn run(site: Site, rounds: u64) -> Result<(), Violation> {
    for round in 0..rounds {
        site.rest(6_000).await;
        delete_one(&site).await;
        if round == 1 && site.draw(2) == 0 {
            give_up_a_day(&site).await;
        }
    }
    Ok(())
}

async fn delete_one(site: &Site) {
    let spans: Vec<SimSpan> = site.world.borrow().spans.values().cloned().collect();
    let Some(span) = spans.get(site.draw(spans.len() as u64) as usize) else { return };
    site.world.borrow_mut().deletions_asked.insert(span.number);
    let mark = AddMark {
        tenant: span.tenant.clone(),
        kind: MarkKind::Delete,
        target: MarkTarget::Trace(span.trace()),
    };
    if site.catalog.publish(&mark).await.is_ok() {
        site.tell(|| format!("deletion of {} confirmed", span.number));
        site.world.borrow_mut().deletions_confirmed.insert(span.number, site.clock.monotonic());
    }
}

async fn give_up_a_day(site: &Site) {
    let tenant = tenants()[site.draw(2) as usize].clone();
    let first_kept = Day(DAYS[1]);
    site.world.borrow_mut().cut_asked.insert(tenant.clone(), first_kept);
    if site.catalog.publish(&CutDays { tenant: tenant.clone(), first_kept }).await.is_ok() {
        site.world.borrow_mut().cut_confirmed.insert(tenant, (first_kept, site.clock.monotonic()));
    }
}
