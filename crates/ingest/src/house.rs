//! What must be in order beside the spans: there is a catalog, and the machine's clock is right.

use std::sync::Arc;
use std::time::Duration;

use siltstone_catalog::LoadError;
use siltstone_catalog::clock_check::ClockError;

use crate::backoff::Backoff;
use crate::service::{Shared, StartError};

const BETWEEN_CLOCK_CHECKS: Duration = Duration::from_hours(1);

/// Tries to make the first root. False: the store cannot be asked now, which must not keep spans out.
pub(crate) async fn begin_catalog(shared: &Shared) -> Result<bool, StartError> {
    match shared.catalog.init().await {
        Ok(()) => Ok(true),
        Err(error @ LoadError::Lost) => Err(StartError::CatalogLost(error)),
        Err(error) => {
            tracing::warn!(%error, "the store does not answer; spans are taken, and flushed later");
            Ok(false)
        }
    }
}

/// Makes the first root, if there is none, as soon as the store can be asked. False: the process must end.
pub(crate) async fn make_catalog(shared: &Shared) -> bool {
    let mut backoff = Backoff::new(shared);
    while let Err(error) = shared.catalog.init().await {
        if !backoff.failed("making the catalog", &error).await {
            return false;
        }
    }
    true
}

/// Until the ingester stops.
pub(crate) async fn keep(shared: Arc<Shared>, has_catalog: bool) {
    shared.stop.run_until_cancelled(keep_on(&shared, has_catalog)).await;
}

async fn keep_on(shared: &Shared, has_catalog: bool) {
    if !has_catalog && !make_catalog(shared).await {
        return;
    }
    loop {
        match shared.catalog.check_clock().await {
            Ok(_) => shared.halt(None),
            // Blocks would get names that others take for old, or for orphans.
            Err(error @ ClockError::Off { .. }) => {
                tracing::error!(%error, "no spans are taken");
                shared.halt(Some(error.to_string()));
            }
            Err(ClockError::Store(error)) => tracing::warn!(%error, "the clock could not be checked"),
        }
        shared.clock.sleep(BETWEEN_CLOCK_CHECKS).await;
    }
}
