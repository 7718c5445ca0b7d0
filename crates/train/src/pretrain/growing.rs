//! A training in stages, between which the model grows (Gu et al. 2021).

use std::path::Path;

use bert_core::weights::{Tensors, apply_internal, collect_internal};
use bert_core::{BertConfig, Parts, PoolBy, TaskModel};
use burn::tensor::Device;
use growth::{Growth, Ligo, LigoConfig, Plan, Quantity};
use run_store::checkpoint::{Checkpoint, CheckpointStore};
use serde::{Deserialize, Serialize};

use super::Pool;
use super::learned::{Place, check_precision, learn};
use crate::engine::{
    Devices, Job, MEMORY, MODEL, Monitor, OPTIMIZER, Stage, TrainConfig, Trained, keep_result, train_stage,
};
use crate::optim::{moments_of, state_of};
use crate::{Error, Result};

/// The stages of a growing training, as a file has them: `[grow]` and a `[[grow.stage]]` for each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrowthRecipe {
    /// What the optimizer's moments are when a stage begins.
    #[serde(default)]
    pub moments: StageMoments,
    /// How layers and widths grow.
    #[serde(default)]
    pub operators: Growth,
    /// The growth at the border of stages is learned, from what `operators` gives on; absent: it is what they give.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ligo: Option<LigoConfig>,
    /// The stages in order; the last one trains the whole encoder.
    #[serde(rename = "stage")]
    pub stages: Vec<GrowthStage>,
}

/// What the optimizer's moments are when a stage begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StageMoments {
    /// None, as in the released code of CompoundGrow.
    #[default]
    New,
    /// Those of the stage before, grown as the weights are.
    Grown,
}

/// One stage. What is absent is as in the whole encoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrowthStage {
    /// Optimizer steps.
    pub steps: u64,
    /// Layers.
    pub layers: Option<usize>,
    /// Hidden width; the heads keep their width, so there are fewer.
    pub hidden: Option<usize>,
    /// Width inside the feed-forwards, as a share of the whole one (CompoundGrow's `net2net_ratio`).
    pub feed_forward: Option<f64>,
    /// Tokens that become one.
    pub pool: Option<usize>,
    /// How they become one: `mean` (default) or `max`.
    pub pool_by: Option<Pooling>,
    /// Tokens of the longest text.
    pub max_len: Option<usize>,
    /// Factor of the learning rate.
    #[serde(default = "one")]
    pub rate: f64,
}

/// [`PoolBy`] as a file has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The mean.
    Mean,
    /// The largest value.
    Max,
}

/// What is wrong with a stage, of which the first has number 0 here and 1 in messages.
fn fault(number: usize, why: &str) -> Error {
    Error::Mismatch(format!("stage {}: {why}", number + 1))
}

fn one() -> f64 {
    1.0
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    grow: GrowthRecipe,
}

impl GrowthRecipe {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// What is wrong, with its line.
    pub fn from_toml(text: &str) -> Result<Self> {
        let file: File = toml::from_str(text).map_err(|e| Error::Mismatch(e.to_string()))?;
        Ok(file.grow)
    }

    /// Steps of all stages.
    pub fn steps(&self) -> u64 {
        self.stages.iter().map(|stage| stage.steps).sum()
    }

    /// Plans the stages of the training of `whole`, with these `parts`.
    ///
    /// # Errors
    /// No stages, or one without steps; a stage that is larger than the next, or that cannot grow into it; a last stage that is not the whole
    /// encoder; a searched encoder.
    pub fn plan(&self, whole: &BertConfig, parts: Parts) -> Result<Vec<PlannedStage>> {
        if !whole.layers.is_empty() {
            return Err(Error::Mismatch("a searched encoder does not grow: its layers have sizes of their own".into()));
        }
        if let Some(ligo) = &self.ligo {
            ligo.validate().map_err(|error| Error::Mismatch(error.to_string()))?;
            if self.moments == StageMoments::Grown {
                return Err(Error::Mismatch(
                    "`moments = \"grown\"` does not go with `ligo`: a learned growth has no simple inverse; leave it out, and they begin anew".into(),
                ));
            }
        }
        let Some(last) = self.stages.len().checked_sub(1) else {
            return Err(Error::Mismatch("there is no [[grow.stage]]".into()));
        };
        let (mut planned, mut begins): (Vec<PlannedStage>, u64) = (Vec::new(), 0);
        for (i, stage) in self.stages.iter().enumerate() {
            if stage.steps == 0 {
                return Err(fault(i, "has no steps"));
            }
            if !(stage.rate > 0.0 && stage.rate.is_finite()) {
                return Err(fault(i, "`rate` must be above 0"));
            }
            let positions = whole.max_position_embeddings;
            if stage.pool.is_some_and(|window| !(2..=positions).contains(&window)) {
                return Err(fault(
                    i,
                    &format!("`pool` must be at least 2, and at most the encoder's {positions} positions"),
                ));
            }
            if stage.pool.is_none() && stage.pool_by.is_some() {
                return Err(fault(i, "`pool_by` has no effect without `pool`"));
            }
            if stage.max_len.is_some_and(|tokens| tokens < 8) {
                return Err(fault(i, "`max_len` must be at least 8"));
            }
            let config = stage.config(whole).map_err(|why| fault(i, &why))?;
            if i == last && (config != *whole || stage.pool.is_some() || stage.max_len.is_some()) {
                return Err(fault(
                    i,
                    "the last one trains the whole encoder on whole texts: it has `steps` and `rate` alone",
                ));
            }
            let out_of = |before: &PlannedStage| {
                let plan = Plan::new(&before.config, &config, parts, &self.operators)?;
                // Where the encoder stays as it is there is nothing to learn.
                let learned = match self.ligo.filter(|_| before.config != config) {
                    Some(settings) => Some((Ligo::new(&plan, settings.widths)?, settings)),
                    None => None,
                };
                Ok((plan, learned))
            };
            let growth = planned.last().map(out_of).transpose();
            let growth = growth
                .map_err(|error: growth::Error| fault(i, &format!("does not grow out of the one before: {error}")))?;
            let by = match stage.pool_by {
                Some(Pooling::Max) => PoolBy::Max,
                Some(Pooling::Mean) | None => PoolBy::Mean,
            };
            planned.push(PlannedStage {
                config,
                begins,
                ends: begins + stage.steps,
                rate: stage.rate,
                pool: stage.pool.map(|window| Pool { by, window }),
                max_len: stage.max_len,
                growth,
            });
            begins += stage.steps;
        }
        let learns = |stage: &PlannedStage| stage.growth.as_ref().is_some_and(|(_, learned)| learned.is_some());
        if self.ligo.is_some() && !planned.iter().any(learns) {
            return Err(Error::Mismatch("`ligo` has no effect: the encoder has one size in all stages".into()));
        }
        Ok(planned)
    }
}

impl GrowthStage {
    /// The encoder of this stage.
    fn config(&self, whole: &BertConfig) -> Result<BertConfig, String> {
        let mut config = whole.clone();
        config.num_hidden_layers = self.layers.unwrap_or(whole.num_hidden_layers);
        if let Some(share) = self.feed_forward {
            if !(share > 0.0 && share <= 1.0) {
                return Err(format!("`feed_forward` is {share}; a share is above 0 and at most 1"));
            }
            config.intermediate_size = ((whole.intermediate_size as f64 * share).round() as usize).max(1);
        }
        if let Some(hidden) = self.hidden {
            let head = whole.hidden_size / whole.num_attention_heads;
            if hidden == 0 || hidden % head != 0 {
                return Err(format!("`hidden` is {hidden}; heads are {head} wide, and it is no multiple of that"));
            }
            config.hidden_size = hidden;
            config.num_attention_heads = hidden / head;
            // Without a width of its own, the inside of a feed-forward is as many times the hidden width as in the whole encoder.
            if self.feed_forward.is_none() {
                config.intermediate_size = whole.intermediate_size * hidden / whole.hidden_size;
            }
        }
        if config.num_hidden_layers == 0 || config.num_hidden_layers > whole.num_hidden_layers {
            return Err(format!(
                "{} layers; the whole encoder has {}",
                config.num_hidden_layers, whole.num_hidden_layers
            ));
        }
        Ok(config)
    }
}

/// One stage of a plan.
#[derive(Clone, Debug)]
pub struct PlannedStage {
    /// Its encoder.
    pub config: BertConfig,
    /// Steps before it.
    pub begins: u64,
    /// Steps at its end.
    pub ends: u64,
    /// Factor of the learning rate.
    pub rate: f64,
    /// What its layers see.
    pub pool: Option<Pool>,
    /// Tokens of the longest text.
    pub max_len: Option<usize>,
    /// How its encoder grows out of the one before; `None` for the first.
    growth: Option<(Plan, Option<(Ligo, LigoConfig)>)>,
}

/// A growing training: stages, what is trained in each, and where each has its checkpoints.
pub struct Growing<'a> {
    /// The stages.
    pub stages: &'a [PlannedStage],
    /// What the moments are when a stage begins.
    pub moments: StageMoments,
    /// Parts of the model.
    pub parts: Parts,
    /// The job of a stage.
    pub job: &'a dyn Fn(&PlannedStage) -> Box<dyn Job<TaskModel> + 'a>,
    /// Checkpoints of each stage.
    pub stores: &'a [CheckpointStore],
}

impl Growing<'_> {
    /// Trains `first`, a model of the first stage's configuration, through all stages. Learning-rate schedule, data and masks are those of one training of all
    /// steps. Stopped anywhere and called again with the same arguments, it ends with the same weights.
    ///
    /// # Errors
    /// As [`train_stage`]; a checkpoint of a stage that does not fit.
    pub fn train(
        &self,
        first: TaskModel,
        devices: &Devices,
        config: &TrainConfig,
        monitor: &mut dyn Monitor,
    ) -> Result<Trained<TaskModel>> {
        assert_eq!(self.stages.len(), self.stores.len(), "checkpoints of each stage");
        if self.stages.iter().any(|stage| matches!(&stage.growth, Some((_, Some(_))))) {
            // Before hours of a first stage.
            check_precision(config.precision)?;
        }
        // The last stage with a checkpoint. One that does not verify is none: the stage begins again out of the one before.
        let mut at = self.stores.len().saturating_sub(1);
        while at > 0 && self.stores[at].latest()?.checkpoint.is_none() {
            at -= 1;
        }
        let mut first = Some(first);
        for (i, (stage, store)) in self.stages.iter().zip(self.stores).enumerate().skip(at) {
            if i > at && monitor.interrupted() {
                return Err(Error::Interrupted { step: stage.begins });
            }
            let job = (self.job)(stage);
            let mut part = Stage { begins: stage.begins, ends: stage.ends, moments: None };
            let model = match &stage.growth {
                None => first.take().expect("the first stage comes once"),
                // Its own checkpoint has everything.
                Some(_) if i == at => self.fresh(&stage.config, devices.main())?,
                Some((plan, learned)) => {
                    let place = Place { devices, config, begins: stage.begins };
                    let (model, moments) = self.grown((i, plan, learned.as_ref()), &*job, &place, monitor)?;
                    part.moments = moments;
                    model
                }
            };
            let is_last = i + 1 == self.stages.len();
            let config = TrainConfig {
                learning_rate: config.learning_rate * stage.rate,
                // The result is looked for in the last stage, and early stop would leave steps out.
                keep_best: is_last && config.keep_best,
                patience: if is_last { config.patience } else { 0 },
                min_delta: if is_last { config.min_delta } else { 0.0 },
                ..config.clone()
            };
            let trained = train_stage(model, devices.clone(), &*job, &config, &part, Some(store), monitor)?;
            if is_last {
                return Ok(trained);
            }
            // What this stage has grown out of is not needed any more, but for its weights if this one is damaged.
            if i > 0 {
                keep_result(&self.stores[i - 1])?;
            }
        }
        unreachable!("the last stage returns")
    }

    fn fresh(&self, config: &BertConfig, device: &Device) -> Result<TaskModel> {
        Ok(TaskModel::new(config, self.parts, device)?)
    }

    /// The model and the moments with which stage `i` begins, and what the job remembers, out of the last checkpoint of the stage before.
    fn grown(
        &self,
        (i, plan, learned): (usize, &Plan, Option<&(Ligo, LigoConfig)>),
        job: &dyn Job<TaskModel>,
        place: &Place<'_>,
        monitor: &mut dyn Monitor,
    ) -> Result<(TaskModel, Option<Tensors>)> {
        let device = place.devices.main();
        let missing = || Error::Mismatch(format!("stage {i} has left no checkpoint to grow from"));
        let before = self.stores[i - 1].latest()?.checkpoint.ok_or_else(missing)?;
        let read = |name: &str| -> Result<Option<Tensors>> {
            let is_there = before.files().iter().any(|file| file.name == name);
            is_there.then(|| Ok(Tensors::read_safetensors(&before.file(name)?)?)).transpose()
        };
        let weights = read(MODEL)?.ok_or_else(missing)?;
        let (old, new) = (&self.stages[i - 1].config, &self.stages[i].config);
        let grow = |tensors: &Tensors, quantity| {
            plan.apply(tensors, quantity).map_err(|error| Error::Mismatch(error.to_string()))
        };
        if let Some(memory) = read(MEMORY)? {
            job.recall(&memory)?;
        }
        let large = match learned {
            None => grow(&weights, Quantity::Weights)?,
            Some((ligo, settings)) => {
                let build = |tensors| self.loaded(new, tensors, &before, device);
                learn(ligo.clone(), settings, &weights, job, build, place, monitor)?
            }
        };
        let model = self.loaded(new, large, &before, device)?;
        if self.moments == StageMoments::New {
            return Ok((model, None));
        }
        let state = read(OPTIMIZER)?.ok_or_else(missing)?;
        let small = self.loaded(old, weights, &before, device)?;
        let quantities = [("first", Quantity::FirstMoment), ("second", Quantity::SecondMoment)];
        let grown = quantities.map(|(name, quantity)| {
            let tensors = collect_internal(&moments_of(small.clone(), &state, name));
            self.loaded(new, grow(&tensors, quantity)?, &before, device)
        });
        let [one, two] = grown;
        Ok((model, Some(state_of([&one?, &two?], &state))))
    }

    fn loaded(&self, config: &BertConfig, tensors: Tensors, source: &Checkpoint, device: &Device) -> Result<TaskModel> {
        let source = format!("the checkpoint of step {}", source.step());
        Ok(apply_internal(self.fresh(config, device)?, tensors, Path::new(&source))?)
    }
}
