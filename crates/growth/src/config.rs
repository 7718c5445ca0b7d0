//! The operators, as a recipe names them.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Which small layer a layer of the large model comes from. With `l` small layers and `L` large ones, from 0:
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// `i mod l`: the stack of layers stands on itself (Gong et al. 2019, Gu et al. 2021).
    #[default]
    Stack,
    /// `floor(i l / L)`: each layer is followed by its copies.
    Interleave,
    /// `min(i, l - 1)`: the last layer is followed by its copies.
    CopyLast,
}

/// What the layers are whose small layer has stood below already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NewLayers {
    /// Copies. The model computes something else than before.
    #[default]
    Copied,
    /// Copies whose last linear maps are 0, so that they pass on what they get. The model computes the same: exactly where norms come
    /// first, else up to the epsilon of LayerNorm (`docs/design/growth.md`). Their moments begin at 0.
    Identity,
}

/// Which channels are copied once more where the large width is no multiple of the small one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Copies {
    /// The first ones.
    #[default]
    First,
    /// Drawn by [`Growth::seed`], none twice, anew for each feed-forward and each attention.
    Random,
}

/// What happens to a width that a LayerNorm goes over and that does not grow by a whole factor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HiddenWidth {
    /// An error: with channels that stand there unequally often, mean and variance are others.
    #[default]
    Exact,
    /// Some channels are copied once more, and maps that read them divide by the number of copies (bert2BERT's function-preserving
    /// initialization, Chen et al. 2022, whose function is not preserved by LayerNorm). Near the small model, and not equal to it.
    Approximate,
}

/// How a model grows. What grows follows from the two configurations; this says how, where there are several ways.
///
/// In a recipe, with every default: `{ depth = "stack", new_layers = "copied", copies = "first", hidden = "exact", noise = 0.0, seed = 0 }`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Growth {
    /// Order of the layers.
    pub depth: Depth,
    /// What new layers are.
    pub new_layers: NewLayers,
    /// Channels that are copied once more.
    pub copies: Copies,
    /// Widths that LayerNorm goes over.
    pub hidden: HiddenWidth,
    /// Standard deviation of what is added to copies of channels in matrices, in units of the matrix's root mean square; 0: nothing. Copies
    /// that are equal have equal gradients, and stay equal in a training without dropout.
    pub noise: f64,
    /// Of [`Copies::Random`] and of the noise.
    pub seed: u64,
}

impl Growth {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`Error::Noise`].
    pub fn validate(&self) -> Result<()> {
        match self.noise >= 0.0 && self.noise.is_finite() {
            true => Ok(()),
            false => Err(Error::Noise { noise: self.noise }),
        }
    }
}

/// What the tensors are that grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Weights.
    Weights,
    /// Running means of gradients, Adam's `m`; gradients grow alike.
    FirstMoment,
    /// Running means of squared gradients, Adam's `v`.
    SecondMoment,
}
