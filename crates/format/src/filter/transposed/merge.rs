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
    Ok(write_rows(&header, |row, out| {
        sources.iter().for_each(|(buckets, doublings)| out.extend(buckets[row >> doublings]));
    }))
}

/// The group with one more block, or several, of the largest size class among them.
pub fn add(group: &[u8], filters: &[(BlockId, SplitBlockFilter)]) -> Result<Merged, GroupError> {
    let header = GroupHeader::parse(group)?;
    let classes = filters.iter().map(|(_, filter)| filter.class());
    let added = build(header.kind, classes.fold(header.class, SizeClass::max), filters)?;
    merge(&[group, &added], |_| false)
}

/// One group of the blocks of others that are not to be dropped, of the largest size
/// class among the groups.
pub fn merge(groups: &[&[u8]], drop: impl Fn(&BlockId) -> bool) -> Result<Merged, GroupError> {
    let headers = groups.iter().map(|group| GroupHeader::parse(group)).collect::<Result<Vec<_>, _>>()?;
    let kind = headers.first().ok_or(GroupError::NoBlocks)?.kind;
    if headers.iter().any(|header| header.kind != kind) {
        return Err(GroupError::MixedKinds);
    }
    let class = headers.iter().map(|header| header.class).fold(SizeClass::SMALLEST, SizeClass::max);
    let mut blocks = Vec::new();
    let mut inputs = Vec::new();
    for (header, group) in headers.into_iter().zip(groups) {
        let input = Input::new(header, group, class, &drop)?;
        if !input.kept.is_empty() {
            blocks.extend(input.kept_blocks());
            inputs.push(input);
        }
    }
    let header = GroupHeader::new(kind, class, blocks)?;
    let mut damaged_rows = 0;
    let bytes = write_rows(&header, |row, out| {
        let intact = inputs.iter().filter(|input| input.write_row(row, out)).count();
        damaged_rows += usize::from(intact < inputs.len());
    });
    Ok(Merged { bytes, damaged_rows })
}

/// A group that is merged into another.
struct Input<'a> {
    header: GroupHeader,
    rows: &'a [u8],
    doublings: u32,
    /// Neighbours that stay, as places among the blocks.
    kept: Vec<Range<usize>>,
}

impl<'a> Input<'a> {
    fn new(
        header: GroupHeader,
        group: &'a [u8],
        class: SizeClass,
        drop: impl Fn(&BlockId) -> bool,
    ) -> Result<Self, GroupError> {
        let (actual, expected) = (group.len() as u64, header.object_len());
        if actual != expected {
            return Err(GroupError::Length { actual, expected });
        }
        let mut kept: Vec<Range<usize>> = Vec::new();
        for place in (0..header.blocks.len()).filter(|place| !drop(&header.blocks[*place])) {
            match kept.last_mut() {
                Some(run) if run.end == place => run.end += 1,
                _ => kept.push(place..place + 1),
            }
        }
        let doublings = doublings(header.class, class)?;
        let rows = &group[GroupHeader::header_len(header.blocks.len())..];
        Ok(Self { header, rows, doublings, kept })
    }

    fn kept_blocks(&self) -> impl Iterator<Item = BlockId> {
        self.kept.iter().flat_map(|run| &self.header.blocks[run.clone()]).copied()
    }

    /// Writes what stays of the row that becomes this row of the new group. False: it
    /// was damaged.
    fn write_row(&self, row: usize, out: &mut Vec<u8>) -> bool {
        let (row, len) = (row >> self.doublings, self.header.row_len());
        let intact = self.header.intact(row, &self.rows[row * len..][..len]);
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

fn write_rows(header: &GroupHeader, mut write_row: impl FnMut(usize, &mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(header.object_len() as usize);
    out.extend(header.hashed_bytes());
    out.extend(header.hash.to_le_bytes());
    for row in 0..header.class.buckets() {
        let start = out.len();
        write_row(row, &mut out);
        let hash = header.row_hash(row, &out[start..]);
        out.extend(hash.to_le_bytes());
    }
    out
}
