//! Where objects are kept: a store is opened from its URL, with what the catalog must
//! know of it.

// A local folder, crash-safe.
pub mod folder;
// S3, MinIO, GCS and Azure.
pub mod remote;
