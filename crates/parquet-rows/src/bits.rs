//! Numbers in bytes, with every bound checked.

/// Up to 64 bits from the bit `at`, least significant first; `None` beyond the end.
pub(super) fn read_bits(bytes: &[u8], at: u64, width: u32) -> Option<u64> {
    let mut value = 0_u64;
    let mut done = 0;
    while done < width {
        let place = at + u64::from(done);
        let byte = u64::from(*bytes.get(usize::try_from(place / 8).ok()?)?);
        let shift = (place % 8) as u32;
        let count = (8 - shift).min(width - done);
        value |= (byte >> shift & ((1 << count) - 1)) << done;
        done += count;
    }
    Some(value)
}

/// A number in groups of seven bits; moves `at` behind it.
pub(super) fn read_varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// A little-endian number of four bytes; moves `at` behind it.
pub(super) fn read_u32(bytes: &[u8], at: &mut usize) -> Option<u32> {
    let end = at.checked_add(4)?;
    let value = u32::from_le_bytes(bytes.get(*at..end)?.try_into().ok()?);
    *at = end;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_read_across_bytes_and_not_beyond_the_end() {
        let bytes = [0b1010_1100, 0b0000_0011];
        assert_eq!(read_bits(&bytes, 2, 3), Some(0b011));
        assert_eq!(read_bits(&bytes, 6, 4), Some(0b1110));
        assert_eq!(read_bits(&bytes, 0, 0), Some(0));
        assert_eq!(read_bits(&bytes, 12, 5), None);
        assert_eq!(read_bits(&[0xff; 8], 0, 64), Some(u64::MAX));
    }

    #[test]
    fn long_numbers_end_and_damaged_ones_are_refused() {
        let mut at = 0;
        assert_eq!(read_varint(&[0xac, 0x02, 9], &mut at), Some(300));
        assert_eq!(at, 2);
        assert_eq!(read_varint(&[0x80; 12], &mut 0), None);
        assert_eq!(read_varint(&[0x80], &mut 0), None);
    }
}
