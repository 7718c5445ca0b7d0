//! Which learned matrices make each weight of the large model.

use std::collections::BTreeMap;

use encoder_spec::{HostTensor, ModelType, NameFormat};
use model_dir::Tensors;
use run_store::rng::{keyed, unit};

use super::LayerWidths;
use crate::apply::normal;
use crate::dims::{Axis, Dim};
use crate::plan::{Values, in_layer};
use crate::{Error, NewLayers, Plan, Result};

/// A width that grows.
#[derive(Clone, Debug)]
pub(super) struct Width {
    pub old: usize,
    pub new: usize,
    /// Of each old channel, how many copies of it the large model begins with.
    pub copies: Vec<f32>,
    /// Of each new channel, the old one that it begins as a copy of.
    pub sources: Vec<usize>,
}

/// A width along an axis of a weight.
#[derive(Clone, Debug)]
pub(super) struct Along {
    /// Name of its matrix.
    pub width: String,
    /// Whether a sum goes over the axis, so that channels are divided by the number of their copies.
    pub divided: bool,
}

/// How one weight of the large model is made.
#[derive(Clone, Debug)]
pub(super) struct Map {
    /// Weights of the small model: one of each layer, or a single one.
    pub sources: Vec<String>,
    /// The matrix that mixes them, and its row. Without one there is a single source.
    pub mix: Option<(String, usize)>,
    /// The axis of rows; a vector is one row.
    pub rows: Option<Along>,
    /// The axis of columns.
    pub columns: Option<Along>,
}

/// All maps, widths by the name of their matrix, and what the matrices begin with.
pub(super) struct Maps {
    pub maps: BTreeMap<String, Map>,
    pub widths: BTreeMap<String, Width>,
    pub parameters: Tensors,
}

impl Maps {
    /// # Errors
    /// [`Error::Unlearnable`].
    pub fn of(plan: &Plan, widths: LayerWidths) -> Result<Self> {
        let no = |message: &str| Err(Error::Unlearnable { message: message.into() });
        let deepens = plan.origins.iter().any(|origin| origin.is_new);
        if plan.format == NameFormat::HuggingFace(ModelType::EfficientBert) {
            return no(
                "the layers of a searched encoder compute expressions of their own, and a mix of their weights has no meaning; grow it \
                       without `ligo`",
            );
        }
        if deepens && plan.growth.new_layers == NewLayers::Identity {
            return no(
                "new layers that pass their input on have norms of scale 1, which are no mix of the small model's layers; set \
                       `new_layers = \"copied\"`",
            );
        }
        let mut all = Self { maps: BTreeMap::new(), widths: BTreeMap::new(), parameters: Tensors::default() };
        for (path, values) in &plan.values {
            let Values::Copy { from, axes, .. } = values else {
                return no(&format!("`{path}` begins as a constant, which is no linear map of the small model"));
            };
            let (sources, mix) = match in_layer(path).filter(|_| deepens) {
                Some((layer, rest)) => (all.sources(plan, from, rest)?, Some((all.mix(plan, rest), layer))),
                None => (vec![from.clone()], None),
            };
            let mut along = |axis: &Axis| all.along(plan, (path, *axis), widths);
            let (rows, columns) = match &axes[..] {
                [only] => (None, along(only)?),
                [rows, columns] => (along(rows)?, along(columns)?),
                _ => (None, None),
            };
            all.maps.insert(path.clone(), Map { sources, mix, rows, columns });
        }
        if all.parameters.0.is_empty() {
            return no("nothing grows, so there is nothing to learn");
        }
        Ok(all)
    }

    /// The weights at `rest` of all small layers, each of the shape of `from`.
    fn sources(&self, plan: &Plan, from: &str, rest: &str) -> Result<Vec<String>> {
        let source = |layer: usize| {
            let source = plan.in_small_layer(layer, rest);
            match plan.small.get(&source) == plan.small.get(from) {
                true => Ok(source),
                false => Err(Error::Unlearnable {
                    message: format!(
                        "layers of different shapes cannot be mixed: `{source}` is not of the shape of `{from}`"
                    ),
                }),
            }
        };
        (0..plan.small_layers()).map(source).collect()
    }

    /// The matrix that mixes the weights at `rest`: one row for each large layer, one column for each small one.
    fn mix(&mut self, plan: &Plan, rest: &str) -> String {
        let name = format!("depth.{rest}");
        let begin = || {
            let (rows, columns) = (plan.origins.len(), plan.small_layers());
            let mut data = vec![0.0; rows * columns];
            plan.origins.iter().enumerate().for_each(|(i, origin)| data[i * columns + origin.source] = 1.0);
            HostTensor { shape: vec![rows, columns], data }
        };
        self.parameters.0.entry(name.clone()).or_insert_with(begin);
        name
    }

    /// The matrix of an axis, unless its width stays as it is.
    fn along(&mut self, plan: &Plan, at: (&str, Axis), widths: LayerWidths) -> Result<Option<Along>> {
        let (path, axis) = at;
        // Three word vectors, one after the other, are expanded as one is.
        let dim = if axis.dim == Dim::Trigram { Dim::Embed } else { axis.dim };
        let (Some(expansion), Some(width)) = (plan.widths.get(&dim), name(dim, path, widths)) else { return Ok(None) };
        if expansion.is_trivial() {
            return Ok(None);
        }
        let (old, new) = (expansion.old_width(), expansion.new_width());
        let sources: Vec<usize> = (old..new).map(|j| expansion.source(j)).collect();
        if let Some(known) = self.widths.get(&width) {
            if known.sources != sources {
                let message = "layers that share a width begin with the same copies, and here each has drawn its own; set `copies = \"first\"` or \
                               `widths = \"own\"`";
                return Err(Error::Unlearnable { message: message.into() });
            }
        } else {
            self.parameters.0.insert(width.clone(), first_rows(&sources, old, plan, &width));
            let copies = (0..old).map(|j| expansion.copies(j) as f32).collect();
            self.widths.insert(width.clone(), Width { old, new, copies, sources });
        }
        Ok(Some(Along { width, divided: axis.divided }))
    }
}

/// The matrix that makes the new channels of a width, as it begins: each is a copy of its source.
fn first_rows(sources: &[usize], old: usize, plan: &Plan, name: &str) -> HostTensor {
    let mut data = vec![0.0; sources.len() * old];
    // A sum over `old` values of equal size is then `noise` of that size.
    let deviation = plan.growth.noise / (old as f64).sqrt();
    if deviation > 0.0 {
        let mut stream = keyed(plan.growth.seed, &format!("growth/ligo/{name}"), &[]);
        data.iter_mut().for_each(|value| *value = (deviation * normal(unit(&mut stream), unit(&mut stream))) as f32);
    }
    sources.iter().enumerate().for_each(|(i, source)| data[i * old + source] += 1.0);
    HostTensor { shape: vec![sources.len(), old], data }
}

/// Name of the matrix for an axis of the weight at `path`.
fn name(dim: Dim, path: &str, widths: LayerWidths) -> Option<String> {
    let of_layer = |layer: usize, part: String| match widths {
        LayerWidths::Own => format!("width.layers.{layer}.{part}"),
        LayerWidths::Shared => format!("width.{part}"),
    };
    Some(match dim {
        Dim::Fixed => return None,
        Dim::Hidden => "width.hidden".into(),
        Dim::Embed | Dim::Trigram => "width.embedding".into(),
        Dim::Inside => "width.bottleneck".into(),
        Dim::Attention(layer) => {
            // The output map reads sums of values.
            let part = match in_layer(path)?.1.split('.').nth(1)? {
                "output" => "value",
                part => part,
            };
            of_layer(layer, format!("attention.{part}"))
        }
        Dim::Inner(layer, block) => of_layer(layer, format!("feed_forward.blocks.{block}")),
    })
}
