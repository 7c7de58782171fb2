//! Which blocks exist. The bucket is the only state: no database, no lock, no leader.
//!
//! Writers commit flushes as log entries, and whoever publishes folds the log into the
//! next root; readers take the newest root and the entries that it has not folded. The
//! protocol with its proofs is `docs/catalog.md`.
//!
//! This crate decides what is part of the data, and nothing else: it looks into no
//! span, runs no task of its own, and sends nothing unless it is asked.

// How objects are written.
pub mod message;
// What is written: a log entry, the root, a tenant's page, pages of blocks and marks.
pub mod block_entry;
pub mod block_page;
pub mod deleted;
pub mod kept;
pub mod log_entry;
pub mod mark;
pub mod root;
pub mod tenant_page;

// Time and the windows that depend on it.
pub mod time;
pub mod windows;

// Whether this machine's clock and the store's agree.
pub mod clock_check;
// The store as the catalog sees it, and one look at it.
pub mod bucket;
mod listing;
mod load;
// Which log entries count.
pub mod accept;

// A writer's side: commit a flush, and find out what became of one.
pub mod commit;
// A reader's side.
pub mod snapshot;
// What whoever merges blocks works on.
pub mod sections;
// Changing the catalog: draft a root, publish it.
pub mod change;
mod draft;
// Deleting traces, with a record of it.
pub mod deletion;
pub mod expire;
pub mod publish;
// Filters of many blocks, asked at once.
pub mod groups;
// Deleting what nobody needs.
pub mod sweep;
// Who works on what, so that nobody does it twice.
pub mod lease;
// Whether all of this holds, and what to do if the catalog is lost.
pub mod check;
pub mod rebuild;

// Everything above in one value.
mod catalog;
// One object, for people who look into a bucket.
pub mod inspect;
// Repairs that tests can switch off.
mod planted;

#[cfg(test)]
mod budgets;
#[cfg(test)]
mod crash_points;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod test_blocks;
#[cfg(test)]
mod test_clock;
#[cfg(test)]
mod test_world;

pub use catalog::{Catalog, CatalogConfig};
pub use load::LoadError;
