//! Every store that can be opened, put through what the catalog needs of it.
#![expect(clippy::unwrap_used, reason = "what the tests share is a test too")]

// Here:
mod local;
// and in processes of their own.
mod azurite;
mod minio;
