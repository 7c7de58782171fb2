//! A file system in memory that loses in a crash what was not synced.
//!
//! Every file and every directory has two states, the one that a process sees and the one on the disk:
//!
//! ```text
//!  append, write_at, truncate ──▶ seen content ──sync_file──▶ content on disk
//!  create, link, rename, remove ▶ seen entries ──sync_dir───▶ entries on disk
//! ```
//!
//! [`crash`](UnsyncedFiles::crash) makes the disk what is seen. The two sides are apart: a synced file in a
//! directory that was not synced is gone, an unsynced file in a synced directory is there and empty, a
//! rename that was not synced never happened. [`crash_keeping_some`](UnsyncedFiles::crash_keeping_some)
//! keeps by chance some of what was not synced, which is what leaves torn tails behind.
//!
//! Paths are texts with `/`; the root is the empty path and always there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::locked::locked;

/// Clones are the same file system.
#[derive(Clone, Default)]
pub struct UnsyncedFiles {
    disk: Arc<Mutex<Disk>>,
}

struct Disk {
    nodes: BTreeMap<NodeId, Node>,
    next_id: NodeId,
    failing_syncs: u32,
    /// How many bytes all seen files may have together.
    capacity: u64,
}

type NodeId = u64;
const ROOT: NodeId = 0;

enum Node {
    File(TwoStates<Vec<u8>>),
    Directory(TwoStates<BTreeMap<String, NodeId>>),
}

/// What a process sees, and what is left after a crash.
#[derive(Default)]
struct TwoStates<T> {
    seen: T,
    on_disk: T,
}

impl Default for Disk {
    fn default() -> Self {
        let root = Node::Directory(TwoStates::default());
        Disk { nodes: BTreeMap::from([(ROOT, root)]), next_id: 1, failing_syncs: 0, capacity: u64::MAX }
    }
}

impl UnsyncedFiles {
    /// An empty directory. Its parent must be there, and it must not.
    pub fn create_dir(&self, path: &str) -> io::Result<()> {
        locked(&self.disk).insert(path, Node::Directory(TwoStates::default()))
    }

    /// An empty file. Its directory must be there, and it must not.
    pub fn create(&self, path: &str) -> io::Result<()> {
        locked(&self.disk).insert(path, Node::File(TwoStates::default()))
    }

    pub fn append(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let mut disk = locked(&self.disk);
        disk.reserve(bytes.len())?;
        disk.file(path)?.seen.extend_from_slice(bytes);
        Ok(())
    }

    /// Overwrites from an offset on; a gap behind the end is filled with zeros.
    pub fn write_at(&self, path: &str, offset: usize, bytes: &[u8]) -> io::Result<()> {
        let mut disk = locked(&self.disk);
        let end = offset.checked_add(bytes.len()).ok_or(io::ErrorKind::InvalidInput)?;
        let grows_by = end.saturating_sub(disk.file(path)?.seen.len());
        disk.reserve(grows_by)?;
        let content = &mut disk.file(path)?.seen;
        content.resize(content.len().max(end), 0);
        content.splice(offset..end, bytes.iter().copied());
        Ok(())
    }

    /// Cuts a file, or fills it with zeros, to a length.
    pub fn truncate(&self, path: &str, length: usize) -> io::Result<()> {
        let mut disk = locked(&self.disk);
        let grows_by = length.saturating_sub(disk.file(path)?.seen.len());
        disk.reserve(grows_by)?;
        disk.file(path)?.seen.resize(length, 0);
        Ok(())
    }

    pub fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        Ok(locked(&self.disk).file(path)?.seen.clone())
    }

    pub fn exists(&self, path: &str) -> bool {
        locked(&self.disk).resolve(path).is_ok()
    }

    /// The names in a directory, sorted.
    pub fn list(&self, path: &str) -> io::Result<Vec<String>> {
        Ok(locked(&self.disk).directory(path)?.seen.keys().cloned().collect())
    }

    /// A second name for a file. Its directory must be there, and the name must not be taken.
    pub fn link(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = locked(&self.disk);
        disk.file(from)?;
        let id = disk.resolve(from)?;
        let (directory, name) = split(to)?;
        let entries = disk.directory(directory)?;
        if entries.seen.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        entries.seen.insert(name.to_owned(), id);
        Ok(())
    }

    /// Moves a file or a directory, over a file if there is one.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = locked(&self.disk);
        let id = disk.resolve(from)?;
        if to == from {
            return Ok(());
        }
        if to.strip_prefix(from).is_some_and(|rest| rest.starts_with('/')) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if disk.resolve(to).is_ok_and(|id| matches!(disk.nodes.get(&id), Some(Node::Directory(_)))) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let ((from_dir, from_name), (to_dir, to_name)) = (split(from)?, split(to)?);
        disk.directory(to_dir)?.seen.insert(to_name.to_owned(), id);
        disk.directory(from_dir)?.seen.remove(from_name);
        Ok(())
    }

    /// Removes a file or an empty directory.
    pub fn remove(&self, path: &str) -> io::Result<()> {
        let mut disk = locked(&self.disk);
        let id = disk.resolve(path)?;
        if let Some(Node::Directory(directory)) = disk.nodes.get(&id)
            && !directory.seen.is_empty()
        {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let (parent, name) = split(path)?;
        disk.directory(parent)?.seen.remove(name);
        Ok(())
    }

    /// Brings the content of a file to the disk, not the entry under which it is found.
    pub fn sync_file(&self, path: &str) -> io::Result<()> {
        let mut disk = locked(&self.disk);
        disk.file(path)?;
        disk.may_sync()?;
        let content = disk.file(path)?;
        content.on_disk.clone_from(&content.seen);
        Ok(())
    }

    /// Brings the entries of a directory to the disk, not the content of the files and directories in it.
    pub fn sync_dir(&self, path: &str) -> io::Result<()> {
        let mut disk = locked(&self.disk);
        disk.directory(path)?;
        disk.may_sync()?;
        let entries = disk.directory(path)?;
        entries.on_disk.clone_from(&entries.seen);
        Ok(())
    }

    /// The next so many syncs fail and bring nothing to the disk.
    pub fn fail_syncs(&self, count: u32) {
        locked(&self.disk).failing_syncs = count;
    }

    /// Writes that would make all files together larger than this fail, and write nothing.
    pub fn set_capacity(&self, bytes: u64) {
        locked(&self.disk).capacity = bytes;
    }

    /// Loses everything that was not synced.
    pub fn crash(&self) {
        let mut disk = locked(&self.disk);
        for node in disk.nodes.values_mut() {
            match node {
                Node::File(content) => content.seen.clone_from(&content.on_disk),
                Node::Directory(entries) => entries.seen.clone_from(&entries.on_disk),
            }
        }
        disk.settle();
    }

    /// Keeps what was synced, and by chance some of what was not: of a file that grew, a piece of what was
    /// added, possibly with zeros where bytes should be; of a file that was changed otherwise, the old or the
    /// new content; each changed entry of a directory, or not. The same seed keeps the same.
    pub fn crash_keeping_some(&self, seed: u64) {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let mut disk = locked(&self.disk);
        for node in disk.nodes.values_mut() {
            match node {
                Node::File(content) => keep_some_bytes(content, &mut generator),
                Node::Directory(entries) => keep_some_entries(entries, &mut generator),
            }
        }
        disk.settle();
    }
}

fn keep_some_bytes(content: &mut TwoStates<Vec<u8>>, generator: &mut ChaCha8Rng) {
    match content.seen.strip_prefix(content.on_disk.as_slice()) {
        Some(added) => {
            let mut kept = added.to_vec();
            kept.truncate(generator.random_range(0..=added.len()));
            // A file may have got its new length before its new bytes.
            if generator.random_bool(0.25) {
                let written = generator.random_range(0..=kept.len());
                kept.iter_mut().skip(written).for_each(|byte| *byte = 0);
            }
            content.seen = [content.on_disk.as_slice(), &kept].concat();
        }
        None if generator.random() => content.seen.clone_from(&content.on_disk),
        None => {}
    }
}

fn keep_some_entries(entries: &mut TwoStates<BTreeMap<String, NodeId>>, generator: &mut ChaCha8Rng) {
    let names: BTreeSet<String> = entries.seen.keys().chain(entries.on_disk.keys()).cloned().collect();
    for name in names {
        if generator.random() {
            continue;
        }
        match entries.on_disk.get(&name) {
            Some(id) => entries.seen.insert(name, *id),
            None => entries.seen.remove(&name),
        };
    }
}

impl fmt::Debug for UnsyncedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnsyncedFiles")
            .field("nodes", &locked(&self.disk).nodes.len())
            .finish_non_exhaustive()
    }
}

impl Disk {
    fn resolve(&self, path: &str) -> io::Result<NodeId> {
        let mut id = ROOT;
        for name in path.split('/').filter(|_| !path.is_empty()) {
            id = match self.nodes.get(&id) {
                Some(Node::Directory(entries)) => *entries.seen.get(name).ok_or(io::ErrorKind::NotFound)?,
                Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                None => return Err(io::ErrorKind::NotFound.into()),
            };
        }
        Ok(id)
    }

    fn file(&mut self, path: &str) -> io::Result<&mut TwoStates<Vec<u8>>> {
        let id = self.resolve(path)?;
        match self.nodes.get_mut(&id) {
            Some(Node::File(content)) => Ok(content),
            Some(Node::Directory(_)) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn directory(&mut self, path: &str) -> io::Result<&mut TwoStates<BTreeMap<String, NodeId>>> {
        let id = self.resolve(path)?;
        match self.nodes.get_mut(&id) {
            Some(Node::Directory(entries)) => Ok(entries),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn insert(&mut self, path: &str, node: Node) -> io::Result<()> {
        let (parent, name) = split(path)?;
        let id = self.next_id;
        let entries = self.directory(parent)?;
        if entries.seen.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        entries.seen.insert(name.to_owned(), id);
        self.nodes.insert(id, node);
        self.next_id += 1;
        Ok(())
    }

    fn may_sync(&mut self) -> io::Result<()> {
        if self.failing_syncs == 0 {
            return Ok(());
        }
        self.failing_syncs -= 1;
        Err(io::Error::other("injected: the sync failed"))
    }

    fn reserve(&self, more: usize) -> io::Result<()> {
        let reachable = self.reachable();
        let lengths = reachable.iter().map(|id| match self.nodes.get(id) {
            Some(Node::File(content)) => content.seen.len() as u64,
            Some(Node::Directory(_)) | None => 0,
        });
        let wanted = lengths.sum::<u64>().saturating_add(more as u64);
        if wanted > self.capacity { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    /// What seen entries lead to.
    fn reachable(&self) -> BTreeSet<NodeId> {
        let mut reachable = BTreeSet::from([ROOT]);
        let mut open = vec![ROOT];
        while let Some(id) = open.pop() {
            if let Some(Node::Directory(entries)) = self.nodes.get(&id) {
                open.extend(entries.seen.values().filter(|id| reachable.insert(**id)));
            }
        }
        reachable
    }

    /// After a crash: what is seen is what is on the disk, and what no entry leads to is gone.
    fn settle(&mut self) {
        let reachable = self.reachable();
        self.nodes.retain(|id, _| reachable.contains(id));
        for node in self.nodes.values_mut() {
            match node {
                Node::File(content) => content.on_disk.clone_from(&content.seen),
                Node::Directory(entries) => entries.on_disk.clone_from(&entries.seen),
            }
        }
    }
}

/// The directory and the name of a path.
fn split(path: &str) -> io::Result<(&str, &str)> {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    if name.is_empty() { Err(io::ErrorKind::InvalidInput.into()) } else { Ok((directory, name)) }
}

#[cfg(test)]
mod tests;
