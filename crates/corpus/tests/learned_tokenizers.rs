//! Tokenizers that were learned here, read by `transformers`: the same ids, pairs, masks and lengths.
//!
//! It needs Python with transformers, which `EFFICIENTBERT_PYTHON` names; where the variable is not set, the test says so and passes.

#![allow(clippy::disallowed_methods, reason = "where Python is depends on the machine")]

mod common;

use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::documents;
use corpus::{Input, LearnSettings, TokenizerKind, learn_tokenizer};
use serde_json::{Value, json};
use tokenizer::TextEncoder;

/// Reads folders and texts, one JSON object a line, and writes what AutoTokenizer makes of them.
const SCRIPT: &str = r#"
import json, sys
from transformers import AutoTokenizer
for line in sys.stdin:
    case = json.loads(line)
    t = AutoTokenizer.from_pretrained(case["dir"])
    texts = case["texts"]
    print(json.dumps(dict(
        plain=[t(x, add_special_tokens=False)["input_ids"] for x in texts],
        pair=[t(x, y, max_length=64, truncation=True)["input_ids"] for x, y in zip(texts, texts[1:])],
        types=[list(t(x, y, max_length=64, truncation=True, return_token_type_ids=True)["token_type_ids"]) for x, y in zip(texts, texts[1:])],
        length=len(t), longest=t.model_max_length,
        special=[t.cls_token_id, t.sep_token_id, t.pad_token_id, t.unk_token_id, t.mask_token_id])))
"#;

#[test]
fn transformers_reads_learned_tokenizers_as_they_are_read_here() {
    let Some(python) = std::env::var_os("EFFICIENTBERT_PYTHON").map(PathBuf::from) else {
        test_support::skipped("EFFICIENTBERT_PYTHON is not set; `cargo xtask transformers` runs this test");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let other = "Ein Wort, two words; the café. 東京は大きい。 Москва большая.\n".repeat(5);
    std::fs::write(dir.path().join("a.txt"), format!("{}\n\n{other}", documents(0, 200).join("\n\n"))).unwrap();
    let inputs = [Input::detect(&dir.path().join("a.txt"), "text").unwrap()];
    let texts = [
        "The river 12 is deeper, lake 3 a a.",
        "  two  words\tand a café — Café!",
        "東京は大きい。Москва 123",
        "Unknown ☃ signs, Ünïcödé and e\u{301}",
        "before after",
        "",
        "a (b) c's don't [x] <s> a",
    ];
    let mut cases = Vec::new();
    for kind in [TokenizerKind::WordPiece, TokenizerKind::Unigram, TokenizerKind::Bpe] {
        for (lowercase, strip_accents) in [(true, None), (false, None), (true, Some(false)), (false, Some(true))] {
            let settings =
                LearnSettings { kind, vocab_size: 400, lowercase, strip_accents, ..LearnSettings::default() };
            let learned = learn_tokenizer(&inputs, &settings, 2, &|_| ControlFlow::Continue(())).unwrap();
            let folder = dir.path().join(cases.len().to_string());
            let files = learned.encoder.files(77).unwrap();
            let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), &bytes[..])).collect();
            run_store::folder::write(&folder, &files).unwrap();
            let mask = settings.kind.special()[4];
            let texts: Vec<String> =
                texts.iter().map(|t| t.replace("before after", &format!("before {mask} after{mask}."))).collect();
            cases.push((settings, folder, texts));
        }
    }
    let script = Command::new(python).args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut script = script.expect("Python starts");
    let mut stdin = script.stdin.take().expect("piped");
    for (_, folder, texts) in &cases {
        writeln!(stdin, "{}", json!({ "dir": folder, "texts": texts })).unwrap();
    }
    drop(stdin);
    let output = script.wait_with_output().unwrap();
    assert!(output.status.success(), "the script fails");
    let answers: Vec<Value> =
        output.stdout.split(|b| *b == b'\n').filter_map(|l| serde_json::from_slice(l).ok()).collect();
    assert_eq!(answers.len(), cases.len());
    for ((settings, folder, texts), theirs) in cases.iter().zip(answers) {
        let encoder = TextEncoder::from_dir(folder).unwrap();
        for (at, text) in texts.iter().enumerate() {
            assert_eq!(json!(encoder.encode_plain(text).unwrap()), theirs["plain"][at], "{settings:?} {text}");
        }
        // An empty second text is none to `transformers`.
        for (at, pair) in texts.windows(2).enumerate().filter(|(_, pair)| !pair[1].is_empty()) {
            let ours = encoder.encode_pair(&pair[0], Some(&pair[1]), 64).unwrap();
            assert_eq!(
                (json!(ours.ids), json!(ours.type_ids)),
                (theirs["pair"][at].clone(), theirs["types"][at].clone()),
                "{settings:?} {pair:?}"
            );
        }
        let special =
            json!([encoder.cls_id(), encoder.sep_id(), encoder.pad_id(), encoder.unk_id(), encoder.mask_id()]);
        assert_eq!((&theirs["special"], &theirs["length"]), (&special, &json!(encoder.vocab_size())), "{settings:?}");
        assert_eq!(theirs["longest"], 77);
    }
}
