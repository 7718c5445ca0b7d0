//! Tokenizers of RoBERTa and its relatives: byte-level BPE, Unigram, and the frame of their pairs.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tokenizer::{PairFrame, TextEncoder, WordEncoder, WordPieces};

/// Characters that stand for the bytes of a text in a byte-level vocabulary.
const BYTES: [&str; 12] = ["a", "b", "c", "d", ",", ".", "Ġ", "Ã", "©", "<", "m", ">"];
const MERGES: [&str; 4] = ["Ġ a", "a b", "Ġa b", "c d"];

fn vocab() -> BTreeMap<String, usize> {
    let special = ["<s>", "<pad>", "</s>", "<unk>"].map(str::to_owned);
    let joined = MERGES.iter().map(|merge| merge.replace(' ', ""));
    let pieces = special.into_iter().chain(BYTES.map(str::to_owned)).chain(joined).chain(["<mask>".to_owned()]);
    pieces.enumerate().map(|(id, piece)| (piece, id)).collect()
}

fn added(names: &[(&str, usize)]) -> Vec<Value> {
    let token = |(name, id): &(&str, usize)| {
        json!({
            "id": id, "content": name, "single_word": false, "lstrip": *name == "<mask>", "rstrip": false, "normalized": false,
            "special": true
        })
    };
    names.iter().map(token).collect()
}

/// As `transformers` writes that of `roberta-base`, in small.
fn byte_level() -> Value {
    let merges: Vec<Vec<&str>> = MERGES.iter().map(|merge| merge.split(' ').collect()).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": added(&[("<s>", 0), ("<pad>", 1), ("</s>", 2), ("<unk>", 3), ("<mask>", 20)]),
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        "post_processor": {
            "type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": true, "add_prefix_space": false
        },
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "", "end_of_word_suffix": "",
            "fuse_unk": false, "byte_fallback": false, "vocab": vocab(), "merges": merges
        }
    })
}

/// As `transformers` writes that of `xlm-roberta-base`, in small.
fn unigram() -> Value {
    let pieces = [
        ("<s>", 0.0),
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", 0.0),
        ("▁", -2.0),
        ("a", -3.0),
        ("▁ab", -1.0),
        ("b", -3.0),
        ("cd", -2.0),
        ("é", -3.0),
        ("<mask>", 0.0),
    ];
    let special = |id: &str| json!({ "SpecialToken": { "id": id, "type_id": 0 } });
    let text = |id: &str| json!({ "Sequence": { "id": id, "type_id": 0 } });
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": added(&[("<s>", 0), ("<pad>", 1), ("</s>", 2), ("<unk>", 3), ("<mask>", 10)]),
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": [
            { "type": "WhitespaceSplit" },
            { "type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true }
        ] },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [special("<s>"), text("A"), special("</s>")],
            "pair": [special("<s>"), text("A"), special("</s>"), special("</s>"), text("B"), special("</s>")],
            "special_tokens": {
                "<s>": { "id": "<s>", "ids": [0], "tokens": ["<s>"] }, "</s>": { "id": "</s>", "ids": [2], "tokens": ["</s>"] }
            }
        },
        "decoder": { "type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true },
        "model": { "type": "Unigram", "unk_id": 3, "vocab": pieces, "byte_fallback": false }
    })
}

fn folder(files: &[(&str, String)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn read(files: &[(&str, String)]) -> TextEncoder {
    TextEncoder::from_dir(folder(files).path()).unwrap()
}

fn merges() -> String {
    format!("#version: 0.2\n{}\n", MERGES.join("\n"))
}

/// What the library's own post-processor makes of a text or a pair.
fn library(file: &Value, a: &str, b: Option<&str>) -> (Vec<u32>, Vec<u32>) {
    let tokenizer = tokenizers::Tokenizer::from_bytes(file.to_string()).unwrap();
    let found = match b {
        Some(b) => tokenizer.encode((a, b), true),
        None => tokenizer.encode(a, true),
    };
    let found = found.unwrap();
    (found.get_ids().to_vec(), found.get_type_ids().to_vec())
}

#[test]
fn texts_and_pairs_are_framed_as_by_the_library() {
    for file in [byte_level(), unigram()] {
        let encoder = read(&[("tokenizer.json", file.to_string())]);
        assert_eq!(encoder.frame(), PairFrame::Roberta);
        assert_eq!(encoder.notes().count(), 0);
        for (a, b) in [("ab ab", None), ("ab", Some("cd ab")), ("", Some("é")), ("a <mask> b", Some(""))] {
            let (found, (ids, types)) = (encoder.encode_pair(a, b, 100).unwrap(), library(&file, a, b));
            assert_eq!(found.ids, ids, "{a} {b:?}");
            assert_eq!(found.type_ids.iter().map(|t| u32::from(*t)).collect::<Vec<_>>(), types, "{a} {b:?}");
            assert!(types.iter().all(|t| *t == 0));
        }
    }
}

/// The ranges of the words that spaces divide.
fn words(text: &str) -> Vec<std::ops::Range<usize>> {
    let start = |word: &str| word.as_ptr() as usize - text.as_ptr() as usize;
    text.split(' ').map(|word| start(word)..start(word) + word.len()).collect()
}

#[test]
fn the_first_token_of_each_word_is_found_whatever_the_tokenizer_makes_of_spaces() {
    let encoder = |file: Value| read(&[("tokenizer.json", file.to_string())]);
    // `ab`, `Ġ`, `cd`, `Ġab`: the space before `cd` is a token of its own, and the word's first.
    let text = "ab cd ab";
    let found = encoder(byte_level()).encode_words(text, &words(text), 10).unwrap();
    assert_eq!((found.encoded.ids.len(), found.starts), (6, vec![Some(1), Some(2), Some(4)]));
    // `▁ab`, `▁`, `cd`, `▁`, `é`.
    let text = "ab cd é";
    let found = encoder(unigram()).encode_words(text, &words(text), 10).unwrap();
    assert_eq!((found.encoded.ids.len(), found.starts), (7, vec![Some(1), Some(2), Some(4)]));
    // Both bytes of `é` are tokens; the second is no word.
    let text = "é a";
    let found = encoder(byte_level()).encode_words(text, &words(text), 10).unwrap();
    assert_eq!(found.starts, [Some(1), Some(3)]);
}

#[test]
fn special_tokens_have_robertas_names_where_nothing_names_them() {
    for (file, mask, size) in [(byte_level(), 20, 21), (unigram(), 10, 11)] {
        let bare = ("tokenizer.json", file.to_string());
        let model = ("config.json", json!({ "model_type": "roberta", "vocab_size": size }).to_string());
        let length = ("tokenizer_config.json", json!({ "model_max_length": 512 }).to_string());
        let class = json!({ "tokenizer_class": "XLMRobertaTokenizer", "cls_token": "<s>", "mask_token": "<mask>" });
        let class = ("tokenizer_config.json", class.to_string());
        for files in [vec![bare.clone()], vec![bare.clone(), model.clone(), length], vec![bare.clone(), class]] {
            let encoder = read(&files);
            let ids = (encoder.cls_id(), encoder.pad_id(), encoder.sep_id(), encoder.unk_id(), encoder.mask_id());
            assert_eq!((ids, encoder.vocab_size()), ((0, 1, 2, Some(3), Some(mask)), size));
        }
    }
}

#[test]
fn a_pair_that_is_too_long_leaves_room_for_four_special_tokens() {
    let encoder = read(&[("tokenizer.json", byte_level().to_string())]);
    let cut = encoder.encode_pair("a a a a", Some("b"), 8).unwrap();
    assert_eq!((cut.ids.len(), &cut.ids[..2], &cut.ids[4..]), (8, &[0, 4][..], &[2, 2, 5, 2][..]));
    assert!(encoder.encode_pair("a", Some("b"), 4).unwrap_err().to_string().contains("at least 5 tokens"));
    assert_eq!(encoder.encode_pair("a", None, 3).unwrap().ids, [0, 4, 2]);
}

#[test]
fn vocab_and_merges_make_the_tokenizer_that_tokenizer_json_makes() {
    let vocab_json = serde_json::to_string(&vocab()).unwrap();
    let files = [("vocab.json", vocab_json.clone()), ("merges.txt", merges())];
    let (built, whole) = (read(&files), read(&[("tokenizer.json", byte_level().to_string())]));
    assert_eq!(
        (built.frame(), built.mask_id(), built.pad_id(), built.vocab_size()),
        (PairFrame::Roberta, Some(20), 1, 21)
    );
    for text in ["ab ab cd", "a, b.", " ab", "café", "ab  ab", "<s>ab</s>", ""] {
        assert_eq!(built.encode_plain(text).unwrap(), whole.encode_plain(text).unwrap(), "{text}");
    }
    let prefixed = json!({ "add_prefix_space": true, "tokenizer_class": "RobertaTokenizerFast" });
    let prefixed = read(&[&files[..], &[("tokenizer_config.json", prefixed.to_string())]].concat());
    assert_eq!(prefixed.encode_plain("ab").unwrap(), built.encode_plain(" ab").unwrap());

    // The files of a new folder are read as the same tokenizer.
    let out = folder(&[]);
    for (name, bytes) in built.files(64).unwrap() {
        std::fs::write(out.path().join(name), bytes).unwrap();
    }
    let again = TextEncoder::from_dir(out.path()).unwrap();
    assert_eq!(
        again.encode_pair("ab cd", Some("é <mask>"), 64).unwrap(),
        built.encode_pair("ab cd", Some("é <mask>"), 64).unwrap()
    );
    assert_eq!(again.notes().collect::<Vec<_>>(), [""; 0]);
    let config: Value =
        serde_json::from_slice(&std::fs::read(out.path().join("tokenizer_config.json")).unwrap()).unwrap();
    assert_eq!((&config["cls_token"], &config["mask_token"]), (&json!("<s>"), &json!("<mask>")));
    assert_eq!(
        (&config["tokenizer_class"], &config["model_max_length"]),
        (&json!("PreTrainedTokenizerFast"), &json!(64))
    );
    assert!(!out.path().join("vocab.txt").exists());
}

#[test]
fn files_of_another_kind_and_damaged_ones_are_named() {
    let vocab_json = || ("vocab.json", serde_json::to_string(&vocab()).unwrap());
    let with_merge = |line: &str| ("merges.txt", format!("{}{line}\n", merges()));
    let class = |name: &str| ("tokenizer_config.json", json!({ "tokenizer_class": name }).to_string());
    let message = |files: &[(&str, String)]| TextEncoder::from_dir(folder(files).path()).unwrap_err().to_string();
    for (files, parts) in [
        (vec![vocab_json(), with_merge("a b c")], ["merges.txt: line 6", "`a b c` is not two pieces"]),
        (vec![vocab_json(), with_merge("a c")], ["merges.txt: line 6", "`ac` is not in vocab.json"]),
        (vec![("vocab.json", "[]".into()), with_merge("")], ["vocab.json: not a vocabulary", "one JSON object"]),
        (vec![("vocab.json", "{\"a</w>\":0}".into()), with_merge("")], ["vocab.json", "not byte-level"]),
        (vec![("vocab.json", "{\"a\":0}".into()), with_merge("")], ["vocab.json", "the `sep_token`, is missing"]),
        (
            vec![vocab_json(), with_merge(""), class("XLMTokenizer")],
            ["vocab.json: belongs to a `XLMTokenizer`", "tokenizer.json"],
        ),
        (vec![vocab_json()], ["tokenizer.json or vocab.txt is missing", "vocab.json"]),
        (
            vec![("sentencepiece.bpe.model", "x".into())],
            ["sentencepiece.bpe.model: a SentencePiece model is not read", "tokenizer.json"],
        ),
    ] {
        let message = message(&files);
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
}

#[test]
fn offsets_leave_out_the_space_that_is_part_of_a_piece() {
    for file in [byte_level(), unigram()] {
        let encoder = read(&[("tokenizer.json", file.to_string())]);
        let text = "ab ab é";
        let found = encoder.encode_with_offsets(text).unwrap();
        let words: Vec<&str> =
            found.offsets.iter().map(|(start, end)| &text[*start..*end]).filter(|word| !word.is_empty()).collect();
        assert_eq!(&words[..2], ["ab", "ab"], "{words:?}");
        assert!(words[2..].iter().all(|word| *word == "é"), "{words:?}");
        assert_eq!(found.ids, encoder.encode_plain(text).unwrap());
    }
}

#[test]
fn much_text_goes_through_the_library_and_words_are_not_replaced() {
    let encoder = read(&[("tokenizer.json", byte_level().to_string())]);
    assert!(!WordEncoder::new(&encoder).unwrap().is_fast());
    let message = WordPieces::new(encoder).unwrap_err().to_string();
    assert!(message.contains("WordPiece tokenizers only"), "{message}");
}

#[test]
fn distilberts_class_becomes_berts_in_a_new_folder() {
    let vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n".to_owned();
    for (class, written) in [("DistilBertTokenizer", "BertTokenizer"), ("DistilBertTokenizerFast", "BertTokenizerFast")]
    {
        let config = json!({ "tokenizer_class": class, "do_lower_case": true }).to_string();
        let encoder = read(&[("vocab.txt", vocab.clone()), ("tokenizer_config.json", config)]);
        assert_eq!(encoder.encode_pair("a", Some("b"), 9).unwrap().type_ids, [0, 0, 0, 1, 1]);
        let files: BTreeMap<String, Vec<u8>> = encoder.files(16).unwrap().into_iter().collect();
        let config: Value = serde_json::from_slice(&files["tokenizer_config.json"]).unwrap();
        assert_eq!(config["tokenizer_class"], written);
    }
}

#[test]
fn a_file_from_json_alone_has_its_frame_too() {
    let encoder = TextEncoder::from_json(byte_level().to_string().as_bytes(), Path::new("t.json")).unwrap();
    assert_eq!(encoder.encode_pair("a", Some("b"), 9).unwrap().ids, [0, 4, 2, 2, 5, 2]);
}
