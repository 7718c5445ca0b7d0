//! Parquet's hybrid of run lengths and bit packing: definition levels, dictionary indices, truth values.

use crate::bits::{read_bits, read_varint};

/// Values of up to 32 bits, decoded one at a time from a slice that the caller keeps.
#[derive(Debug, Clone)]
pub(super) struct Hybrid {
    at: usize,
    end: usize,
    width: u32,
    run: Run,
}

#[derive(Debug, Clone)]
enum Run {
    Same { value: u32, left: u64 },
    Packed { bit: u64, left: u64 },
}

impl Hybrid {
    /// Over `bytes[at..end]`; `end` lies within the bytes.
    pub fn new(at: usize, end: usize, width: u32) -> Self {
        Self { at, end, width, run: Run::Same { value: 0, left: 0 } }
    }

    /// The next value of the same bytes.
    pub fn next(&mut self, bytes: &[u8]) -> Result<u32, &'static str> {
        loop {
            match &mut self.run {
                Run::Same { value, left } if *left > 0 => {
                    *left -= 1;
                    return Ok(*value);
                }
                Run::Packed { bit, left } if *left > 0 => {
                    let value = read_bits(&bytes[..self.end], *bit, self.width).ok_or("packed values end too early")?;
                    *bit += u64::from(self.width);
                    *left -= 1;
                    return Ok(value as u32);
                }
                _ => self.start_run(bytes)?,
            }
        }
    }

    fn start_run(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        let bytes = &bytes[..self.end];
        if self.at >= self.end {
            return Err("runs of values end too early");
        }
        let head = read_varint(bytes, &mut self.at).ok_or("the length of a run is damaged")?;
        let length = head >> 1;
        if head & 1 == 1 {
            let size = length.checked_mul(u64::from(self.width)).ok_or("the length of a run is damaged")?;
            self.run = Run::Packed { bit: self.at as u64 * 8, left: length.saturating_mul(8) };
            // The last group may be cut where no value is left in it.
            let next = usize::try_from(size).ok().and_then(|size| self.at.checked_add(size));
            self.at = next.unwrap_or(self.end).min(self.end);
        } else {
            let size = self.width.div_ceil(8) as usize;
            let value = bytes.get(self.at..self.at + size).ok_or("a run ends too early")?;
            let value = value.iter().rev().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
            self.at += size;
            self.run = Run::Same { value, left: length };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_packed_groups_follow_each_other() {
        // Four times 5, then the packed group 0..=7 in three bits: the example of the format's documentation.
        let bytes = [8, 5, 3, 0b1000_1000, 0b1100_0110, 0b1111_1010];
        let mut hybrid = Hybrid::new(0, bytes.len(), 3);
        let found: Vec<u32> = (0..12).map(|_| hybrid.next(&bytes).unwrap()).collect();
        assert_eq!(found, [5, 5, 5, 5, 0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(hybrid.next(&bytes).is_err());
    }

    #[test]
    fn empty_runs_and_lengths_beyond_the_bytes_end_in_an_error() {
        for bytes in [&[0_u8, 0, 0, 0][..], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 7], &[3], &[]] {
            let mut hybrid = Hybrid::new(0, bytes.len(), 8);
            assert!((0..100).any(|_| hybrid.next(bytes).is_err()), "{bytes:?}");
        }
    }
}
