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
    done.says(&["tokenizer.json: not a tokenizer file", "copied as they are"]);
    assert_eq!(done.json()["tokenizer"], json!(["tokenizer.json", "vocab.txt"]));
    let model = dir.path().join("model");
    let names: Vec<_> = snapshot(&model).into_keys().map(|p| p.to_string_lossy().into_owned()).collect();
    assert_eq!(names, ["README.md", "config.json", "model.safetensors", "tokenizer.json", "vocab.txt"]);
    let config: Value = serde_json::from_slice(&std::fs::read(model.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["transformers_version"], "4.0.0", "keys that are not ours are kept");
    let read = Tensors::read_safetensors(&model.join("model.safetensors")).unwrap();
    assert_eq!(read, tiny_tensors().under("bert."), "a bare encoder carries Hugging Face's bare names");
    assert!(std::fs::read_to_string(model.join("README.md")).unwrap().contains("\n---\n\n# model\n"));
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
    import("none.safetensors").fails_with(2, &["SOURCE none.safetensors: no such file or folder"]);
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    import("empty").fails_with(2, &["SOURCE empty: is a folder without a checkpoint", "hint: it needs config.json"]);
    assert!(!dir.path().join("model").exists());
}

#[test]
fn weights_in_several_files_are_read_by_their_index() {
    let dir = folder();
    write_checkpoint(dir.path(), &tiny_config(), &tiny_tensors());
    let all = tiny_tensors().0;
    let names: Vec<String> = all.keys().cloned().collect();
    let (mut parts, mut map) = ([Tensors::default(), Tensors::default()], serde_json::Map::new());
    for (at, (name, tensor)) in all.into_iter().enumerate() {
        map.insert(name.clone(), json!(format!("part-{}.safetensors", at % 2)));
        parts[at % 2].0.insert(name, tensor);
    }
    for (at, part) in parts.iter().enumerate() {
        part.write_safetensors(&dir.path().join(format!("part-{at}.safetensors"))).unwrap();
    }
    let index = "model.safetensors.index.json";
    let write = |map: &serde_json::Map<String, Value>| {
        std::fs::write(dir.path().join(index), json!({ "metadata": {}, "weight_map": map }).to_string()).unwrap();
    };
    write(&map);
    let import =
        |out: &str| run(dir.path(), &["import", index, "--config", "config.json", "--format", "hf", "--out", out]);
    assert_eq!(import("model").code, Some(0));
    let read = Tensors::read_safetensors(&dir.path().join("model/model.safetensors")).unwrap();
    assert_eq!(read, tiny_tensors().under("bert."));
    for (shard, parts) in [
        ("part-2.safetensors", ["the weight file part-2.safetensors is missing", "hint: SOURCE is"]),
        ("../part-0.safetensors", ["`../part-0.safetensors`", "outside of the folder of the index"]),
    ] {
        let mut map = map.clone();
        map.insert(names[0].clone(), json!(shard));
        write(&map);
        import("other").fails_with(1, &parts);
        assert!(!dir.path().join("other").exists());
    }
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

#[test]
fn keys_that_change_what_is_computed_are_refused_by_every_command_with_their_name() {
    let dir = folder();
    for (key, value, parts) in [
        ("is_decoder", json!(true), ["`is_decoder`", "decoders are not supported"]),
        ("add_cross_attention", json!(true), ["`add_cross_attention`", "another model is not supported"]),
        ("position_embedding_type", json!("relative_key"), ["`position_embedding_type`", "\"absolute\""]),
        ("pruned_heads", json!({ "0": [1] }), ["`pruned_heads`", "empty"]),
        ("quantization_config", json!({ "bits": 4 }), ["`quantization_config`", "not supported"]),
        ("layer_types", json!(["sliding_attention"]), ["`layer_types`", "full_attention"]),
        ("model_type", json!("deberta"), ["\"deberta\"", "bert, mobilebert, efficientbert"]),
        ("hidden_act", json!("quick_gelu"), ["quick_gelu", "gelu_new"]),
    ] {
        let mut config = tiny_config();
        config[key] = value;
        write_checkpoint(dir.path(), &config, &tiny_tensors());
        import_tiny(dir.path(), &[]).fails_with(1, &[&["config.json"], &parts[..]].concat());
        assert!(!dir.path().join("model").exists(), "{key}");
        // The same file as part of a directory.
        let model = tiny_model();
        std::fs::write(model.path().join("model/config.json"), config.to_string()).unwrap();
        tiny_tensors().write_safetensors(&model.path().join("in.safetensors")).unwrap();
        let encode = ["encode", "--model", "model", "--inputs", "in.safetensors", "--out", "out.safetensors"];
        for args in [&encode[..], &[&encode[..], &["--last-only"]].concat(), &["arch", "show", "model"]] {
            run(model.path(), args).fails_with(1, &[&["config.json"], &parts[..]].concat());
        }
    }
}

#[test]
fn keys_without_effect_pass_in_silence_and_unknown_ones_are_named_once_and_kept() {
    let dir = folder();
    let mut config = tiny_config();
    let silent = json!({
        "is_decoder": false, "add_cross_attention": false, "position_embedding_type": "absolute", "pruned_heads": {},
        "use_cache": true, "torch_dtype": "float32", "dtype": "float32", "chunk_size_feed_forward": 2, "pad_token_id": null,
        "classifier_dropout": null, "gradient_checkpointing": false, "output_attentions": true, "_name_or_path": "x",
        "top_k": 50, "pooler_fc_size": 768, "cell": {}
    });
    config.as_object_mut().unwrap().extend(silent.as_object().unwrap().clone());
    write_checkpoint(dir.path(), &config, &tiny_tensors());
    let done = import_tiny(dir.path(), &[]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(!done.stderr.contains("not used"), "{}", done.stderr);
    std::fs::remove_dir_all(dir.path().join("model")).unwrap();
    config["feed_forward_type"] = json!("geglu");
    config["emb_pooler"] = json!("mean");
    write_checkpoint(dir.path(), &config, &tiny_tensors());
    let done = import_tiny(dir.path(), &[]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    done.says(&["warning: config.json: kept, but not used", "`emb_pooler`, `feed_forward_type`"]);
    assert_eq!(done.stderr.matches("not used").count(), 1, "{}", done.stderr);
    let saved: Value = serde_json::from_slice(&std::fs::read(dir.path().join("model/config.json")).unwrap()).unwrap();
    assert_eq!(saved["feed_forward_type"], json!("geglu"));
}

/// [`tiny_tensors`] with what releases of TinyBERT, taggers and question answering models have beside the encoder.
fn with_other_parts() -> Tensors {
    let mut tensors = tiny_tensors();
    for layer in 0..5 {
        tensors.0.insert(format!("fit_denses.{layer}.weight"), filled(&[6, 4]));
        tensors.0.insert(format!("fit_denses.{layer}.bias"), filled(&[6]));
    }
    for (name, shape) in [
        ("fit_dense.weight", vec![6, 4]),
        ("fit_dense.bias", vec![6]),
        ("crf.transitions", vec![3, 3]),
        ("crf.start_transitions", vec![3]),
        ("crf.end_transitions", vec![3]),
        ("linear.weight", vec![3, 4]),
        ("linear.bias", vec![3]),
        ("lm_head.weight", vec![11, 4]),
        ("classifier.weight", vec![2, 4]),
        ("classifier.bias", vec![2]),
        ("qa_outputs.weight", vec![2, 4]),
        ("cls.predictions.bias", vec![11]),
        ("cls.predictions.transform.dense.weight", vec![4, 4]),
        ("cls.seq_relationship.weight", vec![2, 4]),
    ] {
        tensors.0.insert(name.into(), filled(&shape));
    }
    tensors
}

#[test]
fn only_the_encoder_is_imported_from_a_file_with_anything_beside_it() {
    let dir = folder();
    write_checkpoint(dir.path(), &tiny_config(), &with_other_parts());
    // Without the option they are an error that names it.
    import_tiny(dir.path(), &["--task", "squad-v1"])
        .fails_with(1, &["cls.predictions", "--encoder-only leaves behind"]);
    let done = import_tiny(dir.path(), &["--encoder-only"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let parts = [
        "left behind: classifier.* (2 tensors), cls.predictions.* (2 tensors), crf.* (3 tensors), fit_dense.* (2 tensors)",
        "fit_denses.* (10 tensors), linear.* (2 tensors), lm_head.* (1 tensor), qa_outputs.* (1 tensor)",
        "left behind: the next-sentence head (1 tensor)",
    ];
    done.says(&parts);
    let read = Tensors::read_safetensors(&dir.path().join("model/model.safetensors")).unwrap();
    assert_eq!(read, tiny_tensors().under("bert."), "the encoder with its pooler");
    // The same file without the prefix.
    let bare = with_other_parts().0.into_iter();
    let bare = bare.map(|(name, t)| (name.strip_prefix("bert.").map_or(name.clone(), String::from), t)).collect();
    write_checkpoint(dir.path(), &tiny_config(), &Tensors(bare));
    std::fs::remove_dir_all(dir.path().join("model")).unwrap();
    let done = import_tiny(dir.path(), &["--encoder-only"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    done.says(&parts);
    let read = Tensors::read_safetensors(&dir.path().join("model/model.safetensors")).unwrap();
    assert_eq!(read, tiny_tensors().under("bert."), "the encoder with its pooler");
}

#[test]
fn what_the_encoder_itself_has_too_much_or_twice_stays_an_error_without_the_option_as_a_hint() {
    for (name, shape) in [
        ("bert.adapter.weight", vec![3]),
        ("bert.encoder.layer.7.output.dense.bias", vec![4]),
        ("bert.embeddings.LayerNorm.scale", vec![4]),
    ] {
        let dir = folder();
        let mut tensors = with_other_parts();
        tensors.0.insert(name.into(), filled(&shape));
        write_checkpoint(dir.path(), &tiny_config(), &tensors);
        let done = import_tiny(dir.path(), &["--encoder-only"]);
        done.fails_with(1, &["one tensor the model has no place for", name.strip_prefix("bert.").unwrap()]);
        assert!(!done.stderr.contains("--encoder-only"), "{}", done.stderr);
    }
    // With and without the prefix: neither is taken for the other.
    let dir = folder();
    let mut tensors = tiny_tensors();
    tensors.0.insert("pooler.dense.bias".into(), filled(&[4]));
    write_checkpoint(dir.path(), &tiny_config(), &tensors);
    import_tiny(dir.path(), &[]).fails_with(1, &["one tensor the model has no place for", "`bert.pooler.dense.bias`"]);
}

#[test]
fn a_word_head_that_is_not_tied_needs_its_output_weights_and_they_must_be_the_word_table() {
    let mut config = tiny_config();
    config["tie_word_embeddings"] = json!(false);
    let mut tensors = tiny_tensors();
    tensors.0.retain(|name, _| !name.starts_with("bert.pooler."));
    for (name, shape) in [
        ("transform.dense.weight", vec![4, 4]),
        ("transform.dense.bias", vec![4]),
        ("transform.LayerNorm.weight", vec![4]),
        ("transform.LayerNorm.bias", vec![4]),
        ("bias", vec![11]),
    ] {
        tensors.0.insert(format!("cls.predictions.{name}"), filled(&shape));
    }
    let dir = folder();
    write_checkpoint(dir.path(), &config, &tensors);
    import_tiny(dir.path(), &[]).fails_with(1, &["`tie_word_embeddings` is false", "decoder.weight", "--encoder-only"]);
    tensors.0.insert("cls.predictions.decoder.weight".into(), filled(&[11, 4]));
    write_checkpoint(dir.path(), &config, &tensors);
    assert_eq!(import_tiny(dir.path(), &[]).code, Some(0));
    let saved: Value = serde_json::from_slice(&std::fs::read(dir.path().join("model/config.json")).unwrap()).unwrap();
    assert!(saved.get("tie_word_embeddings").is_none(), "the copy is gone, so the table is the output weights");
    std::fs::remove_dir_all(dir.path().join("model")).unwrap();
    tensors.0.get_mut("cls.predictions.decoder.weight").unwrap().data[3] += 0.5;
    write_checkpoint(dir.path(), &config, &tensors);
    import_tiny(dir.path(), &[]).fails_with(1, &["cls.predictions.decoder.weight", "must equal"]);
}

#[test]
fn an_embedding_size_that_berts_of_transformers_do_not_read_is_left_out() {
    let dir = folder();
    let mut config = tiny_config();
    config["embedding_size"] = json!(4);
    write_checkpoint(dir.path(), &config, &tiny_tensors());
    let done = import_tiny(dir.path(), &[]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    done.says(&["`embedding_size` 4 is not used"]);
    let saved: Value = serde_json::from_slice(&std::fs::read(dir.path().join("model/config.json")).unwrap()).unwrap();
    assert!(saved.get("embedding_size").is_none());
}

#[test]
fn a_mobilebert_must_say_what_no_tensors_shape_tells() {
    for key in ["hidden_act", "normalization_type"] {
        let dir = folder();
        let mut config = tiny_config();
        config["model_type"] = json!("mobilebert");
        config["normalization_type"] = json!("no_norm");
        config.as_object_mut().unwrap().remove(key);
        write_checkpoint(dir.path(), &config, &tiny_tensors());
        import_tiny(dir.path(), &[]).fails_with(1, &["config.json", &format!("must say its `{key}`"), "hint: where"]);
    }
}
