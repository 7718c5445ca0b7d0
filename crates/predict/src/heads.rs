//! The heads of tasks: which one a model needs, and which of its heads answers.

use encoder_spec::{BertConfig, NumberScale, Pooling, TaskHeadConfig, TaskHeadKind, VectorConfig};
use glue_squad::task::{ClassOrder, Head, Scale, Task};

use crate::{Error, Result};

/// The head that a task needs, as the configuration of a model carries it.
pub fn task_head(task: &Task) -> TaskHeadConfig {
    let kind = match task.head() {
        // As most models of `sentence-transformers` make them.
        Head::Embedding => {
            let vector = VectorConfig { pooling: Pooling::Mean, size: None, normalize: true, max_len: None };
            return TaskHeadConfig::embedding(task.name(), vector);
        }
        Head::Classification { .. } => TaskHeadKind::Classification,
        Head::MultiLabel { .. } => TaskHeadKind::MultiLabel,
        Head::Regression => TaskHeadKind::Regression,
        Head::Spans => TaskHeadKind::Span,
        Head::Tags { .. } => TaskHeadKind::Tags,
    };
    let labels = task.labels().into_iter().map(str::to_owned).collect();
    let scale = task.scale().map(|scale| NumberScale { mean: scale.mean, deviation: scale.deviation });
    TaskHeadConfig { scale, ..TaskHeadConfig::new(task.name(), kind, labels) }
}

/// [`task_head`] for a model that goes on from `model`: where the task is learned by vectors, they are made as `model` makes them already.
pub fn task_head_of(task: &Task, model: &BertConfig) -> TaskHeadConfig {
    let head = task_head(task);
    match vector_of(task, model) {
        Some(vector) => TaskHeadConfig { vector: Some(vector), ..head },
        None => head,
    }
}

/// [`task_head`] for a student of `teacher`: its vectors are pooled as the teacher's, and as wide as its own hidden states.
pub fn student_head(task: &Task, teacher: &BertConfig) -> TaskHeadConfig {
    let head = task_head(task);
    match vector_of(task, teacher) {
        Some(vector) => TaskHeadConfig { vector: Some(VectorConfig { size: None, ..vector }), ..head },
        None => head,
    }
}

/// How `model` makes vectors for `task`; `None` where it does not, or the task asks for none.
fn vector_of(task: &Task, model: &BertConfig) -> Option<VectorConfig> {
    let found = answering_head(model, task).ok().filter(|_| task.head() == Head::Embedding)?;
    model.task_heads[found.index].vector
}

/// The head of a model that answers a task.
#[derive(Debug, Clone, PartialEq)]
pub struct AnsweringHead {
    /// Its position among the model's heads.
    pub index: usize,
    /// Which of its outputs is which class of the data.
    pub order: ClassOrder,
    /// What a person should know of that, such as names that say nothing.
    pub note: Option<String>,
}

impl AnsweringHead {
    /// Head `index` of a model that was made for the data: `outputs` outputs in their order.
    pub fn in_order(index: usize, outputs: usize) -> Self {
        Self { index, order: ClassOrder::identity(outputs), note: None }
    }
}

/// The head of a model that answers `task`, its own or that of [`Task::trained_as`]: MNLI's head answers MNLI-mm and AX too, and the only head that makes vectors
/// every task that is learned by vectors. Its classes are told by their names, see
/// [`Task::class_order`].
///
/// # Errors
/// [`Error::Mismatch`] listing the heads that exist, or saying why the head cannot answer the task.
pub fn answering_head(config: &BertConfig, task: &Task) -> Result<AnsweringHead> {
    let heads = &config.task_heads;
    let head_of = |task: &Task| heads.iter().position(|h| task.is_called(&h.task));
    // What makes vectors for one task makes them for another.
    let only_vectors = || {
        let mut all = heads.iter().enumerate().filter(|(_, head)| head.kind == TaskHeadKind::Embedding);
        let first = all.next().filter(|_| task.head() == Head::Embedding && all.next().is_none());
        first.map(|(index, _)| index)
    };
    let found = head_of(task).or_else(|| head_of(task.trained_as())).or_else(only_vectors);
    let index = found.ok_or_else(|| {
        let known: Vec<&str> = heads.iter().map(|h| h.task.as_str()).collect();
        let known = if known.is_empty() { "none".into() } else { known.join(", ") };
        Error::Mismatch(format!("the model has no head for task {}; its heads: {known}", task.name()))
    })?;
    head_for(config, index, task)
}

/// Head `index` of a model as one that answers `task`, whatever the head is called. A number that the head has in other units comes out in those of the task.
///
/// # Errors
/// [`Error::Mismatch`]: the head is of another kind, or its labels are others.
pub fn head_for(config: &BertConfig, index: usize, task: &Task) -> Result<AnsweringHead> {
    let (head, wanted) = (&config.task_heads[index], task_head(task));
    if head.kind != wanted.kind || head.labels.len() != wanted.labels.len() {
        return Err(Error::Mismatch(format!(
            "the model's head for task {} is of another kind: {:?} with {} classes instead of {:?} with {}",
            task.name(),
            head.kind,
            head.labels.len(),
            wanted.kind,
            wanted.labels.len()
        )));
    }
    if head.kind == TaskHeadKind::Regression {
        let theirs = head.scale.map_or(Scale::NONE, |scale| Scale { mean: scale.mean, deviation: scale.deviation });
        let order = ClassOrder::in_units(theirs, task.scale().unwrap_or(Scale::NONE));
        return Ok(AnsweringHead { index, order, note: None });
    }
    if head.kind == TaskHeadKind::Tags && head.labels != wanted.labels {
        return Err(Error::Mismatch(format!(
            "the model's head for task {} has the tags {}; the data have {}",
            task.name(),
            head.labels.join(", "),
            wanted.labels.join(", ")
        )));
    }
    let ordered =
        head.kind == TaskHeadKind::Classification || head.kind == TaskHeadKind::MultiLabel && task.is_described();
    if !ordered {
        return Ok(AnsweringHead::in_order(index, head.outputs(config.hidden_size)));
    }
    let order = task.class_order(&head.labels)?;
    let note = order.is_assumed().then(|| {
        let (names, words) = (head.labels.join(", "), task.class_words().join(", "));
        format!(
            "the head for {} calls its classes {names}, names without a meaning; they are taken to be {words}",
            head.task
        )
    });
    Ok(AnsweringHead { index, order, note })
}

#[cfg(test)]
mod tests {
    use glue_squad::squad::SquadVersion;
    use glue_squad::task::TaskKind;

    use super::*;

    fn with_head(task: &str, kind: TaskHeadKind, labels: &[&str]) -> BertConfig {
        let labels = labels.iter().map(ToString::to_string).collect();
        let task_heads = vec![task_head(TaskKind::Cola.task()), TaskHeadConfig::new(task, kind, labels)];
        BertConfig { task_heads, ..BertConfig::bert(9, 4, 1, 2, 6) }
    }

    #[test]
    fn a_head_is_found_in_every_spelling_of_its_task_and_its_classes_by_name() {
        for (labels, order, assumed) in [
            (["0", "1"], [0, 1], false),
            (["LABEL_0", "LABEL_1"], [0, 1], true),
            (["negative", "positive"], [0, 1], false),
            (["POSITIVE", "NEGATIVE"], [1, 0], false),
        ] {
            let config = with_head("SST2", TaskHeadKind::Classification, &labels);
            let found = answering_head(&config, TaskKind::Sst2.task()).unwrap();
            assert_eq!((found.index, found.order.outputs()), (1, &order[..]));
            assert_eq!(found.note.is_some(), assumed, "{:?}", found.note);
        }
    }

    #[test]
    fn numbers_of_a_head_come_out_in_the_units_of_the_task() {
        let scale = |mean, deviation| Scale { mean, deviation };
        let own = glue_squad::task::OwnTask {
            kind: Some(glue_squad::task::Kind::Number),
            scale: Some(scale(10.0, 4.0)),
            ..glue_squad::task::OwnTask::new("price", &["text"], &["price"])
        };
        let task = own.task("".as_ref()).unwrap();
        let head = TaskHeadConfig {
            scale: Some(NumberScale { mean: 50.0, deviation: 20.0 }),
            ..TaskHeadConfig::new("price", TaskHeadKind::Regression, Vec::new())
        };
        let config = BertConfig { task_heads: vec![head], ..BertConfig::bert(9, 4, 1, 2, 6) };
        let found = answering_head(&config, &task).unwrap();
        let mut row = [0.5];
        found.order.sort(&mut row);
        // The head means 50 + 0.5 * 20 = 60, which is (60 - 10) / 4 of the task.
        assert_eq!((row[0], found.order.is_identity()), (12.5, false));
        let same = TaskHeadConfig { task: "other".into(), ..task_head(&task) };
        let config = BertConfig { task_heads: vec![same], ..config };
        assert!(head_for(&config, 0, &task).unwrap().order.is_identity());
    }

    #[test]
    fn the_head_of_mnli_answers_the_mismatched_and_the_diagnostic_set() {
        let config = with_head("mnli", TaskHeadKind::Classification, &["contradiction", "Neutral", "ENTAILMENT"]);
        for task in [TaskKind::Mnli, TaskKind::MnliMm, TaskKind::Ax] {
            let found = answering_head(&config, task.task()).unwrap();
            assert_eq!((found.index, found.order.outputs()), (1, &[2, 1, 0][..]));
        }
    }

    #[test]
    fn a_span_head_is_that_of_its_version_of_squad() {
        let [v1, v2] = SquadVersion::ALL.map(SquadVersion::task);
        let spelled = TaskHeadConfig { task: "SQuAD2.0".into(), ..task_head(v2) };
        let with = |task_heads| BertConfig { task_heads, ..BertConfig::bert(9, 4, 1, 2, 6) };
        let both = with(vec![task_head(v1), spelled]);
        for (index, task) in [v1, v2].into_iter().enumerate() {
            let found = answering_head(&both, task).unwrap();
            assert_eq!((found.index, found.order.outputs()), (index, &[0, 1][..]));
        }
        // One that learned on v1.1 has no null score; one that learned on v2.0 points at the `[CLS]` where it doubts.
        let found = answering_head(&with(vec![task_head(v1)]), v2).unwrap_err().to_string();
        assert!(found.contains("no head for task squad-v2; its heads: squad-v1"), "{found}");
        let found = answering_head(&with(Vec::new()), v1).unwrap_err().to_string();
        assert!(found.contains("its heads: none"), "{found}");
        let other = TaskHeadConfig { kind: TaskHeadKind::Regression, ..task_head(v1) };
        let found = answering_head(&with(vec![other]), v1).unwrap_err().to_string();
        assert!(found.contains("another kind: Regression"), "{found}");
    }

    #[test]
    fn a_head_that_cannot_answer_the_task_is_refused() {
        let classes = TaskHeadKind::Classification;
        let message = |task: &str, kind, labels: &[&str], wanted: TaskKind| {
            answering_head(&with_head(task, kind, labels), wanted.task()).unwrap_err().to_string()
        };
        let found = message("mnli", classes, &["positive", "negative", "neutral"], TaskKind::Mnli);
        assert!(found.contains("positive, negative, neutral; mnli has entailment, neutral"), "{found}");
        let found = message("mnli", classes, &["a", "b"], TaskKind::Mnli);
        assert!(found.contains("with 2 classes instead of"), "{found}");
        let found = message("mnli", TaskHeadKind::MultiLabel, &["a", "b", "c"], TaskKind::Mnli);
        assert!(found.contains("another kind: MultiLabel"), "{found}");
        let found = message("sts-b", classes, &["a", "b"], TaskKind::Stsb);
        assert!(found.contains("another kind"), "{found}");
        let found = message("rte", classes, &["a", "b"], TaskKind::Sst2);
        assert!(found.contains("no head for task sst-2; its heads: cola, rte"), "{found}");
    }
}
