//! Model cards with scores.

use encoder_spec::BertConfig;
use glue_squad::squad::SquadVersion;
use glue_squad::task::{Split, Task, TaskKind};
use model_dir::{CardResult, Origin, card_with, hub_task};

use crate::Evaluation;
use crate::majority::MajorityBaseline;

/// `text`, a card that begins with its title, with the scores of the model of `config` in a form that the Hugging Face hub reads.
///
/// Scores of a built-in task are those of the official data where `majority` was scored on as many examples as the official dev
/// set has. Other data have no name but the task's.
pub fn scored_card(
    text: &str,
    origin: &Origin,
    config: &BertConfig,
    evaluation: &Evaluation,
    majority: &[MajorityBaseline],
) -> String {
    let scored = evaluation.metrics.iter().filter_map(|(name, value)| Some((name.split_once('/')?, *value)));
    let results = scored.map(|((task, metric), value)| {
        let head = config.task_heads.iter().find(|head| head.task == task);
        let examples = majority.iter().find(|baseline| baseline.task == task).map(|baseline| baseline.examples);
        let built_in = task.parse::<Task>().ok();
        let official = built_in.as_ref().and_then(|task| official(task, examples?));
        let (id, part, split) = match official {
            Some((id, part, split)) => (id, part, Some(split)),
            None => (task, None, None),
        };
        CardResult {
            task: head.map_or("text-classification", hub_task),
            dataset: built_in.filter(|_| split.is_some()).map_or_else(|| task.into(), |task| task.title().into()),
            id: id.into(),
            config: part.map(Into::into),
            split: split.map(Into::into),
            metric: hub_metric(metric).into(),
            value,
        }
    });
    card_with(text, origin, &results.collect::<Vec<_>>())
}

/// What the hub calls the dev set of a task that has so many examples: data, part and split.
fn official(task: &Task, examples: usize) -> Option<(&'static str, Option<&'static str>, &'static str)> {
    if let Some(version) = task.squad() {
        let (id, rows) = match version {
            SquadVersion::V1 => ("rajpurkar/squad", 10_570),
            SquadVersion::V2 => ("rajpurkar/squad_v2", 11_873),
        };
        return (examples == rows).then_some((id, None, "validation"));
    }
    let kind = task.glue().filter(|kind| kind.official_rows(Split::Dev) == Some(examples))?;
    let (part, split) = match kind {
        TaskKind::Sst2 => ("sst2", "validation"),
        TaskKind::Cola => ("cola", "validation"),
        TaskKind::Mrpc => ("mrpc", "validation"),
        TaskKind::Stsb => ("stsb", "validation"),
        TaskKind::Qqp => ("qqp", "validation"),
        TaskKind::Mnli => ("mnli", "validation_matched"),
        TaskKind::MnliMm => ("mnli", "validation_mismatched"),
        TaskKind::Qnli => ("qnli", "validation"),
        TaskKind::Rte => ("rte", "validation"),
        TaskKind::Wnli => ("wnli", "validation"),
        _ => return None,
    };
    Some(("nyu-mll/glue", Some(part), split))
}

/// What the hub calls a metric.
fn hub_metric(name: &str) -> &str {
    match name {
        "matthews" => "matthews_correlation",
        "pearson" => "pearsonr",
        "spearman" => "spearmanr",
        "exact" => "exact_match",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use encoder_spec::{TaskHeadConfig, TaskHeadKind};

    use super::*;
    use crate::majority::ChosenBy;

    fn baseline(task: &str, examples: usize) -> MajorityBaseline {
        MajorityBaseline {
            task: task.into(),
            answer: "0".into(),
            chosen_by: ChosenBy::Train,
            examples,
            score: 0.5,
            metrics: [].into(),
            headline: None,
            labels_differ: true,
        }
    }

    #[test]
    fn scores_are_those_of_official_data_where_there_are_as_many_examples() {
        let head = |task: &str, kind| TaskHeadConfig::new(task, kind, vec!["a".into(), "b".into()]);
        let task_heads = vec![head("sst-2", TaskHeadKind::Classification), head("names", TaskHeadKind::Tags)];
        let config = BertConfig { task_heads, ..BertConfig::bert(9, 4, 1, 2, 6) };
        let metrics = [("sst-2/accuracy", 0.91), ("names/f1", 0.5), ("cola/matthews", 0.25), ("loss", 2.0)];
        let metrics = metrics.map(|(name, value)| (name.to_owned(), value)).into();
        let evaluation = Evaluation { metrics, ..Evaluation::default() };
        let origin = Origin { license: Some("mit".into()), ..Origin::default() };
        let card = |examples: usize| {
            scored_card("# M\n", &origin, &config, &evaluation, &[baseline("sst-2", examples), baseline("cola", 1043)])
        };
        let official = card(872);
        for part in [
            "license: \"mit\"\ndatasets:\n- \"nyu-mll/glue\"\nmetrics:\n- \"matthews_correlation\"\n- \"f1\"\n- \"accuracy\"\n",
            "type: \"token-classification\"\n    dataset:\n      name: \"names\"\n      type: \"names\"\n    metrics:\n",
            "type: \"nyu-mll/glue\"\n      config: \"sst2\"\n      split: \"validation\"\n",
            "type: \"accuracy\"\n      value: 0.91\n",
            "config: \"cola\"",
        ] {
            assert!(official.contains(part), "{part}: {official}");
        }
        assert!(!official.contains("2.0"), "a metric of no task: {official}");
        assert!(!card(100).contains("sst2") && card(100).contains("type: \"sst-2\""), "{}", card(100));
    }

    #[test]
    fn every_built_in_task_with_an_official_dev_set_has_a_name_on_the_hub() {
        for task in Task::built_in() {
            let rows = task.glue().and_then(|kind| kind.official_rows(Split::Dev));
            let rows = rows.or(task.squad().map(|version| if version == SquadVersion::V1 { 10_570 } else { 11_873 }));
            let found = rows.and_then(|rows| official(task, rows));
            assert_eq!(found.is_some(), rows.is_some(), "{}", task.name());
            assert_eq!(official(task, 1), None);
        }
    }
}
