//! Sentences, tokens, sequences.

use rand::RngCore;
use run_store::rng::{below, keyed, shuffle};
use tokenizer::{TextEncoder, WordCache, WordEncoder};

use super::block::TextBlock;
use super::pairs::{PairRules, TokenDocument, pack_pairs};
use crate::error::Result;
use crate::mask::Masker;
use crate::settings::{PackSettings, Packing};
use crate::shard::{Header, Next, ShardBuffer};
use crate::text::split_sentences;
use crate::vocabulary::Vocabulary;

/// Packs blocks. Shared by all threads; each brings its own [`WordCache`].
pub(crate) struct Packer<'a> {
    words: WordEncoder<'a>,
    vocabulary: &'a Vocabulary,
    settings: &'a PackSettings,
    masker: Option<Masker>,
}

/// Adds finished sequences to a buffer.
struct Sink<'a> {
    packer: &'a Packer<'a>,
    buffer: &'a mut ShardBuffer,
    ids: Vec<u32>,
    /// Names the streams of this copy of the block.
    counters: [u64; 3],
    sequences: u64,
    error: Option<crate::error::Error>,
}

impl<'a> Packer<'a> {
    /// For a tokenizer and settings that were checked.
    pub fn new(encoder: &'a TextEncoder, vocabulary: &'a Vocabulary, settings: &'a PackSettings) -> Result<Self> {
        let masker = settings.masking.clone().map(|masking| Masker::new(masking, vocabulary.clone())).transpose()?;
        Ok(Self { words: WordEncoder::new(encoder)?, vocabulary, settings, masker })
    }

    /// Packs a block, as often as there are to be copies; `source` names its part among the streams of random numbers.
    pub fn pack(&self, block: &TextBlock, source: u64, cache: &mut WordCache) -> Result<ShardBuffer> {
        let mut buffer = ShardBuffer::new(self.vocabulary.info().vocab_size);
        let documents = self.tokenize(block, cache, &mut buffer.header)?;
        let seed = self.settings.seed;
        for copy in 0..u64::from(self.settings.copies) {
            let counters = [source, block.number, copy];
            let mut sink =
                Sink { packer: self, buffer: &mut buffer, ids: Vec::new(), counters, sequences: 0, error: None };
            match self.settings.packing {
                Packing::Pairs { short_seq_prob, random_next } => {
                    let (max_len, special) = (self.settings.max_len, self.vocabulary.info().pairs.special());
                    let rules = PairRules { max_len, special, short: short_seq_prob, random_next };
                    // One stream for all documents of the block: a key for each would cost more than packing a short one.
                    let mut rng = keyed(seed, "text-shards/pack", &counters);
                    for at in 0..documents.len() {
                        pack_pairs(&documents, at, rules, &mut rng, |pair| {
                            let next = match (pair.b.is_empty(), pair.random) {
                                (true, _) => Next::Single,
                                (false, true) => Next::Random,
                                (false, false) => Next::Follows,
                            };
                            sink.push(pair.a, pair.b, next);
                        });
                    }
                }
                Packing::Full { cross_documents } => {
                    let mut rng = keyed(seed, "text-shards/full", &counters);
                    self.fill(&documents, cross_documents, copy, &mut rng, &mut sink);
                }
            }
            if let Some(error) = sink.error {
                return Err(error);
            }
        }
        let order = &mut keyed(seed, "text-shards/order", &[source, block.number]);
        shuffle(order, buffer.entries_mut());
        Ok(buffer)
    }

    fn tokenize(&self, block: &TextBlock, cache: &mut WordCache, counts: &mut Header) -> Result<Vec<TokenDocument>> {
        // A sentence that fills more than a sequence would lose its end to truncation; it becomes several.
        let most = self.settings.max_len - self.vocabulary.info().pairs.special();
        let (mut documents, mut ids, mut start) = (Vec::with_capacity(block.ends.len()), Vec::new(), 0);
        for end in &block.ends {
            let mut document = TokenDocument::default();
            for paragraph in block.text[start..*end].lines() {
                for sentence in split_sentences(paragraph) {
                    ids.clear();
                    self.words.encode(sentence, cache, &mut ids)?;
                    for part in ids.chunks(most) {
                        document.push_sentence(part);
                    }
                    counts.sentences += 1;
                }
            }
            start = *end;
            counts.documents += 1;
            if !document.is_empty() {
                documents.push(document);
            }
        }
        counts.text_bytes += block.text.len() as u64;
        counts.blocks += 1;
        Ok(documents)
    }

    /// One sequence after another, each filled to the last token. Later copies begin with a shorter one, so that they cut elsewhere.
    fn fill(&self, documents: &[TokenDocument], cross: bool, copy: u64, rng: &mut impl RngCore, sink: &mut Sink<'_>) {
        let most = self.settings.max_len - 2;
        let mut room = if copy == 0 { most } else { 1 + below(rng, most) };
        let mut held: Vec<u32> = Vec::with_capacity(most);
        for document in documents {
            if !held.is_empty() {
                // The mark between documents needs a token, and so does what follows it.
                if cross && held.len() + 2 <= room {
                    held.push(self.vocabulary.info().sep);
                } else {
                    sink.push(&held, &[], Next::Single);
                    held.clear();
                    room = most;
                }
            }
            let mut ids = document.ids();
            while !ids.is_empty() {
                let (now, later) = ids.split_at(ids.len().min(room - held.len()));
                held.extend_from_slice(now);
                ids = later;
                if held.len() == room {
                    sink.push(&held, &[], Next::Single);
                    held.clear();
                    room = most;
                }
            }
        }
        if !held.is_empty() {
            sink.push(&held, &[], Next::Single);
        }
    }
}

impl Sink<'_> {
    /// Frames the segments, hides tokens where the settings say so, and keeps the sequence.
    fn push(&mut self, a: &[u32], b: &[u32], next: Next) {
        let info = self.packer.vocabulary.info();
        self.ids.clear();
        self.ids.push(info.cls);
        self.ids.extend_from_slice(a);
        self.ids.push(info.sep);
        if !b.is_empty() {
            self.ids.resize(self.ids.len() + info.pairs.separators() - 1, info.sep);
        }
        let second = self.ids.len();
        if !b.is_empty() {
            self.ids.extend_from_slice(b);
            self.ids.push(info.sep);
        }
        let masked = self.packer.masker.as_ref().map_or_else(Vec::new, |masker| {
            let [source, block, copy] = self.counters;
            let counters = [source, block, copy, self.sequences];
            masker.mask(&mut self.ids, &mut keyed(self.packer.settings.seed, "text-shards/static-mask", &counters))
        });
        self.sequences += 1;
        if let Err(error) = self.buffer.push(&self.ids, second, next, &masked) {
            self.error.get_or_insert(error);
        }
    }
}
