//! Parquet's delta encoding of integers, which polars and DuckDB write for numbers and for the lengths of texts.

use crate::bits::{read_bits, read_varint};

const DAMAGED: &str = "delta-encoded numbers are damaged or end too early";

/// Integers, decoded one at a time from a slice that the caller keeps.
#[derive(Debug, Clone)]
pub(super) struct Delta {
    at: usize,
    minis: usize,
    per_mini: u64,
    /// Values that are still to come, the current one included.
    left: u64,
    value: i64,
    started: bool,
    min_delta: i64,
    widths: Vec<u8>,
    mini: usize,
    mini_left: u64,
    bit: u64,
}

impl Delta {
    /// Reads the header at `at`.
    pub fn new(bytes: &[u8], mut at: usize) -> Result<Self, &'static str> {
        let mut number = || read_varint(bytes, &mut at).ok_or(DAMAGED);
        let (block, minis, count) = (number()?, number()?, number()?);
        let first = zigzag(number()?);
        // A block has a multiple of 128 values, a part of it a multiple of 32; what writers use is 128 in 4 parts.
        let sane = (1..=1 << 20).contains(&block) && (1..=512).contains(&minis) && block % minis == 0;
        if !sane || !(block / minis).is_multiple_of(8) {
            return Err(DAMAGED);
        }
        Ok(Self {
            at,
            minis: minis as usize,
            per_mini: block / minis,
            left: count,
            value: first,
            started: false,
            min_delta: 0,
            widths: Vec::new(),
            mini: 0,
            mini_left: 0,
            bit: 0,
        })
    }

    /// How many values are to come.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Where the encoding ends, once all values have been read.
    pub fn end(&self) -> usize {
        self.at
    }

    /// The next value of the same bytes.
    pub fn next(&mut self, bytes: &[u8]) -> Result<i64, &'static str> {
        self.left = self.left.checked_sub(1).ok_or(DAMAGED)?;
        if !self.started {
            self.started = true;
            return Ok(self.value);
        }
        while self.mini_left == 0 {
            self.start_mini(bytes)?;
        }
        let width = u32::from(self.widths[self.mini - 1]);
        let delta = read_bits(bytes, self.bit, width).ok_or(DAMAGED)?;
        self.bit += u64::from(width);
        self.mini_left -= 1;
        self.value = self.value.wrapping_add(self.min_delta).wrapping_add(delta as i64);
        Ok(self.value)
    }

    fn start_mini(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        if self.mini == self.widths.len() {
            self.min_delta = zigzag(read_varint(bytes, &mut self.at).ok_or(DAMAGED)?);
            let widths = bytes.get(self.at..self.at + self.minis).ok_or(DAMAGED)?;
            if widths.iter().any(|width| *width > 64) {
                return Err(DAMAGED);
            }
            self.widths = widths.to_vec();
            self.at += self.minis;
            self.mini = 0;
        }
        let size = self.per_mini * u64::from(self.widths[self.mini]) / 8;
        self.bit = self.at as u64 * 8;
        // The encoding ends with the last part that holds a value; parts behind it take no bytes.
        self.at = self.at.checked_add(size as usize).filter(|end| *end <= bytes.len()).ok_or(DAMAGED)?;
        self.mini_left = self.per_mini;
        self.mini += 1;
        Ok(())
    }
}

fn zigzag(raw: u64) -> i64 {
    (raw >> 1) as i64 ^ -((raw & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_formats_documentation_are_decoded() {
        // 1, 2, 3, 4, 5: every delta is 1, so the packed parts are empty.
        let bytes = [0x80, 1, 4, 5, 2, 2, 0, 0, 0, 0];
        let mut delta = Delta::new(&bytes, 0).unwrap();
        let found: Vec<i64> = (0..5).map(|_| delta.next(&bytes).unwrap()).collect();
        assert_eq!((found, delta.end(), delta.left()), (vec![1, 2, 3, 4, 5], bytes.len(), 0));
        assert!(delta.next(&bytes).is_err());
    }

    #[test]
    fn impossible_headers_are_refused() {
        for bytes in [&[][..], &[0, 0, 0, 0], &[0x80, 1, 0, 5, 2], &[0x80, 1, 3, 5, 2], &[0x80, 1, 4]] {
            assert!(Delta::new(bytes, 0).is_err(), "{bytes:?}");
        }
    }
}
