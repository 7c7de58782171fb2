//! The URL of a store.
//!
//! | URL | store |
//! |---|---|
//! | `file:./data`, `file:data`, `file:/srv/data`, `file:///srv/data` | a local folder |
//! | `./data`, `/srv/data` | the same |
//! | `s3://bucket/prefix` | S3, or what speaks its protocol |
//! | `gs://bucket/prefix` | Google Cloud Storage |
//! | `az://container/prefix` | Azure Blob Storage |
//! | `memory:` | nothing is kept: for tests |
//!
//! A URL names a place and nothing else: no keys, no options, because it is printed and logged. The path of a
//! folder is taken letter by letter, `%20` too. A prefix is made of segments between single slashes, and what
//! is stored under it is Siltstone's alone.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use object_store::path::Path as Key;

/// Keys have up to 1,024 bytes in every store; ours need less than the rest.
const MAX_PREFIX_BYTES: usize = 512;

/// The longest that any of the stores allows.
const MAX_BUCKET_BYTES: usize = 222;

/// Which store, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    Memory,
    Folder(PathBuf),
    S3(Place),
    Gcs(Place),
    Azure(Place),
}

/// A bucket (a container, in Azure) and the prefix of all keys in it, which may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub(crate) bucket: String,
    pub(crate) prefix: Key,
}

/// Why a text is not the URL of a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error(
        "`{0}` does not say which kind of store it names: write file:./folder, s3://bucket/prefix, \
         gs://bucket/prefix or az://container/prefix"
    )]
    NoScheme(String),
    #[error("there is no store of the kind `{scheme}:`: {}", did_you_mean(scheme))]
    UnknownScheme { scheme: String },
    #[error("`{scheme}:` is followed by `//` and the name of a bucket: {scheme}://bucket/prefix")]
    NoBucket { scheme: &'static str },
    // Not repeated here, nor with the options: it may be a secret.
    #[error(
        "keys and passwords do not belong into the URL of a store, which is printed: put them into its settings"
    )]
    Credentials,
    #[error(
        "`{bucket}` cannot be the name of a bucket: that has 3 to {MAX_BUCKET_BYTES} letters, digits, `-`, `_` \
         and `.`, and begins and ends with a letter or a digit"
    )]
    Bucket { bucket: String },
    #[error("options do not belong into the URL of a store (`{0}`): put them into its settings")]
    Options(char),
    #[error("the prefix `{prefix}` has an empty segment: write single slashes between its segments")]
    EmptySegment { prefix: String },
    #[error("the prefix `{prefix}` has a segment `{segment}`: write out the place it means")]
    Dots { prefix: String, segment: String },
    #[error(
        "the prefix `{prefix}` contains `{}`: use letters, digits and - _ . = +",
        character.escape_default()
    )]
    Character { prefix: String, character: char },
    #[error("the prefix has {0} bytes, and may have {MAX_PREFIX_BYTES}")]
    PrefixTooLong(usize),
    #[error(
        "`~` means no folder here: write out the path of the home directory, or file:./~ for such a name"
    )]
    Home,
    #[error("`{0}` names no folder: write file:./folder, or file:///folder for an absolute path")]
    NoFolder(String),
    #[error(
        "`{0}` names a folder on another machine: mount it and give its path, with one slash or three after \
         `file:`"
    )]
    OtherMachine(String),
    #[error("`memory:` keeps nothing, and takes no path")]
    MemoryPath,
}

fn did_you_mean(scheme: &str) -> &'static str {
    match scheme.to_ascii_lowercase().as_str() {
        "s3" | "s3a" | "s3n" | "minio" | "r2" => "write s3://bucket/prefix",
        "gs" | "gcs" => "write gs://bucket/prefix",
        "az" | "azure" | "abfs" | "abfss" | "wasb" | "wasbs" | "adl" => "write az://container/prefix",
        "http" | "https" => {
            "write s3://bucket/prefix, gs://bucket/prefix or az://container/prefix, and put the endpoint into \
             the settings"
        }
        _ => "there are file:, s3:, gs:, az: and memory:",
    }
}

impl FromStr for StoreUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        if text.starts_with(['.', '/']) {
            return folder(text, text);
        }
        let Some((scheme, rest)) = text.split_once(':') else { return Err(no_scheme(text)) };
        match scheme {
            "memory" if rest.is_empty() => Ok(StoreUrl::Memory),
            "memory" => Err(UrlError::MemoryPath),
            "file" => folder(text, local_path(text, rest)?),
            "s3" => place("s3", rest).map(StoreUrl::S3),
            "gs" => place("gs", rest).map(StoreUrl::Gcs),
            "az" => place("az", rest).map(StoreUrl::Azure),
            // Something else before a colon, such as a path with one in it.
            _ if !scheme.chars().all(|c| c.is_ascii_alphanumeric()) => Err(no_scheme(text)),
            // Without slashes, what stands before the colon may be the name that belongs to a password.
            _ if !rest.starts_with("//") && rest.contains('@') => Err(UrlError::Credentials),
            _ => Err(UrlError::UnknownScheme { scheme: scheme.to_owned() }),
        }
    }
}

/// Says it without repeating what may be a secret.
fn no_scheme(text: &str) -> UrlError {
    match text.chars().find(|c| matches!(c, '@' | '?' | '#')) {
        _ if text.starts_with('~') => UrlError::Home,
        Some('@') => UrlError::Credentials,
        Some(option) => UrlError::Options(option),
        None => UrlError::NoScheme(text.to_owned()),
    }
}

/// What follows `file:`: a path, or `//`, a machine and its path. The machine must be this one.
fn local_path<'a>(text: &str, rest: &'a str) -> Result<&'a str, UrlError> {
    let Some(authority) = rest.strip_prefix("//") else { return Ok(rest) };
    let path = authority.strip_prefix("localhost").unwrap_or(authority);
    match path {
        _ if path.starts_with('/') => Ok(path),
        _ if path.contains('@') => Err(UrlError::Credentials),
        _ => Err(UrlError::OtherMachine(text.to_owned())),
    }
}

fn folder(text: &str, path: &str) -> Result<StoreUrl, UrlError> {
    if path.is_empty() || path.contains('\0') {
        return Err(UrlError::NoFolder(text.to_owned()));
    }
    // Who writes it expects a shell's meaning, and would get a folder of that name.
    if path.starts_with('~') {
        return Err(UrlError::Home);
    }
    Ok(StoreUrl::Folder(PathBuf::from(path)))
}

fn place(scheme: &'static str, rest: &str) -> Result<Place, UrlError> {
    let rest = rest.strip_prefix("//").ok_or(UrlError::NoBucket { scheme })?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.contains('@') {
        return Err(UrlError::Credentials);
    }
    if let Some(option) = rest.chars().find(|c| matches!(c, '?' | '#')) {
        return Err(UrlError::Options(option));
    }
    if bucket.is_empty() {
        return Err(UrlError::NoBucket { scheme });
    }
    let is_bucket = (3..=MAX_BUCKET_BYTES).contains(&bucket.len())
        && bucket.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && bucket.starts_with(|c: char| c.is_ascii_alphanumeric())
        && bucket.ends_with(|c: char| c.is_ascii_alphanumeric());
    if !is_bucket {
        return Err(UrlError::Bucket { bucket: bucket.to_owned() });
    }
    Ok(Place { bucket: bucket.to_owned(), prefix: prefix_of(prefix)? })
}

fn prefix_of(text: &str) -> Result<Key, UrlError> {
    let prefix = text.strip_suffix('/').unwrap_or(text);
    if prefix.len() > MAX_PREFIX_BYTES {
        return Err(UrlError::PrefixTooLong(prefix.len()));
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '=' | '+');
    if let Some(character) = prefix.chars().find(|c| !is_plain(*c)) {
        return Err(UrlError::Character { prefix: prefix.to_owned(), character });
    }
    if text.is_empty() {
        return Ok(Key::default());
    }
    for segment in prefix.split('/') {
        match segment {
            "" => return Err(UrlError::EmptySegment { prefix: text.to_owned() }),
            "." | ".." => {
                let (prefix, segment) = (prefix.to_owned(), segment.to_owned());
                return Err(UrlError::Dots { prefix, segment });
            }
            _ => {}
        }
    }
    Ok(Key::from(prefix))
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreUrl::Memory => f.write_str("memory:"),
            StoreUrl::Folder(path) => write_folder(f, path),
            StoreUrl::S3(place) => write!(f, "s3://{place}"),
            StoreUrl::Gcs(place) => write!(f, "gs://{place}"),
            StoreUrl::Azure(place) => write!(f, "az://{place}"),
        }
    }
}

/// A path that begins with two slashes needs the name of the machine, even an empty one, before it.
fn write_folder(f: &mut fmt::Formatter<'_>, path: &Path) -> fmt::Result {
    if path.is_absolute() {
        write!(f, "file://{}", path.display())
    } else {
        write!(f, "file:{}", path.display())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.bucket)?;
        if self.prefix.is_root() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

#[cfg(test)]
mod tests;
