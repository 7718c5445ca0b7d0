//! Thrift's compact protocol, as far as Parquet's metadata need it: structures are walked field by field, unknown fields skipped.

/// What is wrong at which byte of the file; the path is added further up.
#[derive(Debug)]
pub(super) struct Bad {
    pub offset: u64,
    pub reason: String,
}

pub(super) type Decoded<T> = Result<T, Bad>;

/// Nested structures in a damaged file must not exhaust the stack.
const MAX_DEPTH: usize = 32;

/// Type codes of the protocol.
pub(super) mod kind {
    pub const TRUE: u8 = 1;
    pub const FALSE: u8 = 2;
    pub const BYTE: u8 = 3;
    pub const I16: u8 = 4;
    pub const I32: u8 = 5;
    pub const I64: u8 = 6;
    pub const DOUBLE: u8 = 7;
    pub const BINARY: u8 = 8;
    pub const LIST: u8 = 9;
    pub const SET: u8 = 10;
    pub const MAP: u8 = 11;
    pub const STRUCT: u8 = 12;
    pub const UUID: u8 = 13;
}

/// Reads from bytes whose first stands at `base` in the file.
pub(super) struct Thrift<'a> {
    bytes: &'a [u8],
    at: usize,
    base: u64,
    /// Whether the bytes ended too early: with more of them the answer may differ.
    pub starved: bool,
}

impl<'a> Thrift<'a> {
    pub fn new(bytes: &'a [u8], base: u64) -> Self {
        Self { bytes, at: 0, base, starved: false }
    }

    /// How many bytes have been read.
    pub fn position(&self) -> usize {
        self.at
    }

    pub fn bad<T>(&self, reason: impl Into<String>) -> Decoded<T> {
        Err(Bad { offset: self.base + self.at as u64, reason: reason.into() })
    }

    fn take(&mut self, count: usize) -> Decoded<&'a [u8]> {
        let Some(taken) = self.at.checked_add(count).and_then(|end| self.bytes.get(self.at..end)) else {
            self.starved = true;
            return self.bad("the metadata end in the middle of a value");
        };
        self.at += count;
        Ok(taken)
    }

    fn byte(&mut self) -> Decoded<u8> {
        Ok(self.take(1)?[0])
    }

    fn unsigned(&mut self) -> Decoded<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        self.bad("a number in the metadata is longer than 64 bits")
    }

    fn signed(&mut self) -> Decoded<i64> {
        let raw = self.unsigned()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// Calls `each(self, id, kind)` for every field of a structure; it answers whether it has read the field.
    pub fn structure(&mut self, each: &mut dyn FnMut(&mut Self, i16, u8) -> Decoded<bool>) -> Decoded<()> {
        let mut id = 0_i16;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Ok(());
            }
            let (delta, kind) = (head >> 4, head & 15);
            id = match delta {
                0 => match i16::try_from(self.signed()?) {
                    Ok(id) => id,
                    Err(_) => return self.bad("a field number in the metadata is out of range"),
                },
                _ => id.wrapping_add(i16::from(delta)),
            };
            if !each(self, id, kind)? {
                self.skip(kind, false, 0)?;
            }
        }
    }

    /// Calls `each` for every element of a list of structures.
    pub fn structures(&mut self, kind: u8, each: &mut dyn FnMut(&mut Self) -> Decoded<()>) -> Decoded<()> {
        let (count, element) = self.list(kind)?;
        if count > 0 && element != kind::STRUCT {
            return self.bad("a list in the metadata holds something else than structures");
        }
        for _ in 0..count {
            each(self)?;
        }
        Ok(())
    }

    fn list(&mut self, kind: u8) -> Decoded<(u64, u8)> {
        if kind != kind::LIST && kind != kind::SET {
            return self.bad("the metadata hold no list where one is expected");
        }
        let head = self.byte()?;
        let count = if head >> 4 == 15 { self.unsigned()? } else { u64::from(head >> 4) };
        Ok((count, head & 15))
    }

    pub fn integer(&mut self, kind: u8) -> Decoded<i64> {
        match kind {
            kind::BYTE => Ok(i64::from(self.byte()? as i8)),
            kind::I16 | kind::I32 | kind::I64 => self.signed(),
            _ => self.bad("the metadata hold no number where one is expected"),
        }
    }

    /// A number that counts or places something.
    pub fn natural(&mut self, kind: u8) -> Decoded<u64> {
        let value = self.integer(kind)?;
        match u64::try_from(value) {
            Ok(value) => Ok(value),
            Err(_) => self.bad(format!("the metadata hold {value} where a size or place is expected")),
        }
    }

    /// A truth value; it is the type itself.
    pub fn truth(&mut self, kind: u8) -> Decoded<bool> {
        match kind {
            kind::TRUE => Ok(true),
            kind::FALSE => Ok(false),
            _ => self.bad("the metadata hold no truth value where one is expected"),
        }
    }

    pub fn text(&mut self, kind: u8) -> Decoded<String> {
        if kind != kind::BINARY {
            return self.bad("the metadata hold no text where one is expected");
        }
        let length = self.unsigned()?;
        let bytes = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => self.bad("a name in the metadata is not valid UTF-8"),
        }
    }

    /// Passes over a value. In a list a truth value is a byte, in a structure it is part of its type.
    fn skip(&mut self, kind: u8, in_list: bool, depth: usize) -> Decoded<()> {
        if depth > MAX_DEPTH {
            return self.bad("the metadata are nested too deeply");
        }
        match kind {
            kind::TRUE | kind::FALSE if !in_list => {}
            kind::TRUE | kind::FALSE | kind::BYTE => drop(self.byte()?),
            kind::I16 | kind::I32 | kind::I64 => drop(self.unsigned()?),
            kind::DOUBLE => drop(self.take(8)?),
            kind::UUID => drop(self.take(16)?),
            kind::BINARY => {
                let length = self.unsigned()?;
                self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
            }
            kind::LIST | kind::SET => {
                let (count, element) = self.list(kind)?;
                for _ in 0..count {
                    self.skip(element, true, depth + 1)?;
                }
            }
            kind::MAP => {
                let count = self.unsigned()?;
                if count > 0 {
                    let kinds = self.byte()?;
                    for _ in 0..count {
                        self.skip(kinds >> 4, true, depth + 1)?;
                        self.skip(kinds & 15, true, depth + 1)?;
                    }
                }
            }
            kind::STRUCT => loop {
                let head = self.byte()?;
                if head == 0 {
                    break;
                }
                if head >> 4 == 0 {
                    self.signed()?;
                }
                self.skip(head & 15, false, depth + 1)?;
            },
            other => return self.bad(format!("the metadata hold a value of the unknown type {other}")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_number_and_the_rest_is_skipped() {
        // 1: i32 -3; 2: list of two i64; 9 (long form): text "ab"; stop.
        let bytes = [0x15, 5, 0x19, 0x26, 2, 4, 0x08, 18, 2, b'a', b'b', 0, 99];
        let mut thrift = Thrift::new(&bytes, 0);
        let (mut number, mut name) = (0, String::new());
        let each = &mut |t: &mut Thrift<'_>, id: i16, kind: u8| {
            match id {
                1 => number = t.integer(kind)?,
                9 => name = t.text(kind)?,
                _ => return Ok(false),
            }
            Ok(true)
        };
        thrift.structure(each).unwrap();
        assert_eq!((number, name.as_str(), thrift.position()), (-3, "ab", 12));
    }

    #[test]
    fn damage_is_an_error_with_its_place_and_never_deep_recursion() {
        let nested = vec![0x1c; 100_000];
        let error = Thrift::new(&nested, 7).structure(&mut |_, _, _| Ok(false)).unwrap_err();
        assert!(error.reason.contains("nested") && error.offset > 7);
        let mut short = Thrift::new(&[0x18, 200, 1, b'a'], 0);
        assert!(short.structure(&mut |_, _, _| Ok(false)).is_err());
        assert!(short.starved);
    }
}
