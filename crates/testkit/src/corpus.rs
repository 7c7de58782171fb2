//! Spans to try things on.

// Short ways to write OTLP messages.
pub mod build;
// Requests made by hand, each with one thing that hurts.
pub mod nasty;
// Small random requests that collide.
pub mod arbitrary;
