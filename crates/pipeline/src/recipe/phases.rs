//! Settings that a training takes from others, and all of them to be changed; the list of them is
//! [`phases`](crate::phase::phases).

use kd::objective::Objective;

use super::{Begin, Inherit, Phase, Recipe};

impl Recipe {
    /// What the winner and the baseline learn.
    pub(crate) fn final_objective(&self) -> &Objective {
        self.final_.distill.as_ref().unwrap_or(&self.distill)
    }

    /// The baseline's training on text: the winner's with the warm-up's steps added, which the winner had through its weights.
    pub(crate) fn baseline_general(&self) -> Phase {
        self.final_.general.with_steps(self.final_.general.train.steps + self.warm_up.train.steps)
    }

    /// Where the uniform baseline's weights come from: if the recipe does not say it, the student's own start, so that the comparison is fair.
    pub(crate) fn baseline_inherit(&self) -> Inherit {
        let from_teacher = self.final_.inherit == Inherit::Teacher
            || self.final_.inherit != Inherit::Nothing && self.student.begin == Begin::Teacher;
        self.final_.baseline_inherit.unwrap_or(if from_teacher { Inherit::Teacher } else { Inherit::Nothing })
    }

    /// Whether any student of the run begins as its teacher.
    pub(crate) fn begins_as_teacher(&self) -> bool {
        let last = self.final_.inherit == Inherit::Teacher;
        last || self.student.begin == Begin::Teacher
            || self.final_.baseline && self.baseline_inherit() == Inherit::Teacher
    }

    /// The settings of every training, to be changed.
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
