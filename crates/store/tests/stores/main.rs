//! Every store that can be opened, put through what the catalog needs of it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "what the tests share is a test too")]

// Here:
mod local;
// and in processes of their own.
mod azurite;
mod minio;
// With what the environment says of AWS.
mod aws_chain;
