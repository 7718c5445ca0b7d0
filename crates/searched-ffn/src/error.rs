//! What can go wrong between the search space and a model.

/// Errors of building, activating and inheriting searched feed-forwards.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A layer's entry in the configuration is not usable.
    #[error("layer {layer}: {message}")]
    Layer {
        /// The layer, counted from 1.
        layer: usize,
        /// What is wrong with it.
        message: String,
    },
    /// A tensor cannot be cut out of the source model.
    #[error("tensor `{name}` of shape {expected:?} cannot be cut out of the source, which has {}", describe(found.as_deref()))]
    Inherit {
        /// Module path of the tensor.
        name: String,
        /// Shape that the target needs.
        expected: Vec<usize>,
        /// Shape in the source; `None` where the source lacks it.
        found: Option<Vec<usize>>,
    },
    /// Weights and configuration that are to be saved together do not belong together.
    #[error("model and configuration disagree: the configuration asks for {expected}, the model has {found}")]
    Disagree {
        /// Tensor name and shape, or "nothing of that name".
        expected: String,
        /// Tensor name and shape, or "nothing of that name".
        found: String,
    },
    /// The layers do not make an architecture.
    #[error(transparent)]
    Space(#[from] mlp_space::Error),
    /// The encoder cannot be built.
    #[error(transparent)]
    Core(#[from] bert_core::Error),
    /// A file cannot be read or written, or does not hold what the model needs.
    #[error(transparent)]
    Files(#[from] model_dir::Error),
    /// The configuration is not valid.
    #[error(transparent)]
    Spec(#[from] encoder_spec::Error),
    /// The model cannot be compiled for inference.
    #[error(transparent)]
    Frozen(#[from] cpu_runtime::Error),
}

fn describe(found: Option<&[usize]>) -> String {
    found.map_or_else(|| "no such tensor".into(), |shape| format!("shape {shape:?}"))
}
