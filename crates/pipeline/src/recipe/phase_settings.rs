//! Settings that a training takes from others, and all of them to be changed; the list of them is
//! [`phases`](crate::phase::phases).

use kd::objective::Objective;

use super::{Phase, Recipe};
use crate::phase::Network;

impl Recipe {
    /// What the winner learns, and what it is compared with.
    pub(crate) fn final_objective(&self) -> &Objective {
        self.final_.distill.as_ref().unwrap_or(&self.distill)
    }

    /// Whether the weights that the final training of `network` begins with have been through the warm-up: those of a uniform plain
    /// network never have.
    pub(crate) fn starts_with_warm_up(&self, network: Network) -> bool {
        match network {
            Network::Student | Network::Random(_) => true,
            Network::SameParams | Network::SameLatency | Network::Checkpoint(_) => false,
        }
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
