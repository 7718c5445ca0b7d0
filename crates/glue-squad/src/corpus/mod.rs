//! Plain text packed into sequence pairs for general distillation.
//!
//! Files hold one paragraph per line; a blank line ends a document. Documents are split into sentences, sentences into tokens, and
//! tokens are packed as BERT's `create_pretraining_data` does, without masking, as EfficientBERT does (Dong et al. 2021).
//! Distillation has no next-sentence label, but the teacher was trained on pairs of which half came from different documents;
//! the same mixture is the default here ([`PackConfig::random_next`]).

mod documents;
mod pack;
mod sentences;
mod stream;

pub use documents::{Layout, corpus_files};
pub use sentences::split_sentences;
pub use stream::{PackConfig, PackedCorpus};
