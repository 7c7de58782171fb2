//! OTLP, in its encodings.

// JSON into the protobuf encoding: what follows knows only that one.
pub mod json;
