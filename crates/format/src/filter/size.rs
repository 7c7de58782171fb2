//! Sizes of filters: few, so that filters of many blocks can stand side by side.
//!
//! The number of buckets is one of 4, 5, 6 or 7 times a power of two: at most a
//! quarter is wasted, an eighth on average, and a filter can be spread over twice the
//! buckets without the keys (see [`super::transposed`]).

use serde::{Deserialize, Serialize};

use super::split_block::BUCKET_BYTES;

/// False positives that a filter is sized for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// 0.1 %, for trace ids.
    OneInThousand,
    /// 1 %, for terms.
    OneInHundred,
}

impl Rate {
    /// Bits for each key, in tenths, as measured (`docs/format.md`): buckets fill
    /// unevenly, which the usual formula leaves out.
    fn tenths_of_bits(self) -> u64 {
        match self {
            Self::OneInThousand => 170,
            Self::OneInHundred => 105,
        }
    }
}

/// One of the sizes, by its place among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct SizeClass(u8);

impl TryFrom<u8> for SizeClass {
    type Error = &'static str;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        Self::from_number(number).ok_or("no such size class")
    }
}

impl From<SizeClass> for u8 {
    fn from(class: SizeClass) -> Self {
        class.0
    }
}

impl SizeClass {
    pub const SMALLEST: Self = Self(0);
    /// 117 million buckets, 3.75 GB: more than any block needs.
    pub const LARGEST: Self = Self(99);

    pub fn from_number(number: u8) -> Option<Self> {
        (number <= Self::LARGEST.0).then_some(Self(number))
    }

    pub fn number(self) -> u8 {
        self.0
    }

    /// The smallest class that keeps so many distinct keys under a rate.
    pub fn for_keys(keys: u64, rate: Rate) -> Self {
        let bits = keys.saturating_mul(rate.tenths_of_bits()) / 10;
        let buckets = bits.div_ceil(8 * BUCKET_BYTES as u64);
        let fitting = (0..Self::LARGEST.0).find(|number| Self(*number).buckets() as u64 >= buckets);
        fitting.map_or(Self::LARGEST, Self)
    }

    pub fn buckets(self) -> usize {
        (4 + usize::from(self.0 & 3)) << (self.0 >> 2)
    }

    pub fn bytes(self) -> usize {
        self.buckets() * BUCKET_BYTES
    }

    /// The class with twice the buckets.
    pub fn doubled(self) -> Option<Self> {
        Self::from_number(self.0 + 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_waste_a_quarter_at_most() {
        assert_eq!([0, 1, 2, 3, 4, 5].map(|n| SizeClass(n).buckets()), [4, 5, 6, 7, 8, 10]);
        for number in 0..SizeClass::LARGEST.0 {
            let (small, large) = (SizeClass(number).buckets(), SizeClass(number + 1).buckets());
            assert!(small < large && large * 4 <= small * 5, "{number}");
        }
        for keys in [0, 1, 100, 98_343, 10_000_000] {
            let class = SizeClass::for_keys(keys, Rate::OneInHundred);
            assert!(class.bytes() as u64 * 80 >= keys * 105);
            assert!(class == SizeClass::SMALLEST || class.bytes() as u64 * 80 <= keys * 132 + 100_000);
        }
        assert_eq!(SizeClass(5).doubled().map(SizeClass::buckets), Some(20));
    }
}
