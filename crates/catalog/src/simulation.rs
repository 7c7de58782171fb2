//! The protocol under a seeded schedule.
