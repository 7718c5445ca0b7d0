//! Masked-language modeling: shares, words, and streams that depend on nothing but their key.

mod common;

use common::{documents, encoder, pack, sequences, small, write_plain};
use corpus::{MaskSettings, Masker, PackSettings, Vocabulary};
use proptest::prelude::*;

fn masker(settings: MaskSettings) -> Masker {
    Masker::new(settings, Vocabulary::of(&encoder()).unwrap()).unwrap()
}

#[test]
fn of_fifteen_in_a_hundred_eight_in_ten_are_masked_one_is_random_and_one_stays() {
    let masker = masker(MaskSettings::default());
    let (mut masked, mut random, mut kept, mut tokens) = (0, 0, 0, 0);
    for sequence in 0..2000 {
        let original: Vec<u32> =
            std::iter::once(2).chain((0..98).map(|i| 13 + (i * 31 + sequence as u32) % 70)).chain([3]).collect();
        let mut ids = original.clone();
        let found = masker.mask_dynamic(&mut ids, 1, 0, sequence);
        assert_eq!(found.len(), 15);
        tokens += ids.len();
        for m in &found {
            assert_eq!(m.id, original[usize::from(m.position)]);
            match ids[usize::from(m.position)] {
                4 => masked += 1,
                id if id == m.id => kept += 1,
                _ => random += 1,
            }
        }
        let changed = (0..ids.len()).filter(|i| ids[*i] != original[*i]);
        assert!(changed.into_iter().all(|i| found.iter().any(|m| usize::from(m.position) == i)));
    }
    let share = |n: i32| f64::from(n) / (tokens as f64 * 0.15);
    let close = |n: i32, wanted: f64| (share(n) - wanted).abs() < 0.01;
    assert!(close(masked, 0.8) && close(random, 0.1) && close(kept, 0.1), "{masked} {random} {kept}");
}

#[test]
fn counts_round_as_the_reference_does_and_one_is_the_least() {
    let masker = masker(MaskSettings { max_predictions: Some(20), ..MaskSettings::default() });
    let count = |len: usize| {
        let mut ids = vec![13; len];
        ids[0] = 2;
        ids[len - 1] = 3;
        masker.mask_dynamic(&mut ids, 1, 2, 3).len()
    };
    // Python: [max(1, int(round(n * 0.15))) for n in (3, 9, 10, 30, 50, 128, 200)], at most 20.
    assert_eq!([3, 9, 10, 30, 50, 128, 200].map(count), [1, 1, 2, 4, 8, 19, 20]);
    assert!(masker.mask_dynamic(&mut [2, 3], 1, 2, 3).is_empty());
    assert!(masker.mask_dynamic(&mut [], 1, 2, 3).is_empty());
}

#[test]
fn whole_words_are_hidden_whole() {
    let encoder = encoder();
    let vocabulary = Vocabulary::of(&encoder).unwrap();
    let settings = MaskSettings { whole_words: true, random: 0.0, keep: 0.0, ..MaskSettings::default() };
    let masker = Masker::new(settings, vocabulary.clone()).unwrap();
    let text = encoder.encode_plain(&"The deeper river abc xy 123 is. ".repeat(5)).unwrap();
    let original: Vec<u32> = [&[2][..], &text, &[3]].concat();
    let mut words = 0;
    for sequence in 0..200 {
        let mut ids = original.clone();
        masker.mask_dynamic(&mut ids, 5, 0, sequence);
        for at in 1..ids.len() {
            if vocabulary.continues(original[at]) {
                assert_eq!(ids[at] == 4, ids[at - 1] == 4, "{ids:?}");
                words += usize::from(ids[at] == 4);
            }
        }
    }
    assert!(words > 500, "{words}");
}

#[test]
fn static_masks_are_in_the_shards_and_differ_between_copies() {
    let dir = tempfile::tempdir().unwrap();
    let input = write_plain(&dir.path().join("a.txt"), &documents(0, 60));
    let plain = small(PackSettings { copies: 1, ..PackSettings::default() });
    let settings = PackSettings { masking: Some(MaskSettings::default()), ..plain.clone() };
    pack(std::slice::from_ref(&input), &plain, &dir.path().join("plain"), 1).unwrap();
    pack(std::slice::from_ref(&input), &settings, &dir.path().join("masked"), 1).unwrap();
    let (plain, masked) = (sequences(&dir.path().join("plain")), sequences(&dir.path().join("masked")));
    for (plain, masked) in plain.iter().zip(&masked) {
        let mut restored = masked.ids.clone();
        assert!(!masked.masked.is_empty() && plain.masked.is_empty());
        for m in &masked.masked {
            restored[usize::from(m.position)] = m.id;
        }
        assert_eq!(restored, plain.ids);
    }
    let twice = PackSettings { copies: 2, ..settings };
    pack(&[input], &twice, &dir.path().join("twice"), 1).unwrap();
    let twice = sequences(&dir.path().join("twice"));
    assert!(twice.len() > masked.len() * 3 / 2);
    let mut ids: Vec<_> = twice.iter().map(|s| &s.ids).collect();
    ids.sort();
    ids.dedup();
    assert!(ids.len() > twice.len() * 9 / 10, "{} of {}", ids.len(), twice.len());
}

#[test]
fn vocabularies_that_cannot_be_masked_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n").unwrap();
    let encoder = tokenizer::TextEncoder::from_dir(dir.path()).unwrap();
    let vocabulary = Vocabulary::of(&encoder).unwrap();
    assert!(Masker::new(MaskSettings::default(), vocabulary).unwrap_err().to_string().contains("`[MASK]`"));
    let wrong = MaskSettings { probability: 1.5, ..MaskSettings::default() };
    assert!(
        Masker::new(wrong, Vocabulary::of(&encoder).unwrap()).unwrap_err().to_string().contains("probability is 1.5")
    );
}

proptest! {
    #[test]
    fn masking_keeps_frames_and_can_be_undone(
        body in prop::collection::vec(0_u32..80, 0..60), probability in 0.0..1.0_f64, whole_words: bool, epoch in 0_u64..5,
    ) {
        let masker = masker(MaskSettings { probability, whole_words, ..MaskSettings::default() });
        let original: Vec<u32> = std::iter::once(2).chain(body).chain([3]).collect();
        let mut ids = original.clone();
        let found = masker.mask_dynamic(&mut ids, 9, epoch, 4);
        let mut again = original.clone();
        prop_assert_eq!(&masker.mask_dynamic(&mut again, 9, epoch, 4), &found);
        prop_assert_eq!(&again, &ids);
        prop_assert!(found.windows(2).all(|w| w[0].position < w[1].position));
        for m in &found {
            prop_assert!(![0, 2, 3].contains(&m.id));
            ids[usize::from(m.position)] = m.id;
        }
        prop_assert_eq!(ids, original);
    }
}
