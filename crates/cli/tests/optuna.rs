//! What `study export --optuna` writes, opened by the real Optuna and asked for by its dashboard.
//!
//! It needs Python with optuna and optuna-dashboard, which `EFFICIENTBERT_PYTHON` names; where the variable is not set, the test says so
//! and passes. `cargo xtask transformers` sets it.

#![allow(clippy::disallowed_methods, reason = "where Python is depends on the machine")]

use std::path::Path;
use std::process::Command;

use nas::budget::{Cost, Rejection};
use nas::study::conformance::draw;
use nas::study::{Fitness, NewTrial, RejectedDraw, SqliteStudy, StudyIdentity, StudyStore, Trial, parameters};
use serde_json::{Value, json};

/// A study of two stages: a complete trial of each stage and two equally good ones, one that failed, one that is running.
fn study(path: &Path) -> Vec<Vec<Trial>> {
    let identity = StudyIdentity { name: "tried".into(), config_hash: "abc".into(), seed: u64::MAX >> 1 };
    let mut store = SqliteStudy::create(path, &identity).unwrap();
    let expressions = ["linear2_3(gelu(linear2_3(x,wb1)),wb2)", "max(x,linear4_1(tanh(linear4_1(x,wb1)),wb2))"];
    let genome = |first: usize, second: usize| format!("{}; {}", expressions[first], expressions[second]);
    let trial = |stage, number, genome: String| NewTrial {
        stage,
        number,
        genome,
        fingerprint: format!("print {number}"),
        cost: Cost { params: 6_590_000 - number, macs: 1 << 40 },
        latency_ms: (number == 0).then_some(1.25),
        seed: (1 << 62) + number,
        started_at: 1_795_219_200_123,
    };
    let fitness = |score| Fitness { score, metrics: [("loss".to_owned(), 0.1 + 0.2)].into() };
    for (stage, number, genome, score) in [
        (1, 0, genome(0, 1), Ok(0.65289)),
        (1, 1, genome(1, 1), Ok(0.1 + 0.6)),
        (1, 2, genome(0, 0), Err("the loss is not finite: \"NaN\"\nat step 3")),
        (2, 0, genome(1, 1), Ok(-2.0)),
    ] {
        let id = store
            .begin_trial(&trial(stage, number, genome), &[RejectedDraw { stage, ..draw(number, Rejection::TooSlow) }])
            .unwrap();
        match score {
            Ok(score) => store.finish(id, &fitness(score), 1_795_219_260_456).unwrap(),
            Err(reason) => store.fail(id, reason, 1_795_219_260_456).unwrap(),
        };
    }
    store.begin_trial(&trial(1, 3, genome(1, 0)), &[]).unwrap();
    [1, 2].map(|stage| store.trials(stage).unwrap()).into()
}

fn export(dir: &Path) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_efficientbert"));
    let command = command.current_dir(dir).args(["study", "export", "study.sqlite", "--optuna", "optuna.db"]);
    command.output().expect("the binary runs")
}

fn opened(python: &Path, dir: &Path, more: &[&str]) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/optuna/open_study.py");
    let output = Command::new(python).current_dir(dir).arg(script).arg("optuna.db").args(more).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn optuna_and_its_dashboard_read_every_trial_of_an_exported_study() {
    let Some(python) = std::env::var_os("EFFICIENTBERT_PYTHON").map(std::path::PathBuf::from) else {
        test_support::skipped("EFFICIENTBERT_PYTHON is not set; `cargo xtask transformers` runs this test");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let written = study(&dir.path().join("study.sqlite"));
    let done = export(dir.path());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let found = opened(&python, dir.path(), &[]);
    assert_eq!(
        found["dashboard"],
        json!([{ "name": "tried-stage-1", "trials": 4 }, { "name": "tried-stage-2", "trials": 1 }])
    );
    for (stage, (study, trials)) in (1..).zip(found["studies"].as_array().unwrap().iter().zip(&written)) {
        assert_eq!(study["name"], format!("tried-stage-{stage}"));
        assert_eq!((&study["directions"], &study["metric_names"]), (&json!(["MAXIMIZE"]), &json!(["fitness"])));
        let best = trials.iter().min_by(|a, b| a.order(b)).unwrap();
        assert_eq!(study["best"], best.number);
        let attributes = &study["attributes"];
        assert_eq!((&attributes["seed"], &attributes["stage"]), (&json!(u64::MAX >> 1), &json!(stage)));
        let shared = ["expression", "ratio", "stacks"];
        let shared = ["layer1", "layer2"].map(|layer| shared.map(|what| format!("{layer}.{what}"))).concat();
        assert_eq!(study["shared"], json!(shared), "every trial has the same parameters");
        assert_eq!(study["trials"].as_array().unwrap().len(), trials.len());
        for (read, trial) in study["trials"].as_array().unwrap().iter().zip(trials) {
            is_that_of(read, trial);
        }
    }
    assert_eq!(found["studies"][0]["attributes"]["rejected"], json!({ "too slow": 3 }));

    // As long as nobody has written to it, it is replaced; then it is not.
    assert!(export(dir.path()).status.success());
    assert_eq!(opened(&python, dir.path(), &["--ask"])["studies"][0]["asked"], 4);
    let refused = export(dir.path());
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("holds what no export has written"));
    assert_eq!(opened(&python, dir.path(), &[])["studies"][0]["trials"].as_array().unwrap().len(), 5);
}

fn is_that_of(read: &Value, trial: &Trial) {
    assert_eq!(read["number"], trial.number);
    let state = match trial.state.name() {
        "failed" => "FAIL".to_owned(),
        other => other.to_uppercase(),
    };
    assert_eq!(read["state"], state);
    assert_eq!(read["values"], trial.fitness.map_or(json!(null), |fitness| json!([fitness])));
    let expected: Value = parameters(&trial.genome).into_iter().map(|(name, value)| (name, json!(value))).collect();
    assert_eq!(read["params"], expected);
    let of = |name: &str| read["distributions"][name].as_str().unwrap().to_owned();
    assert_eq!(of("layer1.stacks"), "IntDistribution(high=4, log=False, low=1, step=1)");
    assert_eq!(of("layer2.ratio"), "FloatDistribution(high=1.0, log=False, low=0.25, step=None)");
    assert!(of("layer1.expression").starts_with("CategoricalDistribution(choices=("));
    let attributes = &read["attributes"];
    assert_eq!(attributes["architecture"], trial.genome);
    assert_eq!(attributes["fingerprint"], trial.fingerprint);
    assert_eq!((&attributes["params"], &attributes["macs"]), (&json!(trial.cost.params), &json!(trial.cost.macs)));
    assert_eq!((&attributes["seed"], &attributes["latency_ms"]), (&json!(trial.seed), &json!(trial.latency_ms)));
    assert_eq!(attributes["reason"], json!(trial.reason));
    assert_eq!(attributes["metrics.loss"], json!(trial.metrics.get("loss")));
    assert_eq!(read["started"], "2026-11-21 00:00:00.123000");
    assert_eq!(read["finished"], if trial.finished_at.is_some() { "2026-11-21 00:01:00.456000" } else { "None" });
}
