//! What can be wrong with a file. Every error names the object.

use parquet::errors::ParquetError;

/// An object cannot be read as part of a block.
#[derive(Debug, thiserror::Error)]
#[error("{object}: {wrong}")]
pub struct ReadError {
    pub object: String,
    pub wrong: Wrong,
}

/// What is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum Wrong {
    #[error("it is no Parquet file, or a damaged one: {0}")]
    NotParquet(#[from] ParquetError),
    #[error("it is a Parquet file that Siltstone did not write (no `{missing}`)")]
    NotOurs { missing: &'static str },
    #[error(
        "its format version is {found}, and this program reads {oldest} to {newest}: \
         read it with the release that wrote it, or a newer one"
    )]
    Version { found: u32, oldest: u32, newest: u32 },
    #[error("it is the `{found}` file of a block, and the `{expected}` file was expected")]
    OtherFile { found: String, expected: &'static str },
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    #[error("it is damaged: column `{column}`, row group {group}: {what}")]
    Page { column: String, group: usize, what: &'static str },
    #[error("bytes {start} to {end} are needed and were not given: the object may be cut off")]
    MissingRange { start: u64, end: u64 },
}

impl ReadError {
    pub(crate) fn new(object: &str, wrong: Wrong) -> Self {
        Self { object: object.to_owned(), wrong }
    }
}
