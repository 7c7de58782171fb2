//! The compactor as a part of the process, or as all that it does.

use std::sync::Arc;

use siltstone_catalog::sweep::{SweepMode, Swept};
use siltstone_catalog::time::Clock;
use siltstone_compactor::config::CompactorConfig;
use siltstone_compactor::metrics::Metrics;
use siltstone_compactor::service::Compactor;

use crate::parts::{Shared, StartError, failed, shared};
use crate::settings::Resolved;

pub(crate) fn start_compact(settings: &Resolved, shared: &Shared) -> Arc<Compactor> {
    let compact = settings.compact;
    let config = CompactorConfig {
        jobs: compact.jobs,
        memory_bytes: compact.memory_bytes,
        idle_pause: compact.idle_pause,
        sweep_every: compact.sweep_every,
        retention: settings.retention.clone(),
        ..CompactorConfig::default()
    };
    let (catalog, clock) = (Arc::clone(&shared.catalog), Arc::clone(&shared.clock));
    Arc::new(Compactor::new(catalog, clock, config, Arc::new(Metrics::default())))
}

/// Merges all that there is, sweeps, and says what it did.
pub async fn compact_once(settings: &Resolved, clock: Arc<dyn Clock>) -> Result<String, StartError> {
    let compactor = start_compact(settings, &shared(settings, clock).await?);
    compactor.once().await.map_err(failed)?;
    let counts = compactor.metrics().counts();
    Ok(format!(
        "{} merges: {} blocks with {} spans ({} bytes) became {} blocks with {} spans ({} bytes); {} spans \
         were deleted; {} spans and {} whole blocks were not kept any longer; {} objects deleted\n",
        counts.jobs_done,
        counts.blocks_read,
        counts.rows_read,
        counts.bytes_read,
        counts.blocks_written,
        counts.rows_written,
        counts.bytes_written,
        counts.rows_deleted,
        counts.rows_expired,
        counts.blocks_expired,
        counts.objects_swept,
    ))
}

/// Deletes what nobody needs, or only says what that is.
pub async fn sweep_once(
    settings: &Resolved,
    clock: Arc<dyn Clock>,
    mode: SweepMode,
) -> Result<String, StartError> {
    let compactor = start_compact(settings, &shared(settings, clock).await?);
    compactor.make_ready().await.map_err(failed)?;
    let swept = compactor.sweep(mode).await.map_err(failed)?;
    Ok(said(&swept, mode))
}

/// A line an object, and one in the end.
fn said(swept: &Swept, mode: SweepMode) -> String {
    let kinds = [
        ("replaced", &swept.retired),
        ("orphan", &swept.orphans),
        ("log entry", &swept.log_entries),
        ("old root", &swept.roots),
    ];
    let mut text = String::new();
    for (kind, keys) in kinds {
        keys.iter().for_each(|key| text.push_str(&format!("{kind}\t{key}\n")));
    }
    if let Some(key) = &swept.unreadable {
        text.push_str(&format!(
            "`{key}` cannot be read, so that no orphan can be told from what it refers to\n"
        ));
    }
    for (key, why) in &swept.failed {
        text.push_str(&format!("not deleted\t{key}\t{why}\n"));
    }
    let count: usize = kinds.iter().map(|(_, keys)| keys.len()).sum::<usize>() - swept.failed.len();
    let what = if mode == SweepMode::DryRun { "would be deleted" } else { "deleted" };
    text.push_str(&format!("{count} objects {what}\n"));
    text
}
