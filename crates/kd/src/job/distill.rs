//! General and task distillation.

use bert_core::TaskModel;
use burn::tensor::Device;
use glue_squad::batch::Labels;
use glue_squad::task::Head;
use predict::evaluate;
use train::data::{EvalSet, TaskMix, to_device};
use train::engine::{Evaluated, Job, LossTerms, MicroBatch, Watch};
use train::losses::label_loss;
use train::mlm::{HeldOutWords, MaskedBatch, WordMask};
use train::pair_losses::check_parts;
use train::text::TextSource;
use train::{Error, Result};

use super::Teacher;
use crate::losses;
use crate::objective::Plan;

/// Makes the model that a step trains from the whole one; shares its weights.
pub type Prepare<'a> = Box<dyn Fn(&TaskModel, u64) -> TaskModel + Sync + 'a>;

/// Trains the whole model in every step.
pub fn as_is<'a>() -> Prepare<'a> {
    Box::new(|model, _| model.clone())
}

/// Distillation on unlabeled text: the terms between layers (warm-up and pre-training stages of EfficientBERT, general
/// distillation of TinyBERT) and the term between masked words (MobileBERT).
pub struct GeneralDistillation<'a> {
    /// The teacher, without autodiff.
    pub teacher: &'a dyn Teacher,
    /// What is learned in which step.
    pub plan: &'a Plan,
    /// Packed text.
    pub text: &'a dyn TextSource,
    /// What hides words, in every step; wanted where the plan has a term between them.
    pub words: Option<MlmTask<'a>>,
    /// Which part of the student a step trains.
    pub prepare: Prepare<'a>,
}

/// How a training on text hides words, and on what it is evaluated.
#[derive(Debug)]
pub struct MlmTask<'a> {
    /// Hides words of the text.
    pub mask: &'a WordMask,
    /// Held-out text, to be evaluated on.
    pub held_out: Option<&'a HeldOutWords>,
}

impl GeneralDistillation<'_> {
    fn batch(&self, step: u64) -> Result<MaskedBatch> {
        let batch = self.text.batch(step)?;
        match (&self.words, self.plan.mlm()) {
            (Some(words), _) => Ok(words.mask.hide(batch, step / self.text.batches_per_epoch())),
            (None, None) => Ok(MaskedBatch::none(batch)),
            (None, Some(_)) => {
                Err(Error::Mismatch("the objective has a term between masked words, but the text is not masked".into()))
            }
        }
    }
}

impl Job<TaskModel> for GeneralDistillation<'_> {
    fn loss(&self, model: &TaskModel, part: MicroBatch, device: &Device) -> Result<LossTerms> {
        let whole = self.batch(part.step)?;
        let Some(cut) = part.cut(whole.batch.batch) else { return Ok(LossTerms(Vec::new())) };
        let hidden = whole.rows(cut.rows());
        let tokens = to_device(&hidden.batch, device);
        let now = self.plan.at(part.step);
        let options = now.options();
        let words = now.mlm.filter(|_| hidden.count() > 0).map(|term| (term, hidden.to_device(device)));
        let (states, scores) = match &words {
            Some((term, (places, _))) if term.asks_teacher() => {
                let (states, scores) =
                    self.teacher.word_logits(&tokens, places.clone(), options).ok_or_else(|| headless("teacher"))?;
                (Some(states), Some(scores))
            }
            _ => ((now.layer_count() > 0).then(|| self.teacher.states(&tokens, None, options)), None),
        };
        if states.is_none() && words.is_none() {
            // Nothing is hidden in this part, and no layers are compared.
            return Ok(LossTerms(Vec::new()));
        }
        let student = (self.prepare)(model, part.step);
        let output = student.encode(&tokens, options);
        let mut terms = match &states {
            Some(states) => {
                let density = cut.density(hidden.batch.tokens(), whole.batch.tokens());
                now.layer_terms(&output, states, &tokens.mask, density)
            }
            None => LossTerms(Vec::new()),
        };
        if let Some((term, (places, ids))) = words {
            let ours = student.words(output.last_hidden, places).ok_or_else(|| headless("student"))?;
            let density = cut.density(hidden.count(), whole.count());
            let loss = term.loss(ours, scores, ids);
            terms.0.push(("mlm", if density == 1.0 { loss } else { loss * density }));
        }
        Ok(cut.weigh(terms))
    }

    fn tokens(&self, step: u64) -> Result<u64> {
        Ok(self.text.batch(step)?.tokens() as u64)
    }

    /// `None` before the masked-language-model head has been trained.
    fn evaluate(&self, model: &TaskModel, steps: u64, device: &Device, watch: &mut Watch<'_>) -> Evaluated {
        let taught = steps > 0 && self.plan.words_taught_by(steps - 1);
        let words = self.words.as_ref().filter(|_| taught);
        words.and_then(|words| words.held_out).map(|text| text.evaluate(model, device, watch)).transpose()
    }
}

/// Plans are checked against both models, so this is one that was made for others.
fn headless(who: &str) -> Error {
    Error::Mismatch(format!("the {who} has no masked-language-model head, which the objective was checked to have"))
}

/// Distillation on task data: the terms between layers and the prediction term, as the objective has them.
///
/// Scores without gold ones are learned from the teacher's.
pub struct TaskDistillation<'a> {
    /// The fine-tuned teacher, or one for each task ([`TaskTeachers`](super::TaskTeachers)), without autodiff.
    pub teacher: &'a dyn Teacher,
    /// Teacher head of each task of `data`.
    pub teacher_heads: Vec<usize>,
    /// Student head of each task of `data`.
    pub student_heads: Vec<usize>,
    /// What is learned in which step.
    pub plan: &'a Plan,
    /// Training data.
    pub data: &'a TaskMix,
    /// Evaluation sets with the student's heads; empty for none.
    pub eval: &'a [(usize, EvalSet)],
    /// Which part of the student a step trains.
    pub prepare: Prepare<'a>,
}

impl Job<TaskModel> for TaskDistillation<'_> {
    fn loss(&self, model: &TaskModel, part: MicroBatch, device: &Device) -> Result<LossTerms> {
        let (task, whole) = self.data.batch(part.step)?;
        let Some(cut) = part.cut(whole.batch) else { return Ok(LossTerms(Vec::new())) };
        let batch = whole.rows(cut.rows());
        if batch.second.is_some() {
            check_parts(self.data.sets()[task].batch_size(), part)?;
            return self.vector_terms(model, (task, part.step), (&batch, &whole), &cut, device);
        }
        let density = cut.density(batch.tokens(), whole.tokens());
        let tokens = to_device(&batch, device);
        let now = self.plan.at(part.step);
        let options = now.options();
        let task_head = self.data.tasks()[task].head();
        if matches!(task_head, Head::Tags { .. }) {
            return self.tag_terms(model, (task, part.step), (&batch, &whole), (&cut, &tokens));
        }
        let regression = task_head == Head::Regression;
        let labels = matches!(task_head, Head::MultiLabel { .. });
        let head = self.teacher_heads[task];
        let gold = regression && matches!(batch.labels, Labels::Scores(_));
        let by_labels = gold && now.prediction.is_some_and(|p| p.regression_on_labels());
        let (states, taught) = now.taught(
            !by_labels,
            || self.teacher.states(&tokens, Some(head), options),
            || self.teacher.logits(&tokens, head, options),
        );
        let student = (self.prepare)(model, part.step);
        let (output, logits) = student.forward(&tokens, self.student_heads[task], options);
        let mut terms = match &states {
            Some(states) => now.layer_terms(&output, states, &tokens.mask, density),
            None => LossTerms(Vec::new()),
        };
        let Some(prediction) = now.prediction else { return Ok(cut.weigh(terms)) };
        let tasks = self.data.tasks();
        let weights = tasks[task].class_weights();
        let hard = || label_loss(logits.clone(), &batch.labels, weights, device);
        // Where labels are not enough, the teacher was asked.
        let taught = || taught.clone().expect("the teacher was asked");
        let term = match regression {
            true if by_labels => prediction.weighted(hard()?),
            true if gold => prediction.mixed(|| losses::mse(logits.clone(), taught()), hard)?,
            true if prediction.asks_teacher() => prediction.weighted(losses::mse(logits, taught())),
            _ if labels => prediction.mixed(|| prediction.soft_labels(logits.clone(), taught()), hard)?,
            _ => prediction.mixed(|| prediction.soft(logits.clone(), taught()), hard)?,
        };
        terms.0.push(("prediction", term));
        Ok(cut.weigh(terms))
    }

    fn tokens(&self, step: u64) -> Result<u64> {
        Ok(self.data.batch(step)?.1.tokens() as u64)
    }

    fn evaluate(&self, model: &TaskModel, steps: u64, device: &Device, watch: &mut Watch<'_>) -> Evaluated {
        heads_evaluated((model, self.plan), self.eval, steps, device, watch)
    }
}

/// Scores of a student after `steps` steps of `plan`; `None` without sets, or before its heads have been trained.
pub(super) fn heads_evaluated(
    (model, plan): (&TaskModel, &Plan),
    sets: &[(usize, EvalSet)],
    steps: u64,
    device: &Device,
    watch: &mut Watch<'_>,
) -> Evaluated {
    let taught = steps > 0 && plan.heads_taught_by(steps - 1);
    if sets.is_empty() || !taught {
        return Ok(None);
    }
    Ok(Some(evaluate::evaluate(model, sets, device, watch)?))
}
