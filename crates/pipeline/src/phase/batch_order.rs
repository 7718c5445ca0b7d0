//! Which batches the teacher is shown more than once in a run.

use kd::cache::Expected;
use kd::objective::{Objective, Source};
use train::engine::Precision;

use super::{Data, PhaseId, PhaseSpec, TrainingSpec, trainings};
use crate::recipe::Recipe;

/// Everything that two trainings must share to show the teacher the same batches and to ask it the same.
#[derive(Debug, PartialEq)]
struct BatchOrder<'a> {
    data: Data,
    batch_size: usize,
    length_window: Option<usize>,
    accumulate: u32,
    max_len: usize,
    precision: Option<Precision>,
    /// Final trainings with another seed go through other batches.
    seed: u32,
    objective: &'a Objective,
}

#[derive(Debug)]
struct Distillation<'a> {
    phase: PhaseId,
    training: &'a TrainingSpec<'a>,
    order: BatchOrder<'a>,
    /// Trainings of this phase that go through the order.
    times: u64,
}

/// The first batches of an order, which several trainings see.
#[derive(Debug)]
pub(super) struct Shared<'a> {
    /// A training that goes through the order.
    pub training: &'a TrainingSpec<'a>,
    /// How many batches are seen so often.
    pub batches: u64,
}

/// The distillations of a run as they follow each other, with the order of their batches.
#[derive(Debug)]
pub(super) struct BatchOrders<'a>(Vec<Distillation<'a>>);

impl<'a> BatchOrders<'a> {
    pub(super) fn of(recipe: &Recipe, phases: &'a [PhaseSpec<'a>]) -> Self {
        let distillation = |(phase, training): (&PhaseSpec<'a>, &'a TrainingSpec<'a>)| {
            let (settings, times) = (&training.settings, phase.trials.unwrap_or(1));
            let objective = training.objective.filter(|_| settings.train.steps > 0 && times > 0)?;
            let (data, length_window, precision) = (training.data, settings.length_window, settings.precision);
            let max_len = if settings.max_len == 0 { recipe.max_len } else { settings.max_len };
            let (batch_size, accumulate) = (settings.batch_size, settings.train.accumulate);
            let seed = phase.id.seed();
            let order = BatchOrder { data, batch_size, length_window, accumulate, max_len, precision, seed, objective };
            Some(Distillation { phase: phase.id, training, order, times })
        };
        Self(trainings(phases).filter_map(distillation).collect())
    }

    /// What is known about the batches of a phase's distillation on `source`; `None` where no other training sees them.
    pub(super) fn expected(&self, phase: PhaseId, source: Source) -> Option<Expected> {
        let here = self.0.iter().position(|l| l.phase == phase && l.training.data.source() == source)?;
        let first = self.first(here);
        let later = self.0[here + 1..].iter().filter(|l| l.order == self.0[here].order).map(|l| l.times).sum::<u64>();
        let again = self.0[here].times - 1 + later;
        (again > 0 || first < here).then_some(Expected { again, order: 1 + first as u64 })
    }

    /// What at least `times` trainings see, of every order: all begin with its first batch, and the shorter ones end sooner.
    pub(super) fn shared(&self, times: u64) -> Vec<Shared<'a>> {
        let of_order = |(at, one): (usize, &Distillation<'a>)| {
            if self.first(at) != at {
                return None;
            }
            let mut trainings: Vec<(u64, u64)> = self
                .0
                .iter()
                .filter(|l| l.order == one.order)
                .map(|l| (l.training.settings.train.steps, l.times))
                .collect();
            trainings.sort_unstable_by_key(|&(steps, _)| std::cmp::Reverse(steps));
            let mut reached = 0;
            let batches = trainings.into_iter().find_map(|(steps, n)| {
                reached += n;
                (reached >= times).then_some(steps)
            })?;
            Some(Shared { training: one.training, batches })
        };
        self.0.iter().enumerate().filter_map(of_order).collect()
    }

    /// The orders that nobody goes through after a phase.
    pub(super) fn over_after(&self, phase: PhaseId) -> Vec<u64> {
        let of_phase = (0..self.0.len()).filter(|&i| self.0[i].phase == phase);
        let last = |&i: &usize| self.0[i + 1..].iter().all(|l| l.phase == phase || l.order != self.0[i].order);
        of_phase.filter(last).map(|i| 1 + self.first(i) as u64).collect()
    }

    /// Where the order of a distillation comes first.
    fn first(&self, at: usize) -> usize {
        self.0.iter().position(|l| l.order == self.0[at].order).unwrap_or(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phase::phases;
    use crate::recipe::{Override, load};

    fn recipe(overrides: &[&str]) -> Recipe {
        let overrides: Vec<Override> = overrides.iter().map(|o| o.parse().unwrap()).collect();
        load("smoke", &overrides).unwrap()
    }

    fn again(recipe: &Recipe, phase: &str, source: Source) -> Option<u64> {
        BatchOrders::of(recipe, &phases(recipe)).expected(id(phase), source).map(|e| e.again)
    }

    fn id(phase: &str) -> PhaseId {
        PhaseId::of_name(phase).expect(phase)
    }

    #[test]
    fn candidates_share_their_batches_over_both_stages_and_with_the_supernet() {
        let recipe = recipe(&[]);
        let of = |phase, source| again(&recipe, phase, source);
        // 4 trials, 3 trials and the supernet's training on the tasks.
        assert_eq!(of("stage-1", Source::Tasks), Some(3 + 3 + 1));
        assert_eq!(of("stage-2", Source::Tasks), Some(2 + 1));
        assert_eq!(of("supernet/task", Source::Tasks), Some(0), "looked up, not kept");
        // Text of batch size 8 and of 16.
        assert_eq!(of("stage-1", Source::Text), Some(3 + 1));
        assert_eq!(of("stage-2", Source::Text), None, "no steps");
        assert_eq!(of("supernet/warm-up", Source::Text), Some(2), "winner and baseline");
        assert_eq!(of("final/task", Source::Tasks), Some(1), "the baseline");
        assert_eq!(of("compare/same-params/seed-1/task", Source::Tasks), Some(0));
    }

    #[test]
    fn what_no_other_training_sees_is_left_to_the_teacher() {
        let alone = recipe(&["compare.same_params=false", "warm_up.batch_size=12", "final.general.max_len=16"]);
        for phase in ["supernet/warm-up", "final/general"] {
            assert_eq!(again(&alone, phase, Source::Text), None, "{phase}");
        }
        assert_eq!(again(&alone, "final/task", Source::Tasks), None);
        let other = recipe(&["search.stage3.task.accumulate=2", "search.stage2.proxy.task.precision=bf16"]);
        assert_eq!(again(&other, "supernet/task", Source::Tasks), None, "parts are other batches");
        assert_eq!(again(&other, "stage-1", Source::Tasks), Some(3), "other numbers");
        let learned = recipe(&["final.distill.preset=minilm"]);
        assert_eq!(again(&learned, "supernet/warm-up", Source::Text), None, "other layers are asked for");
    }

    #[test]
    fn the_batches_that_several_trainings_see_are_those_before_the_end_of_the_shortest_of_them() {
        let of = |recipe: &Recipe, times: u64| -> Vec<(Data, u64)> {
            let phases = phases(recipe);
            let shared = BatchOrders::of(recipe, &phases).shared(times);
            shared.into_iter().map(|s| (s.training.data, s.batches)).collect()
        };
        let pocket = load("pocket", &[]).unwrap();
        // Text: warm-up 300 steps, supernet 150, winner 200, plain network 500. Tasks: 20 candidates 60, supernet 400; at the end twice 1800.
        assert_eq!(of(&pocket, 2), [(Data::Text, 300), (Data::Tasks, 1800)]);
        assert_eq!(of(&pocket, 4), [(Data::Text, 150), (Data::Tasks, 60)]);
        assert_eq!(of(&pocket, 5), [(Data::Tasks, 60)]);
        assert_eq!(of(&pocket, 23), [(Data::Tasks, 60)]);
        assert_eq!(of(&pocket, 24), []);
    }

    #[test]
    fn an_order_is_over_after_the_last_phase_that_goes_through_it() {
        let recipe = recipe(&[]);
        let phases = phases(&recipe);
        let orders = BatchOrders::of(&recipe, &phases);
        let order = |phase, source| orders.expected(id(phase), source).unwrap().order;
        let over_after = |phase| orders.over_after(id(phase));
        assert!(over_after("stage-1").is_empty(), "stage 2 and the supernet follow");
        assert_eq!(over_after("supernet/general"), [order("stage-1", Source::Text)]);
        assert_eq!(over_after("supernet/task"), [order("stage-1", Source::Tasks)]);
        assert!(over_after("final/task").is_empty());
        assert_eq!(over_after("compare/same-params/seed-1/general"), [order("supernet/warm-up", Source::Text)]);
        assert_eq!(over_after("compare/same-params/seed-1/task"), [order("final/task", Source::Tasks)]);
    }
}
