//! The settings of a training that a person gives, as options or as keys of a method file: the same ones, in one place.

use clap::Args;
use clap::builder::RangedU64ValueParser;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use train::engine::{NotFinite, Precision, TrainConfig};
use train::optim::{Group, OptimizerConfig, Schedule};

/// Examples per step, where nothing says how many.
const BATCH_SIZE: u32 = 32;
/// The learning rate, where nothing says which.
const LEARNING_RATE: f64 = 5e-5;
/// Steps between checkpoints, where nothing says how many.
const CHECKPOINT_EVERY: u64 = 200;
/// Largest batch, most parts of one, and longest sequence, also as an option.
const MOST: u32 = 1 << 16;
/// Shortest sequence.
const SHORTEST: u32 = 8;

/// Everything that can be said of how a model is trained. What is absent has its default.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[command(next_help_heading = "Training options")]
#[serde(deny_unknown_fields, default)]
pub struct TrainingKeys {
    /// Optimiser steps.
    #[arg(long, value_name = "N", conflicts_with = "epochs", value_parser = at_least_one())]
    pub steps: Option<u64>,
    /// Passes over the data, where --steps is not given [default: 1].
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub epochs: Option<u64>,
    /// Examples or windows per step [default: 32].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST)))]
    batch_size: Option<u32>,
    /// Batches whose examples are sorted by length together, so that each is of similar lengths and little of it is padding; 1 makes
    /// batches of random examples [default: 8].
    #[arg(long, value_name = "BATCHES", value_parser = clap::value_parser!(u32).range(1..))]
    pub length_window: Option<u32>,
    /// Peak learning rate, from which --schedule goes on [default: 5e-5].
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f64>,
    /// Longest sequence in tokens; longer ones are cut, texts of SQuAD into windows. At most what the model has positions
    /// for [default: 128; SQuAD: 384].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(i64::from(SHORTEST)..=i64::from(MOST)))]
    pub max_len: Option<u32>,
    /// Number format of matrix products: f32; bf16, which is faster and less exact; or f16, on graphics cards without bf16.
    /// Evaluations are in f32 [default: f32].
    #[arg(long, value_name = "FORMAT")]
    precision: Option<Precision>,
    /// Steps between evaluations on the dev split, of which the best weights are kept [default: one at the end].
    #[arg(long, value_name = "N")]
    pub eval_every: Option<u64>,
    /// Steps between checkpoints [default: 200].
    #[arg(long, value_name = "N")]
    checkpoint_every: Option<u64>,
    /// Parts in which the batch of a step is processed, one after another: less memory for the same result but for rounding
    /// [default: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST)))]
    accumulate: Option<u32>,
    /// The learning rate after the warm-up: linear, cosine or constant; or a table as in recipes, such as
    /// '{ kind = "polynomial", power = 2.0 }' [default: linear].
    #[arg(long, value_name = "NAME|TABLE", value_parser = name_or_table::<Schedule>)]
    pub schedule: Option<Schedule>,
    /// Part of the steps over which the learning rate rises [default: 0.1].
    #[arg(long, value_name = "PART", conflicts_with = "warmup_steps")]
    warmup_ratio: Option<f64>,
    /// Steps over which the learning rate rises.
    #[arg(long, value_name = "N")]
    warmup_steps: Option<u64>,
    /// adamw or lamb; or a table as in recipes, such as '{ kind = "lamb", weight_decay = 0.0 }' [default: adamw].
    #[arg(long, value_name = "NAME|TABLE", value_parser = name_or_table::<OptimizerConfig>)]
    optimizer: Option<OptimizerConfig>,
    /// Parameters that are trained in another way, as a table, such as '{ pattern = "encoder.embeddings.*", frozen = true }';
    /// may be repeated, the first that fits a parameter counts, before those of --method.
    #[arg(long = "group", value_name = "TABLE", value_parser = name_or_table::<Group>)]
    pub groups: Vec<Group>,
    /// Largest global gradient norm [default: 1].
    #[arg(long, value_name = "NORM")]
    clip_norm: Option<f64>,
    /// Evaluations in a row without improvement after which the training ends; needs --eval-every [default: never].
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    patience: Option<u64>,
    /// How much better than the last improvement a score (0 to 1) has to be to count as one; needs --patience [default: 0].
    #[arg(long, value_name = "SCORE")]
    min_delta: Option<f64>,
    /// Checkpoints that stay, the newest; each holds the best weights so far [default: 2].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep_last: Option<u32>,
    /// What to do in a step whose loss or gradient is not finite: stop, or skip it [default: stop].
    #[arg(long, value_name = "ACTION", value_parser = name_or_table::<NotFinite>)]
    on_not_finite: Option<NotFinite>,
    /// Most steps that are skipped in a row [default: 5].
    #[arg(long, value_name = "N")]
    max_skips: Option<u32>,
    /// Steps between two reports of losses and speed, on the terminal and in log.jsonl [default: 10].
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    log_every: Option<u64>,
}

impl TrainingKeys {
    /// These, and where one is absent that of `other`; the groups of both.
    pub fn or(&self, other: &Self) -> Self {
        let (a, b) = (self.clone(), other.clone());
        // Two ways to say one thing: any of ours goes before both of the other's.
        let length = a.steps.or(a.epochs).is_none();
        let warmup = a.warmup_ratio.is_none() && a.warmup_steps.is_none();
        Self {
            steps: a.steps.or(b.steps.filter(|_| length)),
            epochs: a.epochs.or(b.epochs.filter(|_| length)),
            batch_size: a.batch_size.or(b.batch_size),
            length_window: a.length_window.or(b.length_window),
            learning_rate: a.learning_rate.or(b.learning_rate),
            max_len: a.max_len.or(b.max_len),
            precision: a.precision.or(b.precision),
            eval_every: a.eval_every.or(b.eval_every),
            checkpoint_every: a.checkpoint_every.or(b.checkpoint_every),
            accumulate: a.accumulate.or(b.accumulate),
            schedule: a.schedule.or(b.schedule),
            warmup_ratio: a.warmup_ratio.or(b.warmup_ratio.filter(|_| warmup)),
            warmup_steps: a.warmup_steps.or(b.warmup_steps.filter(|_| warmup)),
            optimizer: a.optimizer.or(b.optimizer),
            groups: a.groups.into_iter().chain(b.groups).collect(),
            clip_norm: a.clip_norm.or(b.clip_norm),
            patience: a.patience.or(b.patience),
            min_delta: a.min_delta.or(b.min_delta),
            keep_last: a.keep_last.or(b.keep_last),
            on_not_finite: a.on_not_finite.or(b.on_not_finite),
            max_skips: a.max_skips.or(b.max_skips),
            log_every: a.log_every.or(b.log_every),
        }
    }

    /// Examples per step.
    pub fn batch_size(&self) -> u32 {
        self.batch_size.unwrap_or(BATCH_SIZE)
    }

    /// Settings for the engine, of a training of `steps` steps.
    pub fn config(&self, steps: u64, seed: u64) -> TrainConfig {
        let usual = TrainConfig::new(steps, self.learning_rate.unwrap_or(LEARNING_RATE));
        TrainConfig {
            seed,
            precision: self.precision.unwrap_or(usual.precision),
            eval_every: self.eval_every.unwrap_or(usual.eval_every),
            checkpoint_every: self.checkpoint_every.unwrap_or(CHECKPOINT_EVERY),
            accumulate: self.accumulate.unwrap_or(usual.accumulate),
            schedule: self.schedule.clone().unwrap_or(usual.schedule),
            warmup_ratio: self.warmup_ratio.unwrap_or(usual.warmup_ratio),
            warmup_steps: self.warmup_steps,
            optimizer: self.optimizer.unwrap_or(usual.optimizer),
            groups: self.groups.clone(),
            clip_norm: self.clip_norm.unwrap_or(usual.clip_norm),
            patience: self.patience.unwrap_or(usual.patience),
            min_delta: self.min_delta.unwrap_or(usual.min_delta),
            keep_last: self.keep_last.map_or(usual.keep_last, |n| n as usize),
            on_not_finite: self.on_not_finite.unwrap_or(usual.on_not_finite),
            max_skips: self.max_skips.unwrap_or(usual.max_skips),
            log_every: self.log_every.unwrap_or(usual.log_every),
            ..usual
        }
    }

    /// What is checked of options when they are read; all else is checked with the training.
    ///
    /// # Errors
    /// The key of a file at fault.
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

fn at_least_one() -> RangedU64ValueParser {
    clap::value_parser!(u64).range(1..)
}

/// A setting that a recipe writes as a name or a table, from text: a table begins with `{`.
fn name_or_table<T: DeserializeOwned>(text: &str) -> Result<T, String> {
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

#[cfg(test)]
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

    #[test]
    fn a_name_and_a_table_are_read_and_mistakes_are_named() {
        assert_eq!(name_or_table::<Schedule>("constant").unwrap(), Schedule::Constant {});
        let steps = name_or_table::<Schedule>(r#"{ kind = "steps", at = [5], factors = [0.5] }"#).unwrap();
        assert_eq!(steps, Schedule::Steps { at: vec![5], factors: vec![0.5] });
        let group = name_or_table::<Group>(r#"{ pattern = "a.*", frozen = true }"#).unwrap();
        assert_eq!(group, Group { frozen: true, ..Group::new("a.*") });
        for (text, word) in [("sgd", "adamw"), (r#"{ kind = "lamb", beta9 = 1 }"#, "beta9"), ("{ kind", "}")] {
            let message = name_or_table::<OptimizerConfig>(text).unwrap_err();
            assert!(message.contains(word), "{message}");
        }
        assert!(name_or_table::<NotFinite>("hope").unwrap_err().contains("skip"));
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
        assert_eq!(given.config(7, 1), file.config(7, 1));
        assert_eq!((given.steps, given.batch_size, given.max_len), (file.steps, file.batch_size, file.max_len));
        assert_eq!(given.length_window, file.length_window);
        // Nothing of it is a default, and nothing was left out.
        let usual = TrainingKeys::default();
        let (file, usual) = (format!("{file:?}"), format!("{usual:?}"));
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
        let config = both.config(10, 1);
        assert_eq!((config.warmup_steps(), config.clip_norm), (5, 2.0));
        assert_eq!(config.groups, [Group::new("a"), Group::new("b")]);
        let file_alone = options(&[]).or(&file);
        assert_eq!((file_alone.steps, file_alone.config(10, 1).warmup_steps()), (Some(7), 3));
        assert_eq!(file_alone.batch_size(), BATCH_SIZE);
    }
}
