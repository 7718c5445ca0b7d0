//! Options of learning hidden words.

use std::path::PathBuf;

use clap::Args;
use corpus::MaskSettings;
use kd::objective::Mlm;
use pipeline::corpus::Corpus;
use tokenizer::TextEncoder;
use train::mlm::WordMask;

use crate::error::{CliError, ResultExt};

/// Options of learning hidden words.
#[derive(Args, Debug)]
pub struct WordArgs {
    /// On text: learn hidden words too, half from the teacher's masked-language-model head and half from the words themselves
    /// (MobileBERT's pre-training distillation), where the objective has no section `[distill.mlm]` that says how.
    #[arg(long, conflicts_with = "tasks")]
    pub mlm: bool,
    /// Held-out text, whose hidden words the student predicts at --eval-every and at the end: files, folders or one packed folder, of
    /// which the first 1,000 sequences are used. The best weights are kept.
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with = "tasks")]
    pub eval_corpus: Vec<PathBuf>,
}

/// What hides words, and the corpus that the student is asked about; both checked before anything is tokenized.
pub struct Words {
    pub mask: WordMask,
    pub held_out: Option<Corpus>,
}

impl WordArgs {
    /// What a training on `corpus` needs whose objective has `mlm`.
    ///
    /// # Errors
    /// `--eval-corpus` without words to learn, text that is not there or hides its own words, or a tokenizer without `[MASK]`.
    pub fn words(
        &self,
        mlm: Option<&Mlm>,
        corpus: &Corpus,
        encoder: &TextEncoder,
        seed: u64,
    ) -> Result<Option<Words>, CliError> {
        let Some(mlm) = mlm else {
            if self.eval_corpus.is_empty() {
                return Ok(None);
            }
            return Err(CliError::usage(
                "--eval-corpus: its hidden words would be predicted, and this training hides none",
            )
            .with_hint("`--mlm` makes the student learn them"));
        };
        let held_out = match self.eval_corpus.is_empty() {
            true => None,
            false => Some(Corpus::find(&self.eval_corpus)?),
        };
        let corpora = [("--corpus", Some(corpus)), ("--eval-corpus", held_out.as_ref())];
        let mask = word_mask(&mlm.mask, corpora, encoder, seed)?;
        Ok(Some(Words { mask, held_out }))
    }
}

/// What hides words of these corpora, each with its option.
///
/// # Errors
/// A corpus that hides its own words, settings out of range, or a tokenizer without `[MASK]`.
pub fn word_mask(
    settings: &MaskSettings,
    corpora: [(&str, Option<&Corpus>); 2],
    encoder: &TextEncoder,
    seed: u64,
) -> Result<WordMask, CliError> {
    for (option, corpus) in corpora {
        if corpus.is_some_and(Corpus::is_masked) {
            let message =
                format!("{option}: words are hidden in these shards already, and this training hides its own");
            return Err(CliError::usage(message)
                .with_hint("pack the text without --mask; other words are then hidden in every epoch"));
        }
    }
    let mask = WordMask::new(settings, encoder, seed);
    mask.context("the words of --corpus cannot be hidden").or_usage()
}
