//! Which output of a classifier is which class of a task, told by the names of its outputs.

use super::{Scale, Task};
use crate::error::{Error, Result, excerpt};

/// Which output of a head scores each class of a task.
///
/// Checkpoints name their outputs (`id2label` of a Hugging Face configuration) and order them as they like; the data number their
/// classes.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassOrder {
    /// `outputs[class]` is the output that scores the class.
    outputs: Vec<usize>,
    /// Whether the names said so. Else the outputs are taken to stand in the order of the data.
    named: bool,
    /// Factor and shift by which the output of a regression becomes a number as the task has it; `None`: it is one.
    units: Option<[f64; 2]>,
}

impl ClassOrder {
    /// `count` outputs in the order of the classes.
    pub fn identity(count: usize) -> Self {
        Self { outputs: (0..count).collect(), named: true, units: None }
    }

    /// The one output of a regression whose numbers are scaled by `theirs`, for a task whose numbers are scaled by `ours`.
    pub fn in_units(theirs: Scale, ours: Scale) -> Self {
        let units =
            (theirs != ours).then(|| [theirs.deviation / ours.deviation, (theirs.mean - ours.mean) / ours.deviation]);
        Self { units, ..Self::identity(1) }
    }

    /// Factor and shift of the output of a regression, where it is no number as the task has it.
    pub fn units(&self) -> Option<[f64; 2]> {
        self.units
    }

    /// Whether every class is scored by the output of its number, and a number is as the task has it.
    pub fn is_identity(&self) -> bool {
        self.units.is_none() && self.outputs.iter().enumerate().all(|(class, output)| class == *output)
    }

    /// Whether the names said nothing, so that the order of the data was assumed.
    pub fn is_assumed(&self) -> bool {
        !self.named
    }

    /// The output that scores each class, by class.
    pub fn outputs(&self) -> &[usize] {
        &self.outputs
    }

    /// Brings the scores of one example into the order of the classes, or a number into the task's units.
    pub fn sort(&self, scores: &mut [f32]) {
        if let Some([factor, shift]) = self.units {
            scores.iter_mut().for_each(|score| *score = (f64::from(*score) * factor + shift) as f32);
        }
        if !self.is_identity() {
            let given = scores.to_vec();
            scores.iter_mut().zip(&self.outputs).for_each(|(to, output)| *to = given[*output]);
        }
    }
}

/// What one name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NameMeaning {
    /// It names this class of the task.
    Class(usize),
    /// It counts, as `LABEL_1` does, which is no more than the order of the outputs.
    Number(usize),
    /// It names a class of other tasks.
    Foreign,
    /// A word of nobody's.
    Nothing,
}

/// A name without what spellings differ in: case, white space, punctuation, and `non` for `not`.
fn spelling(name: &str) -> String {
    let letters: String = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    match letters.strip_prefix("non") {
        Some(rest) => format!("not{rest}"),
        None => letters,
    }
}

/// The number in `LABEL_1`, `class 1` or `1`.
fn number(spelled: &str) -> Option<usize> {
    let digits = ["label", "class"].iter().find_map(|word| spelled.strip_prefix(word)).unwrap_or(spelled);
    digits.parse().ok()
}

impl Task {
    /// The class that `spelled` names.
    fn class_of(&self, spelled: &str) -> Option<usize> {
        let classes = self.trained_as().classes();
        let word = classes.iter().position(|class| spelling(&class.word) == spelled);
        word.or_else(|| classes.iter().position(|class| class.spellings.iter().any(|name| name == spelled)))
    }

    fn said(&self, name: &str) -> NameMeaning {
        let spelled = spelling(name);
        if let Some(class) = self.class_of(&spelled) {
            return NameMeaning::Class(class);
        }
        match number(&spelled) {
            Some(number) => NameMeaning::Number(number),
            None if Self::built_in().iter().any(|task| task.class_of(&spelled).is_some()) => NameMeaning::Foreign,
            None => NameMeaning::Nothing,
        }
    }

    /// The order of names that are the labels' own, each once. Of a task of one's own no other spelling is known.
    fn exact_order(&self, names: &[impl AsRef<str>]) -> Result<ClassOrder> {
        let labels = self.labels();
        let place = |label: &&str| names.iter().position(|name| name.as_ref() == *label);
        match labels.iter().map(place).collect::<Option<Vec<usize>>>() {
            Some(outputs) if names.len() == labels.len() => Ok(ClassOrder { outputs, named: true, units: None }),
            _ => {
                let theirs: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
                Err(Error::Invalid(format!(
                    "the head's labels are {}; those of {self} are {}",
                    excerpt(&theirs.join(", ")),
                    excerpt(&labels.join(", "))
                )))
            }
        }
    }

    /// Which output of a head scores each class of this task, where the outputs are called `names`.
    ///
    /// Case and spelling are forgiven, and common words (`positive`, `duplicate`, `acceptable`) are known. Where all names but one
    /// are known, the last output is the class that is left over. Names that say nothing (`LABEL_0`, `0`, words of nobody's) leave the outputs in the order of the data:
    /// [`ClassOrder::is_assumed`].
    ///
    /// # Errors
    /// There are more or fewer names than classes, or they contradict: they name the classes of another task, one class twice, some
    /// classes and not the others, or numbers in another order.
    pub fn class_order(&self, names: &[impl AsRef<str>]) -> Result<ClassOrder> {
        let classes = self.class_words();
        // As the data, and heads that were trained on them, name them.
        if names.iter().map(AsRef::as_ref).eq(self.labels()) {
            return Ok(ClassOrder::identity(classes.len()));
        }
        let list = || names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
        if self.is_described() {
            return self.exact_order(names);
        }
        let refuse = |reason: &str| {
            let wanted = classes.join(", ");
            Err(Error::Invalid(format!("the head's classes are called {}; {self} has {wanted}: {reason}", list())))
        };
        if names.len() != classes.len() {
            return refuse("there must be as many");
        }
        let said: Vec<NameMeaning> = names.iter().map(|name| self.said(name.as_ref())).collect();
        if said.contains(&NameMeaning::Foreign) {
            return refuse("these are the classes of another task");
        }
        let known = said.iter().filter(|said| matches!(said, NameMeaning::Class(_))).count();
        if known == 0 {
            let counts =
                |(place, said): (usize, &NameMeaning)| !matches!(said, NameMeaning::Number(number) if *number != place);
            return match said.iter().enumerate().all(counts) {
                true => Ok(ClassOrder { named: false, ..ClassOrder::identity(classes.len()) }),
                false => refuse("they are numbered in another order than they stand in"),
            };
        }
        if known + 1 < classes.len() {
            return refuse("these names do not say which class is which");
        }
        let mut outputs = vec![None; classes.len()];
        for (output, said) in said.iter().enumerate() {
            if let NameMeaning::Class(class) = said
                && outputs[*class].replace(output).is_some()
            {
                return refuse("two of them are one class");
            }
        }
        // The class that is left over.
        let last = said.iter().position(|said| !matches!(said, NameMeaning::Class(_)));
        let outputs = outputs.into_iter().map(|output| output.or(last)).collect::<Option<Vec<_>>>();
        Ok(ClassOrder { outputs: outputs.unwrap_or_default(), named: true, units: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::TaskKind;

    fn order(task: TaskKind, names: &[&str]) -> Vec<usize> {
        let found = task.task().class_order(names).unwrap();
        assert!(!found.is_assumed(), "{names:?}");
        found.outputs().to_vec()
    }

    #[test]
    fn classes_are_found_by_name_in_every_order_and_spelling() {
        assert_eq!(order(TaskKind::Sst2, &["POSITIVE", "NEGATIVE"]), [1, 0]);
        assert_eq!(order(TaskKind::Sst2, &["neg", "Pos"]), [0, 1]);
        assert_eq!(order(TaskKind::Mrpc, &["equivalent", "not equivalent"]), [1, 0]);
        assert_eq!(order(TaskKind::Mrpc, &["Not-Paraphrase", "paraphrase"]), [0, 1]);
        assert_eq!(order(TaskKind::Qqp, &["duplicate", "non_duplicate"]), [1, 0]);
        assert_eq!(order(TaskKind::Cola, &["acceptable", "unacceptable"]), [1, 0]);
        // RTE and QNLI count entailment first, WNLI last.
        assert_eq!(order(TaskKind::Rte, &["not_entailment", "entailment"]), [1, 0]);
        assert_eq!(order(TaskKind::Qnli, &["ENTAILMENT", "non-entailment"]), [0, 1]);
        assert_eq!(order(TaskKind::Wnli, &["entailment", "not_entailment"]), [1, 0]);
        for (task, expected) in [(TaskKind::Rte, [1, 0]), (TaskKind::Qnli, [1, 0]), (TaskKind::Wnli, [0, 1])] {
            for names in [["no_entailment", "entailment"], ["Not entailed", "entails"]] {
                assert_eq!(order(task, &names), expected, "{task}");
            }
        }
        for task in [TaskKind::Mnli, TaskKind::MnliMm, TaskKind::Ax] {
            assert_eq!(order(task, &["contradiction", "Neutral", "ENTAILMENT"]), [2, 1, 0]);
            assert_eq!(order(task, &["CONTRADICTION", "ENTAILMENT", "NEUTRAL"]), [1, 2, 0]);
        }
    }

    #[test]
    fn the_last_of_several_classes_needs_no_known_name() {
        assert_eq!(order(TaskKind::Sst2, &["positive", "other"]), [1, 0]);
        assert_eq!(order(TaskKind::Mnli, &["contradiction", "LABEL_1", "entailment"]), [2, 1, 0]);
    }

    #[test]
    fn names_that_say_nothing_leave_the_order_of_the_data() {
        for names in [["LABEL_0", "LABEL_1"], ["class 0", "class 1"], ["foo", "bar"]] {
            let found = TaskKind::Sst2.task().class_order(&names).unwrap();
            assert!(found.is_assumed() && found.is_identity(), "{names:?}");
        }
    }

    #[test]
    fn the_data_name_their_own_classes() {
        for task in Task::built_in().iter().filter(|task| !task.labels().is_empty()) {
            for names in [task.labels(), task.class_words()] {
                let found = task.class_order(&names).unwrap();
                assert!(found.is_identity() && !found.is_assumed(), "{task}: {names:?}");
            }
        }
    }

    #[test]
    fn names_that_contradict_are_refused() {
        for (task, names, part) in [
            (TaskKind::Sst2, &["entailment", "not_entailment"][..], "another task"),
            (TaskKind::Mrpc, &["positive", "LABEL_1"], "another task"),
            (TaskKind::Sst2, &["positive", "POS"], "one class"),
            (TaskKind::Sst2, &["LABEL_1", "LABEL_0"], "another order"),
            (TaskKind::Mnli, &["entailment", "a", "b"], "do not say which"),
            (TaskKind::Mnli, &["entailment", "not_entailment"], "as many"),
        ] {
            let message = task.task().class_order(names).unwrap_err().to_string();
            assert!(message.contains(part) && message.contains(names[0]), "{message}");
        }
    }

    #[test]
    fn scores_are_sorted_into_the_order_of_the_classes() {
        let order = TaskKind::Mnli.task().class_order(&["contradiction", "entailment", "neutral"]).unwrap();
        let mut scores = [0.1, 0.2, 0.7];
        order.sort(&mut scores);
        assert_eq!(scores, [0.2, 0.7, 0.1]);
    }
}
