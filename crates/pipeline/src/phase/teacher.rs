//! The teacher: loaded or made from scratch, then fine-tuned.

use std::path::Path;

use bert_core::{BertConfig, StackedFfn, TaskModel, init};
use kd::cache::fingerprint;
use kd::data::task_head;
use kd::engine::Evaluation;
use kd::job::FineTune;
use kd::transfer::continue_from;
use searched_ffn::{AnyModel, ModelDir, Package};

use super::Context;
use crate::recipe::ScratchTeacher;
use crate::{Error, Result};

/// Teachers of a run, without autodiff.
#[derive(Debug)]
pub struct TeacherPair {
    /// Configuration of both.
    pub config: BertConfig,
    /// The teacher of general distillation: the loaded model, or the fine-tuned one where there
    /// is no other.
    pub general: TaskModel<StackedFfn>,
    /// The fine-tuned teacher, one head per task of the recipe.
    pub tuned: TaskModel<StackedFfn>,
    /// Hashes of the two, where their answers are kept; else empty.
    pub identities: [String; 2],
    /// Dev scores of the fine-tuned teacher.
    pub evaluation: Evaluation,
}

/// Loads or makes the teacher and fine-tunes it; the result is kept in `teacher/model/`.
///
/// # Errors
/// A model directory that cannot be read, training that fails, files that cannot be written.
pub fn teacher(run: &mut Context<'_>) -> Result<TeacherPair> {
    let recipe = run.recipe;
    let (config, untrained, pretrained) = match (&recipe.teacher.model, recipe.teacher.scratch) {
        (Some(dir), _) => {
            let (config, model) = load(dir)?;
            (config, model, true)
        }
        (None, Some(scratch)) => {
            let config = scratch_config(scratch, run.inputs.encoder.vocab_size(), recipe.max_len);
            (config, None, false)
        }
        (None, None) => return Err(Error::Mismatch("the recipe names no teacher".into())),
    };
    if run.inputs.encoder.vocab_size() > config.vocab_size {
        return Err(Error::Mismatch(format!(
            "the tokenizer has {} word pieces, the teacher {}",
            run.inputs.encoder.vocab_size(),
            config.vocab_size
        )));
    }
    let mut config = config;
    config.task_heads = recipe.tasks.iter().map(|&t| task_head(t)).collect();
    config.hidden_dropout_prob = recipe.teacher.dropout;
    config.attention_probs_dropout_prob = recipe.teacher.dropout;

    let seed = run.seed_of("teacher init");
    let build = |pooler| TaskModel::new(&config, pooler, false, &run.device, |_| StackedFfn::new(&config, &run.device));
    let fresh = init::normal(build(true)?, seed, config.initializer_range);
    let start = match &untrained {
        // The heads are new; everything that the loaded model has comes from it.
        Some(loaded) => continue_from(fresh, loaded, recipe.teacher.model.as_deref().unwrap_or(Path::new("teacher")))?,
        None => fresh,
    };
    let general = start.clone();
    let phase = &recipe.teacher.fine_tune;
    let data = run.inputs.train(recipe, phase)?;
    let dev = run.inputs.dev(recipe, phase)?;
    let heads = (0..recipe.tasks.len()).collect();
    let job = FineTune { data: &data, heads, eval: &dev };
    let trained = run.train("teacher", start, &job, phase)?;
    let evaluation = trained.evaluation.unwrap_or_default();

    let dir = run.folder("teacher").join("model");
    let card = format!(
        "# Teacher of run `{}`\n\nFine-tuned on {}; dev scores: {}\n",
        recipe.name,
        recipe.tasks.iter().map(|t| t.name()).collect::<Vec<_>>().join(", "),
        scores_line(&evaluation)
    );
    let package = Package { card: &card, files: &run.inputs.tokenizer_files, keep_fit: false };
    ModelDir::save(&dir, &config, &AnyModel::Plain(trained.model.clone()), package)?;
    let general = if pretrained { general } else { trained.model.clone() };
    let identities = match run.has_cache() {
        true => [&general, &trained.model].map(|model| fingerprint(&config, model)),
        false => Default::default(),
    };
    Ok(TeacherPair { config, general, tuned: trained.model, identities, evaluation })
}

/// `name value` pairs of an evaluation for people.
pub(crate) fn scores_line(evaluation: &Evaluation) -> String {
    evaluation.to_string()
}

fn load(dir: &Path) -> Result<(BertConfig, Option<TaskModel<StackedFfn>>)> {
    let loaded = ModelDir::load(dir, &burn::tensor::Device::flex())?;
    match loaded.model {
        AnyModel::Plain(model) => Ok((loaded.config, Some(model))),
        AnyModel::Searched(_) => {
            Err(Error::Mismatch(format!("{}: a searched student cannot be the teacher; give a BERT", dir.display())))
        }
    }
}

/// The configuration of a teacher trained from scratch.
pub(crate) fn scratch_config(scratch: ScratchTeacher, vocab: usize, max_len: usize) -> BertConfig {
    let ScratchTeacher { hidden, layers, heads, intermediate } = scratch;
    BertConfig { max_position_embeddings: max_len, ..BertConfig::bert(vocab, hidden, layers, heads, intermediate) }
}
