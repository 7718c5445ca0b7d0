//! What a report is made of: plain data that any program can fill in or read from JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Everything that the page of one run shows. Empty parts are left out of the page or said to be empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunReport {
    /// Heading of the page: what this run was about.
    pub title: String,
    /// Name of the recipe that was run.
    pub recipe: String,
    /// What the recipe says it is for; the run may have changed that.
    pub description: String,
    /// The tasks, as a reader knows them.
    pub tasks: Vec<String>,
    /// The teacher, in a few words.
    pub teacher: String,
    /// The data of the tasks, in a few words.
    pub data: String,
    /// Limits of the search.
    pub budget: Budget,
    /// Settings that the run has otherwise than its recipe; `None` where that is not known.
    pub changed: Option<Vec<ChangedSetting>>,
    /// When the run started, already formatted, with its time zone.
    pub started: String,
    /// When the run ended; `None` while it is still going or was interrupted.
    pub finished: Option<String>,
    /// Seconds of work in all phases, without what a killed process had not written yet; `None` where nothing was measured.
    pub seconds: Option<f64>,
    /// The computer that ran it.
    pub machine: Machine,
    /// Threads that it was given.
    pub threads: Option<usize>,
    /// At which size MACs were counted and latency was measured, as a phrase: `1 x 128 tokens, f32, the median time of 15`.
    pub pass: Option<String>,
    /// Name of a program or library to its version or revision.
    pub versions: BTreeMap<String, String>,
    /// Seed that everything random was derived from.
    pub seed: u64,
    /// Device that the tensors lived on, as the user names it (`cpu`, `cuda`, `wgpu`).
    pub device: String,
    /// What a trial's score measures, e.g. `MNLI accuracy on held-out training rows`.
    pub score_name: String,
    /// The search, stage by stage.
    pub stages: Vec<StageReport>,
    /// Training losses over steps.
    pub curves: Vec<Curve>,
    /// Models side by side: teacher, baselines, the student.
    pub comparison: Vec<ModelRow>,
    /// What is known of latencies beyond single measurements; `None` where the run has no latency table.
    pub latency: Option<LatencyReport>,
    /// What the search has gained over models of the same cost, a sentence each.
    pub gains: Vec<String>,
    /// How well scores of the search order networks.
    pub fidelities: Vec<FidelityRow>,
    /// The network that the search chose; `None` when the run did not get that far.
    pub student: Option<StudentReport>,
    /// Remarks for the reader, one paragraph each.
    pub notes: Vec<String>,
}

/// Limits of a search; what is absent does not limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Budget {
    /// Fewest parameters.
    pub min_params: Option<u64>,
    /// Most parameters.
    pub max_params: Option<u64>,
    /// Most multiply-adds of one forward pass, counted once.
    pub max_macs: Option<u64>,
    /// Largest file of weights, in bytes.
    pub max_bytes: Option<u64>,
    /// Longest forward pass, in milliseconds.
    pub max_latency_ms: Option<f64>,
}

/// A setting that a run has otherwise than its recipe.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChangedSetting {
    /// Name of the setting.
    pub key: String,
    /// The run's value.
    pub value: String,
    /// The recipe's value; `None` where it has none.
    pub recipe: Option<String>,
}

/// The computer that a run's times were measured on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// Processor, as the operating system names it.
    pub cpu: String,
    /// Logical cores of the machine; `None` when unknown.
    pub cores: Option<usize>,
    /// Operating system and architecture.
    pub os: String,
}

/// One stage of the search.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StageReport {
    /// Name of the stage.
    pub name: String,
    /// The candidates that were tried, best first; what the best is, the search decides.
    pub trials: Vec<TrialPoint>,
    /// Number of the trial that the stage chose.
    pub best: Option<u64>,
    /// Candidates thrown away before they were trained: reason to count.
    pub rejected: BTreeMap<String, u64>,
    /// Time the stage took, in seconds; `None` when it was not measured.
    pub seconds: Option<f64>,
    /// How often genes have each value, the values of a gene together.
    pub genes: Vec<GeneValue>,
    /// Number of candidates with a score and of the best of these, which the genes were counted in.
    pub counted: [u64; 2],
}

/// How often a gene of the candidates has a value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GeneValue {
    /// What varies, e.g. `hidden`.
    pub gene: String,
    /// The value.
    pub value: String,
    /// Part of all candidates that have it.
    pub all: f64,
    /// Part of the best candidates that have it.
    pub good: f64,
}

/// How well a score orders networks as a later one does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FidelityRow {
    /// The score.
    pub score: String,
    /// The later score that it is to foretell.
    pub target: String,
    /// Networks that have both.
    pub networks: u64,
    /// Spearman's rank correlation.
    pub spearman: f64,
    /// Lower end of its 95% interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Whether it is better than the number of parameters, in a few words; empty where that was not asked.
    pub verdict: String,
}

/// One candidate that was tried.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrialPoint {
    /// Number of the trial in its study.
    pub number: u64,
    /// Score, higher is better; `None` when the trial did not produce one. A score that is not finite counts as none.
    pub score: Option<f64>,
    /// Parameters of the candidate.
    pub params: u64,
    /// Multiply-adds of one forward pass, counted once.
    pub macs: u64,
    /// Measured latency of one forward pass in milliseconds.
    pub latency_ms: Option<f64>,
    /// State in the study, e.g. `complete` or `failed`.
    pub state: String,
    /// The candidate in the search's own notation.
    pub genome: String,
}

/// Predicted and measured latency of a search's candidates.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LatencyReport {
    /// Longest forward pass that was allowed, in milliseconds; `None` where it was recorded only.
    pub limit_ms: Option<f64>,
    /// How far predictions were kept below the limit, as a part of them.
    pub margin: f64,
    /// The table of measured parts, as a phrase: when and where it was measured, and how.
    pub table: String,
    /// Random architectures on which the table was tried; `None` where it was not.
    pub architectures: Option<u64>,
    /// Mean absolute error of its predictions there, as a part of the measured latency.
    pub mean_abs_error: Option<f64>,
    /// The error that nine of ten predictions are below.
    pub p90_abs_error: Option<f64>,
    /// Candidates for the winner, in the order in which they were measured.
    pub candidates: Vec<LatencyPoint>,
    /// By what predictions were multiplied after each round without a winner.
    pub corrections: Vec<f64>,
}

/// A candidate that was predicted and measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LatencyPoint {
    /// Stage of its trial.
    pub stage: u32,
    /// Number of its trial there.
    pub trial: u64,
    /// Predicted milliseconds.
    pub predicted_ms: f64,
    /// Measured milliseconds.
    pub measured_ms: f64,
    /// How much longer than in the table its reference network took at the same time.
    pub pace: f64,
    /// Whether it was found to be within the limit.
    pub within: bool,
}

/// A training loss over steps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Curve {
    /// What was trained.
    pub title: String,
    /// What the vertical axis measures. Curves with equal title and label are drawn in one chart.
    pub y_label: String,
    /// Name of the line where several share one chart; may be empty.
    pub series: String,
    /// `(step, loss)` pairs by rising step.
    pub points: Vec<(u64, f64)>,
}

/// What a model is to the run; decides its mark in the charts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The model that was distilled from.
    Teacher,
    /// A model to compare with.
    #[default]
    Baseline,
    /// The result of the run.
    Student,
    /// No model: one answer to every example, the majority class or the mean of the labels.
    Majority,
}

impl Role {
    /// The word that a reader sees.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Teacher => "teacher",
            Self::Baseline => "baseline",
            Self::Student => "student",
            Self::Majority => "no model",
        }
    }
}

/// One model of the comparison table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelRow {
    /// Name of the model.
    pub name: String,
    /// What it is to the run.
    pub role: Role,
    /// Parameters.
    pub params: Option<u64>,
    /// Multiply-adds of one forward pass, counted once.
    pub macs: Option<u64>,
    /// Measured latency of one forward pass in milliseconds.
    pub latency_ms: Option<f64>,
    /// Scores on tasks.
    pub scores: Vec<TaskScore>,
    /// The model's score as the search measures one; marks the model in the charts of the search. `None` where it was not measured so.
    pub search_score: Option<f64>,
    /// Remark, e.g. where a number comes from.
    pub note: String,
    /// Why the scores may mean nothing, a sentence each.
    pub warnings: Vec<String>,
}

/// A score on one task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskScore {
    /// Task, e.g. `MNLI`.
    pub task: String,
    /// Metric, e.g. `accuracy`.
    pub metric: String,
    /// The score as a fraction (1 is perfect); shown in points of 100, as GLUE does.
    pub value: f64,
    /// Standard error of the score, where it is the mean of several trainings.
    pub standard_error: Option<f64>,
}

/// The network that the search chose.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StudentReport {
    /// Width of the hidden states, in channels.
    pub hidden: u64,
    /// Width of the word table, in channels; 0 where it is not known.
    pub embed: u64,
    /// Parameters of the whole model; `None` when not counted.
    pub params: Option<u64>,
    /// Multiply-adds of the whole model for one forward pass, counted once.
    pub macs: Option<u64>,
    /// The layers, from the embeddings up.
    pub layers: Vec<LayerReport>,
}

/// One layer of the found network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LayerReport {
    /// The feed-forward expression.
    pub expression: String,
    /// Feed-forward networks stacked in this layer.
    pub stacks: u64,
    /// Expansion ratio as the search space writes it, e.g. `1/2`.
    pub ratio: String,
    /// Inner width of each feed-forward network, in channels; 0: the layer has none.
    pub inner: u64,
    /// Attention heads; 0: the layer has no attention.
    pub heads: u64,
    /// Width of all heads together, in channels.
    pub attention: u64,
    /// Parameters of the layer.
    pub params: u64,
    /// Multiply-adds of the layer for one forward pass, counted once.
    pub macs: u64,
}
