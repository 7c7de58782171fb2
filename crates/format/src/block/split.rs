//! Numbers whose bytes lie apart: the first bytes of all of them, then the second ones, and so on.

use std::ops::Range;

use super::decode::{NOT_OURS, TOO_FEW};
use super::leaf::Damage;

/// Values that are put together at a time: they stay near the processor.
const AT_ONCE: usize = 256;

/// Appends values of 4 or 8 bytes, which lie in streams of `count` each.
pub(super) fn append_split<const N: usize, T>(
    bytes: &[u8],
    count: usize,
    range: Range<usize>,
    make: impl Fn([u8; N]) -> T,
    out: &mut Vec<T>,
) -> Result<(), Damage> {
    if N != size_of::<u32>() && N != size_of::<u64>() {
        return Err(NOT_OURS);
    }
    for start in range.clone().step_by(AT_ONCE) {
        let rows = start..range.end.min(start + AT_ONCE);
        let len = rows.len();
        let streams = Streams { bytes, count, rows };
        let low = streams.four_from(0)?;
        let high = if N == size_of::<u64>() { streams.four_from(4)? } else { [0; AT_ONCE] };
        out.extend(low.iter().zip(&high).take(len).map(|(low, high)| {
            let word = (u64::from(*low) | u64::from(*high) << 32).to_le_bytes();
            make(std::array::from_fn(|byte| word[byte]))
        }));
    }
    Ok(())
}

/// One value of [`append_split`].
pub(super) fn split_value<const N: usize>(
    bytes: &[u8],
    count: usize,
    index: usize,
) -> Result<[u8; N], Damage> {
    let mut value = [0; N];
    for (stream, byte) in value.iter_mut().enumerate() {
        *byte = *bytes.get(stream * count + index).ok_or(TOO_FEW)?;
    }
    Ok(value)
}

struct Streams<'a> {
    bytes: &'a [u8],
    count: usize,
    rows: Range<usize>,
}

impl Streams<'_> {
    fn stream(&self, number: usize) -> Result<&[u8], Damage> {
        let first = number * self.count;
        self.bytes.get(first + self.rows.start..first + self.rows.end).ok_or(TOO_FEW)
    }

    /// Two streams, then two pairs, become wider numbers: the compiler does many of them at once, so that it takes
    /// little more than a third of the time that adding byte after byte to 64 bits takes (1.7 and 4.7 ns a value of 8
    /// bytes, in one run).
    fn four_from(&self, first: usize) -> Result<[u32; AT_ONCE], Damage> {
        let (low, high) = (self.pair_from(first)?, self.pair_from(first + 2)?);
        let mut four = [0; AT_ONCE];
        for ((four, low), high) in four.iter_mut().zip(&low).zip(&high) {
            *four = u32::from(*low) | u32::from(*high) << 16;
        }
        Ok(four)
    }

    fn pair_from(&self, first: usize) -> Result<[u16; AT_ONCE], Damage> {
        let (low, high) = (self.stream(first)?, self.stream(first + 1)?);
        let mut pair = [0; AT_ONCE];
        for ((pair, low), high) in pair.iter_mut().zip(low).zip(high) {
            *pair = u16::from(*low) | u16::from(*high) << 8;
        }
        Ok(pair)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn should_put_any_range_of_split_values_together(
            values in prop::collection::vec(any::<u64>(), 1..1500),
            cut in any::<(prop::sample::Index, prop::sample::Index)>(),
        ) {
            let bytes: Vec<u8> =
                (0..8).flat_map(|stream| values.iter().map(move |value| value.to_le_bytes()[stream])).collect();
            let (a, b) = (cut.0.index(values.len() + 1), cut.1.index(values.len() + 1));
            let range = a.min(b)..a.max(b);
            let mut found = Vec::new();
            append_split(&bytes, values.len(), range.clone(), u64::from_le_bytes, &mut found).unwrap();
            prop_assert_eq!(&found, &values[range.clone()]);
            // The lower halves alone are what narrower numbers are.
            let mut narrow = Vec::new();
            append_split(&bytes, values.len(), range.clone(), u32::from_le_bytes, &mut narrow).unwrap();
            prop_assert!(narrow.iter().zip(&values[range.clone()]).all(|(low, whole)| *low == *whole as u32));
            for (value, index) in found.iter().zip(range) {
                prop_assert_eq!(split_value(&bytes, values.len(), index), Ok(value.to_le_bytes()));
            }
        }
    }

    #[test]
    fn should_refuse_split_values_that_are_too_few_or_too_wide() {
        let mut out = Vec::new();
        assert_eq!(append_split(&[0; 40], 5, 0..6, u64::from_le_bytes, &mut out), Err(TOO_FEW));
        let wide = append_split(&[0; 80], 5, 0..5, u128::from_le_bytes, &mut Vec::new());
        assert_eq!(wide, Err(NOT_OURS));
    }
}
