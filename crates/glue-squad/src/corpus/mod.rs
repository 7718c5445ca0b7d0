//! Plain text packed into sequence pairs for general distillation.
//!
//! Files hold one paragraph per line; a blank line ends a document. Documents are split into sentences, sentences into tokens, and
//! tokens are packed as BERT's `create_pretraining_data` does, without masking, as EfficientBERT does (Dong et al. 2021).
//! Distillation has no next-sentence label, but the teacher was trained on pairs of which half came from different documents;
//! the same mixture is the default here ([`PackConfig::random_next`]).
//!
//! [`PackedCorpus`] keeps the sequences in memory, for texts of some hundred megabytes. Its parts serve larger ones, too: documents out of
//! a stream ([`TextDocuments`]), sentences ([`split_sentences`]), fast tokens ([`WordEncoder`]), pairs ([`pack_pairs`]).

mod documents;
mod long_lines;
mod pack;
mod sentences;
mod stream;
mod words;

pub use documents::{Layout, TextDocuments, corpus_files};
pub use pack::{Pair, PairRules, TokenDocument, pack_pairs};
pub use sentences::split_sentences;
pub use stream::{PackConfig, PackedCorpus};
pub use words::{WordCache, WordEncoder};
