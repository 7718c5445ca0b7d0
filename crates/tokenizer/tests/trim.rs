//! Tokenizers with a part of their pieces.

use std::collections::BTreeSet;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};
use tokenizer::{Error, TextEncoder, Trimmed, WordEncoder};

mod common;

const WORD_PIECE: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
const ROBERTA: [&str; 5] = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"];

fn of(json: &Value) -> TextEncoder {
    TextEncoder::from_json(json.to_string().as_bytes(), Path::new("m/tokenizer.json")).unwrap()
}

fn added(names: &[&str], id: impl Fn(&str) -> usize) -> Vec<Value> {
    let token = |name: &&str| {
        json!({
            "id": id(name), "content": name, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true
        })
    };
    names.iter().map(token).collect()
}

/// BERT's tokenizer with these pieces behind rows that nothing uses.
fn word_piece(pieces: &BTreeSet<String>) -> TextEncoder {
    let dir = tempfile::tempdir().unwrap();
    let special = ["[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned);
    let lines: String = special.iter().chain(pieces).map(|piece| format!("{piece}\n")).collect();
    std::fs::write(dir.path().join("vocab.txt"), lines).unwrap();
    TextEncoder::from_dir(dir.path()).unwrap()
}

/// RoBERTa's tokenizer with merges that join the pieces at these places.
fn byte_level(merges: &[(usize, usize)]) -> TextEncoder {
    let mut pieces: Vec<String> = ROBERTA[..4].iter().map(|name| (*name).to_owned()).collect();
    pieces.extend(["a", "b", "c", "d", "Ġ", "Ã", "©"].map(str::to_owned));
    let (first, mut pairs) = (4, Vec::new());
    for (left, right) in merges {
        let at = |place: usize| pieces[first + place % (pieces.len() - first)].clone();
        let (left, right) = (at(*left), at(*right));
        let joined = format!("{left}{right}");
        if joined.chars().count() > 6 || pairs.contains(&json!([left, right])) {
            continue;
        }
        pairs.push(json!([left, right]));
        if !pieces.contains(&joined) {
            pieces.push(joined);
        }
    }
    pieces.push("<mask>".to_owned());
    let vocab: serde_json::Map<String, Value> = pieces.iter().zip(0..).map(|(p, id)| (p.clone(), json!(id))).collect();
    let id = |name: &str| pieces.iter().position(|piece| piece == name).unwrap();
    of(&json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "added_tokens": added(&ROBERTA, id),
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        "post_processor": {
            "type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": true, "add_prefix_space": false
        },
        "decoder": null,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "", "end_of_word_suffix": "",
            "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": pairs
        }
    }))
}

/// XLM-RoBERTa's tokenizer with these pieces and scores.
fn unigram(pieces: &[(String, f64)]) -> TextEncoder {
    let special = ROBERTA[..4].iter().map(|name| json!([name, 0.0]));
    let single = ["▁", "a", "b", "c"].map(|piece| json!([piece, -9.0]));
    let vocab: Vec<Value> = special
        .chain(single)
        .chain(pieces.iter().map(|(piece, score)| json!([piece, score])))
        .chain([json!(["<mask>", 0.0])])
        .collect();
    let id = |name: &str| vocab.iter().position(|piece| piece[0] == name).unwrap();
    let around = |id: &str| json!({ "SpecialToken": { "id": id, "type_id": 0 } });
    let text = |id: &str| json!({ "Sequence": { "id": id, "type_id": 0 } });
    of(&json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "added_tokens": added(&ROBERTA, id),
        "pre_tokenizer": { "type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true },
        "post_processor": {
            "type": "TemplateProcessing", "single": [around("<s>"), text("A"), around("</s>")],
            "pair": [around("<s>"), text("A"), around("</s>"), around("</s>"), text("B"), around("</s>")],
            "special_tokens": {
                "<s>": { "id": "<s>", "ids": [0], "tokens": ["<s>"] }, "</s>": { "id": "</s>", "ids": [2], "tokens": ["</s>"] }
            }
        },
        "decoder": null,
        "model": { "type": "Unigram", "unk_id": 3, "vocab": vocab, "byte_fallback": false }
    }))
}

fn counts(encoder: &TextEncoder, texts: &[String]) -> Vec<u64> {
    let mut counts = vec![0; encoder.vocab_size()];
    for id in texts.iter().flat_map(|text| encoder.encode_plain(text).unwrap()) {
        counts[id as usize] += 1;
    }
    counts
}

/// The ids that `ids` have in the trimmed vocabulary, where all of them are kept.
fn mapped(trimmed: &Trimmed, ids: &[u32]) -> Option<Vec<u32>> {
    let place = |id: &u32| trimmed.rows.iter().position(|row| row == id).map(|place| place as u32);
    ids.iter().map(place).collect()
}

/// What holds of every trimmed tokenizer; `None` where there is nothing to trim.
fn check(whole: &TextEncoder, training: &[String], others: &[String], least: u64) -> Option<Trimmed> {
    let trimmed = match whole.trimmed(&counts(whole, training), least) {
        Ok(trimmed) => trimmed,
        Err(Error::NothingToTrim { .. }) => return None,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(trimmed.encoder.vocab_size(), trimmed.rows.len());
    let sorted: BTreeSet<&u32> = trimmed.rows.iter().collect();
    assert!(sorted.len() == trimmed.rows.len() && trimmed.rows.len() < whole.vocab_size());
    let named = |encoder: &TextEncoder| {
        let ids = [
            Some(encoder.cls_id()),
            Some(encoder.sep_id()),
            Some(encoder.pad_id()),
            encoder.unk_id(),
            encoder.mask_id(),
        ];
        ids.into_iter().flatten().collect::<Vec<u32>>()
    };
    assert_eq!(mapped(&trimmed, &named(whole)), Some(named(&trimmed.encoder)));
    assert_eq!(trimmed.encoder.frame(), whole.frame());
    for text in training.iter().chain(others) {
        let (before, after) = (whole.encode_plain(text).unwrap(), trimmed.encoder.encode_plain(text).unwrap());
        let is_known = !before.iter().any(|id| Some(*id) == whole.unk_id());
        if let Some(expected) = mapped(&trimmed, &before).filter(|_| is_known) {
            assert_eq!(after, expected, "{text}");
        }
        let words = WordEncoder::new(&trimmed.encoder).unwrap();
        let mut cached = Vec::new();
        words.encode(text, &mut tokenizer::WordCache::default(), &mut cached).unwrap();
        assert_eq!(cached, after, "{text}");
    }
    if least == 1 {
        let known = training.iter().map(|text| whole.encode_plain(text).unwrap());
        assert!(known.into_iter().all(|ids| mapped(&trimmed, &ids).is_some()));
    }
    // What is written reads back as the same tokenizer, and no two of its files contradict each other.
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in trimmed.encoder.files(16).unwrap() {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    let read = TextEncoder::from_dir(dir.path()).unwrap();
    assert_eq!(read.notes().collect::<Vec<_>>(), Vec::<String>::new());
    for text in others {
        assert_eq!(read.encode_plain(text).unwrap(), trimmed.encoder.encode_plain(text).unwrap());
    }
    Some(trimmed)
}

fn texts(characters: &'static str) -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(characters, 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_text_of_kept_word_pieces_has_the_same_pieces_as_before(
        pieces in prop::collection::btree_set("(##)?[abcß]{1,4}", 3..40),
        training in texts("[abc ß,.]{0,20}"),
        others in texts("[abcd ß,.]{0,20}"),
        least in 1_u64..4,
    ) {
        check(&word_piece(&pieces), &training, &others, least);
    }

    #[test]
    fn a_text_of_kept_byte_level_pieces_has_the_same_pieces_as_before(
        merges in prop::collection::vec((0_usize..60, 0_usize..60), 3..40),
        training in texts("[abcdé ]{0,20}"),
        others in texts("[abcdé ]{0,20}"),
        least in 1_u64..4,
    ) {
        check(&byte_level(&merges), &training, &others, least);
    }

    #[test]
    fn a_text_of_kept_unigram_pieces_has_the_same_pieces_as_before(
        pieces in prop::collection::btree_map("▁?[abc]{2,4}", -120_i32..-10, 2..40),
        training in texts("[abc ]{0,20}"),
        others in texts("[abcd ]{0,20}"),
        least in 1_u64..4,
    ) {
        let pieces: Vec<(String, f64)> = pieces.into_iter().map(|(p, s)| (p, f64::from(s) / 10.0)).collect();
        check(&unigram(&pieces), &training, &others, least);
    }
}

#[test]
fn single_characters_of_the_texts_and_of_ascii_stay_so_that_their_words_can_be_written() {
    let pieces = ["film", "cafß", "##s", "c", "##c", "ß", "##ß", "đ", "##đ", "o", "##o", "!"];
    let whole = word_piece(&pieces.map(str::to_owned).into());
    let trimmed = check(&whole, &["cafß".to_owned()], &["cocß".to_owned(), "film".to_owned()], 1).unwrap();
    let text = |text: &str| trimmed.encoder.encode_plain(text).unwrap();
    assert_eq!(text("cocß").len(), 4);
    let unknown = vec![trimmed.encoder.unk_id().unwrap()];
    assert_eq!((text("film"), text("đ")), (unknown.clone(), unknown));
    assert_eq!((trimmed.rows.len(), trimmed.encoder.pad_id()), (5 + 9, 0));
}

#[test]
fn every_text_can_be_written_with_the_bytes_of_a_byte_level_vocabulary() {
    let whole = byte_level(&[(0, 1), (7, 2), (3, 3)]);
    let trimmed = whole.trimmed(&counts(&whole, &["abc".to_owned()]), 1).unwrap();
    assert_eq!(trimmed.rows.len(), whole.vocab_size() - 1, "`dd` alone is left out");
    assert_eq!(trimmed.encoder.encode_plain("ddé").unwrap().len(), 4);
}

#[test]
fn added_tokens_keep_their_names_and_get_the_ids_behind_the_vocabulary() {
    let dir = common::tiny_model();
    let words = std::fs::read_to_string(dir.path().join("vocab.txt")).unwrap();
    std::fs::write(dir.path().join("vocab.txt"), format!("{words}ocean\n")).unwrap();
    std::fs::write(dir.path().join("added_tokens.json"), r#"{"[NAME]": 20}"#).unwrap();
    std::fs::write(
        dir.path().join("tokenizer_config.json"),
        r#"{"tokenizer_class": "BertTokenizer", "additional_special_tokens": ["[NAME]"]}"#,
    )
    .unwrap();
    let whole = TextEncoder::from_dir(dir.path()).unwrap();
    assert_eq!(whole.encode_plain("the [NAME] ocean").unwrap(), [5, 20, 19]);
    let trimmed = check(&whole, &["the river".to_owned()], &["the [NAME] ocean".to_owned()], 1).unwrap();
    let ids = trimmed.encoder.encode_plain("the [NAME]").unwrap();
    assert_eq!(ids, [5, trimmed.rows.len() as u32 - 1]);
    assert_eq!(trimmed.rows.last(), Some(&20));
}

#[test]
fn what_cannot_be_trimmed_is_refused_with_its_file_and_the_reason() {
    let special = WORD_PIECE.map(str::to_owned);
    let nothing = word_piece(&["a".to_owned()].into());
    let all = vec![1; nothing.vocab_size()];
    let message = nothing.trimmed(&all, 1).unwrap_err().to_string();
    assert!(message.contains("vocab.txt: there is nothing to trim: the texts need all 8 pieces"), "{message}");
    let vocab: serde_json::Map<String, Value> = special.iter().zip(0..).map(|(p, id)| (p.clone(), json!(id))).collect();
    let model = |model: Value| {
        of(&json!({
            "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "added_tokens": [], "pre_tokenizer": null,
            "post_processor": null, "decoder": null, "model": model
        }))
    };
    let words = model(json!({ "type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]" }));
    let bpe = model(json!({
        "type": "BPE", "dropout": null, "unk_token": "[UNK]", "continuing_subword_prefix": null, "end_of_word_suffix": null,
        "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": []
    }));
    for (encoder, part) in
        [(words, "its model is WordLevel; WordPiece, byte-level BPE and Unigram"), (bpe, "not byte-level")]
    {
        let message = encoder.trimmed(&[], 1).unwrap_err().to_string();
        assert!(
            message.starts_with("m/tokenizer.json: its vocabulary cannot be trimmed") && message.contains(part),
            "{message}"
        );
    }
}
