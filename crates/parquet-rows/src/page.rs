//! The pages of a column: their headers, and their values one at a time.

use super::Value;
use crate::bits::{read_bits, read_u32};
use crate::codec::MAX_PAGE_BYTES;
use crate::delta::Delta;
use crate::footer::{Leaf, Physical};
use crate::hybrid::Hybrid;
use crate::thrift::{Decoded, Thrift};

const SHORT: &str = "the values of the page end too early";
const NOT_UTF8: &str = "a text is not valid UTF-8";
/// The most values of a page whose lengths are kept; every one costs four bytes.
const MAX_LENGTHS: u64 = 1 << 24;

/// A page header, as far as it matters.
#[derive(Debug, Default)]
pub(super) struct Header {
    pub kind: i64,
    pub unpacked: u64,
    pub packed: u64,
    pub values: u64,
    pub encoding: i64,
    level_encoding: i64,
    level_bytes: u64,
    pub is_packed: bool,
}

/// Kinds of pages.
pub(super) mod kind {
    pub const DATA: i64 = 0;
    pub const DICTIONARY: i64 = 2;
    pub const DATA_V2: i64 = 3;
}

const PLAIN: i64 = 0;
const PLAIN_DICTIONARY: i64 = 2;
const RLE: i64 = 3;
const DELTA_BINARY_PACKED: i64 = 5;
const DELTA_LENGTH: i64 = 6;
const DELTA_STRINGS: i64 = 7;
const RLE_DICTIONARY: i64 = 8;

impl Header {
    pub fn parse(thrift: &mut Thrift<'_>) -> Decoded<Self> {
        let mut header = Self { level_encoding: RLE, is_packed: true, ..Self::default() };
        let (mut kind_seen, mut body_seen) = (false, false);
        thrift.structure(&mut |t, id, kind| {
            match id {
                1 => (header.kind, kind_seen) = (t.integer(kind)?, true),
                2 => header.unpacked = t.natural(kind)?,
                3 => header.packed = t.natural(kind)?,
                5 | 7 | 8 => {
                    body_seen = true;
                    let page = id;
                    t.structure(&mut |t, id, kind| {
                        match (page, id) {
                            (_, 1) => header.values = t.natural(kind)?,
                            (5 | 7, 2) | (8, 4) => header.encoding = t.integer(kind)?,
                            (5, 3) => header.level_encoding = t.integer(kind)?,
                            (8, 5) => header.level_bytes = t.natural(kind)?,
                            (8, 6) => {
                                if t.natural(kind)? > 0 {
                                    return t.bad("a plain column has repeated values");
                                }
                            }
                            (8, 7) => header.is_packed = t.truth(kind)?,
                            _ => return Ok(false),
                        }
                        Ok(true)
                    })?;
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let is_known = matches!(header.kind, kind::DATA | kind::DICTIONARY | kind::DATA_V2);
        if !kind_seen || (is_known && !body_seen) {
            return thrift.bad("this is no page header");
        }
        if header.unpacked > MAX_PAGE_BYTES {
            return thrift.bad(format!(
                "a page of {} bytes is larger than {MAX_PAGE_BYTES}; write the file again with smaller pages",
                header.unpacked
            ));
        }
        Ok(header)
    }

    /// The bytes of a second-version page that are never compressed.
    pub fn bare_bytes(&self) -> u64 {
        if self.kind == kind::DATA_V2 { self.level_bytes } else { 0 }
    }
}

/// The dictionary of a column: plain values, and where each text begins.
#[derive(Debug)]
pub(super) struct Dictionary {
    bytes: Vec<u8>,
    starts: Vec<u32>,
    count: usize,
}

/// The most bytes of a dictionary. Writers stop at 1 MiB.
const MAX_DICTIONARY_BYTES: usize = 32 << 20;

impl Dictionary {
    pub fn new(bytes: Vec<u8>, header: &Header, physical: Physical) -> Result<Self, &'static str> {
        if !matches!(header.encoding, PLAIN | PLAIN_DICTIONARY) {
            return Err("a dictionary that is not written plainly is not supported");
        }
        if bytes.len() > MAX_DICTIONARY_BYTES {
            return Err("a dictionary is larger than 32 MiB; write the file again without dictionaries");
        }
        let count = usize::try_from(header.values).map_err(|_| SHORT)?;
        let mut starts = Vec::new();
        if physical == Physical::Bytes {
            let mut at = 0;
            for _ in 0..count {
                starts.push(at as u32);
                let length = read_u32(&bytes, &mut at).ok_or(SHORT)? as usize;
                at = at.checked_add(length).filter(|end| *end <= bytes.len()).ok_or(SHORT)?;
            }
        } else if width(physical).and_then(|width| count.checked_mul(width)).is_none_or(|size| size > bytes.len()) {
            return Err(SHORT);
        }
        Ok(Self { bytes, starts, count })
    }

    fn get(&self, index: u32, physical: Physical) -> Result<Value, &'static str> {
        let index = index as usize;
        if index >= self.count {
            return Err("a value points beyond the dictionary");
        }
        let mut at = match physical {
            Physical::Bytes => *self.starts.get(index).ok_or(SHORT)? as usize,
            _ => index * width(physical).ok_or(SHORT)?,
        };
        plain(&self.bytes, &mut at, physical)
    }
}

/// Bytes of a value of fixed size.
fn width(physical: Physical) -> Option<usize> {
    match physical {
        Physical::Int32 | Physical::Float => Some(4),
        Physical::Int64 | Physical::Double => Some(8),
        Physical::Boolean | Physical::Bytes | Physical::Other => None,
    }
}

/// One plainly written value; moves `at` behind it.
fn plain(bytes: &[u8], at: &mut usize, physical: Physical) -> Result<Value, &'static str> {
    if physical == Physical::Bytes {
        let length = read_u32(bytes, at).ok_or(SHORT)? as usize;
        let text = bytes.get(*at..).and_then(|rest| rest.get(..length)).ok_or(SHORT)?;
        *at += length;
        return text_value(text);
    }
    let size = width(physical).ok_or("values of this type are not supported")?;
    let raw = bytes.get(*at..).and_then(|rest| rest.get(..size)).ok_or(SHORT)?;
    *at += size;
    let mut wide = [0_u8; 8];
    wide[..size].copy_from_slice(raw);
    let word = u64::from_le_bytes(wide);
    Ok(match physical {
        Physical::Int32 => Value::Int(i64::from(word as u32 as i32)),
        Physical::Float => Value::Float(as_written(f32::from_bits(word as u32))),
        Physical::Double => Value::Float(f64::from_bits(word)),
        _ => Value::Int(word as i64),
    })
}

/// The decimal number that a single-precision value stands for: 3.8 was written, not 3.799999952316284.
fn as_written(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

fn text_value(bytes: &[u8]) -> Result<Value, &'static str> {
    std::str::from_utf8(bytes).map(|text| Value::Text(text.to_owned())).map_err(|_| NOT_UTF8)
}

/// The values of an unpacked data page, from first to last.
#[derive(Debug)]
pub(super) struct Page {
    bytes: Vec<u8>,
    /// 1 where a value is present; `None` where all are.
    present: Option<Hybrid>,
    values: Values,
    pub left: u64,
}

#[derive(Debug)]
enum Values {
    Plain { at: usize },
    Bits { bit: u64 },
    Truths(Hybrid),
    Indices(Hybrid),
    Numbers(Delta),
    Lengths { lengths: std::vec::IntoIter<u32>, at: usize },
    Shared { prefixes: std::vec::IntoIter<u32>, lengths: std::vec::IntoIter<u32>, at: usize, last: Vec<u8> },
}

impl Page {
    pub fn new(bytes: Vec<u8>, header: &Header, leaf: &Leaf, has_dictionary: bool) -> Result<Self, String> {
        let mut at = 0;
        let mut present = None;
        if header.kind == kind::DATA_V2 {
            at = usize::try_from(header.level_bytes).ok().filter(|end| *end <= bytes.len()).ok_or(SHORT)?;
            present = leaf.optional.then(|| Hybrid::new(0, at, 1));
        } else if leaf.optional {
            if header.level_encoding != RLE {
                return Err(format!("levels in the encoding {} are not supported", header.level_encoding));
            }
            let length = read_u32(&bytes, &mut at).ok_or(SHORT)? as usize;
            let end = at.checked_add(length).filter(|end| *end <= bytes.len()).ok_or(SHORT)?;
            present = Some(Hybrid::new(at, end, 1));
            at = end;
        }
        let values = match (header.encoding, leaf.physical) {
            (_, Physical::Other) => return Err("values of this type are not supported".to_owned()),
            (PLAIN, Physical::Boolean) => Values::Bits { bit: at as u64 * 8 },
            (PLAIN, _) => Values::Plain { at },
            (RLE, Physical::Boolean) => {
                let length = read_u32(&bytes, &mut at).ok_or(SHORT)? as usize;
                let end = at.checked_add(length).filter(|end| *end <= bytes.len()).ok_or(SHORT)?;
                Values::Truths(Hybrid::new(at, end, 1))
            }
            (PLAIN_DICTIONARY | RLE_DICTIONARY, physical) if physical != Physical::Boolean => {
                if !has_dictionary {
                    return Err("the page needs a dictionary, and none comes before it".to_owned());
                }
                match bytes.get(at) {
                    // A page without a present value may hold no indices at all.
                    None => Values::Indices(Hybrid::new(at, at, 0)),
                    Some(width) if *width > 32 => return Err("dictionary indices are wider than 32 bits".to_owned()),
                    Some(width) => Values::Indices(Hybrid::new(at + 1, bytes.len(), u32::from(*width))),
                }
            }
            (DELTA_BINARY_PACKED, Physical::Int32 | Physical::Int64) => Values::Numbers(Delta::new(&bytes, at)?),
            (DELTA_LENGTH, Physical::Bytes) => {
                let lengths = lengths(&bytes, &mut at)?.into_iter();
                Values::Lengths { lengths, at }
            }
            (DELTA_STRINGS, Physical::Bytes) => {
                let prefixes = lengths(&bytes, &mut at)?.into_iter();
                let lengths = lengths(&bytes, &mut at)?.into_iter();
                Values::Shared { prefixes, lengths, at, last: Vec::new() }
            }
            (other, _) => {
                return Err(format!(
                    "values in the encoding {other} are not supported; write the file again with plain or dictionary encoding"
                ));
            }
        };
        Ok(Self { bytes, present, values, left: header.values })
    }

    /// The next value. There must be one: [`Page::left`] is not 0.
    pub fn next(&mut self, leaf: &Leaf, dictionary: Option<&Dictionary>) -> Result<Value, &'static str> {
        self.left = self.left.checked_sub(1).ok_or(SHORT)?;
        if let Some(present) = &mut self.present
            && present.next(&self.bytes)? == 0
        {
            return Ok(Value::Null);
        }
        let bytes = &self.bytes;
        match &mut self.values {
            Values::Plain { at } => plain(bytes, at, leaf.physical),
            Values::Bits { bit } => {
                let truth = read_bits(bytes, *bit, 1).ok_or(SHORT)?;
                *bit += 1;
                Ok(Value::Int(truth as i64))
            }
            Values::Truths(hybrid) => Ok(Value::Int(i64::from(hybrid.next(bytes)?))),
            Values::Indices(hybrid) => {
                let index = hybrid.next(bytes)?;
                dictionary.ok_or(SHORT)?.get(index, leaf.physical)
            }
            Values::Numbers(delta) => Ok(Value::Int(delta.next(bytes)?)),
            Values::Lengths { lengths, at } => {
                let text = slice(bytes, at, lengths.next().ok_or(SHORT)?)?;
                text_value(text)
            }
            Values::Shared { prefixes, lengths, at, last } => {
                let prefix = prefixes.next().ok_or(SHORT)? as usize;
                let rest = slice(bytes, at, lengths.next().ok_or(SHORT)?)?;
                if prefix > last.len() {
                    return Err("a text shares more with its predecessor than there is");
                }
                last.truncate(prefix);
                last.extend_from_slice(rest);
                text_value(last)
            }
        }
    }
}

fn slice<'a>(bytes: &'a [u8], at: &mut usize, length: u32) -> Result<&'a [u8], &'static str> {
    let text = bytes.get(*at..).and_then(|rest| rest.get(..length as usize)).ok_or(SHORT)?;
    *at += length as usize;
    Ok(text)
}

/// All lengths of a delta-encoded list; moves `at` behind it.
fn lengths(bytes: &[u8], at: &mut usize) -> Result<Vec<u32>, &'static str> {
    let mut delta = Delta::new(bytes, *at)?;
    if delta.left() > MAX_LENGTHS {
        return Err("a page holds more than 16,777,216 texts; write the file again with smaller pages");
    }
    let mut out = Vec::new();
    while delta.left() > 0 {
        out.push(u32::try_from(delta.next(bytes)?).map_err(|_| "a text has an impossible length")?);
    }
    *at = delta.end();
    Ok(out)
}
