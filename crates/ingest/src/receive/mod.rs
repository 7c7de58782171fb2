//! Adapters: each turns one protocol into [`crate::export::Export`]s, and the outcome into the protocol's
//! answer. No status code and no wire type goes below this folder.

// Sockets, and the end of their connections.
pub mod connections;
// OpenTelemetry, over HTTP and gRPC.
pub mod otlp;
// What was compressed on the way, within bounds.
pub mod decompress;
