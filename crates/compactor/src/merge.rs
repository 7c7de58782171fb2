//! Many sorted inputs into few sorted outputs, in memory that does not depend on their size.
//!
//! Inputs are read a window at a time. What comes before the place up to which every input is known is complete:
//! it is taken out of all windows, column by column, and sorted as one row group. So rows are compared when a group
//! is sorted, and never moved one by one.

use std::collections::VecDeque;
use std::ops::Range;

use futures::{TryStreamExt, stream::FuturesUnordered};
use siltstone_format::id::TraceId;

use crate::deletions::Deleted;
use crate::input::{Input, InputError, Window};
use crate::key::Key;
use crate::outputs::{Output, OutputError, Outputs};
use crate::planted::{Bug, planted};
use crate::slices::{Rows, Slices};

/// Why a merge ended.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// A merge on its way.
pub(crate) struct Merging {
    cursors: Vec<Cursor>,
    slices: Slices,
    pub(crate) outputs: Outputs,
    /// Rows that were read, each once.
    pub(crate) rows: u64,
    /// Those of them that were left out, since their trace was deleted.
    pub(crate) deleted: u64,
    /// And since their time has passed.
    pub(crate) expired: u64,
    is_first_pass: bool,
    /// Whether the rows that were moved last end with their trace.
    is_between_traces: bool,
}

/// An input with what was read of it and not taken yet.
struct Cursor {
    input: Input,
    deleted: Deleted,
    windows: VecDeque<Held>,
    /// Whatever is read later does not come before this. None: all is read.
    complete_before: Option<Key>,
}

/// A window of which some rows were taken.
struct Held {
    window: Window,
    taken: usize,
}

impl Cursor {
    async fn read(&mut self) -> Result<(), InputError> {
        match self.input.next().await? {
            Some(_) if planted(Bug::LoseWindow) && self.input.is_read() => self.complete_before = None,
            Some(window) => {
                self.complete_before = Some(window.complete_before);
                self.windows.push_back(Held { window, taken: 0 });
            }
            None => self.complete_before = None,
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.complete_before.is_none() && self.windows.is_empty()
    }

    /// Whether less than half of what was read last is left.
    fn is_low(&self) -> bool {
        let left: usize = self.windows.iter().map(|held| held.window.columns.len() - held.taken).sum();
        let last = self.windows.back().map_or(0, |held| held.window.columns.len());
        left <= last / 2
    }

    /// Begins again at the first row.
    fn rewind(&mut self) {
        self.input.rewind();
        self.windows.clear();
        self.complete_before = Some(Key::FIRST);
    }

    /// Rows of each window that come before a limit.
    fn below(&self, limit: Option<Key>) -> impl Iterator<Item = Range<usize>> {
        self.windows.iter().map(move |held| {
            let columns = &held.window.columns;
            let end = match limit {
                Some(limit) => partition(held.taken..columns.len(), |row| limit.is_behind(columns, row)),
                None => columns.len(),
            };
            held.taken..end
        })
    }

    /// Forgets the rows that come before a limit.
    fn take(&mut self, limit: Option<Key>) {
        let ends: Vec<usize> = self.below(limit).map(|rows| rows.end).collect();
        self.windows.iter_mut().zip(ends).for_each(|(held, end)| held.taken = end);
        self.windows.retain(|held| held.taken < held.window.columns.len());
    }
}

/// The first of some ascending rows for which a condition no longer holds.
fn partition(rows: Range<usize>, holds: impl Fn(usize) -> bool) -> usize {
    let (mut start, mut end) = (rows.start, rows.end);
    while start < end {
        let middle = start.midpoint(end);
        if holds(middle) {
            start = middle + 1;
        } else {
            end = middle;
        }
    }
    start
}

impl Merging {
    /// Each input comes with what was deleted of it.
    pub(crate) fn new(inputs: Vec<(Input, Deleted)>, slices: Slices, outputs: Outputs) -> Self {
        let cursors = inputs.into_iter();
        let cursors = cursors.map(|(input, deleted)| Cursor {
            input,
            deleted,
            windows: VecDeque::new(),
            complete_before: Some(Key::FIRST),
        });
        Self {
            cursors: cursors.collect(),
            slices,
            outputs,
            rows: 0,
            deleted: 0,
            expired: 0,
            is_first_pass: true,
            is_between_traces: true,
        }
    }

    /// Goes on until blocks are full, and gives these; none: all is merged.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Output>>, MergeError> {
        loop {
            while self.cursors.iter().any(|cursor| !cursor.is_done()) {
                let limit = self.read_on().await?;
                let full = self.take(limit)?;
                if !full.is_empty() {
                    return Ok(Some(full));
                }
            }
            if let Some(last) = self.outputs.finish_next()? {
                return Ok(Some(vec![last]));
            }
            if !self.outputs.next_pass() {
                return Ok(None);
            }
            self.cursors.iter_mut().for_each(Cursor::rewind);
            self.slices.begin();
            self.is_first_pass = false;
        }
    }

    /// Reads where the least is known, and says up to where all is known now. None: to the end. Of inputs of which
    /// little is left more is read at the same time: what is moved then is worth its while, and no input waits alone.
    async fn read_on(&mut self) -> Result<Option<Key>, MergeError> {
        let known = self.known();
        let behind = |cursor: &&mut Cursor| match cursor.complete_before {
            None => false,
            of_cursor => of_cursor == known || cursor.is_low(),
        };
        let reads: FuturesUnordered<_> = self.cursors.iter_mut().filter(behind).map(Cursor::read).collect();
        reads.try_collect::<()>().await?;
        Ok(self.known())
    }

    fn known(&self) -> Option<Key> {
        self.cursors.iter().filter_map(|cursor| cursor.complete_before).min()
    }

    /// Moves all rows before a limit to the outputs, as many as fill a row group at a time.
    fn take(&mut self, limit: Option<Key>) -> Result<Vec<Output>, MergeError> {
        let mut full = Vec::new();
        loop {
            let count: usize =
                self.cursors.iter().flat_map(|cursor| cursor.below(limit)).map(|rows| rows.len()).sum();
            if count == 0 {
                return Ok(full);
            }
            let room = self.outputs.room();
            let cut = if count > room { self.cut(limit, room, count) } else { None };
            if count > room && cut.is_none() && self.outputs.write_fullest()? {
                // The next trace begins another row group.
                full.extend(self.outputs.settle(self.is_between_traces)?);
                continue;
            }
            let upto = cut.or(limit);
            self.move_rows(upto)?;
            self.is_between_traces = upto.is_none_or(|key| key.is_between_traces());
            full.extend(self.outputs.settle(self.is_between_traces)?);
        }
    }

    /// A place between two traces before which some of the rows lie, about so many of all.
    fn cut(&self, limit: Option<Key>, room: usize, count: usize) -> Option<Key> {
        let pieces = self.cursors.iter().flat_map(|cursor| cursor.windows.iter().zip(cursor.below(limit)));
        let (held, rows) = pieces.max_by_key(|(_, rows)| rows.len())?;
        let at = rows.start + (rows.len() as u64 * room as u64 / count as u64) as usize;
        let trace = held.window.columns.trace_ids.get(at.min(rows.end.checked_sub(1)?))?;
        let first = self.first_trace()?;
        (*trace > first).then(|| Key::before_trace(trace))
    }

    fn first_trace(&self) -> Option<TraceId> {
        let heads = self.cursors.iter().filter_map(|cursor| cursor.windows.front());
        heads.filter_map(|held| held.window.columns.trace_ids.get(held.taken)).min().copied()
    }

    fn move_rows(&mut self, limit: Option<Key>) -> Result<(), MergeError> {
        let pieces: Vec<Rows<'_>> = self
            .cursors
            .iter()
            .flat_map(|cursor| {
                let windows = cursor.windows.iter().zip(cursor.below(limit));
                windows.map(|(held, rows)| Rows {
                    columns: &held.window.columns,
                    rows,
                    deleted: &cursor.deleted,
                })
            })
            .filter(|piece| !piece.rows.is_empty())
            .collect();
        let destinations = self.slices.of_traces(&pieces);
        for piece in &pieces {
            let (split, deleted) = destinations.split(piece);
            if self.is_first_pass {
                self.rows += piece.rows.len() as u64;
                self.deleted += deleted as u64;
            }
            for (slice, rows) in split {
                if self.slices.has_gone(&slice) {
                    self.expired += if self.is_first_pass { rows.len() as u64 } else { 0 };
                    continue;
                }
                self.outputs.add(slice, piece.columns, &rows)?;
            }
        }
        drop(pieces);
        self.cursors.iter_mut().for_each(|cursor| cursor.take(limit));
        Ok(())
    }
}
