//! A run whose teacher has a part of its word pieces, and so its student.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use bert_core::{BertConfig, ModelDir};
use burn::tensor::Device;
use tokenizer::TextEncoder;

use super::Inputs;
use crate::Result;
use crate::check_teacher::ASKED;
use crate::corpus::Corpus;
use crate::recipe::Recipe;
use crate::vocabulary::{Asked, OnDev, Sizes, Texts, Trim, packed};

impl Inputs {
    /// Trims the vocabulary of the teacher in `dir` where the recipe says so.
    pub(super) fn trim_for(&mut self, recipe: &Recipe, dir: &Path) -> Result<()> {
        let Some(least) = recipe.teacher.trim_vocab else { return Ok(()) };
        if let Corpus::Packed { dir, .. } = &self.corpus {
            return Err(packed(dir));
        }
        let positions = model_dir::outline(dir)?.0.max_position_embeddings;
        let most = (recipe.data.train_examples > 0).then_some(recipe.data.train_examples);
        let texts = Texts::Tasks { tasks: &recipe.tasks, data: &self.glue, most };
        let trim = Trim::of(&self.encoder, texts, positions, least, &AtomicBool::new(false))?;
        self.kept().notes.push(trim.said());
        self.encoder = trim.encoder.clone();
        self.trim = Some(trim);
        Ok(())
    }

    /// The teacher in `dir`, with its trimmed vocabulary where it is trimmed.
    ///
    /// # Errors
    /// A model directory that cannot be read, or one of another vocabulary.
    pub fn teacher(&self, dir: &Path) -> Result<ModelDir> {
        let (device, whole) = (Device::flex(), ModelDir::load(dir, &Device::flex())?);
        match &self.trim {
            Some(trim) => trim.model(&whole, &device),
            None => Ok(whole),
        }
    }

    /// The configuration of that teacher, of which `config` is the whole one.
    pub fn teacher_config(&self, config: BertConfig) -> BertConfig {
        match &self.trim {
            Some(trim) => trim.config(&config),
            None => config,
        }
    }

    /// The teacher `whole` with its trimmed vocabulary, where it is trimmed; notes say what that saves, and what is lost on the dev sets. It
    /// is scored there where `scored` says that its own heads teach.
    ///
    /// # Errors
    /// Files that cannot be read; [`crate::Error::Interrupted`] once `stop` is set.
    pub(crate) fn trimmed_teacher(
        &self,
        whole: ModelDir,
        (recipe, scored): (&Recipe, bool),
        stop: &AtomicBool,
    ) -> Result<ModelDir> {
        let Some(trim) = &self.trim else { return Ok(whole) };
        let device = Device::flex();
        let trimmed = trim.model(&whole, &device)?;
        let mut said = vec![format!("of the teacher, {}", Sizes::of(&whole, &trimmed).said())];
        let models = scored.then_some(([&whole, &trimmed], ASKED));
        for task in &recipe.tasks {
            let asked = Asked { task, data: &self.glue, positions: recipe.max_len, models };
            said.push(OnDev::of(trim, &asked, &device, stop)?.to_string());
        }
        self.kept().notes.extend(said);
        Ok(trimmed)
    }

    /// What a model card says of a trimmed vocabulary.
    pub(crate) fn card_line(&self) -> String {
        self.trim.as_ref().map_or_else(String::new, |trim| format!("\nOf the teacher, {}.\n", trim.said()))
    }

    /// The tokenizer of the teacher as it is in its directory.
    pub fn whole_encoder(&self) -> &TextEncoder {
        self.trim.as_ref().map_or(&self.encoder, |trim| &trim.whole)
    }
}
