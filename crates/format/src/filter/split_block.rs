//! A split-block Bloom filter as the Parquet specification defines it.
//!
//! A key's hash picks one bucket of 256 bits and one bit in each of its eight words,
//! so a probe touches 32 bytes. Bit for bit the same as `Sbbf` of the parquet crate
//! (tested), which can only probe a whole filter: we also probe a single bucket, read
//! from a transposed group.

use xxhash_rust::xxh64::xxh64;

use super::size::SizeClass;
use crate::id::TraceId;

/// Bytes that one probe touches.
pub const BUCKET_BYTES: usize = 32;

/// One bucket: eight little-endian words.
pub type Bucket = [u8; BUCKET_BYTES];

/// Odd numbers of the Parquet specification that pick a bit for each word.
const SALTS: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// A key as filters see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FilterKey(u64);

impl FilterKey {
    pub fn of_trace(trace: &TraceId) -> Self {
        Self(xxh64(&trace.0, 0))
    }

    pub fn of_term(term: u64) -> Self {
        Self(xxh64(&term.to_le_bytes(), 0))
    }

    /// The bucket among so many that this key lies in.
    pub fn bucket(self, buckets: usize) -> usize {
        // The high half, scaled to the number of buckets.
        ((u128::from(self.0 >> 32) * buckets as u128) >> 32) as usize
    }

    fn mask(self) -> [u32; 8] {
        SALTS.map(|salt| 1 << ((self.0 as u32).wrapping_mul(salt) >> 27))
    }

    /// Whether a bucket may hold this key.
    pub fn is_in(self, bucket: &Bucket) -> bool {
        let words = bucket.as_chunks::<4>().0;
        words.iter().zip(self.mask()).all(|(word, bit)| u32::from_le_bytes(*word) & bit != 0)
    }
}

/// A whole filter in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitBlockFilter {
    class: SizeClass,
    buckets: Vec<Bucket>,
}

impl SplitBlockFilter {
    pub fn new(class: SizeClass) -> Self {
        Self { class, buckets: vec![[0; BUCKET_BYTES]; class.buckets()] }
    }

    /// A filter that may hold every key: it stands for one that cannot be read.
    pub fn full(class: SizeClass) -> Self {
        Self { class, buckets: vec![[0xff; BUCKET_BYTES]; class.buckets()] }
    }

    /// A filter from its bytes, if they have the length of its class.
    pub fn from_bytes(class: SizeClass, bytes: &[u8]) -> Option<Self> {
        let (buckets, rest) = bytes.as_chunks::<BUCKET_BYTES>();
        let fits = buckets.len() == class.buckets() && rest.is_empty();
        fits.then(|| Self { class, buckets: buckets.to_vec() })
    }

    pub fn class(&self) -> SizeClass {
        self.class
    }

    pub fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.buckets.as_flattened()
    }

    pub fn insert(&mut self, key: FilterKey) {
        let bucket = key.bucket(self.buckets.len());
        let words = self.buckets[bucket].as_chunks_mut::<4>().0;
        for (word, bit) in words.iter_mut().zip(key.mask()) {
            *word = (u32::from_le_bytes(*word) | bit).to_le_bytes();
        }
    }

    /// False means: certainly not there.
    pub fn may_hold(&self, key: FilterKey) -> bool {
        key.is_in(&self.buckets[key.bucket(self.buckets.len())])
    }

    /// The same filter over twice the buckets: bucket j becomes 2j and 2j + 1. It
    /// answers as before.
    pub fn doubled(&self) -> Option<Self> {
        let class = self.class.doubled()?;
        let buckets = self.buckets.iter().flat_map(|bucket| [*bucket, *bucket]).collect();
        Some(Self { class, buckets })
    }
}

#[cfg(test)]
mod tests {
    use super::super::size::Rate;
    use super::*;
    use parquet::bloom_filter::Sbbf;

    /// A fixed sequence without pattern.
    fn scrambled(number: u64) -> u64 {
        xxh64(&number.to_le_bytes(), 7)
    }

    #[test]
    fn should_be_the_filter_of_the_parquet_crate_bit_for_bit() {
        for number in [0, 3, 17, 30] {
            let class = SizeClass::from_number(number).unwrap();
            let mut ours = SplitBlockFilter::new(class);
            let mut theirs = Sbbf::new(&vec![0; class.bytes()]);
            for key in (0..class.buckets() as u64 * 20).map(scrambled) {
                ours.insert(FilterKey::of_term(key));
                theirs.insert(&key.to_le_bytes()[..]);
            }
            let mut bytes = Vec::new();
            theirs.write_bitset(&mut bytes).unwrap();
            assert_eq!(ours.as_bytes(), bytes);
            for key in (1 << 40..(1 << 40) + 10_000).map(scrambled) {
                assert_eq!(ours.may_hold(FilterKey::of_term(key)), theirs.check(&key.to_le_bytes()[..]));
            }
        }
    }

    #[test]
    fn should_keep_the_rates_that_it_is_sized_for() {
        for (rate, most) in [(Rate::OneInHundred, 0.0105), (Rate::OneInThousand, 0.00115)] {
            for keys in [20_000u64, 98_343] {
                let mut filter = SplitBlockFilter::new(SizeClass::for_keys(keys, rate));
                (0..keys).for_each(|key| filter.insert(FilterKey::of_term(scrambled(key))));
                assert!((0..keys).all(|key| filter.may_hold(FilterKey::of_term(scrambled(key)))));
                let asked = 1_000_000;
                let wrong = (0..asked)
                    .filter(|key| filter.may_hold(FilterKey::of_term(scrambled(key + keys))))
                    .count();
                let measured = wrong as f64 / asked as f64;
                assert!(measured <= most, "{rate:?} with {keys} keys: {measured}");
            }
        }
    }

    #[test]
    fn should_answer_the_same_over_twice_the_buckets() {
        let mut filter = SplitBlockFilter::new(SizeClass::from_number(9).unwrap());
        (0..500).for_each(|key| filter.insert(FilterKey::of_term(scrambled(key))));
        let doubled = filter.doubled().unwrap();
        for key in (0..5_000).map(|key| FilterKey::of_term(scrambled(key))) {
            assert_eq!(filter.may_hold(key), doubled.may_hold(key));
        }
    }

    #[test]
    fn should_refuse_bytes_of_another_length() {
        let class = SizeClass::from_number(2).unwrap();
        assert!(SplitBlockFilter::from_bytes(class, &vec![0; class.bytes() - 1]).is_none());
        assert!(SplitBlockFilter::from_bytes(class, &vec![0; class.bytes()]).is_some());
    }
}
