//! Parquet's run-length / bit-packed hybrid, for levels and dictionary indices.
//!
//! ```text
//! run         := varint(len << 1)          value in ceil(width/8) bytes, little endian
//! packed run  := varint(groups << 1 | 1)   groups * 8 values of width bits, lowest bit first
//! ```
//!
//! The writer uses one packed run for a page wherever that is no larger: then any
//! value is found by its position, and nothing before it need be read.

/// Bits that hold every number up to `max`.
pub(crate) fn bits_for(max: u32) -> u8 {
    (u32::BITS - max.leading_zeros()) as u8
}

/// Appends all values as one packed run.
pub(crate) fn write_packed(values: &[u32], width: u8, out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    write_varint((values.len().div_ceil(8) as u64) << 1 | 1, out);
    match width {
        8 => {
            out.extend(values.iter().map(|value| *value as u8));
            out.resize(out.len() + values.len().next_multiple_of(8) - values.len(), 0);
        }
        16 => {
            values.iter().for_each(|value| out.extend_from_slice(&(*value as u16).to_le_bytes()));
            out.resize(out.len() + 2 * (values.len().next_multiple_of(8) - values.len()), 0);
        }
        _ => pack_bits(values, width, out),
    }
}

fn pack_bits(values: &[u32], width: u8, out: &mut Vec<u8>) {
    let padding = values.len().next_multiple_of(8) - values.len();
    let (mut held, mut bits) = (0u64, 0u32);
    for value in values.iter().copied().chain(std::iter::repeat_n(0, padding)) {
        held |= u64::from(value) << bits;
        bits += u32::from(width);
        while bits >= 8 {
            out.push(held as u8);
            held >>= 8;
            bits -= 8;
        }
    }
}

/// Appends all values as runs of equal ones.
pub(crate) fn write_runs(values: &[u32], width: u8, out: &mut Vec<u8>) {
    let value_bytes = usize::from(width.div_ceil(8));
    for run in values.chunk_by(|a, b| a == b) {
        write_varint((run.len() as u64) << 1, out);
        out.extend_from_slice(&run[0].to_le_bytes()[..value_bytes]);
    }
}

pub(crate) fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn read_varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Where each run of an encoded sequence lies; values are read by position.
#[derive(Debug)]
pub(crate) struct Hybrid<'a> {
    runs: Vec<Run<'a>>,
    width: u8,
}

#[derive(Debug)]
struct Run<'a> {
    start: usize,
    len: usize,
    content: Content<'a>,
}

#[derive(Debug)]
enum Content<'a> {
    Same(u32),
    Packed(&'a [u8]),
}

impl<'a> Hybrid<'a> {
    /// Finds the runs of `count` values. Nothing unless the bytes hold exactly these, in
    /// the form that the writer gives: so bytes that are known to be undamaged also
    /// vouch for the count, and a damaged count is found.
    pub(crate) fn parse(bytes: &'a [u8], width: u8, count: usize) -> Option<Self> {
        Self::parse_runs(bytes, width, count, true)
    }

    /// Finds the runs of the first `count` values, whatever follows them.
    pub(crate) fn parse_front(bytes: &'a [u8], width: u8, count: usize) -> Option<Self> {
        Self::parse_runs(bytes, width, count, false)
    }

    fn parse_runs(bytes: &'a [u8], width: u8, count: usize, exact: bool) -> Option<Self> {
        if width > 32 {
            return None;
        }
        let mut runs = Vec::with_capacity(1);
        let (mut at, mut start) = (0, 0);
        while start < count {
            let header = usize::try_from(read_varint(bytes, &mut at)?).ok()?;
            let wanted = count - start;
            let (len, content) = if header & 1 == 1 {
                let groups = header >> 1;
                let size = groups.checked_mul(usize::from(width))?;
                let packed = bytes.get(at..at.checked_add(size)?)?;
                at += size;
                let held = groups.saturating_mul(8);
                let len = held.min(wanted);
                let padded = held - len < 8 && (len..held).all(|index| unpack(packed, width, index) == 0);
                if exact && !padded {
                    return None;
                }
                (len, Content::Packed(packed))
            } else {
                let size = usize::from(width.div_ceil(8));
                let stored = bytes.get(at..at + size)?;
                at += size;
                let mut value = [0; 4];
                value[..size].copy_from_slice(stored);
                let len = if exact { header >> 1 } else { wanted.min(header >> 1) };
                (len, Content::Same(u32::from_le_bytes(value)))
            };
            if len == 0 || len > wanted {
                return None;
            }
            runs.push(Run { start, len, content });
            start += len;
        }
        (!exact || at == bytes.len()).then_some(Self { runs, width })
    }

    /// Appends the values of a range, which must lie within the count that was parsed.
    pub(crate) fn append(&self, range: std::ops::Range<usize>, out: &mut Vec<u32>) {
        for run in self.overlapping(&range) {
            let from = range.start.max(run.start) - run.start;
            let to = range.end.min(run.start + run.len) - run.start;
            match (&run.content, self.width) {
                (Content::Same(value), _) => out.resize(out.len() + to - from, *value),
                (Content::Packed(bytes), 8) => out.extend(bytes[from..to].iter().copied().map(u32::from)),
                (Content::Packed(bytes), 16) => {
                    let (values, _) = bytes[2 * from..2 * to].as_chunks();
                    out.extend(values.iter().map(|value| u32::from(u16::from_le_bytes(*value))));
                }
                (Content::Packed(bytes), width) => {
                    out.extend((from..to).map(|index| unpack(bytes, width, index)));
                }
            }
        }
    }

    /// Appends the places of all ones among bits, where the first of the range is numbered
    /// `first`. Nothing if a value of the range is no bit.
    pub(crate) fn append_ones(
        &self,
        range: std::ops::Range<usize>,
        first: u32,
        out: &mut Vec<u32>,
    ) -> Option<()> {
        for run in self.overlapping(&range) {
            let from = range.start.max(run.start) - run.start;
            let to = range.end.min(run.start + run.len) - run.start;
            let number = |index: usize| first + (run.start + index - range.start) as u32;
            match run.content {
                Content::Same(0) => {}
                Content::Same(1) => out.extend(number(from)..number(from) + (to - from) as u32),
                Content::Packed(bytes) if self.width == 1 => {
                    let mut at = from;
                    while at < to {
                        let end = to.min((at / 8 + 1) * 8);
                        let mut bits = (bytes[at / 8] >> (at % 8)) & (0xff >> (8 - (end - at)));
                        while bits != 0 {
                            out.push(number(at + bits.trailing_zeros() as usize));
                            bits &= bits - 1;
                        }
                        at = end;
                    }
                }
                _ => return None,
            }
        }
        Some(())
    }

    /// How many of the values of a range equal `wanted`.
    pub(crate) fn count(&self, range: std::ops::Range<usize>, wanted: u32) -> usize {
        let mut count = 0;
        for run in self.overlapping(&range) {
            let from = range.start.max(run.start) - run.start;
            let to = range.end.min(run.start + run.len) - run.start;
            count += match run.content {
                Content::Same(value) => {
                    if value == wanted {
                        to - from
                    } else {
                        0
                    }
                }
                Content::Packed(bytes) if self.width == 1 && wanted <= 1 => {
                    let ones = count_ones(bytes, from, to);
                    if wanted == 1 { ones } else { to - from - ones }
                }
                Content::Packed(bytes) => {
                    (from..to).filter(|index| unpack(bytes, self.width, *index) == wanted).count()
                }
            };
        }
        count
    }

    /// Where the value `wanted` stands for the `nth` time, counted from 0. Skips whole
    /// runs, and within one as many values at a time as it can.
    pub(crate) fn position(&self, nth: usize, wanted: u32) -> Option<usize> {
        let mut left = nth;
        for run in &self.runs {
            let end = run.start + run.len;
            let found = self.count(run.start..end, wanted);
            if left >= found {
                left -= found;
                continue;
            }
            let mut at = run.start;
            for step in [4096, 512, 64, 8, 1] {
                while at + step <= end {
                    let found = self.count(at..at + step, wanted);
                    if left < found {
                        break;
                    }
                    left -= found;
                    at += step;
                }
            }
            return Some(at);
        }
        None
    }

    fn overlapping<'b>(&'b self, range: &std::ops::Range<usize>) -> impl Iterator<Item = &'b Run<'a>> {
        let first = self.runs.partition_point(|run| run.start + run.len <= range.start);
        let end = range.end;
        self.runs[first..].iter().take_while(move |run| run.start < end)
    }
}

/// The value at a position of packed values. The packed bytes are known to hold it.
fn unpack(bytes: &[u8], width: u8, index: usize) -> u32 {
    match width {
        8 => u32::from(bytes[index]),
        16 => u32::from(u16::from_le_bytes([bytes[2 * index], bytes[2 * index + 1]])),
        _ => {
            let bit = index * usize::from(width);
            let held = &bytes[bit / 8..];
            let window = held.first_chunk().copied().unwrap_or_else(|| {
                let mut window = [0; 8];
                window[..held.len()].copy_from_slice(held);
                window
            });
            let mask = (1u64 << width) - 1;
            ((u64::from_le_bytes(window) >> (bit % 8)) & mask) as u32
        }
    }
}

fn count_ones(bytes: &[u8], from: usize, to: usize) -> usize {
    if from >= to {
        return 0;
    }
    let (first, last) = (from / 8, (to - 1) / 8);
    let head = 0xffu8 << (from % 8);
    let tail = 0xffu8 >> (7 - (to - 1) % 8);
    if first == last {
        return (bytes[first] & head & tail).count_ones() as usize;
    }
    // Sixteen bytes at a time: a processor without a count instruction does the steps
    // of one count in one wide register.
    let (words, rest) = bytes[first + 1..last].as_chunks::<16>();
    let middle: u32 = words.iter().map(|word| u128::from_le_bytes(*word).count_ones()).sum::<u32>()
        + rest.iter().map(|byte| byte.count_ones()).sum::<u32>();
    ((bytes[first] & head).count_ones() + middle + (bytes[last] & tail).count_ones()) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: &[u8], width: u8, count: usize) -> Option<Vec<u32>> {
        let mut values = Vec::new();
        Hybrid::parse(bytes, width, count)?.append(0..count, &mut values);
        Some(values)
    }

    proptest! {
        #[test]
        fn should_give_back_any_values(width in 0u8..=32, raw in prop::collection::vec(any::<u32>(), 0..300),
                                       cut in any::<(prop::sample::Index, prop::sample::Index)>()) {
            let mask = ((1u64 << width) - 1) as u32;
            // Few distinct values make runs.
            let values: Vec<u32> = raw.iter().map(|value| (value % 3).wrapping_mul(*value >> 8) & mask).collect();
            for write in [write_packed, write_runs] {
                let mut bytes = Vec::new();
                write(&values, width, &mut bytes);
                prop_assert_eq!(all(&bytes, width, values.len()).unwrap(), values.clone());
                if !values.is_empty() {
                    let (a, b) = (cut.0.index(values.len()), cut.1.index(values.len()));
                    let range = a.min(b)..a.max(b);
                    let parsed = Hybrid::parse(&bytes, width, values.len()).unwrap();
                    let mut part = Vec::new();
                    parsed.append(range.clone(), &mut part);
                    prop_assert_eq!(&part, &values[range.clone()]);
                    for wanted in [0, 1] {
                        let expected = values[range.clone()].iter().filter(|value| **value == wanted).count();
                        prop_assert_eq!(parsed.count(range.clone(), wanted), expected);
                        let places: Vec<_> =
                            (0..values.len()).filter(|index| values[*index] == wanted).map(Some).collect();
                        let found: Vec<_> = (0..places.len()).map(|nth| parsed.position(nth, wanted)).collect();
                        prop_assert_eq!(found, places);
                        prop_assert_eq!(parsed.position(values.len(), wanted), None);
                    }
                }
            }
        }

        #[test]
        fn should_number_the_ones_of_any_range(bits in prop::collection::vec(0u32..2, 1..200), runs in any::<bool>(),
                                               cut in any::<(prop::sample::Index, prop::sample::Index)>(), first in 0u32..100) {
            let mut bytes = Vec::new();
            if runs { write_runs(&bits, 1, &mut bytes) } else { write_packed(&bits, 1, &mut bytes) }
            let (a, b) = (cut.0.index(bits.len() + 1), cut.1.index(bits.len() + 1));
            let range = a.min(b)..a.max(b);
            let mut found = Vec::new();
            Hybrid::parse(&bytes, 1, bits.len()).unwrap().append_ones(range.clone(), first, &mut found).unwrap();
            let expected: Vec<u32> =
                (first..).zip(&bits[range]).filter(|(_, bit)| **bit == 1).map(|(place, _)| place).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn should_refuse_another_count(width in 1u8..=32, raw in prop::collection::vec(any::<u32>(), 1..100), other in 0usize..130) {
            let mask = ((1u64 << width) - 1) as u32;
            let mut values: Vec<u32> = raw.iter().map(|value| value & mask).collect();
            for write in [write_packed, write_runs] {
                // A zero at the end of a packed run cannot be told from what fills it.
                *values.last_mut().unwrap() |= 1;
                let mut bytes = Vec::new();
                write(&values, width, &mut bytes);
                let fits = Hybrid::parse(&bytes, width, other).is_some();
                let filled = other > values.len() && other <= values.len().next_multiple_of(8);
                prop_assert!(!fits || other == values.len() || filled);
                bytes.push(0);
                prop_assert!(Hybrid::parse(&bytes, width, values.len()).is_none());
            }
        }

        #[test]
        fn should_never_panic_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..60), width in 0u8..=40,
                                           count in 0usize..200) {
            if let Some(values) = all(&bytes, width, count) {
                prop_assert_eq!(values.len(), count);
            }
        }
    }

    #[test]
    fn should_find_no_ones_where_a_value_is_no_bit() {
        let bytes = [4 << 1, 1, 4 << 1, 2];
        let levels = Hybrid::parse(&bytes, 1, 8).unwrap();
        let mut found = Vec::new();
        assert_eq!(levels.append_ones(0..4, 0, &mut found), Some(()));
        assert_eq!(found, [0, 1, 2, 3]);
        assert_eq!(levels.append_ones(3..5, 0, &mut found), None);
    }

    #[test]
    fn should_count_the_bits_that_a_number_needs() {
        assert_eq!([0, 1, 2, 3, 255, 256].map(bits_for), [0, 1, 2, 2, 8, 9]);
    }
}
