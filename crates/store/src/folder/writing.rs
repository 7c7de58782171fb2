//! Puts, copies and deletions.

use object_store::path::Path as Key;
use object_store::{PutPayload, PutResult};

use super::Folder;
use super::failure::{Failure, Result};
use super::keys::file_of;
use super::listing::is_gone;
use super::reading::{e_tag, find, open, read};
use super::staging::{Existing, Staged};

/// How much a copy holds in memory.
const COPIED_AT_ONCE_BYTES: u64 = 1 << 20;

pub(super) fn put(folder: &Folder, key: &Key, payload: &PutPayload, existing: Existing) -> Result<PutResult> {
    let target = file_of(&folder.root, key)?;
    let staged = Staged::create(folder)?;
    write_payload(&staged, payload, 0)?;
    let facts = staged.publish(folder, &target, existing)?;
    Ok(PutResult { e_tag: Some(e_tag(&facts)), version: None })
}

pub(super) fn write_payload(staged: &Staged, payload: &PutPayload, mut offset: u64) -> Result<()> {
    for bytes in payload {
        staged.write(bytes, offset)?;
        offset += bytes.len() as u64;
    }
    Ok(())
}

pub(super) fn copy(folder: &Folder, from: &Key, to: &Key, existing: Existing) -> Result<()> {
    let target = file_of(&folder.root, to)?;
    let source = open(folder, from.clone())?;
    let staged = Staged::create(folder)?;
    let mut offset = 0;
    while offset < source.meta.size {
        let end = source.meta.size.min(offset.saturating_add(COPIED_AT_ONCE_BYTES));
        let bytes = read(source.file.as_ref(), from, offset..end, Vec::new())?;
        staged.write(&bytes, offset)?;
        offset = end;
    }
    staged.publish(folder, &target, existing)?;
    Ok(())
}

/// The directory is not synced: see what the store does not promise.
pub(super) fn delete(folder: &Folder, key: &Key) -> Result<()> {
    let path = file_of(&folder.root, key)?;
    // Some systems let the superuser unlink directories.
    find(folder, &path)?;
    match folder.files.unlink(&path) {
        Ok(()) => Ok(()),
        Err(error) if is_gone(&error) => Err(Failure::NotThere { path }),
        Err(error) => Err(Failure::io("remove", &path, error)),
    }
}
