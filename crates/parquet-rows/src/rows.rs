//! Chosen columns side by side, one row at a time, one page of each in memory.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use run_store::shown::excerpt;

use crate::codec::MAX_PAGE_BYTES;
use crate::footer::{Chunk, Footer, Leaf};
use crate::page::{Dictionary, Header, Page, kind};
use crate::thrift::{Bad, Thrift};
use crate::{Error, Result};
use crate::{MAGIC, Value};

/// Bytes that can be read from any place.
pub trait Input: Read + Seek + Send {}

impl<T: Read + Seek + Send> Input for T {}

/// The most bytes of metadata. A file with a million column chunks has about 100 MB of them.
const MAX_FOOTER_BYTES: u64 = 64 << 20;
/// Page headers are read in steps: most have 30 bytes, one with statistics of long texts may be large.
const HEADER_STEPS: [u64; 3] = [1 << 10, 1 << 16, 1 << 24];

/// A Parquet file, of which [`Rows::select`] chooses columns and [`Rows::next_row`] gives rows.
pub struct Rows {
    bytes: Bytes,
    footer: Footer,
    footer_at: u64,
    chosen: Vec<Cursor>,
    group: usize,
    rows_left: u64,
    row: u64,
}

/// The bytes of a file, and its name for errors.
struct Bytes {
    input: Box<dyn Input>,
    path: PathBuf,
}

impl Bytes {
    /// Memory is taken as bytes arrive.
    fn read(&mut self, at: u64, count: u64) -> Result<Vec<u8>> {
        let failed = |source| Error::io(&self.path, source);
        self.input.seek(SeekFrom::Start(at)).map_err(failed)?;
        let mut bytes = Vec::new();
        (&mut self.input).take(count).read_to_end(&mut bytes).map_err(failed)?;
        match bytes.len() as u64 == count {
            true => Ok(bytes),
            false => Err(self.damaged(at + bytes.len() as u64, "the file ends too early")),
        }
    }

    fn damaged(&self, offset: u64, reason: impl Into<String>) -> Error {
        Error::Damaged { path: self.path.clone(), offset, reason: reason.into() }
    }
}

/// Where the reading of a column stands in the current row group.
struct Cursor {
    leaf: Leaf,
    index: usize,
    chunk: Option<Chunk>,
    at: u64,
    page_at: u64,
    values_left: u64,
    dictionary: Option<Dictionary>,
    page: Option<Page>,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").field("path", &self.bytes.path).field("rows", &self.footer.rows).finish_non_exhaustive()
    }
}

impl Rows {
    /// Opens a file and reads its metadata.
    ///
    /// # Errors
    /// The file cannot be read, or is no Parquet file.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::io(path, source))?;
        Self::over(Box::new(file), path)
    }

    /// Reads the metadata of any bytes; `name` stands for the file in errors.
    ///
    /// # Errors
    /// As [`Rows::open`].
    pub fn over(input: Box<dyn Input>, name: impl Into<PathBuf>) -> Result<Self> {
        let mut bytes = Bytes { input, path: name.into() };
        let (footer, footer_at) = read_footer(&mut bytes)?;
        Ok(Self { bytes, footer, footer_at, chosen: Vec::new(), group: 0, rows_left: 0, row: 0 })
    }

    /// The names of the plain columns.
    pub fn columns(&self) -> Vec<&str> {
        self.footer.leaves.iter().filter(|leaf| leaf.flat).map(|leaf| leaf.name.as_str()).collect()
    }

    /// The file as named in errors.
    pub fn path(&self) -> &Path {
        &self.bytes.path
    }

    /// Chooses the columns of [`Rows::next_row`], in this order, and goes back to the first row.
    ///
    /// # Errors
    /// A name that is none of [`Rows::columns`].
    pub fn select(&mut self, names: &[&str]) -> Result<()> {
        let mut chosen = Vec::new();
        for name in names {
            let index = self.footer.leaves.iter().position(|leaf| leaf.flat && leaf.name == *name);
            let index = index.ok_or_else(|| {
                let has = excerpt(&self.columns().join(", "));
                self.bytes.damaged(self.footer_at, format!("there is no column `{name}`; there are: {has}"))
            })?;
            let leaf = self.footer.leaves[index].clone();
            let (chunk, dictionary, page) = (None, None, None);
            chosen.push(Cursor { leaf, index, chunk, at: 0, page_at: 0, values_left: 0, dictionary, page });
        }
        (self.chosen, self.group, self.rows_left, self.row) = (chosen, 0, 0, 0);
        Ok(())
    }

    /// The values of the chosen columns in the next row; `None` after the last. After an error there is nothing to go on with.
    ///
    /// # Errors
    /// A damaged file, with the byte's place, or something that is not supported.
    pub fn next_row(&mut self) -> Result<Option<Vec<Value>>> {
        while self.rows_left == 0 {
            let Some(group) = self.footer.groups.get(self.group) else { return Ok(None) };
            for cursor in &mut self.chosen {
                let chunk = group.chunks[cursor.index].clone();
                if chunk.values != group.rows {
                    let reason = format!(
                        "the column `{}` has {} values for {} rows",
                        excerpt(&cursor.leaf.name),
                        chunk.values,
                        group.rows
                    );
                    return Err(self.bytes.damaged(self.footer_at, reason));
                }
                (cursor.at, cursor.page_at, cursor.values_left) = (chunk.start, chunk.start, chunk.values);
                (cursor.chunk, cursor.dictionary, cursor.page) = (Some(chunk), None, None);
            }
            self.rows_left = group.rows;
            self.group += 1;
        }
        let mut row = Vec::with_capacity(self.chosen.len());
        for cursor in &mut self.chosen {
            let value = cursor.next(&mut self.bytes).map_err(|error| match error {
                Error::Damaged { path, offset, reason } => {
                    let reason = format!("column `{}`, row {}: {reason}", excerpt(&cursor.leaf.name), self.row + 1);
                    Error::Damaged { path, offset, reason }
                }
                io => io,
            })?;
            row.push(value);
        }
        self.rows_left -= 1;
        self.row += 1;
        Ok(Some(row))
    }
}

impl Cursor {
    fn next(&mut self, file: &mut Bytes) -> Result<Value> {
        while self.page.as_ref().is_none_or(|page| page.left == 0) {
            self.next_page(file)?;
        }
        let place = self.page_at;
        let bad = |reason: &str| file.damaged(place, reason);
        let page = self.page.as_mut().ok_or_else(|| bad("there is no page"))?;
        page.next(&self.leaf, self.dictionary.as_ref()).map_err(bad)
    }

    fn next_page(&mut self, file: &mut Bytes) -> Result<()> {
        let place = self.at;
        self.page_at = place;
        let path = file.path.clone();
        let bad = |reason: String| Error::Damaged { path: path.clone(), offset: place, reason };
        let chunk = self.chunk.as_ref().ok_or_else(|| bad("there is no row group".to_owned()))?;
        if self.at >= chunk.end {
            return Err(bad(format!("the pages end {} values too early", self.values_left)));
        }
        // The old page goes first: two of the largest at once would be too much.
        self.page = None;
        let (header, length) = read_header(file, place, chunk.end)?;
        let start = place + length;
        if header.packed > chunk.end - start {
            return Err(bad(format!("a page of {} bytes goes beyond its column", header.packed)));
        }
        self.at = start + header.packed;
        let is_data = matches!(header.kind, kind::DATA | kind::DATA_V2);
        if !is_data && header.kind != kind::DICTIONARY {
            return Ok(());
        }
        if header.packed > MAX_PAGE_BYTES {
            return Err(bad(format!("a page of {} bytes is larger than {MAX_PAGE_BYTES}", header.packed)));
        }
        let bytes = file.read(start, header.packed)?;
        let bytes = unpack(bytes, &header, chunk).map_err(bad)?;
        if header.kind == kind::DICTIONARY {
            let dictionary = Dictionary::new(bytes, &header, self.leaf.physical).map_err(|e| bad(e.to_owned()))?;
            self.dictionary = Some(dictionary);
            return Ok(());
        }
        self.values_left = self
            .values_left
            .checked_sub(header.values)
            .ok_or_else(|| bad(format!("a page holds {} values where {} are left", header.values, self.values_left)))?;
        self.page = Some(Page::new(bytes, &header, &self.leaf, self.dictionary.is_some()).map_err(bad)?);
        Ok(())
    }
}

/// Unpacks a page; the levels of a second-version page stand before it as they are.
fn unpack(mut bytes: Vec<u8>, header: &Header, chunk: &Chunk) -> std::result::Result<Vec<u8>, String> {
    if !header.is_packed {
        return match bytes.len() as u64 == header.unpacked {
            true => Ok(bytes),
            false => Err(format!("a page that is not compressed has {} bytes, not {}", bytes.len(), header.unpacked)),
        };
    }
    let bare = header.bare_bytes();
    if bare == 0 {
        return chunk.codec.unpack(bytes, header.unpacked);
    }
    let size = header.unpacked.checked_sub(bare).filter(|_| bare <= bytes.len() as u64);
    let size = size.ok_or("the levels of a page are longer than the page")?;
    let packed = bytes.split_off(bare as usize);
    // A page of nulls only has nothing behind its levels, not even an empty compressed block.
    if size > 0 || !packed.is_empty() {
        bytes.extend(chunk.codec.unpack(packed, size)?);
    }
    Ok(bytes)
}

fn read_header(file: &mut Bytes, at: u64, end: u64) -> Result<(Header, u64)> {
    let mut bad = Bad { offset: at, reason: "there is no page".to_owned() };
    for step in HEADER_STEPS {
        let count = step.min(end - at);
        let bytes = file.read(at, count)?;
        let mut thrift = Thrift::new(&bytes, at);
        match Header::parse(&mut thrift) {
            Ok(header) => return Ok((header, thrift.position() as u64)),
            Err(found) => bad = found,
        }
        if !thrift.starved || count == end - at {
            break;
        }
    }
    Err(file.damaged(bad.offset, bad.reason))
}

fn read_footer(file: &mut Bytes) -> Result<(Footer, u64)> {
    let size = file.input.seek(SeekFrom::End(0)).map_err(|source| Error::io(&file.path, source))?;
    const NOT_PARQUET: &str = "this is no Parquet file, or it is cut short: it does not begin and end with `PAR1`";
    if size < 12 {
        return Err(file.damaged(size, NOT_PARQUET));
    }
    if file.read(0, 4)? != MAGIC {
        return Err(file.damaged(0, NOT_PARQUET));
    }
    let tail = file.read(size - 8, 8)?;
    if tail[4..] == *b"PARE" {
        return Err(file.damaged(size - 4, "the file is encrypted, which is not supported"));
    }
    if tail[4..] != *MAGIC {
        return Err(file.damaged(size - 4, NOT_PARQUET));
    }
    let length = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
    if length > MAX_FOOTER_BYTES || length > size - 12 {
        return Err(file.damaged(size - 8, format!("metadata of {length} bytes do not fit into the file")));
    }
    let at = size - 8 - length;
    let bytes = file.read(at, length)?;
    let footer = Footer::parse(&bytes, at).map_err(|bad| file.damaged(bad.offset, bad.reason))?;
    Ok((footer, at))
}
