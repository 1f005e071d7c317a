//! What is usual: mean and spread of a number that is observed again and again, newer ones counting more.

/// An exponentially weighted mean and variance.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Baseline {
    mean: f64,
    variance: f64,
    samples: u32,
}

/// The weight of a new observation once enough were made: the last twenty or so count.
const WEIGHT: f64 = 0.1;

impl Baseline {
    pub fn observe(&mut self, value: f64) {
        self.samples = self.samples.saturating_add(1);
        // The plain average at first, so that the first value does not weigh more than it should.
        let weight = WEIGHT.max(1.0 / f64::from(self.samples));
        let difference = value - self.mean;
        let step = weight * difference;
        self.mean += step;
        self.variance = (1.0 - weight) * (self.variance + difference * step);
    }

    pub fn mean(&self) -> f64 {
        self.mean
    }

    pub fn deviation(&self) -> f64 {
        self.variance.sqrt()
    }

    pub fn samples(&self) -> u32 {
        self.samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_has_no_deviation() {
        let mut baseline = Baseline::default();
        (0..100).for_each(|_| baseline.observe(7.0));
        assert!((baseline.mean() - 7.0).abs() < 1e-9 && baseline.deviation() < 1e-9);
        assert_eq!(baseline.samples(), 100);
    }

    #[test]
    fn alternating_values_have_theirs() {
        let mut baseline = Baseline::default();
        (0..1000).for_each(|n| baseline.observe(f64::from(n % 2) * 10.0));
        assert!((baseline.mean() - 5.0).abs() < 1.0, "{baseline:?}");
        assert!((baseline.deviation() - 5.0).abs() < 1.0, "{baseline:?}");
    }

    #[test]
    fn what_is_usual_moves_with_the_times() {
        let mut baseline = Baseline::default();
        (0..100).for_each(|_| baseline.observe(1.0));
        (0..100).for_each(|_| baseline.observe(50.0));
        assert!((baseline.mean() - 50.0).abs() < 1.0, "{baseline:?}");
    }
}
