//! What a BERT-family encoder is: configuration, embedding, attention, feed-forwards, heads,
//! weights in and out, parameter and MAC counts.
//!
//! The encoder is generic over its feed-forward ([`FeedForward`]), so that BERT, TinyBERT,
//! MobileBERT and the searched students of EfficientBERT share every other part.
//! Devices are chosen at run time; there is no backend type parameter (burn 0.22).

mod attention;
mod batch;
mod count;
mod embeddings;
mod encoder;
mod error;
mod feed_forward;
mod heads;
pub mod init;
mod layer;
mod norm;
pub mod weights;

pub use attention::{Attention, AttentionOutput, Keep};
pub use batch::TokenBatch;
pub use count::{Count, CountPart, PartCount, count_parts, encoder_macs};
pub use embeddings::Embeddings;
pub use encoder::{Bert, BertEncoder, EncodeOptions, Encoder, EncoderOutput};
pub use encoder_spec::{
    Activation, AttentionInput, BertConfig, BottleneckConfig, LayerSpec, ModelType, NormKind, PRESETS, TaskHeadConfig,
    TaskHeadKind, preset,
};
pub use error::{Error, Result};
pub use feed_forward::{FeedForward, PlainFfn, StackedFfn};
pub use heads::{MlmHead, TaskHead, TaskModel};
pub use layer::{Bottleneck, EncoderLayer};
pub use norm::Norm;
