//! A made-up run of realistic shape, for the tests and the `sample` example. None of its numbers was measured.

use report::{
    Budget, ChangedSetting, Curve, FidelityRow, GeneValue, LatencyPoint, LatencyReport, LayerReport, Machine, ModelRow,
    Role, RunReport, StageReport, StudentReport, TaskScore, TrialPoint,
};

/// A made-up run with `trials` trials in each of three stages and `steps` points in each loss curve.
pub fn made_up_run(trials: u64, steps: u64) -> RunReport {
    RunReport {
        title: "EfficientBERT search: a made-up sample".into(),
        recipe: "sample".into(),
        description: "A recipe's own words about what it is for, which may be another thing than what was made of it."
            .into(),
        tasks: ["CoLA", "SST-2", "MRPC", "STS-B", "QQP", "MNLI-m", "QNLI", "RTE"].map(String::from).into(),
        teacher: "bert-base-uncased".into(),
        data: "glue".into(),
        budget: Budget { min_params: Some(15_000_000), max_params: Some(16_000_000), ..Budget::default() },
        changed: Some(vec![
            changed("search.stage1.proxy.general.steps", "12", Some("60")),
            changed("teacher.model", "\"models/bert-base-uncased-whole-word-masking-finetuned-squad\"", None),
            changed("budget.min_params", "15000000", None),
        ]),
        started: "2025-01-02 03:04:05 UTC".into(),
        finished: Some("2025-01-02 04:05:06 UTC".into()),
        seconds: Some(7380.0),
        threads: Some(2),
        pass: Some("1 x 128 tokens, f32, the median time of 15".into()),
        machine: Machine { cpu: "An Imaginary Processor, 8-core".into(), cores: Some(8), os: "Linux x86_64".into() },
        versions: [("efficientbert".into(), "0.1.0".into()), ("burn".into(), "0.22.1".into())].into(),
        seed: 42,
        device: "cpu".into(),
        score_name: "accuracy on held-out training rows".into(),
        stages: (1..=3).map(|s| stage(s, trials)).collect(),
        curves: vec![
            curve("Teacher", "cross-entropy", "", steps, 0.35, 0.7),
            curve("Distillation", "loss", "attention", steps, 0.4, 2.1),
            curve("Distillation", "loss", "hidden states", steps, 0.2, 1.2),
            curve("Distillation", "loss", "prediction", steps, 0.1, 0.5),
        ],
        comparison: models(),
        latency: Some(latency()),
        fidelities: fidelities(),
        gains: vec![
            "the search gained 0.80 \u{b1} 0.30 points over a plain network with as many parameters (3 seeds)".into(),
        ],
        student: Some(student()),
        notes: vec!["All numbers on this page are made up to show its layout.".into()],
    }
}

fn latency() -> LatencyReport {
    let point = |trial, predicted_ms, measured_ms, pace, within| LatencyPoint {
        stage: 3,
        trial,
        predicted_ms,
        measured_ms,
        pace,
        within,
    };
    LatencyReport {
        limit_ms: Some(75.0),
        margin: 0.021,
        table: "measured 2025-01-02 03:04:05 UTC on An Imaginary Processor, 8-core (avx2, 2 threads), 1 x 128 tokens, f32; program 0.1.0"
            .into(),
        architectures: Some(100),
        mean_abs_error: Some(0.0234),
        p90_abs_error: Some(0.041),
        candidates: vec![
            point(17, 73.1, 75.9, 1.01, false),
            point(4, 70.2, 76.0, 1.4, true),
            point(9, 68.9, 69.4, 1.0, true),
        ],
        corrections: vec![1.038],
    }
}

/// A number in 0..1 that looks random and is the same everywhere.
fn noise(i: u64) -> f64 {
    let x = (i.wrapping_add(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f64 / f64::from(1u32 << 24)
}

fn stage(s: u64, trials: u64) -> StageReport {
    let trial = |i: u64| {
        let (a, b, c) = (noise(i * 3 + s * 977), noise(i * 3 + 1 + s * 977), noise(i * 3 + 2 + s * 977));
        let params = 14_600_000 + (a * 1_600_000.0) as u64;
        let learned = 1.0 - (-(i as f64) / 30.0).exp();
        let failed = c > 0.96;
        TrialPoint {
            number: i,
            score: (!failed).then_some(0.62 + 0.04 * s as f64 + 0.05 * learned + 0.04 * b + 0.03 * a),
            params,
            macs: 1_300_000_000 + (a * 0.3e9 + c * 0.05e9) as u64,
            latency_ms: (!failed).then_some(60.0 + 30.0 * a + 9.0 * c),
            state: if failed { "failed: the loss is not finite".into() } else { "complete".into() },
            genome: "tanh(linear4_2(gelu(linear4_2(x,wb1)),wb2)) | elu(linear2_1(gelu(linear2_1(x,wb1)),wb2))".into(),
        }
    };
    let mut trials: Vec<TrialPoint> = (0..trials).map(trial).collect();
    let score = |t: &TrialPoint| t.score.unwrap_or(f64::NEG_INFINITY);
    trials.sort_by(|a, b| score(b).total_cmp(&score(a)));
    let best = trials.first().filter(|t| t.score.is_some());
    StageReport {
        name: format!(
            "Stage {s}: {}",
            ["operations, stacks and ratios", "operations", "stacks and ratios"][s as usize - 1]
        ),
        best: best.map(|t| t.number),
        rejected: [("outside the parameter window".into(), 1840), ("same function as an earlier trial".into(), 37)]
            .into(),
        seconds: Some(613.4 * s as f64),
        trials,
        genes: genes(),
        counted: [100, 25],
    }
}

fn genes() -> Vec<GeneValue> {
    let rows = [
        ("stacks", "1", 0.4, 0.6),
        ("stacks", "2", 0.6, 0.4),
        ("function", "gelu", 0.9, 1.0),
        ("function", "<max>", 0.2, 0.05),
        ("layers", "6", 1.0, 1.0),
    ];
    rows.map(|(gene, value, all, good)| GeneValue { gene: gene.into(), value: value.into(), all, good }).into()
}

fn fidelities() -> Vec<FidelityRow> {
    let row = |score: &str, spearman, low, high, verdict: &str| FidelityRow {
        score: score.into(),
        target: "the final score on dev".into(),
        networks: 24,
        spearman,
        low,
        high,
        verdict: verdict.into(),
    };
    vec![
        row("parameters", 0.11, -0.32, 0.51, "the control"),
        row("teacher/60", 0.74, 0.45, 0.9, "beats the control"),
        row("w-pca", -0.2, -0.6, 0.3, "does not beat the control"),
    ]
}

fn curve(title: &str, y_label: &str, series: &str, steps: u64, low: f64, high: f64) -> Curve {
    let loss = |i: u64| low + (high - low) * (-4.0 * i as f64 / steps as f64).exp() + 0.06 * (noise(i) - 0.5);
    Curve {
        title: title.into(),
        y_label: y_label.into(),
        series: series.into(),
        points: (0..steps).map(|i| (i * 10, loss(i))).collect(),
    }
}

fn changed(key: &str, value: &str, recipe: Option<&str>) -> ChangedSetting {
    ChangedSetting { key: key.into(), value: value.into(), recipe: recipe.map(String::from) }
}

fn models() -> Vec<ModelRow> {
    let tasks = ["CoLA", "SST-2", "MRPC", "STS-B", "QQP", "MNLI-m", "QNLI", "RTE"];
    let metrics = [
        "Matthews corr.",
        "accuracy",
        "mean acc, F1",
        "mean corr.",
        "mean acc, F1",
        "accuracy",
        "accuracy",
        "accuracy",
    ];
    let model = |name: &str, role, params, macs, latency_ms, base: f64, search_score| ModelRow {
        name: name.into(),
        role,
        params,
        macs,
        latency_ms,
        scores: tasks
            .iter()
            .zip(metrics)
            .enumerate()
            .map(|(i, (task, metric))| TaskScore {
                task: (*task).into(),
                metric: metric.into(),
                value: base + 0.1 * noise(i as u64) - 0.05,
                standard_error: None,
            })
            .collect(),
        search_score,
        note: String::new(),
        warnings: Vec::new(),
    };
    let mut rows = vec![
        model("BERT-base", Role::Teacher, Some(108_900_000), Some(11_170_000_000), Some(362.0), 0.84, Some(0.868)),
        model(
            "6-layer plain BERT, distilled alike",
            Role::Baseline,
            Some(16_100_000),
            Some(1_610_000_000),
            Some(84.0),
            0.77,
            Some(0.79),
        ),
        model("EfficientBERT, as published", Role::Baseline, Some(15_737_724), Some(1_526_000_000), None, 0.80, None),
        model("found network", Role::Student, Some(15_600_000), Some(1_490_000_000), Some(79.3), 0.805, Some(0.84)),
    ];
    rows[1].warnings = vec![
        "mrpc: all 408 answers are equivalent (1); the score, 74.80, is not above the 74.80 of always equivalent (1)"
            .into(),
    ];
    rows.push(model("majority class or mean", Role::Majority, None, None, None, 0.4, None));
    rows[2].scores.truncate(6);
    rows[2].note = "Scores quoted from a paper; the latency was not measured on this machine.".into();
    rows
}

fn student() -> StudentReport {
    let layer = |expression: &str, stacks, ratio: &str, inner, params, macs| LayerReport {
        expression: expression.into(),
        stacks,
        ratio: ratio.into(),
        inner,
        heads: 12,
        attention: 540,
        params,
        macs,
    };
    StudentReport {
        hidden: 540,
        embed: 128,
        params: Some(15_600_000),
        macs: Some(1_490_000_000),
        layers: vec![
            layer("tanh(linear4_2(gelu(linear4_2(x,wb1)),wb2))", 4, "1/2", 270, 2_342_000, 299_000_000),
            layer("elu(linear2_1(gelu(linear2_1(x,wb1)),wb2))", 2, "1", 540, 2_340_000, 299_000_000),
            layer("sigmoid(linear1_2(relu(linear1_2(x,wb1)),wb2))", 1, "1/2", 270, 1_463_000, 187_000_000),
            layer("linear2_2(gelu(linear2_2(max(x,tanh(x)),wb1)),wb2)", 2, "1/2", 270, 1_756_000, 224_000_000),
            layer("linear1_2(relu(mul(linear1_2(x,wb1),x)),wb2)", 1, "1/2", 270, 1_463_000, 187_000_000),
            layer("leaky_relu(linear2_4(gelu(linear2_4(x,wb1)),wb2))", 2, "1/4", 135, 1_464_000, 187_000_000),
        ],
    }
}
