//! The Hugging Face hub in place of paths.

use std::path::Path;
use std::process::Command;

use bert_core::weights::Tensors;
use glue_squad::task::TaskKind;
use serde_json::{Value, json};

use crate::fake_hub::{COMMIT, FakeHub, Files, free_port};
use crate::support::{
    Outcome, command, filled, folder, outcome, plain_bert, pocket, run, snapshot, tiny_config, tiny_tensors,
};

/// The binary with a cache of its own in `dir` and nothing of this machine's settings.
pub fn with_hub(dir: &Path, endpoint: &str) -> Command {
    let mut command = command(dir);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env_remove(name).env_remove(name.to_ascii_lowercase());
    }
    for name in ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"] {
        command.env_remove(name);
    }
    command.env("HF_HOME", dir.join("cache")).env("HF_ENDPOINT", endpoint);
    command
}

fn asked(dir: &Path, endpoint: &str, args: &[&str]) -> Outcome {
    outcome(with_hub(dir, endpoint).args(args))
}

/// A BERT as old checkpoints have it, with a head of two classes.
fn classifier() -> Files {
    let dir = folder();
    let mut config = tiny_config();
    config["architectures"] = json!(["BertForSequenceClassification"]);
    config["id2label"] = json!({ "0": "negative", "1": "positive" });
    let mut tensors = tiny_tensors();
    tensors.0.insert("classifier.weight".into(), filled(&[2, 4]));
    tensors.0.insert("classifier.bias".into(), filled(&[2]));
    let old =
        |name: String| name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
    tensors.0 = tensors.0.into_iter().map(|(name, tensor)| (old(name), tensor)).collect();
    tensors.write_safetensors(&dir.path().join("model.safetensors")).unwrap();
    let weights = std::fs::read(dir.path().join("model.safetensors")).unwrap();
    let vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\nd\ne\nf\n";
    let files = [
        ("config.json", config.to_string().into_bytes()),
        ("vocab.txt", vocab.into()),
        ("model.safetensors", weights),
        ("modeling.py", b"print()".to_vec()),
    ];
    files.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}

/// Files of a folder, as a repository has them.
pub fn uploaded(dir: &Path) -> Files {
    let files =
        snapshot(dir).into_iter().filter_map(|(path, bytes)| Some((path.to_string_lossy().into_owned(), bytes?)));
    files.collect()
}

#[test]
fn a_model_of_the_hub_is_imported_and_answers() {
    let (dir, fake) = (folder(), FakeHub::start("org/tiny-sst2", classifier()));
    let import = ["import", "org/tiny-sst2", "--out", "m"];
    let done = asked(dir.path(), &fake.endpoint(), &import);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    done.says(&["model.safetensors from 127.0.0.1", "checksum right", "the head is taken as that of sst-2"]);
    let card = std::fs::read_to_string(dir.path().join("m/README.md")).unwrap();
    assert!(card.contains(&format!("`org/tiny-sst2@{COMMIT}` of the Hugging Face hub")), "{card}");
    let config: Value = serde_json::from_slice(&std::fs::read(dir.path().join("m/config.json")).unwrap()).unwrap();
    assert_eq!(config["task_heads"][0]["task"], "sst-2");
    let answer = run(dir.path(), &["predict", "--model", "m", "--json", "a b"]).json();
    assert!(answer["answers"][0]["probability"].is_number(), "{answer}");

    // Without a network what is here is used, and that is said.
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let again = asked(dir.path(), &nobody, &["import", "hf:org/tiny-sst2", "--out", "n"]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    again.says(&["could not be asked for a newer one", COMMIT]);
    let offline = |id: &str, out: &str| {
        outcome(with_hub(dir.path(), &nobody).env("HF_HUB_OFFLINE", "1").args(["import", id, "--out", out]))
    };
    assert_eq!(offline("org/tiny-sst2", "o").code, Some(0));
    offline("org/other", "p").fails_with(1, &["SOURCE: offline", "`org/other`", "hint: HF_HUB_OFFLINE is set"]);
    let same = |name: &str| uploaded(&dir.path().join(name)).remove("model.safetensors");
    assert!(same("m").is_some() && same("m") == same("n") && same("m") == same("o"));
}

#[test]
fn a_folder_is_imported_without_further_options_and_a_path_wins_over_the_hub() {
    let dir = folder();
    let place = dir.path().join("org/tiny");
    std::fs::create_dir_all(&place).unwrap();
    for (name, bytes) in classifier() {
        std::fs::write(place.join(name), bytes).unwrap();
    }
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let done = asked(dir.path(), &nobody, &["import", "org/tiny", "--out", "m"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    done.says(&["the head is taken as that of tiny; --task names another task"]);
    let named = asked(dir.path(), &nobody, &["import", "org/tiny", "--task", "sst-2", "--out", "n"]);
    assert!(!named.stderr.contains("is taken as"), "{}", named.stderr);
    let file = asked(dir.path(), &nobody, &["import", "org/tiny/model.safetensors", "--task", "sst-2", "--out", "o"]);
    assert_eq!(file.code, Some(0), "{}", file.stderr);
    // A misspelled path is not looked up elsewhere.
    asked(dir.path(), &nobody, &["import", "org/tinny", "--out", "p"])
        .fails_with(2, &["SOURCE org/tinny: no such file or folder", "hint: hf:org/tinny is the model"]);
    asked(dir.path(), &nobody, &["predict", "--model", "org/tinny", "a"])
        .fails_with(2, &["--model org/tinny: no such folder"]);
    asked(dir.path(), &nobody, &["import", "hf:a/b/c", "--out", "p"]).fails_with(2, &["`hf:a/b/c`", "ORG/NAME"]);
}

#[test]
fn refusals_of_the_hub_say_what_to_do() {
    let (dir, fake) = (folder(), FakeHub::start("org/tiny", classifier()));
    let import = |id: &str| asked(dir.path(), &fake.endpoint(), &["import", id, "--out", "m"]);
    import("orgg/tiny")
        .fails_with(2, &["SOURCE: http://127.0.0.1", "no model `orgg/tiny`", "hint: check the spelling", "HF_TOKEN"]);
    import("org/tiny@v2").fails_with(2, &["`org/tiny` has no revision `v2`", "hint: a revision is"]);
    let token = dir.path().join("cache/token");
    std::fs::create_dir_all(token.parent().unwrap()).unwrap();
    std::fs::write(&token, "hf_of_file\n").unwrap();
    let before = fake.hub.requests().len();
    assert_eq!(import("org/tiny").code, Some(0));
    let requests = fake.hub.requests();
    assert!(requests[before..].iter().all(|request| request.headers["authorization"] == "Bearer hf_of_file"));
    let nobody = format!("http://127.0.0.1:{}", free_port());
    asked(dir.path(), &nobody, &["import", "org/absent", "--out", "n"])
        .fails_with(1, &["no connection to 127.0.0.1", "hint: HF_ENDPOINT"]);
}

#[test]
fn commands_take_models_and_data_of_the_hub() {
    let dir = folder();
    pocket(dir.path());
    plain_bert(dir.path(), "ours", &[TaskKind::Sst2]);
    let models = FakeHub::start("org/ours", uploaded(&dir.path().join("ours")));
    let ours = asked(dir.path(), &models.endpoint(), &["predict", "--model", "org/ours@main", "--json", "good film"]);
    assert_eq!(ours.json(), run(dir.path(), &["predict", "--model", "ours", "--json", "good film"]).json());

    let table = "text,label\ngood film,yes\nbad film,no\n".repeat(20).into_bytes();
    let data = FakeHub::start("datasets/org/reviews", [("data/train.csv".to_owned(), table)].into());
    let train = "datasets/org/reviews/data/train.csv";
    let teacher = ["teacher", "--model", "ours", "--train", train, "--text", "text", "--label", "label", "--out", "t"];
    let few = ["--steps", "2", "--batch-size", "4", "--max-len", "8"];
    let done = asked(dir.path(), &data.endpoint(), &[&teacher[..], &few].concat());
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    done.says(&["data/train.csv from 127.0.0.1"]);
}

#[test]
fn a_checkpoint_is_fine_tuned_as_it_is_and_must_be_imported_before_it_answers() {
    let dir = folder();
    std::fs::write(dir.path().join("train.csv"), "text,label\na b,yes\nc d,no\n".repeat(20)).unwrap();
    let fake = FakeHub::start("org/tiny", classifier());
    let teacher = ["teacher", "--model", "org/tiny", "--train", "train.csv", "--text", "text", "--label", "label"];
    let few = ["--steps", "2", "--batch-size", "4", "--max-len", "8", "--out", "t"];
    let done = asked(dir.path(), &fake.endpoint(), &[&teacher[..], &few].concat());
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    done.says(&["a checkpoint of transformers, imported into memory", "the heads of --model are left behind"]);
    let card = std::fs::read_to_string(dir.path().join("t/README.md")).unwrap();
    assert!(card.contains(&format!("From `org/tiny@{COMMIT}`")), "{card}");
    assert_eq!(run(dir.path(), &["predict", "--model", "t", "a b"]).code, Some(0));

    asked(dir.path(), &fake.endpoint(), &["predict", "--model", "org/tiny", "a b"])
        .fails_with(1, &["hint:", &format!("efficientbert import org/tiny@{COMMIT} --out models/tiny")]);
    let mut other = classifier();
    let weights = other.remove("model.safetensors").unwrap();
    other.insert("pytorch_model.bin".into(), weights);
    let place = dir.path().join("other");
    std::fs::create_dir(&place).unwrap();
    for (name, bytes) in other {
        std::fs::write(place.join(name), bytes).unwrap();
    }
    run(dir.path(), &["predict", "--model", "other", "a b"])
        .fails_with(2, &["has to be imported first", "efficientbert import other --out models/other"]);
}

#[test]
fn a_model_of_sentence_transformers_brings_how_it_makes_vectors() {
    let dir = folder();
    let mut files = classifier();
    let mut weights = Tensors::read_safetensors(&{
        let path = dir.path().join("w.safetensors");
        std::fs::write(&path, &files["model.safetensors"]).unwrap();
        path
    })
    .unwrap();
    weights.0.retain(|name, _| !name.starts_with("classifier."));
    weights.write_safetensors(&dir.path().join("w.safetensors")).unwrap();
    files.insert("model.safetensors".into(), std::fs::read(dir.path().join("w.safetensors")).unwrap());
    let mut config = tiny_config();
    config["architectures"] = json!(["BertModel"]);
    let module = |at: usize, path: &str, kind: &str| json!({ "idx": at, "name": at.to_string(), "path": path, "type": format!("sentence_transformers.models.{kind}") });
    let modules =
        json!([module(0, "", "Transformer"), module(1, "1_Pooling", "Pooling"), module(2, "2_Normalize", "Normalize")]);
    for (name, value) in [
        ("config.json", config),
        ("modules.json", modules),
        ("1_Pooling/config.json", json!({ "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false })),
        ("sentence_bert_config.json", json!({ "max_seq_length": 6 })),
        ("onnx/model.json", json!({})),
    ] {
        files.insert(name.into(), value.to_string().into_bytes());
    }
    let fake = FakeHub::start("org/sentences", files);
    let done = asked(dir.path(), &fake.endpoint(), &["import", "org/sentences", "--out", "m"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    done.says(&["makes vectors of length 1 by cls pooling"]);
    let config: Value = serde_json::from_slice(&std::fs::read(dir.path().join("m/config.json")).unwrap()).unwrap();
    let vector = json!({ "pooling": "cls", "normalize": true, "max_len": 6 });
    assert_eq!(config["task_heads"], json!([{ "task": "embedding", "kind": "embedding", "vector": vector }]));
    run(dir.path(), &["predict", "--model", "m", "a b c d e f a b"]).says(&["10 tokens, cut to 6"]);

    // What is trained further, and its students, make vectors in the same way.
    let pairs: String = (0..20).map(|n| format!("{},{}\n", ["a b", "c d"][n % 2], ["a", "c"][n % 2])).collect();
    std::fs::write(dir.path().join("p.csv"), format!("q,a\n{pairs}")).unwrap();
    let own = ["--train", "p.csv", "--text", "q", "--text", "a", "--kind", "retrieval", "--max-len", "8"];
    let teacher = |more: &[&str]| {
        let base = ["teacher", "--model", "m", "--steps", "2", "--out", "t"];
        run(dir.path(), &[&base[..], more, &own[..]].concat())
    };
    teacher(&["--batch-size", "1"]).fails_with(1, &["comparing the pairs of a batch; it has one"]);
    teacher(&["--batch-size", "4", "--accumulate", "4"])
        .fails_with(1, &["4 pairs in 4 parts leave nothing to compare"]);
    assert_eq!(teacher(&["--batch-size", "4"]).code, Some(0));
    let pooling = |model: &str| -> Value {
        let config = std::fs::read(dir.path().join(model).join("config.json")).unwrap();
        serde_json::from_slice::<Value>(&config).unwrap()["task_heads"][0]["vector"]["pooling"].clone()
    };
    assert_eq!(pooling("t"), json!("cls"));
    let student = [
        "distill",
        "--arch",
        "t",
        "--teacher",
        "t",
        "--objective",
        "logits",
        "--steps",
        "2",
        "--batch-size",
        "4",
        "--out",
        "s",
    ];
    let done = run(dir.path(), &[&student[..], &own[..]].concat());
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(pooling("s"), json!("cls"));
    run(dir.path(), &["eval", "--model", "m", "--test", "p.csv", "--text", "q", "--text", "a"])
        .fails_with(2, &["--kind: is missing", "--kind retrieval"]);
    run(dir.path(), &["import", "m", "--pooling", "mean", "--out", "m2"])
        .fails_with(2, &["--pooling: the configuration already names"]);
}
