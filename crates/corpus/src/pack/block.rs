//! Documents gathered to blocks.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::input::{Documents, Input, open};
use crate::settings::PackSettings;

/// Text of a block: what one thread works on at a time, and how far a random second segment is fetched from.
const BLOCK_BYTES: u64 = 2 << 20;
/// Counted on top of every document's text: what it costs besides, so that a text of tiny documents is bounded, too.
const DOCUMENT_BYTES: usize = 128;

/// Some documents, in their order.
#[derive(Debug)]
pub(crate) struct TextBlock {
    /// Position among the blocks of its part.
    pub number: u64,
    /// All documents, a line break after each paragraph.
    pub text: String,
    /// Where each document ends.
    pub ends: Vec<usize>,
}

/// Bytes of text in a block: fixed, but never more than a shard is to have.
pub(crate) fn block_bytes(settings: &PackSettings) -> usize {
    BLOCK_BYTES.min(settings.shard_text_bytes) as usize
}

/// Reads inputs one after another. Where blocks end follows from the inputs alone.
pub(crate) struct BlockReader {
    waiting: std::vec::IntoIter<Input>,
    documents: Option<Box<dyn Documents>>,
    path: PathBuf,
    block_bytes: usize,
    next: u64,
    read: Arc<AtomicU64>,
}

impl BlockReader {
    /// Over these inputs; `read` counts the bytes of their files.
    pub fn new(inputs: Vec<Input>, block_bytes: usize, read: Arc<AtomicU64>) -> Self {
        Self { waiting: inputs.into_iter(), documents: None, path: PathBuf::new(), block_bytes, next: 0, read }
    }

    /// How many blocks were read.
    pub fn count(&self) -> u64 {
        self.next
    }

    /// The next block that is wanted; others are read and dropped, since where they end is where the next one begins.
    pub fn next_block(&mut self, wanted: impl Fn(u64) -> bool, stop: &AtomicBool) -> Result<Option<TextBlock>> {
        let (mut text, mut ends) = (String::new(), Vec::new());
        loop {
            text.clear();
            ends.clear();
            while text.len() + ends.len() * DOCUMENT_BYTES < self.block_bytes {
                if stop.load(Ordering::Relaxed) {
                    return Err(Error::Stopped);
                }
                if self.documents.is_none() {
                    let Some(input) = self.waiting.next() else { break };
                    self.documents = Some(open(&input, &self.read)?);
                    self.path = input.path;
                }
                let Some(documents) = &mut self.documents else { break };
                // The libraries that unpack and parse should not panic on a damaged file; if one does, it is the file's error.
                let found = run_store::contain::call(|| documents.next_document(&mut text));
                let failed = || {
                    let reason = "the reader of this format failed on it; is the file damaged?";
                    Error::input(&self.path, format!("after {} blocks of text", self.next), reason)
                };
                if found.map_err(|_| failed())?? {
                    ends.push(text.len());
                } else {
                    self.documents = None;
                }
            }
            if ends.is_empty() {
                return Ok(None);
            }
            let number = self.next;
            self.next += 1;
            if wanted(number) {
                return Ok(Some(TextBlock { number, text, ends }));
            }
        }
    }
}
