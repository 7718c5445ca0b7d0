//! Trainings in which the encoder grows: stopped anywhere, they end like one that was not.

#[allow(dead_code)]
mod text;

use std::path::Path;

use bert_core::weights::collect_internal;
use bert_core::{Parts, TaskModel};
use burn::tensor::Device;
use run_store::checkpoint::CheckpointStore;
use text::{Texts, Watch, config, dropping, mask};
use train::engine::{Devices, Job, TrainConfig, Trained};
use train::pretrain::{DropSettings, Growing, GrowthRecipe, MaskedLanguageModeling, PlannedStage, TokenDropping};

const STAGES: &str = r#"
    [[grow.stage]]
    steps = 3
    layers = 2
    feed_forward = 0.25
    pool = 2
    max_len = 12
    [[grow.stage]]
    steps = 2
    feed_forward = 0.5
    rate = 0.5
    [[grow.stage]]
    steps = 3
"#;

fn recipe(grow: &str) -> GrowthRecipe {
    GrowthRecipe::from_toml(&format!("[grow]\n{grow}\n{STAGES}")).unwrap()
}

fn stores(folder: &Path, name: &str) -> Vec<CheckpointStore> {
    (0..3).map(|i| CheckpointStore::new(folder.join(format!("{name}-{i}")), "hash")).collect()
}

fn run(
    recipe: &GrowthRecipe,
    dropping: Option<&TokenDropping>,
    stores: &[CheckpointStore],
    watch: &mut Watch,
) -> train::Result<Trained<TaskModel>> {
    let (text, mask) = (Texts::new(), mask());
    let parts = Parts::NONE.with_words(&config());
    let stages = recipe.plan(&config(), parts).unwrap();
    let job = |stage: &PlannedStage| -> Box<dyn Job<TaskModel> + '_> {
        let (pool, max_len) = (stage.pool, stage.max_len);
        Box::new(MaskedLanguageModeling { text: &text, mask: &mask, held_out: None, dropping, pool, max_len })
    };
    let growing = Growing { stages: &stages, moments: recipe.moments, parts, job: &job, stores };
    let first = &stages[0].config;
    let model = TaskModel::new(first, parts, &Device::flex()).unwrap().initialized(first, 2);
    let settings = TrainConfig { accumulate: 2, checkpoint_every: 2, log_every: 1, ..TrainConfig::new(8, 5e-3) };
    growing.train(model, &Devices::from(Device::flex()), &settings, watch)
}

#[test]
fn a_growing_training_that_is_stopped_anywhere_ends_like_one_that_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut ends = Vec::new();
    let ligo = "ligo = { steps = 3, learning_rate = 1e-2 }";
    for (number, moments) in
        ["", "moments = \"grown\"", "operators = { depth = \"interleave\" }", ligo].iter().enumerate()
    {
        let recipe = recipe(moments);
        let anew = || dropping(DropSettings::default());
        let mut watch = Watch::default();
        let whole = run(&recipe, Some(&anew()), &stores(folder.path(), &format!("whole{number}")), &mut watch).unwrap();
        assert_eq!((watch.losses.len(), whole.steps), (8, 8));
        for after in 1..8 {
            let stores = stores(folder.path(), &format!("cut{number}-{after}"));
            let mut first = Watch { stop_after: Some(after), ..Watch::default() };
            match run(&recipe, Some(&anew()), &stores, &mut first) {
                Err(train::Error::Interrupted { step }) => assert_eq!(step, after),
                Err(other) => panic!("{other}"),
                Ok(_) => panic!("not stopped after {after}"),
            }
            let mut second = Watch::default();
            let resumed = run(&recipe, Some(&anew()), &stores, &mut second).unwrap();
            assert_eq!([first.losses, second.losses].concat(), watch.losses, "{moments}: stopped after {after}");
            let weights = (collect_internal(&resumed.model), collect_internal(&whole.model));
            assert!(weights.0 == weights.1, "{moments}: stopped after {after}");
        }
        ends.push(watch.losses);
    }
    assert!((1..4).all(|other| ends[0] != ends[other]), "moments, operators and what is learned count");
    assert!([1, 3].iter().all(|other| ends[0][..3] == ends[*other][..3]), "not before the encoder grows");
}

#[test]
fn stages_that_do_not_follow_each_other_are_refused_with_their_number() {
    let parts = Parts::NONE.with_words(&config());
    let message = |stages: &str| match GrowthRecipe::from_toml(&format!("[grow]\n{stages}")) {
        Ok(recipe) => recipe.plan(&config(), parts).unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    for (stages, part) in [
        ("stage = []", "no [[grow.stage]]"),
        ("[[grow.stage]]\nsteps = 0", "stage 1: has no steps"),
        ("[[grow.stage]]\nsteps = 1\nlayers = 2", "stage 1: the last one trains the whole encoder"),
        (
            "[[grow.stage]]\nsteps = 1\nlayers = 5\n[[grow.stage]]\nsteps = 1",
            "stage 1: 5 layers; the whole encoder has 4",
        ),
        ("[[grow.stage]]\nsteps = 1\nfeed_forward = 0.5\n[[grow.stage]]\nsteps = 1\nfeed_forward = 0.25", "stage 2: "),
        ("[[grow.stage]]\nsteps = 1\nfeed_forward = 2.0\n[[grow.stage]]\nsteps = 1", "`feed_forward` is 2"),
        ("[[grow.stage]]\nsteps = 1\nhidden = 6\n[[grow.stage]]\nsteps = 1", "no multiple"),
        ("[[grow.stage]]\nsteps = 1\npool = 1\n[[grow.stage]]\nsteps = 1", "`pool` must be at least 2"),
        ("[[grow.stage]]\nsteps = 1\nrate = 0.0", "`rate`"),
        ("[[grow.stage]]\nsteps = 1\nlayer = 2", "layer"),
        ("ligo = { steps = 0 }\n[[grow.stage]]\nsteps = 1", "`steps` of `ligo` is 0"),
        ("ligo = {}\n[[grow.stage]]\nsteps = 1\npool = 2\n[[grow.stage]]\nsteps = 1", "`ligo` has no effect"),
        ("ligo = {}\nmoments = \"grown\"\n[[grow.stage]]\nsteps = 1", "no simple inverse"),
    ] {
        let found = message(stages);
        assert!(found.contains(part), "{stages}: {found}");
    }
}

#[test]
fn a_learned_growth_has_a_lower_loss_than_what_it_begins_as() {
    let folder = tempfile::tempdir().unwrap();
    let [plain, learned] = ["", "ligo = { steps = 60, learning_rate = 3e-3 }"].map(|grow| {
        let mut watch = Watch::default();
        let name = format!("grown{}", grow.len());
        run(&recipe(grow), None, &stores(folder.path(), &name), &mut watch).unwrap();
        watch
    });
    assert!(plain.grown.is_empty());
    let begins: Vec<u64> = learned.grown.iter().map(|(step, ..)| *step).collect();
    assert_eq!(begins, [3, 5], "at the begin of each later stage");
    // The same batch and the same hidden words.
    assert!(learned.losses[3] < plain.losses[3], "{:?}, {:?}", learned.losses, plain.losses);
}

#[test]
fn a_stage_whose_checkpoints_are_damaged_begins_again_out_of_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe("moments = \"grown\"");
    let anew = || dropping(DropSettings::default());
    let whole = run(&recipe, Some(&anew()), &stores(folder.path(), "whole"), &mut Watch::default()).unwrap();
    let stores = stores(folder.path(), "cut");
    let mut watch = Watch { stop_after: Some(4), ..Watch::default() };
    assert!(run(&recipe, Some(&anew()), &stores, &mut watch).is_err());
    for step in std::fs::read_dir(stores[1].dir()).unwrap() {
        std::fs::write(step.unwrap().path().join("model.safetensors"), b"damaged").unwrap();
    }
    let mut second = Watch::default();
    let resumed = run(&recipe, Some(&anew()), &stores, &mut second).unwrap();
    assert_eq!(second.losses.len(), 5, "from the end of the first stage");
    assert!(collect_internal(&resumed.model) == collect_internal(&whole.model));
    let files = |store: &CheckpointStore| store.latest().unwrap().checkpoint.unwrap().files().len();
    assert_eq!((files(&stores[0]), files(&stores[1]) > 1), (1, true), "of the first stage the weights are left");
}
