//! Filter groups: the filters of many blocks side by side, so that a lookup asks a few
//! objects and not every block.
//!
//! A group holds the filters of one kind of up to 8,192 blocks of one tenant
//! (`siltstone_format::filter::transposed`). Beside it stands its index, a page that says
//! which blocks these are and in which section the catalog keeps each. A block's entry
//! says whether it is in groups, and the tenant's page how many of a page's blocks are: a
//! lookup reads the pages that a group names, and those that have other blocks.
//!
//! Groups only ever exclude blocks. What of them cannot be read excludes none, and the
//! answer says so. A member that no longer exists is found out by its section's page.

// Which blocks a group has.
pub(crate) mod index;
// What there is, what to do about it, and doing it.
mod build;
mod observe;
pub(crate) mod plan;
mod regroup;
mod upload;
// Asking.
mod probe;

pub use index::GroupIndex;
pub use probe::{Candidates, Unread, Wanted};
pub use regroup::{GroupsError, Regrouped};

#[cfg(test)]
mod tests;
