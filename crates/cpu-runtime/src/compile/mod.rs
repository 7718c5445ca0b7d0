//! From a network to steps and packed weights.

mod block;
mod builder;
mod layer;

use std::collections::BTreeSet;
use std::path::Path;

use cpu_kernels::elementwise::Activation;
use cpu_kernels::matmul::{Precision as Format, Weights};
use encoder_spec::{
    BertConfig, Embedding, Encoder, Floats, Head, Layer, MappedTensor, Pooling, Precision, Projection, TaskHeadKind,
    Transform,
};
use model_dir::ModelDir;
use rayon::prelude::*;

use crate::Error;
use crate::program::{Domain, Memory, RowOp, Step};
use crate::table::Words;
use builder::{Linear, SpecNorm, Unpacked};

pub(crate) use builder::Builder;

/// An encoder compiled for one number format and for the instructions that were current: immutable, shared by any
/// number of sessions.
#[derive(Debug)]
pub struct Model {
    pub(crate) precision: Precision,
    pub(crate) hidden: usize,
    pub(crate) words: Words,
    /// `[longest, hidden]`, where there is such a table.
    pub(crate) positions: Option<Floats>,
    /// `[segments, hidden]`, where there is such a table.
    pub(crate) segments: Option<Floats>,
    /// Tokens of the longest sequence.
    pub(crate) longest: usize,
    /// What turns heads by positions.
    pub(crate) turns: Vec<Turns>,
    pub(crate) linears: Vec<Packed>,
    pub(crate) norms: Vec<Norm>,
    /// Widths of the scratch places.
    pub(crate) places: Vec<usize>,
    /// Left operands of products.
    pub(crate) slots: Vec<Slot>,
    /// From ids to the last hidden states.
    pub(crate) body: Vec<Step>,
    /// From there to pooled vectors.
    pub(crate) pool: Vec<Step>,
    pub(crate) heads: Vec<CompiledHead>,
    /// Bytes of packed weights.
    pub(crate) bytes: usize,
}

/// When weights are packed for the machine's instructions. Results do not depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Packing {
    /// Once, when the model is compiled.
    #[default]
    Ahead,
    /// Again in every product, a few columns at a time: nothing is written to memory, so a model that runs once has its first and
    /// only answer sooner.
    AtUse,
}

/// Weights and bias of a product.
#[derive(Debug)]
pub(crate) struct Packed {
    pub weights: PackedWeights,
    pub bias: Vec<f32>,
}

#[derive(Debug)]
pub(crate) enum PackedWeights {
    Ready(Weights),
    AtUse(Unpacked),
}

impl PackedWeights {
    pub fn outputs(&self) -> usize {
        match self {
            Self::Ready(weights) => weights.outputs(),
            Self::AtUse(weights) => weights.outputs(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Ready(weights) => weights.bytes(),
            Self::AtUse(weights) => weights.bytes(),
        }
    }
}

/// Cosines and sines of the angles by which positions turn pairs of channels, each `[longest, width of a head / 2]`.
#[derive(Debug)]
pub(crate) struct Turns {
    pub cosines: Vec<f32>,
    pub sines: Vec<f32>,
}

/// A normalization over the last axis.
#[derive(Debug)]
pub(crate) struct Norm {
    /// Of a layer normalization; `None` scales and shifts only.
    pub eps: Option<f32>,
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
}

/// A left operand: width and format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub width: usize,
    pub precision: Format,
}

#[derive(Debug)]
pub(crate) struct CompiledHead {
    pub kind: TaskHeadKind,
    pub outputs: usize,
    pub steps: Vec<Step>,
}

impl Model {
    /// Reads a model directory as strictly as [`ModelDir::read`], and compiles its encoder as [`Model::compile_as`] does; weights are
    /// read where the file holds them. In `f32` the model keeps its tables there, and packed at use all of its weights, so the file must
    /// stay as it is while the model lives: see [`Tensors::map_safetensors`](model_dir::Tensors::map_safetensors).
    ///
    /// # Errors
    /// As there.
    pub fn open(dir: &Path, precision: Precision, packing: Packing) -> Result<(BertConfig, Self), Error> {
        let mapped = ModelDir::map(dir)?;
        let (config, keep) = (mapped.config.clone(), mapped.kept_of_bytes());
        match Self::compile_keeping(mapped.into_encoder()?, precision, packing, &keep) {
            Ok(model) => Ok((config, model)),
            // A value that is not finite, most likely: what reads everything says in which tensor of the file.
            Err(error) => {
                ModelDir::map(dir)?.check_finite()?;
                Err(error)
            }
        }
    }

    /// As [`Model::open`], of the bytes of `config.json` and `model.safetensors`; `path` stands for their folder in errors. For programs
    /// without files, such as pages of a browser.
    ///
    /// # Errors
    /// As there.
    pub fn from_bytes(
        (config, weights): (&[u8], &[u8]),
        path: &Path,
        precision: Precision,
        packing: Packing,
    ) -> Result<(BertConfig, Self), Error> {
        let read = ModelDir::from_bytes(config, weights, path)?;
        let (config, keep) = (read.config.clone(), read.kept_of_bytes());
        Ok((config, Self::compile_keeping(read.into_encoder()?, precision, packing, &keep)?))
    }

    /// Compiles `encoder`: products in `precision` (heads always in `f32`), everything between them in `f32`, the word table in
    /// `precision` too. The distillation projection and the masked-language-model head are left out. Packs weights with all threads of
    /// the current rayon pool, each from where it lies: nothing else is copied, and in `f32` the tables stay where they are.
    ///
    /// # Errors
    /// The parts of the encoder do not fit ([`Encoder::check`]), or a weight is not finite.
    pub fn compile(encoder: Encoder<MappedTensor>, precision: Precision) -> Result<Self, Error> {
        Self::compile_as(encoder, precision, Packing::Ahead)
    }

    /// As [`Model::compile`], with a choice of when weights are packed.
    ///
    /// # Errors
    /// As there.
    pub fn compile_as(encoder: Encoder<MappedTensor>, precision: Precision, packing: Packing) -> Result<Self, Error> {
        Self::compile_keeping(encoder, precision, packing, &BTreeSet::new())
    }

    /// As [`Model::compile_as`], with the weights whose paths are in `keep` ([`Encoder::weights`]) in `bf16` where `precision` is `int8`. Products
    /// of one input are computed together, so all of them are kept where one is.
    ///
    /// # Errors
    /// As there.
    pub fn compile_keeping(
        encoder: Encoder<MappedTensor>,
        precision: Precision,
        packing: Packing,
        keep: &BTreeSet<String>,
    ) -> Result<Self, Error> {
        encoder.check()?;
        let mut b = Builder::new(precision.into());
        let is_kept = |path: &str| precision == Precision::Int8 && keep.contains(path);
        encoder.try_map(|path, weight| {
            if is_kept(path) {
                b.except(weight, Format::Bf16);
            }
            let count = weight.shape.iter().product();
            if weight.data.len() != count {
                return Err(Error::Count { what: path.to_owned(), expected: count, found: weight.data.len() });
            }
            // Shared matrices are read once, right before they are packed.
            let is_table = path.ends_with("embeddings.weight");
            let is_read = is_table || weight.shape.len() == 1 || !weight.data.are_shared();
            match !is_read || weight.data.are_finite() {
                true => Ok(()),
                false => Err(Error::NotFinite { what: path.to_owned() }),
            }
        })?;
        let hidden = encoder.hidden();
        let Encoder { embedding, layers, final_norm, pooling, pooler, prediction, heads, .. } = encoder;
        let Embedding { words, projection, positions, longest, segments, norm } = embedding;
        let has_places = positions.is_some() || segments.is_some();
        let embed = words.shape[1];
        let is_exact = is_kept("encoder.embeddings.word_embeddings.weight");
        let words = Words::new(words, if is_exact { Precision::Bf16 } else { precision });
        let embedding = EmbeddingParts { embed, projection, has_places, norm };
        let body = body(&mut b, hidden, embedding, layers, final_norm);
        pool(&mut b, hidden, pooling, (pooler, prediction.clone()));
        let pool = b.take_steps();
        let heads = heads.into_iter().map(|h| head(&mut b, h, hidden, prediction.as_ref())).collect();
        let Builder { linears, norms, places, slots, turns, .. } = b;
        let turns = turns.into_iter().map(|(rotary, width)| rotary.turns(width, longest));
        let turns = turns.map(|[cosines, sines]| Turns { cosines, sines }).collect();
        // All together at the end, so that threads wait for each other once and not once per product.
        let linears: Vec<Packed> = linears.into_par_iter().map(|l| l.pack(packing)).collect::<Result<_, _>>()?;
        let bytes = linears.iter().map(|l| l.weights.bytes() + l.bias.len() * 4).sum();
        Ok(Self {
            precision,
            hidden,
            words,
            positions: positions.map(|table| table.data),
            segments: segments.map(|table| table.data),
            longest,
            turns,
            linears,
            norms,
            places,
            slots,
            body,
            pool,
            heads,
            bytes,
        })
    }

    /// Number format of the products.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Width of the hidden states.
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// Word pieces.
    pub fn vocabulary(&self) -> usize {
        self.words.rows()
    }

    /// Longest sequence.
    pub fn max_length(&self) -> usize {
        self.longest
    }

    /// Segments that it tells apart; `None`: it looks at none.
    pub(crate) fn segment_rows(&self) -> Option<usize> {
        self.segments.as_ref().map(|table| table.len() / self.hidden)
    }

    /// What each head predicts and how many values it gives.
    pub fn heads(&self) -> impl ExactSizeIterator<Item = (TaskHeadKind, usize)> + '_ {
        self.heads.iter().map(|h| (h.kind, h.outputs))
    }

    /// Bytes of weights and tables in memory.
    pub fn bytes(&self) -> usize {
        let rows = |table: &Option<Floats>| table.as_ref().map_or(0, |table| table.len() * 4);
        let turns: usize = self.turns.iter().map(|turns| (turns.cosines.len() + turns.sines.len()) * 4).sum();
        let tables = self.words.bytes() + rows(&self.positions) + rows(&self.segments) + turns;
        let norms: usize = self.norms.iter().map(|n| (n.weight.len() + n.bias.len()) * 4).sum();
        tables + self.bytes + norms
    }
}

/// What the steps of an embedding are made of.
pub(crate) struct EmbeddingParts {
    /// Width of the word table.
    pub embed: usize,
    pub projection: Option<Projection<MappedTensor>>,
    /// Whether there is a table of positions or of segments.
    pub has_places: bool,
    pub norm: SpecNorm,
}

/// The steps from ids to the last hidden states.
pub(crate) fn body(
    b: &mut Builder,
    hidden: usize,
    embedding: EmbeddingParts,
    layers: Vec<Layer<MappedTensor>>,
    final_norm: Option<SpecNorm>,
) -> Vec<Step> {
    let last = layers.len();
    let target = |done: usize| (done == last && final_norm.is_none()).then_some(Memory::Hidden);
    let mut x = embed_words(b, hidden, embedding, target(0));
    for (i, layer) in layers.into_iter().enumerate() {
        x = b.layer(layer, x, hidden, target(i + 1));
    }
    if let Some(norm) = final_norm {
        x = b.normed(x, None, norm, hidden, Some(Memory::Hidden));
    }
    debug_assert_eq!(x, Memory::Hidden);
    b.take_steps()
}

fn embed_words(b: &mut Builder, hidden: usize, embedding: EmbeddingParts, target: Option<Memory>) -> Memory {
    let EmbeddingParts { embed, projection, has_places, norm } = embedding;
    let x = match projection {
        None => {
            let x = b.place(hidden);
            b.row(Domain::Tokens, RowOp::Words { out: x.whole() });
            x
        }
        Some(projection) => {
            let width = projection.linear.inputs();
            let gathered = b.place(width);
            let out = gathered.whole();
            b.row(Domain::Tokens, if projection.trigram { RowOp::Trigram { out } } else { RowOp::Words { out } });
            debug_assert!(width == embed || projection.trigram);
            let slot = b.pack(Domain::Tokens, out, width, &projection.linear);
            b.release(gathered);
            let x = b.place(hidden);
            let linear = b.linear(projection.linear);
            b.product(Domain::Tokens, slot, linear, None, x);
            b.release_slot(slot);
            x
        }
    };
    if has_places {
        b.row(Domain::Tokens, RowOp::Positions { x: x.whole() });
    }
    b.normed(x, None, norm, hidden, target)
}

fn pool(
    b: &mut Builder,
    hidden: usize,
    pooling: Pooling,
    (pooler, prediction): (Option<Linear>, Option<Transform<MappedTensor>>),
) {
    let (domain, last) = (Domain::Sequences, Memory::Hidden.whole());
    let is_bare = pooler.is_none() && prediction.is_none();
    let pooled = if is_bare { Memory::Pooled } else { b.place(hidden) };
    b.row(
        domain,
        match pooling {
            Pooling::Cls => RowOp::First { x: last, out: pooled.whole() },
            Pooling::Mean => RowOp::Mean { x: last, out: pooled.whole() },
        },
    );
    match (pooler, prediction) {
        (Some(pooler), _) => {
            let slot = b.pack(domain, pooled.whole(), hidden, &pooler);
            b.release(pooled);
            let linear = b.linear(pooler);
            b.product(domain, slot, linear, Some(Activation::Tanh), Memory::Pooled);
            b.release_slot(slot);
        }
        (None, Some(prediction)) => {
            b.transform(domain, pooled.whole(), prediction, Memory::Pooled);
            b.release(pooled);
        }
        (None, None) => {}
    }
}

/// A head, and what stands before those of tokens: pooled vectors have gone through it.
fn head(
    b: &mut Builder,
    Head { kind, vector, dense }: Head<MappedTensor>,
    hidden: usize,
    prediction: Option<&Transform<MappedTensor>>,
) -> CompiledHead {
    let outputs = dense.as_ref().map_or(hidden, Linear::outputs);
    let domain = if kind.is_on_tokens() { Domain::Tokens } else { Domain::Sequences };
    let x = match vector {
        None if kind.is_on_tokens() => match prediction {
            Some(prediction) => {
                let seen = b.place(hidden);
                b.transform(domain, Memory::Hidden.whole(), prediction.clone(), seen);
                seen
            }
            None => Memory::Hidden,
        },
        None => Memory::Pooled,
        Some(vector) => {
            let out = if dense.is_some() { b.place(hidden) } else { Memory::Logits };
            let (last, pooled) = (Memory::Hidden.whole(), out.whole());
            b.row(
                domain,
                match vector.pooling {
                    Pooling::Mean => RowOp::Mean { x: last, out: pooled },
                    Pooling::Cls => RowOp::First { x: last, out: pooled },
                },
            );
            out
        }
    };
    if let Some(dense) = dense {
        // A head is small and its rounding would go straight into the answer.
        let slot = b.pack_in(domain, x.whole(), Slot { width: dense.inputs(), precision: Format::F32 });
        b.release(x);
        let linear = b.linear_in(dense, Format::F32);
        b.product(domain, slot, linear, None, Memory::Logits);
        b.release_slot(slot);
    }
    if vector.is_some_and(|vector| vector.normalize) {
        b.row(domain, RowOp::Unit { x: Memory::Logits.whole(), width: outputs });
    }
    CompiledHead { kind, outputs, steps: b.take_steps() }
}
