//! Every directory that this program writes, loaded by `transformers`: same hidden states and answers, and what is saved there is read here.
//!
//! Where `transformers` has no class for a model, its directory has Python files with classes (`trust_remote_code=True`).
//! `remote_code/compare.py` compares numbers. `remote_code/use.py` uses the classes as people do: pipelines, trainings,
//! `sentence-transformers`, and the model card. They need Python with these packages, which `EFFICIENTBERT_PYTHON` names. `optimum_export.py`
//! has `optimum` export them to ONNX; it needs an older `transformers` and has a Python of its own, `EFFICIENTBERT_OPTIMUM_PYTHON`. Where a
//! variable is not set, its tests say so and pass. `cargo xtask transformers` sets them.

#![allow(clippy::disallowed_methods, reason = "where Python is depends on the machine")]

#[path = "remote_code/cases.rs"]
mod cases;

use std::path::{Path, PathBuf};
use std::process::Command;

use cases::{Case, POSITIONS, WORDS, cases, heads};
use cpu_runtime::{Model, Outputs, Packing, Precision, Ragged, Session};
use encoder_spec::{Activation, BertConfig, Encoder, HostTensor, Parts, TaskHeadConfig, TaskHeadKind};
use model_dir::{CLASS_FILES, ModelDir, Origin, Package, SentenceModel, Tensors};
use predict::card::scored_card;
use predict::majority::{ChosenBy, MajorityBaseline};
use predict::{Evaluation, HeadAnswer, Predictor, Target};
use run_store::rng::{below, keyed};
use serde_json::{Value, json};
use tokenizer::TextEncoder;

const SEED: u64 = 5;
/// Lengths of the texts of a batch: one alone, a short one beside long ones, the longest.
const LENGTHS: [usize; 5] = [7, 1, POSITIONS, 2, 13];
/// Largest difference in units of the largest value expected, or of 1 where that is less. Measured: 1e-6.
const TOLERANCE: f64 = 1e-5;
/// What the tokenizers of these tests know.
const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// The Python that a variable names, where it is set.
fn python(variable: &str) -> Option<PathBuf> {
    let python = std::env::var_os(variable).map(PathBuf::from);
    if python.is_none() {
        test_support::skipped(&format!("{variable} is not set; `cargo xtask transformers` runs this test"));
    }
    python
}

/// Standard output of a script, which must succeed.
fn script(python: &Path, name: &str, root: &Path) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/remote_code").join(name);
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/transformers.md");
    let output = Command::new(python).arg(path).arg(root).arg(guide).output().expect("Python starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {}\n{stdout}\n{stderr}", output.status);
    stdout.into_owned()
}

/// Ids and segments of the texts of a case.
fn texts(case: &Case) -> Vec<(Vec<u32>, Vec<u32>)> {
    let mut rng = keyed(SEED, "texts", &[]);
    let segments = case.config.type_vocab_size;
    let mut draw = |length: usize, bound: usize| (0..length).map(|_| below(&mut rng, bound) as u32).collect::<Vec<_>>();
    LENGTHS.map(|length| (draw(length, WORDS), draw(length, segments))).into()
}

/// What this program computes: `hidden` of every token, `head.N` of every head, `words` where there is a masked-LM head.
fn ours(dir: &Path, case: &Case) -> Tensors {
    let (config, model) = Model::open(dir, Precision::F32, Packing::Ahead).expect("a directory");
    let mut ragged = Ragged::new();
    texts(case).iter().for_each(|(ids, segments)| ragged.push(ids, segments.iter().copied()));
    let mut session = Session::new(1);
    let hidden = config.hidden_size;
    let mut all = Tensors::default();
    let mut put = |name: String, width: usize, values: Vec<f32>| {
        all.0.insert(name, HostTensor { shape: vec![values.len() / width, width], data: values });
    };
    for (at, head) in config.task_heads.iter().enumerate() {
        let output = session.run(&model, &ragged.as_batch(), Outputs { pooled: false, heads: &[at] }).expect("a run");
        let values = output.heads().next().expect("one head");
        let number = |v: &f32| head.scale.map_or(*v, |scale| scale.number(f64::from(*v)) as f32);
        put(format!("head.{at}"), head.outputs(hidden), values.iter().map(number).collect());
    }
    let output = session.run(&model, &ragged.as_batch(), Outputs::default()).expect("a run").hidden.to_vec();
    if case.parts.mlm {
        put("words".into(), WORDS, words(dir, &config, &output));
    }
    put("hidden".into(), hidden, output);
    all
}

/// Scores of words from last hidden states, in `f64` loops: compiled models do not compute them.
fn words(dir: &Path, config: &BertConfig, hidden: &[f32]) -> Vec<f32> {
    let encoder = ModelDir::map(dir).expect("a directory").into_encoder().expect("an encoder");
    let head = encoder.mlm.as_ref().expect("a head");
    let transform = encoder.word_transform().expect("a transform");
    let (table, width) = (&encoder.embedding.words.data, config.embed_width());
    let bias = head.bias.as_ref().expect("a bias");
    let row = |x: &[f32]| -> Vec<f32> {
        let rows =
            transform.dense.weight.data.chunks(x.len()).zip(transform.dense.bias.as_ref().expect("a bias").data.iter());
        let dot = |a: &[f32], b: &[f64]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * b).sum::<f64>();
        let wide: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
        let y: Vec<f64> = rows.map(|(w, b)| activate(transform.activation, dot(w, &wide) + f64::from(*b))).collect();
        let mean = y.iter().sum::<f64>() / y.len() as f64;
        let variance = y.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / y.len() as f64;
        let norm = &transform.norm;
        let scaled = |(v, (w, b)): (&f64, (&f32, &f32))| {
            (v - mean) / (variance + config.layer_norm_eps).sqrt() * f64::from(*w) + f64::from(*b)
        };
        let norm_bias = &norm.bias.as_ref().expect("a bias").data;
        let y: Vec<f64> = y.iter().zip(norm.weight.data.iter().zip(norm_bias.iter())).map(scaled).collect();
        let score = |word: usize| {
            let own = dot(&table[word * width..][..width], &y[..width]);
            let further = head.extra.as_ref().map_or(0.0, |extra| {
                y[width..].iter().zip(extra.data.chunks(WORDS)).map(|(v, row)| v * f64::from(row[word])).sum()
            });
            (own + further + f64::from(bias.data[word])) as f32
        };
        (0..WORDS).map(score).collect()
    };
    hidden.chunks(config.hidden_size).flat_map(row).collect()
}

fn activate(function: Activation, x: f64) -> f64 {
    use mlp_space::Unary;
    use mlp_space::eval::unary;
    match function {
        Activation::GeluErf => x * 0.5 * (1.0 + erf(x / std::f64::consts::SQRT_2)),
        Activation::GeluTanh => unary(Unary::Gelu, x),
        Activation::Relu => unary(Unary::Relu, x),
        Activation::Sigmoid => unary(Unary::Sigmoid, x),
        Activation::Tanh => unary(Unary::Tanh, x),
        Activation::LeakyRelu => unary(Unary::LeakyRelu, x),
        Activation::Elu => unary(Unary::Elu, x),
        Activation::Swish => unary(Unary::Swish, x),
    }
}

/// `2/sqrt(pi) exp(-x^2) sum_n 2^n x^(2n+1) / (2n+1)!!`.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

fn write(dir: &Path, case: &Case, files: &[(String, Vec<u8>)]) {
    write_with(dir, case, files, "");
}

fn write_with(dir: &Path, case: &Case, files: &[(String, Vec<u8>)], card: &str) {
    let package = Package { card, files, keep_fit: true };
    model_dir::write(dir, &case.config, case.tensors(SEED), package).unwrap_or_else(|e| panic!("{}: {e}", case.name));
}

/// A card with made-up scores of all heads, and of a task with official data.
fn card(case: &Case) -> String {
    let metric = |head: &TaskHeadConfig| format!("{}/accuracy", head.task);
    let tasks = case.config.task_heads.iter().map(metric).chain(["sst-2/accuracy".into(), "cola/matthews".into()]);
    let metrics = tasks.zip([0.5, 0.25, 1.0, 0.0, 1.0 / 3.0, -0.5, 0.1, 0.2, 0.3, 0.4]).collect();
    let evaluation = Evaluation { metrics, ..Evaluation::default() };
    let majority = MajorityBaseline {
        task: "sst-2".into(),
        answer: "0".into(),
        chosen_by: ChosenBy::Train,
        examples: 872,
        score: 0.5,
        metrics: Default::default(),
        headline: None,
        labels_differ: true,
    };
    let origin = Origin { base_model: Some("org/some-bert".into()), license: Some("apache-2.0".into()) };
    scored_card(&format!("# The model \"{}\": a test\n", case.name), &origin, &case.config, &evaluation, &[majority])
}

fn config_file(dir: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(dir.join("config.json")).expect("a configuration")).expect("JSON")
}

#[test]
fn classes_stand_beside_every_model_that_transformers_has_none_for_and_beside_no_other() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let mut without = Vec::new();
    for case in cases() {
        let dir = root.path().join(&case.name);
        write(&dir, &case, &[]);
        let file = config_file(&dir);
        let is_there =
            CLASS_FILES.iter().all(|(name, text)| std::fs::read(dir.join(name)).is_ok_and(|t| t == text.as_bytes()));
        assert_eq!(is_there, file.get("auto_map").is_some(), "{}", case.name);
        // Where the encoder is none of a class of `transformers`, no class of its own may be taken for it.
        let is_native = case.config.is_of_transformers();
        assert_eq!(file["model_type"] == "efficientbert", !is_native, "{}: {file}", case.name);
        let class = file["architectures"][0].as_str().expect("a class");
        assert_eq!(class.starts_with("EfficientBert"), !is_native, "{}: {class}", case.name);
        assert!(is_native || is_there, "{}", case.name);
        without.extend((!is_there).then(|| case.name.clone()));
        let read = ModelDir::map(&dir).expect("what was written is read");
        let same =
            BertConfig { extra: Default::default(), default_norm_eps: case.config.default_norm_eps, ..read.config };
        assert_eq!(same, BertConfig { extra: Default::default(), ..case.config.clone() }, "{}", case.name);
        assert_eq!(read.config.extra.get("encoder_type"), None);
    }
    let known = ["bert-base", "bert-large", "minilm-l6", "tinybert-4", "tinybert-6", "mobilebert", "mobilebert-tiny"];
    let known = known.into_iter().chain(["modernbert-base", "modernbert-large"]).map(|name| format!("preset-{name}"));
    // Each of their two heads has a class of `transformers`.
    let known = known.chain(["bert-head-and-words", "mobilebert-head-and-words"].map(ToOwned::to_owned));
    assert_eq!(without, known.collect::<Vec<_>>());
}

#[test]
fn transformers_computes_what_this_program_computes_and_saves_what_it_reads() {
    let Some(python) = python("EFFICIENTBERT_PYTHON") else { return };
    let root = tempfile::tempdir().expect("a temporary folder");
    let all = cases();
    for case in &all {
        let dir = root.path().join(&case.name);
        write(&dir, case, &[]);
        let texts: Vec<Value> =
            texts(case).iter().map(|(ids, segments)| json!({ "ids": ids, "segments": segments })).collect();
        std::fs::write(dir.join("texts.json"), json!(texts).to_string()).expect("a file");
        ours(&dir, case).write_safetensors(&dir.join("expected.safetensors")).expect("a file");
    }
    let said = script(&python, "compare.py", root.path());
    let mut measured: Vec<(f64, String)> = said
        .lines()
        .map(|line| {
            let found: Value = serde_json::from_str(line).expect("JSON");
            (found["worst"].as_f64().unwrap_or(f64::INFINITY), line.to_owned())
        })
        .collect();
    measured.sort_by(|a, b| b.0.total_cmp(&a.0));
    let lines: Vec<&str> = measured.iter().take(8).map(|(_, line)| line.as_str()).collect();
    eprintln!("{} comparisons, largest differences:\n{}", measured.len(), lines.join("\n"));
    for case in &all {
        let heads = case.config.task_heads.iter().filter(|head| head.kind != TaskHeadKind::Embedding).count();
        let has_classes = config_file(&root.path().join(&case.name)).get("auto_map").is_some();
        let (words, per_head) = (usize::from(case.parts.mlm), if has_classes { 2 } else { 1 });
        // Of what classes of `transformers` compute, only heads beside a masked-LM head are compared here.
        let wanted = 2 + if has_classes || case.parts.mlm { per_head * (heads + words) } else { 0 };
        let name = format!("\"{}\"", case.name);
        assert_eq!(measured.iter().filter(|(_, line)| line.contains(&name)).count(), wanted, "{name}");
    }
    assert!(measured[0].0 <= TOLERANCE, "more than {TOLERANCE:e} away:\n{}", lines.join("\n"));

    let mut read = 0;
    for case in &all {
        let dir = root.path().join(&case.name);
        let expected = ours(&dir, case);
        let names = std::fs::read_dir(&dir).expect("a folder").map(|entry| entry.expect("an entry").path());
        let saved = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("saved-"));
        for path in names.filter(saved) {
            let mut again = ours(&path, case);
            if path.ends_with("saved-EfficientBertModel") && case.name == "head-means" {
                // `sentence-transformers` has the dense layer of a model that makes vectors and nothing else.
                again.0.insert("head.0".into(), expected.0["head.0"].clone());
            }
            assert!(again == expected, "{}", path.display());
            read += 1;
        }
    }
    assert!(read > 80, "{read} directories that `transformers` saved");
}

/// Words of the tokenizer of the tests of use.
fn vocabulary() -> String {
    let words = (SPECIAL.len()..WORDS).map(|n| format!("w{n}"));
    SPECIAL.iter().map(ToString::to_string).chain(words).map(|word| word + "\n").collect()
}

/// Texts of `w5`, `w6` and so on; every third is long.
fn sentences(count: usize) -> Vec<String> {
    let mut rng = keyed(SEED, "sentences", &[]);
    let word = |rng: &mut _| format!("w{}", SPECIAL.len() + below(rng, WORDS - SPECIAL.len()));
    (0..count)
        .map(|n| (0..if n % 3 == 0 { 14 } else { 1 + n % 5 }).map(|_| word(&mut rng)).collect::<Vec<_>>().join(" "))
        .collect()
}

/// A folder with models that have a tokenizer, and `expected.json` with what they answer to some texts.
fn written_for_use() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(root.path().join("vocab.txt"), vocabulary()).expect("a file");
    let tokenizer = TextEncoder::from_dir(root.path()).expect("a tokenizer");
    let files = tokenizer.files(POSITIONS).expect("files of a tokenizer");
    let texts = sentences(20);
    let mut expected = Vec::new();
    for case in cases() {
        if !case.name.starts_with("head-")
            && !["drawn-0", "narrow", "searched-words", "searched-all-heads"].contains(&case.name.as_str())
        {
            continue;
        }
        let dir = root.path().join(&case.name);
        write_with(&dir, &case, &files, &card(&case));
        let mut predictor =
            Predictor::load(&dir, &Target::Processor { threads: 1 }, Precision::F32, Packing::AtUse).expect("a model");
        let encoded: Vec<_> = texts.iter().map(|text| predictor.encode(text, None).expect("a text")).collect();
        let answers: Value = match &case.config.task_heads[..] {
            [TaskHeadConfig { kind: TaskHeadKind::Embedding, .. }] => {
                json!(predictor.vectors(&encoded, 0).expect("vectors"))
            }
            [head] if head.kind.is_on_pooled() => {
                predictor.answer(&encoded, &[0]).expect("answers").iter().map(|a| values(&a[0])).collect()
            }
            _ => Value::Null,
        };
        let heads = json!(case.config.task_heads);
        expected.push(json!({ "name": case.name, "heads": heads, "words": case.parts.mlm, "answers": answers }));
    }
    assert_eq!(expected.len(), heads().len() + 4);
    std::fs::write(root.path().join("expected.json"), json!({ "texts": texts, "models": expected }).to_string())
        .expect("a file");
    root
}

#[test]
fn pipelines_trainings_vectors_and_cards_work_as_with_a_class_of_transformers() {
    let Some(python) = python("EFFICIENTBERT_PYTHON") else { return };
    let root = written_for_use();
    let said = script(&python, "use.py", root.path());
    eprintln!("{said}");
    assert!(said.ends_with("done\n"), "{said}");
    // What a training saved is a model of this program.
    for name in ["head-reviews", "narrow", "head-names"] {
        let saved = root.path().join(name).join("trained");
        let (config, _) = Model::open(&saved, Precision::F32, Packing::Ahead).expect("a saved model");
        assert_eq!(config.task_heads.len(), 1, "{name}");
        assert!(CLASS_FILES.iter().all(|(file, _)| saved.join(file).is_file()), "{name}");
    }
    let documented = root.path().join("documented");
    let mut predictor = Predictor::load(&documented, &Target::Processor { threads: 1 }, Precision::F32, Packing::AtUse)
        .expect("what the documentation trains, with its tokenizer");
    let text = predictor.encode("w5 w6", None).expect("a text");
    let HeadAnswer::Label { label, .. } = predictor.answer(&[text], &[0]).expect("an answer").remove(0).remove(0)
    else {
        panic!("a label")
    };
    assert!(["bad", "fair", "good"].contains(&label.as_str()), "{label}");
    // What `sentence-transformers` saved says how vectors are made: by its modules, where these have weights, else by the head.
    for (name, is_head) in [("head-means", false), ("head-firsts", true)] {
        let saved = root.path().join(name).join("trained");
        assert_eq!(config_file(&saved).get("task_heads").is_some(), is_head, "{name}");
        let found = SentenceModel::read(&saved).expect("modules").expect("a model that makes vectors");
        let head = heads().into_iter().find(|head| format!("head-{}", head.task) == name).expect("a head");
        let vector = head.vector.expect("a vector");
        assert_eq!(
            (found.vector.pooling, found.vector.size, found.dense.is_some()),
            (vector.pooling, vector.size, !is_head)
        );
    }
}

#[test]
fn optimum_exports_models_that_it_does_not_know() {
    let Some(python) = python("EFFICIENTBERT_OPTIMUM_PYTHON") else { return };
    let said = script(&python, "optimum_export.py", written_for_use().path());
    eprintln!("{said}");
    assert!(said.ends_with("done\n"), "{said}");
}

/// An answer as its numbers, in the order of the head's labels.
fn values(answer: &HeadAnswer) -> Value {
    match answer {
        HeadAnswer::Label { probabilities, .. } | HeadAnswer::Labels { probabilities, .. } => {
            json!(probabilities.iter().map(|(_, p)| *p).collect::<Vec<_>>())
        }
        HeadAnswer::Number { score, .. } => json!([score]),
    }
}

#[test]
fn optional_parts_that_a_directory_has_are_named_in_its_configuration() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let all = cases();
    let of = |name: &str| {
        let case = all.iter().find(|case| case.name == name).expect("a case");
        let dir = root.path().join(name);
        write(&dir, case, &[]);
        config_file(&dir)
    };
    let described = |name: &str| {
        let file = of(name);
        [&file["classifier_activation"], &file["mlm_head"], &file["problem_type"], &file["encoder_type"]]
            .map(Clone::clone)
    };
    let none = Value::Null;
    assert_eq!(described("searched-alone"), [json!(false), none.clone(), none.clone(), none.clone()]);
    assert_eq!(described("searched-words"), [json!(false), json!("tied"), none.clone(), none.clone()]);
    assert_eq!(
        described("mobilebert-variant-words"),
        [json!(true), json!("extended"), none.clone(), json!("mobilebert")]
    );
    assert_eq!(described("head-price"), [json!(true), none.clone(), json!("regression"), none.clone()]);
    assert_eq!(described("narrow"), [json!(true), none.clone(), none, json!("bert")]);
    assert_eq!(of("head-topics")["problem_type"], "multi_label_classification");
    assert_eq!(of("head-reviews")["id2label"], json!({ "0": "bad", "1": "fair", "2": "good" }));
    // A model that was read with these keys and is of `transformers` now has none of them left.
    let case = all.iter().find(|case| case.name == "preset-bert-base").expect("a case");
    let extra = ["auto_map", "mlm_head", "task", "num_labels"].map(|key| (key.to_owned(), json!("old"))).into();
    let plain = Case { name: "old".into(), config: BertConfig { extra, ..case.config.clone() }, parts: Parts::POOLER };
    let dir = root.path().join("old");
    write(&dir, &plain, &[]);
    let file = config_file(&dir);
    assert!(["auto_map", "mlm_head", "task", "num_labels"].iter().all(|key| file.get(key).is_none()), "{file}");
    assert_eq!(Encoder::describe(&case.config, Parts::POOLER).expect("a model").parts(), Parts::POOLER);
}
