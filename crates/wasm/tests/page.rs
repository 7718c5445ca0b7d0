//! What a page asks and is told, without a browser; `tests/page.mjs` has the page in one.

use std::path::Path;

use efficientbert_wasm::Page;
use encoder_spec::{BertConfig, TaskHeadConfig, TaskHeadKind};
use runtime::{Input, Precision, Runtime, Settings, pack};

/// A packed model directory with made-up weights.
fn packed(folder: &Path) {
    let head = TaskHeadConfig::new("films", TaskHeadKind::Classification, vec!["bad".into(), "good".into()]);
    let config = BertConfig { task_heads: vec![head], ..BertConfig::bert(8, 16, 2, 2, 32) };
    model_dir::write_untrained(&folder.join("model"), config, &["a", "quiet", "film"], 1).unwrap();
    pack(&folder.join("model"), &folder.join("small")).unwrap();
}

#[test]
fn a_page_answers_as_the_runtime_and_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    packed(folder.path());
    let small = folder.path().join("small");
    let mut page = Page::new();
    assert!(!page.answer(br#"{"texts": []}"#) && page.said() == "there is no model yet");
    for (number, name) in ["config.json", "model.safetensors", "tokenizer.json"].into_iter().enumerate() {
        assert!(!page.load("int8") && page.said().contains("is missing"), "{}", page.said());
        for (number, name) in ["config.json", "model.safetensors", "tokenizer.json"].iter().enumerate().take(number + 1)
        {
            page.give(number, std::fs::read(small.join(name)).unwrap());
        }
        page.give(3, name.into());
    }
    assert!(page.load("int8"), "{}", page.said());
    assert!(page.said().contains(r#""labels":["bad","good"]"#), "{}", page.said());

    let runtime = Runtime::load(&small, Settings { precision: Precision::Int8, ..Settings::default() }).unwrap();
    let inputs = [Input::from("a quiet film"), Input::from(("film", "a film"))];
    assert!(page.answer(br#"{"texts": ["a quiet film", "film"], "pairs": [null, "a film"], "task": "films"}"#));
    assert_eq!(page.said(), serde_json::to_string(&runtime.answers(&inputs, Some("films")).unwrap()).unwrap());
    for (question, wrong) in [
        (&br#"{"texts": ["a"], "pairs": []}"#[..], "as many pairs"),
        (br#"{"texts": ["a"], "task": "other"}"#, "films"),
        (br#"{"text": "a"}"#, "texts"),
        (b"\xff", "expected"),
    ] {
        assert!(!page.answer(question) && page.said().contains(wrong), "{}", page.said());
    }
    // The model is still there.
    assert!(page.answer(br#"{"texts": ["film"]}"#));
    page.give(0, b"{}".to_vec());
    assert!(!page.load("f64") && page.answer(br#"{"texts": ["film"]}"#));
}
