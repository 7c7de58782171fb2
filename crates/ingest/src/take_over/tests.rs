//! Ingesters in object mode, of which some die, are paused, or meet faults, on one virtual clock.

// A store and its ingesters.
mod world;
// Who has died: what it acknowledged is committed, and what it left behind goes.
mod dead;
// Who was taken for dead, and lives.
mod zombies;
// Who lives, and what it holds on to while the store fails it.
mod living;
// What was deleted, and who knew it.
mod deleted;
// What one that lives has in the store, and how often it writes there.
mod footprint;
// Anything at any time.
mod faults;
