//! What the compactor is told.

use std::time::Duration;

use super::{Values, count, duration, size};
use crate::settings::SettingsError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compact {
    pub jobs: usize,
    /// Of all jobs together.
    pub memory_bytes: usize,
    pub idle_pause: Duration,
    pub sweep_every: Duration,
}

/// What a job needs, however little it merges.
const LEAST_JOB_BYTES: usize = 64 << 20;

pub(super) fn compact(values: &Values<'_>) -> Result<Compact, SettingsError> {
    let jobs = values.needed("compact.jobs", count)?;
    let memory_bytes = values.needed("compact.memory", size)?;
    if memory_bytes / jobs < LEAST_JOB_BYTES {
        let what =
            format!("is less than {} MiB for each of {jobs} jobs (compact.jobs)", LEAST_JOB_BYTES >> 20);
        return Err(values.complaint("compact.memory", what));
    }
    Ok(Compact {
        jobs,
        memory_bytes,
        idle_pause: values.needed("compact.pause", duration)?,
        sweep_every: values.needed("compact.sweep_every", duration)?,
    })
}
