//! TensorBoard's event files, as bytes.
//!
//! A file is a TFRecord file (`tensorflow/core/lib/io/record_writer.h`): for each record the length (`u64`), the masked CRC-32C of
//! these eight bytes, the data, and their masked CRC-32C, all little-endian. The data are `Event` messages
//! (`tensorflow/core/util/event.proto`, `tensorflow/core/framework/summary.proto`) in the encoding of protocol buffers, of which
//! three fields and one kind of summary are written here. The first record names the version of the format.

/// What the first event of a file says, and TensorBoard asks for.
const VERSION: &str = "brain.Event:2";
/// Added to a rotated checksum, so that the checksum of data that hold a checksum is no trivial one (`crc32c.h`).
const MASK: u32 = 0xa282_ead8;
/// Castagnoli's polynomial, bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The beginning of an event file: its version, and, where it goes on with a training, the step from which on earlier files no
/// longer count (TensorBoard drops what they have of this step and later ones).
///
/// `seconds` is Unix time.
pub fn head(seconds: f64, restart: Option<u64>) -> Vec<u8> {
    let mut event = Message::default();
    event.double(1, seconds);
    event.bytes(3, VERSION.as_bytes());
    let mut file = record(&event.0);
    if let Some(step) = restart {
        let mut session = Message::default();
        // SessionLog.START
        session.varint(1, 1);
        let mut event = Message::default();
        event.double(1, seconds);
        event.varint(2, step);
        event.bytes(7, &session.0);
        file.extend(record(&event.0));
    }
    file
}

/// One event: numbers of a step by their tags. Parts of a tag are divided by `/`; TensorBoard groups by the first.
///
/// `seconds` is Unix time.
pub fn scalars(seconds: f64, step: u64, values: &[(String, f64)]) -> Vec<u8> {
    let mut summary = Message::default();
    for (tag, value) in values {
        let mut entry = Message::default();
        entry.bytes(1, tag.as_bytes());
        entry.float(2, *value as f32);
        summary.bytes(1, &entry.0);
    }
    let mut event = Message::default();
    event.double(1, seconds);
    event.varint(2, step);
    event.bytes(5, &summary.0);
    record(&event.0)
}

/// A protocol buffer being written: fields are a key (number and kind) and a value.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn varint(&mut self, field: u64, value: u64) {
        self.number(field << 3);
        self.number(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.number(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.number(field << 3 | 2);
        self.number(value.len() as u64);
        self.0.extend(value);
    }

    fn float(&mut self, field: u64, value: f32) {
        self.number(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
    }
}

/// A TFRecord of `data`.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut out = Vec::with_capacity(data.len() + 16);
    out.extend(length);
    out.extend(masked(crc32c(&length)).to_le_bytes());
    out.extend(data);
    out.extend(masked(crc32c(data)).to_le_bytes());
    out
}

fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(MASK)
}

/// CRC-32C (RFC 3720, appendix B.4), bit by bit: an event has a few hundred bytes.
fn crc32c(data: &[u8]) -> u32 {
    let bit = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
    !data.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), bit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_rfc_3720() {
        let ascending: Vec<u8> = (0..32).collect();
        let descending: Vec<u8> = (0..32).rev().collect();
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&ascending), 0x46dd_794e);
        assert_eq!(crc32c(&descending), 0x113f_db5c);
        assert_eq!(crc32c(b""), 0);
    }

    #[test]
    fn the_first_record_is_byte_for_byte_that_of_tensorflow() {
        // tf.summary's writer at time 0: 24 bytes of data, field 1 as a double, field 3 as a string.
        let file = head(0.0, None);
        assert_eq!(file[..8], 24u64.to_le_bytes());
        assert_eq!(file[12..21], [9, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&file[21..36], b"\x1a\x0dbrain.Event:2");
        assert_eq!(file.len(), 8 + 4 + 24 + 4);
        // The checksum of the length 24, which every event file begins with.
        assert_eq!(file[8..12], [0xa3, 0x7f, 0x4b, 0x22]);
    }

    #[test]
    fn long_tags_and_large_steps_take_more_bytes_of_a_number() {
        let mut message = Message::default();
        message.varint(2, 300);
        message.bytes(1, &[7; 200]);
        assert_eq!(message.0[..3], [0x10, 0xac, 0x02]);
        assert_eq!(message.0[3..6], [0x0a, 0xc8, 0x01]);
    }
}
