//! What a model has to beat: one answer to every example, which needs no reading. A score that is no higher, or a model that
//! gives one answer only, is a success that means nothing, and is said to be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use glue_squad::squad::{self, Gold, NO_ANSWER_THRESHOLD, OrderedMap};
use glue_squad::task::{Label, Majority, Predictions, Task, labels_differ};
use serde::Serialize;

use crate::Evaluation;
use crate::Result;
use crate::data::EvalSet;
use crate::span::SpanEvalSet;

/// Scores closer than this are equal: they are means of a few fractions.
const EQUAL: f64 = 1e-9;
/// Standard errors that a score has to be above that of one answer, for a model that is to teach.
pub const ERRORS_APART: f64 = 2.0;
/// Longest answer of a span model that is quoted, in characters.
const QUOTED: usize = 40;

/// Which labels an answer was chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChosenBy {
    /// Those of the training examples.
    Train,
    /// Those that it is scored against, where no training labels are known.
    Scored,
    /// None: it is the same for every data set.
    Nothing,
}

/// One answer to every example of a task, and what it scores: the majority class, the mean of the labels, or for SQuAD v2.0 that
/// there is no answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MajorityBaseline {
    /// Name of the task.
    pub task: String,
    /// The answer in words.
    pub answer: String,
    /// Which labels it was chosen by.
    pub chosen_by: ChosenBy,
    /// Examples that it was scored on.
    pub examples: usize,
    /// The task's headline or the mean of `metrics`, as a model's score of the task is.
    pub score: f64,
    /// Fractions by `TASK/METRIC`.
    pub metrics: BTreeMap<String, f64>,
    /// Which of `metrics` is the score; `None`: their mean.
    #[serde(skip)]
    pub headline: Option<String>,
    /// Whether the examples have different labels; without that no score can be better.
    #[serde(skip)]
    pub labels_differ: bool,
}

impl MajorityBaseline {
    /// The majority class, or the mean, of the labels `train`, or of `scored` where there are none, scored against `scored`; `None`
    /// where that is empty.
    ///
    /// # Errors
    /// Labels of another task.
    pub fn of_task(task: &Task, train: &[Label], scored: &[Label]) -> Result<Option<Self>> {
        if scored.is_empty() {
            return Ok(None);
        }
        let (chosen_by, labels) = if train.is_empty() { (ChosenBy::Scored, scored) } else { (ChosenBy::Train, train) };
        let Some(majority) = Majority::of(task, labels)? else { return Ok(None) };
        let scores = majority.scores(scored)?;
        Ok(Some(Self {
            task: task.name().into(),
            answer: majority.answer_name(),
            chosen_by,
            examples: scored.len(),
            score: scores.primary,
            metrics: scores.values.into_iter().map(|v| (format!("{}/{}", task.name(), v.name), v.value)).collect(),
            headline: task.spec().headline.map(|metric| format!("{}/{metric}", task.name())),
            labels_differ: labels_differ(scored),
        }))
    }

    /// The baseline of every set, chosen by the training labels that `labels` gives of its task.
    ///
    /// # Errors
    /// Labels of another task.
    pub fn of_sets(labels: impl Fn(&Task) -> Vec<Label>, sets: &[(usize, EvalSet)]) -> Result<Vec<Self>> {
        let each = |(_, set): &(usize, EvalSet)| Self::of_task(&set.task, &labels(&set.task), &set.labels).transpose();
        sets.iter().filter_map(each).collect()
    }

    /// That no question has an answer, where some may have none; `None` for SQuAD v1.1 and for questions without gold answers.
    ///
    /// # Errors
    /// Gold answers that cannot be scored against.
    pub fn of_questions(set: &SpanEvalSet) -> Result<Option<Self>> {
        let (version, gold) = (set.version(), set.gold());
        let Some(gold) = gold.filter(|_| version.has_unanswerable()) else { return Ok(None) };
        let nothing: OrderedMap<String> = gold.questions.iter().map(|(id, _)| (id.clone(), String::new())).collect();
        let scores = squad::evaluate(version, gold, &nothing, None, NO_ANSWER_THRESHOLD)?;
        let metric = |name: &str| (format!("{}/{name}", version.name()), scores.get(name).unwrap_or(0.0) / 100.0);
        Ok(Some(Self {
            task: version.name().into(),
            answer: NO_ANSWER.into(),
            chosen_by: ChosenBy::Nothing,
            examples: gold.questions.len(),
            score: scores.primary() / 100.0,
            metrics: ["exact", "f1"].map(metric).into(),
            headline: None,
            labels_differ: answerable(gold),
        }))
    }

    /// The model's score of this task, as this one's is made; `None` where the task was not evaluated.
    fn score_of(&self, evaluation: &Evaluation) -> Option<f64> {
        if let Some(headline) = &self.headline {
            return evaluation.metrics.get(headline).copied();
        }
        let values: Option<Vec<f64>> = self.metrics.keys().map(|name| evaluation.metrics.get(name).copied()).collect();
        values.filter(|v| !v.is_empty()).map(|v| v.iter().sum::<f64>() / v.len() as f64)
    }

    /// The standard error of this score: how far that of a model which knows no more is from it by chance.
    ///
    /// `sqrt(p (1 - p) / n)` of a fraction `p` of `n` examples, F1 taken for one; `1 / sqrt(n - 1)` of a correlation that is 0. Several metrics
    /// of the same answers go up and down together, so their mean has the mean of the errors.
    pub fn standard_error(&self) -> f64 {
        let examples = self.examples.max(2) as f64;
        let of = |name: &str, value: f64| match name.rsplit('/').next() {
            Some("matthews" | "pearson" | "spearman") => 1.0 / (examples - 1.0).sqrt(),
            _ => {
                // An answer that is nearly always right has an error too.
                let part = value.clamp(0.05, 0.95);
                (part * (1.0 - part) / examples).sqrt()
            }
        };
        let counts = |name: &str| self.headline.as_ref().is_none_or(|headline| headline == name);
        let errors: Vec<f64> =
            self.metrics.iter().filter(|(name, _)| counts(name)).map(|(name, value)| of(name, *value)).collect();
        errors.iter().sum::<f64>() / errors.len().max(1) as f64
    }

    /// Why a model has not learned the task, in words: its score is not [`ERRORS_APART`] standard errors above this one. `None` where it
    /// is, where the task was not evaluated, or where no score could tell.
    pub fn unlearned(&self, evaluation: &Evaluation) -> Option<String> {
        let own = self.score_of(evaluation).filter(|_| self.labels_differ)?;
        let apart = ERRORS_APART * self.standard_error();
        (own <= self.score + apart).then(|| {
            format!(
                "{}: its score on {} examples is {:.2}, and {:.2} is that of answering {} to every example, which chance alone \
                 moves by up to {:.2}",
                self.task,
                self.examples,
                own * 100.0,
                self.score * 100.0,
                self.answer,
                apart * 100.0
            )
        })
    }

    /// What makes the score of a model doubtful, in words.
    fn doubt(&self, evaluation: &Evaluation) -> Option<String> {
        let score = self.score_of(evaluation)?;
        let (task, answer, examples) = (&self.task, &self.answer, self.examples);
        if !self.labels_differ {
            let all = if examples == 1 { "one example".into() } else { format!("{examples} examples of one label") };
            return Some(format!("{task}: was scored on {all}, which tells nothing about the model"));
        }
        let beaten = score > self.score + EQUAL;
        let (own, least) = (score * 100.0, self.score * 100.0);
        match (evaluation.one_answer.get(task), beaten) {
            (None, true) => None,
            (None, false) => Some(format!(
                "{task}: a score of {own:.2} is not above the {least:.2} of answering {answer} to every example"
            )),
            (Some(only), beaten) => {
                let all = format!("{task}: all {examples} answers are {only}");
                Some(match beaten {
                    false => format!("{all}; the score, {own:.2}, is not above the {least:.2} of always {answer}"),
                    true => format!("{all}, though the labels differ"),
                })
            }
        }
    }
}

impl fmt::Display for MajorityBaseline {
    /// `equivalent (1): mrpc/accuracy 68.38, mrpc/f1 81.22`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scores = Evaluation { metrics: self.metrics.clone(), ..Evaluation::default() };
        write!(f, "{}: {scores}", self.answer)
    }
}

/// What the only answer of a span model that finds none is called.
const NO_ANSWER: &str = "no answer";

fn answerable(gold: &Gold) -> bool {
    gold.questions.iter().any(|(_, answers)| answers.iter().any(|text| !text.is_empty()))
}

/// What makes scores doubtful, a sentence for each task: one answer to everything, a score that is not above that of the majority
/// class (or the mean), or examples of one label only. Empty where nothing does.
pub fn doubts(evaluation: &Evaluation, baselines: &[MajorityBaseline]) -> Vec<String> {
    let known: BTreeSet<&str> = baselines.iter().map(|b| b.task.as_str()).collect();
    let others = evaluation.one_answer.iter().filter(|(task, _)| !known.contains(task.as_str()));
    let others = others.map(|(task, only)| format!("{task}: all answers are {only}"));
    baselines.iter().filter_map(|b| b.doubt(evaluation)).chain(others).collect()
}

/// The lines of a model card about both: what the majority class scores, and what is doubtful. Empty without `baselines`.
pub fn card_lines(evaluation: &Evaluation, baselines: &[MajorityBaseline]) -> String {
    let mut text = String::new();
    if !baselines.is_empty() {
        let all: Vec<String> = baselines.iter().map(ToString::to_string).collect();
        text += &format!("\nOne and the same answer to every example would score {}.\n", all.join("; "));
    }
    for doubt in doubts(evaluation, baselines) {
        text += &format!("\n**Warning:** {doubt}.\n");
    }
    text
}

/// The only answer of a classifier or regression in words, if it has just one.
pub(crate) fn only_answer(task: &Task, predictions: &Predictions) -> Option<String> {
    predictions.only_answer().map(|answer| task.answer_name(answer))
}

/// The only answer of a span model, if all questions, of which there are several, get the same.
pub(crate) fn only_span(predictions: &OrderedMap<String>) -> Option<String> {
    let mut texts = predictions.iter().map(|(_, text)| text);
    let first = texts.next()?;
    if predictions.len() < 2 || texts.any(|text| text != first) {
        return None;
    }
    Some(match first.is_empty() {
        true => NO_ANSWER.into(),
        false => format!("`{}`", first.chars().take(QUOTED).collect::<String>()),
    })
}

#[cfg(test)]
mod tests {
    use glue_squad::task::TaskKind;

    use super::*;

    fn classes(labels: &[usize]) -> Vec<Label> {
        labels.iter().map(|class| Label::Class(*class)).collect()
    }

    fn evaluated(task: TaskKind, answers: &[usize], gold: &[Label]) -> Evaluation {
        let predictions = Predictions::Classes(answers.to_vec());
        Evaluation::of_task(task.task(), &task.task().score(&predictions, gold).unwrap(), &predictions)
    }

    #[test]
    fn a_model_that_answers_one_class_is_told_apart_from_one_that_is_as_good_as_the_majority_by_other_answers() {
        let gold = classes(&[1, 1, 0, 1]);
        let baseline = MajorityBaseline::of_task(TaskKind::Mrpc.task(), &classes(&[0, 1, 1]), &gold).unwrap().unwrap();
        // Accuracy 3/4 and F1 6/7.
        assert!((baseline.score - (0.75 + 6.0 / 7.0) / 2.0).abs() < 1e-12);
        assert_eq!((baseline.answer.as_str(), baseline.chosen_by), ("equivalent (1)", ChosenBy::Train));
        let said =
            |answers: &[usize]| doubts(&evaluated(TaskKind::Mrpc, answers, &gold), std::slice::from_ref(&baseline));
        assert_eq!(
            said(&[1, 1, 1, 1]),
            ["mrpc: all 4 answers are equivalent (1); the score, 80.36, is not above the 80.36 of \
              always equivalent (1)"]
        );
        assert_eq!(
            said(&[1, 1, 1, 0]),
            ["mrpc: a score of 58.33 is not above the 80.36 of answering equivalent (1) to every example"]
        );
        assert!(said(&[1, 1, 0, 1]).is_empty());
    }

    #[test]
    fn one_answer_is_doubtful_even_above_the_majority_of_the_training_labels() {
        let gold = classes(&[0, 0, 1]);
        let baseline = MajorityBaseline::of_task(TaskKind::Rte.task(), &classes(&[1]), &gold).unwrap().unwrap();
        let said = doubts(&evaluated(TaskKind::Rte, &[0, 0, 0], &gold), &[baseline]);
        assert_eq!(said, ["rte: all 3 answers are entailment, though the labels differ"]);
    }

    #[test]
    fn examples_of_one_label_say_nothing_and_a_perfect_score_on_them_is_no_failure() {
        let said = |gold: &[usize]| {
            let gold = classes(gold);
            let baseline =
                MajorityBaseline::of_task(TaskKind::Sst2.task(), &classes(&[0, 1, 1]), &gold).unwrap().unwrap();
            let answers = vec![1; gold.len()];
            doubts(&evaluated(TaskKind::Sst2, &answers, &gold), &[baseline])
        };
        assert_eq!(
            said(&[1, 1]),
            ["sst-2: was scored on 2 examples of one label, which tells nothing about the model"]
        );
        assert_eq!(said(&[1]), ["sst-2: was scored on one example, which tells nothing about the model"]);
    }

    #[test]
    fn without_training_labels_the_scored_ones_choose_and_without_any_there_is_no_baseline() {
        let baseline = MajorityBaseline::of_task(TaskKind::Ax.task(), &[], &classes(&[2, 2, 0])).unwrap().unwrap();
        assert_eq!((baseline.chosen_by, baseline.answer.as_str()), (ChosenBy::Scored, "contradiction"));
        assert_eq!(baseline.metrics, [("ax/matthews".to_owned(), 0.0)].into());
        assert_eq!(MajorityBaseline::of_task(TaskKind::Ax.task(), &classes(&[1]), &[]).unwrap(), None);
    }

    #[test]
    fn correlations_have_to_be_above_0() {
        let gold = [0.0, 1.0, 4.0].map(Label::Score);
        let baseline = MajorityBaseline::of_task(TaskKind::Stsb.task(), &[Label::Score(2.5)], &gold).unwrap().unwrap();
        let said = |answers: &[f64]| {
            let predictions = Predictions::Scores(answers.to_vec());
            let scores = TaskKind::Stsb.task().score(&predictions, &gold).unwrap();
            doubts(&Evaluation::of_task(TaskKind::Stsb.task(), &scores, &predictions), std::slice::from_ref(&baseline))
        };
        let constant = said(&[2.4, 2.4, 2.4]);
        assert!(constant[0].starts_with("sts-b: all 3 answers are 2.40; the score, 0.00"), "{constant:?}");
        let wrong = said(&[3.0, 2.0, 1.0]);
        assert!(wrong[0].contains("is not above the 0.00 of answering 2.50 to every example"), "{wrong:?}");
        assert!(said(&[0.1, 0.2, 0.3]).is_empty());
    }

    #[test]
    fn a_model_has_learned_once_its_score_is_two_standard_errors_above_one_answer() {
        let gold = classes(&[0, 1].repeat(50));
        let baseline = MajorityBaseline::of_task(TaskKind::Sst2.task(), &[], &gold).unwrap().unwrap();
        assert!((baseline.standard_error() - 0.05).abs() < 1e-12);
        let right = |count: usize| {
            let answers: Vec<usize> = (0..100).map(|i| if i < count { i % 2 } else { 1 - i % 2 }).collect();
            baseline.unlearned(&evaluated(TaskKind::Sst2, &answers, &gold))
        };
        assert_eq!(right(61), None);
        let said = right(58).unwrap();
        assert!(
            said.starts_with("sst-2: its score on 100 examples is 58.00, and 50.00") && said.contains("10.00"),
            "{said}"
        );
        // A correlation of nothing has an error of 0.1 there.
        let gold: Vec<Label> = (0..101).map(|i| Label::Score(f64::from(i % 6))).collect();
        let baseline = MajorityBaseline::of_task(TaskKind::Stsb.task(), &[], &gold).unwrap().unwrap();
        assert!((baseline.standard_error() - 0.1).abs() < 1e-12);
        // Of one label nothing can be told.
        let gold = classes(&[1; 9]);
        let baseline = MajorityBaseline::of_task(TaskKind::Sst2.task(), &[], &gold).unwrap().unwrap();
        assert_eq!(baseline.unlearned(&evaluated(TaskKind::Sst2, &[1; 9], &gold)), None);
    }

    #[test]
    fn a_span_model_that_always_says_the_same_is_found() {
        let answers = |texts: &[&str]| -> OrderedMap<String> {
            texts.iter().enumerate().map(|(i, text)| (i.to_string(), (*text).to_owned())).collect()
        };
        assert_eq!(only_span(&answers(&["", ""])), Some("no answer".into()));
        assert_eq!(only_span(&answers(&["the", "the"])), Some("`the`".into()));
        assert_eq!(
            (only_span(&answers(&["", "a"])), only_span(&answers(&[""])), only_span(&answers(&[]))),
            (None, None, None)
        );
    }

    #[test]
    fn a_card_says_what_the_majority_scores_and_what_is_doubtful() {
        let gold = classes(&[1, 0]);
        let baseline = MajorityBaseline::of_task(TaskKind::Sst2.task(), &classes(&[1]), &gold).unwrap().unwrap();
        let card = card_lines(&evaluated(TaskKind::Sst2, &[1, 1], &gold), std::slice::from_ref(&baseline));
        assert!(card.contains("positive (1): sst-2/accuracy 50.00."), "{card}");
        assert!(card.contains("**Warning:** sst-2: all 2 answers are positive (1)"), "{card}");
        assert!(!card_lines(&evaluated(TaskKind::Sst2, &[1, 0], &gold), &[baseline]).contains("Warning"));
        assert_eq!(card_lines(&Evaluation::default(), &[]), "");
    }
}
