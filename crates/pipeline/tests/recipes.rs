//! Recipes: the published ones load, mistakes are named.

use glue_squad::task::TaskKind;
use pipeline::SearchParts;
use pipeline::recipe::{Override, PUBLISHED, Recipe, load};
use train::engine::{NotFinite, TrainConfig};
use train::optim::{Group, OptimizerConfig, OptimizerKind, Schedule};

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
        let needs_paths = matches!(name, "minilm" | "minilm-quick" | "tinybert-quick" | "paper");
        let from_text = |key: &str| name == "from-text" && key.starts_with("data.");
        let wanted = |key: &&&str| needs_paths || from_text(key);
        let overrides: Vec<Override> = real.iter().filter(wanted).map(|o| o.parse().unwrap()).collect();
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
    for name in ["minilm", "minilm-quick", "tinybert-quick", "paper"] {
        let message = load(name, &[]).unwrap_err().to_string();
        assert!(message.contains("--teacher"), "{message}");
    }
}

#[test]
fn a_teacher_from_text_needs_text_and_no_model() {
    let given = |keys: &[&str]| keys.iter().map(|o| o.parse().unwrap()).collect::<Vec<Override>>();
    let refused = |keys: &[&str], word: &str| {
        let message = load("from-text", &given(keys)).unwrap_err().to_string();
        assert!(message.contains(word), "`{word}` is missing in: {message}");
    };
    refused(&[], "--corpus");
    refused(&["data.corpus=[\"c\"]"], "--data");
    let [glue, corpus] = ["data.glue=\"g\"", "data.corpus=[\"c\"]"];
    refused(&[glue, corpus, "teacher.model=\"t\""], "leave the model out");
    refused(&[glue, corpus, "teacher.tokenizer.vocab_size=3"], "`teacher.tokenizer`: the vocabulary size is 3");
    refused(&[glue, corpus, "teacher.tokenizer.kind=words"], "kind");
    refused(&[glue, corpus, "teacher.pretrain.steps=0"], "`teacher.pretrain.steps` must be at least 1");
    refused(&[glue, corpus, "teacher.pretrain.eval_every=5"], "`teacher.pretrain.eval_every` has no effect");
    let recipe = load("from-text", &given(&[glue, corpus])).unwrap();
    assert_eq!(recipe.teacher.pretrain.unwrap().precision, Some(train::engine::Precision::Bf16));
}

#[test]
fn an_override_changes_one_key_and_text_needs_no_quotes() {
    let overrides = ["seed=9".parse().unwrap(), "search.strategy=random".parse().unwrap()];
    let recipe = load("smoke", &overrides).unwrap();
    assert_eq!(recipe.seed, 9);
    assert_eq!(recipe.search.strategy, pipeline::recipe::StrategyKind::Random);
}

#[test]
fn every_strategy_that_a_recipe_can_name_can_be_made_and_another_name_is_answered_with_all_of_them() {
    let names = ["random", "learned", "compatible", "evolution", "nsga2", "tpe"];
    for name in names {
        let recipe = load("smoke", &[format!("search.strategy={name}").parse().unwrap()]).unwrap();
        for stage in 1..=3 {
            assert!(pipeline::FromRecipe.strategy(&recipe, stage).is_ok(), "{name}");
        }
    }
    let message = load("smoke", &["search.strategy=annealing".parse().unwrap()]).unwrap_err().to_string();
    assert!(names.iter().all(|name| message.contains(&format!("`{name}`"))), "{message}");
}

#[test]
fn a_training_takes_its_method_from_the_recipe_and_the_rest_stays_the_paper_s() {
    let settings = [
        "final.task.optimizer=lamb",
        "final.task.schedule={ kind = \"cosine\", end = 0.1 }",
        "final.task.accumulate=2",
        "final.task.warmup_steps=3",
        "final.task.eval_every=2",
        "final.task.patience=4",
        "final.task.on_not_finite=skip",
        "final.task.groups=[{ pattern = \"encoder.embeddings.*\", frozen = true }]",
    ];
    let overrides: Vec<Override> = settings.iter().map(|s| s.parse().unwrap()).collect();
    let recipe = load("smoke", &overrides).unwrap();
    let config = recipe.final_.task.train_config(1);
    assert_eq!(config.optimizer, OptimizerConfig::of(OptimizerKind::Lamb));
    assert_eq!(config.schedule, Schedule::Cosine { end: 0.1, over: 0 });
    assert_eq!((config.accumulate, config.warmup_steps(), config.patience), (2, 3, 4));
    assert_eq!(config.on_not_finite, NotFinite::Skip);
    assert_eq!(config.groups, [Group { frozen: true, ..Group::new("encoder.embeddings.*") }]);
    let written: Recipe = toml::from_str(&recipe.to_toml().unwrap()).unwrap();
    assert_eq!(written, recipe, "what a run folder holds is the same recipe");
    let untouched = recipe.teacher.fine_tune.train_config(1);
    let steps = (untouched.steps, untouched.learning_rate);
    let usual = TrainConfig { seed: 1, ..TrainConfig::new(steps.0, steps.1) };
    let same = TrainConfig { eval_every: untouched.eval_every, checkpoint_every: untouched.checkpoint_every, ..usual };
    assert_eq!(untouched, same);
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
    refused(&["final.task.length_window=0"], &["`final.task.length_window`"]);
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
    refused(&["compare.inherit=supernet"], &["compare.inherit", "supernet", "teacher"]);
    refused(&["student.begin=techer"], &["recipe `smoke`", "techer", "teacher"]);
    refused(&["warm_up.eval_every=5"], &["warm_up.eval_every", "no effect"]);
    refused(&["search.stage1.proxy.task.checkpoint_every=5"], &["checkpoint_every", "no effect"]);
    refused(&["search.stage1.proxy.task.keep_last=3"], &["keep_last", "no effect"]);
    refused(&["final.task.patience=2", "final.task.eval_every=0"], &["final.task.patience", "eval_every"]);
    refused(&["final.task.accumulate=0"], &["final.task.accumulate"]);
    refused(&["warm_up.schedule=cosinus"], &["schedule", "cosine"]);
    refused(&["warm_up.schedule={ kind = \"phases\", length = 2 }"], &["warm_up.schedule", "warmup_ratio"]);
    refused(&["warm_up.optimizer={ kind = \"lamb\", beta1 = 1.0 }"], &["warm_up.optimizer.beta1"]);
    refused(&["warm_up.groups=[{ pattern = \"a\", frozen = true, factor = 2.0 }]"], &["warm_up.groups", "frozen"]);
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

#[test]
fn the_teacher_s_cache_is_written_out_and_takes_sizes_as_people_write_them() {
    use kd::cache::{ByteSize, CacheStorage, Format, Room};
    let usual = load("smoke", &[]).unwrap();
    let text = usual.to_toml().unwrap();
    let section = "[teacher.cache]\nwhere = \"memory\"\nmax_bytes = \"auto\"\nformat = \"f32\"\n";
    assert!(text.contains(section), "{text}");
    let settings = ["teacher.cache.where=disk", "teacher.cache.max_bytes=500 MB", "teacher.cache.format=f16"];
    let overrides: Vec<Override> = settings.iter().map(|s| s.parse().unwrap()).collect();
    let cache = load("smoke", &overrides).unwrap().teacher.cache;
    assert_eq!(
        (cache.place, cache.max_bytes, cache.format),
        (CacheStorage::Disk, Room::Bytes(ByteSize(500_000_000)), Format::F16)
    );
    refused(&["teacher.cache.max_bytes=0"], &["teacher.cache.max_bytes", "off"]);
    assert!(
        load("smoke", &["teacher.cache.max_bytes=0".parse().unwrap(), "teacher.cache.where=off".parse().unwrap()])
            .is_ok()
    );
    refused(&["teacher.cache.max_bytes=much"], &["much", "2 GiB"]);
    refused(&["teacher.cache.folder=x"], &["folder"]);
}

#[test]
fn candidates_with_heads_that_nobody_trained_are_refused() {
    for key in ["search.stage1.proxy.task", "search.stage2.proxy.task", "search.stage3.task", "final.task"] {
        refused(&[&format!("{key}.steps=0")], &[&format!("`{key}.steps` must be at least 1")]);
    }
}

#[test]
fn one_teacher_for_all_tasks_is_the_default_and_each_task_s_own_has_its_steps() {
    let usual = load("smoke", &[]).unwrap();
    assert!(!usual.teacher.per_task && usual.to_toml().unwrap().contains("\nper_task = false\n"));
    let settings = ["teacher.per_task=true", "teacher.task_steps={ sts-b = 9 }"];
    let overrides: Vec<Override> = settings.iter().map(|s| s.parse().unwrap()).collect();
    let recipe = load("smoke", &overrides).unwrap();
    let steps = |task: TaskKind| recipe.teacher.fine_tune_on(task.task()).train.steps;
    assert_eq!((steps(TaskKind::Sst2), steps(TaskKind::Stsb)), (recipe.teacher.fine_tune.train.steps, 9));
    let written: Recipe = toml::from_str(&recipe.to_toml().unwrap()).unwrap();
    assert_eq!(written, recipe, "what a run folder holds is the same recipe");

    let own = "teacher.per_task=true";
    refused(&["teacher.task_steps={ sts-b = 9 }"], &["`teacher.task_steps` has no effect", "per_task"]);
    refused(&[own, "teacher.task_steps.mrpc=9"], &["`teacher.task_steps.mrpc`", "sst-2, sts-b"]);
    refused(&[own, "teacher.task_steps.sts-b=0"], &["`teacher.task_steps.sts-b` must be at least 1"]);
    refused(&[own, "teacher.task_steps.stsbee=9"], &["stsbee"]);
    // 50 steps are more than the warm-up of the recipe's steps, and less than that of 9000.
    let schedule = "teacher.fine_tune.schedule={ kind = \"linear\", over = 50 }";
    assert!(load("smoke", &[schedule.parse().unwrap(), own.parse().unwrap()]).is_ok());
    refused(&[own, schedule, "teacher.task_steps.sts-b=9000"], &["`teacher.task_steps.sts-b.schedule`", "900"]);
}
