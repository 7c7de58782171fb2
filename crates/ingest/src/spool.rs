//! Encoded blocks that are not committed yet: in memory, or, once the bucket has failed, in files.
//!
//! The files are a cache of what the log holds: they are not synced, and those of an earlier run are thrown
//! away. Live spans are read from here as from any block.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use siltstone_ask::{Filter, Window};
use siltstone_format::block::error::ReadError;
use siltstone_format::block::origins::OriginsFile;
use siltstone_format::block::ranges::Fetched;
use siltstone_format::block::read::SpansFile;
use siltstone_format::block::summary::BlockSummary;
use siltstone_format::block::write::EncodedBlock;
use siltstone_format::columns::SpanColumns;
use siltstone_format::filter::split_block::{FilterKey, SplitBlockFilter};
use siltstone_format::id::TraceId;

use crate::budget::Reservation;
use crate::buffer::{FindError, find_matching};

/// Where blocks that wait for the bucket go.
#[derive(Clone, Debug)]
pub(crate) struct Spool {
    folder: Option<PathBuf>,
}

/// A block as its objects will be.
pub(crate) struct SpooledBlock {
    pub(crate) summary: BlockSummary,
    traces: Option<SplitBlockFilter>,
    place: Mutex<Place>,
}

enum Place {
    Memory { objects: Objects, _room: Reservation },
    Files { spans: PathBuf, origins: PathBuf },
}

/// Both objects of a block.
#[derive(Clone, Debug)]
pub(crate) struct Objects {
    pub(crate) spans: Bytes,
    pub(crate) origins: Bytes,
}

/// Why a block that waits cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpoolError {
    #[error("{path} cannot be {what}: {source}")]
    File { path: PathBuf, what: &'static str, source: io::Error },
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Find(#[from] FindError),
}

impl Spool {
    /// Empties the folder and makes it; without one, blocks stay in memory.
    pub(crate) fn open(folder: Option<PathBuf>) -> Result<Self, SpoolError> {
        if let Some(folder) = &folder {
            match std::fs::remove_dir_all(folder) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(SpoolError::File { path: folder.clone(), what: "emptied", source });
                }
                _ => {}
            }
            std::fs::create_dir_all(folder).map_err(|source| SpoolError::File {
                path: folder.clone(),
                what: "made",
                source,
            })?;
        }
        Ok(Self { folder })
    }

    /// Moves a block from memory to files, if there is a folder and room in it. Blocks.
    pub(crate) fn move_out(&self, block: &SpooledBlock) -> Result<(), SpoolError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let Some(objects) = block.in_memory() else { return Ok(()) };
        let id = block.summary.identity.block;
        let (spans, origins) = (folder.join(format!("{id}.spans")), folder.join(format!("{id}.origins")));
        for (path, bytes) in [(&spans, &objects.spans), (&origins, &objects.origins)] {
            if let Err(source) = std::fs::write(path, bytes) {
                let _ = std::fs::remove_file(&spans);
                let _ = std::fs::remove_file(&origins);
                return Err(SpoolError::File { path: path.clone(), what: "written", source });
            }
        }
        *block.place() = Place::Files { spans, origins };
        Ok(())
    }
}

impl SpooledBlock {
    pub(crate) fn new(encoded: EncodedBlock, room: Reservation) -> Self {
        let filter = encoded.summary.filters.traces;
        let bytes = filter.range();
        let bytes = encoded.origins.get(bytes.start as usize..bytes.end as usize);
        let traces = bytes.and_then(|bytes| SplitBlockFilter::from_bytes(filter.class, bytes));
        let objects = Objects { spans: encoded.spans.into(), origins: encoded.origins.into() };
        let place = Mutex::new(Place::Memory { objects, _room: room });
        Self { summary: encoded.summary, traces, place }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.summary.spans.bytes + self.summary.origins.bytes
    }

    pub(crate) fn in_memory(&self) -> Option<Objects> {
        match &*self.place() {
            Place::Memory { objects, .. } => Some(objects.clone()),
            Place::Files { .. } => None,
        }
    }

    /// Both objects. Blocks if they are in files.
    pub(crate) fn objects(&self) -> Result<Objects, SpoolError> {
        let (spans, origins) = match &*self.place() {
            Place::Memory { objects, .. } => return Ok(objects.clone()),
            Place::Files { spans, origins } => (spans.clone(), origins.clone()),
        };
        let read = |path: PathBuf| match std::fs::read(&path) {
            Ok(bytes) => Ok(Bytes::from(bytes)),
            Err(source) => Err(SpoolError::File { path, what: "read", source }),
        };
        Ok(Objects { spans: read(spans)?, origins: read(origins)? })
    }

    fn may_hold(&self, trace: &TraceId) -> bool {
        self.traces.as_ref().is_none_or(|filter| filter.may_hold(FilterKey::of_trace(trace)))
    }

    /// Adds the spans of some traces to `found`. Blocks.
    pub(crate) fn find_traces(&self, traces: &[TraceId], found: &mut SpanColumns) -> Result<(), SpoolError> {
        let wanted: BTreeSet<&TraceId> = traces.iter().filter(|trace| self.may_hold(trace)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let (spans, origins, fetched) = self.open()?;
        for trace in wanted {
            let rows = spans.find(trace);
            if !rows.is_empty() {
                let columns = spans.read_trace(trace, &rows, &fetched, &origins)?;
                find_matching(&columns, 0..columns.len(), None, Window::ALL, found)?;
            }
        }
        Ok(())
    }

    /// Adds the matching spans to `found`. Blocks.
    pub(crate) fn find_matching(
        &self,
        filter: Option<&Filter>,
        window: Window,
        found: &mut SpanColumns,
    ) -> Result<(), SpoolError> {
        let known = &self.summary.spans;
        if !window.overlaps(known.min_start_unix_nano, known.max_start_unix_nano) {
            return Ok(());
        }
        let (spans, origins, fetched) = self.open()?;
        let columns = spans.read_rows(&spans.groups().collect::<Vec<_>>(), &fetched, &origins)?;
        find_matching(&columns, 0..columns.len(), filter, window, found)?;
        Ok(())
    }

    /// All spans, as they were before they became a block. Blocks.
    pub(crate) fn columns(&self) -> Result<SpanColumns, SpoolError> {
        let (spans, origins, fetched) = self.open()?;
        Ok(spans.read_rows(&spans.groups().collect::<Vec<_>>(), &fetched, &origins)?)
    }

    fn open(&self) -> Result<(SpansFile, OriginsFile, Fetched), SpoolError> {
        let objects = self.objects()?;
        let name = self.summary.identity.block.to_string();
        let tail = |bytes: &Bytes, from: u64| bytes.slice((from as usize).min(bytes.len())..);
        let metadata = tail(&objects.spans, self.summary.spans.metadata_offset);
        let spans = SpansFile::open(&name, &self.summary.spans, &metadata)?;
        let stored = tail(&objects.origins, self.summary.origins.origins_offset);
        let origins = OriginsFile::open(&name, &self.summary.origins, &stored)?;
        Ok((spans, origins, Fetched::whole(objects.spans)))
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SpooledBlock {
    fn drop(&mut self) {
        if let Place::Files { spans, origins } = &*self.place() {
            // What stays is thrown away at the next start.
            let _ = std::fs::remove_file(spans);
            let _ = std::fs::remove_file(origins);
        }
    }
}
