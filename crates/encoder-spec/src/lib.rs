//! What an encoder of the BERT family is, without tensors.

mod activation;
mod config;
mod error;
mod families;
mod floats;
mod names;
mod parts;
mod presets;
mod tensor;

pub use activation::Activation;
pub use config::{
    AttentionInput, BertConfig, BottleneckConfig, LayerSpec, ModelType, NormKind, TaskHeadConfig, TaskHeadKind,
};
pub use error::{Error, Result};
pub use families::efficientbert::{
    align, architecture, layer_specs, student_config, student_frame, supernet_architecture, transferred_config,
};
pub use floats::Floats;
pub use names::NameFormat;
pub use parts::Parts;
pub use presets::{PRESETS, preset};
pub use tensor::{HostTensor, MappedTensor, Stored, Tensor};
