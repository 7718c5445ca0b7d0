//! Method files: what a training is like and what is learned in it, by name or from a file.

use std::path::Path;
use std::str::FromStr;

use kd::objective::Objective;
use serde::Deserialize;
use train::keys::TrainingKeys;

use run_store::similar::{closest, with_suggestion};

/// Methods that the program carries, by name.
const PUBLISHED: [(&str, &str); 5] = [
    ("mobilebert-auxiliary", include_str!("../recipes/methods/mobilebert-auxiliary.toml")),
    ("mobilebert-joint", include_str!("../recipes/methods/mobilebert-joint.toml")),
    ("mobilebert-progressive", include_str!("../recipes/methods/mobilebert-progressive.toml")),
    ("mobilebert-words", include_str!("../recipes/methods/mobilebert-words.toml")),
    ("mobilebert-answers", include_str!("../recipes/methods/mobilebert-answers.toml")),
];

/// A method by name or from a file.
#[derive(Clone, Debug)]
pub struct Method {
    /// What it was asked for by.
    pub name: String,
    /// What it says.
    pub settings: MethodSettings,
}

/// The keys of a method file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MethodSettings {
    /// Whether the student starts with the teacher's embedding.
    #[serde(default)]
    pub teacher_embedding: bool,
    /// How it is trained.
    #[serde(default)]
    pub train: TrainingKeys,
    /// What the student learns.
    #[serde(default)]
    pub distill: Option<Objective>,
}

impl FromStr for Method {
    type Err = String;

    /// Reads a published method by its name, or else a file.
    fn from_str(text: &str) -> Result<Self, String> {
        let content = match PUBLISHED.iter().find(|(name, _)| *name == text) {
            Some((_, content)) => (*content).to_owned(),
            None if Path::new(text).is_file() => {
                std::fs::read_to_string(text).map_err(|e| format!("cannot read {text}: {e}"))?
            }
            None => {
                let names = PUBLISHED.map(|(name, _)| name).join(", ");
                let near = closest(text, PUBLISHED.map(|(name, _)| name));
                let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
                return Err(format!("no such file or method; methods: {names}{near}"));
            }
        };
        let at = |message: String| format!("{text}: {}", message.trim_end());
        let settings: MethodSettings = toml::from_str(&content).map_err(|e| at(with_suggestion(e.to_string())))?;
        settings.train.check().map_err(at)?;
        if let Some(objective) = &settings.distill {
            objective.check().map_err(|e| at(format!("`distill`: {e}")))?;
        }
        Ok(Self { name: text.to_owned(), settings })
    }
}

#[cfg(test)]
mod tests {
    use kd::objective::{Shape, Source};
    use train::optim::Schedule;

    use super::*;

    fn method(name: &str) -> MethodSettings {
        name.parse::<Method>().unwrap().settings
    }

    #[test]
    fn every_published_method_is_read_and_its_file_lies_in_recipes() {
        for (name, content) in PUBLISHED {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("recipes/methods/{name}.toml"));
            assert_eq!(std::fs::read_to_string(path).unwrap(), content);
            assert!(method(name).distill.is_some(), "{name}");
        }
    }

    #[test]
    fn the_stages_of_mobilebert_are_as_long_as_published_and_turn_by_turn() {
        let progressive = method("mobilebert-progressive");
        let train = progressive.train;
        let gate = train.groups[1].gate.unwrap();
        assert_eq!((train.steps, train.schedule), (Some(240_000), Some(Schedule::Phases { length: 10_000 })));
        assert_eq!((train.groups[1].factor, gate.from, gate.to, gate.before, gate.after), (3.0, 0, 10_000, 0.0, 0.1));
        for second in ["mobilebert-answers", "mobilebert-words"] {
            assert_eq!(method(second).train.steps, Some(500_000));
        }
        let words = method("mobilebert-words").distill.unwrap().mlm.unwrap();
        assert_eq!((words.teacher, words.mask.max_predictions), (0.5.into(), Some(20)));
        // The window of a layer's rate is the window of its loss.
        let of = |name: &str| Shape::of(&bert_core::preset(name).unwrap());
        let (student, teacher) = (of("mobilebert"), of("ib-bert-large"));
        let plan = progressive.distill.unwrap().plan(student, teacher, Source::Text, 240_000).unwrap();
        for term in plan.layers() {
            let path = format!("encoder.layers.{}.attention.query.weight", term.student - 1);
            let open = |step| train.groups[1].factor_at(&path, step) == 3.0;
            for turn in 0..24 {
                let steps = [turn * 10_000, turn * 10_000 + 9_999];
                assert_eq!(steps.map(|step| term.weight.at(step, 240_000) > 0.0), steps.map(open), "{path} {turn}");
                assert_eq!(open(steps[0]), turn + 1 == term.student as u64);
            }
        }
    }

    #[test]
    fn mistakes_are_named_with_the_file_and_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        for (content, words) in [
            ("[train]\nstep = 5", ["mine.toml", "step"]),
            ("[train]\nsteps = 0", ["mine.toml", "`train.steps`"]),
            ("[train]\nwarmup_ratio = 0.1\nwarmup_steps = 4", ["mine.toml", "either"]),
            ("[distill]\n", ["mine.toml", "`distill`"]),
            ("[distill]\n", ["mine.toml", "distill"]),
        ] {
            std::fs::write(&path, content).unwrap();
            let message = path.to_str().unwrap().parse::<Method>().unwrap_err();
            assert!(words.iter().all(|word| message.contains(word)), "{message}");
        }
        let message = "mobilebret".parse::<Method>().unwrap_err();
        assert!(message.contains("mobilebert-progressive"), "{message}");
    }

    #[test]
    fn a_damaged_file_is_read_or_refused() {
        let content = PUBLISHED[2].1;
        for at in content.char_indices().map(|(at, _)| at) {
            for with in ["", "0", "\"", "{"] {
                let mut damaged = content.to_owned();
                let end = at + damaged[at..].chars().next().map_or(0, char::len_utf8);
                damaged.replace_range(at..end, with);
                if let Ok(settings) = toml::from_str::<MethodSettings>(&damaged) {
                    let _ = settings.train.check();
                }
            }
        }
    }
}
