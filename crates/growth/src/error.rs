//! What cannot be grown.

use crate::Quantity;

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a model cannot grow into another one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One of the two configurations describes no encoder.
    #[error("the {which} model: {source}")]
    Config {
        /// "small" or "large".
        which: &'static str,
        /// What is wrong with it.
        source: encoder_spec::Error,
    },
    /// A value that has to stay as it is.
    #[error("`{field}` has to be the same in both models; it is {small} in the small one and {large} in the large one")]
    Differs {
        /// Key of the configuration.
        field: &'static str,
        /// Value of the small model.
        small: String,
        /// Value of the large model.
        large: String,
    },
    /// The large model is smaller.
    #[error("{what}: {large} is less than the {small} of the small model; models grow, they do not shrink")]
    Shrinks {
        /// The size.
        what: String,
        /// Of the small model.
        small: usize,
        /// Of the large model.
        large: usize,
    },
    /// Heads of another width.
    #[error(
        "layer {layer}: a head is {small} wide in the small model and {large} in the large one; heads keep their width, so the large model needs \
         {needed} heads"
    )]
    HeadWidth {
        /// The layer of the large model, from 1.
        layer: usize,
        /// Of the small model.
        small: usize,
        /// Of the large model.
        large: usize,
        /// Heads of this layer at the small model's head width, rounded down.
        needed: usize,
    },
    /// A width that LayerNorm goes over, and that does not grow by a whole factor.
    #[error(
        "{what}: {large} is no multiple of {small}, so that a LayerNorm over it cannot keep its mean and variance; take a multiple, or set \
         `hidden = \"approximate\"`, which changes what the model computes"
    )]
    Uneven {
        /// The width.
        what: String,
        /// Of the small model.
        small: usize,
        /// Of the large model.
        large: usize,
    },
    /// A layer that does not go together with the one that it comes from.
    #[error("layer {layer} comes from layer {source_layer} of the small model: {message}")]
    Layer {
        /// The layer of the large model, from 1.
        layer: usize,
        /// The layer of the small model, from 1.
        source_layer: usize,
        /// What differs.
        message: String,
    },
    /// A part for which there is no operator.
    #[error("{part} cannot grow: {message}")]
    NoOperator {
        /// The part.
        part: String,
        /// Why, and what can be done.
        message: String,
    },
    /// The noise is no usable number.
    #[error("`noise` must be at least 0, is {noise}")]
    Noise {
        /// What it is.
        noise: f64,
    },
    /// A growth that cannot be learned.
    #[error("this growth cannot be learned (`ligo`): {message}")]
    Unlearnable {
        /// Why, and what can be done.
        message: String,
    },
    /// A matrix of a learned growth, or a gradient, that does not fit.
    #[error("learned growth: the {what} `{name}` {message}")]
    Learned {
        /// "parameter" or "gradient".
        what: &'static str,
        /// Its name or path.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// The training of a learned growth has an unusable number.
    #[error("`{field}` of `ligo` is {found}; it has to be {needed}")]
    LigoConfig {
        /// Key of the recipe.
        field: &'static str,
        /// What it is.
        found: String,
        /// What it has to be.
        needed: &'static str,
    },
    /// A tensor that the small model does not have.
    #[error("`{path}` is no weight of the small model")]
    Extra {
        /// Its path.
        path: String,
    },
    /// A weight of the small model that was not given.
    #[error("the small model's weight `{path}` is missing")]
    Missing {
        /// Its path.
        path: String,
    },
    /// A tensor of another shape than the small model's configuration says.
    #[error("`{path}` has the shape {found:?}, and the small model's configuration says {expected:?}")]
    Shape {
        /// Its path.
        path: String,
        /// What it is.
        found: Vec<usize>,
        /// What it should be.
        expected: Vec<usize>,
    },
    /// A second moment below 0, or a value that is infinite or NaN.
    #[error("`{path}` holds {value}, which is no {}", match quantity {
        Quantity::Weights => "weight",
        Quantity::FirstMoment => "first moment",
        Quantity::SecondMoment => "second moment",
    })]
    Value {
        /// The tensor's path.
        path: String,
        /// The value.
        value: f32,
        /// What it should be.
        quantity: Quantity,
    },
    /// The tensors of a file are not those of the model.
    #[error(transparent)]
    Tensors(#[from] model_dir::Error),
}
