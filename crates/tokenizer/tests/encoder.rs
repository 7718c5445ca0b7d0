//! The tokenizer wrapper.

mod common;

use std::path::Path;

use proptest::prelude::*;
use tokenizer::TextEncoder;

#[test]
fn a_vocabulary_alone_gives_a_bert_tokenizer() {
    let dir = common::tiny_model();
    let encoder = TextEncoder::from_dir(dir.path()).unwrap();
    assert_eq!(
        (encoder.vocab_size(), encoder.pad_id(), encoder.cls_id(), encoder.sep_id(), encoder.unk_id()),
        (19, 0, 2, 3, Some(1))
    );
    assert_eq!(encoder.encode_plain("The RIVER is deeper!").unwrap(), [5, 6, 8, 9, 10, 1]);
    let pair = encoder.encode_pair("the lake.", Some("is deep?"), 16).unwrap();
    assert_eq!(pair.ids, [2, 5, 7, 11, 3, 8, 9, 12, 3]);
    assert_eq!(pair.type_ids, [0, 0, 0, 0, 0, 1, 1, 1, 1]);
    let cut = encoder.encode_pair("a b c d e f", Some("the lake"), 8).unwrap();
    assert_eq!(cut.ids, [2, 13, 14, 15, 3, 5, 7, 3]);
    assert_eq!(encoder.encode_pair("a b c", None, 4).unwrap().ids, [2, 13, 14, 3]);
    assert!(encoder.encode_pair("a", Some("b"), 3).unwrap_err().to_string().contains("maximum length 3"));
}

#[test]
fn casing_follows_the_tokenizer_configuration() {
    let dir = common::tiny_model();
    std::fs::write(dir.path().join("tokenizer_config.json"), r#"{"do_lower_case": false, "model_max_length": 512}"#)
        .unwrap();
    assert_eq!(TextEncoder::from_dir(dir.path()).unwrap().encode_plain("The river").unwrap(), [1, 6]);
    std::fs::write(dir.path().join("tokenizer_config.json"), "{").unwrap();
    assert!(TextEncoder::from_dir(dir.path()).unwrap_err().to_string().contains("tokenizer_config.json"));
}

#[test]
fn a_saved_tokenizer_is_the_same_tokenizer() {
    let dir = common::tiny_model();
    let encoder = TextEncoder::from_dir(dir.path()).unwrap();
    let out = tempfile::tempdir().unwrap();
    std::fs::write(out.path().join("tokenizer.json"), encoder.to_json().unwrap()).unwrap();
    let again = TextEncoder::from_dir(out.path()).unwrap();
    let text = "The river [SEP] is déeper, a lake?";
    assert_eq!(again.encode_plain(text).unwrap(), encoder.encode_plain(text).unwrap());
    assert_eq!(again.vocab_size(), encoder.vocab_size());
    assert_eq!(again.to_json().unwrap(), encoder.to_json().unwrap());
}

#[test]
fn folders_without_a_usable_tokenizer_are_refused() {
    let message = |path: &Path| TextEncoder::from_dir(path).unwrap_err().to_string();
    let dir = tempfile::tempdir().unwrap();
    assert!(message(&dir.path().join("none")).contains("no such folder"));
    std::fs::write(dir.path().join("config.json"), "{}").unwrap();
    let text = message(dir.path());
    assert!(text.contains("tokenizer.json or vocab.txt") && text.contains("config.json"), "{text}");
    std::fs::write(dir.path().join("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\nthe\n").unwrap();
    assert!(message(dir.path()).contains("`[SEP]` is missing"));
    std::fs::write(dir.path().join("vocab.txt"), "[PAD]\nthe\nthe\n").unwrap();
    assert!(message(dir.path()).contains("line 3 repeats the token `the` of line 2"));
    std::fs::write(dir.path().join("tokenizer.json"), "{}").unwrap();
    assert!(message(dir.path()).contains("tokenizer.json: not a tokenizer file"));
}

#[test]
fn a_wild_token_id_is_refused() {
    let dir = common::tiny_model();
    let json = String::from_utf8(TextEncoder::from_dir(dir.path()).unwrap().to_json().unwrap()).unwrap();
    let wild = json.replace("\"river\":6", "\"river\":4000000000");
    assert_ne!(wild, json);
    let message = TextEncoder::from_json(wild.as_bytes(), Path::new("t.json")).unwrap_err().to_string();
    assert!(message.contains("token id 4000000000 is too large"), "{message}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_tokenizer_files_never_panic(changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..4)) {
        let dir = common::tiny_model();
        let mut json = TextEncoder::from_dir(dir.path()).unwrap().to_json().unwrap();
        for (place, byte) in changes {
            let at = usize::from(place) % json.len();
            json[at] = byte;
        }
        if let Ok(encoder) = TextEncoder::from_json(&json, Path::new("t.json")) {
            let _ = encoder.encode_pair("The river, déep?", Some("[CLS] a"), 12).map(|e| assert!(e.ids.len() <= 12));
            same_as_library(&encoder, "The river is deeper, a [SEP]b! ##er");
        }
    }

    #[test]
    fn any_text_fits_the_maximum_length(a in ".{0,60}", b in proptest::option::of(".{0,60}"), max_len in 4..24_usize) {
        let dir = common::tiny_model();
        let encoder = TextEncoder::from_dir(dir.path()).unwrap();
        let encoded = encoder.encode_pair(&a, b.as_deref(), max_len).unwrap();
        prop_assert!(encoded.ids.len() <= max_len && encoded.ids.len() == encoded.type_ids.len());
        prop_assert_eq!(encoded.type_ids.contains(&1), b.is_some());
    }
}

/// Offsets are always the library's, so these ids are too. A file that was accepted is one that the library accepts.
fn same_as_library(encoder: &TextEncoder, text: &str) {
    match (encoder.encode_plain(text), encoder.encode_with_offsets(text)) {
        (Ok(ids), Ok(with_offsets)) => assert_eq!(ids, with_offsets.ids, "{text}"),
        (Err(_), Err(error)) => assert!(error.to_string().contains("cannot encode"), "{error}"),
        (ids, library) => panic!("{text}: {ids:?}, by the library {library:?}"),
    }
}

#[test]
fn files_that_are_nearly_a_plain_tokenizer_are_what_the_library_makes_of_them() {
    let dir = common::tiny_model();
    let json = String::from_utf8(TextEncoder::from_dir(dir.path()).unwrap().to_json().unwrap()).unwrap();
    let cut = |from: &str, to: &str| {
        let start = json.find(from).unwrap_or_else(|| panic!("{from} in {json}"));
        let end = start + json[start..].find(to).unwrap();
        format!("{}{}", &json[..start], &json[end..])
    };
    let put = |before: &str, text: &str| {
        assert!(json.contains(before), "{before} in {json}");
        json.replacen(before, &format!("{text}{before}"), 1)
    };
    let changed = |from: &str, to: &str| {
        assert!(json.contains(from), "{from} in {json}");
        json.replace(from, to)
    };
    let files = [
        json.clone(),
        cut("\"version\"", "\"truncation\""),
        cut("\"padding\"", "\"added_tokens\""),
        cut("\"normalizer\"", "\"pre_tokenizer\""),
        cut("\"strip_accents\"", "\"lowercase\""),
        cut("\"clean_text\"", "\"handle_chinese"),
        cut("\"unk_token\"", "\"continuing"),
        cut("\"post_processor\"", "\"decoder\""),
        put("\"padding\"", "\"speed\":3,"),
        put("\"unk_token\"", "\"speed\":3,"),
        put("\"padding\"", "\"version\":\"2.0\","),
        put("\"river\"", "\"river\":5,"),
        put("\"river\"", "\"\":5,"),
        put("\"river\"", "\"[NEW]\":18,"),
        changed("\"version\":\"1.0\"", "\"version\":\"1.1\""),
        changed("\"strip_accents\":null", "\"strip_accents\":3"),
        changed("\"lowercase\":true", "\"lowercase\":false"),
        changed("\"clean_text\":true", "\"clean_text\":false"),
        changed("\"[UNK]\"", "\"[unk]\""),
        changed("\"prefix\":\"##\"", "\"prefix\":4"),
        changed("\"continuing_subword_prefix\":\"##\"", "\"continuing_subword_prefix\":\"\""),
        changed("\"continuing_subword_prefix\":\"##\"", "\"continuing_subword_prefix\":\"#\""),
        changed("\"max_input_chars_per_word\":100", "\"max_input_chars_per_word\":0"),
        changed("\"max_input_chars_per_word\":100", "\"max_input_chars_per_word\":4"),
        changed("\"padding\":null", "\"padding\":{}"),
        changed("\"id\":2,", "\"id\":40,"),
        changed("\"single_word\":false", "\"single_word\":true"),
        changed("\"normalized\":false", "\"normalized\":true"),
        format!("{json}}}"),
        format!(" {json}\n"),
    ];
    for (number, file) in files.iter().enumerate() {
        let library = tokenizers::Tokenizer::from_bytes(file).map_err(|e| e.to_string());
        match TextEncoder::from_json(file.as_bytes(), Path::new("t.json")) {
            Ok(encoder) => {
                let library = library.unwrap_or_else(|e| panic!("file {number} is accepted here: {e}"));
                assert_eq!(encoder.vocab_size() as u32, library.get_vocab(true).into_values().max().unwrap() + 1);
                let ids = [encoder.cls_id(), encoder.sep_id(), encoder.pad_id()].map(Some);
                assert_eq!(ids, ["[CLS]", "[SEP]", "[PAD]"].map(|t| library.token_to_id(t)), "file {number}");
                for text in
                    ["The RIVER is deeper, a [SEP]b! x##er", "lakes [CLS]a river.", "é a\u{301} ’b’", "##er 東 [NEW]"]
                {
                    same_as_library(&encoder, text);
                }
            }
            Err(error) => {
                let reason = library.err().unwrap_or_else(|| panic!("file {number} is refused here: {error}"));
                assert!(error.to_string().contains(reason.get(..12).unwrap_or(&reason)), "{error}: {reason}");
            }
        }
    }
}

#[test]
fn real_sentences_give_the_ids_of_the_library() {
    let (Some(model), Some(data)) = (common::shared("models/minilm-l6-h384-uncased"), common::shared("data/glue"))
    else {
        return;
    };
    let encoder = TextEncoder::from_dir(&model).unwrap();
    let mut lines = 0;
    for task in std::fs::read_dir(data).unwrap() {
        let path = task.unwrap().path().join("dev.tsv");
        let Ok(text) = std::fs::read_to_string(path) else { continue };
        for line in text.lines().take(400) {
            same_as_library(&encoder, line);
            lines += 1;
        }
    }
    println!("{lines} lines compared");
    assert!(lines > 100);
}

/// An int32 tensor of a safetensors file: 8 bytes of header length, a JSON header, data.
fn int_tensor(bytes: &[u8], name: &str) -> Vec<i32> {
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let json: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    assert_eq!(json[name]["dtype"], "I32");
    let offset = |at: usize| 8 + header + json[name]["data_offsets"][at].as_u64().unwrap() as usize;
    bytes[offset(0)..offset(1)].chunks(4).map(|b| i32::from_le_bytes(b.try_into().unwrap())).collect()
}

#[test]
fn ids_equal_those_of_transformers_for_minilm() {
    let (Some(model), Some(golden)) =
        (common::shared("models/minilm-l6-h384-uncased"), common::shared("golden/minilm-hf.json"))
    else {
        return;
    };
    let texts: serde_json::Value = serde_json::from_slice(&std::fs::read(&golden).unwrap()).unwrap();
    let tensors = std::fs::read(golden.with_extension("safetensors")).unwrap();
    let (ids, types) = (int_tensor(&tensors, "input_ids"), int_tensor(&tensors, "token_type_ids"));
    let mask = int_tensor(&tensors, "attention_mask");
    let texts = texts["texts"].as_array().unwrap();
    let width = ids.len() / texts.len();
    // The same vocabulary read from vocab.txt must give the same ids.
    let vocab_only = tempfile::tempdir().unwrap();
    for file in ["vocab.txt", "tokenizer_config.json"] {
        std::fs::copy(model.join(file), vocab_only.path().join(file)).unwrap();
    }
    for dir in [model.as_path(), vocab_only.path()] {
        let encoder = TextEncoder::from_dir(dir).unwrap();
        assert_eq!(encoder.vocab_size(), 30_522);
        for (row, text) in texts.iter().enumerate() {
            let encoded = encoder.encode_pair(text[0].as_str().unwrap(), text[1].as_str(), 128).unwrap();
            let real: usize = mask[row * width..(row + 1) * width].iter().map(|m| *m as usize).sum();
            let range = row * width..row * width + real;
            assert_eq!(encoded.ids.iter().map(|id| *id as i32).collect::<Vec<_>>(), ids[range.clone()], "{text}");
            assert_eq!(encoded.type_ids.iter().map(|t| i32::from(*t)).collect::<Vec<_>>(), types[range], "{text}");
        }
    }
}
