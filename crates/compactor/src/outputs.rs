//! What a merge writes: one block at a time for each slice, all of them together in bounded memory. If there is no room
//! for all slices at once, the inputs are read once more for the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use siltstone_catalog::kept::Until;
use siltstone_format::block::identity::BlockIdentity;
use siltstone_format::block::write::{BlockWriter, EncodeError, EncodedBlock};
use siltstone_format::block::{Layout, ROW_GROUP_ROWS, SameSpans};
use siltstone_format::columns::{Rejected, SpanColumns};
use siltstone_format::day::Day;
use siltstone_format::id::BlockId;
use siltstone_format::tenant::Tenant;

use crate::planted::{Bug, planted};
use crate::slices::Slice;

/// Why an output cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    #[error("a merged block cannot be encoded: {0}")]
    Encode(#[from] EncodeError),
    #[error("spans cannot be taken together: {0}")]
    Rejected(#[from] Rejected),
}

/// How large outputs become.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutputSizes {
    /// Rows at which a block is full.
    pub(crate) block_rows: u64,
    /// The same in bytes.
    pub(crate) block_bytes: usize,
    /// What all outputs that are begun may hold together.
    pub(crate) held_bytes: usize,
}

/// A block that is whole, on its way into the bucket.
pub(crate) struct Output {
    pub(crate) day: Day,
    /// Until when its traces are kept, if the merge decides it.
    pub(crate) until: Option<Until>,
    pub(crate) block: EncodedBlock,
}

/// A row group is written when it has so many rows: a little less than it may have, since traces come whole,
const GROUP_ROWS: usize = ROW_GROUP_ROWS / 16 * 15;
/// or when its columns take so much memory.
const GROUP_BYTES: usize = 48 << 20;
/// This part of a row group's rows says how much room the columns of all of them need.
const FIRST_PART: usize = 32;

/// The outputs of one merge.
pub(crate) struct Outputs {
    tenant: Tenant,
    inputs: Vec<BlockId>,
    layout: Layout,
    sizes: OutputSizes,
    next_id: Arc<dyn Fn() -> BlockId + Send + Sync>,
    begun: BTreeMap<Slice, Begun>,
    /// Slices for which there is no room now: another pass over the inputs writes them.
    postponed: BTreeSet<Slice>,
    /// In a later pass the only ones that are written.
    wanted: Option<BTreeSet<Slice>>,
    /// Slices of which a block is written: these cannot be postponed.
    written: BTreeSet<Slice>,
    pub(crate) collapsed: u64,
}

#[derive(Default)]
struct Begun {
    /// Rows of the next row group.
    rows: SpanColumns,
    /// Whether they have room for all that will be in the row group.
    has_room: bool,
    writer: Option<BlockWriter>,
    collapsed: u64,
}

impl Begun {
    /// Adds rows to the next row group, which is written when it has so many.
    fn add(&mut self, columns: &SpanColumns, rows: &[u32], group_rows: usize) -> Result<(), OutputError> {
        self.rows.append(columns, rows)?;
        if !self.has_room && self.rows.len() >= group_rows / FIRST_PART {
            // Columns that grow in steps leave holes of all sizes behind, which take as much memory as they did.
            let of_rows = group_rows / self.rows.len().max(1) + 1;
            let of_bytes = GROUP_BYTES / self.rows.memory_bytes().max(1) + 1;
            self.rows.make_room(of_rows.min(of_bytes));
            self.has_room = true;
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.rows.memory_bytes() + self.writer.as_ref().map_or(0, BlockWriter::held_bytes)
    }
}

impl Outputs {
    pub(crate) fn new(
        tenant: Tenant,
        inputs: Vec<BlockId>,
        layout: Layout,
        sizes: OutputSizes,
        next_id: Arc<dyn Fn() -> BlockId + Send + Sync>,
    ) -> Self {
        Self {
            tenant,
            inputs,
            layout,
            sizes,
            next_id,
            begun: BTreeMap::new(),
            postponed: BTreeSet::new(),
            wanted: None,
            written: BTreeSet::new(),
            collapsed: 0,
        }
    }

    /// Rows that still fit into the row group that is nearly full.
    pub(crate) fn room(&self) -> usize {
        let fullest = self.begun.values().map(|begun| begun.rows.len()).max();
        self.group_rows().saturating_sub(fullest.unwrap_or(0))
    }

    /// Writes the rows of the slice that has most, as they are. False: there are none.
    pub(crate) fn write_fullest(&mut self) -> Result<bool, OutputError> {
        let fullest = self.begun.iter().max_by_key(|(_, begun)| begun.rows.len());
        match fullest.map(|(slice, begun)| (*slice, begun.rows.is_empty())) {
            Some((slice, false)) => self.write_group(slice).map(|()| true),
            _ => Ok(false),
        }
    }

    fn group_rows(&self) -> usize {
        GROUP_ROWS.min(usize::try_from(self.sizes.block_rows).unwrap_or(GROUP_ROWS))
    }

    /// Adds rows that come behind all others of their slice.
    pub(crate) fn add(
        &mut self,
        slice: Slice,
        columns: &SpanColumns,
        rows: &[u32],
    ) -> Result<(), OutputError> {
        if rows.is_empty() {
            return Ok(());
        }
        let is_wanted = self.wanted.as_ref().is_none_or(|wanted| wanted.contains(&slice));
        if !is_wanted || self.postponed.contains(&slice) {
            return Ok(());
        }
        let group_rows = self.group_rows();
        self.begun.entry(slice).or_default().add(columns, rows, group_rows)
    }

    /// Whether slices are left for another pass, which this begins.
    pub(crate) fn next_pass(&mut self) -> bool {
        let postponed = std::mem::take(&mut self.postponed);
        let has_some = !postponed.is_empty();
        self.wanted = Some(postponed);
        has_some
    }

    /// Writes what is large enough, and gives the blocks that are full. `between_traces` says that all rows that
    /// come later are of other traces: elsewhere no block ends, unless it is far too large.
    pub(crate) fn settle(&mut self, between_traces: bool) -> Result<Vec<Output>, OutputError> {
        let mut full = Vec::new();
        let slices: Vec<Slice> = self.begun.keys().copied().collect();
        for slice in slices {
            let Some(begun) = self.begun.get(&slice) else { continue };
            if begun.rows.len() >= self.group_rows() || begun.rows.memory_bytes() >= GROUP_BYTES {
                self.write_group(slice)?;
            }
            if self.is_full(slice, between_traces) {
                full.extend(self.finish(slice)?);
            }
        }
        self.postpone();
        Ok(full)
    }

    /// Gives up what was begun last, as long as all together takes too much: it is written in another pass. Blocks
    /// that end early would be merged again and again.
    fn postpone(&mut self) {
        while self.held_bytes() > self.sizes.held_bytes && self.begun.len() > 1 {
            let last = self.begun.keys().rev().find(|slice| !self.written.contains(slice)).copied();
            let Some(slice) = last else { return };
            self.begun.remove(&slice);
            self.postponed.insert(slice);
        }
    }

    /// The blocks that are left, when no more rows come.
    pub(crate) fn finish_next(&mut self) -> Result<Option<Output>, OutputError> {
        while let Some(slice) = self.begun.keys().next().copied() {
            if let Some(output) = self.finish(slice)? {
                return Ok(Some(output));
            }
        }
        Ok(None)
    }

    fn held_bytes(&self) -> usize {
        self.begun.values().map(Begun::bytes).sum()
    }

    fn is_full(&self, slice: Slice, between_traces: bool) -> bool {
        let Some(writer) = self.begun.get(&slice).and_then(|begun| begun.writer.as_ref()) else {
            return false;
        };
        let slack = if between_traces { 1 } else { 2 };
        writer.rows() >= self.sizes.block_rows.saturating_mul(slack)
            || writer.file_bytes() >= self.sizes.block_bytes * slack as usize
            // What is held beside the file is little, unless nothing repeats.
            || writer.held_bytes() >= self.sizes.block_bytes * 3
    }

    fn write_group(&mut self, slice: Slice) -> Result<(), OutputError> {
        let Some(begun) = self.begun.get_mut(&slice) else { return Ok(()) };
        let writer = match &mut begun.writer {
            Some(writer) => writer,
            none => {
                let identity = BlockIdentity {
                    block: (self.next_id)(),
                    tenant: self.tenant.clone(),
                    inputs: self.inputs.clone(),
                };
                // What is reserved and not used takes no memory; what grows is there twice while it is copied.
                none.insert(BlockWriter::new(identity, &self.layout, self.sizes.block_bytes / 4 * 5)?)
            }
        };
        if planted(Bug::CollapseById) {
            without_twins(&mut begun.rows)?;
        }
        begun.collapsed += writer.append(&begun.rows, SameSpans::Collapse)? as u64;
        (begun.rows, begun.has_room) = (SpanColumns::default(), false);
        Ok(())
    }

    fn finish(&mut self, slice: Slice) -> Result<Option<Output>, OutputError> {
        if self.begun.get(&slice).is_some_and(|begun| !begun.rows.is_empty()) {
            self.write_group(slice)?;
        }
        let Some(begun) = self.begun.remove(&slice) else { return Ok(None) };
        let Some(writer) = begun.writer else { return Ok(None) };
        self.collapsed += begun.collapsed;
        self.written.insert(slice);
        Ok(Some(Output { day: slice.day, until: slice.until, block: writer.finish()? }))
    }
}

/// What must not be done: two spans with one id and start may say different things.
fn without_twins(columns: &mut SpanColumns) -> Result<(), OutputError> {
    let key = |row: u32| {
        (columns.trace_ids[row as usize], columns.starts[row as usize], columns.span_ids[row as usize])
    };
    let mut seen = std::collections::BTreeSet::new();
    let rows: Vec<u32> = (0..columns.len() as u32).filter(|row| seen.insert(key(*row))).collect();
    let mut kept = SpanColumns::default();
    kept.append(columns, &rows)?;
    *columns = kept;
    Ok(())
}
