//! `import`.

use bert_core::weights::Tensors;
use serde_json::{Value, json};

use crate::support::{
    arg, filled, folder, golden, import_tiny, run, snapshot, tiny_config, tiny_model, tiny_tensors, write_checkpoint,
};

#[test]
fn a_checkpoint_becomes_a_model_directory_with_its_tokenizer() {
    let dir = folder();
    write_checkpoint(dir.path(), &tiny_config(), &tiny_tensors());
    std::fs::write(dir.path().join("tokenizer.json"), "{\"version\": \"1.0\"}").unwrap();
    std::fs::write(dir.path().join("vocab.txt"), "[PAD]\n").unwrap();
    let done = import_tiny(dir.path(), &[]);
    done.says(&["tokenizer.json: not a tokeniser file", "copied as they are"]);
    assert_eq!(done.json()["tokenizer"], json!(["tokenizer.json", "vocab.txt"]));
    let model = dir.path().join("model");
    let names: Vec<_> = snapshot(&model).into_keys().map(|p| p.to_string_lossy().into_owned()).collect();
    assert_eq!(names, ["README.md", "config.json", "model.safetensors", "tokenizer.json", "vocab.txt"]);
    let config: Value = serde_json::from_slice(&std::fs::read(model.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["transformers_version"], "4.0.0", "keys that are not ours are kept");
    let read = Tensors::read_safetensors(&model.join("model.safetensors")).unwrap();
    assert_eq!(read, tiny_tensors().under("bert."), "a bare encoder carries Hugging Face's bare names");
    assert!(std::fs::read_to_string(model.join("README.md")).unwrap().starts_with("# model\n"));
}

#[test]
fn importing_the_result_again_gives_the_same_bytes() {
    let dir = tiny_model();
    let again =
        ["import", "model/model.safetensors", "--config", "model/config.json", "--format", "hf", "--out", "b/model"];
    assert_eq!(run(dir.path(), &again).code, Some(0));
    let (mut first, mut second) = (snapshot(&dir.path().join("model")), snapshot(&dir.path().join("b/model")));
    // The card names the weight file, which is another one.
    first.remove(std::path::Path::new("README.md"));
    second.remove(std::path::Path::new("README.md"));
    assert_eq!(first, second);
}

#[test]
fn old_names_of_norms_are_read_and_the_next_sentence_head_is_left_behind_aloud() {
    let dir = folder();
    let rename =
        |name: String| name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
    let mut tensors = Tensors(tiny_tensors().0.into_iter().map(|(n, t)| (rename(n), t)).collect());
    tensors.0.insert("cls.seq_relationship.weight".into(), filled(&[2, 4]));
    tensors.0.insert("cls.seq_relationship.bias".into(), filled(&[2]));
    write_checkpoint(dir.path(), &tiny_config(), &tensors);
    let done = import_tiny(dir.path(), &[]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    done.says(&["left behind: the next-sentence head (2 tensors)"]);
    let read = Tensors::read_safetensors(&dir.path().join("model/model.safetensors")).unwrap();
    assert_eq!(read, tiny_tensors().under("bert."));
}

#[test]
fn a_classifier_needs_the_name_of_its_task() {
    let mut tensors = tiny_tensors();
    tensors.0.insert("classifier.weight".into(), filled(&[2, 4]));
    tensors.0.insert("classifier.bias".into(), filled(&[2]));
    let mut config = tiny_config();
    config["id2label"] = json!({ "0": "negative", "1": "positive" });
    let dir = folder();
    write_checkpoint(dir.path(), &config, &tensors);
    import_tiny(dir.path(), &[]).fails_with(2, &["classifier.weight", "hint: name it with --task"]);
    assert!(!dir.path().join("model").exists());

    assert_eq!(import_tiny(dir.path(), &["--task", "sst-2"]).code, Some(0));
    let saved: Value = serde_json::from_slice(&std::fs::read(dir.path().join("model/config.json")).unwrap()).unwrap();
    let head = json!([{ "task": "sst-2", "kind": "classification", "labels": ["negative", "positive"] }]);
    assert_eq!(saved["task_heads"], head);
    assert_eq!(saved["architectures"], json!(["BertForSequenceClassification"]));
    let read = Tensors::read_safetensors(&dir.path().join("model/model.safetensors")).unwrap();
    assert_eq!(read, tensors);

    std::fs::remove_dir_all(dir.path().join("model")).unwrap();
    let done = import_tiny(dir.path(), &["--encoder-only"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let read = Tensors::read_safetensors(&dir.path().join("model/model.safetensors")).unwrap();
    assert_eq!(read, tiny_tensors().under("bert."));
}

#[test]
fn a_question_answering_model_keeps_its_span_head() {
    let mut tensors = tiny_tensors();
    tensors.0.retain(|name, _| !name.starts_with("bert.pooler."));
    tensors.0.insert("qa_outputs.weight".into(), filled(&[2, 4]));
    tensors.0.insert("qa_outputs.bias".into(), filled(&[2]));
    let dir = folder();
    write_checkpoint(dir.path(), &tiny_config(), &tensors);
    for task in [&[][..], &["--task", "sst-2"]] {
        import_tiny(dir.path(), task).fails_with(2, &["qa_outputs.weight", "hint: name it with --task squad-v1"]);
    }
    assert_eq!(import_tiny(dir.path(), &["--task", "squad-v2"]).code, Some(0));
    let saved: Value = serde_json::from_slice(&std::fs::read(dir.path().join("model/config.json")).unwrap()).unwrap();
    assert_eq!(saved["task_heads"], json!([{ "task": "squad-v2", "kind": "span" }]));
    assert_eq!(saved["architectures"], json!(["BertForQuestionAnswering"]));
    let read = Tensors::read_safetensors(&dir.path().join("model/model.safetensors")).unwrap();
    assert_eq!(read, tensors);
}

#[test]
fn a_task_without_a_head_is_wrong_usage() {
    let dir = folder();
    write_checkpoint(dir.path(), &tiny_config(), &tiny_tensors());
    import_tiny(dir.path(), &["--task", "sst-2"]).fails_with(2, &["no `classifier.weight`"]);
}

#[test]
fn tensors_that_are_missing_left_over_or_of_another_shape_are_named() {
    let query = "bert.encoder.layer.0.attention.self.query.weight";
    type Change = fn(&mut Tensors);
    let cases: [(Change, &[&str]); 4] = [
        (
            |t| drop(t.0.remove("bert.encoder.layer.0.attention.self.query.weight")),
            &["one tensor missing", "encoder.layer.0.attention.self.query.weight"],
        ),
        (|t| drop(t.0.insert("bert.adapter.weight".into(), filled(&[3]))), &["no place for", "adapter.weight"]),
        (
            |t| drop(t.0.insert("bert.encoder.layer.0.attention.self.query.weight".into(), filled(&[4, 5]))),
            &["attention.self.query.weight", "[4, 5]", "[4, 4]"],
        ),
        (
            |t| t.0.get_mut("bert.encoder.layer.0.attention.self.query.weight").unwrap().data[0] = f32::NAN,
            &["attention.self.query.weight", "not finite"],
        ),
    ];
    assert!(tiny_tensors().0.contains_key(query));
    for (change, parts) in cases {
        let dir = folder();
        let mut tensors = tiny_tensors();
        change(&mut tensors);
        write_checkpoint(dir.path(), &tiny_config(), &tensors);
        let before = snapshot(dir.path());
        import_tiny(dir.path(), &[]).fails_with(1, &[&["weights.safetensors"], parts].concat());
        assert_eq!(snapshot(dir.path()), before, "nothing is left behind");
    }
}

#[test]
fn cut_off_and_foreign_files_are_named() {
    let dir = folder();
    write_checkpoint(dir.path(), &tiny_config(), &tiny_tensors());
    let path = dir.path().join("weights.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    for length in [0, 4, 8, 200, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..length]).unwrap();
        import_tiny(dir.path(), &[]).fails_with(1, &["weights.safetensors: not a readable safetensors file"]);
    }
    let import = |weights: &str| {
        run(dir.path(), &["import", weights, "--config", "config.json", "--format", "hf", "--out", "model"])
    };
    std::fs::write(dir.path().join("pytorch_model.bin"), b"PK\x03\x04 not a zip").unwrap();
    import("pytorch_model.bin").fails_with(1, &["pytorch_model.bin: not a readable PyTorch file"]);
    import("none.safetensors").fails_with(2, &["WEIGHTS none.safetensors: no such file or folder"]);
    import(".").fails_with(2, &["is a folder", "hint:"]);
    assert!(!dir.path().join("model").exists());
}

#[test]
fn an_unknown_activation_names_file_and_value() {
    let dir = folder();
    let mut config = tiny_config();
    config["hidden_act"] = json!("gelo");
    write_checkpoint(dir.path(), &config, &tiny_tensors());
    import_tiny(dir.path(), &[]).fails_with(1, &["config.json", "gelo", "gelu_new"]);
}

#[test]
fn a_folder_with_something_in_it_is_not_touched() {
    let dir = tiny_model();
    let before = snapshot(dir.path());
    import_tiny(dir.path(), &[])
        .fails_with(2, &["--out model: exists and is not an empty folder", "nothing was changed"]);
    assert_eq!(snapshot(dir.path()), before);
    std::fs::remove_dir_all(dir.path().join("model")).unwrap();
    std::fs::create_dir(dir.path().join("model")).unwrap();
    assert_eq!(import_tiny(dir.path(), &[]).code, Some(0), "an empty folder is fine");
}

#[test]
fn reference_configurations_are_checked() {
    let dir = folder();
    let weights = golden("auto-bert-mixed-ops.safetensors");
    let text = std::fs::read_to_string(golden("auto-bert-mixed-ops.json")).unwrap();
    let good: Value = serde_json::from_str(&text).unwrap();
    let check = |value: &Value, code: i32, parts: &[&str]| {
        std::fs::write(dir.path().join("ref.json"), value.to_string()).unwrap();
        let args = ["import", arg(&weights), "--config", "ref.json", "--format", "reference", "--out", "m"];
        run(dir.path(), &args).fails_with(code, parts);
        assert!(!dir.path().join("m").exists());
    };
    type Change = fn(&mut Value);
    let cases: [(Change, &[&str]); 7] = [
        (|v| v["ffn_expressions"][1] = json!("linear1_1(x"), &["ref.json", "layer 2", "column"]),
        (|v| drop(v["ffn_expressions"].as_array_mut().unwrap().pop()), &["2 layers", "`num_layers` is 3"]),
        (|v| v["config"]["max_stacked_ffn"] = json!(3), &["max_stacked_ffn"]),
        (|v| v["config"]["num_attn_heads"] = json!(5), &["num_attention_heads"]),
        (|v| drop(v["config"].as_object_mut().unwrap().remove("hidden_size")), &["hidden_size"]),
        (|v| v["config"]["vocab_size"] = json!(98), &["token_embeddings.weight", "[97, 16]", "[98, 16]"]),
        (|v| v["config"]["use_fit_dense"] = json!(false), &["no place for", "fit_dense"]),
    ];
    for (change, parts) in cases {
        let mut value = good.clone();
        change(&mut value);
        check(&value, 1, parts);
    }
}
