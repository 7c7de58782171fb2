//! Where objects are kept: a store is opened from its URL and its settings, with what the catalog must know
//! of how it lists.
//!
//! All stores speak `object_store`'s trait. A local folder is ours ([`folder`]), because what is acknowledged
//! must survive a crash; S3, MinIO, GCS and Azure are `object_store`'s, put right where they differ.
//! `docs/adr/0004-stores.md` says what each promises.

// What names a store,
mod url;
// what must be known beside the name,
mod settings;
// and how it is opened:
mod open;
// a local folder, crash-safe,
pub mod folder;
// or one behind a network.
mod remote;

pub use open::{Listing, OpenError, Opened, open};
pub use settings::{
    Addressing, AzureKey, AzureSettings, GcsSettings, S3Keys, S3Settings, Secret, Settings, SettingsError,
};
pub use url::{Place, StoreUrl, UrlError};
