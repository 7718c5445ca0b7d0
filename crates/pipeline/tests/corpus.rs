//! The text of general distillation: plain files and packed shards.

use std::ops::ControlFlow;
use std::path::PathBuf;

use corpus::{Input, MANIFEST, PackSettings, build};
use pipeline::corpus::Corpus;
use pipeline::input_files::digests;
use tokenizer::TextEncoder;
use train::data::BatchSettings;

struct Pocket {
    dir: tempfile::TempDir,
    encoder: TextEncoder,
}

impl Pocket {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keep = ["corpus.txt", "tokenizer.json"];
        for file in synthetic_tasks::generate(synthetic_tasks::DEFAULT_SEED) {
            if keep.contains(&file.relative_path.as_str()) {
                std::fs::write(dir.path().join(&file.relative_path), &file.bytes).unwrap();
            }
        }
        let encoder = TextEncoder::from_dir(dir.path()).unwrap();
        Self { dir, encoder }
    }

    fn pack(&self, settings: &PackSettings) -> PathBuf {
        let out = self.dir.path().join("packed");
        let input = Input::detect(&self.dir.path().join("corpus.txt"), "text").unwrap();
        build(&[input], &self.encoder, settings, &out, 2, &|_| ControlFlow::Continue(())).unwrap();
        out
    }
}

fn settings(max_len: usize) -> BatchSettings {
    BatchSettings::new(4, max_len, 7)
}

#[test]
fn packed_text_gives_the_same_batch_for_a_step_in_any_order_and_the_first_sequences_on_request() {
    let pocket = Pocket::new();
    let out = pocket.pack(&PackSettings { max_len: 24, ..PackSettings::default() });
    let corpus = Corpus::find(std::slice::from_ref(&out)).unwrap();
    assert_eq!(corpus.max_len(), Some(24));
    let text = corpus.open(&pocket.encoder, settings(24), None).unwrap();
    let Corpus::Packed { manifest, .. } = &corpus else { panic!("{corpus:?}") };
    assert_eq!(text.batches_per_epoch(), manifest.sequences.div_ceil(4));
    let ahead: Vec<_> = (0..12).map(|step| text.batch(step).unwrap()).collect();
    for step in [11, 3, 4, 5, 0, 9] {
        assert_eq!(text.batch(step).unwrap(), ahead[step as usize], "step {step}");
    }
    let again = corpus.open(&pocket.encoder, settings(24), None).unwrap();
    assert_eq!(again.batch(8).unwrap(), ahead[8], "a resumed training goes on with the same data");
    let few = corpus.open(&pocket.encoder, settings(24), Some(6)).unwrap();
    let seen: Vec<usize> = (0..few.batches_per_epoch()).flat_map(|s| few.batch(s).unwrap().indices).collect();
    assert!(seen.len() == 6 && seen.iter().all(|number| *number < 6), "{seen:?}");
    assert!(corpus.open(&pocket.encoder, settings(24), Some(usize::MAX)).is_ok());
}

#[test]
fn shards_that_do_not_fit_the_training_are_refused_with_both_sides() {
    let pocket = Pocket::new();
    let out = pocket.pack(&PackSettings { max_len: 24, ..PackSettings::default() });
    let corpus = Corpus::find(std::slice::from_ref(&out)).unwrap();
    let message = corpus.open(&pocket.encoder, settings(32), None).unwrap_err().to_string();
    assert!(message.contains("at most 24 tokens, the training has 32"), "{message}");
    let batch = |batches| corpus.open(&pocket.encoder, batches, None).unwrap().batch(0).unwrap().indices;
    assert_ne!(
        batch(BatchSettings { length_window: 1, ..settings(24) }),
        batch(settings(24)),
        "batches of any lengths"
    );
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n").unwrap();
    let other = TextEncoder::from_dir(other.path()).unwrap();
    let message = corpus.check(&other, 24).unwrap_err().to_string();
    let size = pocket.encoder.vocab_size();
    assert!(message.contains(&format!("with {size} tokens")) && message.contains("with 6;"), "{message}");
}

#[test]
fn what_is_no_whole_packed_corpus_is_named() {
    let pocket = Pocket::new();
    let out = pocket.pack(&PackSettings::default());
    let text = pocket.dir.path().join("corpus.txt");
    let refused = |paths: &[PathBuf]| Corpus::find(paths).unwrap_err().to_string();
    assert!(refused(&[text.clone(), out.clone()]).contains("name it alone"));
    assert_eq!(Corpus::find(std::slice::from_ref(&text)).unwrap(), Corpus::Text(vec![text]));
    let digest = |corpus: &Corpus| digests(&corpus.files("corpus")).unwrap();
    let before = Corpus::find(std::slice::from_ref(&out)).unwrap();
    let was = digest(&before);
    std::fs::write(out.join(MANIFEST), std::fs::read_to_string(out.join(MANIFEST)).unwrap() + "\n").unwrap();
    assert_ne!(digest(&before), was);
    std::fs::write(out.join(MANIFEST), "{").unwrap();
    assert!(refused(std::slice::from_ref(&out)).contains(MANIFEST));
    std::fs::remove_file(out.join(MANIFEST)).unwrap();
    assert!(refused(std::slice::from_ref(&out)).contains("was not finished"));
}

#[test]
fn a_damaged_shard_ends_the_training_that_reads_it_with_its_name() {
    let pocket = Pocket::new();
    let out = pocket.pack(&PackSettings { max_len: 24, ..PackSettings::default() });
    let corpus = Corpus::find(std::slice::from_ref(&out)).unwrap();
    let Corpus::Packed { manifest, .. } = &corpus else { panic!("{corpus:?}") };
    let shard = manifest.shards[0].file.split('/').fold(out, |path, part| path.join(part));
    let mut bytes = std::fs::read(&shard).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&shard, bytes).unwrap();
    let text = corpus.open(&pocket.encoder, settings(24), None).unwrap();
    let message = text.batch(0).unwrap_err().to_string();
    let name = shard.file_name().unwrap().to_string_lossy().into_owned();
    assert!(message.contains(&name) && message.contains("SHA-256"), "{message}");
}
