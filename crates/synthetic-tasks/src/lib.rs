//! Small generated data for a whole compression run with no download.
//!
//! A seeded grammar over fewer than 400 words gives three tasks in the GLUE layout and a plain
//! corpus:
//!
//! | file | task | layout |
//! |---|---|---|
//! | `SST-2/{train,dev}.tsv` | polarity under negation and contrast | `sentence label` |
//! | `RTE/{train,dev}.tsv` | entailment between two short statements | `index sentence1 sentence2 label` |
//! | `STS-B/{train,dev}.tsv` | similarity from 0 to 5 | ten columns, score last |
//! | `corpus.txt` | documents for general distillation | one sentence per line |
//! | `vocab.txt`, `tokenizer.json` | lower-case whole-word WordPiece | Hugging Face |
//!
//! [`reviews`] are a table for the tutorial, in three scripts.
//!
//! The labels need composition: they are exclusive-ors of independent choices, so a bag-of-words
//! classifier stays near 60 % while a small transformer passes 95 % in minutes. The same seed
//! gives the same bytes on every platform.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod corpus;
mod draw;
mod entailment;
pub mod lexicon;
mod polarity;
mod readme;
mod reviews;
mod similarity;
mod tokenizer;

use std::collections::BTreeSet;

pub use draw::Split;
pub use entailment::EntailmentExample;
pub use polarity::{MAX_WORDS, PolarityExample};
pub use reviews::reviews;
pub use similarity::SimilarityExample;
pub use tokenizer::{SPECIAL_TOKENS, vocabulary};

/// The seed of the committed folder.
pub const DEFAULT_SEED: u64 = 2021;

/// Examples per task as (train, dev), and sentences of the corpus.
pub(crate) const POLARITY_SIZE: (usize, usize) = (4500, 600);
pub(crate) const ENTAILMENT_SIZE: (usize, usize) = (7000, 600);
pub(crate) const SIMILARITY_SIZE: (usize, usize) = (3000, 500);
pub(crate) const CORPUS_SENTENCES: usize = 5000;

/// One file of the generated folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedFile {
    /// Path below the folder, with `/` between its parts.
    pub relative_path: String,
    /// The whole contents.
    pub bytes: Vec<u8>,
}

/// The three tasks as values.
#[derive(Debug, Clone, PartialEq)]
pub struct Tasks {
    /// Sentence polarity (SST-2 layout).
    pub polarity: Split<PolarityExample>,
    /// Sentence-pair entailment (RTE layout).
    pub entailment: Split<EntailmentExample>,
    /// Graded similarity (STS-B layout).
    pub similarity: Split<SimilarityExample>,
}

/// Draws the three tasks for a seed.
#[must_use]
pub fn tasks(seed: u64) -> Tasks {
    Tasks {
        polarity: polarity::task(seed, POLARITY_SIZE.0, POLARITY_SIZE.1),
        entailment: entailment::task(seed, ENTAILMENT_SIZE.0, ENTAILMENT_SIZE.1),
        similarity: similarity::task(seed, SIMILARITY_SIZE.0, SIMILARITY_SIZE.1),
    }
}

/// Generates every file of the folder, sorted by path.
#[must_use]
pub fn generate(seed: u64) -> Vec<GeneratedFile> {
    let tasks = tasks(seed);
    let corpus = corpus::text(seed, CORPUS_SENTENCES, &held_out(&tasks));
    let texts = [
        ("README.md", readme::text(seed)),
        ("RTE/dev.tsv", rte_tsv(&tasks.entailment.dev)),
        ("RTE/train.tsv", rte_tsv(&tasks.entailment.train)),
        ("SST-2/dev.tsv", sst2_tsv(&tasks.polarity.dev)),
        ("SST-2/train.tsv", sst2_tsv(&tasks.polarity.train)),
        ("STS-B/dev.tsv", stsb_tsv(&tasks.similarity.dev)),
        ("STS-B/train.tsv", stsb_tsv(&tasks.similarity.train)),
        ("corpus.txt", corpus),
        ("tokenizer.json", tokenizer::tokenizer_json()),
        ("vocab.txt", tokenizer::vocab_txt()),
    ];
    texts
        .into_iter()
        .map(|(path, text)| GeneratedFile { relative_path: path.to_owned(), bytes: text.into_bytes() })
        .collect()
}

/// What the corpus must not contain: development sentences of the single-sentence task, and
/// development pairs in either order, joined by a tab.
fn held_out(tasks: &Tasks) -> BTreeSet<String> {
    let mut held_out: BTreeSet<String> = tasks.polarity.dev.iter().map(|e| e.sentence.clone()).collect();
    let pairs = tasks
        .entailment
        .dev
        .iter()
        .map(|e| (&e.premise, &e.hypothesis))
        .chain(tasks.similarity.dev.iter().map(|e| (&e.first, &e.second)));
    for (a, b) in pairs {
        held_out.insert(format!("{a}\t{b}"));
        held_out.insert(format!("{b}\t{a}"));
    }
    held_out
}

fn sst2_tsv(examples: &[PolarityExample]) -> String {
    let mut text = String::from("sentence\tlabel\n");
    for example in examples {
        text += &format!("{}\t{}\n", example.sentence, u8::from(example.positive));
    }
    text
}

fn rte_tsv(examples: &[EntailmentExample]) -> String {
    let mut text = String::from("index\tsentence1\tsentence2\tlabel\n");
    for (index, example) in examples.iter().enumerate() {
        let label = if example.entailed { "entailment" } else { "not_entailment" };
        text += &format!("{index}\t{}\t{}\t{label}\n", example.premise, example.hypothesis);
    }
    text
}

fn stsb_tsv(examples: &[SimilarityExample]) -> String {
    let mut text =
        String::from("index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n");
    for (index, example) in examples.iter().enumerate() {
        let (whole, thousandths) = (example.milli_score / 1000, example.milli_score % 1000);
        text += &format!(
            "{index}\tpocket\tscenes\t0\t{index}\tnone\tnone\t{}\t{}\t{whole}.{thousandths:03}\n",
            example.first, example.second
        );
    }
    text
}
