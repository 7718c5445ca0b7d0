//! A teacher from scratch learns from text alone, before it is fine-tuned.

use bert_core::{BertConfig, ModelDir, Package, Parts, TaskModel};
use model_dir::Origin;
use predict::Evaluation;
use predict::card::scored_card;
use train::pretrain::MaskedLanguageModeling;

use super::{Context, PhaseId};
use crate::Result;

/// Masked language modeling of an encoder of configuration `config` on the corpus; `None` where the recipe has none. The encoder is kept in
/// `pretrain/model/`.
///
/// # Errors
/// Text that cannot be read, a tokenizer without `[MASK]`, training that fails, files that cannot be written.
pub(super) fn pretrained(run: &mut Context<'_>, config: &BertConfig) -> Result<Option<TaskModel>> {
    if run.recipe.teacher.pretrain.is_none() {
        return Ok(None);
    }
    let (recipe, spec) = (run.recipe, run.spec(PhaseId::Pretrain)?);
    let config = &config.clone().with_dropout(recipe.teacher.dropout);
    let model = TaskModel::new(config, Parts::NONE.with_words(config), &run.device)?;
    let model = model.initialized(config, run.seed_of(&format!("{} init", spec.name)));
    let settings = &spec.training()?.settings;
    let (text, mask) = (run.inputs.text(recipe, settings)?, run.inputs.word_mask(recipe.seed)?);
    let trained = run.train(spec, model, &MaskedLanguageModeling::of(text.as_ref(), &mask))?;
    let card = format!(
        "# Pre-trained encoder of run `{}`\n\nRandom weights, then {} steps of masked language modeling on the run's corpus.\n",
        recipe.name, settings.train.steps
    );
    let card = scored_card(&card, &Origin::default(), config, &Evaluation::default(), &[]);
    let files = run.inputs.encoder.files(config.max_position_embeddings)?;
    let package = Package { card: &card, files: &files, keep_fit: false };
    ModelDir::save(&run.folder(&spec.name).join("model"), config, &trained.model, package)?;
    Ok(Some(trained.model))
}
