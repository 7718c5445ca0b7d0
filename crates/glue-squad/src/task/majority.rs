//! What one answer to every example scores: the majority class, or the mean of the labels.

use std::collections::BTreeMap;

use super::{Head, Label, LabelSet, Match, Predictions, Scores, Tags, Task};
use crate::error::Result;

/// Regression outputs that differ by less than this, relative to their magnitude (at least 1), are one answer: a model that
/// ignores its input still rounds differently in batches of different widths.
const SAME_SCORE: f64 = 1e-5;

/// The answer that needs no text: the most frequent class of some labels, the lowest of equally frequent ones; for a regression
/// their mean; of sets of labels those that half of the examples have, or else the most frequent one; of tags that which a word has most often, and of
/// a word that the labels do not have their most frequent tag; of answers to be found an order by chance. A model that scores no more has learned nothing that this answer does not know.
///
/// scikit-learn has it as `DummyClassifier(strategy="most_frequent")` and `DummyRegressor(strategy="mean")`.
#[derive(Debug, Clone, PartialEq)]
pub struct Majority {
    /// The task.
    pub task: Task,
    /// The answer; of tags the most frequent one, as a class.
    pub answer: Label,
    /// The most frequent tag of each word, by its key.
    words: BTreeMap<u64, u16>,
}

impl Majority {
    /// The majority of `labels`; `None` without labels.
    ///
    /// # Errors
    /// A label that is not of the task's kind, or a class that it does not have.
    pub fn of(task: &Task, labels: &[Label]) -> Result<Option<Self>> {
        task.check_labels(labels)?;
        let mut counts = BTreeMap::<usize, usize>::new();
        let mut mean = 0.0;
        let mut words = BTreeMap::<u64, BTreeMap<u16, usize>>::new();
        for label in labels {
            match label {
                Label::Class(class) => *counts.entry(*class).or_default() += 1,
                Label::Score(score) => mean += score / labels.len() as f64,
                Label::Set(set) => set.iter().for_each(|label| *counts.entry(label).or_default() += 1),
                Label::Match(_) => {}
                Label::Tags(Tags { tags, keys }) => {
                    for (tag, key) in tags.iter().zip(keys) {
                        *counts.entry(usize::from(*tag)).or_default() += 1;
                        *words.entry(*key).or_default().entry(*tag).or_default() += 1;
                    }
                }
            }
        }
        if labels.is_empty() {
            return Ok(None);
        }
        let most = counts.values().max();
        if matches!(labels[0], Label::Set(_)) {
            // Each label that half of the examples have; if there is none, the most frequent one.
            let half = counts.iter().filter(|(_, count)| **count * 2 >= labels.len()).map(|(label, _)| *label);
            let first = counts.iter().find(|(_, count)| Some(*count) == most).map(|(label, _)| *label);
            let set: LabelSet = half.collect();
            let set = if set.is_empty() { first.into_iter().collect() } else { set };
            return Ok(Some(Self { task: task.clone(), answer: Label::Set(set), words: BTreeMap::new() }));
        }
        let most_often = |tags: &BTreeMap<u16, usize>| {
            let most = tags.values().max()?;
            tags.iter().find(|(_, count)| *count == most).map(|(tag, _)| *tag)
        };
        let words = words.iter().filter_map(|(key, tags)| Some((*key, most_often(tags)?))).collect();
        let answer = match counts.iter().find(|(_, count)| Some(*count) == most) {
            Some((class, _)) => Label::Class(*class),
            // Texts without words.
            None if matches!(labels[0], Label::Tags(_)) => Label::Class(0),
            None if matches!(labels[0], Label::Match(_)) => labels[0].clone(),
            None => Label::Score(mean),
        };
        Ok(Some(Self { task: task.clone(), answer, words }))
    }

    /// The answer to each of the examples with the labels `gold`, of which only the number of examples counts, and of tags the words.
    pub fn predictions(&self, gold: &[Label]) -> Predictions {
        let rows = gold.len();
        match self.answer {
            Label::Class(class) if matches!(self.task.head(), Head::Tags { .. }) => {
                let tag = |key: &u64| self.words.get(key).copied().unwrap_or(class as u16);
                let tags = |label: &Label| match label {
                    Label::Tags(of) => of.keys.iter().map(tag).collect(),
                    _ => Vec::new(),
                };
                Predictions::Tags(gold.iter().map(tags).collect())
            }
            Label::Class(class) => Predictions::Classes(vec![class; rows]),
            Label::Score(score) => Predictions::Scores(vec![score; rows]),
            Label::Set(set) => Predictions::Sets(vec![set; rows]),
            Label::Tags(_) => Predictions::Tags(Vec::new()),
            // An order by chance is no single one, see [`Majority::scores`]; this has every rank once.
            Label::Match(_) => Predictions::Ranks((1..=rows).collect()),
        }
    }

    /// The answer in words.
    pub fn answer_name(&self) -> String {
        match self.task.head() {
            Head::Tags { .. } => "each word's most frequent tag".to_owned(),
            Head::Embedding if matches!(self.answer, Label::Match(_)) => "an order by chance".to_owned(),
            _ => self.task.answer_name(self.answer.clone()),
        }
    }

    /// The task's metrics of this answer on examples with the labels `gold`. Correlations with a constant are undefined, and so 0.
    ///
    /// # Errors
    /// As [`Task::score`].
    pub fn scores(&self, gold: &[Label]) -> Result<Scores> {
        if let Label::Match(_) = self.answer {
            return self.task.score_by_chance(gold);
        }
        self.task.score(&self.predictions(gold), gold)
    }
}

impl Predictions {
    /// The answer, where there are several predictions and all are the same; scores that differ by rounding only count as the same.
    pub fn only_answer(&self) -> Option<Label> {
        match self {
            Self::Classes(classes) => match classes[..] {
                [first, _, ..] if classes.iter().all(|class| *class == first) => Some(Label::Class(first)),
                _ => None,
            },
            Self::Sets(sets) => match sets[..] {
                [first, _, ..] if sets.iter().all(|set| *set == first) => Some(Label::Set(first)),
                _ => None,
            },
            // With vectors that are all alike each answer comes last.
            Self::Ranks(ranks) => match ranks[..] {
                [first, _, _, ..] if first > 2 && ranks.iter().all(|rank| *rank == first) => {
                    Some(Label::Match(Match::of("", "")))
                }
                _ => None,
            },
            // Of tags it is one tag of all words.
            Self::Tags(texts) => {
                let mut tags = texts.iter().flatten();
                let first = tags.next()?;
                tags.clone().next()?;
                tags.all(|tag| tag == first).then_some(Label::Class(usize::from(*first)))
            }
            Self::Scores(scores) => {
                let first = *scores.first().filter(|_| scores.len() > 1)?;
                let most = scores.iter().fold(first, |a, b| a.max(*b));
                let least = scores.iter().fold(first, |a, b| a.min(*b));
                (most - least <= SAME_SCORE * first.abs().max(1.0)).then_some(Label::Score(first))
            }
        }
    }
}

impl Task {
    /// An answer in words: `positive (1)`, `entailment`, `2.70`.
    pub fn answer_name(&self, answer: Label) -> String {
        match answer {
            Label::Score(score) => format!("{:.2}", self.scale().map_or(score, |scale| scale.number(score))),
            Label::Set(set) => match set.is_empty() {
                true => "no label".to_owned(),
                false => set.iter().map(|label| self.answer_name(Label::Class(label))).collect::<Vec<_>>().join(", "),
            },
            Label::Class(class) => match self.classes().get(class) {
                Some(class) if class.word != class.name => format!("{} ({})", class.word, class.name),
                Some(class) => class.name.clone(),
                None => class.to_string(),
            },
            Label::Match(_) => "one vector for all texts".to_owned(),
            Label::Tags(Tags { tags, .. }) => {
                let names = tags.iter().map(|tag| self.answer_name(Label::Class(usize::from(*tag))));
                names.collect::<Vec<_>>().join(" ")
            }
        }
    }
}

/// Whether two of `labels` differ, of tags those of two words; without that, every score says the same of a constant answer and of a model.
pub fn labels_differ(labels: &[Label]) -> bool {
    if let Some(Label::Tags(_)) = labels.first() {
        let tags = |label: &Label| if let Label::Tags(of) = label { of.tags.clone() } else { Vec::new() };
        let all: Vec<u16> = labels.iter().flat_map(tags).collect();
        return all.windows(2).any(|pair| pair[0] != pair[1]);
    }
    labels.windows(2).any(|pair| pair[0] != pair[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Answer, TaskKind, TaskSpec};

    fn classes(counts: &[usize]) -> Vec<Label> {
        counts.iter().enumerate().flat_map(|(class, n)| vec![Label::Class(class); *n]).collect()
    }

    /// scikit-learn's `accuracy_score`, `f1_score` and `matthews_corrcoef` of a constant answer, on the class counts of the official
    /// files (MNLI: of 20,000 training examples).
    #[test]
    fn the_majority_class_of_the_official_files_scores_what_scikit_learn_says() {
        // (task, classes of the training set, classes of the development set, metrics)
        type Row<'a> = (TaskKind, &'a [usize], &'a [usize], &'a [(&'a str, f64)]);
        let rows: [Row<'_>; 6] = [
            (
                TaskKind::Mrpc,
                &[1194, 2474],
                &[129, 279],
                &[("accuracy", 0.683_823_529_411_764_7), ("f1", 0.812_227_074_235_807_9)],
            ),
            (TaskKind::Cola, &[2528, 6023], &[322, 721], &[("matthews", 0.0)]),
            (TaskKind::Sst2, &[29_780, 37_569], &[428, 444], &[("accuracy", 0.509_174_311_926_605_5)]),
            (TaskKind::Rte, &[1249, 1241], &[146, 131], &[("accuracy", 0.527_075_812_274_368_2)]),
            (TaskKind::Wnli, &[323, 312], &[40, 31], &[("accuracy", 0.563_380_281_690_140_9)]),
            (TaskKind::Mnli, &[6709, 6646, 6645], &[3479, 3123, 3213], &[("accuracy", 0.354_457_463_066_734_6)]),
        ];
        for (task, train, dev, metrics) in rows {
            let majority = Majority::of(task.task(), &classes(train)).unwrap().unwrap();
            let scores = majority.scores(&classes(dev)).unwrap();
            assert_eq!(scores.values.len(), metrics.len(), "{task}");
            for (name, value) in metrics {
                assert!((scores.get(name).unwrap() - value).abs() < 1e-12, "{task} {name}: {scores:?}");
            }
        }
    }

    #[test]
    fn of_equally_frequent_classes_the_lowest_is_the_answer() {
        let majority = |labels: &[usize]| {
            let labels: Vec<Label> = labels.iter().map(|class| Label::Class(*class)).collect();
            Majority::of(TaskKind::Mnli.task(), &labels).unwrap().map(|m| m.answer)
        };
        assert_eq!(majority(&[2, 1, 2, 1, 0]), Some(Label::Class(1)));
        assert_eq!(majority(&[2]), Some(Label::Class(2)));
        assert_eq!(majority(&[]), None, "no labels have no majority");
    }

    #[test]
    fn the_mean_of_scores_correlates_with_nothing() {
        let train = [1.0, 2.0, 5.0].map(Label::Score);
        let majority = Majority::of(TaskKind::Stsb.task(), &train).unwrap().unwrap();
        let Label::Score(mean) = majority.answer else { panic!("a score") };
        assert!((mean - 8.0 / 3.0).abs() < 1e-12);
        let scores = majority.scores(&[0.0, 4.0].map(Label::Score)).unwrap();
        assert_eq!((scores.get("pearson"), scores.get("spearman")), (Some(0.0), Some(0.0)));
    }

    #[test]
    fn an_order_by_chance_scores_what_is_expected_of_it() {
        let task = Task::new(TaskSpec::new("answers", &["q", "a"], Answer::Retrieval)).unwrap();
        // Two different answers, each right for many queries.
        let gold: Vec<Label> = (0..8).map(|n| Label::Match(Match::of(&format!("q{n}"), ["x", "y"][n % 2]))).collect();
        let majority = Majority::of(&task, &gold).unwrap().unwrap();
        let scores = majority.scores(&gold).unwrap();
        assert_eq!(
            (scores.get("mrr"), scores.get("recall@1"), scores.get("recall@10")),
            (Some(0.75), Some(0.5), Some(1.0))
        );
        assert_eq!(majority.answer_name(), "an order by chance");
    }

    #[test]
    fn labels_of_another_kind_are_refused() {
        for (task, label) in
            [(TaskKind::Stsb, Label::Class(1)), (TaskKind::Rte, Label::Score(1.0)), (TaskKind::Rte, Label::Class(2))]
        {
            let message = Majority::of(task.task(), &[label]).unwrap_err().to_string();
            assert!(message.contains("no label of this task"), "{message}");
        }
    }

    #[test]
    fn one_answer_to_everything_is_found_and_rounding_does_not_hide_it() {
        let same = |scores: &[f64]| Predictions::Scores(scores.to_vec()).only_answer().is_some();
        assert!(same(&[2.7, 2.7 + 1e-7, 2.7 - 1e-6]) && same(&[0.0, 0.0]));
        assert!(!same(&[2.7, 2.71]) && !same(&[2.7]) && !same(&[]));
        let classes = |classes: &[usize]| Predictions::Classes(classes.to_vec()).only_answer();
        assert_eq!(classes(&[1, 1, 1]), Some(Label::Class(1)));
        assert_eq!((classes(&[1, 1, 0]), classes(&[1]), classes(&[])), (None, None, None));
    }

    #[test]
    fn an_answer_has_its_word_and_what_stands_in_the_files() {
        assert_eq!(TaskKind::Mrpc.task().answer_name(Label::Class(1)), "equivalent (1)");
        assert_eq!(TaskKind::Rte.task().answer_name(Label::Class(0)), "entailment");
        assert_eq!(TaskKind::Stsb.task().answer_name(Label::Score(2.698)), "2.70");
    }
}
