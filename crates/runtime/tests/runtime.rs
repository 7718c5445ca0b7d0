//! A runtime against itself: alone and among threads, from a folder and from bytes, packed and not; and the program around it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use encoder_spec::{BertConfig, VectorConfig};
use runtime::{
    Answer, Input, Precision, QuestionSettings, Runtime, Settings, TaskHeadConfig, TaskHeadKind, TokenRows, pack,
};
use tempfile::TempDir;

const TEXTS: [&str; 5] = ["a quiet film", "film", "not a film . not quiet", "über films", "a a a a a a a a a a a a a"];

fn labels(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// A model directory with made-up weights; its matrices are most of it.
fn model(heads: Vec<TaskHeadConfig>) -> (TempDir, PathBuf) {
    model_of(BertConfig { task_heads: heads, ..BertConfig::bert(11, 64, 2, 4, 128) })
}

fn model_of(config: BertConfig) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("model");
    model_dir::write_untrained(&dir, config, &["a", "quiet", "film", "not", ".", "##s"], 1).unwrap();
    (folder, dir)
}

fn films() -> TaskHeadConfig {
    TaskHeadConfig::new("films", TaskHeadKind::Classification, labels(&["bad", "good"]))
}

fn names() -> TaskHeadConfig {
    TaskHeadConfig::new("names", TaskHeadKind::Tags, labels(&["O", "B-PER", "I-PER"]))
}

fn vectors() -> TaskHeadConfig {
    TaskHeadConfig::embedding("vectors", VectorConfig { size: Some(8), normalize: true, ..VectorConfig::default() })
}

fn squad() -> TaskHeadConfig {
    TaskHeadConfig::new("squad-v2", TaskHeadKind::Span, Vec::new())
}

fn load(dir: &Path, settings: Settings) -> Runtime {
    Runtime::load(dir, settings).unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
}

fn precise(precision: Precision) -> Settings {
    Settings { precision, ..Settings::default() }
}

#[test]
fn many_threads_and_sessions_answer_as_one() {
    for head in [films(), names(), vectors(), squad()] {
        let is_pair = head.kind == TaskHeadKind::Span;
        let (_folder, dir) = model(vec![head]);
        let inputs: Vec<Input<'_>> =
            (0..200).map(|i| TEXTS[i % 5]).map(|text| Input { text, pair: is_pair.then_some(text) }).collect();
        let expected = load(&dir, Settings::default()).answers(&inputs, None).unwrap();
        let shared = load(&dir, Settings { threads: 2, sessions: 3, ..Settings::default() });
        std::thread::scope(|scope| {
            for first in 0..12 {
                let (shared, inputs, expected) = (&shared, &inputs[first..], &expected[first..]);
                scope.spawn(move || assert_eq!(shared.answers(inputs, None).unwrap(), expected));
            }
        });
    }
}

#[test]
fn a_packed_model_is_small_and_answers_in_int8_as_its_original() {
    for head in [films(), vectors()] {
        let (folder, dir) = model(vec![head]);
        let small = folder.path().join("small");
        pack(&dir, &small).unwrap();
        let size = |dir: &Path| std::fs::metadata(dir.join("model.safetensors")).unwrap().len();
        // Of a model as small as this one the tables of positions, in f32, are much; of a real one a hundredth.
        let positions = 512 * 64 * 4;
        assert!(10 * (size(&small) - positions) < 4 * (size(&dir) - positions), "{} {}", size(&small), size(&dir));
        let inputs = TEXTS.map(Input::from);
        let outputs = |dir: &Path, precision| {
            let runtime = load(dir, precise(precision));
            match runtime.heads()[0].kind {
                TaskHeadKind::Embedding => runtime.vectors(&TEXTS, None).unwrap().values,
                _ => runtime.logits(&inputs, None).unwrap().values,
            }
        };
        let largest = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let (whole, int8) = (outputs(&dir, Precision::F32), outputs(&dir, Precision::Int8));
        let packed = outputs(&small, Precision::Int8);
        assert!(largest(&packed, &int8) < 1e-4, "{packed:?} {int8:?}");
        // And that is not because all are the same.
        assert!(largest(&whole, &int8) > 1e-4);
        let again = pack(&dir, &small).unwrap_err().to_string();
        assert!(again.contains("exists already"), "{again}");
    }
}

#[test]
fn a_model_from_bytes_answers_as_that_of_their_files() {
    let (folder, dir) = model(vec![films()]);
    let small = folder.path().join("small");
    pack(&dir, &small).unwrap();
    let read = |name: &str| std::fs::read(small.join(name)).unwrap();
    let (config, weights, tokenizer) = (read("config.json"), read("model.safetensors"), read("tokenizer.json"));
    let inputs = TEXTS.map(Input::from);
    for precision in Precision::ALL {
        let settings = precise(precision);
        let runtime = Runtime::from_bytes(&config, &weights, &tokenizer, "page", settings).unwrap();
        let expected = load(&small, settings).answers(&inputs, None).unwrap();
        assert_eq!(runtime.answers(&inputs, None).unwrap(), expected, "{precision:?}");
    }
    let cut = Runtime::from_bytes(&config, &weights[..weights.len() - 4], &tokenizer, "page", Settings::default());
    assert!(cut.unwrap_err().to_string().contains("page/model.safetensors"));
    let wrong = Runtime::from_bytes(b"{}", &weights, &tokenizer, "page", Settings::default());
    assert!(wrong.unwrap_err().to_string().contains("page/config.json"));
}

#[test]
fn arrays_of_ids_with_padding_are_the_texts_that_they_stand_for() {
    let (_folder, dir) = model(vec![films(), TaskHeadConfig { task: "more".into(), ..films() }]);
    let runtime = load(&dir, Settings::default());
    let rows: Vec<Vec<u32>> = TEXTS.iter().map(|text| runtime.encode(text, None).unwrap().features.ids).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap() + 2;
    let (mut ids, mut mask) = (Vec::new(), Vec::new());
    for (at, row) in rows.iter().enumerate() {
        ids.extend_from_slice(row);
        ids.resize((at + 1) * columns, 0);
        mask.resize(at * columns + row.len(), 1);
        mask.resize((at + 1) * columns, 0);
    }
    let forward = runtime.forward(&TokenRows { columns, ids: &ids, segments: &[], mask: &mask }).unwrap();
    let inputs = TEXTS.map(Input::from);
    for (task, values) in ["films", "more"].into_iter().zip(&forward.heads) {
        assert_eq!(*values, runtime.logits(&inputs, Some(task)).unwrap().values);
    }
    assert_eq!(forward.hidden.len(), ids.len() * 64);
    let refused = |rows: TokenRows<'_>| runtime.forward(&rows).unwrap_err().to_string();
    assert!(refused(TokenRows { columns: 1, ids: &[99], segments: &[], mask: &[] }).contains("99"));
    assert!(refused(TokenRows { columns: 1, ids: &[5], segments: &[2], mask: &[] }).contains('2'));
}

#[test]
fn a_head_is_asked_for_what_it_answers() {
    let (_folder, dir) = model(vec![films(), TaskHeadConfig { task: "more".into(), ..films() }]);
    let two = load(&dir, Settings::default());
    assert!(two.labels(&["a".into()], None).unwrap_err().to_string().contains("films, more"));
    assert_eq!(two.answers(&["a".into()], None).unwrap()[0].len(), 2);
    assert!(two.vectors(&["a"], Some("more")).unwrap_err().to_string().contains("classification"));
    let (_folder, dir) = model(vec![names()]);
    let tags = load(&dir, Settings::default());
    assert!(tags.answers(&[("a", "b").into()], None).unwrap_err().to_string().contains("not a pair"));
    let (_folder, dir) = model(vec![squad()]);
    let spans = load(&dir, Settings::default());
    assert!(spans.answers(&["a".into()], None).unwrap_err().to_string().contains("answers questions"));
    let (_folder, dir) = model(vec![vectors()]);
    let alike = load(&dir, Settings::default()).answers(&[("a film", "a film").into()], None).unwrap();
    let Answer::Similarity { similarity, .. } = &alike[0][0] else { panic!("{alike:?}") };
    assert!((similarity - 1.0).abs() < 1e-6);
    let none = load(&model(vec![]).1, Settings::default());
    assert!(none.answers(&["a".into()], None).unwrap_err().to_string().contains("no task head"));
}

#[test]
fn a_model_of_few_positions_answers_questions_in_windows_that_it_takes() {
    let config =
        BertConfig { task_heads: vec![squad()], max_position_embeddings: 32, ..BertConfig::bert(11, 64, 2, 4, 128) };
    let (_folder, dir) = model_of(config);
    let runtime = load(&dir, Settings::default());
    let text = "a quiet film . ".repeat(20);
    let pairs = [("not a film", &text[..])];
    let ask = |settings: QuestionSettings| runtime.questions(&pairs, None, &settings);
    let found = ask(QuestionSettings { null_threshold: f64::INFINITY, ..QuestionSettings::default() }).unwrap();
    assert!(!found[0].answer.is_empty() && text.contains(&found[0].answer), "{found:?}");
    // The windows are those of a model of 32 tokens: special tokens, and half of the rest for the question.
    let named = QuestionSettings {
        max_len: Some(32),
        max_query_length: Some(14),
        null_threshold: f64::INFINITY,
        ..QuestionSettings::default()
    };
    assert_eq!(ask(named).unwrap(), found);
    let refused = |settings: QuestionSettings| ask(settings).unwrap_err().to_string();
    assert!(refused(QuestionSettings { max_len: Some(33), ..named }).contains("the model takes 32"));
    assert!(refused(QuestionSettings { max_query_length: Some(30), ..named }).contains("too small"));
    assert!(refused(QuestionSettings { null_threshold: f64::NAN, ..named }).contains("NaN"));
}

fn program(args: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_efficientbert-predict"));
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may have refused its options and be gone.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

#[test]
fn the_program_answers_lines_texts_and_pairs_as_json() {
    let (folder, dir) = model(vec![films()]);
    let runtime = load(&dir, Settings::default());
    let line = |text: &str, pair: Option<&str>| {
        let answers = runtime.answers(&[Input { text, pair }], None).unwrap().remove(0);
        serde_json::json!({ "text": text, "text_b": pair, "answers": answers }).to_string() + "\n"
    };
    let model = dir.to_str().unwrap();
    let said = |args: &[&str], input: &str| {
        let output = program(args, input);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let lines: String = TEXTS.iter().map(|text| format!("{text}\n")).collect();
    let expected: String = TEXTS.iter().map(|text| line(text, None)).collect();
    assert_eq!(said(&["--model", model], &lines), expected);
    assert_eq!(said(&["--model", model, "--task", "films", "a film", "film"], ""), line("a film", Some("film")));
    assert_eq!(said(&["--model", model], "a film\tfilm"), line("a film", Some("film")));
    let small = folder.path().join("small");
    assert_eq!(said(&["--model", model, "--pack", small.to_str().unwrap()], ""), "");
    let packed = said(&["--model", small.to_str().unwrap(), "--precision", "int8"], "a film");
    assert!(packed.starts_with(r#"{"answers":[{"label":"#), "{packed}");
    assert!(said(&["--help"], "").contains("--precision"));
}

#[test]
fn the_program_says_what_is_wrong_and_with_which_line() {
    let (_folder, dir) = model(vec![films()]);
    let model = dir.to_str().unwrap();
    for (args, input, code, wrong) in [
        (&["a film"][..], "", 2, "--model DIR is missing"),
        (&["--model", model, "--precision", "f64"], "", 2, "f32, bf16, int8"),
        (&["--model", model, "--threads", "0"], "", 2, "--threads 0"),
        (&["--model", model, "--unknown"], "", 2, "unknown"),
        (&["--model", model, "a", "b", "c"], "", 2, "\"c\""),
        (&["--model", "no/such"], "", 1, "no/such"),
        (&["--model", model, "--task", "other", "a"], "", 1, "films"),
        (&["--model", model], "a\n\tb\n", 1, "line 2: the text is empty"),
        (&["--model", model], "a\tb\tc\n", 1, "line 1: more than two texts"),
    ] {
        let output = program(args, input);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.starts_with("error: ") && said.contains(wrong), "{args:?}: {said}");
    }
    // What stands before a bad line is answered.
    assert_eq!(program(&["--model", model], "a film\n\tb\n").stdout.iter().filter(|b| **b == b'\n').count(), 1);
}

/// The blocks of a page that begin with this word.
fn blocks<'a>(page: &'a str, kind: &str) -> Vec<&'a str> {
    page.split("\n```").filter_map(|block| block.strip_prefix(kind)?.strip_prefix('\n')).collect()
}

/// `crates/cli/tests/cli/deploy.rs` runs the commands of `efficientbert`, and `crates/onnx/tests/peers.rs` the engines of ONNX files.
#[test]
fn commands_of_the_page_about_deployment_work_or_are_those_of_tested_pages() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    // A published crate stands alone.
    let Ok(page) = std::fs::read_to_string(docs.join("deploy.md")) else { return };
    let read = |name: &str| std::fs::read_to_string(docs.join(name)).unwrap();
    let tested = ["runtime.md", "transformers.md"].map(read).concat().replace("DIR", "student");
    let is_tested = |line: &str| tested.lines().any(|known| known == line);
    let (folder, dir) = model(vec![films()]);
    std::fs::rename(dir, folder.path().join("student")).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_efficientbert-predict"));
    let mut answers = Vec::new();
    for line in blocks(&page, "sh").into_iter().flat_map(str::lines).filter(|line| !line.starts_with("efficientbert "))
    {
        if !line.contains("efficientbert-predict ") {
            assert!(is_tested(line), "`{line}` is on no page whose commands are tested");
            continue;
        }
        let mut shell = Command::new("/bin/sh");
        let output =
            shell.args(["-c", line]).current_dir(folder.path()).env("PATH", program.parent().unwrap()).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        answers.extend(String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned));
    }
    assert!(answers.len() == 2 && answers.iter().all(|answer| answer.contains("\"films\"")), "{answers:?}");
    for block in blocks(&page, "python").into_iter().filter(|block| !block.contains("onnx")) {
        for line in block.lines() {
            assert!(is_tested(line), "`{line}` is on no page whose Python is tested");
        }
    }
    assert_eq!(blocks(&page, "python").len(), 5);
}
