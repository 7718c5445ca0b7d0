//! The keys of a training: what recipes, method files and options can set, in one list.

#[cfg(feature = "clap")]
use clap::builder::RangedU64ValueParser;
use serde::{Deserialize, Serialize};

use crate::engine::{NotFinite, Precision, QuantizationAware, TrainConfig};
use crate::optim::{Group, OptimizerConfig, Schedule};

/// Largest batch, most parts of one, and longest sequence, as an option or in a method file.
const MOST: u32 = 1 << 16;
/// Shortest sequence.
const SHORTEST: u32 = 8;

/// All settings of a training; absent ones are filled in by [`TrainingKeys::or`] and
/// [`TrainingKeys::resolve`].
///
/// Read from TOML by their names; with the feature `clap` also from options of the same names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "clap", derive(clap::Args), command(next_help_heading = "Training options"))]
pub struct TrainingKeys {
    /// Optimizer steps.
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", conflicts_with = "epochs", value_parser = at_least_one()))]
    pub steps: Option<u64>,
    /// Passes over the data, where --steps is not given [default: 1].
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", value_parser = at_least_one()))]
    pub epochs: Option<u64>,
    /// Examples or windows per step [default: 32].
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST))))]
    pub batch_size: Option<u32>,
    /// Batches whose examples are sorted by length together, so that each is of similar lengths and little of it is padding; 1 makes
    /// batches of random examples [default: 8].
    #[cfg_attr(feature = "clap", arg(long, value_name = "BATCHES", value_parser = clap::value_parser!(u32).range(1..)))]
    pub length_window: Option<u32>,
    /// Peak learning rate, from which --schedule goes on [default: 5e-5].
    #[cfg_attr(feature = "clap", arg(long, value_name = "RATE"))]
    pub learning_rate: Option<f64>,
    /// Longest sequence in tokens; longer ones are cut, texts of SQuAD into windows. At most what the model has positions
    /// for [default: 128; SQuAD: 384].
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(i64::from(SHORTEST)..=i64::from(MOST))))]
    pub max_len: Option<u32>,
    /// Parts in which the batch of a step is processed, one after another: less memory for the same result but for rounding
    /// [default: 1].
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST))))]
    pub accumulate: Option<u32>,
    /// Part of the steps over which the learning rate rises [default: 0.1].
    #[cfg_attr(feature = "clap", arg(long, value_name = "PART", conflicts_with = "warmup_steps"))]
    pub warmup_ratio: Option<f64>,
    /// Steps over which the learning rate rises.
    #[cfg_attr(feature = "clap", arg(long, value_name = "N"))]
    pub warmup_steps: Option<u64>,
    /// Largest global gradient norm [default: 1].
    #[cfg_attr(feature = "clap", arg(long, value_name = "NORM"))]
    pub clip_norm: Option<f64>,
    /// Steps between evaluations on the dev split, of which the best weights are kept [default: one at the end].
    #[cfg_attr(feature = "clap", arg(long, value_name = "N"))]
    pub eval_every: Option<u64>,
    /// Evaluations in a row without improvement after which the training ends; needs --eval-every [default: never].
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", value_parser = at_least_one()))]
    pub patience: Option<u64>,
    /// How much better than the last improvement a score (0 to 1) has to be to count as one; needs --patience [default: 0].
    #[cfg_attr(feature = "clap", arg(long, value_name = "SCORE"))]
    pub min_delta: Option<f64>,
    /// Steps between checkpoints [default: 200].
    #[cfg_attr(feature = "clap", arg(long, value_name = "N"))]
    pub checkpoint_every: Option<u64>,
    /// Checkpoints that stay, the newest; each holds the best weights so far [default: 2].
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..)))]
    pub keep_last: Option<u32>,
    /// What to do in a step whose loss or gradient is not finite: stop, or skip it [default: stop].
    #[cfg_attr(feature = "clap", arg(long, value_name = "ACTION", value_parser = from_text::<NotFinite>))]
    pub on_not_finite: Option<NotFinite>,
    /// Most steps that are skipped in a row [default: 5].
    #[cfg_attr(feature = "clap", arg(long, value_name = "N"))]
    pub max_skips: Option<u32>,
    /// Number format of matrix products: f32; bf16, which is faster and less exact; or f16, on graphics cards without bf16.
    /// Evaluations are in f32 [default: f32].
    #[cfg_attr(feature = "clap", arg(long, value_name = "FORMAT"))]
    pub precision: Option<Precision>,
    /// Quantization-aware training: round the linear maps of the model that learns, in every step and evaluation, as inference in `int8` does,
    /// or not at all (`none`) [default: none].
    #[cfg_attr(feature = "clap", arg(long, value_name = "FORMAT", value_parser = from_text::<QuantizationAware>))]
    pub quantization_aware: Option<QuantizationAware>,
    /// The learning rate after the warm-up: linear, cosine or constant; or a table as in recipes, such as
    /// '{ kind = "polynomial", power = 2.0 }' [default: linear].
    #[cfg_attr(feature = "clap", arg(long, value_name = "NAME|TABLE", value_parser = from_text::<Schedule>))]
    pub schedule: Option<Schedule>,
    /// adamw, lamb or muon; or a table as in recipes, such as '{ kind = "lamb", weight_decay = 0.0 }' [default: adamw].
    #[cfg_attr(feature = "clap", arg(long, value_name = "NAME|TABLE", value_parser = from_text::<OptimizerConfig>))]
    pub optimizer: Option<OptimizerConfig>,
    /// Parameters that are trained in another way, as a table, such as '{ pattern = "encoder.embeddings.*", frozen = true }';
    /// may be repeated, the first that fits a parameter counts, before those of --method.
    #[cfg_attr(feature = "clap", arg(long = "group", value_name = "TABLE", value_parser = from_text::<Group>))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
    /// Steps between two reports of losses and speed, on the terminal and in log.jsonl [default: 10].
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", value_parser = at_least_one()))]
    pub log_every: Option<u64>,
}

impl TrainingKeys {
    /// These keys; where one is absent, that of `other`; the groups of both.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let (mut a, b) = (self.clone(), other.clone());
        // Two ways to say one thing: any of ours goes before both of the other's.
        if a.steps.or(a.epochs).is_none() {
            (a.steps, a.epochs) = (b.steps, b.epochs);
        }
        if a.warmup_ratio.is_none() && a.warmup_steps.is_none() {
            (a.warmup_ratio, a.warmup_steps) = (b.warmup_ratio, b.warmup_steps);
        }
        a.groups.extend(b.groups);
        Self {
            batch_size: a.batch_size.or(b.batch_size),
            length_window: a.length_window.or(b.length_window),
            learning_rate: a.learning_rate.or(b.learning_rate),
            max_len: a.max_len.or(b.max_len),
            accumulate: a.accumulate.or(b.accumulate),
            clip_norm: a.clip_norm.or(b.clip_norm),
            eval_every: a.eval_every.or(b.eval_every),
            patience: a.patience.or(b.patience),
            min_delta: a.min_delta.or(b.min_delta),
            checkpoint_every: a.checkpoint_every.or(b.checkpoint_every),
            keep_last: a.keep_last.or(b.keep_last),
            on_not_finite: a.on_not_finite.or(b.on_not_finite),
            max_skips: a.max_skips.or(b.max_skips),
            precision: a.precision.or(b.precision),
            quantization_aware: a.quantization_aware.or(b.quantization_aware),
            schedule: a.schedule.or(b.schedule),
            optimizer: a.optimizer.or(b.optimizer),
            log_every: a.log_every.or(b.log_every),
            ..a
        }
    }

    /// The configuration for the engine: what is absent here is as `defaults` has it. How long sequences are, and how many of them are
    /// in a batch, is not the engine's to know.
    pub fn resolve(&self, defaults: TrainConfig) -> TrainConfig {
        let Self { groups, schedule, .. } = self.clone();
        TrainConfig {
            steps: self.steps.unwrap_or(defaults.steps),
            learning_rate: self.learning_rate.unwrap_or(defaults.learning_rate),
            accumulate: self.accumulate.unwrap_or(defaults.accumulate),
            warmup_ratio: self.warmup_ratio.unwrap_or(defaults.warmup_ratio),
            warmup_steps: self.warmup_steps.or(defaults.warmup_steps.filter(|_| self.warmup_ratio.is_none())),
            clip_norm: self.clip_norm.unwrap_or(defaults.clip_norm),
            eval_every: self.eval_every.unwrap_or(defaults.eval_every),
            patience: self.patience.unwrap_or(defaults.patience),
            min_delta: self.min_delta.unwrap_or(defaults.min_delta),
            checkpoint_every: self.checkpoint_every.unwrap_or(defaults.checkpoint_every),
            keep_last: self.keep_last.map_or(defaults.keep_last, |n| n as usize),
            on_not_finite: self.on_not_finite.unwrap_or(defaults.on_not_finite),
            max_skips: self.max_skips.unwrap_or(defaults.max_skips),
            precision: self.precision.unwrap_or(defaults.precision),
            quantization_aware: self.quantization_aware.unwrap_or(defaults.quantization_aware),
            schedule: schedule.unwrap_or(defaults.schedule),
            optimizer: self.optimizer.unwrap_or(defaults.optimizer),
            groups: groups.into_iter().chain(defaults.groups).collect(),
            log_every: self.log_every.unwrap_or(defaults.log_every),
            seed: defaults.seed,
            keep_best: defaults.keep_best,
        }
    }

    /// Checks the keys of the section `train` of a file as options are checked when they are read; all else is checked with the training.
    ///
    /// # Errors
    /// The key at fault.
    pub fn check(&self) -> Result<(), String> {
        let within = |key: &str, value: Option<u64>, lowest: u32, highest: u64| match value {
            Some(value) if !(u64::from(lowest)..=highest).contains(&value) => {
                Err(format!("`train.{key}` must be from {lowest} to {highest}, is {value}"))
            }
            _ => Ok(()),
        };
        let most = u64::from(MOST);
        within("steps", self.steps, 1, u64::MAX)?;
        within("epochs", self.epochs, 1, u64::MAX)?;
        within("batch_size", self.batch_size.map(u64::from), 1, most)?;
        within("length_window", self.length_window.map(u64::from), 1, u64::MAX)?;
        within("log_every", self.log_every, 1, u64::MAX)?;
        within("accumulate", self.accumulate.map(u64::from), 1, most)?;
        within("max_len", self.max_len.map(u64::from), SHORTEST, most)?;
        let one_of = |a: (&str, bool), b: (&str, bool)| match a.1 && b.1 {
            true => Err(format!("give either `train.{}` or `train.{}`", a.0, b.0)),
            false => Ok(()),
        };
        one_of(("steps", self.steps.is_some()), ("epochs", self.epochs.is_some()))?;
        one_of(("warmup_ratio", self.warmup_ratio.is_some()), ("warmup_steps", self.warmup_steps.is_some()))
    }
}

impl From<&TrainConfig> for TrainingKeys {
    /// Every key of it, written out.
    fn from(config: &TrainConfig) -> Self {
        Self {
            steps: Some(config.steps),
            learning_rate: Some(config.learning_rate),
            accumulate: Some(config.accumulate),
            warmup_ratio: Some(config.warmup_ratio),
            warmup_steps: config.warmup_steps,
            clip_norm: Some(config.clip_norm),
            eval_every: Some(config.eval_every),
            patience: Some(config.patience),
            min_delta: Some(config.min_delta),
            checkpoint_every: Some(config.checkpoint_every),
            keep_last: Some(u32::try_from(config.keep_last).unwrap_or(u32::MAX)),
            on_not_finite: Some(config.on_not_finite),
            max_skips: Some(config.max_skips),
            precision: Some(config.precision),
            // Written where it is asked for, so that recipes of older runs stay what they were.
            quantization_aware: Some(config.quantization_aware).filter(|aware| !aware.is_none()),
            schedule: Some(config.schedule.clone()),
            optimizer: Some(config.optimizer),
            groups: config.groups.clone(),
            log_every: Some(config.log_every),
            ..Self::default()
        }
    }
}

#[cfg(feature = "clap")]
fn at_least_one() -> RangedU64ValueParser {
    clap::value_parser!(u64).range(1..)
}

/// A setting that a recipe writes as a name or a table, from text: a table begins with `{`.
#[cfg(feature = "clap")]
fn from_text<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    #[derive(Deserialize)]
    struct Holder<T> {
        value: T,
    }
    let value = match text.trim_start().starts_with('{') {
        true => text.to_owned(),
        false => toml::Value::String(text.to_owned()).to_string(),
    };
    let holder: Result<Holder<T>, _> = toml::from_str(&format!("value = {value}"));
    holder.map(|h| h.value).map_err(|e| e.message().to_owned())
}

#[cfg(all(test, feature = "clap"))]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Options {
        #[command(flatten)]
        keys: TrainingKeys,
    }

    fn options(words: &[&str]) -> TrainingKeys {
        Options::parse_from([&["train"], words].concat()).keys
    }

    fn usual(steps: u64) -> TrainConfig {
        TrainConfig::new(steps, 1e-3)
    }

    #[test]
    fn a_name_and_a_table_are_read_and_mistakes_are_named() {
        assert_eq!(from_text::<Schedule>("constant").unwrap(), Schedule::Constant {});
        let steps = from_text::<Schedule>(r#"{ kind = "steps", at = [5], factors = [0.5] }"#).unwrap();
        assert_eq!(steps, Schedule::Steps { at: vec![5], factors: vec![0.5] });
        let group = from_text::<Group>(r#"{ pattern = "a.*", frozen = true }"#).unwrap();
        assert_eq!(group, Group { frozen: true, ..Group::new("a.*") });
        for (text, word) in [("sgd", "adamw"), (r#"{ kind = "lamb", beta9 = 1 }"#, "beta9"), ("{ kind", "}")] {
            let message = from_text::<OptimizerConfig>(text).unwrap_err();
            assert!(message.contains(word), "{message}");
        }
        assert!(from_text::<NotFinite>("hope").unwrap_err().contains("skip"));
    }

    #[test]
    fn every_option_is_a_key_of_a_file_and_means_the_same() {
        let text = r#"
            steps = 7
            batch_size = 3
            length_window = 5
            learning_rate = 0.5
            max_len = 9
            precision = "bf16"
            quantization_aware = "int8"
            eval_every = 2
            checkpoint_every = 4
            accumulate = 3
            schedule = "cosine"
            warmup_steps = 2
            optimizer = "lamb"
            groups = [{ pattern = "a.*", frozen = true }]
            clip_norm = 2.5
            patience = 6
            min_delta = 0.25
            keep_last = 5
            on_not_finite = "skip"
            max_skips = 8
            log_every = 4
        "#;
        let file: TrainingKeys = toml::from_str(text).unwrap();
        let table: toml::Table = text.parse().unwrap();
        let words = table.iter().flat_map(|(key, value)| match value {
            toml::Value::Array(groups) => ["--group".to_owned(), groups[0].to_string()],
            toml::Value::String(name) => [format!("--{}", key.replace('_', "-")), name.clone()],
            number => [format!("--{}", key.replace('_', "-")), number.to_string()],
        });
        let words: Vec<_> = words.collect();
        let given = options(&words.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(given, file);
        // Written out by the configuration that they make, but for what is not the engine's.
        let batches = TrainingKeys { batch_size: None, length_window: None, max_len: None, ..file.clone() };
        assert_eq!(TrainingKeys::from(&file.resolve(usual(1))), TrainingKeys { warmup_ratio: Some(0.1), ..batches });
        // Nothing of it is a default, and nothing was left out.
        let (file, usual) = (format!("{file:?}"), format!("{:?}", TrainingKeys::default()));
        let same = file.split(", ").filter(|part| usual.split(", ").any(|other| other == *part));
        assert_eq!(same.collect::<Vec<_>>(), ["epochs: None", "warmup_ratio: None"]);
    }

    #[test]
    fn options_go_before_the_file_and_one_way_of_saying_a_thing_replaces_the_other() {
        let file: TrainingKeys = toml::from_str(
            r#"
            steps = 7
            warmup_steps = 3
            clip_norm = 2.0
            groups = [{ pattern = "b" }]
            "#,
        )
        .unwrap();
        let group = r#"{ pattern = "a" }"#;
        let both = options(&["--epochs", "2", "--warmup-ratio", "0.5", "--group", group]).or(&file);
        assert_eq!((both.steps, both.epochs), (None, Some(2)));
        let config = both.resolve(usual(10));
        assert_eq!((config.warmup_steps(), config.clip_norm), (5, 2.0));
        assert_eq!(config.groups, [Group::new("a"), Group::new("b")]);
        let file_alone = options(&[]).or(&file);
        assert_eq!((file_alone.steps, file_alone.resolve(usual(10)).warmup_steps()), (Some(7), 3));
        assert_eq!(file_alone.batch_size, None);
    }
}
