//! Batches out of shards.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::{documents, encoder, pack, sequences, small, write_plain};
use corpus::{IGNORED, Loader, LoaderSettings, MaskSettings, PackSettings, Prefetch, Shards, Vocabulary, WindowPlan};

struct Packed(tempfile::TempDir);

impl Packed {
    fn new(settings: PackSettings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let input = write_plain(&dir.path().join("a.txt"), &documents(0, 150));
        pack(&[input], &small(settings), &dir.path().join("out"), 2).unwrap();
        Self(dir)
    }

    fn shards(&self) -> Shards {
        Shards::open(&self.0.path().join("out")).unwrap()
    }

    fn loader(&self, masking: Option<MaskSettings>) -> Arc<Loader> {
        let shards = self.shards();
        let plan = WindowPlan::new(shards.len(), 8, 3).unwrap().with_window(10).unwrap();
        let vocabulary = Vocabulary::of(&encoder()).unwrap();
        let settings = LoaderSettings { masking, ..LoaderSettings::default() };
        Arc::new(Loader::new(shards, plan, Some(&vocabulary), &settings).unwrap())
    }
}

#[test]
fn an_epoch_holds_every_sequence_once_with_its_tokens() {
    let packed = Packed::new(PackSettings::default());
    let loader = packed.loader(None);
    let all = sequences(&packed.0.path().join("out"));
    let mut seen = BTreeSet::new();
    let (mut real, mut padded) = (0, 0);
    for batch in loader.batches(0, Some(loader.batches_per_epoch()), Prefetch::default()).unwrap() {
        let batch = batch.unwrap();
        assert!(batch.labels.is_none());
        for (row, number) in batch.numbers.iter().enumerate() {
            assert!(seen.insert(*number));
            let sequence = &all[*number as usize];
            let ids = &batch.tokens.ids[row * batch.tokens.seq..][..batch.tokens.seq];
            let (tokens, padding) = ids.split_at(sequence.ids.len());
            assert!(tokens.iter().zip(&sequence.ids).all(|(a, b)| *a == *b as i32) && padding.iter().all(|p| *p == 0));
            assert_eq!(batch.next[row], sequence.next);
        }
        real += batch.tokens.tokens();
        padded += batch.tokens.ids.len();
    }
    assert_eq!(seen.len(), all.len());
    assert!(real * 100 > padded * 80, "{real} of {padded} tokens are no padding");
}

#[test]
fn a_plan_for_fewer_sequences_takes_the_first_ones() {
    let packed = Packed::new(PackSettings::default());
    let plan = WindowPlan::new(10, 4, 3).unwrap();
    let loader = Loader::new(packed.shards(), plan, None, &LoaderSettings::default()).unwrap();
    let seen = (0..loader.batches_per_epoch()).flat_map(|step| loader.batch(step).unwrap().numbers);
    assert_eq!(seen.collect::<BTreeSet<_>>(), (0..10).collect());
}

#[test]
fn batches_are_the_same_for_any_number_of_threads_and_from_any_step_on() {
    let packed = Packed::new(PackSettings::default());
    let loader = packed.loader(Some(MaskSettings::default()));
    let steps = 2 * loader.batches_per_epoch();
    let wanted: Vec<_> = (0..steps).map(|step| loader.batch(step).unwrap()).collect();
    for threads in [0, 1, 4] {
        let ahead = Prefetch { threads, ahead: 5 };
        let found: Result<Vec<_>, _> = loader.batches(7, Some(steps), ahead).unwrap().collect();
        assert_eq!(found.unwrap(), wanted[7..]);
    }
    // Another epoch hides other tokens of the same sequence.
    let labels = |epoch: usize| -> BTreeSet<(u64, usize)> {
        let batches = &wanted[epoch * wanted.len() / 2..][..wanted.len() / 2];
        let rows = batches.iter().flat_map(|b| b.numbers.iter().zip(b.labels.as_ref().unwrap().chunks(b.tokens.seq)));
        rows.flat_map(|(n, row)| row.iter().enumerate().filter(|(_, l)| **l != IGNORED).map(|(at, _)| (*n, at)))
            .collect()
    };
    let (first, second) = (labels(0), labels(1));
    assert!(!first.is_empty() && first.intersection(&second).count() * 3 < first.len());
}

#[test]
fn static_masks_become_labels() {
    let packed = Packed::new(PackSettings { masking: Some(MaskSettings::default()), ..PackSettings::default() });
    let shards = packed.shards();
    let plan = WindowPlan::new(shards.len(), 4, 3).unwrap();
    let loader = Loader::new(packed.shards(), plan, None, &LoaderSettings::default()).unwrap();
    let batch = loader.batch(3).unwrap();
    let labels = batch.labels.unwrap();
    for (row, number) in batch.numbers.iter().enumerate() {
        let sequence = shards.get(*number).unwrap();
        let row = &labels[row * batch.tokens.seq..][..batch.tokens.seq];
        assert_eq!(row.iter().filter(|l| **l != IGNORED).count(), sequence.masked.len());
        assert!(sequence.masked.iter().all(|m| row[usize::from(m.position)] == m.id as i32));
    }
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let packed = Packed::new(PackSettings::default());
    let vocabulary = Vocabulary::of(&encoder()).unwrap();
    let masking = || LoaderSettings { masking: Some(MaskSettings::default()), ..LoaderSettings::default() };
    let refused = |shards: Shards, plan: u64, vocabulary: Option<&Vocabulary>, settings: &LoaderSettings| {
        let plan = WindowPlan::new(plan, 4, 3).unwrap();
        Loader::new(shards, plan, vocabulary, settings).unwrap_err().to_string()
    };
    let count = packed.shards().len();
    assert!(refused(packed.shards(), count + 1, None, &LoaderSettings::default()).contains("a plan of"));
    assert!(refused(packed.shards(), count, None, &masking()).contains("needs the vocabulary"));
    let masked = Packed::new(PackSettings { masking: Some(MaskSettings::default()), ..PackSettings::default() });
    assert!(refused(masked.shards(), masked.shards().len(), Some(&vocabulary), &masking()).contains("masked already"));
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n").unwrap();
    let other = Vocabulary::of(&tokenizer::TextEncoder::from_dir(dir.path()).unwrap()).unwrap();
    assert!(refused(packed.shards(), count, Some(&other), &masking()).contains("another tokenizer"));
}
