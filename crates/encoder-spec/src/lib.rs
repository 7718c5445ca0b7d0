//! What an encoder of the BERT family is, described once and without tensors.
//!
//! An [`Encoder<W>`] lists the parts of an encoder; `W` stands for a weight: a [`Shape`] for checks and counts, a name for reading and
//! writing, values ([`MappedTensor`]) for running it. All that runs, trains, counts, stores or exports an encoder is made from it, or
//! held to it by a test.
//!
//! | file | concern |
//! |---|---|
//! | `encoder` | the parts |
//! | `walk` | all weights with their paths |
//! | `program` | what a block of a feed-forward computes |
//! | `check` | whether the parts fit |
//! | `count` | parameters and multiply-adds |
//! | `config/` | `config.json` |
//! | `describe` | from a configuration to an encoder |
//! | `families/` | what each family's files mean and are called |
//! | `foreign/` | models of other families that become BERTs |
//! | `names` | from paths to names of tensors |
//! | `presets` | published configurations |
//! | `floats`, `tensor` | values, owned or in mapped memory |

/// The example of the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod activation;
mod check;
mod config;
mod count;
mod describe;
mod encoder;
mod error;
mod families;
mod floats;
mod foreign;
mod names;
mod parts;
mod precision;
mod presets;
mod program;
mod tensor;
mod walk;

pub use activation::Activation;
pub use config::{
    AttentionInput, BertConfig, BottleneckConfig, LayerSpec, NormKind, NumberScale, Pooling, QUANT_METHOD,
    TaskHeadConfig, TaskHeadKind, VectorConfig,
};
pub use count::{Count, CountPart};
pub use encoder::{
    Attention, AttentionSource, Block, Bottleneck, Embedding, Encoder, FeedForward, Head, Layer, Linear, MlmHead, Norm,
    Normalization, Projection, Rotary, Shape, Shaped, Transform,
};
pub use error::{Error, Result};
pub use families::ModelType;
pub use families::efficientbert::{
    architecture, feed_forwards, layer_specs, student_config, student_frame, supernet_architecture, transferred_config,
};
pub use families::layer_parts::{AttentionShape, LayerParts, layer_parts, layered_config};
pub use families::modernbert::ModernBertConfig;
pub use floats::Floats;
pub use foreign::{Converted, ForeignError, ForeignModel};
pub use mlp_space::Cost;
pub use names::NameFormat;
pub use parts::Parts;
pub use precision::Precision;
pub use presets::{PRESETS, preset};
pub use program::{Program, Step, WidthMismatch};
pub use tensor::{HostTensor, MappedTensor, Stored, Tensor};
