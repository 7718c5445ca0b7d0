//! Masked-language modeling: shares, words, and streams that depend on nothing but their key.

mod common;

use std::path::Path;

use common::{byte_level, documents, encoder, pack, sequences, small, write_plain};
use corpus::{MaskSettings, Masked, Masker, PackSettings, SpanSettings, Vocabulary};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokenizer::TextEncoder;

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

/// SHA-256 of what is hidden of many sequences, and of the ids that stand there then.
fn digest(settings: MaskSettings, encoder: &TextEncoder) -> String {
    let masker = Masker::new(settings, Vocabulary::of(encoder).unwrap()).unwrap();
    let mut bytes = Vec::new();
    for sequence in 0..300_u64 {
        let text = format!("The deeper river {sequence} is abc, xyz deep. ").repeat(1 + sequence as usize % 7);
        let words = encoder.encode_plain(&text).unwrap();
        let mut ids = [&[encoder.cls_id()][..], &words, &[encoder.sep_id()]].concat();
        for masked in masker.mask_dynamic(&mut ids, 7, sequence % 3, sequence) {
            bytes.extend(masked.position.to_le_bytes());
            bytes.extend(masked.id.to_le_bytes());
        }
        ids.iter().for_each(|id| bytes.extend(id.to_le_bytes()));
    }
    run_store::hash::bytes(bytes)
}

/// The values are those of the version in which these settings were all there were.
#[test]
fn masks_of_earlier_versions_stay_as_they_were() {
    let default = MaskSettings::default;
    for (settings, encoder, wanted) in [
        (default(), encoder(), "ee4b6440f5a4cb02f7848582add581a6e52a6c8021967aaeffd9190c91b603bd"),
        (
            MaskSettings { probability: 0.3, ..default() },
            encoder(),
            "022e1b04d45f47ae8c0e42ef44ab84d71f4bac0b0be67c70ce5e4040dce9fc57",
        ),
        (
            MaskSettings { whole_words: true, ..default() },
            encoder(),
            "37b01b2aa57dbb138e7b33d9fb8e0ed29b3b6d620c11ed67b975dc96a61cee2d",
        ),
        (
            MaskSettings {
                probability: 0.3,
                whole_words: true,
                max_predictions: Some(9),
                random: 0.3,
                keep: 0.0,
                ..default()
            },
            encoder(),
            "e3dc2f50b25cc042e36d3eac24145cebf7d60d508097612cb30b1c0eb8e44257",
        ),
        (
            MaskSettings { max_predictions: Some(5), ..default() },
            byte_level(),
            "bfa1f017eb85979c70f149cc7fab766dae008b8a367b56bd4a22f64fc90ae1f9",
        ),
    ] {
        assert_eq!(digest(settings.clone(), &encoder), wanted, "{settings:?}");
    }
    assert!(!serde_json::to_string(&default()).unwrap().contains("spans"), "keys of packed shards depend on it");
}

/// A tokenizer of a `tokenizer.json` with this model and splitter, whose special tokens are the first five pieces.
fn tokenizer_of(model: Value, splitter: Value) -> TextEncoder {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let added = special.iter().enumerate().map(|(id, name)| {
        json!({"id": id, "content": name, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true})
    });
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added.collect::<Vec<_>>(), "normalizer": null,
        "pre_tokenizer": splitter, "post_processor": null, "decoder": null, "model": model,
    });
    TextEncoder::from_json(file.to_string().as_bytes(), Path::new("tokenizer.json")).unwrap()
}

const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

fn unigram(pieces: &[&str]) -> TextEncoder {
    let pieces: Vec<Value> = SPECIAL.iter().chain(pieces).map(|piece| json!([piece, -1.0])).collect();
    let splitter = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true});
    tokenizer_of(json!({"type": "Unigram", "unk_id": 1, "vocab": pieces, "byte_fallback": false}), splitter)
}

fn bytes(pieces: &[&str], splitter: Value) -> TextEncoder {
    let vocab: serde_json::Map<_, _> =
        SPECIAL.iter().chain(pieces).enumerate().map(|(id, piece)| ((*piece).to_owned(), id.into())).collect();
    let model = json!({
        "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
        "fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": vocab, "merges": [],
    });
    tokenizer_of(model, splitter)
}

#[test]
fn marks_of_the_begin_of_words_tell_which_tokens_continue_them() {
    let level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let continues = |encoder: &TextEncoder, count: u32| {
        let vocabulary = Vocabulary::of(encoder).unwrap();
        assert!(vocabulary.marks_words());
        (0..count).map(|id| vocabulary.continues(id)).collect::<Vec<_>>()
    };
    let no = [false; 5];
    let of = |rest: &[bool]| [&no[..], rest].concat();
    let sentence_piece = unigram(&["▁the", "s", "▁", ".", "京", "ก", "▁京"]);
    assert_eq!(continues(&sentence_piece, 12), of(&[false, true, false, true, false, false, false]));
    // The first byte of a Chinese character begins a word, its others do not, and `é` in a text is two bytes, C3 and A9.
    let pieces = ["the", "Ġthe", "Ċ", ".", "ä", "º", "Ã", "äº¬"];
    let wanted = of(&[true, false, false, true, false, true, true, false]);
    assert_eq!(continues(&bytes(&pieces, level.clone()), 13), wanted);
    let split = json!({"type": "Split", "pattern": {"Regex": "\\s+"}, "behavior": "Isolated", "invert": false});
    let sequence = json!({"type": "Sequence", "pretokenizers": [split, level]});
    assert_eq!(continues(&bytes(&pieces, sequence), 13), wanted);
}

#[test]
fn tokenizers_without_marks_are_refused_for_whole_words_and_have_spans_of_tokens() {
    let encoder = bytes(&["a", "b"], json!({"type": "Whitespace"}));
    let vocabulary = Vocabulary::of(&encoder).unwrap();
    assert!(!vocabulary.marks_words());
    let whole = MaskSettings { whole_words: true, ..MaskSettings::default() };
    let message = Masker::new(whole, vocabulary.clone()).unwrap_err().to_string();
    assert!(message.contains("##") && message.contains('▁') && message.contains('Ġ'), "{message}");
    let spans = MaskSettings { spans: Some(SpanSettings::default()), ..MaskSettings::default() };
    let masker = Masker::new(spans, vocabulary).unwrap();
    let mut ids: Vec<u32> = [&[2][..], &[5; 98], &[3]].concat();
    assert_eq!(masker.mask_dynamic(&mut ids, 1, 0, 0).len(), 15);
}

#[test]
fn the_first_word_of_a_text_is_a_word_though_nothing_marks_it() {
    let encoder = byte_level();
    let settings =
        MaskSettings { whole_words: true, probability: 0.5, random: 0.0, keep: 0.0, ..MaskSettings::default() };
    let masker = Masker::new(settings, Vocabulary::of(&encoder).unwrap()).unwrap();
    let text = encoder.encode_plain("abc de f").unwrap();
    let original: Vec<u32> = [&[encoder.cls_id()][..], &text, &[encoder.sep_id()]].concat();
    // `abc`, ` de` and ` f`, each whole or not at all.
    let words = [1..4, 4..7, 7..9];
    let mut seen = [0; 3];
    for sequence in 0..100 {
        let mut ids = original.clone();
        let masked = masker.mask_dynamic(&mut ids, 3, 0, sequence);
        for (word, seen) in words.iter().zip(&mut seen) {
            let hidden = masked.iter().filter(|m| word.contains(&usize::from(m.position))).count();
            assert!(hidden == 0 || hidden == word.len(), "{masked:?}");
            *seen += usize::from(hidden > 0);
        }
        assert!(masked.len() <= 5);
    }
    assert!(seen.iter().all(|times| *times > 10), "{seen:?}");
}

/// The share of a sequence that is to be hidden, as Python rounds it.
fn share(tokens: usize, probability: f64) -> usize {
    ((tokens as f64 * probability).round_ties_even() as usize).max(1)
}

#[test]
fn thirty_in_a_hundred_are_thirty_in_a_hundred() {
    for spans in [None, Some(SpanSettings::default())] {
        let masker = masker(MaskSettings { probability: 0.3, spans, ..MaskSettings::default() });
        for len in 3..200_usize {
            let mut ids = vec![13; len];
            (ids[0], ids[len - 1]) = (2, 3);
            let wanted = share(len, 0.3).min(len - 2);
            assert_eq!(masker.mask_dynamic(&mut ids, 1, 2, len as u64).len(), wanted, "{len} {spans:?}");
        }
    }
}

#[test]
fn lengths_of_spans_are_geometric_up_to_the_longest() {
    let settings = |p: f64, max: usize| MaskSettings {
        probability: 0.02,
        spans: Some(SpanSettings { p, max }),
        random: 0.0,
        keep: 0.0,
        ..MaskSettings::default()
    };
    let lengths = |p: f64, max: usize| {
        // One span at most is drawn before the share is reached, if that is as long as the longest span.
        let masker = masker(settings(p, max));
        let mut counts = vec![0_usize; max + 1];
        for sequence in 0..20_000 {
            let mut ids = vec![13; 2002];
            (ids[0], ids[2001]) = (2, 3);
            let masked = masker.mask_dynamic(&mut ids, 4, 0, sequence);
            assert_eq!(masked.len(), 40);
            let runs = runs_of(&masked);
            // Neighboring spans look like one, and the last one is cut short: runs alone and whole tell the lengths.
            runs.iter().filter(|run| **run <= max).for_each(|run| counts[*run] += 1);
        }
        counts
    };
    let counts = lengths(1.0, 10);
    assert!(counts[1] > 20 * counts[2] && counts[3] * 20 < counts[2], "{counts:?}");
    let counts = lengths(0.2, 10);
    let total: usize = counts.iter().sum();
    for (length, count) in counts.iter().enumerate().skip(1) {
        let expected = 0.2 * 0.8_f64.powi(length as i32 - 1) / (1.0 - 0.8_f64.powi(10));
        let found = *count as f64 / total as f64;
        assert!((found - expected).abs() < 0.02, "{length}: {found} {expected}");
    }
}

/// Lengths of the runs of neighboring positions.
fn runs_of(masked: &[Masked]) -> Vec<usize> {
    masked.chunk_by(|a, b| a.position + 1 == b.position).map(<[Masked]>::len).collect()
}

#[test]
fn a_span_stays_in_its_segment_and_is_replaced_as_one() {
    let settings = MaskSettings {
        probability: 0.2,
        spans: Some(SpanSettings { p: 0.01, max: 30 }),
        random: 0.3,
        keep: 0.3,
        ..MaskSettings::default()
    };
    let masker = masker(settings);
    let (mut masks, mut kept, mut random) = (0, 0, 0);
    for sequence in 0..500 {
        let original: Vec<u32> = [&[2][..], &[5; 40], &[3], &[5; 40], &[3]].concat();
        let mut ids = original.clone();
        let masked = masker.mask_dynamic(&mut ids, 2, 0, sequence);
        assert_eq!(masked.len(), 17);
        assert!(masked.iter().all(|m| m.position != 0 && m.position != 41 && m.position != 82));
        if let [run] = runs_of(&masked)[..] {
            let there: Vec<u32> = masked.iter().map(|m| ids[usize::from(m.position)]).collect();
            assert_eq!(run, 17);
            match (there.iter().all(|id| *id == 4), there.iter().all(|id| *id == 5)) {
                (true, _) => masks += 1,
                (_, true) => kept += 1,
                _ => random += 1,
            }
        }
    }
    assert!(masks > 20 && kept > 10 && random > 10, "{masks} {kept} {random}");
}

#[test]
fn spans_out_of_range_are_refused() {
    let message = |p: f64, max: usize| {
        let settings = MaskSettings { spans: Some(SpanSettings { p, max }), ..MaskSettings::default() };
        settings.check().unwrap_err().to_string()
    };
    assert!(message(0.0, 10).contains("p of spans is 0"));
    assert!(message(f64::NAN, 10).contains("p of spans is NaN"));
    assert!(message(0.2, 0).contains("max of spans is 0"));
    let read: MaskSettings = serde_json::from_str(r#"{"spans": {"max": 3}}"#).unwrap();
    assert_eq!(read.spans, Some(SpanSettings { max: 3, ..SpanSettings::default() }));
    assert!(serde_json::from_str::<MaskSettings>(r#"{"spans": {"mean": 3}}"#).is_err());
}

proptest! {
    #[test]
    fn spans_are_whole_words_that_fill_the_share_as_far_as_words_fit(
        body in prop::collection::vec(0_u32..80, 0..80), probability in 0.0..0.6_f64, p in 0.05..1.0_f64, max in 1_usize..12,
        most in prop::option::of(1_usize..30), epoch in 0_u64..5,
    ) {
        let vocabulary = Vocabulary::of(&encoder()).unwrap();
        let spans = Some(SpanSettings { p, max });
        let settings = MaskSettings { probability, spans, max_predictions: most, ..MaskSettings::default() };
        let masker = Masker::new(settings, vocabulary.clone()).unwrap();
        let original: Vec<u32> = std::iter::once(2).chain(body).chain([3]).collect();
        let (mut ids, mut again) = (original.clone(), original.clone());
        let masked = masker.mask_dynamic(&mut ids, 9, epoch, 4);
        prop_assert_eq!(&masker.mask_dynamic(&mut again, 9, epoch, 4), &masked);
        prop_assert_eq!(&again, &ids);
        let wanted = share(original.len(), probability).min(most.unwrap_or(usize::MAX));
        prop_assert!(masked.len() <= wanted);
        let mut hidden = vec![false; original.len()];
        for m in &masked {
            let at = usize::from(m.position);
            prop_assert!(!hidden[at] && !vocabulary.is_frame(m.id) && m.id == original[at]);
            hidden[at] = true;
        }
        prop_assert!((0..ids.len()).all(|at| hidden[at] || ids[at] == original[at]));
        // Words: whole or not at all, and none that would still fit stays.
        let mut at = 0;
        while at < original.len() {
            if vocabulary.is_frame(original[at]) {
                at += 1;
                continue;
            }
            let rest = original[at + 1..].iter().take_while(|id| !vocabulary.is_frame(**id) && vocabulary.continues(**id));
            let end = at + 1 + rest.count();
            let first = hidden[at];
            prop_assert!(hidden[at..end].iter().all(|one| *one == first));
            prop_assert!(first || masked.len() + (end - at) > wanted);
            at = end;
        }
    }
}
