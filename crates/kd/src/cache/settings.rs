//! Where answers are kept, how many, and in which number format.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, IntoDeserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// Settings of a [`TeacherCache`](super::TeacherCache).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheSettings {
    /// Where answers are kept.
    #[serde(default, rename = "where")]
    pub place: CacheStorage,
    /// Most bytes that are kept; what does not fit is computed again.
    #[serde(default)]
    pub max_bytes: Room,
    /// Number format of what is kept.
    #[serde(default)]
    pub format: Format,
}

/// Where answers are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheStorage {
    /// Nowhere: the teacher is asked every time.
    Off,
    /// In memory; of exact answers in that of the device that the teacher computes on.
    #[default]
    Memory,
    /// In a folder, one checksummed file for each batch.
    Disk,
}

/// Number format of answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// As they are.
    #[default]
    F32,
    /// IEEE half precision, 11 significant bits: half the bytes. A tensor with a value beyond 65504 stays as it is.
    F16,
}

/// The name in files and messages.
impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read: Result<_, de::value::Error> = Self::deserialize(text.into_deserializer());
        read.map_err(|_| format!("unknown format `{text}`: one of {}, {}", Self::F32, Self::F16))
    }
}

/// How many bytes may be kept: `auto`, or a [`ByteSize`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Room {
    /// As many as are useful on this machine; the caller that makes the cache decides.
    #[default]
    Auto,
    /// This many, however much memory the machine has.
    Bytes(ByteSize),
}

/// How [`Room::Auto`] is written.
const AUTO: &str = "auto";

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str(AUTO),
            Self::Bytes(bytes) => bytes.fmt(f),
        }
    }
}

impl Serialize for Room {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Room {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Said;
        impl Visitor<'_> for Said {
            type Value = Room;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"auto\" or a number of bytes such as \"2 GiB\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Room, E> {
                match text.trim() {
                    AUTO => Ok(Room::Auto),
                    text => text.parse().map(Room::Bytes).map_err(|e| E::custom(format!("{e}, or `{AUTO}`"))),
                }
            }
            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Room, E> {
                Ok(Room::Bytes(ByteSize(bytes)))
            }
            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Room, E> {
                let refuse = || E::custom(format!("{bytes} is not a number of bytes; it must not be negative"));
                u64::try_from(bytes).map(|bytes| Room::Bytes(ByteSize(bytes))).map_err(|_| refuse())
            }
        }
        deserializer.deserialize_any(Said)
    }
}

/// A number of bytes, written as people do: `2 GiB`, `500 MB`, `4096`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// Units, those of binary multiples first: the largest that divides a size is its way of being written.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, size): &&(&str, u64)| self.0 > 0 && self.0.is_multiple_of(*size);
        let (unit, size) = UNITS.iter().find(fits).unwrap_or(&UNITS[8]);
        write!(f, "{} {unit}", self.0 / size)
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a number of bytes: write `2 GiB`, `500 MB` or `4096`");
        let text_of = text.trim();
        let digits = text_of.find(|c: char| !c.is_ascii_digit()).unwrap_or(text_of.len());
        let (number, unit) = (&text_of[..digits], text_of[digits..].trim());
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let unit = if unit.is_empty() { "B" } else { unit };
        let (_, size) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(wrong)?;
        number.checked_mul(*size).map(Self).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_every_unit_and_written_in_the_largest_that_divides_them() {
        for (text, bytes, written) in [
            ("2 GiB", 2 << 30, "2 GiB"),
            ("2048MiB", 2 << 30, "2 GiB"),
            ("500 mb", 500_000_000, "500 MB"),
            (" 4096 ", 4096, "4 KiB"),
            ("0", 0, "0 B"),
            ("7", 7, "7 B"),
        ] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!(size, ByteSize(bytes), "{text}");
            assert_eq!(size.to_string(), written);
            assert_eq!(size.to_string().parse::<ByteSize>().unwrap(), size);
        }
        for text in ["", "GiB", "-1", "1.5 GiB", "2 GiBs", "99999999999 TiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_section_says_only_what_differs_and_is_written_out_whole() {
        let read = |text: &str| toml::from_str::<CacheSettings>(text);
        assert_eq!(read("").unwrap(), CacheSettings::default());
        let written = toml::to_string(&CacheSettings::default()).unwrap();
        assert_eq!(written, "where = \"memory\"\nmax_bytes = \"auto\"\nformat = \"f32\"\n");
        let other = read("where = \"disk\"\nmax_bytes = 1024\nformat = \"f16\"").unwrap();
        assert_eq!(
            other,
            CacheSettings { place: CacheStorage::Disk, max_bytes: Room::Bytes(ByteSize(1024)), format: Format::F16 }
        );
        assert_eq!(read("max_bytes = \"auto\"").unwrap(), CacheSettings::default());
        let given = read("max_bytes = \"2 GiB\"").unwrap();
        assert_eq!(given.max_bytes, Room::Bytes(ByteSize(2 << 30)));
        assert!(toml::to_string(&given).unwrap().contains("max_bytes = \"2 GiB\""));
        for (wrong, word) in [
            ("where = \"tape\"", "memory"),
            ("max_bytes = -1", "must not be negative"),
            ("max_bytes = \"much\"", "auto"),
            ("size = 1", "size"),
        ] {
            let message = read(wrong).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        }
    }
}
