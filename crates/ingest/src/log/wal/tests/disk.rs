//! A disk that loses in a crash what was not synced, under a process that may die at any call.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IoSlice};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use siltstone_testkit::UnsyncedFiles;

use super::super::files::{AppendedFile, FolderLock, ListedFile, LogFiles, ReadFile};

/// Clones are the same process on the same disk.
#[derive(Clone, Debug)]
pub(super) struct TestDisk {
    pub(super) disk: UnsyncedFiles,
    process: Arc<Mutex<Process>>,
}

#[derive(Debug)]
struct Process {
    calls_left: u64,
    generator: ChaCha8Rng,
    writes_fall_short: bool,
    failing_truncates: u32,
    lock: Arc<()>,
    calls: BTreeMap<&'static str, u32>,
}

impl TestDisk {
    pub(super) fn new() -> Self {
        Self::process_on(UnsyncedFiles::default(), 0)
    }

    /// Another process, which knows nothing of the one before.
    pub(super) fn process_on(disk: UnsyncedFiles, seed: u64) -> Self {
        let process = Process {
            calls_left: u64::MAX,
            generator: ChaCha8Rng::seed_from_u64(seed),
            writes_fall_short: false,
            failing_truncates: 0,
            lock: Arc::default(),
            calls: BTreeMap::new(),
        };
        Self { disk, process: Arc::new(Mutex::new(process)) }
    }

    pub(super) fn die_after(&self, calls: u64) {
        self.locked().calls_left = calls;
    }

    pub(super) fn is_dead(&self) -> bool {
        self.locked().calls_left == 0
    }

    pub(super) fn let_writes_fall_short(&self) {
        self.locked().writes_fall_short = true;
    }

    pub(super) fn fail_truncates(&self, count: u32) {
        self.locked().failing_truncates = count;
    }

    pub(super) fn calls(&self, what: &str) -> u32 {
        self.locked().calls.get(what).copied().unwrap_or(0)
    }

    fn call(&self, what: &'static str) -> io::Result<MutexGuard<'_, Process>> {
        let mut process = self.locked();
        process.calls_left = process.calls_left.saturating_sub(1);
        if process.calls_left == 0 {
            return Err(io::Error::other("the process is dead"));
        }
        *process.calls.entry(what).or_default() += 1;
        Ok(process)
    }

    fn locked(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap()
    }
}

/// The disk's paths are texts without a leading slash.
fn text(path: &Path) -> &str {
    path.to_str().unwrap().trim_start_matches('/')
}

impl LogFiles for TestDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        drop(self.call("create_dir")?);
        self.disk.create_dir(text(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        drop(self.call("sync_dir")?);
        self.disk.sync_dir(text(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<ListedFile>> {
        drop(self.call("list")?);
        let names = self.disk.list(text(path))?;
        let listed = names.into_iter().filter_map(|name| {
            let content = self.disk.read(&format!("{}/{name}", text(path))).ok()?;
            Some(ListedFile { name, bytes: content.len() as u64 })
        });
        Ok(listed.collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn AppendedFile>> {
        drop(self.call("create")?);
        self.disk.create(text(path))?;
        Ok(Box::new(Appending { disk: self.clone(), path: text(path).to_owned(), synced: 0 }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        drop(self.call("open")?);
        Ok(Box::new(Content(self.disk.read(text(path))?)))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        drop(self.call("remove")?);
        self.disk.remove(text(path))
    }

    fn lock(&self, _path: &Path) -> io::Result<Option<FolderLock>> {
        let process = self.call("lock")?;
        let is_free = Arc::strong_count(&process.lock) == 1;
        Ok(is_free.then(|| Box::new(Arc::clone(&process.lock)) as FolderLock))
    }
}

#[derive(Debug)]
struct Appending {
    disk: TestDisk,
    path: String,
    synced: usize,
}

impl AppendedFile for Appending {
    fn append(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let mut process = match self.disk.call("append") {
            Ok(process) => process,
            Err(error) => {
                // Death comes in the midst of a write.
                let part = self.disk.locked().generator.random_range(0..=bytes.len());
                let _ = self.disk.disk.append(&self.path, &bytes[..part]);
                return Err(error);
            }
        };
        let mut count = bytes.len();
        if process.writes_fall_short && process.generator.random() {
            count = process.generator.random_range(1..=count);
        }
        loop {
            match self.disk.disk.append(&self.path, &bytes[..count]) {
                // As much as there is room for.
                Err(error) if error.kind() == ErrorKind::StorageFull && count > 1 => count /= 2,
                appended => return appended.map(|()| count),
            }
        }
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut process = self.disk.call("truncate")?;
        if process.failing_truncates > 0 {
            process.failing_truncates -= 1;
            return Err(io::Error::other("injected: the truncate failed"));
        }
        self.disk.disk.truncate(&self.path, length as usize)
    }

    /// When it fails, the system drops what it could not write, and the next sync knows nothing of it.
    fn sync(&mut self) -> io::Result<()> {
        let _process = self.disk.call("sync")?;
        let length = self.disk.disk.read(&self.path)?.len();
        let synced = self.disk.disk.sync_file(&self.path);
        if synced.is_err() {
            let lost = vec![0; length.saturating_sub(self.synced)];
            self.disk.disk.write_at(&self.path, self.synced, &lost)?;
        }
        self.synced = length;
        synced
    }
}

#[derive(Debug)]
struct Content(Vec<u8>);

impl ReadFile for Content {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = self.0.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}
