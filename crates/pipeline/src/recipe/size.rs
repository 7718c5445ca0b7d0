//! Counts with a unit: `15M`, `1.6G`, `250k`, `7000000`.

/// Reads a count; `k`, `M` and `G` mean 10³, 10⁶ and 10⁹.
///
/// # Errors
/// A message that shows the accepted forms.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let (digits, factor) = match text.chars().last() {
        Some('k' | 'K') => (&text[..text.len() - 1], 1e3),
        Some('m' | 'M') => (&text[..text.len() - 1], 1e6),
        Some('g' | 'G' | 'b' | 'B') => (&text[..text.len() - 1], 1e9),
        _ => (text, 1.0),
    };
    let value = digits.parse::<f64>().ok().map(|v| v * factor);
    match value {
        Some(v) if v.is_finite() && (0.0..9e15).contains(&v) => Ok(v.round() as u64),
        _ => Err(format!("`{text}` is not a count; write for example 15M, 1.6G or 7000000")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_multiply_and_nonsense_is_refused() {
        assert_eq!(parse_size("15M"), Ok(15_000_000));
        assert_eq!(parse_size("1.6G"), Ok(1_600_000_000));
        assert_eq!(parse_size("250k"), Ok(250_000));
        assert_eq!(parse_size("7000000"), Ok(7_000_000));
        for bad in ["", "M", "-3M", "NaN", "inf", "1e30", "twelve", "15 M B"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
