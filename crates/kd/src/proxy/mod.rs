//! Zero-cost proxies: scores of a network that no training has touched, by which candidates of a search may be ordered.
//!
//! | file | proxy |
//! |---|---|
//! | `w_pca` | parameters times principal components of the feed-forwards (Wang et al. 2025) |
//! | `weights` | statistics of the weight matrices: nuclear norms (after ZeroLM, Chen et al. 2025), stable ranks |
//!
//! Each is a function of the weights, and W-PCA of texts too. The number of parameters is the control: a proxy that does not order networks
//! better than their size does is worth nothing, and many published ones don't (Chen et al. 2025, arXiv 2503.18646).

mod w_pca;
mod weights;

use bert_core::TaskModel;
use encoder_spec::{Encoder, Shape};

pub use w_pca::{VARIANCE_SHARE, principal_components};
pub use weights::{BALANCE, nuclear_norm, stable_rank};

use crate::Result;
use crate::from_teacher::Sample;

/// A zero-cost proxy; the higher the score, the better the network is said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Proxy {
    /// Number of parameters without the distillation projection: the control.
    Parameters,
    /// W-PCA: [`Proxy::Parameters`] times [`principal_components`].
    WPca,
    /// [`nuclear_norm`] of attention and feed-forwards in equal parts, the form of ZeroLM.
    NuclearNorm,
    /// [`stable_rank`].
    StableRank,
}

impl Proxy {
    /// All of them, the control first.
    pub const ALL: [Self; 4] = [Self::Parameters, Self::WPca, Self::NuclearNorm, Self::StableRank];

    /// `parameters`, `w-pca`, `nuclear-norm`, `stable-rank`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parameters => "parameters",
            Self::WPca => "w-pca",
            Self::NuclearNorm => "nuclear-norm",
            Self::StableRank => "stable-rank",
        }
    }

    /// Whether the score depends on the weights, rather than on the network's sizes alone.
    pub fn reads_weights(self) -> bool {
        self != Self::Parameters
    }

    /// The score of `model`, which `spec` describes; `sample` is what it is shown.
    ///
    /// # Errors
    /// As [`principal_components`].
    pub fn score(self, model: &TaskModel, spec: &Encoder<Shape>, sample: &Sample) -> Result<f64> {
        // The length decides computation alone, not parameters.
        let parameters = || spec.count(1).params_without_fit() as f64;
        Ok(match self {
            Self::Parameters => parameters(),
            Self::WPca => parameters() * principal_components(model, spec, sample, VARIANCE_SHARE)? as f64,
            Self::NuclearNorm => nuclear_norm(model, BALANCE),
            Self::StableRank => stable_rank(model),
        })
    }
}
