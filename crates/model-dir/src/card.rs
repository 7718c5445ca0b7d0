//! The metadata block of a model card, by which the Hugging Face hub files a model: YAML between two lines `---`.
//!
//! What follows from the model itself (`library_name`, `pipeline_tag`, `tags`) is added when a directory is written. Where it comes from and
//! what it scores is said by who writes it.

use std::fmt::Write as _;
use std::path::Path;

use encoder_spec::{BertConfig, Parts, TaskHeadConfig, TaskHeadKind};

/// Line before and after the block.
const FENCE: &str = "---\n";
/// The model card in a directory.
const CARD_FILE: &str = "README.md";

/// Where a model comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Name on the hub of the model that it was made from.
    pub base_model: Option<String>,
    /// What the hub calls its license, e.g. `apache-2.0`.
    pub license: Option<String>,
}

/// A score as a line of `model-index`.
#[derive(Clone, Debug, PartialEq)]
pub struct CardResult {
    /// What the hub calls the task, e.g. `text-classification`.
    pub task: &'static str,
    /// The data in words.
    pub dataset: String,
    /// What the hub calls the data, e.g. `nyu-mll/glue`, or a name of one's own.
    pub id: String,
    /// Which part of the data it is, where the hub knows the data.
    pub config: Option<String>,
    /// Which split, where the hub knows the data.
    pub split: Option<String>,
    /// What the hub calls the metric, e.g. `matthews_correlation`.
    pub metric: String,
    /// Its value, a fraction.
    pub value: f64,
}

impl Origin {
    /// The origin of what is made from the model in `dir`, which is that of `repo` on the hub, or else was made from what its own card
    /// names. What no card says, or says in a list, is left out.
    pub fn of(dir: &Path, repo: Option<String>) -> Self {
        let card = std::fs::read_to_string(dir.join(CARD_FILE)).unwrap_or_default();
        let block = block(&card).unwrap_or_default();
        let value = |key: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?.trim();
            let text = line.trim_matches(['"', '\'']);
            (!text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c)))
                .then(|| text.into())
        };
        Self { base_model: repo.or_else(|| value("base_model")), license: value("license") }
    }
}

/// `text`, a card that begins with its title, behind a block of origin and scores. Scores that are not finite are left out.
pub fn card_with(text: &str, origin: &Origin, results: &[CardResult]) -> String {
    let mut block = String::new();
    for (key, value) in [("license", &origin.license), ("base_model", &origin.base_model)] {
        if let Some(value) = value {
            let _ = writeln!(block, "{key}: {}", quoted(value));
        }
    }
    let results: Vec<&CardResult> = results.iter().filter(|result| result.value.is_finite()).collect();
    let mut list = |key: &str, values: Vec<&str>| {
        if !values.is_empty() {
            let _ = writeln!(block, "{key}:");
            values.iter().for_each(|value| block += &format!("- {}\n", quoted(value)));
        }
    };
    // Data that the hub does not have cannot be linked to.
    list("datasets", distinct(results.iter().filter(|r| r.id.contains('/')).map(|r| r.id.as_str())));
    list("metrics", distinct(results.iter().map(|r| r.metric.as_str())));
    if !results.is_empty() {
        let title = text.lines().next().unwrap_or_default().trim_start_matches('#').trim();
        let name = if title.is_empty() { "model" } else { title };
        let _ = writeln!(block, "model-index:\n- name: {}\n  results:", quoted(name));
        results.iter().for_each(|result| block.push_str(&entry(result)));
    }
    if block.is_empty() { text.to_owned() } else { format!("{FENCE}{block}{FENCE}\n{text}") }
}

fn entry(result: &CardResult) -> String {
    let CardResult { task, dataset, id, config, split, metric, value } = result;
    let mut text = format!(
        "  - task:\n      type: {}\n    dataset:\n      name: {}\n      type: {}\n",
        quoted(task),
        quoted(dataset),
        quoted(id)
    );
    for (key, value) in [("config", config), ("split", split)] {
        if let Some(value) = value {
            let _ = writeln!(text, "      {key}: {}", quoted(value));
        }
    }
    text + &format!("    metrics:\n    - type: {}\n      value: {value:?}\n", quoted(metric))
}

/// The card of a model: `text` with a block that says what follows from the model, unless it says it already.
pub(crate) fn completed(text: &str, config: &BertConfig, parts: Parts) -> String {
    let (said, rest) = match block(text) {
        Some(said) => (said, &text[FENCE.len() + said.len() + FENCE.len()..]),
        None => ("", text),
    };
    let is_lone_vector = matches!(&config.task_heads[..], [head] if head.kind == TaskHeadKind::Embedding);
    let library = if is_lone_vector { "sentence-transformers" } else { "transformers" };
    let task = match config.task_heads.first() {
        Some(head) => hub_task(head),
        None if parts.mlm => "fill-mask",
        None => "feature-extraction",
    };
    let mut block = said.to_owned();
    let own = [
        ("library_name", format!(" {library}")),
        ("pipeline_tag", format!(" {task}")),
        ("tags", "\n- efficientbert".into()),
    ];
    for (key, value) in own {
        if !said.lines().any(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':'))) {
            let _ = writeln!(block, "{key}:{value}");
        }
    }
    let gap = if said.is_empty() && !rest.is_empty() { "\n" } else { "" };
    format!("{FENCE}{block}{FENCE}{gap}{rest}")
}

/// What the hub calls the task of a head.
pub fn hub_task(head: &TaskHeadConfig) -> &'static str {
    match head.kind {
        TaskHeadKind::Classification | TaskHeadKind::MultiLabel | TaskHeadKind::Regression => "text-classification",
        TaskHeadKind::Span => "question-answering",
        TaskHeadKind::Tags => "token-classification",
        TaskHeadKind::Embedding => "sentence-similarity",
    }
}

/// The lines of a card's block.
fn block(card: &str) -> Option<&str> {
    let rest = card.strip_prefix(FENCE)?;
    let end = if rest.starts_with(FENCE) { 0 } else { rest.find("\n---\n")? + 1 };
    Some(&rest[..end])
}

fn distinct<'a>(values: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found = Vec::new();
    values.for_each(|value| {
        if !found.contains(&value) {
            found.push(value);
        }
    });
    found
}

/// A string of YAML, which takes those of JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(id: &str, metric: &str, value: f64) -> CardResult {
        CardResult {
            task: "text-classification",
            dataset: "The \"data\": yes".into(),
            id: id.into(),
            config: id.contains('/').then(|| "sst2".into()),
            split: None,
            metric: metric.into(),
            value,
        }
    }

    fn config() -> BertConfig {
        BertConfig::bert(9, 4, 1, 2, 6)
    }

    #[test]
    fn a_card_without_a_block_gets_one_that_says_what_the_model_is() {
        let card = completed("# A model\n", &config(), Parts::NONE);
        let block = "library_name: transformers\npipeline_tag: feature-extraction\ntags:\n- efficientbert\n";
        assert_eq!(card, format!("---\n{block}---\n\n# A model\n"));
        assert_eq!(completed("", &config(), Parts::NONE), format!("---\n{block}---\n"));
        assert_eq!(completed(&card, &config(), Parts::NONE), card, "nothing is said twice");
        let words = completed("", &config(), Parts { mlm: true, ..Parts::NONE });
        assert!(words.contains("pipeline_tag: fill-mask"), "{words}");
    }

    #[test]
    fn origin_and_scores_stand_before_what_the_model_is() {
        let origin = Origin { base_model: Some("org/bert".into()), license: Some("mit".into()) };
        let results =
            [result("org/data", "accuracy", 0.5), result("own", "f1", f64::NAN), result("own", "accuracy", 1.0)];
        let card = completed(&card_with("# A model\n\ntext\n", &origin, &results), &config(), Parts::NONE);
        let parts = [
            "---\nlicense: \"mit\"\nbase_model: \"org/bert\"\ndatasets:\n- \"org/data\"\nmetrics:\n- \"accuracy\"\nmodel-index:\n",
            "- name: \"A model\"\n  results:\n  - task:\n      type: \"text-classification\"\n",
            "      name: \"The \\\"data\\\": yes\"\n      type: \"org/data\"\n      config: \"sst2\"\n    metrics:\n",
            "    - type: \"accuracy\"\n      value: 0.5\n",
            "value: 1.0\nlibrary_name: transformers\n",
            "- efficientbert\n---\n\n# A model\n\ntext\n",
        ];
        assert!(parts.iter().all(|part| card.contains(part)), "{card}");
        assert!(!card.contains("f1") && !card.contains("NaN"), "{card}");
        assert_eq!(card_with("# Bare\n", &Origin::default(), &[]), "# Bare\n");
    }

    #[test]
    fn the_origin_of_a_model_is_what_its_card_says_in_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let of = |card: &str, repo: Option<&str>| {
            std::fs::write(dir.path().join(CARD_FILE), card).unwrap();
            Origin::of(dir.path(), repo.map(Into::into))
        };
        let both = of("---\nlicense: apache-2.0\nbase_model: 'org/bert'\n---\n# x\n", None);
        assert_eq!(both, Origin { base_model: Some("org/bert".into()), license: Some("apache-2.0".into()) });
        let own = of("---\nbase_model: org/bert\n---\n", Some("org/other"));
        assert_eq!(own, Origin { base_model: Some("org/other".into()), license: None });
        for card in [
            "",
            "# license: mit\n",
            "---\nlicense:\n- mit\n---\n",
            "---\nlicense: mit",
            "---\nlicense: \"a: b\"\n---\n",
        ] {
            assert_eq!(of(card, None), Origin::default(), "{card}");
        }
        assert_eq!(Origin::of(Path::new("/no/such/folder"), None), Origin::default());
    }
}
