//! What the program was told: defaults, then the file, then variables, then flags, checked once and turned
//! into plain structs.

// Every setting there is.
pub(crate) mod list;
// As they are written, layer upon layer.
mod layers;
// As they are meant.
mod resolve;

pub use layers::SettingsError;
pub(crate) use layers::{Layers, Origin, lines_of};
pub use resolve::{Compact, Durability, Ingest, Listen, Query, Resolved, Role};

/// Names the settings file; what the flag `--config` is elsewhere.
pub(crate) const FILE_VARIABLE: &str = "SILTSTONE_CONFIG";
/// Read if it is there and no other is named.
pub(crate) const USUAL_FILE: &str = "siltstone.toml";

#[cfg(test)]
mod tests;
