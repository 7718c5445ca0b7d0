//! Teachers of other families, from their checkpoint to a searched student.

use std::fmt::Write as _;

use bert_core::weights::{HostTensor, Tensors};
use bert_core::{BertConfig, Parts};
use encoder_spec::{Encoder, ModelType, NameFormat};
use serde_json::json;

use crate::own_data::works;
use crate::support::{folder, run};

/// Words of three scripts, the first three good and the others bad.
const WORDS: [&str; 6] = ["good", "καλό", "好", "bad", "κακό", "坏"];
const FILLERS: [&str; 3] = ["the", "το", "这"];

/// The tokenizer of an XLM-RoBERTa: pieces of a Unigram model, with a mark where a word begins.
fn tokenizer() -> String {
    let special = ["<s>", "<pad>", "</s>", "<unk>"].map(|piece| json!([piece, 0.0]));
    let words = WORDS.iter().chain(&FILLERS).map(|word| json!([format!("▁{word}"), -4.0]));
    let pieces: Vec<_> = special.into_iter().chain(words).chain([json!(["▁", -8.0]), json!(["<mask>", 0.0])]).collect();
    let token = |id: usize| json!({ "id": id, "content": pieces[id][0], "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false });
    let added = [0, 1, 2, 3, pieces.len() - 1].map(token);
    let metaspace = json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true });
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": added,
        "pre_tokenizer": metaspace, "decoder": metaspace,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{ "SpecialToken": { "id": "<s>", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }, { "SpecialToken": { "id": "</s>", "type_id": 0 } }],
            "pair": [
                { "SpecialToken": { "id": "<s>", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }, { "SpecialToken": { "id": "</s>", "type_id": 0 } },
                { "SpecialToken": { "id": "</s>", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 0 } }, { "SpecialToken": { "id": "</s>", "type_id": 0 } }
            ],
            "special_tokens": { "<s>": { "id": "<s>", "ids": [0], "tokens": ["<s>"] }, "</s>": { "id": "</s>", "ids": [2], "tokens": ["</s>"] } }
        },
        "model": { "type": "Unigram", "unk_id": 3, "vocab": pieces, "byte_fallback": false }
    })
    .to_string()
}

#[test]
fn an_xlm_roberta_is_fine_tuned_and_teaches_a_searched_student() {
    let dir = folder();
    let checkpoint = dir.path().join("xlm-r");
    std::fs::create_dir(&checkpoint).unwrap();
    let tokens = 4 + WORDS.len() + FILLERS.len() + 2;
    let config =
        BertConfig { max_position_embeddings: 24, type_vocab_size: 1, ..BertConfig::bert(tokens, 16, 2, 2, 32) };
    let shapes = Encoder::describe(&config, Parts::NONE).unwrap().weights();
    let names = NameFormat::HuggingFace(ModelType::Bert).names(shapes.keys().map(String::as_str));
    let mut state = 1_u64;
    let mut weight = |shape: Vec<usize>, is_scale: bool| {
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1 << 24) as f32 - 0.5) * 0.2 + if is_scale { 1.0 } else { 0.0 }
        };
        HostTensor { data: (0..shape.iter().product()).map(|_| draw()).collect(), shape }
    };
    let tensors = shapes.into_iter().map(|(path, mut shape)| {
        if path == "encoder.embeddings.position_embeddings.weight" {
            // Positions begin behind that of padding.
            shape[0] += 2;
        }
        let is_scale = path.ends_with("norm.weight");
        (format!("roberta.{}", names[&path]), weight(shape, is_scale))
    });
    Tensors(tensors.collect()).write_safetensors(&checkpoint.join("model.safetensors")).unwrap();
    let keys = json!({
        "model_type": "xlm-roberta", "architectures": ["XLMRobertaModel"], "vocab_size": tokens, "hidden_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 32, "hidden_act": "gelu", "max_position_embeddings": 26, "type_vocab_size": 1,
        "layer_norm_eps": 1e-5, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2
    });
    std::fs::write(checkpoint.join("config.json"), keys.to_string()).unwrap();
    std::fs::write(checkpoint.join("tokenizer.json"), tokenizer()).unwrap();

    let mut csv = "text,label\n".to_owned();
    for n in 0..180 {
        let (word, filler) = (WORDS[n % 6], |k: usize| FILLERS[(n / 6 + k) % 3]);
        let label = if n % 6 < 3 { "+" } else { "-" };
        writeln!(csv, "{} {word} {},{label}", filler(n), filler(2 * n + 1)).unwrap();
    }
    std::fs::write(dir.path().join("t.csv"), csv).unwrap();
    let own = ["--train", "t.csv", "--text", "text", "--label", "label"];
    works(run(dir.path(), &["import", "xlm-r", "--out", "model"]));
    let short =
        ["--steps", "120", "--batch-size", "16", "--max-len", "12", "--learning-rate", "3e-3", "--threads", "1"];
    let teacher = [&["teacher", "--model", "model", "--out", "teacher"], &short[..], &own[..]].concat();
    let score = run(dir.path(), &teacher).json()["score"].as_f64().unwrap();
    assert!(score > 0.9, "every script is read: {score}");
    let search = [
        "search",
        "--recipe",
        "smoke",
        "--teacher",
        "teacher",
        "--out",
        "found",
        "--set",
        "max_len=16",
        "--threads",
        "1",
    ];
    works(run(dir.path(), &[&search[..], &own[..]].concat()));
    let answer = works(run(dir.path(), &["predict", "--model", "found/student", "το καλό 这"])).stdout;
    assert!(answer.starts_with("+ 0.") || answer.starts_with("- 0."), "{answer}");
}
