//! Whether a teacher can teach: what shows before anything is trained, and what people lost days to.
//!
//! | fault | how it shows |
//! |---|---|
//! | the tokenizer of another model | a vocabulary of another size, texts full of unknown pieces |
//! | labels in another order | names that contradict the task, or answers that are right once they are exchanged |
//! | not fine-tuned on the task | no head, or a dev score within two standard errors of that of one answer to everything |
//!
//! The last two are for a teacher whose own heads teach (`teacher.fine_tune.steps = 0`): others get new heads, and their fine-tuning is
//! judged where it ends.

use std::sync::atomic::AtomicBool;

use bert_core::{BertConfig, ModelDir, TaskModel};
use burn::tensor::Device;
use glue_squad::task::{Label, Predictions, Task};
use predict::Evaluation;
use predict::data::EvalSet;
use predict::evaluate::predictions;
use predict::heads::{AnsweringHead, answering_head};
use predict::majority::{ERRORS_APART, MajorityBaseline};
use tokenizer::TextEncoder;

use crate::evaluate::until;
use crate::inputs::Inputs;
use crate::phase::{Model, PhaseSpec};
use crate::recipe::Recipe;
use crate::{Error, Problem, Result};

/// Dev examples of a task that a teacher is asked, at most.
pub(crate) const ASKED: usize = 1000;
/// Of these together.
const BATCH: usize = 32;
/// Rows that a word table may have for no piece: tables are padded to round numbers. A hundredth of the rows is allowed too.
const SPARE_ROWS: usize = 128;
/// Part of a task's pieces that may be unknown.
const UNKNOWN: f64 = 0.2;
/// What takes a teacher all the same.
const ANYWAY: &str = "`teacher.unchecked=true` takes it as it is";

/// Why the tokenizer of `rows` pieces is another model's than that of `config`.
pub(crate) fn other_vocabulary(recipe: &Recipe, encoder: &TextEncoder, config: &BertConfig) -> Option<String> {
    let (pieces, rows) = (encoder.vocab_size(), config.vocab_size);
    if pieces > rows {
        return Some(format!("the tokenizer has {pieces} word pieces, the teacher {rows}"));
    }
    let spare = SPARE_ROWS.max(rows / 100);
    (rows - pieces > spare && !recipe.teacher.unchecked).then(|| {
        format!(
            "the tokenizer has {pieces} word pieces, the teacher {rows}: {} rows have no word piece, so it looks like the tokenizer of \
             another model; {ANYWAY}",
            rows - pieces
        )
    })
}

/// The teacher's own head for each task that it is not fine-tuned on.
///
/// # Errors
/// [`Error::Inputs`] with every task that it has no head for, or one whose classes are called by other names.
pub(crate) fn own_heads(
    recipe: &Recipe,
    phases: &[PhaseSpec<'_>],
    config: &BertConfig,
) -> Result<Vec<(Task, AnsweringHead)>> {
    let (mut heads, mut problems) = (Vec::new(), Vec::new());
    for task in untrained(phases) {
        match answering_head(config, task) {
            Ok(head) => heads.push((task.clone(), head)),
            Err(e) => problems.push(Problem {
                message: format!(
                    "{}: {e}; with `teacher.fine_tune.steps` above 0 it is fine-tuned on the task and gets a new head",
                    named(recipe)
                ),
                usage: true,
                missing: false,
            }),
        }
    }
    if problems.is_empty() { Ok(heads) } else { Err(Error::Inputs(problems)) }
}

/// The tasks whose teacher is taken as it is.
fn untrained<'p>(phases: &'p [PhaseSpec<'_>]) -> impl Iterator<Item = &'p Task> {
    let teachers = phases.iter().filter(|phase| phase.id.model() == Model::Teacher);
    let as_it_is = teachers.filter(|phase| phase.trainings.iter().all(|training| training.settings.train.steps == 0));
    as_it_is.flat_map(|phase| phase.tasks)
}

/// How messages call the teacher.
fn named(recipe: &Recipe) -> String {
    recipe.teacher.model.as_ref().map_or_else(|| "the teacher".into(), |dir| format!("teacher {}", dir.display()))
}

/// Why texts of a task look as if they were encoded for another model.
///
/// # Errors
/// Files that cannot be read.
pub(crate) fn unknown_pieces(recipe: &Recipe, inputs: &Inputs) -> Result<Vec<Problem>> {
    let Some(unknown) = inputs.encoder.unk_id().filter(|_| !recipe.teacher.unchecked) else { return Ok(Vec::new()) };
    let mut problems = Vec::new();
    for task in &recipe.tasks {
        let sample = inputs.dev_sample(recipe, task, ASKED)?;
        let pieces: usize = sample.iter().map(glue_squad::features::Features::len).sum();
        let ids = sample.iter().flat_map(|features| features.ids.iter().chain(features.second.iter().flatten()));
        let found = ids.filter(|&&id| id == unknown).count();
        if found as f64 > UNKNOWN * pieces as f64 {
            problems.push(refusal(format!(
                "{}: {task}: {:.0}% of the word pieces are unknown ones, so the tokenizer does not fit these texts",
                named(recipe),
                100.0 * found as f64 / pieces as f64
            )));
        }
    }
    Ok(problems)
}

fn refusal(message: String) -> Problem {
    Problem { message: format!("{message}; {ANYWAY}"), usage: true, missing: false }
}

/// Asks a teacher that is taken as it is about dev examples of each of its tasks; why its answers cannot teach, and what to know of its
/// heads.
///
/// # Errors
/// Files that cannot be read; [`Error::Interrupted`] once `stop` is set.
pub(crate) fn answers(
    recipe: &Recipe,
    heads: &[(Task, AnsweringHead)],
    inputs: &Inputs,
    teacher: &ModelDir,
    stop: &AtomicBool,
) -> Result<(Vec<Problem>, Vec<String>)> {
    let (mut problems, mut notes) = (Vec::new(), Vec::new());
    for (task, head) in heads {
        notes.extend(head.note.as_ref().map(|note| format!("{}: {note}", named(recipe))));
        let set = inputs.dev_sample_set(recipe, task, ASKED, BATCH)?;
        let Some(why) = unfit(&teacher.model, head, &set, &Device::flex(), stop)? else { continue };
        let message = match why {
            Unfit::Exchanged(said) => format!("{}: {said}", named(recipe)),
            Unfit::Untaught(said) => {
                format!("{}: {said}; `teacher.fine_tune.steps` above 0 fine-tunes it", named(recipe))
            }
        };
        match recipe.teacher.unchecked {
            false => problems.push(refusal(message)),
            true => notes.push(message),
        }
    }
    Ok((problems, notes))
}

/// Why the answers of a model cannot teach a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Its labels stand in another order than their names say.
    Exchanged(String),
    /// It is not fine-tuned on the task.
    Untaught(String),
}

impl Unfit {
    /// The sentence about it, which begins with the task.
    pub fn said(&self) -> &str {
        match self {
            Self::Exchanged(said) | Self::Untaught(said) => said,
        }
    }
}

/// Asks a model on `device` about up to 1,000 dev examples, and says why its answers cannot teach: they are not better than one answer to
/// all by two standard errors. `None` where they can, or where examples of one label cannot tell.
///
/// # Errors
/// A model that has diverged; [`Error::Interrupted`] once `stop` is set.
pub fn unfit(
    model: &TaskModel,
    head: &AnsweringHead,
    dev: &EvalSet,
    device: &Device,
    stop: &AtomicBool,
) -> Result<Option<Unfit>> {
    let set = dev.sample(ASKED, BATCH)?;
    let task = &set.task;
    let found = match predictions(model, head, &set, device, &mut until(stop)) {
        Err(predict::Error::Stopped) => return Err(Error::Interrupted),
        found => found?,
    };
    let evaluation = Evaluation::of_task(task, &task.score(&found, &set.labels)?, &found);
    let Some(majority) = MajorityBaseline::of_task(task, &[], &set.labels)? else { return Ok(None) };
    let Some(why) = majority.unlearned(&evaluation) else { return Ok(None) };
    let other_order = match &found {
        Predictions::Classes(found) => exchanged(task, head, found, &set.labels),
        Predictions::Scores(_) | Predictions::Sets(_) | Predictions::Tags(_) | Predictions::Ranks(_) => None,
    };
    Ok(Some(match other_order {
        Some(said) => Unfit::Exchanged(format!("{task}: {said}")),
        None => Unfit::Untaught(format!("{why}; it is not fine-tuned on this task")),
    }))
}

/// What the order of the classes has to do with it, where another one gives answers that are better than chance.
fn exchanged(task: &Task, head: &AnsweringHead, found: &[usize], labels: &[Label]) -> Option<String> {
    let class = |label: &Label| if let Label::Class(class) = label { Some(*class) } else { None };
    let gold: Vec<usize> = labels.iter().filter_map(class).collect();
    let words = task.class_words();
    if gold.len() != found.len() || words.is_empty() || words.len() > 3 {
        return None;
    }
    let right = |order: &[usize]| found.iter().zip(&gold).filter(|(answer, gold)| order[**answer] == **gold).count();
    let all = gold.len() as f64;
    let counts = (0..words.len()).map(|class| gold.iter().filter(|&&label| label == class).count());
    let most = counts.max().unwrap_or_default() as f64 / all;
    let error = (most * (1.0 - most) / all).sqrt();
    let orders = orders(words.len());
    let best = orders.iter().max_by_key(|order| right(order))?;
    let (own, best_right) = (right(&orders[0]) as f64 / all, right(best) as f64 / all);
    if *best == orders[0] || best_right <= most + ERRORS_APART * error {
        return None;
    }
    // As the outputs stand, which may not be the order of the data.
    let mut renamed = vec![""; words.len()];
    head.order.outputs().iter().zip(best).for_each(|(&output, &class)| renamed[output] = words[class]);
    Some(format!(
        "{:.1}% of its answers are right, and {:.1}% were with its labels in the order {}: they stand in another order than `id2label` of \
         its config.json says, which is to be put right",
        100.0 * own,
        100.0 * best_right,
        renamed.join(", ")
    ))
}

/// All orders of so many classes, the given one first.
fn orders(classes: usize) -> Vec<Vec<usize>> {
    let mut all: Vec<Vec<usize>> = vec![Vec::new()];
    for _ in 0..classes {
        let longer = |order: &Vec<usize>| {
            let order = order.clone();
            (0..classes).filter(|class| !order.contains(class)).map(|class| [&order[..], &[class]].concat()).collect()
        };
        all = all.iter().flat_map(|order| -> Vec<Vec<usize>> { longer(order) }).collect();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_all_of_them_and_the_given_one_is_the_first() {
        assert_eq!(orders(2), [vec![0, 1], vec![1, 0]]);
        let three = orders(3);
        assert_eq!((three.len(), &three[0]), (6, &vec![0, 1, 2]));
        let different: std::collections::BTreeSet<_> = three.iter().collect();
        assert_eq!(different.len(), 6);
    }

    #[test]
    fn answers_that_are_right_once_they_are_exchanged_are_told_from_those_that_know_nothing() {
        let task: Task = "sst-2".parse().unwrap();
        let gold: Vec<usize> = (0..100).map(|i| i % 2).collect();
        let labels: Vec<Label> = gold.iter().map(|&class| Label::Class(class)).collect();
        let reversed: Vec<usize> =
            gold.iter().enumerate().map(|(i, class)| if i < 90 { 1 - class } else { *class }).collect();
        let said = exchanged(&task, &AnsweringHead::in_order(0, 2), &reversed, &labels).unwrap();
        assert!(
            said.starts_with("10.0% of its answers are right, and 90.0% were") && said.contains("positive, negative"),
            "{said}"
        );
        let random: Vec<usize> = (0..100).map(|i| (i / 2) % 2).collect();
        assert_eq!(exchanged(&task, &AnsweringHead::in_order(0, 2), &random, &labels), None);
        assert_eq!(exchanged(&task, &AnsweringHead::in_order(0, 2), &[1; 100], &labels), None, "one answer");
    }

    #[test]
    fn three_classes_in_another_order_are_named_as_they_stand() {
        let task: Task = "mnli".parse().unwrap();
        let gold: Vec<usize> = (0..90).map(|i| i % 3).collect();
        let labels: Vec<Label> = gold.iter().map(|&class| Label::Class(class)).collect();
        // Output 0 means class 1, output 1 class 2, output 2 class 0.
        let found: Vec<usize> = gold.iter().map(|class| (class + 2) % 3).collect();
        let said = exchanged(&task, &AnsweringHead::in_order(0, 3), &found, &labels).unwrap();
        let words = task.class_words();
        assert!(said.contains(&format!("in the order {}, {}, {}:", words[1], words[2], words[0])), "{said}");
    }
}
