//! Somebody who deletes traces, and is told when nobody sees them any more. One that is killed does not know whether
//! what he asked for is done.

use rand::Rng;
use siltstone_catalog::change::AddMark;
use siltstone_catalog::mark::{MarkKind, MarkTarget};
use siltstone_format::tenant::Tenant;
use siltstone_testkit::schedule::Violation;

use super::world::{Site, TRACES, trace_id};

pub(super) async fn run(site: Site, deletions: u64) -> Result<(), Violation> {
    for _ in 0..deletions {
        site.rest(20_000).await;
        let trace = site.rng.borrow_mut().random_range(0..TRACES);
        site.world.borrow_mut().asked_to_delete.insert(trace);
        let (kind, target) = (MarkKind::Delete, MarkTarget::Trace(trace_id(trace)));
        let mark = AddMark { tenant: Tenant::single(), kind, target };
        let published = loop {
            match site.catalog.publish(&mark).await {
                Ok(published) => break published,
                Err(_) => site.rest(300).await,
            }
        };
        let mut world = site.world.borrow_mut();
        // Nobody else gives marks numbers.
        world.deleted.insert(trace, published.root().mark_number);
        world.asked_to_delete.remove(&trace);
        world.counts.deletions += 1;
    }
    Ok(())
}
