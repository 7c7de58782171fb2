//! Values of one column chunk, and how they are laid out in pages.

use std::hash::BuildHasher;
use std::ops::Range;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use parquet::basic::Encoding;
use parquet::data_type::{ByteArray, FixedLenByteArray};
use parquet::file::statistics::{Statistics, ValueStatistics};

use super::hybrid::{bits_for, write_packed};
use crate::columns::dictionary::Dictionary;

/// Values of one column in one row group, without the absent ones.
#[derive(Debug)]
pub(crate) enum Values<'a> {
    Texts {
        texts: TextSource<'a>,
        numbers: Vec<u32>,
    },
    Ints32(Vec<i32>),
    /// Stored as the same bits; compared unsigned.
    Unsigned32(Vec<u32>),
    Ints64(Vec<i64>),
    Doubles(Vec<f64>),
    Bools(Vec<bool>),
    Bytes {
        width: usize,
        bytes: Vec<u8>,
    },
}

/// Where numbered texts come from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TextSource<'a> {
    Dictionary(&'a Dictionary),
    Fixed(&'a [&'static str]),
}

impl<'a> TextSource<'a> {
    pub(crate) fn get(&self, number: u32) -> &'a [u8] {
        match self {
            Self::Dictionary(texts) => texts.bytes_of(number),
            Self::Fixed(texts) => texts[number as usize].as_bytes(),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Dictionary(texts) => texts.len(),
            Self::Fixed(texts) => texts.len(),
        }
    }
}

/// Distinct values of a chunk in their order, and each value's number among them.
///
/// In order, neighbours share what they begin with, and a compressor finds it: paths,
/// addresses and statements take a third less than in the order of their coming.
#[derive(Debug)]
pub(crate) struct ChunkDictionary {
    /// The distinct values, encoded PLAIN.
    pub(crate) plain: Vec<u8>,
    pub(crate) distinct: usize,
    pub(crate) indices: Vec<u32>,
    /// For texts: the source's number of each distinct value.
    pub(crate) sources: Vec<u32>,
}

/// A dictionary's page is read and decompressed for a single value of its chunk, so
/// it is bounded; larger sets of values are written plain.
const MAX_DICTIONARY_BYTES: usize = 1 << 20;
/// One that is larger must save so many times what it takes,
const WORTH_A_LARGE_DICTIONARY: usize = 16;
/// and not be larger than this.
const MAX_LARGE_DICTIONARY_BYTES: usize = 32 << 20;

/// Statistics leave out longer texts.
const MAX_STATISTICS_TEXT: usize = 64;

impl Values<'_> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Texts { numbers, .. } => numbers.len(),
            Self::Ints32(values) => values.len(),
            Self::Unsigned32(values) => values.len(),
            Self::Ints64(values) => values.len(),
            Self::Doubles(values) => values.len(),
            Self::Bools(values) => values.len(),
            Self::Bytes { width, bytes } => bytes.len() / width,
        }
    }

    /// Appends a range of values in the encoding PLAIN.
    pub(crate) fn write_plain(&self, range: Range<usize>, out: &mut Vec<u8>) {
        match self {
            Self::Texts { texts, numbers } => {
                numbers[range].iter().for_each(|number| write_text(texts.get(*number), out));
            }
            Self::Ints32(values) => extend(values[range].iter().map(|value| value.to_le_bytes()), out),
            Self::Unsigned32(values) => extend(values[range].iter().map(|value| value.to_le_bytes()), out),
            Self::Ints64(values) => extend(values[range].iter().map(|value| value.to_le_bytes()), out),
            Self::Doubles(values) => extend(values[range].iter().map(|value| value.to_le_bytes()), out),
            Self::Bools(values) => write_bools(&values[range], out),
            Self::Bytes { width, bytes } => {
                out.extend_from_slice(&bytes[range.start * width..range.end * width]);
            }
        }
    }

    /// Appends a range of values with the first bytes of all, then the second ones …
    pub(crate) fn write_split(&self, range: Range<usize>, out: &mut Vec<u8>) {
        let count = range.len();
        let base = out.len();
        self.write_plain(range, out);
        let plain = out.split_off(base);
        let width = plain.len().checked_div(count).unwrap_or(0);
        out.resize(base + plain.len(), 0);
        for (index, value) in plain.chunks_exact(width.max(1)).enumerate() {
            for (stream, byte) in value.iter().enumerate() {
                out[base + stream * count + index] = *byte;
            }
        }
    }

    /// What a plain column of this kind is best written as.
    pub(crate) fn plain_encoding(&self) -> Encoding {
        match self {
            Self::Ints32(_) | Self::Unsigned32(_) | Self::Ints64(_) | Self::Doubles(_) => {
                Encoding::BYTE_STREAM_SPLIT
            }
            Self::Texts { .. } | Self::Bools(_) | Self::Bytes { .. } => Encoding::PLAIN,
        }
    }

    /// The distinct values, if they are few enough to be worth a dictionary.
    pub(crate) fn dictionary(&self) -> Option<ChunkDictionary> {
        match self {
            Self::Texts { texts, numbers } => text_dictionary(texts, numbers),
            Self::Ints32(values) => {
                number_dictionary(values, |value| i64::from(*value), |value| value.to_le_bytes())
            }
            Self::Unsigned32(values) => {
                number_dictionary(values, |value| i64::from(*value), |value| value.to_le_bytes())
            }
            Self::Ints64(values) => number_dictionary(values, |value| *value, |value| value.to_le_bytes()),
            Self::Doubles(values) => {
                number_dictionary(values, |value| value.to_bits().cast_signed(), |value| value.to_le_bytes())
            }
            Self::Bools(_) | Self::Bytes { .. } => None,
        }
    }

    /// Bytes of all values, plain.
    pub(crate) fn plain_len(&self) -> usize {
        match self {
            Self::Texts { texts, numbers } => numbers.iter().map(|number| 4 + texts.get(*number).len()).sum(),
            Self::Ints32(_) | Self::Unsigned32(_) => 4 * self.len(),
            Self::Ints64(_) | Self::Doubles(_) => 8 * self.len(),
            Self::Bools(values) => values.len().div_ceil(8),
            Self::Bytes { bytes, .. } => bytes.len(),
        }
    }

    /// The same of a range of texts; other values are small.
    pub(crate) fn text_len(&self, range: Range<usize>) -> usize {
        match self {
            Self::Texts { texts, numbers } => {
                numbers[range].iter().map(|number| 4 + texts.get(*number).len()).sum()
            }
            _ => 0,
        }
    }

    /// Least and greatest of a range of values, and how many rows have none.
    pub(crate) fn statistics(&self, range: Range<usize>, nulls: u64) -> Statistics {
        let nulls = Some(nulls);
        match self {
            Self::Texts { texts, numbers } => {
                let bounds = bounds(numbers[range].iter().map(|number| texts.get(*number)));
                text_statistics(bounds, nulls)
            }
            Self::Ints32(values) => {
                let (min, max) = bounds(values[range].iter().copied()).unzip();
                Statistics::Int32(ValueStatistics::new(min, max, None, nulls, false))
            }
            Self::Unsigned32(values) => {
                let (min, max) = bounds(values[range].iter().copied()).unzip();
                let signed = |value: Option<u32>| value.map(u32::cast_signed);
                Statistics::Int32(ValueStatistics::new(signed(min), signed(max), None, nulls, false))
            }
            Self::Ints64(values) => {
                let (min, max) = bounds(values[range].iter().copied()).unzip();
                Statistics::Int64(ValueStatistics::new(min, max, None, nulls, false))
            }
            Self::Doubles(values) => double_statistics(&values[range], nulls),
            Self::Bools(values) => {
                let (min, max) = bounds(values[range].iter().copied()).unzip();
                Statistics::Boolean(ValueStatistics::new(min, max, None, nulls, false))
            }
            Self::Bytes { width, bytes } => {
                let values = bytes[range.start * width..range.end * width].chunks_exact(*width);
                let (min, max) = bounds(values).unzip();
                let owned = |value: Option<&[u8]>| value.map(|bytes| FixedLenByteArray::from(bytes.to_vec()));
                Statistics::FixedLenByteArray(ValueStatistics::new(
                    owned(min),
                    owned(max),
                    None,
                    nulls,
                    false,
                ))
            }
        }
    }

    /// Statistics of all values, from the distinct ones where they are known.
    pub(crate) fn chunk_statistics(&self, dictionary: Option<&ChunkDictionary>, nulls: u64) -> Statistics {
        match (self, dictionary) {
            (Self::Texts { texts, .. }, Some(dictionary)) => {
                let bounds = bounds(dictionary.sources.iter().map(|number| texts.get(*number)));
                text_statistics(bounds, Some(nulls))
            }
            _ => self.statistics(0..self.len(), nulls),
        }
    }
}

impl ChunkDictionary {
    /// Bits of an index: as few as needed, or whole bytes.
    pub(crate) fn widths(&self) -> (u8, u8) {
        let narrow = bits_for(self.distinct.saturating_sub(1) as u32).max(1);
        (narrow, narrow.next_multiple_of(8))
    }

    /// Appends a range of indices as a data page has them.
    pub(crate) fn write_indices(&self, range: Range<usize>, width: u8, out: &mut Vec<u8>) {
        out.push(width);
        write_packed(&self.indices[range], width, out);
    }
}

fn text_dictionary(texts: &TextSource<'_>, numbers: &[u32]) -> Option<ChunkDictionary> {
    let mut used = vec![false; texts.len()];
    let mut sources = Vec::new();
    let mut bytes = 0;
    // Nearly unique values gain nothing from a dictionary.
    let most = (numbers.len() * 3 / 4).max(1);
    // Few long texts, repeated often, would fill page after page.
    let plain: usize = numbers.iter().map(|number| 4 + texts.get(*number).len()).sum();
    let most_bytes =
        (plain / WORTH_A_LARGE_DICTIONARY).clamp(MAX_DICTIONARY_BYTES, MAX_LARGE_DICTIONARY_BYTES);
    for number in numbers {
        if !std::mem::replace(&mut used[*number as usize], true) {
            sources.push(*number);
            bytes += 4 + texts.get(*number).len();
            if sources.len() > most || bytes > most_bytes {
                return None;
            }
        }
    }
    sources.sort_unstable_by_key(|number| texts.get(*number));
    let mut local = vec![0; texts.len()];
    let mut plain = Vec::with_capacity(bytes);
    for (number, index) in sources.iter().zip(0..) {
        local[*number as usize] = index;
        write_text(texts.get(*number), &mut plain);
    }
    let indices = numbers.iter().map(|number| local[*number as usize]).collect();
    Some(ChunkDictionary { plain, distinct: sources.len(), indices, sources })
}

/// Numbers this close together get a table instead of hashing.
const TABLE_SPAN: usize = 1 << 16;

fn number_dictionary<T, const N: usize>(
    values: &[T],
    key: impl Fn(&T) -> i64,
    encode: impl Fn(&T) -> [u8; N],
) -> Option<ChunkDictionary> {
    // Beyond this many the indices and the dictionary outweigh the values.
    let most = (values.len() / 4).clamp(1, MAX_DICTIONARY_BYTES / N);
    let mut dictionary = ChunkDictionary {
        plain: Vec::new(),
        distinct: 0,
        indices: Vec::with_capacity(values.len()),
        sources: Vec::new(),
    };
    let (least, greatest) = bounds(values.iter().map(&key))?;
    let span = greatest.abs_diff(least);
    let mut finder = if span < TABLE_SPAN as u64 {
        Finder::Table(vec![u32::MAX; span as usize + 1])
    } else {
        Finder::Hashed { table: HashTable::new(), keys: Vec::new(), seed: RandomState::default() }
    };
    for value in values {
        let key = key(value);
        let next = dictionary.distinct as u32;
        let index = finder.number(key, key.abs_diff(least), next);
        if index == next {
            dictionary.distinct += 1;
            dictionary.plain.extend_from_slice(&encode(value));
            if dictionary.distinct > most {
                return None;
            }
        }
        dictionary.indices.push(index);
    }
    Some(dictionary)
}

enum Finder {
    Table(Vec<u32>),
    Hashed { table: HashTable<u32>, keys: Vec<i64>, seed: RandomState },
}

impl Finder {
    /// The number of a key; `next` if it is new.
    fn number(&mut self, key: i64, offset: u64, next: u32) -> u32 {
        match self {
            Self::Table(numbers) => {
                let number = &mut numbers[offset as usize];
                if *number == u32::MAX {
                    *number = next;
                }
                *number
            }
            Self::Hashed { table, keys, seed } => {
                let hash = |key: i64| seed.hash_one(key);
                if let Some(number) = table.find(hash(key), |number| keys[*number as usize] == key) {
                    return *number;
                }
                keys.push(key);
                table.insert_unique(hash(key), next, |number| hash(keys[*number as usize]));
                next
            }
        }
    }
}

pub(crate) fn write_text(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text);
}

fn extend<const N: usize>(values: impl ExactSizeIterator<Item = [u8; N]>, out: &mut Vec<u8>) {
    out.reserve(values.len() * N);
    values.for_each(|value| out.extend_from_slice(&value));
}

fn write_bools(values: &[bool], out: &mut Vec<u8>) {
    for eight in values.chunks(8) {
        out.push(eight.iter().rev().fold(0, |byte, value| byte << 1 | u8::from(*value)));
    }
}

fn bounds<T: PartialOrd + Copy>(mut values: impl Iterator<Item = T>) -> Option<(T, T)> {
    let first = values.next()?;
    Some(values.fold((first, first), |(min, max), value| {
        (if value < min { value } else { min }, if value > max { value } else { max })
    }))
}

fn text_statistics(bounds: Option<(&[u8], &[u8])>, nulls: Option<u64>) -> Statistics {
    let fitting = bounds.filter(|(min, max)| min.len().max(max.len()) <= MAX_STATISTICS_TEXT);
    let (min, max) = fitting.unzip();
    let owned = |value: Option<&[u8]>| value.map(|text| ByteArray::from(text.to_vec()));
    Statistics::ByteArray(ValueStatistics::new(owned(min), owned(max), None, nulls, false))
}

/// NaN has no place in an order, so a range with one has no bounds. Zeros are
/// widened to both signs, as the Parquet specification asks.
fn double_statistics(values: &[f64], nulls: Option<u64>) -> Statistics {
    let ordered = !values.iter().any(|value| value.is_nan());
    let bounds = if ordered { bounds(values.iter().copied()) } else { None };
    let min = bounds.map(|(min, _)| if min == 0.0 { -0.0 } else { min });
    let max = bounds.map(|(_, max)| if max == 0.0 { 0.0 } else { max });
    Statistics::Double(ValueStatistics::new(min, max, None, nulls, false))
}
