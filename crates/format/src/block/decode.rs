//! Values of one page: all that are wanted at once, or one after the other.
//!
//! A page's dictionary numbers its values; columns number their texts too. A table
//! from one to the other, filled as it is used, looks a text up once, however many
//! rows have it.

use std::ops::Range;

use parquet::basic::{Encoding, Type as Physical};

use super::front::FrontCoded;
use super::hybrid::Hybrid;
use super::leaf::{Damage, Leaf};
use super::split::{append_split, split_value};
use crate::columns::Rejected;
use crate::columns::dictionary::Dictionary;

pub(crate) const WRONG_TYPE: Damage = "a value of another type than its column";
pub(crate) const NOT_UTF8: Damage = "a text that is not UTF-8";
const BEYOND: Damage = "an index beyond its dictionary";
pub(super) const TOO_FEW: Damage = "fewer values than levels";
pub(super) const NOT_OURS: Damage = "a type that Siltstone does not write";

/// A value as it lies in a page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Raw<'a> {
    /// A text or an id.
    Bytes(&'a [u8]),
    Four([u8; 4]),
    Eight([u8; 8]),
    Bool(bool),
}

/// The distinct values of a chunk.
#[derive(Debug)]
pub(crate) struct PageDictionary {
    values: DistinctValues,
    len: usize,
}

#[derive(Debug)]
enum DistinctValues {
    Fixed {
        width: usize,
        bytes: Box<[u8]>,
    },
    /// End to end.
    Texts {
        bytes: Box<[u8]>,
        ends: Vec<u32>,
    },
    Packed(FrontCoded),
}

/// Smaller ones take little anyway.
const WORTH_PACKING_BYTES: usize = 8 * 1024;

impl PageDictionary {
    pub(crate) fn parse(leaf: &Leaf, page: &[u8], len: usize) -> Result<Self, Damage> {
        let values = match leaf.width {
            Some(width) if width.checked_mul(len) == Some(page.len()) => {
                DistinctValues::Fixed { width, bytes: page.into() }
            }
            Some(_) => return Err("a dictionary of another length"),
            None if leaf.physical == Physical::BYTE_ARRAY => {
                let (bytes, ends) = texts_end_to_end(page, len)?;
                DistinctValues::Texts { bytes, ends }
            }
            None => return Err("a dictionary of truth values"),
        };
        Ok(Self { values, len })
    }

    /// The same in less memory, if it is of many texts: these are then found by [`Self::text`] alone, and slower.
    pub(crate) fn packed(self) -> Self {
        if !matches!(self.values, DistinctValues::Texts { .. }) || self.bytes() < WORTH_PACKING_BYTES {
            return self;
        }
        let texts = (0..self.len as u32).map(|number| self.get(number).unwrap_or_default());
        let packed = FrontCoded::of(texts);
        Self { values: DistinctValues::Packed(packed), len: self.len }
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, number: u32) -> Result<&[u8], Damage> {
        let index = number as usize;
        if index >= self.len {
            return Err(BEYOND);
        }
        match &self.values {
            DistinctValues::Fixed { width, bytes } => Ok(&bytes[index * width..(index + 1) * width]),
            DistinctValues::Texts { bytes, ends } => {
                let start = if index == 0 { 0 } else { ends[index - 1] as usize };
                Ok(&bytes[start..ends[index] as usize])
            }
            DistinctValues::Packed(_) => Err("a dictionary that is packed for another use"),
        }
    }

    /// A text, which is put together in `room` if they are packed.
    pub(crate) fn text<'a>(&'a self, number: u32, room: &'a mut Vec<u8>) -> Result<&'a [u8], Damage> {
        match &self.values {
            DistinctValues::Packed(texts) => texts.get(number as usize, room).ok_or(BEYOND),
            _ => self.get(number),
        }
    }

    /// All values, if they have this width.
    fn fixed<const N: usize>(&self) -> Result<&[[u8; N]], Damage> {
        match &self.values {
            DistinctValues::Fixed { width, bytes } if *width == N => Ok(bytes.as_chunks::<N>().0),
            _ => Err(WRONG_TYPE),
        }
    }

    /// A value, of the type that the chunk has.
    pub(crate) fn raw(&self, physical: Physical, number: u32) -> Result<Raw<'_>, Damage> {
        raw(physical, self.get(number)?)
    }

    /// Memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        match &self.values {
            DistinctValues::Fixed { bytes, .. } => bytes.len(),
            DistinctValues::Texts { bytes, ends } => bytes.len() + 4 * ends.len(),
            DistinctValues::Packed(texts) => texts.bytes(),
        }
    }
}

/// The numbers that the texts of one chunk's dictionary have in the columns.
#[derive(Clone, Debug, Default)]
pub(crate) struct TextNumbers {
    group: usize,
    /// By number in the chunk's dictionary; made once it is worth it.
    numbers: Vec<u32>,
    /// Values that were looked up one by one.
    looked_up: usize,
}

const UNKNOWN: u32 = u32::MAX;
/// A table is made for so many values, compared with the dictionary: a few rows must
/// not pay for a table of all texts.
const WORTH_A_TABLE: usize = 4;

impl TextNumbers {
    /// Forgets what belongs to another row group.
    pub(crate) fn begin(&mut self, group: usize) {
        if self.group != group {
            *self = Self { group, ..Self::default() };
        }
    }

    fn append(
        &mut self,
        dictionary: &PageDictionary,
        found: &[u32],
        texts: &mut Dictionary,
        out: &mut Vec<u32>,
    ) -> Result<(), Damage> {
        out.reserve(found.len());
        let mut room = Vec::new();
        if self.numbers.is_empty() {
            self.looked_up += found.len();
            if self.looked_up < dictionary.len() / WORTH_A_TABLE {
                for number in found {
                    out.push(texts.intern(dictionary.text(*number, &mut room)?).map_err(not_utf8)?);
                }
                return Ok(());
            }
            self.numbers.resize(dictionary.len(), UNKNOWN);
        }
        for number in found {
            let known = self.numbers.get_mut(*number as usize).ok_or(BEYOND)?;
            if *known == UNKNOWN {
                *known = texts.intern(dictionary.text(*number, &mut room)?).map_err(not_utf8)?;
            }
            out.push(*known);
        }
        Ok(())
    }
}

/// The values of an opened page.
pub(crate) struct PageValues<'a> {
    leaf: &'a Leaf,
    bytes: &'a [u8],
    /// Values of a fixed width.
    count: usize,
    indices: Option<(Hybrid<'a>, &'a PageDictionary)>,
}

impl<'a> PageValues<'a> {
    /// Opens the values of a page, of which at least `needed` must be there.
    pub(crate) fn open(
        leaf: &'a Leaf,
        bytes: &'a [u8],
        needed: usize,
        dictionary: Option<&'a PageDictionary>,
    ) -> Result<Self, Damage> {
        let mut values = Self { leaf, bytes, count: 0, indices: None };
        if leaf.encoding == Encoding::RLE_DICTIONARY {
            let dictionary = dictionary.ok_or("a page whose dictionary is missing")?;
            let (width, packed) = bytes.split_first().ok_or("indices that end too soon")?;
            let indices = Hybrid::parse_front(packed, *width, needed).ok_or("indices that end too soon")?;
            values.indices = Some((indices, dictionary));
        } else if let Some(width) = leaf.width {
            values.count = bytes.len().checked_div(width).unwrap_or(0);
            if values.count < needed || values.count * width != bytes.len() {
                return Err("values of another length than their number");
            }
        }
        Ok(values)
    }

    /// A cursor over a range of the values.
    pub(crate) fn range(self, range: Range<usize>) -> Result<ValueCursor<'a>, Damage> {
        let mut picked = Vec::new();
        let mut at = 0;
        if let Some((indices, _)) = &self.indices {
            indices.append(range.clone(), &mut picked);
        } else if self.leaf.physical == Physical::BYTE_ARRAY {
            // Plain texts are found only by passing those before.
            for _ in 0..range.start {
                read_text(self.bytes, &mut at)?;
            }
        }
        Ok(ValueCursor { values: self, next: range.start, first: range.start, picked, at })
    }
}

/// The wanted values of a page of single values.
pub(crate) struct FlatValues<'a> {
    pub(crate) values: PageValues<'a>,
    /// Ascending, and within what was opened.
    pub(crate) ranges: &'a [Range<usize>],
}

impl FlatValues<'_> {
    /// Appends values of a fixed width.
    pub(crate) fn fixed<const N: usize, T>(
        &self,
        make: impl Fn([u8; N]) -> T,
        out: &mut Vec<T>,
    ) -> Result<(), Damage> {
        let PageValues { leaf, bytes, count, indices } = &self.values;
        if leaf.width != Some(N) {
            return Err(WRONG_TYPE);
        }
        if let Some((indices, dictionary)) = indices {
            let values = dictionary.fixed::<N>()?;
            let found = self.numbers(indices);
            if found.iter().any(|number| *number as usize >= values.len()) {
                return Err(BEYOND);
            }
            out.extend(found.iter().map(|number| make(values[*number as usize])));
            return Ok(());
        }
        for range in self.ranges {
            if leaf.encoding == Encoding::BYTE_STREAM_SPLIT {
                append_split(bytes, *count, range.clone(), &make, out)?;
            } else {
                let (values, _) = bytes.as_chunks::<N>();
                let values = values.get(range.clone()).ok_or(TOO_FEW)?;
                out.extend(values.iter().map(|value| make(*value)));
            }
        }
        Ok(())
    }

    /// Calls `each` with one run of values after the other, which are in no dictionary and lie as they are.
    pub(crate) fn each_run<const N: usize>(
        &self,
        mut each: impl FnMut(&[[u8; N]]) -> Result<(), Damage>,
    ) -> Result<(), Damage> {
        let PageValues { leaf, bytes, .. } = &self.values;
        if leaf.width != Some(N) {
            return Err(WRONG_TYPE);
        }
        if leaf.encoding != Encoding::PLAIN {
            return Err(NOT_OURS);
        }
        let (values, _) = bytes.as_chunks::<N>();
        self.ranges.iter().try_for_each(|range| each(values.get(range.clone()).ok_or(TOO_FEW)?))
    }

    /// Appends the numbers of texts, which are added to `texts` if they are new.
    pub(crate) fn texts(
        &self,
        known: &mut TextNumbers,
        texts: &mut Dictionary,
        out: &mut Vec<u32>,
    ) -> Result<(), Damage> {
        let PageValues { leaf, indices, .. } = &self.values;
        if leaf.physical != Physical::BYTE_ARRAY {
            return Err(WRONG_TYPE);
        }
        if let Some((indices, dictionary)) = indices {
            return known.append(dictionary, &self.numbers(indices), texts, out);
        }
        self.each_text(|text| {
            out.push(texts.intern(text).map_err(not_utf8)?);
            Ok(())
        })
    }

    /// Appends truth values.
    pub(crate) fn bools(&self, out: &mut Vec<bool>) -> Result<(), Damage> {
        let PageValues { leaf, bytes, .. } = &self.values;
        if leaf.physical != Physical::BOOLEAN {
            return Err(WRONG_TYPE);
        }
        for index in self.ranges.iter().cloned().flatten() {
            out.push(bit(bytes, index)?);
        }
        Ok(())
    }

    /// Appends for each value whether it passes, by its number in the dictionary.
    pub(crate) fn passing(&self, passes: &[bool], out: &mut Vec<bool>) -> Result<(), Damage> {
        let (indices, _) = self.values.indices.as_ref().ok_or(NOT_OURS)?;
        let numbers = self.numbers(indices);
        if numbers.iter().any(|number| *number as usize >= passes.len()) {
            return Err(BEYOND);
        }
        out.extend(numbers.iter().map(|number| passes[*number as usize]));
        Ok(())
    }

    /// Calls `each` with values that are in no dictionary.
    pub(crate) fn each(&self, mut each: impl FnMut(Raw<'_>) -> Result<(), Damage>) -> Result<(), Damage> {
        let (mut fours, mut eights, mut flags) = (Vec::new(), Vec::new(), Vec::new());
        match self.values.leaf.physical {
            Physical::BYTE_ARRAY => self.each_text(|text| each(Raw::Bytes(text))),
            Physical::INT32 => {
                self.fixed(Raw::Four, &mut fours)?;
                fours.into_iter().try_for_each(each)
            }
            Physical::INT64 | Physical::DOUBLE => {
                self.fixed(Raw::Eight, &mut eights)?;
                eights.into_iter().try_for_each(each)
            }
            Physical::BOOLEAN => {
                self.bools(&mut flags)?;
                flags.into_iter().map(Raw::Bool).try_for_each(each)
            }
            _ => Err(NOT_OURS),
        }
    }

    /// Calls `each` with texts that are in no dictionary.
    fn each_text(&self, mut each: impl FnMut(&[u8]) -> Result<(), Damage>) -> Result<(), Damage> {
        let bytes = self.values.bytes;
        let (mut next, mut at) = (0, 0);
        for range in self.ranges {
            // Plain texts are found only by passing those before.
            for _ in next..range.start {
                read_text(bytes, &mut at)?;
            }
            for _ in range.clone() {
                each(read_text(bytes, &mut at)?)?;
            }
            next = range.end;
        }
        Ok(())
    }

    /// Numbers in the page's dictionary.
    fn numbers(&self, indices: &Hybrid<'_>) -> Vec<u32> {
        let mut numbers = Vec::with_capacity(self.ranges.iter().map(Range::len).sum());
        self.ranges.iter().for_each(|range| indices.append(range.clone(), &mut numbers));
        numbers
    }
}

/// Values one after the other.
pub(crate) struct ValueCursor<'a> {
    values: PageValues<'a>,
    next: usize,
    first: usize,
    picked: Vec<u32>,
    at: usize,
}

impl<'a> ValueCursor<'a> {
    pub(crate) fn next(&mut self) -> Result<Raw<'a>, Damage> {
        let index = self.next;
        self.next += 1;
        let leaf = self.values.leaf;
        let bytes = self.values.bytes;
        if let Some((_, dictionary)) = &self.values.indices {
            let number = self.picked.get(index - self.first).ok_or(TOO_FEW)?;
            return dictionary.raw(leaf.physical, *number);
        }
        match (leaf.physical, leaf.width) {
            (Physical::BYTE_ARRAY, _) => read_text(bytes, &mut self.at).map(Raw::Bytes),
            (Physical::BOOLEAN, _) => bit(bytes, index).map(Raw::Bool),
            (Physical::INT32, _) if leaf.encoding == Encoding::BYTE_STREAM_SPLIT => {
                split_value(bytes, self.values.count, index).map(Raw::Four)
            }
            (Physical::INT64 | Physical::DOUBLE, _) if leaf.encoding == Encoding::BYTE_STREAM_SPLIT => {
                split_value(bytes, self.values.count, index).map(Raw::Eight)
            }
            (physical, Some(width)) => {
                raw(physical, bytes.get(index * width..(index + 1) * width).ok_or(TOO_FEW)?)
            }
            (_, None) => Err(NOT_OURS),
        }
    }
}

fn raw(physical: Physical, bytes: &[u8]) -> Result<Raw<'_>, Damage> {
    let wrong = "a value of another length than its type";
    match physical {
        Physical::INT32 => bytes.try_into().map(Raw::Four).map_err(|_| wrong),
        Physical::INT64 | Physical::DOUBLE => bytes.try_into().map(Raw::Eight).map_err(|_| wrong),
        _ => Ok(Raw::Bytes(bytes)),
    }
}

fn bit(bytes: &[u8], index: usize) -> Result<bool, Damage> {
    let byte = bytes.get(index / 8).ok_or(TOO_FEW)?;
    Ok(byte >> (index % 8) & 1 == 1)
}

/// Texts of a page without the lengths that stand before them, and where each ends.
fn texts_end_to_end(page: &[u8], len: usize) -> Result<(Box<[u8]>, Vec<u32>), Damage> {
    // As many as a page of that size can have.
    let mut ends = Vec::with_capacity(len.min(page.len() / 4));
    let mut texts = Vec::with_capacity(page.len().saturating_sub(4 * len));
    let mut at = 0;
    for _ in 0..len {
        texts.extend_from_slice(read_text(page, &mut at)?);
        ends.push(texts.len() as u32);
    }
    if at == page.len() { Ok((texts.into(), ends)) } else { Err("a dictionary of another length") }
}

fn read_text<'a>(bytes: &'a [u8], at: &mut usize) -> Result<&'a [u8], Damage> {
    let broken = "a text that ends too soon";
    let rest = bytes.get(*at..).ok_or(broken)?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(broken)?;
    let length = u32::from_le_bytes(*length) as usize;
    let text = rest.get(..length).ok_or(broken)?;
    *at += 4 + length;
    Ok(text)
}

pub(crate) fn not_utf8(_: Rejected) -> Damage {
    NOT_UTF8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_look_up_few_texts_one_by_one_and_many_by_a_table() {
        let texts: Vec<String> = (0..100).map(|number| format!("text {number}")).collect();
        let mut body = Vec::new();
        for text in &texts {
            body.extend_from_slice(&(text.len() as u32).to_le_bytes());
            body.extend_from_slice(text.as_bytes());
        }
        let (bytes, ends) = texts_end_to_end(&body, 100).unwrap();
        let packed = FrontCoded::of(texts.iter().map(String::as_bytes));
        for values in [DistinctValues::Texts { bytes, ends }, DistinctValues::Packed(packed)] {
            let dictionary = PageDictionary { values, len: 100 };
            let (mut known, mut columns, mut out) =
                (TextNumbers::default(), Dictionary::default(), Vec::new());
            let mut asked = Vec::new();
            for (found, has_table) in
                [(vec![7, 3], false), ((0..100).rev().collect(), true), (vec![7, 99], true)]
            {
                known.append(&dictionary, &found, &mut columns, &mut out).unwrap();
                assert_eq!(!known.numbers.is_empty(), has_table);
                asked.extend(found);
            }
            for (number, asked) in out.iter().zip(&asked) {
                assert_eq!(columns.get(*number), texts[*asked as usize]);
            }
            assert_eq!((out.len(), columns.len()), (asked.len(), 100));
            assert_eq!(known.append(&dictionary, &[100], &mut columns, &mut out), Err(BEYOND));
            known.begin(1);
            assert_eq!(known.append(&dictionary, &[100], &mut columns, &mut out), Err(BEYOND));
        }
    }
}
