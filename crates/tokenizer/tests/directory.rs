//! Folders whose files speak of one tokenizer each in its own way. All expected ids are those of `AutoTokenizer` of transformers 5.24.0
//! (tokenizers 0.23.3) on folders with these files and a `config.json` of a BERT with 40 rows.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tokenizer::TextEncoder;

const VOCABULARY: &str = "[PAD] [UNK] [CLS] [SEP] [MASK] the river The River cafe café Cafe 東 東京 京 ##京 , a ##b [ent] e <x> [new] new ] \
                          [ ent is déep deep <pad> <unk>";
const CASES: &str = "The River café Café 東京, [ent] e <x> [new] ab [SEP] déep";
const MARKS: &str = "a [ENT] [ent] x<y> <Y>café Café [new]b [mask] [MASK] <pad> <s>";

fn vocab_txt() -> String {
    VOCABULARY.split_whitespace().map(|token| format!("{token}\n")).collect()
}

/// A folder with these files beside the configuration of a BERT.
fn folder(files: &[(&str, String)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let config = json!({ "model_type": "bert", "vocab_size": 40 }).to_string();
    for (name, text) in [("config.json", config)].iter().chain(files) {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

/// The `tokenizer.json` of the vocabulary, uncased, after `change`.
fn tokenizer_json(change: impl Fn(&mut Value)) -> String {
    let dir = folder(&[("vocab.txt", vocab_txt())]);
    let bytes = TextEncoder::from_dir(dir.path()).unwrap().to_json().unwrap();
    let mut file = serde_json::from_slice(&bytes).unwrap();
    change(&mut file);
    file.to_string()
}

fn with_casing(lower: bool, accents: Option<bool>, chinese: bool) -> String {
    tokenizer_json(|file| {
        let normalizer = &mut file["normalizer"];
        normalizer["lowercase"] = lower.into();
        normalizer["strip_accents"] = accents.into();
        normalizer["handle_chinese_chars"] = chinese.into();
    })
}

fn added(content: &str, id: u32, special: bool) -> Value {
    json!({
        "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": !special,
        "special": special,
    })
}

fn with_added(tokens: &[Value]) -> String {
    tokenizer_json(|file| file["added_tokens"].as_array_mut().unwrap().extend(tokens.iter().cloned()))
}

/// `[CLS] text [SEP]` by each of the crate's ways to encode.
fn ids(encoder: &TextEncoder, text: &str) -> Vec<u32> {
    let encoded = encoder.encode_pair(text, None, usize::MAX).unwrap().ids;
    let with_offsets = encoder.encode_with_offsets(text).unwrap().ids;
    assert_eq!(encoded[1..encoded.len() - 1], with_offsets, "the library agrees");
    encoded
}

fn notes(encoder: &TextEncoder) -> Vec<String> {
    encoder.notes().collect()
}

/// Checks ids and special ids of a folder, and of one that gets its files written out, in which nothing contradicts anything.
#[track_caller]
fn check(name: &str, files: &[(&str, String)], text: &str, expected: &[u32], noted: &[&str]) {
    let dir = folder(files);
    let encoder = TextEncoder::from_dir(dir.path()).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(ids(&encoder, text), expected, "{name}");
    let notes = notes(&encoder);
    assert_eq!(notes.is_empty(), noted.is_empty(), "{name}: {notes:?}");
    for part in noted {
        assert!(notes.iter().any(|note| note.contains(part)), "{name}: `{part}` is not in {notes:?}");
    }
    let written: Vec<(String, String)> =
        encoder.files(24).unwrap().into_iter().map(|(name, bytes)| (name, String::from_utf8(bytes).unwrap())).collect();
    let named: Vec<(&str, String)> = written.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
    let again = folder(&named);
    let read = TextEncoder::from_dir(again.path()).unwrap_or_else(|e| panic!("{name}, written out: {e}"));
    assert_eq!(ids(&read, text), expected, "{name}, written out");
    assert_eq!(read.notes().collect::<Vec<_>>(), Vec::<String>::new(), "{name}, written out");
    let same =
        |one: &TextEncoder| [Some(one.pad_id()), Some(one.cls_id()), Some(one.sep_id()), one.unk_id(), one.mask_id()];
    assert_eq!(same(&read), same(&encoder), "{name}, written out");
    let files: BTreeMap<_, _> = read.files(24).unwrap().into_iter().collect();
    assert_eq!(files, encoder.files(24).unwrap().into_iter().collect(), "{name}: written twice");
    // The older files alone give the same ids.
    if !named.iter().any(|(name, text)| *name == "tokenizer_config.json" && text.contains("PreTrained")) {
        let old: Vec<_> = named.iter().filter(|(name, _)| *name != "tokenizer.json").cloned().collect();
        let old = folder(&old);
        assert_eq!(ids(&TextEncoder::from_dir(old.path()).unwrap(), text), expected, "{name}, of vocab.txt");
    }
}

/// The ids of [`CASES`] with what casing decides: the first four words, the Chinese, and the last word.
fn cased(words: [u32; 4], chinese: &[u32], last: u32) -> Vec<u32> {
    let rest = [16, 25, 26, 24, 20, 1, 1, 1, 25, 23, 24, 17, 18, 3, last, 3];
    [&[2][..], &words, chinese, &rest].concat()
}

#[test]
fn casing_that_is_said_twice_is_that_of_the_configuration() {
    let lower = cased([5, 6, 9, 9], &[12, 14], 29);
    let upper = cased([7, 8, 10, 1], &[12, 14], 28);
    let accents = cased([5, 6, 10, 10], &[12, 14], 28);
    let bare = cased([7, 8, 9, 11], &[12, 14], 29);
    let whole = cased([5, 6, 9, 9], &[13], 29);
    let (yes, no) = (Some(true), Some(false));
    type Case<'a> = (&'a str, String, Value, &'a Vec<u32>, &'a [&'a str]);
    let cases: [Case<'_>; 12] = [
        ("agreed", with_casing(false, None, true), json!({ "do_lower_case": false }), &upper, &[]),
        (
            "lower",
            with_casing(true, None, true),
            json!({ "do_lower_case": false }),
            &upper,
            &["`do_lower_case` (true, false)"],
        ),
        (
            "upper",
            with_casing(false, None, true),
            json!({ "do_lower_case": true }),
            &lower,
            &["`do_lower_case` (false, true)"],
        ),
        (
            "fast",
            with_casing(false, None, true),
            json!({ "do_lower_case": true, "tokenizer_class": "BertTokenizerFast" }),
            &lower,
            &["tokenizer_config.json is followed, as by transformers"],
        ),
        (
            "accents kept",
            with_casing(true, None, true),
            json!({ "do_lower_case": true, "strip_accents": false }),
            &accents,
            &["`strip_accents` (null, false)"],
        ),
        (
            "accents stripped",
            with_casing(true, None, true),
            json!({ "do_lower_case": false, "strip_accents": true }),
            &bare,
            &["`do_lower_case` (true, false)"],
        ),
        (
            "accents by case",
            with_casing(true, no, true),
            json!({ "do_lower_case": true, "strip_accents": null }),
            &lower,
            &["`strip_accents` (false, null)"],
        ),
        ("accents the same", with_casing(true, yes, true), json!({ "strip_accents": null }), &lower, &[]),
        (
            "chinese whole",
            with_casing(true, None, true),
            json!({ "tokenize_chinese_chars": false }),
            &whole,
            &["`tokenize_chinese_chars` (true, false)"],
        ),
        (
            "chinese apart",
            with_casing(true, None, false),
            json!({ "tokenize_chinese_chars": true }),
            &lower,
            &["`tokenize_chinese_chars` (false, true)"],
        ),
        (
            "as it is",
            with_casing(true, None, true),
            json!({ "do_lower_case": false, "tokenizer_class": "PreTrainedTokenizerFast" }),
            &lower,
            &["tokenizer.json is followed, as by the class"],
        ),
        // Here transformers lowers the case, because its default does; what is written down goes first, aloud.
        (
            "silent",
            with_casing(false, None, true),
            json!({ "model_max_length": 512 }),
            &upper,
            &["has false for `do_lower_case`", "transformers assumes true"],
        ),
    ];
    for (name, json, config, expected, noted) in cases {
        let files = [("tokenizer.json", json), ("tokenizer_config.json", config.to_string())];
        check(name, &files, CASES, expected, noted);
    }
}

#[test]
fn a_vocabulary_alone_has_the_casing_of_the_configuration() {
    for (config, expected) in [
        (json!({}), cased([5, 6, 9, 9], &[12, 14], 29)),
        (json!({ "do_lower_case": false, "tokenizer_class": "BertTokenizer" }), cased([7, 8, 10, 1], &[12, 14], 28)),
        (json!({ "strip_accents": false }), cased([5, 6, 10, 10], &[12, 14], 28)),
        (json!({ "tokenize_chinese_chars": false }), cased([5, 6, 9, 9], &[13], 29)),
    ] {
        let files = [("vocab.txt", vocab_txt()), ("tokenizer_config.json", config.to_string())];
        check(&config.to_string(), &files, CASES, &expected, &[]);
    }
    // What transformers 5 does not apply either.
    let config = json!({ "do_basic_tokenize": false, "never_split": ["café"] });
    let dir = folder(&[("vocab.txt", vocab_txt()), ("tokenizer_config.json", config.to_string())]);
    let encoder = TextEncoder::from_dir(dir.path()).unwrap();
    assert_eq!(ids(&encoder, CASES), cased([5, 6, 9, 9], &[12, 14], 29));
    assert!(
        notes(&encoder)[0].contains("`do_basic_tokenize` and `never_split` is not applied"),
        "{:?}",
        notes(&encoder)
    );
}

#[test]
fn casing_that_was_corrected_is_fast_too_and_the_same_for_every_text() {
    let files = [
        ("tokenizer.json", with_casing(true, None, true)),
        ("tokenizer_config.json", json!({ "do_lower_case": false }).to_string()),
    ];
    let (corrected, agreed) = (folder(&files), folder(&[("tokenizer.json", with_casing(false, None, true))]));
    let [one, two] = [&corrected, &agreed].map(|dir| TextEncoder::from_dir(dir.path()).unwrap());
    assert_eq!(one.to_json().unwrap(), two.to_json().unwrap());
    for text in ["The river, the River", "a [SEP] Café", "東京 The"] {
        assert_eq!(ids(&one, text), ids(&two, text), "{text}");
    }
}

/// The ids of [`MARKS`] between `[CLS]` and `[SEP]`: how `[ENT]`, `[ent]`, `<y>`, `<Y>`, `<pad>` are read, and the unknown token.
fn marked(parts: [&[u32]; 5], unknown: u32) -> Vec<u32> {
    let u = unknown;
    let [upper, lower, y, capital, pad] = parts;
    let middle = [9, 9, 25, 23, 24, u, 25, u, 24, 4];
    [&[2, 17], upper, lower, &[u], y, capital, &middle[..], pad, &[u, u, u, 3]].concat()
}

#[test]
fn added_tokens_are_not_split_wherever_they_are_listed() {
    let split: &[u32] = &[25, 26, 24];
    let unknown: &[u32] = &[1, 1, 1];
    let both = marked([&[33], &[33], &[32], &[32], unknown], 1);
    let listed = || ("added_tokens.json", json!({ "<y>": 32, "[ENT]": 33 }).to_string());
    let vocab = || ("vocab.txt", vocab_txt());
    let config = |value: Value| ("tokenizer_config.json", value.to_string());
    let map = |value: Value| ("special_tokens_map.json", value.to_string());
    check("none", &[vocab()], MARKS, &marked([split, split, unknown, unknown, unknown], 1), &[]);
    check("added_tokens.json", &[vocab(), listed()], MARKS, &both, &[]);
    check("beside tokenizer.json", &[("tokenizer.json", tokenizer_json(|_| ())), listed()], MARKS, &both, &[]);
    let additional = json!({ "additional_special_tokens": ["<y>"] });
    check("named too", &[vocab(), listed(), map(additional)], MARKS, &both, &[]);
    let gap = ("added_tokens.json", json!({ "<y>": 37, "[ENT]": 41 }).to_string());
    check(
        "with a gap",
        &[vocab(), gap],
        MARKS,
        &both,
        &["gives `<y>` the id 37, the vocabulary 32", "`[ENT]` the id 41"],
    );

    let further = marked([split, &[19], &[32], unknown, unknown], 1);
    for key in ["additional_special_tokens", "extra_special_tokens"] {
        check(key, &[vocab(), config(json!({ key: ["<y>", "[ent]"] }))], MARKS, &further, &[]);
    }
    check("map", &[vocab(), map(json!({ "additional_special_tokens": ["<y>", "[ent]"] }))], MARKS, &further, &[]);
    let known = marked([split, &[19], unknown, unknown, unknown], 1);
    // transformers 5 reads one list: the configuration's, else the map's.
    let (one, other) = (json!({ "extra_special_tokens": ["[ent]"] }), json!({ "additional_special_tokens": ["<y>"] }));
    check("two lists", &[vocab(), config(one), map(other)], MARKS, &known, &[]);
    check("of its own name", &[vocab(), config(json!({ "ent_token": "[ent]" }))], MARKS, &known, &[]);

    let decoder = json!({ "added_tokens_decoder": { "32": added("<y>", 32, false), "33": added("[ENT]", 33, true) } });
    let other = ("added_tokens.json", json!({ "café": 34 }).to_string());
    let expected = marked([&[33], split, &[32], &[32], unknown], 1);
    check("decoder", &[vocab(), config(decoder.clone()), other], MARKS, &expected, &[]);
    let json = || ("tokenizer.json", with_added(&[added("<y>", 32, false)]));
    check("both", &[json(), config(decoder)], MARKS, &expected, &[]);
    let special = json!({ "added_tokens_decoder": { "32": added("<y>", 32, true) } });
    let expected = marked([split, split, &[32], unknown, unknown], 1);
    check("found otherwise", &[json(), config(special)], MARKS, &expected, &["disagree on how `<y>` is found"]);

    // A blank line at the end counts.
    let blank = ("vocab.txt", vocab_txt() + "\n");
    let expected = marked([split, split, &[33], &[33], unknown], 1);
    check("blank", &[blank, ("added_tokens.json", json!({ "<y>": 33 }).to_string())], MARKS, &expected, &[]);
}

#[test]
fn special_tokens_have_the_names_that_the_files_give_them() {
    let split: &[u32] = &[25, 26, 24];
    let unknown: &[u32] = &[31, 31, 31];
    let named = json!({ "pad_token": "<pad>", "unk_token": "<unk>" });
    let expected = marked([split, split, unknown, unknown, &[30]], 31);
    let vocab = || ("vocab.txt", vocab_txt());
    let json = || ("tokenizer.json", tokenizer_json(|_| ()));
    let config = |value: &Value| ("tokenizer_config.json", value.to_string());
    let map = |value: &Value| ("special_tokens_map.json", value.to_string());
    let disagree: &[&str] = &["`unk_token` ([UNK], <unk>)"];
    check("configuration", &[vocab(), config(&named)], MARKS, &expected, &[]);
    check("map", &[vocab(), map(&named)], MARKS, &expected, &[]);
    check("configuration and tokenizer.json", &[json(), config(&named)], MARKS, &expected, disagree);
    check("map and tokenizer.json", &[json(), map(&named)], MARKS, &expected, disagree);
    let dir = folder(&[json(), map(&named)]);
    let encoder = TextEncoder::from_dir(dir.path()).unwrap();
    assert_eq!((encoder.pad_id(), encoder.unk_id(), encoder.cls_id()), (30, Some(31), 2));

    let padded = json!({ "pad_token": "[PAD]" });
    let expected = marked([split, split, unknown, unknown, unknown], 31);
    check("map before configuration", &[vocab(), config(&named), map(&padded)], MARKS, &expected, &[]);
    let listing = json!({ "pad_token": "<pad>", "unk_token": "<unk>", "added_tokens_decoder": {} });
    let expected = marked([split, split, unknown, unknown, &[30]], 31);
    check("not if it lists added tokens", &[vocab(), config(&listing), map(&padded)], MARKS, &expected, &[]);

    let object = json!({ "__type": "AddedToken", "content": "<x>", "lstrip": false, "normalized": false });
    let dir = folder(&[vocab(), config(&json!({ "cls_token": object }))]);
    assert_eq!(ids(&TextEncoder::from_dir(dir.path()).unwrap(), "<x> the"), [21, 21, 5, 3]);
}

#[test]
fn a_token_without_a_row_is_split_aloud_and_one_that_is_needed_is_an_error() {
    let config = |value: Value| ("tokenizer_config.json", value.to_string());
    let model = ("config.json", json!({ "model_type": "bert", "vocab_size": 32 }).to_string());
    let dir =
        folder(&[model.clone(), ("vocab.txt", vocab_txt()), config(json!({ "additional_special_tokens": ["<y>"] }))]);
    let encoder = TextEncoder::from_dir(dir.path()).unwrap();
    assert_eq!((encoder.vocab_size(), ids(&encoder, "a<y>")), (32, vec![2, 17, 1, 1, 1, 3]));
    assert!(
        notes(&encoder)[0].contains("`<y>` is neither in the vocabulary nor has the model a row"),
        "{:?}",
        notes(&encoder)
    );
    let message = |files: &[(&str, String)]| TextEncoder::from_dir(folder(files).path()).unwrap_err().to_string();
    let vocab = || ("vocab.txt", vocab_txt());
    let refused = message(&[model, vocab(), config(json!({ "cls_token": "<s>" }))]);
    assert!(refused.contains("`<s>`, the `cls_token`, is missing"), "{refused}");
    for (file, text, parts) in [
        (
            "tokenizer_config.json",
            "{\"do_lower_case\": \"false\"}",
            &["do_lower_case", "false", "allowed: true, false"][..],
        ),
        ("tokenizer_config.json", "{\"added_tokens_decoder\": {\"x\": \"y\"}}", &["added_tokens_decoder", "`x`"]),
        (
            "tokenizer_config.json",
            "{\"tokenizer_class\": \"BertJapaneseTokenizer\"}",
            &["vocab.txt", "BertJapaneseTokenizer"],
        ),
        ("added_tokens.json", "{\"<y>\": \"32\"}", &["added_tokens.json", "<y>", "whole number"]),
        ("special_tokens_map.json", "[]", &["special_tokens_map.json", "JSON object"]),
    ] {
        let refused = message(&[vocab(), (file, text.to_owned())]);
        assert!(parts.iter().all(|part| refused.contains(part)), "{refused}");
    }
    let holes = vocab_txt().replace("[ent]\n", "\n").replace("<x>\n", "\n");
    let refused = message(&[("vocab.txt", holes), ("added_tokens.json", json!({ "<y>": 32 }).to_string())]);
    assert!(refused.contains("blank lines"), "{refused}");
}

#[test]
fn a_folder_that_is_written_has_all_that_other_readers_look_for() {
    let read = |dir: &Path, positions: usize| -> BTreeMap<String, String> {
        let files = TextEncoder::from_dir(dir).unwrap().files(positions).unwrap();
        files.into_iter().map(|(name, bytes)| (name, String::from_utf8(bytes).unwrap())).collect()
    };
    let value = |files: &BTreeMap<String, String>, name: &str| serde_json::from_str::<Value>(&files[name]).unwrap();
    let dir = folder(&[("tokenizer.json", with_casing(false, None, true))]);
    let files = read(dir.path(), 24);
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(names, ["special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"]);
    assert_eq!(files["vocab.txt"], vocab_txt());
    let tokens = json!({
        "cls_token": "[CLS]", "mask_token": "[MASK]", "pad_token": "[PAD]", "sep_token": "[SEP]", "unk_token": "[UNK]",
    });
    assert_eq!(value(&files, "special_tokens_map.json"), tokens);
    let mut config = json!({
        "tokenizer_class": "BertTokenizer", "do_lower_case": false, "strip_accents": null, "tokenize_chinese_chars": true,
        "model_max_length": 24,
    });
    config.as_object_mut().unwrap().extend(tokens.as_object().unwrap().clone());
    assert_eq!(value(&files, "tokenizer_config.json"), config);

    // What agrees keeps its bytes; a length that no model has is that of the model.
    let own = format!("{:#}", {
        config["model_max_length"] = 512.into();
        config["name"] = "kept".into();
        config
    });
    let json = with_casing(false, None, true).replace(':', ": ");
    let dir = folder(&[("tokenizer.json", json.clone()), ("tokenizer_config.json", own.clone())]);
    let files = read(dir.path(), 512);
    assert_eq!((&files["tokenizer.json"], &files["tokenizer_config.json"]), (&json, &own));
    assert_eq!(value(&read(dir.path(), 128), "tokenizer_config.json")["model_max_length"], 128);
    let endless = own.replace("512", "1000000000000000019884624838656");
    std::fs::write(dir.path().join("tokenizer_config.json"), endless).unwrap();
    let config = value(&read(dir.path(), 512), "tokenizer_config.json");
    assert_eq!((&config["model_max_length"], &config["name"]), (&json!(512), &json!("kept")));

    // Tokens behind the vocabulary are listed for readers of vocab.txt; a tokenizer of another kind is read as it is.
    let dir = folder(&[("tokenizer.json", with_added(&[added("<y>", 32, true)]))]);
    assert_eq!(value(&read(dir.path(), 24), "added_tokens.json"), json!({ "<y>": 32 }));
    let other = tokenizer_json(|file| file["pre_tokenizer"] = json!({ "type": "WhitespaceSplit" }));
    let dir = folder(&[("tokenizer.json", other)]);
    assert_eq!(value(&read(dir.path(), 24), "tokenizer_config.json")["tokenizer_class"], "PreTrainedTokenizerFast");
}
