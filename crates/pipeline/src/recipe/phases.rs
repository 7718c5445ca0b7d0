//! The trainings of a recipe.

use kd::objective::{Objective, Source};

use super::{Phase, Recipe};

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
    /// All of them, with their keys.
    pub(crate) fn phases(&self) -> Vec<(&'static str, &Phase)> {
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
    pub(crate) fn text_phases(&self) -> Vec<(&'static str, &Phase)> {
        let on_text =
            |(key, phase): &(&str, &Phase)| phase.train.steps > 0 && (*key == "warm_up" || key.ends_with(".general"));
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
            .map(|(k, p)| of(k, p.train.steps))
            .collect();
        if self.final_.baseline {
            all.push(of("final.general", self.baseline_general().train.steps));
        }
        all.retain(|d| d.steps > 0);
        all
    }

    /// What the winner and the baseline learn.
    pub(crate) fn final_objective(&self) -> &Objective {
        self.final_.distill.as_ref().unwrap_or(&self.distill)
    }

    /// The baseline's training on text: the winner's with the warm-up's steps added, which the winner had through its weights.
    pub(crate) fn baseline_general(&self) -> Phase {
        self.final_.general.with_steps(self.final_.general.train.steps + self.warm_up.train.steps)
    }

    /// The same, to be changed.
    pub(super) fn phases_mut(&mut self) -> [&mut Phase; 10] {
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
}
