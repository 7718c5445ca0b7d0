//! Models that nobody has trained: what tests and measurements of speed run where no model is at hand.

use std::path::Path;

use encoder_spec::{BertConfig, Encoder, HostTensor, Parts};

use crate::{Package, Result, Tensors, write};

/// Half the width of the interval that weights are drawn from.
const WIDTH: f32 = 0.3;
/// What vocabularies of BERT begin with.
const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// All weights of a model of this configuration, with a pooler: uniform in ±0.3, around 1 where a norm scales, so that outputs of different texts
/// differ in the last layer too. They are a function of `config` and `seed`.
///
/// # Errors
/// The configuration describes no encoder.
pub fn untrained(config: &BertConfig, seed: u64) -> Result<Tensors> {
    // Marsaglia's xorshift with shifts 13, 7 and 17; its state must not be 0.
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    let mut tensor = |path: &str, shape: Vec<usize>| {
        let middle = if path.ends_with("norm.weight") { 1.0 } else { 0.0 };
        HostTensor { data: (0..shape.iter().product()).map(|_| middle + 2.0 * WIDTH * next()).collect(), shape }
    };
    let weights = Encoder::describe(config, Parts::POOLER)?.weights();
    Ok(Tensors(weights.into_iter().map(|(path, shape)| (path.clone(), tensor(&path, shape))).collect()))
}

/// Writes a model directory with weights of [`untrained`] and a vocabulary of BERT's special tokens and `words`, one row each.
/// `config.vocab_size` is set to their number.
///
/// # Errors
/// As [`untrained`] and [`write()`].
pub fn write_untrained(dir: &Path, config: BertConfig, words: &[&str], seed: u64) -> Result<()> {
    let vocabulary: String = SPECIAL.iter().chain(words).map(|word| format!("{word}\n")).collect();
    let config = BertConfig { vocab_size: SPECIAL.len() + words.len(), ..config };
    let files = [("vocab.txt".to_owned(), vocabulary.into_bytes())];
    write(dir, &config, untrained(&config, seed)?, Package { files: &files, ..Package::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_follow_from_the_seed_and_norms_scale_by_about_one() {
        let config = BertConfig::bert(9, 8, 1, 2, 16);
        let all = untrained(&config, 3).unwrap();
        assert_eq!(all.0, untrained(&config, 3).unwrap().0);
        assert_ne!(all.0, untrained(&config, 4).unwrap().0);
        for (path, tensor) in &all.0 {
            let middle = if path.ends_with("norm.weight") { 1.0 } else { 0.0 };
            assert!(tensor.data.iter().all(|value| (value - middle).abs() <= WIDTH), "{path}");
        }
        assert!(all.0.keys().any(|path| path.ends_with("norm.weight")));
    }

    #[test]
    fn a_model_without_training_is_read_as_any_other() {
        let folder = tempfile::tempdir().unwrap();
        write_untrained(folder.path(), BertConfig::bert(1, 8, 1, 2, 16), &["a", "film"], 1).unwrap();
        let read = crate::ModelDir::read(folder.path()).unwrap();
        assert_eq!(read.config.vocab_size, 7);
        assert_eq!(std::fs::read_to_string(folder.path().join("vocab.txt")).unwrap().lines().last(), Some("film"));
    }
}
