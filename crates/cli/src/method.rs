//! How a training is made: options beyond steps, batches and learning rate.

use clap::Args;
use kd::engine::{NotFinite, TrainConfig};
use kd::optim::{Group, OptimizerConfig, Schedule};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::method_file::Train;

/// Options of the optimiser and the step loop.
#[derive(Args, Clone, Debug)]
pub struct MethodArgs {
    /// Parts in which the batch of a step is processed, one after another: less memory for the same result but for rounding
    /// [default: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    accumulate: Option<u32>,
    /// The learning rate after the warm-up: linear, cosine or constant; or a table as in recipes, such as
    /// '{ kind = "polynomial", power = 2.0 }' [default: linear].
    #[arg(long, value_name = "NAME|TABLE", value_parser = name_or_table::<Schedule>)]
    schedule: Option<Schedule>,
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
    groups: Vec<Group>,
    /// Largest global gradient norm [default: 1].
    #[arg(long, value_name = "NORM")]
    clip_norm: Option<f64>,
    /// Evaluations in a row without improvement after which the training ends; needs --eval-every [default: never].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    patience: Option<u64>,
    /// How much better than the last improvement a score (0 to 1) has to be to count as one.
    #[arg(long, value_name = "SCORE", default_value_t = 0.0, requires = "patience")]
    min_delta: f64,
    /// Checkpoints that stay, the newest; each holds the best weights so far.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    keep_last: u32,
    /// What to do in a step whose loss or gradient is not finite: stop, or skip it.
    #[arg(long, value_name = "ACTION", default_value_t)]
    on_not_finite: NotFinite,
    /// Most steps that are skipped in a row.
    #[arg(long, value_name = "N", default_value_t = 5)]
    max_skips: u32,
}

/// What of it decides the result.
#[derive(Serialize)]
pub struct MethodSettings {
    accumulate: u32,
    warmup_ratio: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    warmup_steps: Option<u64>,
    clip_norm: f64,
    patience: u64,
    min_delta: f64,
    on_not_finite: NotFinite,
    max_skips: u32,
    schedule: Schedule,
    optimizer: OptimizerConfig,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<Group>,
}

impl MethodArgs {
    /// `config` with these settings in it, and where they are not given with those of a method file.
    pub fn over(&self, file: Option<&Train>, config: TrainConfig) -> TrainConfig {
        let none = Train::default();
        let file = file.unwrap_or(&none);
        let warmup_given = self.warmup_ratio.is_some() || self.warmup_steps.is_some();
        TrainConfig {
            accumulate: self.accumulate.or(file.accumulate).unwrap_or(config.accumulate),
            schedule: self.schedule.clone().or_else(|| file.schedule.clone()).unwrap_or_default(),
            warmup_ratio: self.warmup_ratio.or(file.warmup_ratio).unwrap_or(config.warmup_ratio),
            warmup_steps: self.warmup_steps.or(file.warmup_steps.filter(|_| !warmup_given)),
            optimizer: self.optimizer.or(file.optimizer).unwrap_or_default(),
            groups: self.groups.iter().chain(&file.groups).cloned().collect(),
            clip_norm: self.clip_norm.or(file.clip_norm).unwrap_or(config.clip_norm),
            patience: self.patience.unwrap_or(0),
            min_delta: self.min_delta,
            keep_last: self.keep_last as usize,
            on_not_finite: self.on_not_finite,
            max_skips: self.max_skips,
            ..config
        }
    }
}

impl From<&TrainConfig> for MethodSettings {
    /// What a resumed training must have as it was.
    fn from(config: &TrainConfig) -> Self {
        Self {
            accumulate: config.accumulate,
            warmup_ratio: config.warmup_ratio,
            warmup_steps: config.warmup_steps,
            clip_norm: config.clip_norm,
            patience: config.patience,
            min_delta: config.min_delta,
            on_not_finite: config.on_not_finite,
            max_skips: config.max_skips,
            schedule: config.schedule.clone(),
            optimizer: config.optimizer,
            groups: config.groups.clone(),
        }
    }
}

/// A setting that a recipe writes as a name or a table, from text: a table begins with `{`.
fn name_or_table<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    #[derive(serde::Deserialize)]
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
    use super::*;

    #[test]
    fn a_name_and_a_table_are_read_and_mistakes_are_named() {
        assert_eq!(name_or_table::<Schedule>("constant").unwrap(), Schedule::Constant {});
        let steps = name_or_table::<Schedule>(r#"{ kind = "steps", at = [5], factors = [0.5] }"#).unwrap();
        assert_eq!(steps, Schedule::Steps { at: vec![5], factors: vec![0.5] });
        let group = name_or_table::<Group>(r#"{ pattern = "a.*", frozen = true }"#).unwrap();
        assert_eq!(group, Group { frozen: true, ..Group::new("a.*") });
        for (text, word) in [("sgd", "adamw"), (r#"{ kind = "lamb", beta9 = 1 }"#, "beta9"), ("{ kind", "inline table")]
        {
            let message = name_or_table::<OptimizerConfig>(text).unwrap_err();
            assert!(message.contains(word), "{message}");
        }
    }
}
