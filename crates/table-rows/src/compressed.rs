//! Files as bytes, unpacked where their first bytes say that they are packed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

const BUFFER: usize = 128 * 1024;

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, of one member or several.
    Gzip,
    /// Zstandard, of one frame or several.
    Zstd,
    /// bzip2, as dumps of Wikipedia come, of one stream or several.
    Bzip2,
}

impl Compression {
    /// The packing that begins with these bytes.
    pub fn of(first: &[u8]) -> Self {
        match first {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // A frame to be skipped, as parallel zstd writes at the start.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            _ => Self::None,
        }
    }

    /// How the file at `path` is packed.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        let mut first = Vec::new();
        File::open(path)?.take(8).read_to_end(&mut first)?;
        Ok(Self::of(&first))
    }
}

/// The unpacked bytes of a file.
///
/// # Errors
/// The file cannot be read.
pub fn open(path: &Path) -> io::Result<BufReader<Box<dyn Read + Send>>> {
    open_counted(path, Arc::default())
}

/// The same; `read` counts what is taken from the file itself.
///
/// # Errors
/// The file cannot be read.
pub fn open_counted(path: &Path, read: Arc<AtomicU64>) -> io::Result<BufReader<Box<dyn Read + Send>>> {
    let mut raw = BufReader::with_capacity(BUFFER, Counted { file: File::open(path)?, read });
    let first = raw.fill_buf()?;
    let unpacked: Box<dyn Read + Send> = match Compression::of(first) {
        Compression::None => Box::new(raw),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(raw)),
        Compression::Zstd => Box::new(ZstdFrames::new(raw)),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(raw)),
    };
    Ok(BufReader::with_capacity(BUFFER, unpacked))
}

/// Counts the bytes that are read, wherever they are read from.
pub struct Counted {
    /// What is read.
    pub file: File,
    /// How many bytes of it were.
    pub read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl Seek for Counted {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Zstandard frames one after another; the decoder of the library knows one. Checksums of frames are compared.
struct ZstdFrames<R> {
    source: R,
    decoder: FrameDecoder,
    within: bool,
}

impl<R: BufRead> ZstdFrames<R> {
    fn new(source: R) -> Self {
        Self { source, decoder: FrameDecoder::new(), within: false }
    }

    /// Goes to the next frame with content; false at the end of the file.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let skipped = io::copy(&mut (&mut self.source).take(length.into()), &mut io::sink())?;
                    if skipped < u64::from(length) {
                        return Err(damaged("the file ends within a skippable frame"));
                    }
                }
                Err(e) => return Err(damaged(&e.to_string())),
            }
        }
        Ok(false)
    }
}

fn damaged(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("damaged zstd data: {reason}"))
}

impl<R: BufRead> Read for ZstdFrames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.within {
                if buffer.is_empty() || !self.next_frame()? {
                    return Ok(0);
                }
                self.within = true;
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder
                    .decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBytes(buffer.len()))
                    .map_err(|e| damaged(&e.to_string()))?;
            }
            let count = self.decoder.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            if let (Some(said), Some(is)) =
                (self.decoder.get_checksum_from_data(), self.decoder.get_calculated_checksum())
                && said != is
            {
                return Err(damaged("the checksum of a frame does not fit its content"));
            }
            self.within = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn packed(text: &[u8]) -> [Vec<u8>; 3] {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(text).unwrap();
        let mut bz = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
        bz.write_all(text).unwrap();
        let zstd = ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest);
        [gzip.finish().unwrap(), bz.finish().unwrap(), zstd]
    }

    fn unpack(bytes: &[u8]) -> Result<Vec<u8>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, bytes).unwrap();
        let read = Arc::new(AtomicU64::new(0));
        let mut out = Vec::new();
        open_counted(&path, Arc::clone(&read)).unwrap().read_to_end(&mut out).map_err(|e| e.to_string())?;
        assert_eq!(read.load(Ordering::Relaxed), bytes.len() as u64);
        Ok(out)
    }

    #[test]
    fn every_packing_and_several_parts_of_it_are_unpacked() {
        let text: Vec<u8> = (0..300_000_u32).flat_map(|n| (n % 977).to_le_bytes()).collect();
        assert_eq!(unpack(&text).unwrap(), text);
        assert_eq!(unpack(b"").unwrap(), b"");
        for one in packed(&text) {
            assert_eq!(unpack(&one).unwrap(), text);
            assert_eq!(unpack(&[one.clone(), one].concat()).unwrap(), [text.clone(), text.clone()].concat());
        }
        let zstd = &packed(b"content")[2];
        let skippable = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9][..], zstd].concat();
        assert_eq!(unpack(&skippable).unwrap(), b"content");
    }

    #[test]
    fn what_is_cut_or_damaged_is_an_error() {
        let text = b"a text that is long enough to be packed, a text that is long enough".repeat(50);
        for one in packed(&text) {
            assert!(unpack(&one[..one.len() - 6]).is_err());
            let mut damaged = one.clone();
            let middle = damaged.len() / 2;
            damaged[middle] ^= 0x55;
            assert!(unpack(&damaged).is_err_and(|e| !e.is_empty()));
        }
        assert!(unpack(&[0x5a, 0x2a, 0x4d, 0x18, 30, 0, 0, 0, 9]).is_err());
    }
}
