//! `docs/recipes.md` against the recipes.

use std::collections::BTreeSet;
use std::path::Path;

use pipeline::recipe::{Override, PUBLISHED, load};
use toml::Value;

fn keys(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                into.insert(key.clone());
                keys(value, into);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| keys(value, into)),
        _ => {}
    }
}

#[test]
fn every_key_and_every_published_recipe_is_documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/recipes.md");
    let page = std::fs::read_to_string(path).expect("the page exists");
    let mut wanted: BTreeSet<String> = PUBLISHED.iter().map(|(name, _)| (*name).to_string()).collect();
    // Keys that no published recipe gives, and that are left out of a written one when absent.
    let given = [
        ("tasks", "[\"sst-2\"]"),
        ("teacher.model", "DIR"),
        ("teacher.trim_vocab", "2"),
        ("teacher.per_task", "true"),
        ("student.begin", "teacher"),
        ("compare.inherit", "nothing"),
        ("teacher.task_steps", "{ sst-2 = 9 }"),
        ("data.glue", "DIR"),
        ("data.corpus", "[\"FILE\"]"),
        ("budget.min_params", "1"),
        ("budget.max_macs", "9000000000"),
        ("budget.max_bytes", "9000000000"),
        ("budget.max_latency_ms", "9.5"),
        ("search.latency_table", "FILE"),
        ("search.fidelities", "FILE"),
        ("final.students", "3"),
        (
            "final.distill.match",
            "[{ teacher = 1, student = 1, feature = \"hidden\", loss = \"mse\", weight = { value = 1, end = 9 } }]",
        ),
        ("final.distill.prediction.temperature", "{ from = 2, to = 1 }"),
        ("final.task.warmup_steps", "1"),
        ("final.task.schedule", "{ kind = \"polynomial\", power = 2.0 }"),
        ("warm_up.schedule", "{ kind = \"steps\", at = [5], factors = [0.5] }"),
        ("teacher.fine_tune.schedule", "{ kind = \"phases\", length = 5 }"),
        ("teacher.fine_tune.warmup_ratio", "0.0"),
        ("final.task.groups", "[{ pattern = \"*\", weight_decay = 0.1, gate = { from = 0, to = 5 } }]"),
    ];
    let given = given.map(|(key, value)| Override { key: key.into(), value: value.into() });
    wanted.insert("map".into());
    for (name, _) in PUBLISHED {
        if name == "tinybert-quick" {
            // Its preset goes with no `match`.
            continue;
        }
        // A search among whole encoders goes with fewer of them.
        let paths = ["teacher.model", "data.glue", "data.corpus"];
        let fits = |given: &&Override| match name {
            "minilm" => paths.contains(&given.key.as_str()),
            "from-text" => paths[1..].contains(&given.key.as_str()),
            _ => true,
        };
        let given: Vec<Override> = given.iter().filter(fits).cloned().collect();
        let recipe = load(name, &given).expect("a published recipe loads");
        let written = recipe.to_toml().expect("a recipe can be written");
        keys(&Value::Table(written.parse().expect("what was written is TOML")), &mut wanted);
    }
    // A key stands alone in code marks, in a dotted name, or as a section.
    let forms = |key: &str| {
        let alone = [format!("`{key}`"), format!(".{key}`"), format!("`{key}."), format!(".{key}.")];
        let sections = [format!("`[{key}]`"), format!(".{key}]`")];
        alone.into_iter().chain(sections)
    };
    let named = |key: &String| forms(key).any(|form| page.contains(&form));
    let missing: Vec<&String> = wanted.iter().filter(|key| !named(key)).collect();
    assert!(wanted.len() > 40, "{wanted:?}");
    assert!(missing.is_empty(), "docs/recipes.md does not name {missing:?}");
}
