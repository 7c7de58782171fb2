//! Which rows have values: definition and repetition levels of one column chunk.

use std::ops::Range;

use super::hybrid::{write_packed, write_runs, write_varint};

/// Levels of a column in one row group. Rows count from the group's first.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Levels<'a> {
    /// Every row has one value.
    Required {
        rows: usize,
    },
    /// The rows that have a value, ascending.
    Optional {
        rows: usize,
        present: &'a [u32],
    },
    List(&'a ListLevels),
}

/// Levels of a leaf of a list's elements.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListLevels {
    definitions: Vec<u32>,
    repetitions: Vec<u32>,
    /// For each row and one more: its first level.
    row_levels: Vec<u32>,
    /// For each row and one more: its first value.
    row_values: Vec<u32>,
    values: u32,
}

/// How definition levels of 0 and 1 are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LevelForm {
    Packed,
    Runs,
}

impl ListLevels {
    /// Levels of a leaf of a list's elements. `lengths` has each row's elements.
    pub(crate) fn of_list(lengths: impl Iterator<Item = usize>) -> Self {
        let mut levels = Self::default();
        for length in lengths {
            levels.begin_row();
            if length == 0 {
                levels.push(0, 0);
            }
            (0..length).for_each(|index| levels.push(u32::from(index > 0), 1));
        }
        levels.end()
    }

    fn begin_row(&mut self) {
        self.row_levels.push(self.definitions.len() as u32);
        self.row_values.push(self.values);
    }

    fn push(&mut self, repetition: u32, definition: u32) {
        self.repetitions.push(repetition);
        self.definitions.push(definition);
        self.values += definition;
    }

    fn end(mut self) -> Self {
        self.begin_row();
        self
    }
}

impl Levels<'_> {
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Required { rows } | Self::Optional { rows, .. } => *rows,
            Self::List(levels) => levels.row_levels.len().saturating_sub(1),
        }
    }

    /// How many levels there are, which Parquet calls values.
    pub(crate) fn count(&self, rows: &Range<usize>) -> usize {
        match self {
            Self::Required { .. } | Self::Optional { .. } => rows.len(),
            Self::List(levels) => (levels.row_levels[rows.end] - levels.row_levels[rows.start]) as usize,
        }
    }

    /// Places of the values of a range of rows.
    pub(crate) fn values(&self, rows: &Range<usize>) -> Range<usize> {
        match self {
            Self::Required { .. } => rows.clone(),
            Self::Optional { present, .. } => {
                present.partition_point(|row| (*row as usize) < rows.start)
                    ..present.partition_point(|row| (*row as usize) < rows.end)
            }
            Self::List(levels) => {
                levels.row_values[rows.start] as usize..levels.row_values[rows.end] as usize
            }
        }
    }

    /// Appends the levels of a range of rows as they stand at the front of a page.
    pub(crate) fn write(&self, rows: &Range<usize>, form: LevelForm, out: &mut Vec<u8>) {
        match self {
            Self::Required { .. } => {}
            Self::Optional { present, .. } => {
                let values = self.values(rows);
                with_length(out, |out| write_presence(&present[values], rows, form, out));
            }
            Self::List(levels) => {
                let range = levels.row_levels[rows.start] as usize..levels.row_levels[rows.end] as usize;
                with_length(out, |out| write_list_levels(&levels.repetitions[range.clone()], out));
                with_length(out, |out| write_list_levels(&levels.definitions[range], out));
            }
        }
    }
}

/// Lists are mostly empty, so runs are mostly shorter.
fn write_list_levels(levels: &[u32], out: &mut Vec<u8>) {
    let runs = levels.chunk_by(|a, b| a == b).count();
    if runs * 2 < levels.len() / 8 {
        write_runs(levels, 1, out);
    } else {
        write_packed(levels, 1, out);
    }
}

fn write_presence(present: &[u32], rows: &Range<usize>, form: LevelForm, out: &mut Vec<u8>) {
    if form == LevelForm::Runs || present.is_empty() || present.len() == rows.len() {
        write_presence_runs(present, rows, out);
        return;
    }
    let groups = rows.len().div_ceil(8);
    write_varint((groups as u64) << 1 | 1, out);
    let base = out.len();
    out.resize(base + groups, 0);
    for row in present {
        let bit = *row as usize - rows.start;
        out[base + bit / 8] |= 1 << (bit % 8);
    }
}

fn write_presence_runs(present: &[u32], rows: &Range<usize>, out: &mut Vec<u8>) {
    let mut at = rows.start;
    for run in present.chunk_by(|a, b| a + 1 == *b) {
        let start = run[0] as usize;
        write_run(start - at, 0, out);
        write_run(run.len(), 1, out);
        at = start + run.len();
    }
    write_run(rows.end - at, 0, out);
}

fn write_run(len: usize, level: u8, out: &mut Vec<u8>) {
    if len > 0 {
        write_varint((len as u64) << 1, out);
        out.push(level);
    }
}

fn with_length(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let length = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&length.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::hybrid::Hybrid;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn should_write_presence_in_both_forms(bits in prop::collection::vec(any::<bool>(), 1..200), start in 0usize..50) {
            let present: Vec<u32> = bits.iter().enumerate().filter(|(_, bit)| **bit).map(|(row, _)| row as u32).collect();
            let rows = start.min(bits.len() - 1)..bits.len();
            let levels = Levels::Optional { rows: bits.len(), present: &present };
            for form in [LevelForm::Packed, LevelForm::Runs] {
                let mut out = Vec::new();
                levels.write(&rows, form, &mut out);
                let mut read = Vec::new();
                Hybrid::parse(&out[4..], 1, rows.len()).unwrap().append(0..rows.len(), &mut read);
                prop_assert_eq!(&read, &bits[rows.clone()].iter().copied().map(u32::from).collect::<Vec<_>>());
            }
            let expected = bits[rows.clone()].iter().filter(|bit| **bit).count();
            prop_assert_eq!(levels.values(&rows).len(), expected);
        }
    }

    #[test]
    fn should_level_lists() {
        let levels = ListLevels::of_list([0, 2, 1].into_iter());
        assert_eq!(levels.repetitions, [0, 0, 1, 0]);
        assert_eq!(levels.definitions, [0, 1, 1, 1]);
        assert_eq!(levels.row_levels, [0, 1, 3, 4]);
        assert_eq!(levels.row_values, [0, 0, 2, 3]);
    }
}
