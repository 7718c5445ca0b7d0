//! A walk over all weights of an encoder, each with its path.
//!
//! Paths are those of the burn modules, e.g. `encoder.layers.0.attention.query.weight`. This file alone lists them.

use std::collections::BTreeMap;
use std::convert::Infallible;

use crate::encoder::{
    Attention, AttentionSource, Block, Bottleneck, Embedding, Encoder, FeedForward, Head, Layer, Linear, MlmHead, Norm,
    Projection, Transform,
};
use crate::{Error, Result};

/// What becomes of a weight, given its path.
type Visit<'f, W, V, E> = dyn FnMut(&str, &W) -> Result<V, E> + 'f;

impl<W> Encoder<W> {
    /// The same encoder with something else in the place of each weight.
    ///
    /// # Errors
    /// The first that `visit` gives.
    pub fn try_map<V, E>(&self, mut visit: impl FnMut(&str, &W) -> Result<V, E>) -> Result<Encoder<V>, E> {
        let f: &mut Visit<'_, W, V, E> = &mut visit;
        let mut layers = Vec::with_capacity(self.layers.len());
        for (i, layer) in self.layers.iter().enumerate() {
            layers.push(layer.walk(&format!("encoder.layers.{i}"), f)?);
        }
        let mut heads = Vec::with_capacity(self.heads.len());
        for (i, Head { kind, vector, dense }) in self.heads.iter().enumerate() {
            let dense = optional(dense, |dense| dense.walk(&format!("heads.{i}.dense"), f))?;
            heads.push(Head { kind: *kind, vector: *vector, dense });
        }
        Ok(Encoder {
            family: self.family,
            embedding: self.embedding.walk("encoder.embeddings", f)?,
            layers,
            final_norm: optional(&self.final_norm, |norm| norm.walk("encoder.final_norm", f))?,
            fit: optional(&self.fit, |fit| fit.walk("encoder.fit_dense", f))?,
            pooling: self.pooling,
            pooler: optional(&self.pooler, |pooler| pooler.walk("pooler", f))?,
            prediction: optional(&self.prediction, |prediction| prediction.walk("prediction", f))?,
            heads,
            mlm: optional(&self.mlm, |mlm| mlm.walk("mlm", f))?,
        })
    }

    /// As [`Encoder::try_map`], where nothing can fail.
    pub fn map<V>(&self, mut visit: impl FnMut(&str, &W) -> V) -> Encoder<V> {
        match self.try_map(|path, weight| Ok::<_, Infallible>(visit(path, weight))) {
            Ok(encoder) => encoder,
        }
    }

    /// All weights by path.
    pub fn weights(&self) -> BTreeMap<String, W>
    where
        W: Clone,
    {
        let mut weights = BTreeMap::new();
        self.map(|path, weight| {
            weights.insert(path.to_owned(), weight.clone());
        });
        weights
    }

    /// The encoder with each weight taken out of `weights`, where it stands under its path.
    ///
    /// # Errors
    /// [`Error::Missing`] for the first that is not there.
    pub fn filled<V>(&self, mut weights: BTreeMap<String, V>) -> Result<Encoder<V>> {
        self.try_map(|path, _| weights.remove(path).ok_or_else(|| Error::Missing { path: path.to_owned() }))
    }
}

fn optional<T, U, E>(part: &Option<T>, walk: impl FnOnce(&T) -> Result<U, E>) -> Result<Option<U>, E> {
    part.as_ref().map(walk).transpose()
}

impl<W> Linear<W> {
    fn walk<V, E>(&self, at: &str, f: &mut Visit<'_, W, V, E>) -> Result<Linear<V>, E> {
        let weight = f(&format!("{at}.weight"), &self.weight)?;
        Ok(Linear { weight, bias: optional(&self.bias, |bias| f(&format!("{at}.bias"), bias))? })
    }
}

impl<W> Norm<W> {
    fn walk<V, E>(&self, at: &str, f: &mut Visit<'_, W, V, E>) -> Result<Norm<V>, E> {
        let weight = f(&format!("{at}.weight"), &self.weight)?;
        Ok(Norm { kind: self.kind, weight, bias: optional(&self.bias, |bias| f(&format!("{at}.bias"), bias))? })
    }
}

impl<W> Embedding<W> {
    fn walk<V, E>(&self, at: &str, f: &mut Visit<'_, W, V, E>) -> Result<Embedding<V>, E> {
        Ok(Embedding {
            words: f(&format!("{at}.word_embeddings.weight"), &self.words)?,
            projection: optional(&self.projection, |p| {
                Ok(Projection { linear: p.linear.walk(&format!("{at}.projection"), f)?, trigram: p.trigram })
            })?,
            positions: optional(&self.positions, |table| f(&format!("{at}.position_embeddings.weight"), table))?,
            longest: self.longest,
            segments: optional(&self.segments, |table| f(&format!("{at}.token_type_embeddings.weight"), table))?,
            norm: self.norm.walk(&format!("{at}.norm"), f)?,
        })
    }
}

impl<W> Layer<W> {
    fn walk<V, E>(&self, at: &str, f: &mut Visit<'_, W, V, E>) -> Result<Layer<V>, E> {
        Ok(Layer {
            attention: optional(&self.attention, |a| a.walk(&format!("{at}.attention"), f))?,
            feed_forward: self.feed_forward.walk(&format!("{at}.feed_forward"), f)?,
            bottleneck: optional(&self.bottleneck, |b| b.walk(&format!("{at}.bottleneck"), f))?,
            norm_first: self.norm_first,
        })
    }
}

impl<W> Attention<W> {
    fn walk<V, E>(&self, at: &str, f: &mut Visit<'_, W, V, E>) -> Result<Attention<V>, E> {
        Ok(Attention {
            heads: self.heads,
            query: self.query.walk(&format!("{at}.query"), f)?,
            key: optional(&self.key, |key| key.walk(&format!("{at}.key"), f))?,
            value: self.value.walk(&format!("{at}.value"), f)?,
            output: self.output.walk(&format!("{at}.output"), f)?,
            norm: optional(&self.norm, |norm| norm.walk(&format!("{at}.norm"), f))?,
            rotary: self.rotary,
            reach: self.reach,
        })
    }
}

impl<W> FeedForward<W> {
    fn walk<V, E>(&self, at: &str, f: &mut Visit<'_, W, V, E>) -> Result<FeedForward<V>, E> {
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for (i, block) in self.blocks.iter().enumerate() {
            blocks.push(Block {
                dense1: block.dense1.walk(&format!("{at}.blocks.{i}.dense1"), f)?,
                dense2: block.dense2.walk(&format!("{at}.blocks.{i}.dense2"), f)?,
                gate: optional(&block.gate, |gate| gate.walk(&format!("{at}.blocks.{i}.gate"), f))?,
                norm: block.norm.walk(&format!("{at}.blocks.{i}.norm"), f)?,
            });
        }
        Ok(FeedForward { program: self.program.clone(), inner: self.inner, blocks })
    }
}

impl<W> Bottleneck<W> {
    fn walk<V, E>(&self, at: &str, f: &mut Visit<'_, W, V, E>) -> Result<Bottleneck<V>, E> {
        Ok(Bottleneck {
            input: self.input.walk(&format!("{at}.input"), f)?,
            input_norm: optional(&self.input_norm, |n| n.walk(&format!("{at}.input_norm"), f))?,
            attention: match &self.attention {
                AttentionSource::Wide => AttentionSource::Wide,
                AttentionSource::Bottleneck => AttentionSource::Bottleneck,
                AttentionSource::SharedKeyQuery { dense, norm } => AttentionSource::SharedKeyQuery {
                    dense: dense.walk(&format!("{at}.attention"), f)?,
                    norm: optional(norm, |n| n.walk(&format!("{at}.attention_norm"), f))?,
                },
            },
            output: self.output.walk(&format!("{at}.output"), f)?,
            output_norm: self.output_norm.walk(&format!("{at}.output_norm"), f)?,
        })
    }
}

impl<W> Transform<W> {
    fn walk<V, E>(&self, at: &str, f: &mut Visit<'_, W, V, E>) -> Result<Transform<V>, E> {
        Ok(Transform {
            dense: self.dense.walk(&format!("{at}.dense"), f)?,
            activation: self.activation,
            norm: self.norm.walk(&format!("{at}.norm"), f)?,
        })
    }
}

impl<W> MlmHead<W> {
    fn walk<V, E>(&self, at: &str, f: &mut Visit<'_, W, V, E>) -> Result<MlmHead<V>, E> {
        Ok(MlmHead {
            transform: optional(&self.transform, |transform| transform.walk(at, f))?,
            bias: optional(&self.bias, |bias| f(&format!("{at}.bias"), bias))?,
            extra: optional(&self.extra, |extra| f(&format!("{at}.extra"), extra))?,
        })
    }
}
