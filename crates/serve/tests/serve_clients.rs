//! Clients of others understand the server: `huggingface_hub`, `openai` and `tritonclient`, as they are.
//!
//! `serve_clients/clients.py` calls them. It needs Python with these packages, which `EFFICIENTBERT_PYTHON` names; where the variable is
//! not set, the test says so and passes. `cargo xtask transformers` sets it.

#![allow(clippy::disallowed_methods, reason = "where Python is depends on the machine")]

#[path = "serve/client.rs"]
#[allow(dead_code, reason = "shared with the other tests")]
mod client;
#[path = "serve/model.rs"]
#[allow(dead_code, reason = "shared with the other tests")]
mod model;

use std::path::Path;
use std::process::Command;

use cpu_runtime::{Packing, Precision};
use predict::{HeadAnswer, Predictor, Target};
use serde_json::{Value, json};
use serve::Token;

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(numbers).collect(),
        value => vec![value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))],
    }
}

#[track_caller]
fn near(found: &Value, wanted: &[f32]) {
    let found = numbers(found);
    assert_eq!(found.len(), wanted.len());
    assert!(found.iter().zip(wanted).all(|(a, b)| (a - f64::from(*b)).abs() < 1e-5), "{found:?} {wanted:?}");
}

#[test]
fn clients_of_others_get_the_numbers_of_predict() {
    let Some(python) = std::env::var_os("EFFICIENTBERT_PYTHON") else {
        test_support::skipped("EFFICIENTBERT_PYTHON is not set; `cargo xtask transformers` runs this test");
        return;
    };
    let kinds = ["labels", "vectors", "tokens", "answers-v1"];
    let running = model::Running::of(&kinds, |settings| settings.token = Some(Token::new("s3cret").expect("a token")));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/serve_clients/clients.py");
    let mut command = Command::new(python);
    let output = command.arg(script).arg(format!("http://{}", running.address)).output().expect("Python starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}\n{:#?}", running.events_of("request"));
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");

    let load = |kind: &str| {
        let target = Target::Processor { threads: 1 };
        Predictor::load(&running.dir(kind), &target, Precision::F32, Packing::Ahead).expect("the model")
    };
    let texts = ["a quiet film", "Ana lives in Bonn ."];
    let mut predictor = load("labels");
    let encoded: Vec<_> = texts.iter().map(|text| predictor.encode(text, None).expect("a text")).collect();
    let answers = predictor.answer(&encoded, &[0]).expect("answers");
    let mut probabilities = Vec::new();
    let mut labels = Vec::new();
    for answer in &answers {
        let HeadAnswer::Label { label, probabilities: all, .. } = &answer[0] else { panic!("a label") };
        labels.push(label.clone());
        probabilities.push(all.iter().map(|(_, p)| *p).collect::<Vec<_>>());
    }
    let hub = &found["hugging_face"];
    let highest = probabilities[0].iter().copied().fold(0.0, f32::max);
    near(&json!([hub["labels"][0][1], hub["root"][0][1], hub["best"][0][1]]), &[highest; 3]);
    assert_eq!((&hub["labels"][0][0], hub["best"].as_array().map(Vec::len)), (&json!(labels[0]), Some(1)));
    let kserve = &found["kserve"];
    for form in 0..2 {
        near(&kserve["results"][form][0], &probabilities.concat());
        assert_eq!(kserve["results"][form][1], json!(labels));
    }
    assert_eq!(kserve["inputs"][0], "text");
    assert_eq!(numbers(&kserve["logits"]).len(), 2);

    let mut predictor = load("vectors");
    let plain = predictor.vectors(&encoded, 0).expect("vectors");
    let unit = |vector: &[f32]| {
        let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
        vector.iter().map(|v| v / length).collect::<Vec<f32>>()
    };
    let units: Vec<Vec<f32>> = plain.iter().map(|vector| unit(vector)).collect();
    near(&hub["vector"], &units[0]);
    near(&hub["vectors"], &plain.concat());
    near(&kserve["vectors"], &plain.concat());
    let cosine = units[0].iter().zip(&units[1]).map(|(a, b)| a * b).sum::<f32>();
    near(&hub["cosines"], &[1.0, cosine]);
    let open_ai = &found["open_ai"];
    near(&open_ai["vectors"], &units.concat());
    near(&open_ai["short"], &unit(&plain[0][..4]));
    assert_eq!((&open_ai["names"], &open_ai["tokens"]), (&json!(kinds), &json!(12)));

    let mut predictor = load("tokens");
    let words = predictor.words(texts[1]).expect("words");
    let entities = predictor.tag(&[(texts[1], &words)], 0).expect("tags").remove(0).entities;
    assert_eq!(hub["entities"].as_array().map(Vec::len), Some(entities.len()));
    for (found, wanted) in hub["entities"].as_array().into_iter().flatten().zip(&entities) {
        assert_eq!(
            json!([found[0], found[1], found[2], found[3]]),
            json!([wanted.kind, wanted.text, wanted.start, wanted.end])
        );
    }
    assert!(texts[1].contains(hub["answer"][0].as_str().expect("a text")));
}
