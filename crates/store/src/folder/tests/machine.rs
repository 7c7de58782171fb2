//! A machine in memory: a disk that loses what was not synced, and processes that can be killed at any call.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::SystemTime;

use siltstone_testkit::UnsyncedFiles;

use super::super::files::{Entries, Facts, Files, Found, Kind, Lock, ReadFile, WrittenFile};
use super::*;

/// Clones are the same machine.
#[derive(Debug, Clone, Default)]
pub(super) struct Machine {
    pub(super) disk: UnsyncedFiles,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    calls: u64,
    entries: u64,
    log: Vec<String>,
    last_change: Change,
    planted: Option<Planted>,
    failures: VecDeque<(&'static str, io::ErrorKind)>,
    sharers: u32,
    alone: bool,
}

/// What changed last: the reason for the next sync of a directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Change {
    #[default]
    Nothing,
    Linked,
    NameWasTaken,
    Renamed,
    MadeDir,
    DirWasThere,
    LookedAboveRoot,
}

/// A sync that is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Planted {
    NoFileSync,
    NoDirSyncAfter(Change),
}

/// The calls of one process on a machine.
#[derive(Debug, Clone)]
pub(super) struct Process {
    machine: Machine,
    /// None: as many as it likes. After these calls every call fails and does nothing.
    calls_left: Arc<Mutex<Option<u64>>>,
}

impl Machine {
    pub(super) fn planted(planted: Option<Planted>) -> Self {
        let machine = Machine::default();
        machine.state().planted = planted;
        machine
    }

    pub(super) fn process(&self) -> Process {
        Process { machine: self.clone(), calls_left: Arc::default() }
    }

    pub(super) fn process_killed_after(&self, calls: u64) -> Process {
        Process { machine: self.clone(), calls_left: Arc::new(Mutex::new(Some(calls))) }
    }

    /// How many calls there were.
    pub(super) fn calls(&self) -> u64 {
        self.state().calls
    }

    /// How many entries of directories were read.
    pub(super) fn entries(&self) -> u64 {
        self.state().entries
    }

    /// The calls since the last time it was asked, the looking ones left out.
    pub(super) fn take_log(&self) -> String {
        std::mem::take(&mut self.state().log).join("\n")
    }

    /// The next call of this name fails, and does nothing. After it the next one in the row.
    pub(super) fn fail_next(&self, call: &'static str, kind: io::ErrorKind) {
        self.state().failures.push_back((call, kind));
    }

    pub(super) fn staged(&self) -> Vec<String> {
        self.disk.list("data/store/.siltstone/staged").unwrap()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Process {
    pub(super) fn open(&self) -> Result<FolderStore, OpenFolderError> {
        FolderStore::over(Arc::new(self.clone()), PathBuf::from("data/store"))
    }

    pub(super) fn is_killed(&self) -> bool {
        *self.calls_left.lock().unwrap() == Some(0)
    }

    fn call(&self, name: &'static str, paths: &[&Path]) -> io::Result<()> {
        let mut left = self.calls_left.lock().unwrap();
        if *left == Some(0) {
            return Err(io::Error::other("this process was killed"));
        }
        *left = left.map(|left| left - 1);
        let mut state = self.machine.state();
        state.calls += 1;
        if !name.starts_with("look") {
            let paths: Vec<String> = paths.iter().map(|path| shown(path)).collect();
            state.log.push(format!("{name} {}", paths.join(" -> ")));
        }
        match state.failures.front() {
            Some((failing, kind)) if *failing == name => {
                let kind = *kind;
                state.failures.pop_front();
                Err(kind.into())
            }
            _ => Ok(()),
        }
    }

    fn changed(&self, change: Change) {
        self.machine.state().last_change = change;
    }
}

/// Relative to the folder, staged files without their number.
fn shown(path: &Path) -> String {
    let path = text_of(path);
    let path = path.strip_prefix("data/store/").unwrap_or(path);
    if path.starts_with(".siltstone/staged/") { "STAGED".to_owned() } else { format!("`{path}`") }
}

fn text_of(path: &Path) -> &str {
    path.to_str().unwrap()
}

impl Files for Process {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.call("create_dir", &[path])?;
        let made = self.machine.disk.create_dir(text_of(path));
        self.changed(if made.is_ok() { Change::MadeDir } else { Change::DirWasThere });
        made
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.call("sync_dir", &[path])?;
        let forgotten = {
            let mut state = self.machine.state();
            let change = std::mem::take(&mut state.last_change);
            state.planted == Some(Planted::NoDirSyncAfter(change))
        };
        if forgotten { Ok(()) } else { self.machine.disk.sync_dir(text_of(path)) }
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.call("remove_dir", &[path])?;
        self.machine.disk.remove(text_of(path))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Entries> {
        self.call("look into", &[path])?;
        let names = self.machine.disk.list(text_of(path))?;
        let (machine, path) = (self.machine.clone(), path.to_owned());
        Ok(Box::new(names.into_iter().map(move |name| {
            machine.state().entries += 1;
            Ok(Found { kind: kind_of(&machine.disk, text_of(&path.join(&name)))?, name })
        })))
    }

    fn leads_to_dir(&self, path: &Path) -> io::Result<bool> {
        self.call("look above", &[path])?;
        self.changed(Change::LookedAboveRoot);
        Ok(kind_of(&self.machine.disk, text_of(path)).is_ok_and(|kind| kind == Kind::Directory))
    }

    fn create_file(&self, path: &Path) -> io::Result<Box<dyn WrittenFile>> {
        self.call("create_file", &[path])?;
        self.machine.disk.create(text_of(path))?;
        Ok(Box::new(Written { process: self.clone(), path: path.to_owned() }))
    }

    fn open_file(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        self.call("look inside", &[path])?;
        Ok(Box::new(Content(self.machine.disk.read(text_of(path))?)))
    }

    fn facts(&self, path: &Path) -> io::Result<Facts> {
        self.call("look at", &[path])?;
        let kind = kind_of(&self.machine.disk, text_of(path))?;
        let size = if kind == Kind::File { self.machine.disk.read(text_of(path))?.len() } else { 0 };
        Ok(facts(kind, size))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call("link", &[from, to])?;
        let linked = self.machine.disk.link(text_of(from), text_of(to));
        self.changed(if linked.is_ok() { Change::Linked } else { Change::NameWasTaken });
        linked
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call("rename", &[from, to])?;
        self.changed(Change::Renamed);
        self.machine.disk.rename(text_of(from), text_of(to))
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.call("unlink", &[path])?;
        self.machine.disk.remove(text_of(path))
    }

    fn open_lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.call("look for lock", &[path])?;
        Ok(Box::new(Held { machine: self.machine.clone(), how: Mutex::new(How::Not) }))
    }
}

fn kind_of(disk: &UnsyncedFiles, path: &str) -> io::Result<Kind> {
    match disk.list(path) {
        Ok(_) => Ok(Kind::Directory),
        Err(_) => disk.read(path).map(|_| Kind::File),
    }
}

fn facts(kind: Kind, size: usize) -> Facts {
    Facts { kind, size: size as u64, modified: SystemTime::UNIX_EPOCH, inode: 0 }
}

#[derive(Debug)]
struct Written {
    process: Process,
    path: PathBuf,
}

impl WrittenFile for Written {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.process.call("write", &[&self.path])?;
        self.process.machine.disk.write_at(text_of(&self.path), usize::try_from(offset).unwrap(), bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.process.call("sync_file", &[&self.path])?;
        let planted = self.process.machine.state().planted;
        if planted == Some(Planted::NoFileSync) {
            return Ok(());
        }
        self.process.machine.disk.sync_file(text_of(&self.path))
    }

    fn facts(&self) -> io::Result<Facts> {
        self.process.facts(&self.path)
    }
}

#[derive(Debug)]
struct Content(Vec<u8>);

impl ReadFile for Content {
    fn facts(&self) -> io::Result<Facts> {
        Ok(facts(Kind::File, self.0.len()))
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        let wanted = self.0.get(start..start + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(wanted);
        Ok(())
    }
}

/// The lock of one store. The system releases it when the process dies, so that it needs no calls.
#[derive(Debug)]
struct Held {
    machine: Machine,
    how: Mutex<How>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Not,
    Alone,
    Shared,
}

impl Lock for Held {
    fn try_alone(&self) -> io::Result<bool> {
        let mut state = self.machine.state();
        let free = state.sharers == 0 && !state.alone;
        if free {
            state.alone = true;
            *self.how.lock().unwrap() = How::Alone;
        }
        Ok(free)
    }

    fn share(&self) -> io::Result<()> {
        let mut how = self.how.lock().unwrap();
        let mut state = self.machine.state();
        assert!(*how == How::Alone || !state.alone, "this would wait for ever");
        state.alone = false;
        state.sharers += 1;
        *how = How::Shared;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.machine.state();
        match *self.how.lock().unwrap() {
            How::Not => {}
            How::Alone => state.alone = false,
            How::Shared => state.sharers -= 1,
        }
    }
}
