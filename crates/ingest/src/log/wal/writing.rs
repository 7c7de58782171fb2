//! Records to the disk, and what to do if that fails.
//!
//! ```text
//!  write fails ──▶ cut what was written of it ──▶ go on in this file
//!                      │ fails
//!  sync fails ─────────┴──────────────────────▶ never touch this file again, go on in the next part
//! ```
//!
//! After a failed sync the system may have dropped what it could not write, and a second sync would succeed
//! without it. So what a file holds behind its last good sync is never acknowledged.

use std::io::{self, ErrorKind, IoSlice};
use std::mem;
use std::sync::{Arc, mpsc};

use tokio::sync::oneshot;

use super::files::AppendedFile;
use super::folder::Folder;
use super::segment::{HEADER_LEN, PartName};
use crate::log::record::{Place, encode_before_body};
use crate::log::{LogFailure, Record, SegmentName};

/// Records that wait together for one sync. With more, the first ones would wait for the disk's bandwidth.
const BYTES_A_SYNC: u64 = 8 << 20;
/// What the system takes in one call.
const SLICES_A_WRITE: usize = 1024;

#[derive(Debug)]
pub(super) enum Entry {
    Append(Appended),
    Forget(SegmentName),
}

#[derive(Debug)]
pub(super) struct Appended {
    pub(super) segment: SegmentName,
    pub(super) record: Record,
    /// What it takes on the disk.
    pub(super) bytes: u64,
    pub(super) reply: oneshot::Sender<Result<(), LogFailure>>,
}

pub(super) struct Writing {
    folder: Arc<Folder>,
    open: Option<OpenPart>,
    /// Segments of the same writer below this one are closed.
    lowest: Option<SegmentName>,
    /// The last records could not be stored: said once, not for each.
    is_failing: bool,
    /// Kept between calls for its memory.
    before_bodies: Vec<u8>,
    /// Who deletes files; none: whoever forgets a segment waits for that.
    deletes: Option<mpsc::SyncSender<SegmentName>>,
    #[cfg(test)]
    pub(super) planted: Option<Planted>,
}

struct OpenPart {
    name: PartName,
    place: Place,
    file: Box<dyn AppendedFile>,
    /// What is on the disk for sure; not even the header at first.
    synced_end: u64,
}

/// Mistakes that the tests must find.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Planted {
    AnswersBeforeSync,
    ForgetsToSyncTheName,
    SyncsAgainAfterFailure,
    DoesNotCutAfterFailure,
}

impl Writing {
    pub(super) fn new(folder: Arc<Folder>) -> Self {
        Self {
            folder,
            open: None,
            lowest: None,
            is_failing: false,
            before_bodies: Vec::new(),
            deletes: None,
            #[cfg(test)]
            planted: None,
        }
    }

    /// Files of segments that are not needed are somebody else's concern: deleting one may wait for the file
    /// system's journal, and everybody who waits for a sync would wait with it.
    pub(super) fn leave_deleting_to(&mut self, deletes: mpsc::SyncSender<SegmentName>) {
        self.deletes = Some(deletes);
    }

    /// Does what the entries ask for, in order, and leaves none.
    pub(super) fn work_off(&mut self, entries: &mut Vec<Entry>) {
        let mut group: Vec<Appended> = Vec::with_capacity(entries.len());
        let mut group_bytes = 0;
        for entry in entries.drain(..) {
            match entry {
                Entry::Append(appended) => {
                    let goes_along = group.first().is_none_or(|first| first.segment == appended.segment)
                        && group_bytes < BYTES_A_SYNC;
                    if !goes_along {
                        self.commit(&mut group);
                        group_bytes = 0;
                    }
                    group_bytes += appended.bytes;
                    group.push(appended);
                }
                Entry::Forget(segment) => {
                    self.commit(&mut group);
                    group_bytes = 0;
                    self.forget(segment);
                }
            }
        }
        self.commit(&mut group);
    }

    /// Stores records of one segment together, and answers.
    fn commit(&mut self, group: &mut Vec<Appended>) {
        let Some(segment) = group.first().map(|first| first.segment) else { return };
        let stored = self.store(segment, group);
        self.tell(&stored);
        for appended in group.drain(..) {
            if stored.is_err() {
                self.folder.release(appended.bytes);
            }
            // Whoever has gone away does not want to know.
            let _ = appended.reply.send(stored.clone());
        }
    }

    fn tell(&mut self, stored: &Result<(), LogFailure>) {
        match stored {
            Err(failure) if !self.is_failing => tracing::error!(%failure, "requests are refused"),
            Ok(()) if self.is_failing => tracing::info!("the log can be written again"),
            _ => {}
        }
        self.is_failing = stored.is_err();
    }

    fn store(&mut self, segment: SegmentName, group: &mut [Appended]) -> Result<(), LogFailure> {
        if self.lowest.is_some_and(|lowest| lowest.writer == segment.writer && segment < lowest) {
            let source =
                io::Error::new(ErrorKind::InvalidInput, format!("segment {} is closed", segment.number));
            return Err(self.failure("append", source));
        }
        self.lowest = Some(segment);
        let mut part = match self.open.take() {
            Some(part) if part.name.segment == segment => part,
            _ => self.create(segment)?,
        };
        let mut before_bodies = mem::take(&mut self.before_bodies);
        let written = write(&mut part, group, &mut before_bodies);
        self.before_bodies = before_bodies;
        match written {
            Ok(bytes) => self.sync(part, bytes, group),
            Err(error) => {
                self.cut(part);
                Err(self.failure("write", error))
            }
        }
    }

    fn create(&self, segment: SegmentName) -> Result<OpenPart, LogFailure> {
        let name = self.folder.next_part(segment);
        let created = self.folder.files.create(&self.folder.path_of(name));
        let file = created.map_err(|error| self.failure("create a file", error))?;
        Ok(OpenPart { name, place: Place::new(segment, name.part), file, synced_end: 0 })
    }

    /// Brings what was written to the disk, and the file's name before the first answer.
    fn sync(&mut self, mut part: OpenPart, written: u64, group: &mut [Appended]) -> Result<(), LogFailure> {
        #[cfg(test)]
        if self.planted == Some(Planted::AnswersBeforeSync) {
            answer_early(group);
        }
        #[cfg(not(test))]
        let _ = group;
        let must_name = part.synced_end == 0;
        #[cfg(test)]
        let must_name = must_name && self.planted != Some(Planted::ForgetsToSyncTheName);
        let synced = part
            .file
            .sync()
            .and_then(|()| if must_name { self.folder.files.sync_dir(self.folder.path()) } else { Ok(()) });
        #[cfg(test)]
        if synced.is_err() && self.planted == Some(Planted::SyncsAgainAfterFailure) {
            part.synced_end += written;
            self.open = Some(part);
            return Err(LogFailure::Stopped);
        }
        if let Err(error) = synced {
            if part.synced_end > 0 {
                // They stay in the file, whoever reads them.
                self.folder.reserve(written);
                self.folder.keep(part.name.segment, written);
            }
            self.abandon(&part);
            return Err(self.failure("sync", error));
        }
        if part.synced_end == 0 {
            self.folder.reserve(HEADER_LEN as u64);
        }
        part.synced_end += written;
        self.folder.keep(part.name.segment, written);
        self.open = Some(part);
        Ok(())
    }

    /// Takes back what was written and not synced.
    fn cut(&mut self, mut part: OpenPart) {
        #[cfg(test)]
        if self.planted == Some(Planted::DoesNotCutAfterFailure) {
            self.open = Some(part);
            return;
        }
        match part.file.truncate(part.synced_end) {
            Ok(()) => self.open = Some(part),
            Err(error) => {
                tracing::warn!(file = part.name.file_name(), %error, "cannot cut the log: it goes on in another file");
                self.abandon(&part);
            }
        }
    }

    /// The file is not written any more. It stays if something in it was acknowledged.
    fn abandon(&self, part: &OpenPart) {
        if part.synced_end == 0 {
            self.folder.discard(part.name);
        }
    }

    fn forget(&mut self, segment: SegmentName) {
        if self.open.as_ref().is_some_and(|part| part.name.segment == segment) {
            self.open = None;
        }
        if self.lowest == Some(segment) {
            self.lowest = Some(SegmentName { number: segment.number.saturating_add(1), ..segment });
        }
        let is_left_to_others =
            self.deletes.as_ref().is_some_and(|deletes| deletes.try_send(segment).is_ok());
        if !is_left_to_others {
            delete(&self.folder, segment);
        }
    }

    fn failure(&self, what: &'static str, error: io::Error) -> LogFailure {
        let folder = self.folder.path().display();
        let advice = match error.kind() {
            ErrorKind::StorageFull => "no space left: free some, or move the data folder to a larger disk",
            ErrorKind::QuotaExceeded => "the quota is used up: raise it, or free some space",
            ErrorKind::FileTooLarge => "the limit on the size of files is too low: raise it (`ulimit -f`)",
            ErrorKind::PermissionDenied => "make it writable for the user that this process runs as",
            ErrorKind::ReadOnlyFilesystem => {
                "the file system is read-only, perhaps after an error of the disk"
            }
            ErrorKind::InvalidInput => "this record cannot be stored",
            _ => "look at the disk and at the system's log",
        };
        let source = io::Error::new(error.kind(), format!("{folder}: {error} ({advice})"));
        LogFailure::Io { what, source: Arc::new(source) }
    }
}

pub(super) fn delete(folder: &Folder, segment: SegmentName) {
    if let Err(error) = folder.delete(segment) {
        tracing::warn!(%error, "a segment of the log that is not needed any more stays until the next start");
    }
}

/// Writes records, and the header before the first ones, without copying bodies. Says how many bytes that were.
fn write(part: &mut OpenPart, group: &[Appended], before_bodies: &mut Vec<u8>) -> io::Result<u64> {
    before_bodies.clear();
    if part.synced_end == 0 {
        let knows_deletions = group.iter().any(|appended| appended.record.known_deletions > 0);
        before_bodies.extend_from_slice(&part.name.header(knows_deletions));
    }
    let mut ends = Vec::with_capacity(group.len());
    for appended in group {
        encode_before_body(&appended.record, &part.place, before_bodies)
            .map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
        ends.push(before_bodies.len());
    }
    let mut slices = Vec::with_capacity(2 * group.len());
    let mut start = 0;
    for (appended, end) in group.iter().zip(ends) {
        slices.push(IoSlice::new(before_bodies.get(start..end).unwrap_or_default()));
        slices.push(IoSlice::new(&appended.record.body));
        start = end;
    }
    let bytes = slices.iter().map(|slice| slice.len() as u64).sum();
    write_all(part.file.as_mut(), &mut slices)?;
    Ok(bytes)
}

fn write_all(file: &mut dyn AppendedFile, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    // Empty ones would look like a file that takes nothing more.
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        let some = slices.get(..SLICES_A_WRITE).unwrap_or(slices);
        match file.append(some) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => IoSlice::advance_slices(&mut slices, count),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
fn answer_early(group: &mut [Appended]) {
    for appended in group {
        let _ = mem::replace(&mut appended.reply, oneshot::channel().0).send(Ok(()));
    }
}
