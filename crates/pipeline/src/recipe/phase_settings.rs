//! Settings that a training takes from others, and all of them to be changed; the list of them is
//! [`phases`](crate::phase::phases).

use kd::objective::Objective;

use super::{Begin, Inherit, Phase, Recipe};
use crate::phase::Network;

impl Recipe {
    /// What the winner learns, and what it is compared with.
    pub(crate) fn final_objective(&self) -> &Objective {
        self.final_.distill.as_ref().unwrap_or(&self.distill)
    }

    /// Where the weights of `network` come from before its final training. For a uniform plain network, of which no supernet has slices, that is
    /// `compare.inherit`, or if the recipe does not say it the teacher where the student's weights come from it too.
    pub(crate) fn inherit(&self, network: Network) -> Inherit {
        let own = self.final_.inherit;
        let from_teacher = own == Inherit::Teacher || own != Inherit::Nothing && self.student.begin == Begin::Teacher;
        match network {
            Network::Student | Network::Small | Network::Middle | Network::Random(_) | Network::BestRandom => own,
            Network::Checkpoint(_) => Inherit::Nothing,
            Network::SameParams | Network::SameLatency => {
                self.compare.inherit.unwrap_or(if from_teacher { Inherit::Teacher } else { Inherit::Nothing })
            }
        }
    }

    /// Whether the student has been through the warm-up, and `network` has not.
    pub(crate) fn lacks_warm_up(&self, network: Network) -> bool {
        let has = |network| matches!(self.inherit(network), Inherit::WarmUp | Inherit::Supernet);
        has(Network::Student) && !has(network)
    }

    /// Whether any student of the run begins as its teacher.
    pub(crate) fn begins_as_teacher(&self) -> bool {
        self.student.begin == Begin::Teacher
            || Network::of(self).into_iter().any(|n| self.inherit(n) == Inherit::Teacher)
    }

    /// The final training on text with the warm-up's steps added, which the winner had through its weights.
    pub(crate) fn general_with_warm_up(&self) -> Phase {
        self.final_.general.with_steps(self.final_.general.train.steps + self.warm_up.train.steps)
    }

    /// The seed of the order of examples in a final training, of which there are several, counted from 1.
    pub(crate) fn order_seed(&self, seed: u32) -> u64 {
        use rand::RngCore;
        match seed {
            1 => self.seed,
            _ => run_store::rng::keyed(self.seed, "final training", &[u64::from(seed)]).next_u64(),
        }
    }

    /// The settings of every training on text.
    fn on_text(&mut self) -> [&mut Phase; 5] {
        let s = &mut self.search;
        [
            &mut self.warm_up,
            &mut s.stage1.proxy.general,
            &mut s.stage2.proxy.general,
            &mut s.stage3.general,
            &mut self.final_.general,
        ]
    }

    /// Whether any training is on text.
    pub(crate) fn reads_text(&self) -> bool {
        let s = &self.search;
        let all =
            [&self.warm_up, &s.stage1.proxy.general, &s.stage2.proxy.general, &s.stage3.general, &self.final_.general];
        self.teacher.pretrain.is_some() || all.iter().any(|phase| phase.train.steps > 0)
    }

    /// The recipe without its trainings on text.
    #[must_use]
    pub fn without_text(mut self) -> Self {
        self.on_text().into_iter().for_each(|phase| phase.train.steps = 0);
        self.teacher.pretrain = None;
        self
    }

    /// The settings of every training, to be changed.
    pub(super) fn phases_mut(&mut self) -> impl Iterator<Item = &mut Phase> {
        let s = &mut self.search;
        let always = [
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
        ];
        always.into_iter().chain(&mut self.teacher.pretrain)
    }
}
