//! How much room a run or a training takes on the disk.

use std::path::Path;

use bert_core::weights::parameter_shapes;
use bert_core::{BertConfig, Parts, TaskModel, student_config, supernet_architecture};
use burn::tensor::Device;
use predict::heads::task_head_of;
use train::engine::TrainConfig;

use crate::Result;
use crate::events::NOTED_WARNING;
use crate::phase::{Model, Network, PhaseSpec, frame, trainings};
use crate::recipe::Recipe;

/// Bytes of a number in a checkpoint or a model directory.
const NUMBER: u64 = 4;

/// Expected bytes in a run folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Most at any time while the run works.
    pub most: u64,
    /// What stays once it is finished: the models of teacher and student, and generated data.
    pub left: u64,
}

/// Bytes as people read them: `400 kB`, `2.4 MB`, `180 MB`, `12.5 GB`.
pub fn size(bytes: u64) -> String {
    let tenth = |value: f64| format!("{value:.1}");
    let bytes = bytes as f64;
    match bytes {
        b if b >= 99.5e9 => format!("{:.0} GB", b / 1e9),
        b if b >= 9.995e9 => format!("{} GB", tenth(b / 1e9)),
        b if b >= 9.95e6 => format!("{:.0} MB", b / 1e6),
        b if b >= 0.995e6 => format!("{} MB", tenth(b / 1e6)),
        b => format!("{:.0} kB", (b / 1e3).ceil()),
    }
}

/// Bytes of the files in a folder and those below it; what cannot be read counts as nothing.
pub fn bytes_below(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let each = entries.map(|entry| match entry.metadata() {
        Ok(about) if about.is_dir() => bytes_below(&entry.path()),
        Ok(about) if about.is_file() => about.len(),
        _ => 0,
    });
    each.sum()
}

/// Bytes of a model's weights.
pub fn weights(model: &TaskModel) -> u64 {
    NUMBER * parameter_shapes(model).values().map(|shape| shape.iter().product::<usize>() as u64).sum::<u64>()
}

/// Most bytes of the checkpoints of a training whose model has `weights` bytes: each holds the weights, two moments and, where the
/// training is evaluated, the best weights; and the oldest goes only when the newest is there.
pub fn checkpoints(weights: u64, settings: &TrainConfig, evaluated: bool) -> u64 {
    let written = match settings.checkpoint_every {
        0 => 1,
        every => settings.steps.div_ceil(every),
    };
    let together = written.min(settings.keep_last as u64 + 1);
    together * weights * (3 + u64::from(evaluated))
}

/// The room of a run of `recipe` with a teacher of configuration `teacher`, of whose answers `cache` bytes may be kept on the disk, and
/// `data` bytes of data that it generates.
pub(crate) fn needs(
    (recipe, phases): (&Recipe, &[PhaseSpec<'_>]),
    teacher: &BertConfig,
    (cache, data): (u64, u64),
    device: &Device,
) -> Result<Needs> {
    let tasks = &recipe.tasks;
    let heads = if recipe.teacher.per_task { &tasks[..1] } else { &tasks[..] };
    let tuned =
        BertConfig { task_heads: heads.iter().map(|task| task_head_of(task, teacher)).collect(), ..teacher.clone() };
    let tuned = weights(&TaskModel::new(&tuned, Parts::POOLER, device)?);
    let words = Parts::NONE.with_words(teacher);
    let pretrained = recipe.teacher.pretrain.as_ref().map(|_| TaskModel::new(teacher, words, device)).transpose()?;
    let pretrained = pretrained.map_or(0, |model| weights(&model));
    let frame = frame(recipe, teacher);
    let largest = student_config(&frame, &supernet_architecture(frame.num_hidden_layers)?)?;
    let largest = weights(&TaskModel::supernet(&largest, Parts::POOLER, device)?);
    let fit = NUMBER * ((frame.hidden_size + 1) * teacher.state_width()) as u64;
    let student =
        recipe.budget.max_params.map_or(largest, |most| largest.min(NUMBER.saturating_mul(most).saturating_add(fit)));
    let student = recipe.budget.max_bytes.map_or(student, |most| student.min(most.saturating_add(fit)));

    let teachers = pretrained + tuned * phases.iter().filter(|phase| phase.id.model() == Model::Teacher).count() as u64;
    let (mut most, mut kept) = (0, teachers);
    let saved =
        trainings(phases).filter(|(phase, training)| phase.has_checkpoints() && training.settings.train.steps > 0);
    for (phase, training) in saved {
        let weights = match phase.id.model() {
            Model::Pretrained => pretrained,
            Model::Teacher => tuned,
            Model::Largest => largest,
            Model::Final(Network::Checkpoint(_)) => tuned,
            Model::Candidate | Model::Final(_) => student,
        };
        let (settings, evaluated) = (training.settings.train_config(recipe.seed), training.evaluated);
        most = most.max(kept + checkpoints(weights, &settings, evaluated));
        // Of a finished one the result is kept until the run is finished.
        kept += weights;
    }
    // Of the networks that the student is compared with the models stay, beside what is kept of their trainings.
    let compared = |network: Network| {
        let each = match network {
            Network::Student => 0,
            Network::Checkpoint(_) => tuned,
            _ => student,
        };
        each * network.seeds(recipe).count() as u64
    };
    let compared = Network::of(recipe).into_iter().map(compared).sum::<u64>();
    let left = teachers + student + compared + data;
    Ok(Needs { most: most.max(kept + student) + compared + cache + data, left })
}

/// Says what is needed, and whether the disk has it.
pub fn story(needs: Needs, free: Option<u64>) -> Vec<String> {
    let Needs { most, left } = needs;
    let mut said = vec![format!("on the disk: up to {} while it works, about {} in the end", size(most), size(left))];
    if let Some(free) = free.filter(|&free| free < most) {
        said.push(format!("{NOTED_WARNING}only {} are free there; make room before it runs out", size(free)));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phase::phases;
    use crate::recipe::load;

    #[test]
    fn bytes_are_shown_in_units_of_a_thousand() {
        for (bytes, shown) in [
            (0, "0 kB"),
            (400_001, "401 kB"),
            (2_440_000, "2.4 MB"),
            (9_940_000, "9.9 MB"),
            (9_960_000, "10 MB"),
            (180_400_000, "180 MB"),
            (9_990_000_000, "9990 MB"),
            (12_540_000_000, "12.5 GB"),
            (1_200_000_000_000, "1200 GB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
    }

    #[test]
    fn checkpoints_are_counted_with_moments_best_weights_and_the_one_that_is_written() {
        let of = |steps, checkpoint_every, keep_last, evaluated| {
            let settings = TrainConfig { checkpoint_every, keep_last, ..TrainConfig::new(steps, 1e-3) };
            checkpoints(10, &settings, evaluated)
        };
        assert_eq!(of(100, 0, 2, false), 30, "one at the end");
        assert_eq!(of(100, 10, 2, true), 3 * 40, "two stay while the third is written");
        assert_eq!(of(20, 10, 5, false), 2 * 30, "there are no more");
    }

    #[test]
    fn a_disk_that_has_less_is_told() {
        let needs = Needs { most: 50_000_000, left: 20_000_000 };
        assert_eq!(story(needs, Some(50_000_000)), ["on the disk: up to 50 MB while it works, about 20 MB in the end"]);
        let short = story(needs, Some(30_000_000));
        assert!(short.len() == 2 && short[1].contains("warning: only 30 MB are free"), "{short:?}");
        assert_eq!(story(needs, None).len(), 1);
    }

    #[test]
    fn less_of_everything_needs_less_room() {
        let of = |overrides: &[&str]| {
            let overrides: Vec<_> = overrides.iter().map(|o| o.parse().unwrap()).collect();
            let recipe = load("smoke", &overrides).unwrap();
            let teacher = crate::phase::scratch_config(recipe.teacher.scratch.unwrap(), 200, recipe.max_len);
            needs((&recipe, &phases(&recipe)), &teacher, (0, 0), &Device::flex()).unwrap()
        };
        let usual = of(&[]);
        assert!(usual.left < usual.most);
        assert!(of(&["compare.same_params=false"]).most < usual.most);
        assert!(of(&["teacher.fine_tune.keep_last=9"]).most >= usual.most);
        let two = of(&["teacher.per_task=true"]);
        assert!(two.left > usual.left && two.most > usual.most, "a teacher for each task");
    }
}
