//! Writing groups: from filters, or row by row from other groups.

use std::ops::Range;

use super::super::size::SizeClass;
use super::super::split_block::{BUCKET_BYTES, SplitBlockFilter};
use super::{GroupError, GroupHeader, GroupKind};
use crate::id::BlockId;

/// What a damaged row is replaced by: every key may be there.
const MAY_HOLD: u8 = 0xff;

/// A group made of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    pub bytes: Vec<u8>,
    /// Rows that were damaged in an input: the blocks of that input may hold any key
    /// there, until the group is built anew from the blocks' own filters.
    pub damaged_rows: usize,
}

/// A group of these filters, each of the group's size class or one to be spread over it.
pub fn build(
    kind: GroupKind,
    class: SizeClass,
    filters: &[(BlockId, SplitBlockFilter)],
) -> Result<Vec<u8>, GroupError> {
    let header = GroupHeader::new(kind, class, filters.iter().map(|(block, _)| *block).collect())?;
    let sources = filters
        .iter()
        .map(|(_, filter)| Ok((filter.buckets(), doublings(filter.class(), class)?)))
        .collect::<Result<Vec<_>, GroupError>>()?;
    let mut bytes = Vec::with_capacity(header.object_len() as usize);
    bytes.extend(header.to_bytes());
    for row in 0..class.buckets() {
        write_row(&header, row, &mut bytes, |out| {
            sources.iter().for_each(|(buckets, doublings)| out.extend(buckets[row >> doublings]));
        });
    }
    Ok(bytes)
}

/// The group with one more block, or several, of the largest size class among them.
pub fn add(group: &[u8], filters: &[(BlockId, SplitBlockFilter)]) -> Result<Merged, GroupError> {
    let header = GroupHeader::parse(group)?;
    let classes = filters.iter().map(|(_, filter)| filter.class());
    let added = build(header.kind, classes.fold(header.class, SizeClass::max), filters)?;
    merge(&[group, &added], |_| false)
}

/// One group of the blocks of others that are not to be dropped, of the largest size
/// class among the groups. All in memory; [`Merger`] does it piece by piece.
pub fn merge(groups: &[&[u8]], drop: impl Fn(&BlockId) -> bool) -> Result<Merged, GroupError> {
    let headers = groups.iter().map(|group| GroupHeader::parse(group)).collect::<Result<Vec<_>, _>>()?;
    for (header, group) in headers.iter().zip(groups) {
        let (actual, expected) = (group.len() as u64, header.object_len());
        if actual != expected {
            return Err(GroupError::Length { actual, expected });
        }
    }
    let merger = Merger::new(headers, drop)?;
    let rows = 0..merger.header.class.buckets();
    let inputs: Vec<&[u8]> = merger
        .inputs(rows.clone())
        .map(|(input, range)| &groups[input][range.start as usize..range.end as usize])
        .collect();
    let mut bytes = Vec::with_capacity(merger.header.object_len() as usize);
    bytes.extend(merger.header.to_bytes());
    let damaged_rows = merger.write_rows(rows, &inputs, &mut bytes)?;
    Ok(Merged { bytes, damaged_rows })
}

/// Merges groups that may be larger than memory: the caller fetches a few rows of each
/// input, and these become as many rows of the new group.
#[derive(Debug)]
pub struct Merger {
    header: GroupHeader,
    inputs: Vec<Input>,
}

impl Merger {
    /// Of groups with these headers, without the blocks that are to be dropped.
    pub fn new(headers: Vec<GroupHeader>, drop: impl Fn(&BlockId) -> bool) -> Result<Self, GroupError> {
        let kind = headers.first().ok_or(GroupError::NoBlocks)?.kind;
        if headers.iter().any(|header| header.kind != kind) {
            return Err(GroupError::MixedKinds);
        }
        let class = headers.iter().map(|header| header.class).fold(SizeClass::SMALLEST, SizeClass::max);
        let mut blocks = Vec::new();
        let mut inputs = Vec::new();
        for (number, header) in headers.into_iter().enumerate() {
            let input = Input::new(number, header, class, &drop)?;
            if !input.kept.is_empty() {
                blocks.extend(input.kept_blocks());
                inputs.push(input);
            }
        }
        Ok(Self { header: GroupHeader::new(kind, class, blocks)?, inputs })
    }

    /// The header of the new group: its object begins with these bytes.
    pub fn header(&self) -> &GroupHeader {
        &self.header
    }

    /// Which inputs have blocks that stay, and the bytes of each that these rows of the new
    /// group are made of.
    pub fn inputs(&self, rows: Range<usize>) -> impl Iterator<Item = (usize, Range<u64>)> {
        self.inputs.iter().map(move |input| {
            let rows = input.rows(&rows);
            (input.number, input.header.row_start(rows.start)..input.header.row_start(rows.end))
        })
    }

    /// Writes rows of the new group from the bytes that [`Self::inputs`] names, and says how
    /// many were damaged in an input.
    pub fn write_rows(
        &self,
        rows: Range<usize>,
        bytes: &[impl AsRef<[u8]>],
        out: &mut Vec<u8>,
    ) -> Result<usize, GroupError> {
        for (position, (_, range)) in self.inputs(rows.clone()).enumerate() {
            let actual = bytes.get(position).map_or(0, |bytes| bytes.as_ref().len()) as u64;
            let expected = range.end - range.start;
            if actual != expected {
                return Err(GroupError::Length { actual, expected });
            }
        }
        let mut damaged_rows = 0;
        for row in rows.clone() {
            let mut intact = 0;
            write_row(&self.header, row, out, |out| {
                let inputs = self.inputs.iter().zip(bytes);
                intact =
                    inputs.filter(|(input, bytes)| input.write_row(row, &rows, bytes.as_ref(), out)).count();
            });
            damaged_rows += usize::from(intact < self.inputs.len());
        }
        Ok(damaged_rows)
    }
}

/// A group that is merged into another.
#[derive(Debug)]
struct Input {
    /// Its place among the groups that were given.
    number: usize,
    header: GroupHeader,
    doublings: u32,
    /// Neighbours that stay, as places among the blocks.
    kept: Vec<Range<usize>>,
}

impl Input {
    fn new(
        number: usize,
        header: GroupHeader,
        class: SizeClass,
        drop: impl Fn(&BlockId) -> bool,
    ) -> Result<Self, GroupError> {
        let mut kept: Vec<Range<usize>> = Vec::new();
        for place in (0..header.blocks.len()).filter(|place| !drop(&header.blocks[*place])) {
            match kept.last_mut() {
                Some(run) if run.end == place => run.end += 1,
                _ => kept.push(place..place + 1),
            }
        }
        let doublings = doublings(header.class, class)?;
        Ok(Self { number, header, doublings, kept })
    }

    fn kept_blocks(&self) -> impl Iterator<Item = BlockId> {
        self.kept.iter().flat_map(|run| &self.header.blocks[run.clone()]).copied()
    }

    /// Its rows that become these rows of the new group.
    fn rows(&self, rows: &Range<usize>) -> Range<usize> {
        let end = if rows.is_empty() { rows.start } else { ((rows.end - 1) >> self.doublings) + 1 };
        rows.start >> self.doublings..end
    }

    /// Writes what stays of the row that becomes this row of the new group; the bytes are
    /// those for all of `rows`. False: it was damaged.
    fn write_row(&self, row: usize, rows: &Range<usize>, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        let (row, first, len) = (row >> self.doublings, rows.start >> self.doublings, self.header.row_len());
        let intact = self.header.intact(row, &bytes[(row - first) * len..][..len]);
        for run in &self.kept {
            let bytes = run.start * BUCKET_BYTES..run.end * BUCKET_BYTES;
            match intact {
                Some(buckets) => out.extend_from_slice(&buckets[bytes]),
                None => out.resize(out.len() + bytes.len(), MAY_HOLD),
            }
        }
        intact.is_some()
    }
}

/// How often a filter is to be doubled to be of another class.
fn doublings(from: SizeClass, to: SizeClass) -> Result<u32, GroupError> {
    match to.number().checked_sub(from.number()) {
        Some(steps) if steps % 4 == 0 => Ok(u32::from(steps / 4)),
        _ => Err(GroupError::CannotSpread { from: from.number(), to: to.number() }),
    }
}

fn write_row(header: &GroupHeader, row: usize, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    write(out);
    let hash = header.row_hash(row, &out[start..]);
    out.extend(hash.to_le_bytes());
}
