//! Groups on a store: never a block missed, few requests, one tenant's own.

// A store with blocks that have real filters, and the truth about them.
mod bench;
// Lookups against the truth, whatever was done and damaged before.
mod lookups;
// What lookups and building cost.
mod budgets;
// Several at once.
mod races;
