//! The version of the files' layout. A reader refuses a version that it does not know.

/// Layout that this crate writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// Oldest layout that this crate still reads.
pub const OLDEST_FORMAT_VERSION: u32 = 1;

/// Whether files of this version can be read.
pub fn is_known(version: u32) -> bool {
    (OLDEST_FORMAT_VERSION..=FORMAT_VERSION).contains(&version)
}
