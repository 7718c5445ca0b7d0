//! An objective as a recipe or a file has it.

use serde::{Deserialize, Serialize};

use super::layer_match::numbered;
use super::{LayerMatch, Mlm, Plan, Prediction, Preset, Shape, Source};
use crate::{Error, Result};

/// What a student learns from its teacher: a preset, or terms one by one. The section `[distill]` of a recipe or a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    /// A published objective, whose layer terms are made for the two models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// The teacher layer of each student layer, from 1, for a preset; evenly spread where it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub map: Vec<usize>,
    /// Terms between layers, where there is no preset.
    #[serde(rename = "match", default, skip_serializing_if = "Vec::is_empty", deserialize_with = "numbered")]
    pub matches: Vec<LayerMatch>,
    /// The term between logits, used on tasks; with a preset it replaces the preset's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<Prediction>,
    /// The term between masked words, for training on text; with a preset it is added to the preset's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mlm: Option<Mlm>,
}

/// A file with an objective.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    distill: Objective,
}

impl Default for Objective {
    /// EfficientBERT's.
    fn default() -> Self {
        Preset::default().into()
    }
}

impl From<Preset> for Objective {
    fn from(preset: Preset) -> Self {
        Self { preset: Some(preset), map: Vec::new(), matches: Vec::new(), prediction: None, mlm: None }
    }
}

impl Objective {
    /// Reads the text of a file: a section `[distill]`, as a recipe has it.
    ///
    /// # Errors
    /// [`Error::Objective`] with the line, or with the entry and key.
    pub fn from_toml(text: &str) -> Result<Self> {
        let file: File = toml::from_str(text).map_err(|e| Error::Objective(e.to_string().trim_end().to_string()))?;
        file.distill.check()?;
        Ok(file.distill)
    }

    /// The text of a file that [`Objective::from_toml`] reads.
    ///
    /// # Errors
    /// Never for an objective that was checked.
    pub fn to_toml(&self) -> Result<String> {
        let file = File { distill: self.clone() };
        toml::to_string_pretty(&file).map_err(|e| Error::Objective(e.to_string()))
    }

    /// Checks what can be checked without the models.
    ///
    /// # Errors
    /// [`Error::LayerMap`] or [`Error::Objective`] naming the entry or the key.
    pub fn check(&self) -> Result<()> {
        let fail = |message: &str| Err(Error::Objective(message.into()));
        match self.preset {
            None if self.matches.is_empty() && self.prediction.is_none() && self.mlm.is_none() => {
                return fail(
                    "give `preset`, `match`, `prediction` or `mlm`; without any of them there is nothing to learn from",
                );
            }
            None if !self.map.is_empty() => {
                return fail("`map` belongs to a `preset`; `match` names its layers itself");
            }
            Some(_) if !self.matches.is_empty() => {
                return fail(
                    "give either `preset` or `match`; `efficientbert objective show` writes a preset's entries out",
                );
            }
            Some(preset) if !self.map.is_empty() && !preset.has_map() => {
                return Err(Error::Objective(format!(
                    "`map` has no effect on preset {preset}, which does not go layer by layer"
                )));
            }
            _ => {}
        }
        for (i, entry) in self.matches.iter().enumerate() {
            entry.check().map_err(|message| Error::LayerMap { entry: i + 1, message })?;
        }
        if let Some(prediction) = &self.prediction {
            prediction.check().map_err(|message| Error::Objective(format!("prediction: {message}")))?;
        }
        match &self.mlm {
            Some(mlm) => mlm.check().map_err(|message| Error::Objective(format!("mlm: {message}"))),
            None => Ok(()),
        }
    }

    /// The same with the entries of a preset written out for two models.
    ///
    /// # Errors
    /// As [`Objective::check`] and [`Preset::objective`].
    pub fn written_out(&self, student: Shape, teacher: Shape, source: Source) -> Result<Self> {
        self.check()?;
        let Some(preset) = self.preset else { return Ok(self.clone()) };
        let mut objective = preset.objective(student, teacher, source, (&self.map, self.mlm.as_ref()))?;
        if self.prediction.is_some() {
            objective.prediction = self.prediction;
        }
        Ok(objective)
    }

    /// The objective of a training of `steps` steps, checked against both models.
    ///
    /// # Errors
    /// As [`Objective::written_out`] and [`Plan::new`].
    pub fn plan(&self, student: Shape, teacher: Shape, source: Source, steps: u64) -> Result<Plan> {
        let nothing = |what: String| {
            Err(Error::Objective(format!("{what} compares no layers, and text has no labels; it is for tasks")))
        };
        match (source, self.preset) {
            (Source::Tasks, _) if self.mlm.is_some() => {
                let message =
                    "`mlm` masks words of text, which the student predicts; it is for training on text, not on tasks";
                return Err(Error::Objective(message.into()));
            }
            (Source::Text, _) if self.mlm.is_some() => {}
            (Source::Text, Some(preset)) if !preset.has_layers() => return nothing(format!("preset {preset}")),
            (Source::Text, None) if self.matches.is_empty() => return nothing("an objective without `match`".into()),
            _ => {}
        }
        let objective = self.written_out(student, teacher, source)?;
        let prediction = objective.prediction.filter(|_| source == Source::Tasks);
        Plan::new(objective.matches, prediction, objective.mlm, (student, teacher), steps)
    }
}
