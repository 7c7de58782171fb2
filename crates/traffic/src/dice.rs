//! Every random choice of a run. Only integer and basic float arithmetic: no function of the platform's math
//! library, whose last bit may differ between machines.

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub(crate) fn span_id(&mut self) -> [u8; 8] {
        self.bits().to_le_bytes()
    }

    pub(crate) fn trace_id(&mut self) -> [u8; 16] {
        let mut id = [0; 16];
        self.0.fill_bytes(&mut id);
        id
    }

    /// Uniform in 0..1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in 0..n; 0 if n is 0.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    pub(crate) fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    pub(crate) fn percent(&mut self, percent: u8) -> bool {
        self.below(100) < u64::from(percent)
    }

    /// Below n, small numbers far more often: what is popular is popular.
    pub(crate) fn popular(&mut self, n: u64) -> u64 {
        let unit = self.unit();
        (unit * unit * unit * n as f64) as u64
    }

    /// Log-normal: half the values are below `median`, about two thirds within a factor of e^sigma of it.
    pub(crate) fn around(&mut self, median: u64, sigma: f64) -> u64 {
        (median as f64 * exp2(sigma * self.normal() * std::f64::consts::LOG2_E)) as u64
    }

    /// Exponential with this mean: the gaps between independent arrivals.
    pub(crate) fn gap(&mut self, mean: f64) -> f64 {
        // -ln(u) = the number of halvings, and what is left of the last one taken as linear.
        let mut unit = 1.0 - self.unit();
        let mut halvings = 0.0;
        while unit < 0.5 {
            unit *= 2.0;
            halvings += 1.0;
        }
        mean * std::f64::consts::LN_2 * (halvings + 2.0 * (1.0 - unit))
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    /// Near enough to a standard normal: the sum of four uniforms, scaled.
    fn normal(&mut self) -> f64 {
        let (a, b) = (self.bits(), self.bits());
        let sum = (a >> 32) + (a & 0xffff_ffff) + (b >> 32) + (b & 0xffff_ffff);
        (sum as f64 / 4_294_967_296.0 - 2.0) * 1.732_050_807_568_877_2
    }
}

/// 2^x to about six digits for the small exponents that durations and sizes need.
fn exp2(x: f64) -> f64 {
    let floor = x.floor();
    let part = x - floor;
    // The Taylor series of e^(x ln 2), its last term fitted.
    let mantissa = 1.0
        + part
            * (std::f64::consts::LN_2
                + part * (0.240_226_5 + part * (0.055_504_1 + part * (0.009_618_1 + part * 0.001_504_1))));
    mantissa * f64::from_bits(((1023 + floor as i64) as u64) << 52)
}

/// A well mixed number for what must be the same whenever it is asked for again.
pub(crate) fn mix(a: u64, b: u64) -> u64 {
    let mut x = a ^ b.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_follow_the_exponential_function() {
        for x in [-3.2_f64, -0.5, 0.0, 0.1, 0.99, 2.7] {
            assert!((exp2(x) / x.exp2() - 1.0).abs() < 1e-4, "{x}");
        }
    }

    #[test]
    fn should_centre_durations_on_the_median() {
        let mut dice = Dice::new(3);
        let below = (0..10_000).filter(|_| dice.around(1_000_000, 0.6) < 1_000_000).count();
        assert!((4_700..5_300).contains(&below), "{below}");
    }
}
