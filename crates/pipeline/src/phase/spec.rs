//! What phases a run has: one list, which the order of the work, the checks of a recipe, events, records and reports read.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use glue_squad::task::Task;
use kd::objective::{Objective, Source};

use crate::recipe::{Phase, Recipe};
use crate::{Error, Result};

/// A network that a run trains to the end: the winner of its search, or what that is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Network {
    /// The winner.
    Student,
    /// The cheapest student of the last stage's front of score against cost, where the recipe wants three.
    Small,
    /// One between that and the winner.
    Middle,
    /// A uniform plain network with as many parameters.
    SameParams,
    /// A uniform plain network with the same measured latency.
    SameLatency,
    /// One that was drawn at random within the budget, counted from 1.
    Random(u32),
    /// The best of those, on the held-out examples after training with the first seed, with the other seeds.
    BestRandom,
    /// A model that the recipe names, counted from 1; it is fine-tuned on labels.
    Checkpoint(u32),
}

impl Network {
    /// Those that a run of `recipe` trains, the winner first.
    pub fn of(recipe: &Recipe) -> Vec<Self> {
        let compare = &recipe.compare;
        let mut all = vec![Self::Student];
        all.extend(recipe.final_.students.of_front());
        all.extend(compare.same_params.then_some(Self::SameParams));
        all.extend(compare.same_latency.then_some(Self::SameLatency));
        all.extend((1..=compare.random).map(Self::Random));
        all.extend((compare.random > 0 && compare.seeds > 1).then_some(Self::BestRandom));
        all.extend((1..).zip(&compare.checkpoints).map(|(number, _)| Self::Checkpoint(number)));
        all
    }

    /// The seeds that it is trained with, counted from 1: all that the recipe wants, but of networks drawn at random only the best has more
    /// than one.
    pub fn seeds(self, recipe: &Recipe) -> RangeInclusive<u32> {
        match self {
            Self::Random(_) => 1..=1,
            Self::BestRandom => 2..=recipe.compare.seeds,
            _ => 1..=recipe.compare.seeds,
        }
    }

    /// The folder of its trainings in a run folder.
    pub fn folder(self) -> String {
        match self {
            Self::Student => "final".into(),
            Self::Small => "students/small".into(),
            Self::Middle => "students/middle".into(),
            Self::SameParams => "compare/same-params".into(),
            Self::SameLatency => "compare/same-latency".into(),
            Self::Random(number) => format!("compare/random-{number}"),
            Self::BestRandom => "compare/random-best".into(),
            Self::Checkpoint(number) => format!("compare/checkpoint-{number}"),
        }
    }

    /// The folder of its training with a seed, counted from 1; the first of the winner is in the winner's own.
    pub fn seed_folder(self, seed: u32) -> String {
        match (self, seed) {
            (Self::Student, 1) => self.folder(),
            // `model` of the folder itself is the best of its seeds.
            _ => format!("{}/seed-{seed}", self.folder()),
        }
    }

    /// Whether it is a result of the search, rather than what that is compared with.
    pub fn is_handed_over(self) -> bool {
        matches!(self, Self::Student | Self::Small | Self::Middle)
    }

    fn of_folder(folder: &str) -> Option<(Self, u32)> {
        let (network, seed) = match folder.rsplit_once("/seed-") {
            Some((network, seed)) => (network, seed.parse().ok()?),
            None => (folder, 1),
        };
        let number = |prefix: &str| network.strip_prefix(prefix)?.parse().ok();
        let network = match network {
            "final" => Self::Student,
            "students/small" => Self::Small,
            "students/middle" => Self::Middle,
            "compare/same-params" => Self::SameParams,
            "compare/same-latency" => Self::SameLatency,
            "compare/random-best" => Self::BestRandom,
            _ => match (number("compare/random-"), number("compare/checkpoint-")) {
                (Some(n), _) => Self::Random(n),
                (_, Some(n)) => Self::Checkpoint(n),
                _ => return None,
            },
        };
        Some((network, seed))
    }
}

/// Which phase of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PhaseId {
    /// Masked language modeling of a teacher from scratch.
    Pretrain,
    /// Fine-tuning of a teacher on labels.
    Teacher,
    /// Distillation of the largest student on text: all candidates inherit its weights.
    WarmUp,
    /// A stage of the search, from 1 to 3.
    Stage(u32),
    /// Distillation of stage 3's supernet on text.
    SupernetOnText,
    /// The same on the tasks.
    SupernetOnTasks,
    /// Distillation of a network on text, with a seed counted from 1.
    FinalOnText(Network, u32),
    /// The same on the tasks; fine-tuning of a checkpoint.
    FinalOnTasks(Network, u32),
}

const ON_TEXT: &str = "Distillation on text";
const ON_TASKS: &str = "Distillation on tasks";

/// The phases up to the end of the search, in the order of a run, with name and title.
const OF_THE_SEARCH: [(PhaseId, &str, &str); 8] = [
    (PhaseId::Pretrain, "pretrain", "Teacher: loss of hidden words"),
    (PhaseId::Teacher, "teacher", "Teacher: loss on labels"),
    (PhaseId::WarmUp, "supernet/warm-up", ON_TEXT),
    (PhaseId::Stage(1), "stage-1", "Stage 1: expressions, stacks and ratios"),
    (PhaseId::Stage(2), "stage-2", "Stage 2: expressions"),
    (PhaseId::SupernetOnText, "supernet/general", ON_TEXT),
    (PhaseId::SupernetOnTasks, "supernet/task", ON_TASKS),
    (PhaseId::Stage(3), "stage-3", "Stage 3: stacks and ratios on the supernet"),
];

impl PhaseId {
    /// The phase of a name in an event or a folder, that of one task's teacher included.
    pub fn of_name(name: &str) -> Option<Self> {
        let is = |known: &str| name == known || known == "teacher" && name.starts_with("teacher/");
        if let Some((id, ..)) = OF_THE_SEARCH.into_iter().find(|(_, known, _)| is(known)) {
            return Some(id);
        }
        let (folder, data) = name.rsplit_once('/')?;
        let (network, seed) = Network::of_folder(folder)?;
        match data {
            "general" => Some(Self::FinalOnText(network, seed)),
            "task" => Some(Self::FinalOnTasks(network, seed)),
            _ => None,
        }
    }

    /// Its name in events and messages, and of a training the folder of its checkpoints; where each task has a teacher,
    /// [`PhaseSpec::name`] has the task after a slash.
    pub fn name(self) -> String {
        match self {
            Self::FinalOnText(network, seed) => format!("{}/general", network.seed_folder(seed)),
            Self::FinalOnTasks(network, seed) => format!("{}/task", network.seed_folder(seed)),
            _ => self.of_search().map_or_else(String::new, |(name, _)| name.into()),
        }
    }

    /// What it is called in a report; the curves of one title are drawn together.
    pub fn title(self) -> &'static str {
        match self {
            Self::FinalOnText(..) => ON_TEXT,
            Self::FinalOnTasks(..) => ON_TASKS,
            _ => self.of_search().map_or("", |(_, title)| title),
        }
    }

    fn of_search(self) -> Option<(&'static str, &'static str)> {
        OF_THE_SEARCH.into_iter().find(|(id, ..)| *id == self).map(|(_, name, title)| (name, title))
    }

    /// The number of a stage of the search.
    pub fn stage(self) -> Option<u32> {
        if let Self::Stage(number) = self { Some(number) } else { None }
    }

    /// The stages of the search, in order.
    pub fn stages() -> impl Iterator<Item = (u32, Self)> {
        OF_THE_SEARCH.into_iter().filter_map(|(id, ..)| Some((id.stage()?, id)))
    }

    /// Which of the seeds of a final training it has, counted from 1; all other phases have the first.
    pub fn seed(self) -> u32 {
        match self {
            Self::FinalOnText(_, seed) | Self::FinalOnTasks(_, seed) => seed,
            _ => 1,
        }
    }

    /// What is trained in it.
    pub fn model(self) -> Model {
        match self {
            Self::Pretrain => Model::Pretrained,
            Self::Teacher => Model::Teacher,
            Self::WarmUp | Self::SupernetOnText | Self::SupernetOnTasks => Model::Largest,
            Self::Stage(_) => Model::Candidate,
            Self::FinalOnText(network, _) | Self::FinalOnTasks(network, _) => Model::Final(network),
        }
    }
}

/// What a phase trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// A teacher from scratch, which learns to find hidden words.
    Pretrained,
    /// A teacher.
    Teacher,
    /// The largest student, of which candidates are slices.
    Largest,
    /// One candidate after the other; none of them stays.
    Candidate,
    /// The winner, or what it is compared with.
    Final(Network),
}

/// What a training is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// Text.
    Text,
    /// The tasks' training examples, less those that are held out: to score candidates, and to choose the best weights of a training
    /// that is evaluated.
    Tasks,
}

impl Data {
    /// Whether it is text or tasks.
    pub fn source(self) -> Source {
        if self == Self::Text { Source::Text } else { Source::Tasks }
    }
}

/// One training of a phase.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingSpec<'a> {
    /// Key of its settings in the recipe.
    pub key: &'static str,
    /// These settings, as the training has them; without steps it is left out.
    pub settings: Cow<'a, Phase>,
    /// What it is shown.
    pub data: Data,
    /// What is learned from the teacher; `None` where it is the labels, or the words of the text.
    pub objective: Option<&'a Objective>,
    /// Whether the best weights on the held-out examples are kept, and scored on the dev sets.
    pub evaluated: bool,
}

/// A phase of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct PhaseSpec<'a> {
    /// Which one.
    pub id: PhaseId,
    /// Its name in events and messages; of a training also the folder of its checkpoints.
    pub name: String,
    /// Tasks whose examples it reads, unless it is on text alone.
    pub tasks: &'a [Task],
    /// Its training; of a stage those of each candidate, one after the other, or none.
    pub trainings: Vec<TrainingSpec<'a>>,
    /// Candidates of a stage.
    pub trials: Option<u64>,
}

/// What a run can be given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Input {
    /// The model, and its tokenizer, which encodes everything.
    Teacher,
    Task(Task),
    Corpus,
    /// The tokenizer that is learned from the corpus.
    LearnedTokenizer,
}

impl<'a> PhaseSpec<'a> {
    /// Its training; the first one of a stage's candidates.
    pub(crate) fn training(&self) -> Result<&TrainingSpec<'a>> {
        let none = || Error::Mismatch(format!("nothing is trained in the phase `{}`", self.name));
        self.trainings.first().ok_or_else(none)
    }

    pub(crate) fn training_on(&self, data: Data) -> Result<&TrainingSpec<'a>> {
        let none = || Error::Mismatch(format!("the phase `{}` has no training on {data:?}", self.name));
        self.trainings.iter().find(|training| training.data == data).ok_or_else(none)
    }

    /// Whether its result depends on `input`.
    pub(crate) fn reads(&self, input: &Input) -> bool {
        let training = |training: &TrainingSpec<'_>| match (input, training.data.source()) {
            (Input::Teacher | Input::LearnedTokenizer, _) => true,
            (Input::Task(task), Source::Tasks) => self.tasks.contains(task),
            (Input::Corpus, Source::Text) => true,
            _ => false,
        };
        let scores = matches!(input, Input::Task(task) if self.trials.is_some() && self.tasks.contains(task));
        // A teacher that is not trained is scored as it is.
        let works = |training: &&TrainingSpec<'_>| training.settings.train.steps > 0 || self.id == PhaseId::Teacher;
        scores || self.trainings.iter().filter(works).any(training)
    }

    /// Whether it leaves checkpoints in a folder of its name.
    pub(crate) fn has_checkpoints(&self) -> bool {
        self.trials.is_none()
    }
}

/// The phases of a run of `recipe`, in their order; those without steps are among them.
pub fn phases(recipe: &Recipe) -> Vec<PhaseSpec<'_>> {
    let (teacher, search, last) = (&recipe.teacher, &recipe.search, &recipe.final_);
    let phase =
        |id: PhaseId, trainings| PhaseSpec { id, name: id.name(), tasks: &recipe.tasks, trainings, trials: None };
    let tuning =
        |key, settings| vec![TrainingSpec { key, settings, data: Data::Tasks, objective: None, evaluated: true }];
    let pretraining = |settings| {
        let (key, settings) = ("teacher.pretrain", Cow::Borrowed(settings));
        let training = TrainingSpec { key, settings, data: Data::Text, objective: None, evaluated: false };
        PhaseSpec { tasks: &[], ..phase(PhaseId::Pretrain, vec![training]) }
    };
    let mut all: Vec<_> = teacher.pretrain.iter().map(pretraining).collect();
    all.extend(match teacher.per_task {
        false => vec![phase(PhaseId::Teacher, tuning("teacher.fine_tune", Cow::Borrowed(&teacher.fine_tune)))],
        true => {
            let of = |task: &Task| format!("{}/{}", PhaseId::Teacher.name(), task.name());
            let each = recipe.tasks.chunks(1).map(|tasks| PhaseSpec {
                name: of(&tasks[0]),
                tasks,
                ..phase(PhaseId::Teacher, tuning("teacher.fine_tune", Cow::Owned(teacher.fine_tune_on(&tasks[0]))))
            });
            each.collect()
        }
    });
    let distill = |key, data, objective, settings| TrainingSpec {
        key,
        settings,
        data,
        objective: Some(objective),
        evaluated: false,
    };
    let usual = |key, data, settings| distill(key, data, &recipe.distill, Cow::Borrowed(settings));
    let stage = |id, trials, trainings| PhaseSpec { trials: Some(trials), ..phase(id, trainings) };
    let (one, two, three) = (&search.stage1, &search.stage2, &search.stage3);
    let objective = recipe.final_objective();
    let of_stage_three = vec![
        usual("search.stage3.general", Data::Text, &three.general),
        usual("search.stage3.task", Data::Tasks, &three.task),
    ];
    all.extend([
        phase(PhaseId::WarmUp, vec![usual("warm_up", Data::Text, &recipe.warm_up)]),
        stage(
            PhaseId::Stage(1),
            one.trials,
            vec![
                usual("search.stage1.proxy.general", Data::Text, &one.proxy.general),
                usual("search.stage1.proxy.task", Data::Tasks, &one.proxy.task),
            ],
        ),
        stage(
            PhaseId::Stage(2),
            two.trials,
            vec![
                usual("search.stage2.proxy.general", Data::Text, &two.proxy.general),
                usual("search.stage2.proxy.task", Data::Tasks, &two.proxy.task),
            ],
        ),
        phase(PhaseId::SupernetOnText, of_stage_three[..1].to_vec()),
        phase(PhaseId::SupernetOnTasks, of_stage_three[1..].to_vec()),
        stage(PhaseId::Stage(3), three.trials, Vec::new()),
    ]);
    if search.encoder.is_some() {
        // Whole encoders are no slices of one largest student; each candidate of stage 3 is trained.
        all.retain(|phase| phase.id.model() != Model::Largest);
        for phase in all.iter_mut().filter(|phase| phase.id == PhaseId::Stage(3)) {
            phase.trainings.clone_from(&of_stage_three);
        }
    }
    for network in Network::of(recipe) {
        for seed in network.seeds(recipe) {
            let on_tasks = PhaseId::FinalOnTasks(network, seed);
            if let Network::Checkpoint(_) = network {
                all.push(phase(on_tasks, tuning("final.task", Cow::Borrowed(&last.task))));
                continue;
            }
            let general = match recipe.lacks_warm_up(network) {
                true => Cow::Owned(recipe.general_with_warm_up()),
                false => Cow::Borrowed(&last.general),
            };
            let on_text = distill("final.general", Data::Text, objective, general);
            let task = distill("final.task", Data::Tasks, objective, Cow::Borrowed(&last.task));
            all.push(phase(PhaseId::FinalOnText(network, seed), vec![on_text]));
            all.push(phase(on_tasks, vec![TrainingSpec { evaluated: true, ..task }]));
        }
    }
    all
}

/// The trainings of `phases` in their order, each with its phase.
pub(crate) fn trainings<'p, 'a>(
    phases: &'p [PhaseSpec<'a>],
) -> impl Iterator<Item = (&'p PhaseSpec<'a>, &'p TrainingSpec<'a>)> {
    phases.iter().flat_map(|phase| phase.trainings.iter().map(move |training| (phase, training)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::load;

    fn recipe(overrides: &[&str]) -> Recipe {
        load("smoke", &overrides.iter().map(|o| o.parse().unwrap()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn every_phase_is_found_by_the_name_it_has_in_a_run() {
        let everything =
            ["compare.same_latency=true", "compare.random=2", "compare.checkpoints=[\"m\"]", "compare.seeds=3"];
        let pretrain = ["teacher.pretrain={ steps = 1, batch_size = 1, learning_rate = 1e-3 }"];
        for recipe in [recipe(&[]), recipe(&["teacher.per_task=true"]), recipe(&everything), recipe(&pretrain)] {
            for phase in phases(&recipe) {
                assert_eq!(PhaseId::of_name(&phase.name), Some(phase.id), "{}", phase.name);
            }
        }
        for name in
            ["stage-4", "teachers", "final", "distill", "", "final/seed-x/task", "compare/random-/task", "compare/task"]
        {
            assert_eq!(PhaseId::of_name(name), None, "{name}");
        }
    }

    #[test]
    fn the_phases_of_a_recipe_follow_each_other_as_in_the_table() {
        let recipe = recipe(&["teacher.pretrain={ steps = 1, batch_size = 1, learning_rate = 1e-3 }"]);
        let listed: Vec<PhaseId> = phases(&recipe).iter().map(|phase| phase.id).collect();
        let last = [Network::Student, Network::SameParams]
            .map(|network| [PhaseId::FinalOnText(network, 1), PhaseId::FinalOnTasks(network, 1)]);
        let expected = OF_THE_SEARCH.map(|(id, ..)| id).into_iter().chain(last.into_iter().flatten());
        assert_eq!(listed, expected.collect::<Vec<_>>());
        assert_eq!(PhaseId::stages().map(|(number, _)| number).collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn the_key_of_a_training_is_where_the_recipe_has_its_settings() {
        let recipe = recipe(&["compare.same_params=false"]);
        let table: toml::Table = recipe.to_toml().unwrap().parse().unwrap();
        let all = phases(&recipe);
        for (phase, training) in trainings(&all) {
            let root = toml::Value::Table(table.clone());
            let found = training.key.split('.').try_fold(&root, |value, part| value.get(part)).expect(training.key);
            let settings: Phase = found.clone().try_into().unwrap();
            assert_eq!(settings, *training.settings, "{}: {}", phase.name, training.key);
        }
    }

    #[test]
    fn what_a_phase_reads_follows_from_its_trainings() {
        let recipe = recipe(&["teacher.per_task=true", "search.stage2.proxy.general.steps=0"]);
        let all = phases(&recipe);
        let (first, second) = (recipe.tasks[0].clone(), recipe.tasks[1].clone());
        let readers = |input: Input| -> Vec<&str> {
            all.iter().filter(|phase| phase.reads(&input)).map(|phase| phase.name.as_str()).collect()
        };
        let on_text =
            ["supernet/warm-up", "stage-1", "supernet/general", "final/general", "compare/same-params/seed-1/general"];
        assert_eq!(readers(Input::Corpus), on_text);
        let of_first = readers(Input::Task(first));
        assert!(of_first.contains(&all[0].name.as_str()) && !of_first.contains(&all[1].name.as_str()), "{of_first:?}");
        assert!(readers(Input::Task(second)).contains(&"stage-3"));
        assert!(!readers(Input::Teacher).contains(&"stage-3"), "the supernet alone is scored");
    }
}
