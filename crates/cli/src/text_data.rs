//! Text as `distill` trains on it: the corpus, what hides words in it, and text that the student is asked about.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use kd::job::MlmTask;
use kd::objective::Mlm;
use pipeline::corpus::Corpus;
use pipeline::inputs::Files;
use tokenizer::TextEncoder;
use train::mlm::{HeldOutWords, WordMask};
use train::text::TextSource;

use crate::error::{CliError, ResultExt};
use crate::training::TrainingArgs;

/// Sequences of `--eval-corpus` that are looked at.
const EVAL_SEQUENCES: usize = 1000;

/// Options of learning hidden words.
#[derive(Args, Debug)]
pub struct WordArgs {
    /// On text: learn hidden words too, half from the teacher's masked-language-model head and half from the words themselves
    /// (MobileBERT's pre-training distillation), where the objective has no section `[distill.mlm]` that says how.
    #[arg(long, conflicts_with = "tasks")]
    pub mlm: bool,
    /// Text that is not trained on, of whose hidden words the student is asked at --eval-every and at the end: files, folders or one
    /// packed folder, the first 1,000 sequences of it. The best weights are kept.
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with = "tasks")]
    pub eval_corpus: Vec<PathBuf>,
}

/// What hides words, and the corpus that the student is asked about; both checked before anything is tokenised.
pub struct Words {
    mask: WordMask,
    held_out: Option<Corpus>,
}

impl WordArgs {
    /// What a training on `corpus` needs whose objective has `mlm`.
    ///
    /// # Errors
    /// `--eval-corpus` without words to learn, text that is not there or hides its own words, or a tokeniser without `[MASK]`.
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
            return Err(CliError::usage("--eval-corpus: its hidden words are asked for, and this training hides none")
                .with_hint("`--mlm` makes the student learn them"));
        };
        let held_out = match self.eval_corpus.is_empty() {
            true => None,
            false => Some(Corpus::find(&self.eval_corpus)?),
        };
        for (option, corpus) in [("--corpus", Some(corpus)), ("--eval-corpus", held_out.as_ref())] {
            if corpus.is_some_and(Corpus::is_masked) {
                let message =
                    format!("{option}: words are hidden in these shards already, and this training hides its own");
                return Err(CliError::usage(message)
                    .with_hint("pack the text without --mask; other words are then hidden in every epoch"));
            }
        }
        let mask = WordMask::new(&mlm.mask, encoder, seed);
        let mask = mask.context("the words of --corpus cannot be hidden").or_usage()?;
        Ok(Some(Words { mask, held_out }))
    }
}

/// Text to learn from.
pub struct TextData {
    /// The batches.
    pub text: Arc<dyn TextSource>,
    words: Option<(WordMask, Option<HeldOutWords>)>,
    /// Where all of it comes from.
    pub files: Files,
}

impl TextData {
    /// Opens the corpora of a training.
    ///
    /// # Errors
    /// As [`Corpus::open`]; held-out text without a word to hide.
    pub fn open(
        corpus: &Corpus,
        words: Option<Words>,
        encoder: &TextEncoder,
        args: &TrainingArgs,
        max_len: usize,
    ) -> Result<Self, CliError> {
        // Text is packed as far as the steps need it; shards are there already.
        let most = corpus.max_len().map_or(args.sequences(), |_| None);
        let text = corpus.open(encoder, args.batches(max_len), most)?;
        let mut files = corpus.files("corpus");
        let Some(Words { mask, held_out }) = words else { return Ok(Self { text, words: None, files }) };
        files.extend(held_out.iter().flat_map(|corpus| corpus.files("eval-corpus")));
        let held_out = held_out.map(|corpus| {
            let text =
                corpus.open_any(encoder, args.batches(max_len), Some(EVAL_SEQUENCES)).context("--eval-corpus")?;
            HeldOutWords::new(text.as_ref(), &mask).context("--eval-corpus")
        });
        let held_out = held_out.transpose()?;
        Ok(Self { text, words: Some((mask, held_out)), files })
    }

    /// How its words are hidden and asked for, where they are.
    pub fn words(&self) -> Option<MlmTask<'_>> {
        self.words.as_ref().map(|(mask, held_out)| MlmTask { mask, held_out: held_out.as_ref() })
    }
}
