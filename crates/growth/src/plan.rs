//! Where the values of each weight of the large model come from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use encoder_spec::{BertConfig, Encoder, NameFormat, Normalization, Parts, Shape};
use model_dir::Tensors;

use crate::dims::{Axes, Axis, Dim};
use crate::expansion::Expansion;
use crate::layers::{Origin, Passers, Passing, last_norm, origins};
use crate::programs::keeps_channels_apart;
use crate::{Error, Growth, HiddenWidth, NewLayers, Quantity, Result, fit};

/// What makes the large model compute something else than the small one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Layers that are copies of others.
    CopiedLayers {
        /// How many.
        layers: usize,
    },
    /// Old layers whose attention reaches less or further than in the small model, from 1.
    Reach {
        /// Those of the large model.
        layers: Vec<usize>,
    },
    /// A width that LayerNorm goes over has grown by no whole factor ([`HiddenWidth::Approximate`]).
    Approximate {
        /// The width.
        what: String,
    },
    /// Copies of channels differ by noise.
    Noise,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CopiedLayers { layers } => write!(f, "{layers} layers are copies of others"),
            Self::Reach { layers } => write!(f, "attention of the layers {layers:?} sees other tokens than before"),
            Self::Approximate { what } => {
                write!(f, "{what} grows by no whole factor, which changes the statistics of LayerNorm")
            }
            Self::Noise => f.write_str("copies of channels differ by noise"),
        }
    }
}

/// Where the values of one weight come from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    /// Those of a weight of the small model, expanded.
    Copy {
        from: String,
        axes: Vec<Axis>,
        /// Whether moments go along; else they begin at 0.
        has_moments: bool,
    },
    /// A constant; moments begin at 0.
    Constant(f32),
}

/// How one model grows into another: for every weight of the large model where its values come from.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) growth: Growth,
    pub(crate) small: BTreeMap<String, Shape>,
    pub(crate) large: BTreeMap<String, Shape>,
    pub(crate) values: BTreeMap<String, Values>,
    pub(crate) widths: BTreeMap<Dim, Expansion>,
    pub(crate) origins: Vec<Origin>,
    changes: Vec<Change>,
    pub(crate) format: NameFormat,
}

impl Plan {
    /// Plans the growth of the model of configuration `small` into that of `large`, both with these `parts`.
    ///
    /// What grows follows from the configurations: layers; the widths of the residual, of word tables, of bottlenecks and of
    /// feed-forwards; the number of heads, which keep their width.
    ///
    /// # Errors
    /// A configuration describes no encoder; something differs that does not grow; something gets smaller; heads of another width; a width that
    /// LayerNorm goes over and that grows by no whole factor, unless [`HiddenWidth::Approximate`]; a part without an operator.
    pub fn new(small: &BertConfig, large: &BertConfig, parts: Parts, growth: &Growth) -> Result<Self> {
        growth.validate()?;
        let of = |which, source| Error::Config { which, source };
        let before = Encoder::describe(small, parts).map_err(|e| of("small", e))?;
        let after = Encoder::describe(large, parts).map_err(|e| of("large", e))?;
        fit::configs(small, large)?;
        fit::parts(&before, &after)?;
        let origins = origins(growth.depth, before.layers.len(), after.layers.len());
        for (i, origin) in origins.iter().enumerate() {
            fit::layers((origin.source, &before.layers[origin.source]), (i, &after.layers[i]))?;
        }
        let mut plan = Self {
            growth: *growth,
            small: before.weights(),
            large: after.weights(),
            values: BTreeMap::new(),
            widths: BTreeMap::new(),
            origins,
            changes: Vec::new(),
            format: NameFormat::HuggingFace(large.model_type),
        };
        plan.add_widths(&before, &after)?;
        plan.add_changes(&before, &after);
        plan.add_values(&after)?;
        Ok(plan)
    }

    /// What makes the large model compute something else than the small one. Empty: it computes the same, but for rounding, and for new
    /// layers ([`NewLayers::Identity`]) with norms after the residuals but for the epsilon of LayerNorm.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Of each layer of the large model, the small layer that it comes from, from 0.
    pub fn layers(&self) -> impl ExactSizeIterator<Item = usize> {
        self.origins.iter().map(|origin| origin.source)
    }

    fn add_widths(&mut self, before: &Encoder<Shape>, after: &Encoder<Shape>) -> Result<()> {
        let growth = self.growth;
        let embed = |e: &Encoder<Shape>| e.embedding.words[1];
        let words = Axes::of(after).word_scores();
        let scores_words = after.word_transform().is_some();
        // Whether a LayerNorm goes over the residual, or inside a bottleneck.
        let is_normed = matches!(after.embedding.norm.kind, Normalization::LayerNorm { .. });
        let hidden_is_normed = is_normed || scores_words && words == Dim::Hidden;
        self.add(Dim::Hidden, "`hidden_size`", before.hidden(), after.hidden(), hidden_is_normed)?;
        if after.embedding.projection.is_some() {
            self.add(Dim::Embed, "`embedding_size`", embed(before), embed(after), scores_words)?;
            let three = self.widths[&Dim::Embed].side_by_side(3);
            self.widths.insert(Dim::Trigram, three);
        }
        let inside = |e: &Encoder<Shape>| e.layers.iter().find_map(|l| Some(l.bottleneck.as_ref()?.input.outputs()));
        if let (Some(small), Some(large)) = (inside(before), inside(after)) {
            self.add(Dim::Inside, "`intra_bottleneck_size`", small, large, is_normed)?;
        }
        for (i, layer) in after.layers.iter().enumerate() {
            let source = &before.layers[self.origins[i].source];
            if let (Some(small), Some(large)) = (&source.attention, &layer.attention) {
                let (old, new) = (small.width() / small.heads, large.width() / large.heads);
                if old != new {
                    let needed = large.width() / old;
                    return Err(Error::HeadWidth { layer: i + 1, small: old, large: new, needed });
                }
                fit::grows(&format!("heads of layer {}", i + 1), small.heads, large.heads)?;
                let heads = Expansion::new(small.heads, large.heads, &growth, &[1, i as u64]);
                self.widths.insert(Dim::Attention(i), heads.of_groups(old));
            }
            let blocks = source.feed_forward.blocks.iter().zip(&layer.feed_forward.blocks);
            for (j, (small, large)) in blocks.enumerate() {
                let (old, new) = (small.dense1.outputs(), large.dense1.outputs());
                fit::grows(&format!("inner width of the feed-forward of layer {}", i + 1), old, new)?;
                let inner = Expansion::new(old, new, &growth, &[2, i as u64, j as u64]);
                let grows = !inner.is_trivial() || !self.widths[&Dim::Hidden].is_trivial();
                if grows && !keeps_channels_apart(&layer.feed_forward.program) {
                    let message = "an operator of its expression reads inner and outer channels, whose copies would meet others than before; let \
                                   its inner width and `hidden_size` stay as they are";
                    return Err(Error::NoOperator {
                        part: format!("the feed-forward of layer {}", i + 1),
                        message: message.into(),
                    });
                }
                self.widths.insert(Dim::Inner(i, j), inner);
            }
        }
        Ok(())
    }

    /// Adds a width that `is_normed` says a LayerNorm goes over.
    fn add(&mut self, dim: Dim, what: &str, small: usize, large: usize, is_normed: bool) -> Result<()> {
        fit::grows(what, small, large)?;
        let expansion = Expansion::new(
            small,
            large,
            &self.growth,
            &[0, u64::from(dim == Dim::Embed), u64::from(dim == Dim::Inside)],
        );
        if is_normed && !expansion.is_even() {
            let what = what.to_owned();
            match self.growth.hidden {
                HiddenWidth::Exact => return Err(Error::Uneven { what, small, large }),
                HiddenWidth::Approximate => self.changes.push(Change::Approximate { what }),
            }
        }
        self.widths.insert(dim, expansion);
        Ok(())
    }

    fn add_changes(&mut self, before: &Encoder<Shape>, after: &Encoder<Shape>) {
        let copied = self.origins.iter().filter(|o| o.is_new).count();
        if copied > 0 && self.growth.new_layers == NewLayers::Copied {
            self.changes.push(Change::CopiedLayers { layers: copied });
        }
        let sees_else =
            |(i, o): (usize, &Origin)| !o.is_new && !fit::sees_alike(&before.layers[o.source], &after.layers[i]);
        let layers: Vec<usize> =
            self.origins.iter().enumerate().filter(|each| sees_else(*each)).map(|(i, _)| i + 1).collect();
        if !layers.is_empty() {
            self.changes.push(Change::Reach { layers });
        }
        if self.growth.noise > 0.0 && self.widths.values().any(|width| !width.is_trivial()) {
            self.changes.push(Change::Noise);
        }
    }

    fn add_values(&mut self, after: &Encoder<Shape>) -> Result<()> {
        let axes = Axes::of(after);
        let passers = Passers::new(&after.layers, &self.origins, self.growth.new_layers)?;
        for (path, shape) in &self.large {
            let own_axes = axes.at(path, shape.len());
            let values = match in_layer(path) {
                None => Values::Copy { from: path.clone(), axes: own_axes, has_moments: true },
                Some((i, rest)) => {
                    let of = |layer: usize, rest: &str| format!("encoder.layers.{layer}.{rest}");
                    match passers.at(i, rest) {
                        Passing::Constant(value) => Values::Constant(value),
                        Passing::NormOfOld => {
                            let old = passers.old_below(i);
                            let leaf = path.rsplit('.').next().unwrap_or_default();
                            let norm = last_norm(&after.layers[old]);
                            let from = of(self.origins[old].source, &format!("{norm}.{leaf}"));
                            Values::Copy { from, axes: own_axes, has_moments: true }
                        }
                        Passing::Source => {
                            let from = self.in_small_layer(self.origins[i].source, rest);
                            Values::Copy { from, axes: own_axes, has_moments: !passers.passes(i) }
                        }
                    }
                }
            };
            if let Values::Copy { from, axes, .. } = &values {
                self.check(path, from, axes)?;
            }
            self.values.insert(path.clone(), values);
        }
        Ok(())
    }

    /// Path of the small model's weight that stands at `rest` of this layer.
    pub(crate) fn in_small_layer(&self, layer: usize, rest: &str) -> String {
        let path = format!("encoder.layers.{layer}.{rest}");
        // The first layer of a ModernBERT has no norm of its own: the embedding's stands before it.
        match rest.strip_prefix("attention.norm.").filter(|_| !self.small.contains_key(&path)) {
            Some(leaf) => format!("encoder.embeddings.norm.{leaf}"),
            None => path,
        }
    }

    /// Layers of the small model.
    pub(crate) fn small_layers(&self) -> usize {
        self.origins.iter().filter(|origin| !origin.is_new).count()
    }

    /// Whether the weight at `path` has the shape that one at `from` expands to.
    fn check(&self, path: &str, from: &str, axes: &[Axis]) -> Result<()> {
        let Some(small) = self.small.get(from) else {
            return Err(Error::NoOperator {
                part: format!("`{path}`"),
                message: format!("the small model has no weight `{from}`; let it have the same parts"),
            });
        };
        let large = &self.large[path];
        let fits = small.len() == large.len()
            && axes.iter().zip(small.iter().zip(large)).all(|(axis, (&old, &new))| match self.widths.get(&axis.dim) {
                Some(width) => (width.old_width(), width.new_width()) == (old, new),
                None => old == new,
            });
        match fits {
            true => Ok(()),
            false => Err(Error::NoOperator {
                part: format!("`{path}`"),
                message: format!("it is {small:?} in the small model and {large:?} in the large one"),
            }),
        }
    }

    /// As [`Plan::apply`], of tensors under the names of model directories.
    ///
    /// # Errors
    /// As there; a tensor is missing, left over or of another shape.
    pub fn apply_named(&self, tensors: Tensors, quantity: Quantity) -> Result<Tensors> {
        let tensors = model_dir::resolve(&self.small, tensors, self.format, Path::new("the small model"))?;
        Ok(model_dir::named(self.apply(&tensors, quantity)?, self.format))
    }
}

/// Weights of a model directory's names, grown; the parts are those that the tensors have. `source` and `target` are the two
/// configurations.
///
/// # Errors
/// As [`Plan::new`] and [`Plan::apply_named`].
pub fn grow(
    source: &BertConfig,
    tensors: Tensors,
    target: &BertConfig,
    growth: &Growth,
    quantity: Quantity,
) -> Result<Tensors> {
    Plan::new(source, target, Parts::of_names(tensors.0.keys()), growth)?.apply_named(tensors, quantity)
}

/// The layer of a path, and the rest of it.
pub(crate) fn in_layer(path: &str) -> Option<(usize, &str)> {
    let (layer, rest) = path.strip_prefix("encoder.layers.")?.split_once('.')?;
    Some((layer.parse().ok()?, rest))
}
