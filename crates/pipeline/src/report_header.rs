//! What a run is about, in words for its report.

use std::path::Path;

use glue_squad::task::Task;
use report::Budget;
use run_store::rundir::RunPaths;

use crate::Result;
use crate::error::text_of;
use crate::input_record::Record;

/// What a run is about, from its `recipe.toml`, which may be another version's: what is not understood is left out.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct ReportHeader {
    /// Its tasks, as result tables have them.
    pub tasks: Vec<String>,
    /// Its teacher, in a few words.
    pub teacher: String,
    /// Where the tasks' data are from.
    pub data: String,
    /// Limits of the search.
    pub budget: Budget,
}

impl ReportHeader {
    /// Reads what the recipe of a run folder says of the run.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn read(paths: &RunPaths) -> Result<Self> {
        let Some(text) = text_of(&paths.recipe())? else { return Ok(Self::default()) };
        let moved = Record::read(paths)?.map(|record| record.moved).unwrap_or_default();
        let mut about = Self::parse(&text);
        if let Some(name) = moved.glue.as_deref().and_then(Path::file_name) {
            about.data = name.to_string_lossy().into_owned();
        }
        Ok(about)
    }

    fn parse(text: &str) -> Self {
        let recipe: toml::Table = text.parse().unwrap_or_default();
        let section = |name: &str| recipe.get(name).and_then(toml::Value::as_table).cloned().unwrap_or_default();
        let (data, teacher, budget) = (section("data"), section("teacher"), section("budget"));
        let names = recipe.get("tasks").and_then(toml::Value::as_array).into_iter().flatten();
        let title = |name: &str| name.parse::<Task>().map_or_else(|_| name.to_owned(), |t| t.title().to_owned());
        // Where a path leads is the machine's own business; what it is called says enough.
        let named = |table: &toml::Table, key: &str| {
            let path = Path::new(table.get(key)?.as_str()?);
            Some(path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned())
        };
        let scratch = teacher.get("scratch").and_then(toml::Value::as_table);
        let size = |key: &str| scratch.and_then(|s| s.get(key)).and_then(toml::Value::as_integer).unwrap_or_default();
        let model = match (named(&teacher, "model"), scratch) {
            (Some(name), _) => name,
            (None, Some(_)) => {
                let sizes = format!("{} layers of {} channels, from scratch", size("layers"), size("hidden"));
                let pretrain = teacher.get("pretrain").and_then(|pretrain| pretrain.get("steps"));
                match pretrain.and_then(toml::Value::as_integer) {
                    Some(steps) => format!("{sizes}, pre-trained on the corpus for {steps} steps"),
                    None => sizes,
                }
            }
            (None, None) => String::new(),
        };
        let per_task = teacher.get("per_task").and_then(toml::Value::as_bool).unwrap_or_default();
        let count = |key: &str| budget.get(key).and_then(toml::Value::as_integer).and_then(|n| u64::try_from(n).ok());
        let number = |v: &toml::Value| v.as_float().or_else(|| v.as_integer().map(|n| n as f64));
        Self {
            tasks: names.filter_map(toml::Value::as_str).map(title).collect(),
            teacher: if per_task { format!("{model}, one for each task") } else { model },
            data: named(&data, "glue").unwrap_or_else(|| "generated pocket data".into()),
            budget: Budget {
                min_params: count("min_params"),
                max_params: count("max_params"),
                max_macs: count("max_macs"),
                max_bytes: count("max_bytes"),
                max_latency_ms: budget.get("max_latency_ms").and_then(number),
            },
        }
    }
}

/// `A`, `A and B`, `A, B and C`.
pub(crate) fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_is_about_is_read_from_its_own_recipe() {
        let text = "tasks = [\"mrpc\", \"mnli\"]\n[data]\nglue = \"/data/glue\"\n[teacher]\nmodel = \"/models/tiny\"\n\
                    per_task = true\n[budget]\nmax_params = 6300000\nmax_latency_ms = 30\n";
        let budget = Budget { max_params: Some(6_300_000), max_latency_ms: Some(30.0), ..Budget::default() };
        let tasks = vec!["MRPC".to_string(), "MNLI-m".into()];
        assert_eq!(listed(&tasks), "MRPC and MNLI-m");
        assert_eq!(
            ReportHeader::parse(text),
            ReportHeader { tasks, teacher: "tiny, one for each task".into(), data: "glue".into(), budget }
        );
        let pocket = ReportHeader::parse(include_str!("../recipes/pocket.toml"));
        assert_eq!(pocket.teacher, "4 layers of 128 channels, from scratch");
        assert_eq!(
            (listed(&pocket.tasks).as_str(), pocket.data.as_str()),
            ("SST-2, RTE and STS-B", "generated pocket data")
        );
        let damaged = ReportHeader::parse("not = = toml");
        assert!(damaged.tasks.is_empty(), "the report of a damaged folder is still drawn");
    }
}
