//! An objective bound to two models and to a number of steps.

use bert_core::{BertConfig, EncodeOptions};

use super::prediction::PredictionTerm;
use super::{Feature, LayerMatch, Mlm, MlmTerm, Objective, Point, Prediction, Schedule, Shape, Source};
use crate::{Error, Result};

/// What every step of a training learns from, checked against both models.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    layers: Vec<LayerMatch>,
    prediction: Option<Prediction>,
    mlm: Option<Mlm>,
    steps: u64,
}

impl Plan {
    /// Binds terms to models (student, teacher) and a number of steps; with 0 steps, where the number is not known yet, schedules
    /// are not checked.
    ///
    /// # Errors
    /// [`Error::LayerMap`] naming the entry that does not fit, or [`Error::Objective`] naming a step without any term, or for the term
    /// between masked words a model without its head, or two vocabularies.
    pub fn new(
        layers: Vec<LayerMatch>,
        prediction: Option<Prediction>,
        mlm: Option<Mlm>,
        (student, teacher): (Shape, Shape),
        steps: u64,
    ) -> Result<Self> {
        for (i, entry) in layers.iter().enumerate() {
            let fail = |message| Error::LayerMap { entry: i + 1, message };
            entry.fits(student, teacher).map_err(fail)?;
            in_time(entry.weight, steps).map_err(|message| fail(format!("weight: {message}")))?;
        }
        if let Some(prediction) = &prediction {
            let fail = |message| Error::Objective(format!("prediction: {message}"));
            prediction.check().map_err(fail)?;
            for (key, schedule) in prediction.schedules() {
                in_time(schedule, steps).map_err(|message| fail(format!("{key}: {message}")))?;
            }
        }
        if let Some(mlm) = &mlm {
            let fail = |message| Error::Objective(format!("mlm: {message}"));
            mlm.fits(student, teacher).map_err(fail)?;
            for (key, schedule) in mlm.schedules() {
                in_time(schedule, steps).map_err(|message| fail(format!("{key}: {message}")))?;
            }
        }
        let plan = Self { layers, prediction, mlm, steps };
        plan.every_step_has_a_term()?;
        Ok(plan)
    }

    /// EfficientBERT's layer terms of two models, for a training of any length on text.
    ///
    /// # Errors
    /// Layers, widths or heads that do not fit.
    pub fn between(student: &BertConfig, teacher: &BertConfig) -> Result<Self> {
        Objective::default().plan(Shape::of(student), Shape::of(teacher), Source::Text, 1)
    }

    /// The terms of a step.
    pub fn at(&self, step: u64) -> StepPlan<'_> {
        let weighted = |entry| -> (&LayerMatch, f64) { (entry, entry.weight.at(step, self.steps)) };
        StepPlan {
            layers: self.layers.iter().map(weighted).filter(|(_, weight)| *weight > 0.0).collect(),
            prediction: self.prediction.as_ref().and_then(|p| p.at(step, self.steps)),
            mlm: self.mlm.as_ref().and_then(|m| m.at(step, self.steps)),
        }
    }

    /// Whether anything trains the heads.
    pub fn has_prediction(&self) -> bool {
        self.prediction.is_some_and(|p| p.weight.numbers().iter().any(|&weight| weight > 0.0))
    }

    /// Whether step `step` or one before it had a prediction term; until then the heads are as they were made, and scores of them
    /// mean nothing.
    pub fn heads_taught_by(&self, step: u64) -> bool {
        self.prediction.is_some_and(|p| self.counted_by(p.weight, step))
    }

    /// Whether step `step` or one before it had a term between masked words; until then a masked-language-model head is as it was
    /// made.
    pub fn words_taught_by(&self, step: u64) -> bool {
        self.mlm.as_ref().is_some_and(|m| self.counted_by(m.weight(), step))
    }

    /// Whether `weight` was above 0 in step `step` or in one before it.
    fn counted_by(&self, weight: Schedule, step: u64) -> bool {
        // Between two points of a schedule the weight is 0 everywhere inside or nowhere.
        let points = weight.span().into_iter().flatten().map(|point| point.step(self.steps));
        let first = points.flat_map(|at| [at, at + 1]).chain([0]).filter(|&at| weight.at(at, self.steps) > 0.0).min();
        first.is_some_and(|first| first <= step)
    }

    /// Whether the teacher's heads are asked in any step.
    pub fn asks_logits(&self) -> bool {
        self.prediction.is_some_and(|p| p.asks_teacher())
    }

    /// The term between masked words; a training that has it gets masked text in every step.
    pub fn mlm(&self) -> Option<&Mlm> {
        self.mlm.as_ref()
    }

    /// The terms between layers.
    pub fn layers(&self) -> &[LayerMatch] {
        &self.layers
    }

    /// The term between logits.
    pub fn prediction(&self) -> Option<&Prediction> {
        self.prediction.as_ref()
    }

    /// Weights vanish at points of their schedules only, so these are the steps to look at.
    fn every_step_has_a_term(&self) -> Result<()> {
        let schedules = self.layers.iter().map(|m| m.weight).chain(self.prediction.iter().map(|p| p.weight));
        let schedules = schedules.chain(self.mlm.iter().map(Mlm::weight));
        let points = schedules.filter_map(Schedule::span).flatten().map(|point| point.step(self.steps));
        let empty = std::iter::once(0).chain(points).find(|&step| {
            let now = self.at(step);
            step < self.steps && now.layers.is_empty() && now.prediction.is_none() && now.mlm.is_none()
        });
        match empty {
            None => Ok(()),
            Some(step) => Err(Error::Objective(format!(
                "step {step} of {}: every weight is 0, there is nothing to learn from",
                self.steps
            ))),
        }
    }
}

/// Checks that a schedule fits a training of `steps` steps.
fn in_time(schedule: Schedule, steps: u64) -> Result<(), String> {
    if steps == 0 {
        return Ok(());
    }
    if let Some([Point::Step(begin), _]) = schedule.span()
        && begin >= steps
    {
        return Err(format!(
            "begin ({begin}) is never reached in {steps} steps; \"50%\" would fit a training of any length"
        ));
    }
    schedule.check(steps)
}

/// The terms of one step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepPlan<'a> {
    /// Terms between layers with their weights, all above 0.
    pub(super) layers: Vec<(&'a LayerMatch, f64)>,
    /// The prediction term.
    pub prediction: Option<PredictionTerm>,
    /// The term between masked words.
    pub mlm: Option<MlmTerm>,
}

impl StepPlan<'_> {
    /// What both models have to return.
    pub fn options(&self) -> EncodeOptions {
        let any = |wanted: &dyn Fn(Feature) -> bool| self.layers.iter().any(|(entry, _)| wanted(entry.feature));
        EncodeOptions {
            hidden_states: any(&Feature::is_state),
            attention_scores: any(&|f| matches!(f, Feature::AttentionScores | Feature::AttentionProbs)),
            values: any(&|f| f == Feature::ValueRelation),
        }
    }

    /// How many comparisons of layers have a weight.
    pub fn layer_count(&self) -> usize {
        self.layers.len()
    }

    /// What the teacher has to say: its layers and its logits, its layers alone, or nothing, which costs no pass. It is not asked for
    /// logits unless the batch has a use for them (`by_teacher`).
    pub(crate) fn taught<S, A>(
        &self,
        by_teacher: bool,
        states: impl FnOnce() -> S,
        logits: impl FnOnce() -> (S, A),
    ) -> (Option<S>, Option<A>) {
        if by_teacher && self.prediction.is_some_and(|p| p.asks_teacher()) {
            let (states, logits) = logits();
            (Some(states), Some(logits))
        } else if self.layers.is_empty() {
            (None, None)
        } else {
            (Some(states()), None)
        }
    }
}
