//! `export` and `quantize`: models for other programs, and in integers.

use std::path::Path;

use glue_squad::task::TaskKind;
use onnx::{Engine, OnnxFile, Padded};
use serde_json::Value;

use crate::own_data::works;
use crate::support::{pocket_folder, run, snapshot};

/// The answers of the exported file in `folder` to the ids that this program makes of a text.
fn logits(folder: &Path, ids: &[u32]) -> Vec<f32> {
    let data = std::fs::read(folder.join("model.onnx_data")).ok().map(|bytes| ("model.onnx_data".into(), bytes));
    let model = std::fs::read(folder.join("model.onnx")).unwrap();
    let file = OnnxFile { name: "model.onnx".into(), model, data };
    let segments = vec![0; ids.len()];
    let padded = Padded::new([(ids, segments.as_slice())], 0);
    Engine::new(&file).unwrap().run(&padded, &["logits"]).unwrap().remove(0)
}

fn ids(model: &Path, text: &str) -> Vec<u32> {
    tokenizer::TextEncoder::from_dir(model).unwrap().encode_pair(text, None, 128).unwrap().ids
}

#[test]
fn an_exported_model_answers_as_the_model_does() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let text = "a quiet film";
    let answer = run(dir.path(), &["predict", "--model", "bert", "--json", text]).json();
    let expected = answer["answers"][0]["probability"].as_f64().unwrap();
    for (precision, more, tolerance) in [
        ("f32", vec![], 1e-5),
        ("f32", vec!["--external-data"], 1e-5),
        ("f16", vec![], 2e-3),
        ("int8", vec!["--unscored"], 0.05),
    ] {
        let out = format!("{precision}{}", more.len());
        let export = ["export", "--model", "bert", "--precision", precision, "--out", &out, "--json"];
        let done = run(dir.path(), &[&export[..], &more].concat()).json();
        assert_eq!(done["outputs"], serde_json::json!(["logits"]), "{done}");
        assert_eq!(done["difference"].is_null(), precision == "int8", "{done}");
        let folder = dir.path().join(&out);
        for name in ["config.json", "tokenizer.json"] {
            assert!(folder.join(name).is_file(), "{name}");
        }
        assert_eq!(folder.join("model.onnx_data").exists(), more == ["--external-data"]);
        let logits = logits(&folder, &ids(&dir.path().join("bert"), text));
        let odds: Vec<f64> = logits.iter().map(|v| f64::from(*v).exp()).collect();
        let found = odds.iter().copied().fold(0.0, f64::max) / odds.iter().sum::<f64>();
        assert!((found - expected).abs() < tolerance, "{precision}: {found} for {expected}");
    }
    let said = works(run(dir.path(), &["export", "--model", "bert", "--outputs", "hidden", "--out", "states"])).stdout;
    assert!(said.contains("last_hidden_state") && said.contains("difference"), "{said}");
}

#[test]
fn wrong_exports_are_refused_and_write_nothing() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let before = snapshot(dir.path());
    let export = |more: &[&str]| run(dir.path(), &[&["export", "--model", "bert", "--out", "out"], more].concat());
    export(&["--outputs", "hiden"]).fails_with(1, &["no output `hiden`", "sst-2, hidden"]);
    export(&["--keep", "pooler"]).fails_with(2, &["--keep", "--precision int8"]);
    export(&["--task", "sst-2", "--data", "pocket"]).fails_with(2, &["--task", "--precision int8"]);
    export(&["--mend"]).fails_with(2, &["--mend", "--precision int8"]);
    export(&["--precision", "int8", "--unscored", "--max-drop", "1"]).fails_with(2, &["--max-drop", "--unscored"]);
    export(&["--precision", "int8", "--task", "sst-2", "--data", "pocket", "--outputs", "hidden"])
        .fails_with(2, &["`sst-2`, by which it is scored"]);
    export(&["--precision", "int8"]).fails_with(2, &["examples to score it on", "--unscored"]);
    export(&["--precision", "int8", "--unscored", "--ranges", "entropy"]).fails_with(2, &["--ranges", "texts"]);
    export(&["--precision", "int8", "--unscored", "--keep", "encoder"]).fails_with(1, &["no product `encoder`"]);
    export(&["--precision", "int8", "--task", "mrpc", "--data", "pocket"]).fails_with(2, &["no head for task mrpc"]);
    export(&["--precision", "int8", "--task", "squad-v1", "--data", "pocket"]).fails_with(2, &["eval"]);
    export(&["--max-drop=-1"]).fails_with(2, &["from 0 to 100"]);
    run(dir.path(), &["export", "--model", "bret", "--out", "out"]).fails_with(2, &["did you mean bert?"]);
    run(dir.path(), &["export", "--model", "bert", "--out", "pocket"]).fails_with(2, &["pocket"]);
    assert_eq!(snapshot(dir.path()), before);
}

#[test]
fn a_model_in_integers_is_scored_and_then_written() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let data = ["--model", "bert", "--task", "sst-2", "--data", "pocket"];
    let quantize = |more: &[&str]| run(dir.path(), &[&["quantize"], &data[..], more].concat());
    let done = quantize(&["--out", "small", "--max-drop", "20", "--json"]).json();
    let [before, after] = [0, 1].map(|at| done["file_bytes"][at].as_f64().unwrap());
    assert!(after < 0.5 * before, "{done}");
    assert!(done["resident_bytes"][1].as_u64() < done["resident_bytes"][0].as_u64(), "{done}");
    assert_eq!(done["portable"]["examples"], 48);
    let config: Value = serde_json::from_slice(&std::fs::read(dir.path().join("small/config.json")).unwrap()).unwrap();
    assert_eq!(config["quantization_config"]["quant_method"], "efficientbert-int8");
    // `transformers` has a class for a BERT, which would take integers for weights.
    assert_eq!([&config["model_type"], &config["encoder_type"]], ["efficientbert", "bert"]);
    // What is written computes in integers what was scored, and anything else with the same weights.
    let eval = ["eval", "--task", "sst-2", "--data", "pocket", "--json", "--precision", "int8", "--model"];
    let scored = run(dir.path(), &[&eval[..], &["small"]].concat()).json();
    assert_eq!(scored["score"], done["after"]);
    let score = |model| run(dir.path(), &[&eval[..], &[model]].concat()).json()["score"].clone();
    assert_eq!(score("small"), score("bert"));
    works(run(dir.path(), &["predict", "--model", "small", "a film"]));
    works(run(dir.path(), &["export", "--model", "small", "--out", "onnx"]));
    let config = std::fs::read_to_string(dir.path().join("onnx/config.json")).unwrap();
    assert!(config.contains("\"model_type\": \"bert\"") && !config.contains("quantization_config"), "{config}");
    let again = ["quantize", "--model", "small", "--task", "sst-2", "--data", "pocket", "--out", "smaller"];
    run(dir.path(), &again).fails_with(2, &["in integers already"]);

    let export =
        ["export", "--precision", "int8", "--ranges", "percentile", "--max-drop", "20", "--out", "qdq", "--json"];
    let done = run(dir.path(), &[&export[..], &data].concat()).json();
    assert!(done["scored"]["examples"] == 48 && done["scored"]["after"].is_number(), "{done}");
    assert_eq!(done["format"], "int8 (static)");
}
