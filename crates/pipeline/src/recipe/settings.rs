//! The sections of a recipe. Unknown keys are refused; every default is written out in the
//! run folder's `recipe.toml`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use corpus::LearnSettings;
use glue_squad::batch::BatchPlan;
use glue_squad::task::Task;
use kd::cache::CacheSettings;
use kd::objective::Objective;
use nas::budget::Budget;
use nas::space::EncoderChoices;
use serde::{Deserialize, Serialize};
use train::engine::{Precision, TrainConfig};
use train::keys::TrainingKeys;

use super::students::Students;

/// Everything that decides a run's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Name, shown in reports.
    pub name: String,
    /// One sentence on what it is for.
    pub description: String,
    /// Seed of everything random.
    pub seed: u64,
    /// Tasks, by GLUE name; the student gets one head for each.
    pub tasks: Vec<Task>,
    /// Longest sequence in tokens.
    pub max_len: usize,
    /// Number format of matrix products in every training that does not name its own.
    #[serde(default)]
    pub precision: Precision,
    /// Batches whose examples are sorted by length together, in every training that does not name its own; 1 makes batches of random
    /// examples.
    #[serde(default = "length_window")]
    pub length_window: usize,
    /// Steps between two reports of a training; the engine's default where it is absent. It decides nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_every: Option<u64>,
    /// Where text comes from.
    pub data: DataSettings,
    /// The teacher.
    pub teacher: TeacherSettings,
    /// The student's frame: everything but its feed-forwards.
    pub student: StudentSettings,
    /// Hard limits, checked before any training.
    #[serde(default)]
    pub budget: Budget,
    /// Distillation of the largest student on text, from which all candidates inherit.
    pub warm_up: Phase,
    /// The three stages.
    pub search: SearchSettings,
    /// What students learn from the teacher in every distillation that does not name its own; EfficientBERT's where it is absent.
    #[serde(default)]
    pub distill: Objective,
    /// Distillation of the winner, and of what it is compared with.
    #[serde(rename = "final")]
    pub final_: FinalSettings,
    /// What the student is compared with, and how often each is trained.
    #[serde(default)]
    pub compare: CompareSettings,
    /// How latency is measured.
    #[serde(default)]
    pub latency: LatencySettings,
}

/// Where text comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSettings {
    /// Folder of GLUE tasks; absent means the generated pocket tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub glue: Option<PathBuf>,
    /// Text files or folders, or one folder of packed shards; empty means the generated pocket corpus.
    #[serde(default)]
    pub corpus: Vec<PathBuf>,
    /// Sequences packed from the corpus, or taken from its shards, at most; 0 for all.
    #[serde(default)]
    pub corpus_sequences: usize,
    /// Training examples per task at most; 0 for all.
    #[serde(default)]
    pub train_examples: usize,
    /// Part of the training examples held out: to score candidates, and to choose the best weights of teachers and of final trainings.
    /// Nothing is trained on it, and nothing is chosen on the dev sets.
    pub hold_out: f64,
}

/// The teacher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherSettings {
    /// A model directory (Hugging Face BERT); absent means one is trained from scratch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<PathBuf>,
    /// Trims its vocabulary, which is the student's too, to the word pieces that stand so often at least in the training examples, and to
    /// what other texts need; absent: all pieces stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trim_vocab: Option<u32>,
    /// Size of a teacher trained from scratch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scratch: Option<ScratchTeacher>,
    /// The tokenizer of a teacher from scratch on real data, learned from the corpus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<LearnSettings>,
    /// Masked language modeling of a teacher from scratch, on the corpus, before it is fine-tuned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pretrain: Option<Phase>,
    /// Dropout while fine-tuning.
    #[serde(default)]
    pub dropout: f64,
    /// Whether each task has a teacher of its own, fine-tuned on it alone (EfficientBERT), or all have one with a head for each.
    #[serde(default)]
    pub per_task: bool,
    /// Fine-tuning on gold labels; with `per_task` that of each teacher. With 0 steps the model's own heads teach.
    pub fine_tune: Phase,
    /// Whether a teacher is taken that looks as if it could not teach: one that is no better than one answer to every example, or whose
    /// tokenizer looks like another model's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unchecked: bool,
    /// Steps of the fine-tuning on a task in place of `fine_tune.steps`; with `per_task`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub task_steps: BTreeMap<Task, u64>,
    /// What it says about batches that several trainings see, kept.
    #[serde(default)]
    pub cache: CacheSettings,
}

impl TeacherSettings {
    /// The fine-tuning of the teacher of `task` alone.
    pub fn fine_tune_on(&self, task: &Task) -> Phase {
        let steps = self.task_steps.get(task).copied().unwrap_or(self.fine_tune.train.steps);
        self.fine_tune.with_steps(steps)
    }
}

/// A BERT trained from scratch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScratchTeacher {
    /// Hidden width.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Inner width of the feed-forwards.
    pub intermediate: usize,
}

/// The student's frame.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudentSettings {
    /// Layers; the teacher's must be a multiple, unless the objective says which layer teaches which.
    pub layers: usize,
    /// Hidden width, and base width of the feed-forwards.
    pub hidden: usize,
    /// Width of the word table.
    pub embed: usize,
    /// Attention heads; the teacher's where the objective compares attention head by head.
    pub heads: usize,
    /// What the largest student begins as.
    #[serde(default, skip_serializing_if = "Begin::is_random")]
    pub begin: Begin,
}

/// What the largest student begins as, before its warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Begin {
    /// Random weights.
    #[default]
    Random,
    /// Its teacher ([`kd::from_teacher`]).
    Teacher,
}

impl Begin {
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde hands over a reference
    fn is_random(&self) -> bool {
        *self == Self::Random
    }
}

/// One training: its [`TrainingKeys`], of which `steps`, `batch_size` and `learning_rate` must be there, with every default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "TrainingKeys", into = "TrainingKeys")]
pub struct Phase {
    /// Examples per step.
    pub batch_size: usize,
    /// Batches whose examples are sorted by length together; absent means the recipe's, and is filled in when the recipe is loaded.
    pub length_window: Option<usize>,
    /// Longest sequence in this phase, if shorter than the recipe's; 0 for the recipe's.
    pub max_len: usize,
    /// Number format of matrix products; absent means the recipe's, and is filled in when the recipe is loaded.
    pub precision: Option<Precision>,
    /// Everything else, with a seed and a number format that [`Phase::train_config`] replaces.
    pub train: TrainConfig,
}

impl TryFrom<TrainingKeys> for Phase {
    type Error = String;

    fn try_from(mut keys: TrainingKeys) -> Result<Self, String> {
        let missing = |key: &str| format!("missing field `{key}`");
        if keys.epochs.is_some() {
            return Err("unknown field `epochs`: a training of a recipe is as long as its `steps`".into());
        }
        if keys.log_every.is_some() {
            return Err("unknown field `log_every`: the recipe has it, for all of its trainings".into());
        }
        let steps = keys.steps.ok_or_else(|| missing("steps"))?;
        let batch_size = keys.batch_size.ok_or_else(|| missing("batch_size"))?;
        let learning_rate = keys.learning_rate.ok_or_else(|| missing("learning_rate"))?;
        Ok(Self {
            batch_size: batch_size as usize,
            length_window: keys.length_window.map(|n| n as usize),
            max_len: keys.max_len.unwrap_or(0) as usize,
            precision: keys.precision.take(),
            train: keys.resolve(TrainConfig::new(steps, learning_rate)),
        })
    }
}

impl From<Phase> for TrainingKeys {
    fn from(phase: Phase) -> Self {
        let whole = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            batch_size: Some(whole(phase.batch_size)),
            length_window: phase.length_window.map(whole),
            max_len: Some(whole(phase.max_len)),
            precision: phase.precision,
            log_every: None,
            ..Self::from(&phase.train)
        }
    }
}

impl Phase {
    /// Settings for the engine.
    pub fn train_config(&self, seed: u64) -> TrainConfig {
        TrainConfig { seed, precision: self.precision.unwrap_or_default(), ..self.train.clone() }
    }

    /// The same of another length.
    #[must_use]
    pub fn with_steps(&self, steps: u64) -> Self {
        Self { train: TrainConfig { steps, ..self.train.clone() }, ..self.clone() }
    }
}

fn length_window() -> usize {
    BatchPlan::DEFAULT_WINDOW
}

/// How candidates are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StrategyKind {
    /// Uniform draws.
    Random,
    /// Learned partition of the space with an exploration term (LaNAS).
    Learned,
    /// Learned partition as EfficientBERT's code has it: median split, no exploration.
    Compatible,
    /// Regularized evolution.
    Evolution,
    /// Evolution toward the front of fitness against parameters, and against latency where the run knows it (NSGA-II).
    Nsga2,
    /// Tree-structured Parzen estimator.
    Tpe,
}

/// What a candidate is scored by, on the held-out examples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CandidateScore {
    /// The mean probability of the right answer; of numbers R² ([`predict::mean_gold_score`]).
    #[default]
    Probability,
    /// The mean of the tasks' primary metrics.
    Metric,
}

/// The three stages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchSettings {
    /// How candidates are drawn.
    pub strategy: StrategyKind,
    /// What a candidate is scored by.
    #[serde(default)]
    pub score: CandidateScore,
    /// Held-out examples that score a candidate; 0 for all.
    #[serde(default)]
    pub score_examples: usize,
    /// Searches whole encoders among these, in place of feed-forwards in the student's frame: the three stages are rungs of successive halving.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<EncoderChoices>,
    /// Latency table from which candidates are predicted; absent means that a run with a latency limit measures its own at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_table: Option<PathBuf>,
    /// Scores of networks that `fidelity` measured; the report says how well each orders them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fidelities: Option<PathBuf>,
    /// Stage 1: expressions, stacks and ratios together.
    pub stage1: StageSettings,
    /// Stage 2: expressions.
    pub stage2: StageSettings,
    /// Stage 3: stacks and ratios on a weight-sharing supernet.
    pub stage3: SupernetSettings,
}

/// A stage that trains every candidate for a short while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageSettings {
    /// Trials, failed ones included.
    pub trials: u64,
    /// Trials drawn at random before the strategy learns.
    pub initial_random: u64,
    /// The short training.
    pub proxy: Proxy,
}

/// The short training of a candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// Distillation on text.
    pub general: Phase,
    /// Distillation on the tasks.
    pub task: Phase,
}

/// The stage that trains one supernet and scores slices of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupernetSettings {
    /// Trials.
    pub trials: u64,
    /// Trials drawn at random before the strategy learns.
    pub initial_random: u64,
    /// Distillation of the supernet on text, one sampled architecture per step.
    pub general: Phase,
    /// Distillation of the supernet on the tasks, one sampled architecture per step.
    pub task: Phase,
}

/// Where the winner's weights come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inherit {
    /// Random weights.
    Nothing,
    /// The warm-up supernet.
    WarmUp,
    /// The supernet of stage 3 after its distillation on the tasks (EfficientBERT+).
    Supernet,
    /// The teacher: weights computed from its own ([`kd::from_teacher`]).
    Teacher,
}

impl Inherit {
    /// Whether there are such weights for a student that the search did not find.
    pub(super) fn suits_plain_networks(self) -> bool {
        matches!(self, Self::Nothing | Self::Teacher)
    }
}

/// The key `final.baseline` of earlier versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OldKey;

impl<'de> Deserialize<'de> for OldKey {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("`final.baseline` is `compare.same_params` now"))
    }
}

/// What the student is compared with: each with the same data, steps and objective.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompareSettings {
    /// A uniform plain network with as many parameters: GELU feed-forwards of one width.
    pub same_params: bool,
    /// A uniform plain network with the same measured latency.
    pub same_latency: bool,
    /// Networks drawn at random within the budget. Each is trained with the first seed; the best of them on the held-out examples is the one
    /// that is compared, with the other seeds too.
    pub random: u32,
    /// Where the weights of the uniform plain networks come from; absent: the teacher where the student's do, else nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inherit: Option<Inherit>,
    /// Model directories, each fine-tuned on the labels.
    pub checkpoints: Vec<PathBuf>,
    /// Final trainings of the student and of each of these, which differ in the order of the examples and in what is drawn at random.
    pub seeds: u32,
}

impl Default for CompareSettings {
    fn default() -> Self {
        Self { same_params: false, same_latency: false, random: 0, inherit: None, checkpoints: Vec::new(), seeds: 1 }
    }
}

/// Distillation of the winner, and of what it is compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinalSettings {
    /// Where the winner's weights come from.
    pub inherit: Inherit,
    /// How many students are handed over.
    #[serde(default, skip_serializing_if = "Students::is_one")]
    pub students: Students,
    /// Distillation on text.
    pub general: Phase,
    /// Distillation on the tasks, best held-out score kept.
    pub task: Phase,
    /// Of earlier versions; refused with what to write in its place.
    #[serde(default, skip_serializing)]
    pub(crate) baseline: OldKey,
    /// What all of them learn, if something else than the recipe's `distill`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distill: Option<Objective>,
}

/// How latency is measured: median over runs of one forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LatencySettings {
    /// Sequences per pass.
    pub batch: usize,
    /// Tokens per sequence; also the length that MACs are counted for.
    pub seq: usize,
    /// Measured passes, after three unmeasured ones.
    pub runs: usize,
    /// Number format of weights and products; other than `f32` on the CPU only.
    pub precision: encoder_spec::Precision,
}

impl LatencySettings {
    /// The same with sequences no longer than a model's position table.
    pub fn within(self, positions: usize) -> Self {
        Self { seq: self.seq.min(positions), ..self }
    }
}

impl Default for LatencySettings {
    fn default() -> Self {
        Self { batch: 1, seq: 128, runs: 15, precision: encoder_spec::Precision::F32 }
    }
}
