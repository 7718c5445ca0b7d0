//! What a BERT-family encoder is: configuration, embedding, attention, feed-forwards, heads,
//! weights in and out, parameter and MAC counts.
//!
//! BERT, TinyBERT, MobileBERT, ModernBERT and the searched students of EfficientBERT are one [`TaskModel`]: the configuration says what their
//! feed-forwards compute ([`FeedForward`]), everything else they share.
//! Devices are chosen at run time; there is no backend type parameter (burn 0.22).

/// The example of the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod attention;
mod batch;
mod directory;
mod embeddings;
mod encoder;
mod error;
mod feed_forward;
mod freeze;
mod heads;
pub mod init;
mod layer;
mod leading_slices;
mod norm;
mod pooled;
mod program;
mod ragged;
mod rotary;
mod spec;
mod task_model;
pub mod weights;

pub use attention::{Attention, AttentionOptions, AttentionOutput};
pub use batch::TokenBatch;
pub use directory::ModelDir;
pub use embeddings::Embeddings;
pub use encoder::{BertEncoder, EncodeOptions, EncoderOutput};
pub use encoder_spec::{
    Activation, AttentionInput, AttentionShape, BertConfig, BottleneckConfig, Cost, Count, CountPart, LayerParts,
    LayerSpec, ModelType, NormKind, PRESETS, Parts, Pooling, TaskHeadConfig, TaskHeadKind, VectorConfig, architecture,
    feed_forwards, layer_parts, layer_specs, layered_config, preset, student_config, student_frame,
    supernet_architecture, transferred_config,
};
pub use error::{Error, Result};
pub use feed_forward::{FeedForward, FeedForwardBlock};
pub use freeze::freeze;
pub use heads::{MlmHead, PredictionHead, TaskHead, to_unit_length};
pub use layer::{Bottleneck, EncoderLayer};
pub use leading_slices::{LayerSource, inherit, inherit_encoder};
pub use model_dir::{CONFIG_FILE, Package, TOKENIZER_FILES, WEIGHTS_FILE, usable};
pub use norm::Norm;
pub use pooled::{PoolBy, Pooled};
pub use ragged::{Kept, LAYERS_TO_DROP, RaggedBatch, length};
pub use task_model::TaskModel;
