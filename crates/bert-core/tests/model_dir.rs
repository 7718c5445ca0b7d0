//! What is saved as a model directory reads back the same, and what is damaged is an error.

use bert_core::weights::{NameFormat, Tensors};
use bert_core::{
    BertConfig, CONFIG_FILE, ModelDir, Package, Parts, TaskHeadConfig, TaskHeadKind, TaskModel, WEIGHTS_FILE, preset,
};
use burn::tensor::Device;
use cpu_runtime::{Model, Packing, Precision};
use serde_json::json;

fn small(name: &str) -> BertConfig {
    let config = preset(name).unwrap();
    BertConfig {
        vocab_size: 20,
        hidden_size: 24,
        intermediate_size: 24,
        num_attention_heads: 4,
        max_position_embeddings: 16,
        embedding_size: config.embedding_size.map(|_| 8),
        intra_bottleneck_size: config.intra_bottleneck_size.map(|_| 8),
        fit_size: Some(12),
        num_hidden_layers: config.layers.len().max(2),
        task_heads: vec![TaskHeadConfig::new(
            "sst-2",
            TaskHeadKind::Classification,
            vec!["negative".into(), "positive".into()],
        )],
        ..config
    }
}

fn built(config: &BertConfig, parts: Parts) -> TaskModel {
    TaskModel::new(config, parts, &Device::flex()).unwrap().initialized(config, 7)
}

#[test]
fn every_family_reads_back_what_was_saved_with_and_without_the_projection() {
    let families = ["tinybert-4", "mobilebert", "mobilebert-tiny-reference", "efficientbert"];
    for (name, words) in families.into_iter().flat_map(|name| [(name, false), (name, true)]) {
        let config = small(name);
        let parts = Parts::POOLER;
        let parts = if words { parts.with_words(&config) } else { parts };
        assert_eq!((parts.mlm, parts.mlm_extra), (words, words && name.starts_with("mobilebert")), "{name}");
        let model = built(&config, parts);
        for keep_fit in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let dir = folder.path().join("new/model");
            let files = [("tokenizer.json".to_owned(), b"{}".to_vec())];
            let package = Package { card: "# card", files: &files, keep_fit };
            ModelDir::save(&dir, &config, &model, package).unwrap();
            let read = ModelDir::load(&dir, &Device::flex()).unwrap();
            assert_eq!(read.model.parts(), parts, "{name}");
            assert_eq!(read.config.fit_size, keep_fit.then_some(12), "{name}");
            let format = NameFormat::HuggingFace(config.model_type);
            let mut expected = model.collect(format);
            expected.0.retain(|n, _| keep_fit || !n.starts_with("fit_dense."));
            assert_eq!(read.model.collect(format), expected, "{name}");
            assert_eq!(model_dir::tokenizer_files(&dir).unwrap(), files, "{name}");
            let (_, outline) = model_dir::outline(&dir).unwrap();
            assert_eq!(outline.weights(), read.model.shapes(), "{name}");
            let left: Vec<_> = std::fs::read_dir(dir.parent().unwrap()).unwrap().collect();
            assert_eq!(left.len(), 1, "{name}: a temporary folder is left");
        }
    }
}

#[test]
fn a_masked_language_model_head_has_its_documented_names_and_is_counted_by_itself() {
    // Tokens 20, hidden 24, word table 8 wide where it is factorized.
    for (name, prefix, own, width) in [
        ("tinybert-4", "bert.", None, 24),
        ("mobilebert", "mobilebert.", Some([16, 20]), 24),
        ("efficientbert", "", None, 8),
    ] {
        let config = BertConfig { task_heads: Vec::new(), ..small(name) };
        let parts = Parts::default().with_words(&config);
        let (read, tensors) = saved(&config, parts);
        let shape = |name: &str| tensors.0[&format!("cls.predictions.{name}")].shape.clone();
        assert_eq!(shape("transform.dense.weight"), [width, 24], "{name}");
        assert_eq!(shape("transform.LayerNorm.weight"), [width], "{name}");
        assert_eq!(shape("bias"), [20], "{name}");
        let found = tensors.0.get("cls.predictions.dense.weight").map(|t| t.shape.clone());
        assert_eq!(found, own.map(|shape| shape.to_vec()), "{name}");
        assert!(tensors.0.contains_key(&format!("{prefix}embeddings.word_embeddings.weight")), "{name}");
        if name == "tinybert-4" {
            assert_eq!(read.extra["architectures"], json!(["BertForMaskedLM"]));
        }
        // Without it the counts are those of before.
        let count = |parts| built(&config, parts).count(16);
        let (with, without) = (count(parts), count(Parts::default()));
        let own: usize = own.map_or(0, |[rows, columns]| rows * columns);
        let head = (width * 24 + 3 * width + 20 + own) as u64;
        assert_eq!(with.parts[&bert_core::CountPart::MaskedLm].params, head, "{name}");
        assert_eq!(with.params(), without.params() + head, "{name}");
        assert_eq!((with.params_without_fit(), with.macs()), (without.params_without_fit(), without.macs()), "{name}");
        assert!(!without.parts.contains_key(&bert_core::CountPart::MaskedLm), "{name}");
    }
}

#[test]
fn output_weights_beside_a_word_table_of_full_width_are_refused() {
    let config = BertConfig { embedding_size: None, ..small("tinybert-4") };
    let parts = Parts { mlm: true, mlm_extra: true, ..Parts::default() };
    let message = TaskModel::new(&config, parts, &Device::flex()).unwrap_err().to_string();
    assert!(message.contains("embedding_size") && message.contains("cls.predictions.dense.weight"), "{message}");
}

/// Saves a model and returns the configuration and the tensors that stand in the folder afterwards.
fn saved(config: &BertConfig, parts: Parts) -> (BertConfig, Tensors) {
    let folder = tempfile::tempdir().unwrap();
    ModelDir::save(folder.path(), config, &built(config, parts), Package::default()).unwrap();
    let tensors = Tensors::read_safetensors(&folder.path().join(WEIGHTS_FILE)).unwrap();
    (model_dir::read_config(&folder.path().join(CONFIG_FILE)).unwrap(), tensors)
}

#[test]
fn a_classifier_is_described_the_way_hugging_face_reads_it() {
    let config = small("tinybert-4");
    let (read, tensors) = saved(&config, Parts::POOLER);
    assert_eq!(read.extra["architectures"], json!(["BertForSequenceClassification"]));
    assert_eq!(read.extra["id2label"], json!({ "0": "negative", "1": "positive" }));
    assert!(tensors.0.contains_key("classifier.weight"));
    assert!(tensors.0.contains_key("bert.pooler.dense.weight"));
    assert!(tensors.0.keys().all(|n| n.starts_with("bert.") || n.starts_with("classifier.")));
    let bare = BertConfig { task_heads: Vec::new(), ..read };
    let (read, tensors) = saved(&bare, Parts::default());
    assert_eq!(read.extra["architectures"], json!(["BertModel"]));
    assert!(!read.extra.contains_key("id2label"), "labels of a head that is gone");
    assert!(tensors.0.contains_key("embeddings.word_embeddings.weight"));
}

#[test]
fn a_span_head_alone_has_the_name_and_class_of_question_answering_and_reads_back() {
    let span = TaskHeadConfig::new("squad-v1", TaskHeadKind::Span, Vec::new());
    let parts = Parts::POOLER;
    for name in ["tinybert-4", "mobilebert", "efficientbert"] {
        let config = BertConfig { task_heads: vec![span.clone()], fit_size: None, ..small(name) };
        let (read, tensors) = saved(&config, parts);
        assert_eq!(read.task_heads, config.task_heads, "{name}");
        let expected = if name == "efficientbert" { "classifier.weight" } else { "qa_outputs.weight" };
        assert_eq!(tensors.0[expected].shape, [2, 24], "{name}");
        match name {
            "tinybert-4" => assert_eq!(read.extra["architectures"], json!(["BertForQuestionAnswering"])),
            "mobilebert" => assert_eq!(read.extra["architectures"], json!(["MobileBertForQuestionAnswering"])),
            _ => {}
        }
        let (folder, model) = (tempfile::tempdir().unwrap(), built(&config, parts));
        ModelDir::save(folder.path(), &config, &model, Package::default()).unwrap();
        let format = NameFormat::HuggingFace(config.model_type);
        let loaded = ModelDir::load(folder.path(), &Device::flex()).unwrap();
        assert_eq!(loaded.model.collect(format), model.collect(format), "{name}");
        assert!(Model::open(folder.path(), Precision::F32, Packing::Ahead).is_ok(), "{name}");
    }
    // Beside another head it is one of several, which Hugging Face has no class for.
    let config = small("tinybert-4");
    let two = BertConfig { task_heads: vec![config.task_heads[0].clone(), span], ..config };
    let (read, tensors) = saved(&two, parts);
    assert_eq!(read.extra["architectures"], json!(["BertModel"]));
    assert!(tensors.0.contains_key("classifier_1.weight") && !tensors.0.contains_key("qa_outputs.weight"));
}

#[test]
fn a_mobilebert_is_described_in_full_and_its_variants_as_what_they_are() {
    let with = |name: &str, heads: bool, parts: Parts| {
        let config = BertConfig { fit_size: None, ..small(name) };
        let task_heads = if heads { config.task_heads.clone() } else { Vec::new() };
        saved(&BertConfig { task_heads, ..config }, parts).0.extra
    };
    let pooler = Parts::POOLER;
    for (heads, parts, class, activation) in [
        (true, pooler, "MobileBertForSequenceClassification", true),
        (true, Parts::default(), "MobileBertForSequenceClassification", false),
        (false, pooler, "MobileBertModel", true),
        (false, Parts { mlm: true, mlm_extra: true, ..Parts::default() }, "MobileBertForMaskedLM", false),
        (false, Parts { mlm: true, ..Parts::default() }, "MobileBertModel", false),
    ] {
        for name in ["mobilebert", "mobilebert-tiny"] {
            let extra = with(name, heads, parts);
            assert_eq!(
                (&extra["architectures"], &extra["classifier_activation"]),
                (&json!([class]), &json!(activation))
            );
            assert_eq!(extra.contains_key("id2label"), heads, "{name}");
        }
        let own = with("mobilebert-tiny-reference", heads, parts);
        assert!(own.contains_key("auto_map"), "transformers has no class for it: {own:?}");
        let class = if heads {
            "EfficientBertForSequenceClassification"
        } else if parts.mlm {
            "EfficientBertForMaskedLM"
        } else {
            "EfficientBertModel"
        };
        assert_eq!((&own["architectures"], &own["classifier_activation"]), (&json!([class]), &json!(parts.pooler)));
    }
}

#[test]
fn what_transformers_writes_and_does_not_use_is_left_out_by_every_way_to_read() {
    let config = BertConfig { fit_size: None, task_heads: Vec::new(), ..small("mobilebert-tiny") };
    let model = built(&config, Parts::POOLER);
    let folder = tempfile::tempdir().unwrap();
    ModelDir::save(folder.path(), &config, &model, Package::default()).unwrap();
    let (path, weights) = (folder.path().join(CONFIG_FILE), folder.path().join(WEIGHTS_FILE));
    let mut file: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    file["key_query_shared_bottleneck"] = json!(true);
    file["classifier_activation"] = json!(false);
    std::fs::write(&path, file.to_string()).unwrap();
    let mut tensors = Tensors::read_safetensors(&weights).unwrap();
    for layer in 0..2 {
        for part in ["input", "attention"] {
            let from = format!("encoder.layer.{layer}.bottleneck.input.");
            let copies = tensors.under(&from).0.into_iter();
            let to = |name: String| format!("encoder.layer.{layer}.bottleneck.{part}.{name}");
            tensors.0.extend(copies.map(|(name, tensor)| (to(name), tensor)));
        }
    }
    tensors.write_safetensors(&weights).unwrap();
    let read = ModelDir::load(folder.path(), &Device::flex()).unwrap();
    assert_eq!(read.model.parts(), Parts::default(), "no pooler");
    let format = NameFormat::HuggingFace(config.model_type);
    let mut expected = model.collect(format);
    expected.0.retain(|name, _| !name.starts_with("pooler."));
    assert_eq!(read.model.collect(format), expected);
    assert_eq!(model_dir::outline(folder.path()).unwrap().1.weights(), read.model.shapes());
    assert!(Model::open(folder.path(), Precision::F32, Packing::Ahead).is_ok());
    // With heads, which were trained through the pooler that stands there.
    file["task_heads"] = json!([{ "task": "sst-2", "kind": "regression" }]);
    std::fs::write(&path, file.to_string()).unwrap();
    for (name, shape) in [("classifier.weight", vec![1, 24]), ("classifier.bias", vec![1])] {
        let data = vec![0.5; shape.iter().product()];
        tensors.0.insert(name.into(), bert_core::weights::HostTensor { shape, data });
    }
    tensors.write_safetensors(&weights).unwrap();
    assert!(ModelDir::load(folder.path(), &Device::flex()).unwrap().model.parts().pooler);
    // A tensor that the configuration has no use for in another way is still one too many.
    tensors.0.insert("encoder.layer.0.bottleneck.output.dense.bias".into(), tensors.0["classifier.bias"].clone());
    tensors.write_safetensors(&weights).unwrap();
    let error = ModelDir::load(folder.path(), &Device::flex()).unwrap_err().to_string();
    assert!(error.contains("no place for") && error.contains("bottleneck.output"), "{error}");
}

#[test]
fn two_first_heads_in_one_file_are_not_taken_for_one() {
    let config = BertConfig { fit_size: None, ..small("tinybert-4") };
    let folder = tempfile::tempdir().unwrap();
    let parts = Parts::POOLER;
    ModelDir::save(folder.path(), &config, &built(&config, parts), Package::default()).unwrap();
    let weights = folder.path().join(WEIGHTS_FILE);
    let mut tensors = Tensors::read_safetensors(&weights).unwrap();
    tensors.0.insert("qa_outputs.weight".into(), tensors.0["classifier.weight"].clone());
    tensors.write_safetensors(&weights).unwrap();
    let error = ModelDir::load(folder.path(), &Device::flex()).unwrap_err().to_string();
    assert!(error.contains("no place for: `qa_outputs.weight`"), "{error}");
}

#[test]
fn a_model_of_another_configuration_is_refused_and_nothing_is_written() {
    let config = small("tinybert-4");
    let model = built(&config, Parts::default());
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("model");
    let other = BertConfig { vocab_size: 21, ..config };
    let error = ModelDir::save(&dir, &other, &model, Package::default()).unwrap_err().to_string();
    assert!(error.contains("word_embeddings.weight` of shape [21, 24], the model has"), "{error}");
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
}

#[test]
fn saving_into_an_existing_folder_replaces_files_and_keeps_others() {
    let config = small("tinybert-4");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    std::fs::write(folder.path().join(CONFIG_FILE), "old").unwrap();
    ModelDir::save(folder.path(), &config, &built(&config, Parts::default()), Package::default()).unwrap();
    assert!(ModelDir::load(folder.path(), &Device::flex()).is_ok());
    assert_eq!(std::fs::read_to_string(folder.path().join("notes.txt")).unwrap(), "mine");
}

#[test]
fn a_cut_off_header_is_an_error_not_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let config = small("efficientbert");
    ModelDir::save(folder.path(), &config, &built(&config, Parts::default()), Package::default()).unwrap();
    let path = folder.path().join(WEIGHTS_FILE);
    let bytes = std::fs::read(&path).unwrap();
    for length in [0, 3, 8, 100] {
        std::fs::write(&path, &bytes[..length]).unwrap();
        for error in [
            model_dir::outline(folder.path()).unwrap_err().to_string(),
            ModelDir::load(folder.path(), &Device::flex()).unwrap_err().to_string(),
        ] {
            assert!(error.contains(WEIGHTS_FILE) && error.contains("safetensors"), "{error}");
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]
    #[test]
    fn a_changed_byte_anywhere_gives_a_model_or_a_named_file_never_a_panic(
        searched: bool,
        words: bool,
        in_weights: bool,
        at in 0.0..1.0f64,
        value: u8,
    ) {
        let config = small(if searched { "efficientbert" } else { "mobilebert" });
        let folder = tempfile::tempdir().unwrap();
        let parts = if words { Parts::default().with_words(&config) } else { Parts::default() };
        ModelDir::save(folder.path(), &config, &built(&config, parts), Package::default()).unwrap();
        let path = folder.path().join(if in_weights { WEIGHTS_FILE } else { CONFIG_FILE });
        let mut bytes = std::fs::read(&path).unwrap();
        // The header is where a changed byte does harm; the weights behind it are just numbers.
        let reach = if in_weights { bytes.len().min(4000) } else { bytes.len() };
        bytes[(at * reach as f64) as usize] = value;
        std::fs::write(&path, bytes).unwrap();
        if let Err(error) = ModelDir::load(folder.path(), &Device::flex()) {
            let text = error.to_string();
            proptest::prop_assert!(text.contains(WEIGHTS_FILE) || text.contains(CONFIG_FILE), "{}", text);
        }
        // Only its absence of panics matters here.
        let _ = model_dir::outline(folder.path());
    }
}
