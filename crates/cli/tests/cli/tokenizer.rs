//! A directory's tokenizer: how the files of one that was made elsewhere are read, and what those of a new one are.

use std::path::Path;

use glue_squad::task::TaskKind;
use serde_json::{Value, json};

use crate::support::{folder, import_tiny, pocket_folder, run, snapshot, tiny_config, tiny_tensors, write_checkpoint};

const ARCH: &str = "linear1_1(gelu(linear1_1(x,wb1)),wb2); tanh(linear2_2(gelu(linear2_2(x,wb1)),wb2))";

fn object(path: &Path) -> Value {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Checks that a model directory has every file that other readers look for, and that these say the same.
#[track_caller]
pub fn is_whole(dir: &Path, lower: bool) {
    let config = object(&dir.join("tokenizer_config.json"));
    let normalizer = &object(&dir.join("tokenizer.json"))["normalizer"];
    assert_eq!((&normalizer["lowercase"], &config["do_lower_case"]), (&json!(lower), &json!(lower)));
    assert_eq!(
        (&config["tokenizer_class"], &config["tokenize_chinese_chars"]),
        (&json!("BertTokenizer"), &json!(true))
    );
    assert_eq!(config["model_max_length"], object(&dir.join("config.json"))["max_position_embeddings"]);
    let map = object(&dir.join("special_tokens_map.json"));
    for (key, name) in [
        ("pad_token", "[PAD]"),
        ("unk_token", "[UNK]"),
        ("cls_token", "[CLS]"),
        ("sep_token", "[SEP]"),
        ("mask_token", "[MASK]"),
    ] {
        assert_eq!((&config[key], &map[key]), (&json!(name), &json!(name)), "{key}");
    }
    let vocab = std::fs::read_to_string(dir.join("vocab.txt")).unwrap();
    let ids = object(&dir.join("tokenizer.json"))["model"]["vocab"].as_object().unwrap().clone();
    assert_eq!(vocab.lines().count(), ids.len());
    assert!(vocab.lines().enumerate().all(|(id, token)| ids[token] == id));
}

/// A folder with the tiny checkpoint and `files` beside it.
fn checkpoint(files: &[(&str, String)]) -> tempfile::TempDir {
    let dir = folder();
    write_checkpoint(dir.path(), &tiny_config(), &tiny_tensors());
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

/// Ten tokens: the tiny checkpoint has eleven rows.
fn vocab() -> (&'static str, String) {
    ("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nA\n<\nx\n".into())
}

#[test]
fn import_makes_a_whole_tokenizer_of_a_vocabulary_and_says_what_it_found() {
    let added = ("added_tokens.json", json!({ "<x": 10 }).to_string());
    let config = ("tokenizer_config.json", json!({ "do_lower_case": false, "model_max_length": 512 }).to_string());
    let dir = checkpoint(&[vocab(), added, config]);
    let done = import_tiny(dir.path(), &[]);
    done.says(&["no tokenizer.json stands beside the weights; vocab.txt is used"]);
    let names =
        ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt"];
    assert_eq!(done.json()["tokenizer"], json!(names));
    let model = dir.path().join("model");
    is_whole(&model, false);
    assert_eq!(object(&model.join("added_tokens.json")), json!({ "<x": 10 }));
    let listed = &object(&model.join("tokenizer.json"))["added_tokens"];
    assert!(listed.as_array().unwrap().iter().any(|t| t["content"] == "<x" && t["id"] == 10), "{listed}");

    let bare = checkpoint(&[]);
    let done = import_tiny(bare.path(), &[]);
    done.says(&["neither tokenizer.json nor vocab.txt stands beside the weights; copy the one that belongs to them"]);
    assert_eq!(done.json()["tokenizer"], json!([]));

    let damaged = checkpoint(&[vocab(), ("added_tokens.json", "{".into())]);
    let done = import_tiny(damaged.path(), &[]);
    done.says(&[
        "added_tokens.json: not a tokenizer configuration",
        "the files of the tokenizer are copied as they are",
    ]);
    assert_eq!(done.json()["tokenizer"], json!(["added_tokens.json", "vocab.txt"]));
}

#[test]
fn files_that_contradict_each_other_are_named_and_become_one_in_a_new_directory() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let predict = |model: &str, text: &str| run(dir.path(), &["predict", "--model", model, "--json", text]);
    let probabilities = |model: &str, text: &str| predict(model, text).json()["answers"][0]["probabilities"].clone();
    let (upper, lower) = ("The Soup WAS good", "the soup was good");
    assert_eq!(probabilities("bert", upper), probabilities("bert", lower), "uncased");
    let config = dir.path().join("bert/tokenizer_config.json");
    std::fs::write(&config, json!({ "do_lower_case": false, "model_max_length": 512 }).to_string()).unwrap();
    let warning = "bert: tokenizer.json and tokenizer_config.json disagree on `do_lower_case` (true, false); \
                   tokenizer_config.json is followed";
    let said = predict("bert", upper);
    said.says(&[warning]);
    assert_eq!(said.stderr.matches("disagree").count(), 1, "{}", said.stderr);
    assert_ne!(probabilities("bert", upper), probabilities("bert", lower), "cased");

    let tuned = ["teacher", "--model", "bert", "--out", "tuned", "--task", "sst-2", "--data", "pocket", "--steps", "1"];
    let tuned = run(dir.path(), &tuned);
    assert_eq!(tuned.code, Some(0), "{}", tuned.stderr);
    tuned.says(&[warning]);
    is_whole(&dir.path().join("tuned"), false);
    assert_eq!(predict("tuned", upper).stderr, "", "nothing contradicts anything there");

    let distilled =
        ["distill", "--teacher", "bert", "--arch", ARCH, "--hidden", "12", "--embed", "8", "--positions", "16"];
    let text = ["--corpus", "pocket/corpus.txt", "--out", "general", "--steps", "1", "--max-len", "16"];
    let distilled = run(dir.path(), &[&distilled[..], &text].concat());
    assert_eq!(distilled.code, Some(0), "{}", distilled.stderr);
    distilled.says(&[warning]);
    is_whole(&dir.path().join("general"), false);
    assert_eq!(object(&dir.path().join("general/tokenizer_config.json"))["model_max_length"], 16);

    let args = ["import", "bert/model.safetensors", "--config", "bert/config.json", "--format", "hf", "--out", "again"];
    let imported = run(dir.path(), &args);
    imported.says(&[warning]);
    is_whole(&dir.path().join("again"), false);
    let twice =
        ["import", "again/model.safetensors", "--config", "again/config.json", "--format", "hf", "--out", "twice"];
    assert_eq!(run(dir.path(), &twice).stderr, "");
    let files = |name: &str| {
        let mut files = snapshot(&dir.path().join(name));
        files.remove(Path::new("README.md"));
        files
    };
    assert!(files("twice") == files("again"));
}
