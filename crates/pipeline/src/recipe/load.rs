//! Published recipes, recipe files, and overrides from the command line.

use std::path::Path;

use glue_squad::squad::SquadVersion;
use kd::cache::{ByteSize, Place};
use kd::objective::{Objective, Source};
use toml::Value;

use super::Recipe;
use crate::{Error, Result};

/// Recipes that the program carries, by name.
pub const PUBLISHED: [(&str, &str); 5] = [
    ("pocket", include_str!("../../../../recipes/pocket.toml")),
    ("smoke", include_str!("../../../../recipes/smoke.toml")),
    ("minilm-quick", include_str!("../../../../recipes/minilm-quick.toml")),
    ("tinybert-quick", include_str!("../../../../recipes/tinybert-quick.toml")),
    ("paper", include_str!("../../../../recipes/paper.toml")),
];

/// One `key=value`, the key dotted (`search.stage1.trials=8`).
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// Dotted key.
    pub key: String,
    /// Value as TOML text; what is no TOML value is taken as a string.
    pub value: String,
}

impl std::str::FromStr for Override {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok(Self { key: key.trim().into(), value: value.trim().into() })
            }
            _ => Err(format!("`{text}` is not of the form key=value")),
        }
    }
}

/// Loads a recipe by its published name or from a file, applies the overrides and checks it.
///
/// Paths in a recipe file are relative to the folder the program was started in.
///
/// # Errors
/// No such recipe, a file that cannot be read, a line that is not TOML, an unknown or missing key,
/// a value out of range; the message names the file and the key.
pub fn load(name: &str, overrides: &[Override]) -> Result<Recipe> {
    let (origin, text) = match PUBLISHED.iter().find(|(n, _)| *n == name) {
        Some((name, text)) => (format!("recipe `{name}`"), (*text).to_string()),
        None => (name.to_string(), read(name)?),
    };
    let fail = |message: String| Error::Recipe { origin: origin.clone(), message };
    let mut table: toml::Table = text.parse().map_err(|e: toml::de::Error| fail(e.to_string()))?;
    for Override { key, value } in overrides {
        set(&mut table, key, value).map_err(&fail)?;
    }
    refuse_squad(&table).map_err(&fail)?;
    let mut recipe: Recipe =
        Value::Table(table).try_into().map_err(|e: toml::de::Error| fail(e.to_string().trim().to_string()))?;
    recipe.check().map_err(fail)?;
    let precision = recipe.precision;
    for phase in recipe.phases_mut() {
        phase.precision.get_or_insert(precision);
    }
    Ok(recipe)
}

fn read(name: &str) -> Result<String> {
    let path = Path::new(name);
    std::fs::read_to_string(path).map_err(|source| {
        let looks_like_name = !name.contains(['/', '\\', '.']);
        if looks_like_name && source.kind() == std::io::ErrorKind::NotFound {
            let known: Vec<&str> = PUBLISHED.iter().map(|(n, _)| *n).collect();
            return Error::Recipe {
                origin: name.into(),
                message: format!("no such recipe; known: {}, or the path of a TOML file", known.join(", ")),
            };
        }
        Error::Io { action: "read", path: path.to_path_buf(), source }
    })
}

/// SQuAD is a task of other commands, so it is not said to be unknown.
fn refuse_squad(table: &toml::Table) -> Result<(), String> {
    let tasks = table.get("tasks").and_then(Value::as_array).into_iter().flatten();
    match tasks.filter_map(Value::as_str).find_map(|name| name.parse::<SquadVersion>().ok()) {
        Some(version) => Err(format!(
            "`tasks`: a search cannot be made on {version}; search on GLUE tasks, then train the found student on it \
             with `efficientbert distill --task {version}`"
        )),
        None => Ok(()),
    }
}

fn set(table: &mut toml::Table, key: &str, value: &str) -> Result<(), String> {
    let parsed = format!("v = {value}").parse::<toml::Table>().ok().and_then(|mut t| t.remove("v"));
    let value = parsed.unwrap_or_else(|| Value::String(value.to_string()));
    let mut here = table;
    let mut parts = key.split('.').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            here.insert(part.to_string(), value);
            return Ok(());
        }
        let next = here.entry(part.to_string()).or_insert_with(|| Value::Table(toml::Table::new()));
        here = match next {
            Value::Table(table) => table,
            _ => return Err(format!("key `{key}`: `{part}` is a value, not a section")),
        };
    }
    Ok(())
}

/// A setting of the training `key` that cannot be.
fn of_key(key: &str, error: kd::Error) -> String {
    match error {
        kd::Error::Setting { field, message } => format!("`{key}.{field}`: {message}"),
        other => format!("`{key}`: {other}"),
    }
}

/// A training in which a student learns from the teacher.
pub(crate) struct Distillation<'a> {
    /// Key of its settings.
    pub key: &'static str,
    /// What it learns on.
    pub source: Source,
    /// What it learns.
    pub objective: &'a Objective,
    /// How long.
    pub steps: u64,
}

impl Recipe {
    /// Checks what types cannot: sizes that fit each other.
    ///
    /// # Errors
    /// A message naming the key.
    pub fn check(&self) -> Result<(), String> {
        let positive = [
            ("max_len", self.max_len),
            ("student.layers", self.student.layers),
            ("student.hidden", self.student.hidden),
            ("student.embed", self.student.embed),
            ("student.heads", self.student.heads),
            ("latency.batch", self.latency.batch),
            ("latency.seq", self.latency.seq),
            ("latency.runs", self.latency.runs),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, v)| *v == 0) {
            return Err(format!("`{key}` must be at least 1"));
        }
        if self.max_len < 8 {
            return Err("`max_len` must be at least 8".into());
        }
        if !self.student.hidden.is_multiple_of(self.student.heads) {
            return Err(format!(
                "`student.heads` ({}) must divide `student.hidden` ({})",
                self.student.heads, self.student.hidden
            ));
        }
        if self.tasks.is_empty() {
            return Err("`tasks` must name at least one task".into());
        }
        for (i, task) in self.tasks.iter().enumerate() {
            if self.tasks[..i].contains(task) {
                return Err(format!("`tasks` names {} twice", task.name()));
            }
        }
        self.distill.check().map_err(|e| format!("`distill`: {e}"))?;
        if let Some(objective) = &self.final_.distill {
            objective.check().map_err(|e| format!("`final.distill`: {e}"))?;
        }
        if !(0.0..0.9).contains(&self.data.hold_out) || self.data.hold_out == 0.0 {
            return Err("`data.hold_out` must be above 0 and below 0.9".into());
        }
        if self.data.glue.is_some() == self.data.corpus.is_empty() {
            return Err("`data.glue` and `data.corpus` go together: give both (--data, --corpus) or neither".into());
        }
        if self.data.glue.is_some() && self.teacher.model.is_none() {
            return Err(
                "`teacher.model` is needed for real data (--teacher DIR): the scratch teacher has no tokenizer for it"
                    .into(),
            );
        }
        if self.teacher.model.is_some() && self.data.glue.is_none() {
            return Err("a teacher model needs real data: give `data.glue` and `data.corpus` (--data, --corpus)".into());
        }
        if self.teacher.model.is_none() && self.teacher.scratch.is_none() {
            return Err("`teacher.model` (--teacher DIR) or `teacher.scratch` must be given".into());
        }
        if self.teacher.cache.place != Place::Off && self.teacher.cache.max_bytes == ByteSize(0) {
            return Err(
                "`teacher.cache.max_bytes` is 0, so nothing could be kept; `teacher.cache.where = \"off\"` says so"
                    .into(),
            );
        }
        self.check_task_steps()?;
        for (key, phase) in self.phases() {
            if phase.batch_size == 0 {
                return Err(format!("`{key}.batch_size` must be at least 1"));
            }
            if phase.eval_every > 0 && !matches!(key, "teacher.fine_tune" | "final.task") {
                return Err(format!("`{key}.eval_every` has no effect: nothing is evaluated in this phase"));
            }
            if key.contains(".proxy.") {
                let usual = kd::engine::default::keep_last();
                for (name, set) in
                    [("checkpoint_every", phase.checkpoint_every > 0), ("keep_last", phase.keep_last != usual)]
                {
                    if set {
                        return Err(format!("`{key}.{name}` has no effect: candidates keep no checkpoints"));
                    }
                }
            }
            phase.train_config(0).validate().map_err(|e| of_key(key, e))?;
            if phase.max_len > self.max_len || (1..8).contains(&phase.max_len) {
                return Err(format!("`{key}.max_len` must be 0 or between 8 and `max_len` ({})", self.max_len));
            }
        }
        for (key, number) in [
            ("search.stage1.trials", self.search.stage1.trials),
            ("search.stage2.trials", self.search.stage2.trials),
            ("search.stage3.trials", self.search.stage3.trials),
            // Candidates are told apart by the scores of heads, which only these train.
            ("search.stage1.proxy.task.steps", self.search.stage1.proxy.task.steps),
            ("search.stage2.proxy.task.steps", self.search.stage2.proxy.task.steps),
            ("search.stage3.task.steps", self.search.stage3.task.steps),
            ("teacher.fine_tune.steps", self.teacher.fine_tune.steps),
            ("final.task.steps", self.final_.task.steps),
        ] {
            if number == 0 {
                return Err(format!("`{key}` must be at least 1"));
            }
        }
        Ok(())
    }

    /// Steps of single tasks: each is one of the recipe's, and the training is possible with them.
    fn check_task_steps(&self) -> Result<(), String> {
        let teacher = &self.teacher;
        if !teacher.per_task && !teacher.task_steps.is_empty() {
            return Err(
                "`teacher.task_steps` has no effect without `teacher.per_task = true`: one teacher learns all \
                        tasks together"
                    .into(),
            );
        }
        for (&task, &steps) in &teacher.task_steps {
            let key = format!("teacher.task_steps.{}", task.name());
            if !self.tasks.contains(&task) {
                let tasks: Vec<&str> = self.tasks.iter().map(|t| t.name()).collect();
                return Err(format!("`{key}`: the task is none of `tasks` ({})", tasks.join(", ")));
            }
            if steps == 0 {
                return Err(format!("`{key}` must be at least 1"));
            }
            teacher.fine_tune_on(task).train_config(0).validate().map_err(|e| of_key(&key, e))?;
        }
        Ok(())
    }

    pub(crate) fn phases(&self) -> Vec<(&'static str, &super::Phase)> {
        let s = &self.search;
        vec![
            ("teacher.fine_tune", &self.teacher.fine_tune),
            ("warm_up", &self.warm_up),
            ("search.stage1.proxy.general", &s.stage1.proxy.general),
            ("search.stage1.proxy.task", &s.stage1.proxy.task),
            ("search.stage2.proxy.general", &s.stage2.proxy.general),
            ("search.stage2.proxy.task", &s.stage2.proxy.task),
            ("search.stage3.general", &s.stage3.general),
            ("search.stage3.task", &s.stage3.task),
            ("final.general", &self.final_.general),
            ("final.task", &self.final_.task),
        ]
    }

    /// The phases that learn from text and have steps, with their keys.
    pub(crate) fn text_phases(&self) -> Vec<(&'static str, &super::Phase)> {
        let on_text =
            |(key, phase): &(&str, &super::Phase)| phase.steps > 0 && (*key == "warm_up" || key.ends_with(".general"));
        self.phases().into_iter().filter(on_text).collect()
    }

    /// Every distillation of a run that has steps, the baseline's included.
    pub(crate) fn distillations(&self) -> Vec<Distillation<'_>> {
        let of = |key: &'static str, steps: u64| Distillation {
            key,
            source: if key == "warm_up" || key.ends_with(".general") { Source::Text } else { Source::Tasks },
            objective: if key.starts_with("final.") { self.final_objective() } else { &self.distill },
            steps,
        };
        let mut all: Vec<_> = self
            .phases()
            .into_iter()
            .filter(|(key, _)| *key != "teacher.fine_tune")
            .map(|(k, p)| of(k, p.steps))
            .collect();
        if self.final_.baseline {
            all.push(of("final.general", self.baseline_general().steps));
        }
        all.retain(|d| d.steps > 0);
        all
    }

    /// What the winner and the baseline learn.
    pub(crate) fn final_objective(&self) -> &Objective {
        self.final_.distill.as_ref().unwrap_or(&self.distill)
    }

    /// The baseline's training on text: the winner's with the warm-up's steps added, which the winner had through its weights.
    pub(crate) fn baseline_general(&self) -> super::Phase {
        super::Phase { steps: self.final_.general.steps + self.warm_up.steps, ..self.final_.general.clone() }
    }

    fn phases_mut(&mut self) -> [&mut super::Phase; 10] {
        let s = &mut self.search;
        [
            &mut self.teacher.fine_tune,
            &mut self.warm_up,
            &mut s.stage1.proxy.general,
            &mut s.stage1.proxy.task,
            &mut s.stage2.proxy.general,
            &mut s.stage2.proxy.task,
            &mut s.stage3.general,
            &mut s.stage3.task,
            &mut self.final_.general,
            &mut self.final_.task,
        ]
    }

    /// The recipe as TOML with every default written out.
    ///
    /// # Errors
    /// Never for a recipe that was loaded.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string_pretty(self).map_err(|e| Error::Recipe { origin: self.name.clone(), message: e.to_string() })
    }
}
