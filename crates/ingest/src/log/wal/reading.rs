//! Records back from the disk, one at a time.
//!
//! What cannot be read is torn if no good record follows: a crash came before its sync, nobody was told that it
//! is safe, and the file is cut there. Else it is damaged: it is set aside, and what follows is used. A damaged
//! head is found out of by searching for the next good one; a good head of damaged content says where to go on.
//! A damaged last record looks torn: nothing tells the two apart.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::files::ReadFile;
use super::folder::Folder;
use super::segment::{HEADER_LEN, Header, PartName};
use crate::log::record::{HEAD_LEN, Head, MAGIC, Place};
use crate::log::{Record, SegmentName};

/// What is set aside, all together: whoever wants more shall look at it first.
const MOST_SET_ASIDE: u64 = 1 << 30;
/// Read at once.
const WINDOW: usize = 64 * 1024;

/// The next thing in a segment.
#[derive(Debug)]
pub enum Found {
    Record(Record),
    /// Unreadable bytes that a crash has left at a file's end. They are not used.
    Torn(Stretch),
    /// Unreadable bytes among good ones.
    Damaged(SetAside),
}

/// A part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub file: PathBuf,
    pub offset: u64,
    pub length: u64,
}

/// Damaged bytes, and where they are kept for whoever wants to look.
#[derive(Debug)]
pub struct SetAside {
    pub stretch: Stretch,
    pub kept: io::Result<PathBuf>,
}

/// A segment cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot read {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is of version {version} of the log, which this program does not know", path.display())]
    UnknownVersion { path: PathBuf, version: u32 },
    #[error("{} bears the name of another file of the log: it begins as {begins_as}", path.display())]
    Misnamed { path: PathBuf, begins_as: String },
}

/// The records of a segment in order. After an error there is nothing more.
#[derive(Debug)]
pub struct Reading {
    folder: Arc<Folder>,
    parts: VecDeque<PartName>,
    open: Option<OpenPart>,
}

#[derive(Debug)]
struct OpenPart {
    path: PathBuf,
    place: Place,
    file: Box<dyn ReadFile>,
    length: u64,
    position: u64,
    window: Vec<u8>,
    window_start: u64,
}

/// What stands at an offset.
enum At {
    Record {
        record: Record,
        end: u64,
    },
    /// Where a record may begin next.
    Nothing {
        go_on_at: u64,
    },
}

impl Iterator for Reading {
    type Item = Result<Found, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.try_next();
        if next.is_err() {
            self.parts.clear();
            self.open = None;
        }
        next.transpose()
    }
}

impl Reading {
    pub(super) fn new(folder: Arc<Folder>, segment: SegmentName) -> Self {
        let parts = folder.parts(segment).into();
        Self { folder, parts, open: None }
    }

    fn try_next(&mut self) -> Result<Option<Found>, ReadError> {
        loop {
            let Some(part) = &mut self.open else {
                let Some(name) = self.parts.pop_front() else { return Ok(None) };
                self.open = OpenPart::open(&self.folder, name)?;
                continue;
            };
            if part.position >= part.length {
                self.open = None;
                continue;
            }
            let found = part.next(&self.folder);
            return found.map(Some).map_err(|source| ReadError::Io { path: part.path.clone(), source });
        }
    }
}

impl OpenPart {
    /// None if the file is not there: its creation failed, or a crash came in the midst of a deletion.
    fn open(folder: &Folder, name: PartName) -> Result<Option<Self>, ReadError> {
        let path = folder.path_of(name);
        let cannot = |source| ReadError::Io { path: path.clone(), source };
        let file = match folder.files.open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(cannot)?,
        };
        let length = file.length().map_err(cannot)?;
        let place = Place::new(name.segment, name.part);
        let window = Vec::with_capacity(WINDOW);
        let mut part = Self { path, place, file, length, position: 0, window, window_start: 0 };
        let header = part.bytes(0, HEADER_LEN).map(Header::decode);
        let path = part.path.clone();
        match header.map_err(|source| ReadError::Io { path: path.clone(), source })? {
            Header::Of(found) if found == name => part.position = HEADER_LEN as u64,
            Header::Of(found) => return Err(ReadError::Misnamed { path, begins_as: found.file_name() }),
            Header::UnknownVersion(version) => return Err(ReadError::UnknownVersion { path, version }),
            // Like a damaged record: what follows may be good.
            Header::Unreadable => {}
        }
        Ok(Some(part))
    }

    fn next(&mut self, folder: &Folder) -> io::Result<Found> {
        let go_on_at = match self.at(self.position)? {
            At::Record { record, end } => {
                self.position = end;
                return Ok(Found::Record(record));
            }
            At::Nothing { go_on_at } => go_on_at,
        };
        let offset = self.position;
        let next = self.next_record(go_on_at)?;
        self.position = next.unwrap_or(self.length);
        let stretch = Stretch { file: self.path.clone(), offset, length: self.position - offset };
        Ok(match next {
            None => Found::Torn(stretch),
            Some(_) => Found::Damaged(SetAside { kept: self.set_aside(folder, &stretch), stretch }),
        })
    }

    fn at(&mut self, offset: u64) -> io::Result<At> {
        let place = self.place.clone();
        let Some(head) = Head::decode(self.bytes(offset, HEAD_LEN)?, &place) else {
            return Ok(At::Nothing { go_on_at: offset + 1 });
        };
        let start = offset + HEAD_LEN as u64;
        let end = start.saturating_add(head.content_len());
        if end > self.length {
            return Ok(At::Nothing { go_on_at: self.length });
        }
        Ok(match head.record(self.content(start, head.content_len())?) {
            Some(record) => At::Record { record, end },
            None => At::Nothing { go_on_at: end },
        })
    }

    /// The offset of the first good record from here on.
    fn next_record(&mut self, mut from: u64) -> io::Result<Option<u64>> {
        while let Some(offset) = self.next_magic(from)? {
            match self.at(offset)? {
                At::Record { .. } => return Ok(Some(offset)),
                At::Nothing { go_on_at } => from = go_on_at,
            }
        }
        Ok(None)
    }

    fn next_magic(&mut self, mut from: u64) -> io::Result<Option<u64>> {
        while from < self.length {
            let bytes = self.bytes(from, WINDOW)?;
            if let Some(place) = bytes.windows(MAGIC.len()).position(|bytes| bytes == MAGIC) {
                return Ok(Some(from + place as u64));
            }
            if bytes.len() < WINDOW {
                return Ok(None);
            }
            // It may begin in this window and end in the next.
            from += (WINDOW - MAGIC.len() + 1) as u64;
        }
        Ok(None)
    }

    /// So many bytes, at most a window; less only at the file's end.
    fn bytes(&mut self, offset: u64, count: usize) -> io::Result<&[u8]> {
        let held = offset.checked_sub(self.window_start).and_then(|skipped| usize::try_from(skipped).ok());
        let is_held = held.is_some_and(|skipped| {
            let wanted_end = offset.saturating_add(count as u64).min(self.length);
            skipped <= self.window.len() && wanted_end <= self.window_start + self.window.len() as u64
        });
        if !is_held {
            self.window.resize(WINDOW, 0);
            let read = self.file.read_at(&mut self.window, offset)?;
            self.window.truncate(read);
            self.window_start = offset;
        }
        let skipped = (offset - self.window_start) as usize;
        let held = self.window.get(skipped..).unwrap_or_default();
        Ok(held.get(..count).unwrap_or(held))
    }

    fn content(&mut self, offset: u64, length: u64) -> io::Result<Bytes> {
        let length = usize::try_from(length).map_err(|_| ErrorKind::OutOfMemory)?;
        if length <= WINDOW {
            return self.bytes(offset, length).map(Bytes::copy_from_slice);
        }
        let mut content = vec![0; length];
        let read = self.file.read_at(&mut content, offset)?;
        content.truncate(read);
        Ok(content.into())
    }

    /// Copies damaged bytes to where they outlive the segment. That it was done before is as well.
    fn set_aside(&mut self, folder: &Folder, stretch: &Stretch) -> io::Result<PathBuf> {
        let name = stretch.file.file_stem().unwrap_or_default().to_string_lossy();
        let directory = folder.damaged()?;
        let path = directory.join(format!("{name}-{}-{}", stretch.offset, stretch.length));
        let kept: u64 = folder.files.list(&directory)?.iter().map(|file| file.bytes).sum();
        if kept.saturating_add(stretch.length) > MOST_SET_ASIDE {
            let full =
                format!("{} holds {kept} bytes already: look at them, and delete them", directory.display());
            return Err(io::Error::new(ErrorKind::StorageFull, full));
        }
        let mut copy = match folder.files.create(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(path),
            created => created?,
        };
        let end = stretch.offset + stretch.length;
        let mut offset = stretch.offset;
        while offset < end {
            let count = usize::try_from(end - offset).unwrap_or(WINDOW).min(WINDOW);
            let mut bytes = self.bytes(offset, count)?;
            offset += bytes.len() as u64;
            if bytes.is_empty() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            while !bytes.is_empty() {
                let written = copy.append(&[IoSlice::new(bytes)])?;
                bytes = bytes.get(written.max(1)..).unwrap_or_default();
            }
        }
        copy.sync()?;
        folder.files.sync_dir(&directory)?;
        Ok(path)
    }
}
