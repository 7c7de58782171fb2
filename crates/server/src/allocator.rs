//! How the allocator treats memory that is free: it goes back to the system, at once or soon.
//!
//! Where spans come in, columns grow and go by tens of megabytes. With mimalloc's defaults a million spans left the
//! process at 390 MB at its peak, of which half was free; so it is 200 MB, for 0.1 µs of processor time a span. A
//! large answer takes and frees the same memory again and again: given back at once, that is a third of its time.
//! `docs/benchmarks.md` has what it was measured by.

use libmimalloc_sys::{mi_option_set, mi_option_t};

use crate::settings::Role;

/// In the C header of mimalloc; the crate has no name for them.
const ARENA_EAGER_COMMIT: mi_option_t = 4;
const PURGE_DELAY: mi_option_t = 15;

/// To be called first of all.
pub fn give_back_free_memory() {
    set(ARENA_EAGER_COMMIT, 0);
    set(PURGE_DELAY, 0);
}

/// For a process that answers queries: what is free stays for a moment.
pub fn keep_free_memory(role: Role) {
    match role {
        Role::All => set(PURGE_DELAY, 100),
        Role::Query => set(PURGE_DELAY, 1_000),
        Role::Ingest | Role::Compact => {}
    }
}

fn set(option: mi_option_t, value: std::ffi::c_long) {
    // SAFETY: it sets a number in a table of the allocator's, at any time and from any thread; the options above are
    // within the table in versions 2 and 3 of mimalloc.
    unsafe { mi_option_set(option, value) }
}
