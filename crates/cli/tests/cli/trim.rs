//! Trimmed vocabularies: `trim`, and `--trim-vocab` of what makes students.

use std::fmt::Write as _;
use std::path::Path;

use glue_squad::task::TaskKind;
use serde_json::{Value, json};

use crate::own_data::works;
use crate::stopping::stopped_at;
use crate::support::{pocket_folder, run};

const ARCH: &str = "linear1_1(gelu(linear1_1(x,wb1)),wb2)";

fn pieces(dir: &Path, model: &str) -> u64 {
    let config = std::fs::read(dir.join(model).join("config.json")).unwrap();
    serde_json::from_slice::<Value>(&config).unwrap()["vocab_size"].as_u64().unwrap()
}

fn weights(dir: &Path, model: &str) -> Vec<u8> {
    std::fs::read(dir.join(model).join("model.safetensors")).unwrap()
}

#[test]
fn a_trimmed_model_answers_training_texts_as_before_and_says_what_it_loses_on_dev() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let trim = ["trim", "--model", "bert", "--task", "sst-2", "--data", "pocket"];
    let done = run(dir.path(), &[&trim[..], &["--out", "small", "--json"]].concat()).json();
    let [before, after] = [0, 1].map(|at| done["sizes"]["pieces"][at].as_u64().unwrap());
    assert!(after < before && before == pieces(dir.path(), "bert") && after == pieces(dir.path(), "small"), "{done}");
    let lost = |list: &str| [0, 1].map(|at| done["sizes"][list][at].as_u64().unwrap());
    let saved = |[before, after]: [u64; 2]| before - after;
    assert_eq!((saved(lost("params")), saved(lost("bytes"))), ((before - after) * 16, (before - after) * 64));
    let dev = &done["dev"][0];
    assert!(dev["task"] == "sst-2" && dev["score"]["examples"] == 48 && dev["tokens"].as_u64().unwrap() > 48, "{dev}");
    assert!(dev["changed"].as_u64().unwrap() < dev["tokens"].as_u64().unwrap() && dev["unknown"][0] == 0.0, "{dev}");

    let training = std::fs::read_to_string(dir.path().join("pocket/SST-2/train.tsv")).unwrap();
    for text in training.lines().skip(1).take(3).map(|line| line.split('\t').next().unwrap()) {
        let answer = |model| run(dir.path(), &["predict", "--model", model, "--json", text]).json();
        let (mut whole, mut small) = (answer("bert"), answer("small"));
        for answer in [&mut whole, &mut small] {
            answer.as_object_mut().unwrap().remove("model");
        }
        assert_eq!(whole, small);
    }
    let card = std::fs::read_to_string(dir.path().join("small/README.md")).unwrap();
    assert!(card.contains("word pieces") && card.contains("sst-2 dev: "), "{card}");

    let again = ["trim", "--model", "small", "--task", "sst-2", "--data", "pocket", "--out", "none"];
    run(dir.path(), &again).fails_with(1, &["small", "there is nothing to trim"]);
    let fewer = run(dir.path(), &[&trim[..], &["--at-least", "3", "--out", "fewer", "--json"]].concat()).json();
    assert!(fewer["sizes"]["pieces"][1].as_u64().unwrap() < after);
    let of_text = ["trim", "--model", "bert", "--corpus", "pocket/corpus.txt", "--out", "text"];
    let said = works(run(dir.path(), &of_text)).stdout;
    assert!(said.contains("word pieces") && !said.contains("dev"), "{said}");
}

#[test]
fn a_student_with_a_trimmed_vocabulary_is_the_same_after_its_training_was_killed() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let distill = [
        "distill",
        "--arch",
        ARCH,
        "--hidden",
        "12",
        "--embed",
        "8",
        "--teacher",
        "bert",
        "--inherit",
        "teacher",
        "--task",
        "sst-2",
        "--data",
        "pocket",
        "--trim-vocab",
        "--steps",
        "300",
        "--eval-every",
        "100",
        "--checkpoint-every",
        "30",
        "--batch-size",
        "4",
        "--max-len",
        "16",
        "--threads",
        "1",
    ];
    let whole = works(run(dir.path(), &[&distill[..], &["--out", "whole"]].concat()));
    whole.says(&["the vocabulary is trimmed from", "of the teacher, ", "sst-2 dev: ", "the model scores"]);
    let args = [&distill[..], &["--out", "student"]].concat();
    let (code, said) = stopped_at(dir.path(), &args, "-KILL", |line| line["what"] == "evaluation");
    assert_eq!(code, None, "{said}");
    works(run(dir.path(), &["distill", "--resume", "--out", "student"]));
    assert_eq!(weights(dir.path(), "whole"), weights(dir.path(), "student"));
    let (small, large) = (pieces(dir.path(), "student"), pieces(dir.path(), "bert"));
    assert!(small < large, "{small} of {large}");
    works(run(dir.path(), &["eval", "--model", "student", "--task", "sst-2", "--data", "pocket", "--max-len", "16"]));
    // The next student of the same texts begins as one of the whole vocabulary, or the teacher was trimmed before.
    let next =
        ["distill", "--init", "student", "--teacher", "bert", "--task", "sst-2", "--data", "pocket", "--out", "next"];
    run(dir.path(), &[&next[..], &["--trim-vocab"]].concat())
        .fails_with(2, &["--trim-vocab: --init student has another tokenizer", "efficientbert trim"]);
    let init = ["--init", "bert", "--teacher", "bert", "--task", "sst-2", "--data", "pocket", "--trim-vocab=2"];
    let more = ["--steps", "1", "--batch-size", "4", "--max-len", "16", "--out", "init"];
    works(run(dir.path(), &[&["distill"], &init[..], &more].concat()));
    assert!(pieces(dir.path(), "init") < small);
}

#[test]
fn a_search_with_a_trimmed_vocabulary_goes_on_after_a_kill_to_the_same_student() {
    let dir = pocket_folder(&[]);
    let search = |out: &'static str| {
        let inputs = ["--teacher", "bert", "--data", "pocket", "--corpus", "pocket/corpus.txt", "--set", "max_len=16"];
        [&["search", "--recipe", "smoke", "--trim-vocab", "--threads", "1", "--out", out], &inputs[..]].concat()
    };
    works(run(dir.path(), &search("whole"))).says(&["the vocabulary is trimmed from", "dev: "]);
    let (code, said) =
        stopped_at(dir.path(), &search("run"), "-KILL", |line| line["event"] == "start" && line["phase"] == "stage-1");
    assert_eq!(code, None, "{said}");
    works(run(dir.path(), &["search", "--resume", "--out", "run", "--threads", "1"]));
    assert_eq!(weights(dir.path(), "whole/student"), weights(dir.path(), "run/student"));
    let sizes = ["run/teacher/model", "run/student"].map(|model| pieces(dir.path(), model));
    assert!(sizes[0] == sizes[1] && sizes[0] < pieces(dir.path(), "bert"), "{sizes:?}");
    let card = std::fs::read_to_string(dir.path().join("run/student/README.md")).unwrap();
    assert!(card.contains("the vocabulary is trimmed from"), "{card}");
    let recipe = std::fs::read_to_string(dir.path().join("run/recipe.toml")).unwrap();
    assert!(recipe.contains("trim_vocab = 1"), "{recipe}");
}

#[test]
fn a_model_is_compressed_to_a_student_of_the_pieces_of_its_table() {
    let dir = pocket_folder(&[]);
    let mut csv = "text,label\n".to_owned();
    for n in 0..160 {
        writeln!(csv, "the {} was,{}", ["good", "soup"][n % 2], ["yes", "no"][n % 2]).unwrap();
    }
    std::fs::write(dir.path().join("t.csv"), csv).unwrap();
    let settings = [
        "teacher.fine_tune.steps=4",
        "search.stage1.trials=3",
        "search.stage1.initial_random=2",
        "search.stage2.trials=2",
        "search.stage2.proxy.task.steps=2",
        "search.stage3.trials=1",
        "search.stage3.task.steps=2",
        "final.task.steps=4",
        "latency.runs=2",
    ];
    let own = ["--model", "bert", "--train", "t.csv", "--text", "text", "--label", "label", "--threads", "1"];
    let short = settings.iter().flat_map(|setting| ["--set", setting]).collect::<Vec<_>>();
    let args = [&["compress", "--trim-vocab", "--max-params", "4k", "--out", "small"], &own[..], &short].concat();
    works(run(dir.path(), &args)).says(&["the vocabulary is trimmed from", "parameters are left"]);
    assert!(pieces(dir.path(), "small") * 2 < pieces(dir.path(), "bert"));
    works(run(dir.path(), &["predict", "--model", "small", "the soup was good"]));
}

#[test]
fn text_files_and_questions_decide_too() {
    let dir = crate::squad::folder();
    let student =
        ["--hidden", "12", "--embed", "8", "--teacher", "bert", "--corpus", "pocket/corpus.txt", "--trim-vocab=4"];
    let short = ["--steps", "1", "--batch-size", "4", "--max-len", "16", "--out", "text"];
    let distill = [&["distill", "--arch", ARCH], &student[..], &short].concat();
    works(run(dir.path(), &distill)).says(&["at least 4 times in the training texts"]);
    assert!(pieces(dir.path(), "text") < pieces(dir.path(), "bert"));
    let questions =
        ["trim", "--model", "bert", "--task", "squad-v1", "--data", "squad", "--out", "questions", "--json"];
    let done = run(dir.path(), &questions).json();
    assert!(done["dev"][0]["task"] == "squad-v1" && done["dev"][0]["score"].is_null(), "{done}");
    assert_eq!(done["dev"][0]["changed"], 0, "the same words stand in both parts");
}

#[test]
fn both_texts_count_where_each_is_read_alone() {
    let dir = pocket_folder(&[]);
    let mut csv = "one,two,near\n".to_owned();
    for n in 0..40 {
        writeln!(csv, "the good was,a soup and,0.{n}").unwrap();
    }
    std::fs::write(dir.path().join("t.csv"), csv).unwrap();
    let own = [
        "--train",
        "t.csv",
        "--dev",
        "t.csv",
        "--text",
        "one",
        "--text",
        "two",
        "--label",
        "near",
        "--kind",
        "similarity",
    ];
    let done = run(dir.path(), &[&["trim", "--model", "bert", "--out", "small", "--json"], &own[..]].concat()).json();
    let dev = &done["dev"][0];
    assert!(dev["changed"] == 0 && dev["unknown"][0] == dev["unknown"][1] && dev["tokens"] == 400, "{done}");
}

#[test]
fn what_has_ids_of_the_whole_vocabulary_is_refused() {
    let dir = pocket_folder(&[]);
    let pack = ["data", "pack", "pocket/corpus.txt", "--tokenizer", "bert", "--max-len", "16", "--out", "packed"];
    works(run(dir.path(), &pack));
    let shards = ["packed holds packed shards", "efficientbert trim"];
    let distill =
        ["distill", "--arch", ARCH, "--hidden", "12", "--teacher", "bert", "--corpus", "packed", "--out", "o"];
    run(dir.path(), &[&distill[..], &["--trim-vocab"]].concat()).fails_with(2, &shards);
    let search =
        ["search", "--recipe", "smoke", "--trim-vocab", "--teacher", "bert", "--data", "pocket", "--corpus", "packed"];
    run(dir.path(), &[&search[..], &["--set", "max_len=16", "--out", "o"]].concat()).fails_with(2, &shards);
    run(dir.path(), &["search", "--trim-vocab", "--out", "o"])
        .fails_with(2, &["`teacher.trim_vocab`", "`teacher.model`"]);
    let table = ["bench", "--table", "t.json", "--recipe", "smoke", "--teacher", "bert", "--set", "data.glue=pocket"];
    let more = ["--set", "data.corpus=[\"pocket/corpus.txt\"]", "--set", "teacher.trim_vocab=1"];
    let refused = run(dir.path(), &[&table[..], &more].concat());
    refused.says(&[
        "`teacher.trim_vocab`: a table is made for the vocabulary of a teacher as it is",
        "efficientbert trim",
    ]);
    assert!(refused.code != Some(0) && !dir.path().join("t.json").exists());
    run(dir.path(), &["search", "--trim-vocab=0", "--out", "o"]).fails_with(2, &["--trim-vocab"]);
    run(dir.path(), &["trim", "--model", "bert", "--out", "o"]).fails_with(2, &["--task <TASK|FILE>"]);
    assert!(!dir.path().join("o").exists());
    assert_eq!(json!(pieces(dir.path(), "bert")), json!(synthetic_tasks::vocabulary().len()));
}
