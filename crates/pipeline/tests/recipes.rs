//! Recipes: the published ones load, mistakes are named.

use pipeline::recipe::{Override, PUBLISHED, load};

fn refused(overrides: &[&str], words: &[&str]) {
    let overrides: Vec<Override> = overrides.iter().map(|o| o.parse().unwrap()).collect();
    let message = load("smoke", &overrides).unwrap_err().to_string();
    for word in words {
        assert!(message.contains(word), "`{word}` is missing in: {message}");
    }
}

#[test]
fn every_published_recipe_loads_and_is_the_same_after_a_round_trip() {
    let real = ["teacher.model=\"t\"", "data.glue=\"g\"", "data.corpus=[\"c\"]"];
    for (name, _) in PUBLISHED {
        let needs_paths = matches!(name, "minilm-quick" | "tinybert-quick" | "paper");
        let overrides: Vec<Override> = real.iter().filter(|_| needs_paths).map(|o| o.parse().unwrap()).collect();
        let recipe = load(name, &overrides).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(recipe.name, name);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("recipe.toml");
        std::fs::write(&file, recipe.to_toml().unwrap()).unwrap();
        assert_eq!(load(file.to_str().unwrap(), &[]).unwrap(), recipe, "{name}");
    }
}

#[test]
fn recipes_for_real_data_say_what_they_need() {
    for name in ["minilm-quick", "tinybert-quick", "paper"] {
        let message = load(name, &[]).unwrap_err().to_string();
        assert!(message.contains("--teacher"), "{message}");
    }
}

#[test]
fn an_override_changes_one_key_and_text_needs_no_quotes() {
    let overrides = ["seed=9".parse().unwrap(), "search.strategy=random".parse().unwrap()];
    let recipe = load("smoke", &overrides).unwrap();
    assert_eq!(recipe.seed, 9);
    assert_eq!(recipe.search.strategy, pipeline::recipe::StrategyKind::Random);
}

#[test]
fn mistakes_name_the_recipe_and_the_key() {
    refused(&["search.stage1.trails=3"], &["recipe `smoke`", "trails"]);
    refused(&["seed=many"], &["recipe `smoke`", "seed"]);
    refused(&["student.heads=5"], &["student.heads", "24"]);
    refused(&["data.hold_out=0"], &["data.hold_out"]);
    refused(&["tasks=[\"sst-2\", \"sst-2\"]"], &["twice"]);
    refused(&["tasks=[\"sst-3\"]"], &["sst-3"]);
    refused(&["tasks=[\"sst-2\", \"SQuAD2.0\"]"], &["recipe `smoke`", "squad-v2", "distill --task squad-v2"]);
    refused(&["final.task.learning_rate=0.0"], &["final.task.learning_rate"]);
    refused(&["seed.inner=1"], &["seed.inner"]);
    refused(&["warm_up.max_len=64"], &["warm_up.max_len", "32"]);
    refused(&["data.glue=\"x\""], &["data.corpus"]);
    refused(&["distill.preset=minlm"], &["recipe `smoke`", "minlm", "minilm"]);
    refused(&["distill.map=[2]", "distill.preset=logits"], &["`distill`", "`map`", "logits"]);
    refused(&["final.distill={}"], &["`final.distill`", "nothing to learn"]);
    let entry = "{ teacher = 1, student = 1, feature = \"hidden\", loss = \"mse\" }";
    let second = format!("distill={{ match = [{entry}, {}] }}", entry.replace("mse", "kl"));
    refused(&[&second], &["`distill`", "entry 2", "kl"]);
    refused(&[&second.replace("kl", "rms")], &["`match`, entry 2", "rms"]);
    refused(&["warm_up.eval_every=5"], &["warm_up.eval_every", "no effect"]);
    refused(&["search.stage1.proxy.task.checkpoint_every=5"], &["checkpoint_every", "no effect"]);
}

#[test]
fn a_name_that_is_no_recipe_lists_the_known_ones() {
    let message = load("pockets", &[]).unwrap_err().to_string();
    for (name, _) in PUBLISHED {
        assert!(message.contains(name), "{message}");
    }
    let message = load("no/such/file.toml", &[]).unwrap_err().to_string();
    assert!(message.contains("no/such/file.toml"), "{message}");
}

#[test]
fn overrides_need_a_key_and_a_value() {
    for bad in ["seed", "=3", " = 3"] {
        assert!(bad.parse::<Override>().is_err(), "{bad}");
    }
}

#[test]
fn what_is_learnt_is_written_out_and_may_differ_for_the_winner() {
    let written = load("smoke", &[]).unwrap().to_toml().unwrap();
    assert!(written.contains("[distill]\npreset = \"efficientbert\""), "{written}");
    let overrides = ["final.distill.preset=tinybert".parse().unwrap(), "distill.preset=minilm".parse().unwrap()];
    let recipe = load("smoke", &overrides).unwrap();
    assert_eq!(recipe.distill, kd::objective::Preset::MiniLm.into());
    assert_eq!(recipe.final_.distill, Some(kd::objective::Preset::TinyBert.into()));
}
