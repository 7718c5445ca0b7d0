//! How often each piece of a vocabulary stands in text files.

use std::path::PathBuf;

use rayon::prelude::*;
use tokenizer::{TextEncoder, WordCache, WordEncoder};

use crate::error::{Error, Result};
use crate::text::Documents;

/// The number of each piece in text files, by its id; `None` once `is_stopped` says so. Files are read side by side, a document at a
/// time.
///
/// # Errors
/// No files, one that cannot be read or is no text, or files without any text.
pub fn piece_counts(
    encoder: &TextEncoder,
    files: &[PathBuf],
    is_stopped: impl Fn() -> bool + Sync,
) -> Result<Option<Vec<u64>>> {
    let Some(first) = files.first() else {
        return Err(Error::Settings("a corpus needs at least one text file".to_owned()));
    };
    let words = WordEncoder::new(encoder)?;
    let of_file = |path: &PathBuf| -> Result<Vec<u64>> {
        let (mut counts, mut cache, mut ids) = (vec![0_u64; encoder.vocab_size()], WordCache::default(), Vec::new());
        let mut documents = Documents::open(path)?;
        while let Some(sentences) = documents.next_document()? {
            if is_stopped() {
                break;
            }
            for sentence in &sentences {
                ids.clear();
                words.encode(sentence, &mut cache, &mut ids)?;
                ids.iter().for_each(|id| counts[*id as usize] += 1);
            }
        }
        Ok(counts)
    };
    let sum = |mut all: Vec<u64>, one: Vec<u64>| {
        all.iter_mut().zip(one).for_each(|(sum, count)| *sum += count);
        all
    };
    let none = || vec![0; encoder.vocab_size()];
    let counts: Vec<u64> = files.par_iter().map(of_file).try_reduce(none, |all, one| Ok(sum(all, one)))?;
    match counts.iter().any(|count| *count > 0) {
        _ if is_stopped() => Ok(None),
        true => Ok(Some(counts)),
        false => Err(Error::Empty { path: first.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_counted_over_all_files_and_their_documents() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(dir.path().join(name), text).unwrap();
            dir.path().join(name)
        };
        write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\nthe\nriver\nlake\n.\n");
        let encoder = TextEncoder::from_dir(dir.path()).unwrap();
        let files = [write("a.txt", "The river.\n\nThe lake.\n"), write("b.txt", "the ocean\n"), write("c.txt", "\n")];
        let counts = piece_counts(&encoder, &files, || false).unwrap();
        assert_eq!(counts, Some(vec![0, 1, 0, 0, 3, 1, 1, 2]));
        assert_eq!(piece_counts(&encoder, &files, || true).unwrap(), None);
        let message = piece_counts(&encoder, &files[2..], || false).unwrap_err().to_string();
        assert!(message.contains("c.txt"), "{message}");
        assert!(piece_counts(&encoder, &[], || false).is_err());
    }
}
