//! Learning-rate schedule.

/// Factor of the learning rate at `step` (from 0): linear from 0 over the first `warmup` steps,
/// then linear to 0 at `total`, as in BERT and EfficientBERT.
pub fn linear_warmup_decay(step: u64, warmup: u64, total: u64) -> f64 {
    if step < warmup {
        return step as f64 / warmup.max(1) as f64;
    }
    total.saturating_sub(step) as f64 / total.saturating_sub(warmup).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_to_one_at_the_end_of_warmup_and_falls_to_zero_at_the_end() {
        let at = |step| linear_warmup_decay(step, 10, 110);
        assert_eq!([at(0), at(5), at(10), at(60), at(110), at(200)], [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]);
    }

    #[test]
    fn without_warmup_starts_at_one() {
        assert_eq!(linear_warmup_decay(0, 0, 4), 1.0);
    }
}
