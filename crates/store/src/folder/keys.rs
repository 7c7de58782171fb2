//! Which file a key is.
//!
//! Segment by segment, unchanged: `object_store` guarantees that a segment is not empty, not `.` or `..`,
//! and holds no `/` and no control character, so that different keys are different files and none lies
//! outside the folder. What remains are names that are taken, and names that are too long.

use std::path::{Path, PathBuf};

use object_store::path::Path as Key;

use super::failure::KeyError;

/// Holds the lock and the files that are being written.
pub(super) const RESERVED_DIR: &str = ".siltstone";

/// Names directly in the folder that are not keys: ours, and the one that ext4 puts into the root of every
/// disk and nobody but the superuser can read.
const NOT_KEYS: [&str; 2] = [RESERVED_DIR, "lost+found"];

/// Of one segment, on every file system that matters.
pub(super) const MAX_NAME_BYTES: usize = 255;

/// The file of an object.
pub(super) fn file_of(root: &Path, key: &Key) -> Result<PathBuf, KeyError> {
    if key.is_root() {
        return Err(KeyError::Empty);
    }
    path_of(root, key)
}

/// The file of an object, or the directory of a prefix, which may be the root.
pub(super) fn path_of(root: &Path, key: &Key) -> Result<PathBuf, KeyError> {
    let mut path = root.to_owned();
    for (depth, segment) in key.parts().enumerate() {
        let name = segment.as_ref();
        if depth == 0 && is_reserved(name) {
            return Err(KeyError::Reserved(name.to_owned()));
        }
        if name.len() > MAX_NAME_BYTES {
            return Err(KeyError::TooLong(name.to_owned()));
        }
        path.push(name);
    }
    Ok(path)
}

/// Whether a name directly in the folder is none of the keys. In any case of the letters: some file systems
/// do not tell them apart.
pub(super) fn is_reserved(name: &str) -> bool {
    NOT_KEYS.iter().any(|reserved| reserved.eq_ignore_ascii_case(name))
}
