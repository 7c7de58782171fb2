//! How durations are spread, small and mergeable: counts by powers of the 32nd root of two, so that what is read
//! from it is wrong by 1.1 % at most.

use std::collections::BTreeMap;

/// Buckets for each doubling.
const BUCKETS_A_DOUBLING: f64 = 32.0;

/// Durations in nanoseconds. A span that ends before it starts took no time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    none: u64,
    buckets: BTreeMap<i16, u64>,
}

/// Where a duration is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bucket(Option<i16>);

impl Bucket {
    pub fn of(nanos: i128) -> Self {
        Self((nanos > 0).then(|| bucket_of(nanos as f64)))
    }

    /// Ascending with durations.
    pub(crate) fn number(self) -> u16 {
        self.0.map_or(0, |bucket| bucket.cast_unsigned() + 1)
    }

    pub(crate) fn of_number(number: u16) -> Self {
        Self(number.checked_sub(1).map(u16::cast_signed))
    }
}

impl Histogram {
    pub fn add(&mut self, nanos: i128) {
        self.add_counted(Bucket::of(nanos), 1);
    }

    /// Adds so many durations of one bucket.
    pub fn add_counted(&mut self, bucket: Bucket, count: u64) {
        match bucket.0 {
            Some(bucket) => *self.buckets.entry(bucket).or_default() += count,
            None => self.none += count,
        }
    }

    pub fn merge(&mut self, more: &Self) {
        self.none += more.none;
        for (bucket, count) in &more.buckets {
            *self.buckets.entry(*bucket).or_default() += count;
        }
    }

    /// Undoes a merge.
    pub fn take_back(&mut self, merged: &Self) {
        self.none -= merged.none.min(self.none);
        for (bucket, count) in &merged.buckets {
            if let Some(left) = self.buckets.get_mut(bucket) {
                *left -= (*count).min(*left);
            }
        }
        self.buckets.retain(|_, count| *count > 0);
    }

    /// How many buckets it has, for who must know what it takes.
    pub fn buckets(&self) -> usize {
        self.buckets.len()
    }

    pub fn count(&self) -> u64 {
        self.none + self.buckets.values().sum::<u64>()
    }

    /// How many took less than two to the power of a number of nanoseconds, and no less than to the one before.
    pub fn by_powers_of_two(&self) -> Vec<(u32, u64)> {
        let mut counts = BTreeMap::<u32, u64>::new();
        if self.none > 0 {
            counts.insert(0, self.none);
        }
        for (bucket, count) in &self.buckets {
            let power = f64::from(*bucket).div_euclid(BUCKETS_A_DOUBLING) + 1.0;
            *counts.entry(power as u32).or_default() += count;
        }
        counts.into_iter().collect()
    }

    /// The duration that a share (0 to 1) of all do not exceed, in nanoseconds. None of nothing.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let count = self.count();
        let wanted = ((share.clamp(0.0, 1.0) * count as f64).ceil() as u64).max(1);
        if count == 0 {
            return None;
        }
        if wanted <= self.none {
            return Some(0.0);
        }
        let mut seen = self.none;
        let bucket = self.buckets.iter().find(|(_, count)| {
            seen += **count;
            seen >= wanted
        });
        bucket.map(|(bucket, _)| middle_of(*bucket))
    }
}

/// The longest possible duration is below 2^65.
fn bucket_of(nanos: f64) -> i16 {
    (nanos.log2() * BUCKETS_A_DOUBLING).floor() as i16
}

/// As far from both ends of a bucket, by ratio.
fn middle_of(bucket: i16) -> f64 {
    ((f64::from(bucket) + 0.5) / BUCKETS_A_DOUBLING).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_give_quantiles_within_two_parts_of_a_hundred() {
        let durations: Vec<i128> =
            (0..40_000).map(|n: i128| (n * n * 7_919 + n) % 10_000_000_019 + 1).collect();
        let mut parts = [Histogram::default(), Histogram::default()];
        durations.iter().enumerate().for_each(|(n, nanos)| parts[n % 2].add(*nanos));
        let [mut all, other] = parts;
        all.merge(&other);
        let mut sorted = durations;
        sorted.sort_unstable();
        for share in [0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let exact = sorted[((share * sorted.len() as f64).ceil() as usize).max(1) - 1] as f64;
            let found = all.quantile(share).unwrap();
            assert!((found / exact - 1.0).abs() < 0.0115, "{share}: {found} for {exact}");
        }
        assert_eq!(all.count(), 40_000);
    }

    #[test]
    fn should_find_buckets_again_by_their_numbers() {
        let mut before = 0;
        for nanos in [-1, 0, 1, 2, 1_000, i128::from(u64::MAX)] {
            let bucket = Bucket::of(nanos);
            assert!(Bucket::of_number(bucket.number()) == bucket && bucket.number() >= before);
            before = bucket.number();
        }
    }

    #[test]
    fn should_undo_a_merge() {
        let of = |durations: &[i128]| {
            let mut histogram = Histogram::default();
            durations.iter().for_each(|nanos| histogram.add(*nanos));
            histogram
        };
        let mut both = of(&[0, 5, 1_000, 1_000]);
        both.merge(&of(&[0, 0, 1_000, 70_000]));
        both.take_back(&of(&[0, 5, 1_000, 1_000]));
        assert_eq!(both, of(&[0, 0, 1_000, 70_000]));
    }

    #[test]
    fn should_count_by_powers_of_two() {
        let mut histogram = Histogram::default();
        [0, -5, 1, 3, 1_000, 1_023, 1_025].iter().for_each(|nanos| histogram.add(*nanos));
        assert_eq!(histogram.by_powers_of_two(), [(0, 2), (1, 1), (2, 1), (10, 2), (11, 1)]);
    }

    #[test]
    fn should_take_any_duration() {
        let mut extremes = Histogram::default();
        assert_eq!(extremes.quantile(0.5), None);
        for nanos in [i128::from(i64::MIN), -1, 0, 1, i128::from(u64::MAX)] {
            extremes.add(nanos);
        }
        assert_eq!(extremes.count(), 5);
        assert_eq!(extremes.quantile(0.6), Some(0.0));
        assert!(extremes.quantile(1.0).unwrap() > 1.8e19);
        assert!((extremes.quantile(0.8).unwrap() - 1.0).abs() < 0.02);
    }
}
