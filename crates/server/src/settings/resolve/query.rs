//! What the querier is told.

use std::path::PathBuf;
use std::time::Duration;

use siltstone_ingest::receive::connections::Bounds;
use siltstone_querier::cache::CacheSizes;
use siltstone_querier::http::ui::UiSettings;
use siltstone_querier::http::ui::base_path::{BasePath, NoBasePath};
use siltstone_querier::limits::{Limits, OwnLimits, QueryLimits};
use siltstone_querier::turns::TurnSettings;

use super::{Values, count, duration, duration_or_none, lookback, size};
use crate::settings::SettingsError;

/// What the querier is told.
#[derive(Clone, Debug)]
pub struct Query {
    pub connections: Bounds,
    pub limits: Limits,
    pub turns: TurnSettings,
    pub caches: CacheSizes,
    /// What does not fit into memory may take on the disk.
    pub spill_bytes: u64,
    /// How far back services and operations are looked for; none: as far as there are spans.
    pub names_lookback: Option<Duration>,
    /// Clocks that differ by more are not brought together.
    pub max_clock_skew: Duration,
    pub ui: UiSettings,
}

pub(super) fn query(values: &Values<'_>) -> Result<Query, SettingsError> {
    let cache = values.needed("query.cache", size)? as u64;
    let default = QueryLimits {
        deadline: values.needed("query.deadline", duration)?,
        bytes: query_bytes(values)?,
        traces: values.needed("query.traces", count)?,
        spans: values.needed("query.spans", count)?,
        groups: values.needed("query.groups", count)?,
        memory: values.needed("query.memory", size)?,
    };
    let own = values.layers.tenants.iter().map(|(tenant, own)| {
        let bytes = query_bytes(&Values { own: Some(own), layers: values.layers })?;
        Ok((tenant.clone(), OwnLimits { bytes: Some(bytes), ..OwnLimits::default() }))
    });
    Ok(Query {
        connections: Bounds {
            connections: values.needed("query.connections", count)?,
            idle: values.needed("query.idle", duration)?,
        },
        limits: Limits { default, tenants: own.collect::<Result<_, SettingsError>>()? },
        turns: TurnSettings {
            concurrent: values.needed("query.concurrent", count)?,
            queue: values.needed("query.queue", count)?,
        },
        caches: CacheSizes::of(cache),
        spill_bytes: values.needed("query.spill_bytes", size)? as u64,
        names_lookback: values.needed("query.names_lookback", lookback)?,
        max_clock_skew: values.needed("query.max_clock_skew_adjust", duration_or_none)?,
        ui: ui(values)?,
    })
}

fn ui(values: &Values<'_>) -> Result<UiSettings, SettingsError> {
    let base_path = values.given("query.base_path", |text| {
        text.parse::<BasePath>().map_err(|error: NoBasePath| error.to_string())
    })?;
    let path = |name| values.text(name).map(PathBuf::from);
    let (dir, config) = (path("query.ui_dir"), path("query.ui_config"));
    if config.is_some() && dir.is_none() {
        let what = "is for the UI in a folder: set query.ui_dir too".to_owned();
        return Err(values.complaint("query.ui_config", what));
    }
    Ok(UiSettings { base_path: base_path.unwrap_or_default(), dir, config })
}

fn query_bytes(values: &Values<'_>) -> Result<u64, SettingsError> {
    Ok(values.needed("limits.default.query_bytes", size)? as u64)
}
