//! Which numbers a test holds for, found out once and then compared plainly.
//!
//! Where a number stands to a literal only grows with the number. So the numbers below, equal to and above a
//! literal lie side by side, and searching for the two borders with the very comparison that rules single
//! spans gives ranges that cannot say anything else than it does.

use std::cmp::Ordering;

use crate::coerce::{Scalar, order};
use crate::filter::{Comparison, Test};
use crate::literal::Operand;

/// Every int, time and difference of times lies here.
const INTS: (i128, i128) = (-(u64::MAX as i128), u64::MAX as i128);

/// Whether the test holds for an int.
pub(super) fn of_ints(test: &Test) -> impl Fn(i128) -> bool + '_ {
    let ranges = Ranges::of(test, INTS, Scalar::Int);
    move |int| match &ranges {
        Some(ranges) => ranges.contains(int),
        None => test.matches_scalar(Scalar::Int(int)),
    }
}

/// Whether the test holds for a double.
pub(super) fn of_doubles(test: &Test) -> impl Fn(f64) -> bool + '_ {
    let all = (rank(f64::NEG_INFINITY), rank(f64::INFINITY));
    let ranges = Ranges::of(test, all, |rank| Scalar::Double(of_rank(rank)));
    move |double| match &ranges {
        Some(ranges) if !double.is_nan() => ranges.contains(rank(double)),
        _ => test.matches_scalar(Scalar::Double(double)),
    }
}

/// Numbers from the first to the last, both included; ascending and apart.
struct Ranges(Vec<(i128, i128)>);

impl Ranges {
    /// None: the test looks at texts.
    fn of(test: &Test, all: (i128, i128), scalar: impl Fn(i128) -> Scalar<'static>) -> Option<Self> {
        let below_to_above = |operand| split(operand, all, &scalar);
        let mut ranges = match test {
            Test::Regex(_) => return None,
            Test::Exists => vec![all],
            Test::Compare(comparison, operand) => match (comparison, below_to_above(operand)) {
                (Comparison::Ne, None) => vec![all],
                (_, None) => Vec::new(),
                (Comparison::Eq, Some(at)) => vec![at.equal()],
                (Comparison::Ne, Some(at)) => vec![at.below(), at.above()],
                (Comparison::Lt, Some(at)) => vec![at.below()],
                (Comparison::Le, Some(at)) => vec![(at.first, at.over - 1)],
                (Comparison::Gt, Some(at)) => vec![at.above()],
                (Comparison::Ge, Some(at)) => vec![(at.from, at.last)],
            },
            Test::In(operands) => operands.iter().filter_map(below_to_above).map(|at| at.equal()).collect(),
        };
        ranges.retain(|(first, last)| first <= last);
        // Literals are equal to the same numbers or to different ones.
        ranges.sort_unstable();
        ranges.dedup();
        Some(Self(ranges))
    }

    #[inline]
    fn contains(&self, number: i128) -> bool {
        match self.0.as_slice() {
            [] => false,
            [(first, last)] => *first <= number && number <= *last,
            many => {
                let begun = many.partition_point(|(first, _)| *first <= number);
                begun > 0 && number <= many[begun - 1].1
            }
        }
    }
}

/// All numbers from `first` to `last`: below a literal, equal from `from`, above from `over`.
struct Split {
    first: i128,
    from: i128,
    over: i128,
    last: i128,
}

impl Split {
    fn below(&self) -> (i128, i128) {
        (self.first, self.from - 1)
    }

    fn equal(&self) -> (i128, i128) {
        (self.from, self.over - 1)
    }

    fn above(&self) -> (i128, i128) {
        (self.over, self.last)
    }
}

/// None: no number has an order with the literal.
fn split(
    operand: &Operand,
    (first, last): (i128, i128),
    scalar: &impl Fn(i128) -> Scalar<'static>,
) -> Option<Split> {
    let order = |number| order(scalar(number), operand);
    order(first)?;
    let from = first_where(first, last, |number| order(number) != Some(Ordering::Less));
    let over = first_where(from, last, |number| order(number) == Some(Ordering::Greater));
    Some(Split { first, from, over, last })
}

/// The first number from which on something is so; behind the last if it never is.
fn first_where(first: i128, last: i128, is_so: impl Fn(i128) -> bool) -> i128 {
    let (mut low, mut high) = (first, last + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_so(middle) { high = middle } else { low = middle + 1 }
    }
    low
}

/// A number that grows with the double.
#[inline]
fn rank(double: f64) -> i128 {
    i128::from(flip(double.to_bits().cast_signed()))
}

fn of_rank(rank: i128) -> f64 {
    f64::from_bits(flip(rank as i64).cast_unsigned())
}

/// Turns the order of the negative ones round; the way there and back.
#[inline]
fn flip(bits: i64) -> i64 {
    bits ^ (((bits >> 63).cast_unsigned() >> 1).cast_signed())
}

#[cfg(test)]
mod tests;
