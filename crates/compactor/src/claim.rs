//! Who works on what: a lease for each job, renewed as long as the work goes on.
//!
//! A lease saves work and decides nothing. If it is lost, somebody else may do the same, and publishing sorts out
//! whose work counts.

use std::sync::Arc;
use std::time::Duration;

use siltstone_catalog::Catalog;
use siltstone_catalog::bucket::StoreError;
use siltstone_catalog::lease::{Acquired, Lease};
use siltstone_catalog::time::Clock;

/// What became of work under a lease.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Claimed<T> {
    Done(T),
    /// Somebody else works on it.
    Busy,
    /// Somebody took it over: the work was stopped.
    Lost,
}

/// Does work unless somebody else does it.
pub(crate) async fn claimed<T>(
    catalog: &Arc<Catalog>,
    clock: &Arc<dyn Clock>,
    name: &str,
    lasts: Duration,
    work: impl Future<Output = T>,
) -> Result<Claimed<T>, StoreError> {
    let lease = match catalog.acquire_lease(name, lasts).await? {
        Acquired::Ours(lease) => lease,
        Acquired::Busy { .. } => return Ok(Claimed::Busy),
    };
    let mut held = lease.clone();
    let outcome = tokio::select! {
        biased;
        done = work => Claimed::Done(done),
        () = keep(catalog, clock, &mut held, lasts / 3) => Claimed::Lost,
    };
    if let Claimed::Done(_) = outcome
        && let Err(error) = catalog.release_lease(&held).await
    {
        tracing::debug!(%error, name, "a lease was not given back: it becomes stale");
    }
    Ok(outcome)
}

/// Renews a lease until it is somebody else's. A store that does not answer takes no lease away.
async fn keep(catalog: &Catalog, clock: &Arc<dyn Clock>, held: &mut Lease, pause: Duration) {
    loop {
        clock.sleep(pause).await;
        match catalog.renew_lease(held).await {
            Ok(Some(renewed)) => *held = renewed,
            Ok(None) => return,
            Err(error) => tracing::debug!(%error, "a lease was not renewed"),
        }
    }
}
