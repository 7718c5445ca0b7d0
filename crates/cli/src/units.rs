//! Numbers as people write and read them.

/// Reads a count such as `15M`, `1.6G`, `800k` or `15_000_000`; the suffixes are powers of 1000.
///
/// # Errors
/// Says what is wrong, for clap to print beside the option.
pub fn parse_count(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a count: write a number such as 15M, 1.6G, 800k or 15_000_000");
    let clean: String = text.trim().chars().filter(|c| *c != '_').collect();
    let (digits, zeros) = match clean.char_indices().next_back() {
        Some((i, 'k' | 'K')) => (&clean[..i], 3),
        Some((i, 'm' | 'M')) => (&clean[..i], 6),
        Some((i, 'g' | 'G' | 'b' | 'B')) => (&clean[..i], 9),
        _ => (&clean[..], 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = fraction.trim_end_matches('0');
    let plain = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(fraction) || fraction.len() > zeros {
        return Err(wrong());
    }
    // Decimal text throughout: 0.1G must be 100,000,000, not what binary fractions make of it.
    format!("{whole}{fraction:0<zeros$}").parse().map_err(|_| wrong())
}

/// `15737724` as `15,737,724`.
pub fn grouped(n: u64) -> String {
    indicatif::HumanCount(n).to_string()
}

/// Bytes as megabytes of a million.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// Multiply-adds in units of 10⁹.
pub fn gmac(macs: u64) -> f64 {
    macs as f64 / 1e9
}

/// Median, smallest and largest of a list that is not empty.
pub fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    let median = if n % 2 == 1 { values[n / 2] } else { f64::midpoint(values[n / 2 - 1], values[n / 2]) };
    (median, values[0], values[n - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_exactly() {
        for (text, count) in [
            ("15M", 15_000_000),
            ("15.5m", 15_500_000),
            ("0.1G", 100_000_000),
            ("1.6B", 1_600_000_000),
            ("800k", 800_000),
            ("15_000_000", 15_000_000),
            ("1.50k", 1500),
            ("0", 0),
        ] {
            assert_eq!(parse_count(text), Ok(count), "{text}");
        }
        for text in ["", "M", "-1", "1.5", "1.2345k", "1e9", "nan", "99999999999G", "1..5M", "½", "15M."] {
            assert!(parse_count(text).is_err(), "{text}");
        }
    }

    #[test]
    fn thousands_are_separated() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (15_737_724, "15,737,724")] {
            assert_eq!(grouped(n), text);
        }
    }

    #[test]
    fn the_median_of_an_even_number_of_runs_lies_between_the_middle_two() {
        assert_eq!(spread(vec![3.0, 1.0, 2.0]), (2.0, 1.0, 3.0));
        assert_eq!(spread(vec![4.0, 1.0, 2.0, 3.0]), (2.5, 1.0, 4.0));
    }
}
