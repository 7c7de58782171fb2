//! The parts of a process: what its role asks for, over one store and one catalog.

use std::sync::Arc;

use rand::TryRngCore;
use siltstone_catalog::bucket::{Bucket, Listing as CatalogListing};
use siltstone_catalog::snapshot::{Cover, SnapshotError};
use siltstone_catalog::time::Clock;
use siltstone_catalog::windows::Windows;
use siltstone_catalog::{Catalog, CatalogConfig, LoadError};
use siltstone_ingest::metrics::Metrics;
use siltstone_store::{Listing, Opened, open};
use tokio::runtime::Handle;

use crate::compact::start_compact;
use crate::delete::Deleter;
use crate::ingest::{IngestCore, start_ingest};
use crate::query::{querier_without_ports, start_query};
use crate::run::{Listening, Parts};
use crate::settings::Resolved;

/// Why a process cannot start.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

pub(crate) fn failed(error: impl std::fmt::Display) -> StartError {
    StartError(error.to_string())
}

/// What all parts work on.
pub(crate) struct Shared {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) clock: Arc<dyn Clock>,
    /// As people know the store.
    pub(crate) store: String,
}

/// Opens the store and starts what the role asks for. `processors` is where plans of queries run.
pub async fn start_parts(
    settings: &Resolved,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    listening: Listening,
    processors: Handle,
) -> Result<Parts, StartError> {
    let shared = shared(settings, clock).await?;
    let ingest = match listening.live {
        Some(live) => Some(start_ingest(settings, &shared, metrics, live).await?),
        None => None,
    };
    let query = match listening.query {
        Some(_) => {
            let in_process = ingest.as_ref().map(|core| core.in_process());
            Some(start_query(settings, &shared, in_process, processors).await?)
        }
        None => None,
    };
    let compact = settings.role.compacts().then(|| start_compact(settings, &shared));
    let querier = match &query {
        Some(ports) => Arc::clone(&ports.querier),
        None => querier_without_ports(settings, &shared)?,
    };
    let deleter = Some(Arc::new(Deleter::new(Arc::clone(&shared.catalog), querier, settings.data.clone())));
    Ok(Parts { ingest: ingest.map(|core| core as Arc<dyn IngestCore>), query, compact, deleter })
}

/// Opens the store for a command about what is in it.
pub(crate) async fn shared_with_catalog(
    settings: &Resolved,
    clock: Arc<dyn Clock>,
) -> Result<Shared, StartError> {
    let shared = shared(settings, clock).await?;
    match shared.catalog.snapshot(&Cover::default()).await {
        Err(SnapshotError::Load(LoadError::Empty)) => Err(StartError(format!(
            "nothing was ever stored in {}: name the right store with --store or --data, or start `siltstone`, \
             which begins one there",
            shared.store
        ))),
        // Whatever else is wrong, the command says what it means for it.
        _ => Ok(shared),
    }
}

/// Opens the store.
pub(crate) async fn shared(settings: &Resolved, clock: Arc<dyn Clock>) -> Result<Shared, StartError> {
    let opened = open(&settings.store, &settings.store_settings).await.map_err(failed)?;
    let store = opened.name.clone();
    Ok(Shared { catalog: catalog(opened, Arc::clone(&clock))?, clock, store })
}

fn catalog(store: Opened, clock: Arc<dyn Clock>) -> Result<Arc<Catalog>, StartError> {
    let listing = match store.listing {
        Listing::Together => CatalogListing::Together,
        Listing::Apart => CatalogListing::LogThenRoots,
    };
    let bucket = Bucket::new(store.objects, listing);
    let config = CatalogConfig { bucket, clock, seed: chance()?, windows: Windows::default() };
    Ok(Arc::new(Catalog::new(config).map_err(failed)?))
}

/// The process's one source of chance: ids and hashes that nobody outside can foresee.
pub(crate) fn chance<const BYTES: usize>() -> Result<[u8; BYTES], StartError> {
    let mut bytes = [0; BYTES];
    rand::rngs::OsRng.try_fill_bytes(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
