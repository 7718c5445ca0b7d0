//! Int8 within an allowed loss of score.

use std::collections::{BTreeMap, BTreeSet};

use encoder_spec::{BertConfig, Encoder, MappedTensor};
use serde::Serialize;

use crate::calibrate::{Method, ranges};
use crate::engine::{Engine, Padded};
use crate::export::{Exported, Weights};
use crate::format::is_of_head;
use crate::{Format, Int8, OnnxFile, Output, Result};

/// How many of the costliest parts a message names.
const NAMED: usize = 3;

/// A model that is to be quantized, and what is wanted of it.
#[derive(Clone, Copy)]
pub struct Model<'a> {
    /// Its configuration.
    pub config: &'a BertConfig,
    /// Its weights.
    pub encoder: &'a Encoder<MappedTensor>,
    /// What the file gives.
    pub outputs: &'a [Output],
}

impl Model<'_> {
    /// The graph in a number format.
    ///
    /// # Errors
    /// As [`Exported::new`].
    pub fn exported(&self, format: &Format) -> Result<Exported> {
        Exported::new(self.config, self.encoder, self.outputs, format)
    }

    fn engine(&self, format: &Format) -> Result<(Engine, Vec<String>)> {
        let exported = self.exported(format)?;
        let names = exported.names.iter().flatten().cloned().collect();
        Ok((Engine::new(&exported.file("model.onnx", Weights::AsFits, &[]))?, names))
    }

    /// The parts of the model that can be in integers: attention and feed-forward of each layer, what comes before and after, and the words.
    ///
    /// # Errors
    /// As [`Exported::new`].
    pub fn parts(&self) -> Result<Vec<Part>> {
        let mut parts = vec![Part { name: "words".into(), products: vec![Int8::WORDS.into()] }];
        for product in self.exported(&Format::F32)?.products {
            if is_of_head(&product.name) {
                continue;
            }
            let name = part_of(&product.name);
            match parts.iter_mut().find(|part| part.name == name) {
                Some(part) => part.products.push(product.name),
                None => parts.push(Part { name, products: vec![product.name] }),
            }
        }
        Ok(parts)
    }

    /// How much each part changes the outputs on `batches` where it alone is in integers, the costliest first.
    ///
    /// # Errors
    /// The engine stops.
    pub fn costs(&self, ranges: Option<&BTreeMap<String, [f32; 2]>>, batches: &[Padded]) -> Result<Vec<Cost>> {
        let run = |format: &Format| -> Result<Vec<f32>> {
            let (engine, names) = self.engine(format)?;
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let runs = batches.iter().map(|batch| engine.run(batch, &names));
            Ok(runs.collect::<Result<Vec<_>>>()?.into_iter().flatten().flatten().collect())
        };
        let exact = run(&Format::F32)?;
        let parts = self.parts()?;
        let all: BTreeSet<&String> = parts.iter().flat_map(|part| &part.products).collect();
        let mut costs = Vec::with_capacity(parts.len());
        for part in &parts {
            let keep = all.iter().filter(|name| !part.products.contains(name)).map(|name| (*name).clone()).collect();
            let found = run(&Format::Int8(Int8 { keep, ranges: ranges.cloned() }))?;
            let squares: f64 = found.iter().zip(&exact).map(|(a, b)| f64::from(a - b).powi(2)).sum();
            costs.push(Cost { part: part.name.clone(), error: (squares / exact.len().max(1) as f64).sqrt() });
        }
        costs.sort_by(|a, b| b.error.total_cmp(&a.error));
        Ok(costs)
    }
}

/// Some products that are kept or quantized together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its place, e.g. `encoder.layers.0.attention`.
    pub name: String,
    /// Names of its products.
    pub products: Vec<String>,
}

/// What a part in integers does to the outputs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// The part.
    pub part: String,
    /// Root of the mean squared change of the outputs.
    pub error: f64,
}

/// An int8 file whose score is near enough to the model's.
#[derive(Clone, Debug)]
pub struct Gated {
    /// The file.
    pub file: OnnxFile,
    /// Names of its outputs.
    pub names: Vec<Vec<String>>,
    /// Score of the model in f32.
    pub before: f64,
    /// Score of the file.
    pub after: f64,
    /// Parts that stay in floating point.
    pub kept: Vec<String>,
    /// What each part costs, the costliest first; empty where nobody had to know.
    pub costs: Vec<Cost>,
}

/// The range's method for a static file; `None`: a dynamic one.
pub type Static = Option<Method>;

/// Quantizes `model` and scores it. Where it loses more than `allowed` points, it is refused, or, if `mend`, the part that changes the
/// outputs most on `batches` goes back to floating point, and the next, until it doesn't. `score` gives the score of an engine, from 0 to 1.
///
/// # Errors
/// [`crate::Error::Gate`]: it loses more than allowed. The engine stops, or `score` fails.
pub fn gate<E: From<crate::Error>>(
    model: &Model<'_>,
    (batches, method): (&[Padded], Static),
    (allowed, mend): (f64, bool),
    score: &mut dyn FnMut(&Engine, &[String]) -> std::result::Result<f64, E>,
) -> std::result::Result<Gated, E> {
    let ranges = method.map(|method| ranges(model, batches, method)).transpose()?;
    let (engine, names) = model.engine(&Format::F32)?;
    let before = score(&engine, &names)?;
    let (mut keep, mut kept, mut costs) = (BTreeSet::new(), Vec::new(), Vec::new());
    loop {
        let exported = model.exported(&Format::Int8(Int8 { keep: BTreeSet::clone(&keep), ranges: ranges.clone() }))?;
        let names = exported.names.clone();
        let file = exported.file("model.onnx", Weights::AsFits, &[]);
        let flat: Vec<String> = names.iter().flatten().cloned().collect();
        let after = score(&Engine::new(&file)?, &flat)?;
        if (before - after) * 100.0 <= allowed {
            return Ok(Gated { file, names, before, after, kept, costs });
        }
        if costs.is_empty() {
            costs = model.costs(ranges.as_ref(), batches)?;
        }
        let next = costs.get(kept.len()).filter(|_| mend);
        let Some(next) = next else {
            let worst = costs.iter().take(NAMED).map(|cost| format!("{} ({:.3})", cost.part, cost.error));
            let worst = worst.collect::<Vec<_>>().join(", ");
            return Err(crate::Error::Gate { before, after, allowed, worst }.into());
        };
        let parts = model.parts()?;
        let part = parts.iter().find(|part| part.name == next.part).expect("a part of the model");
        keep.extend(part.products.iter().cloned());
        kept.push(part.name.clone());
    }
}

/// The part that a product belongs to.
fn part_of(product: &str) -> String {
    let place = product.strip_prefix("encoder.layers.").and_then(|rest| {
        let mut parts = rest.split('.');
        Some(format!("encoder.layers.{}.{}", parts.next()?, parts.next()?))
    });
    place.unwrap_or_else(|| product.split('.').take(2).collect::<Vec<_>>().join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_belong_to_the_part_of_their_layer() {
        for (product, part) in [
            ("encoder.layers.3.attention.query", "encoder.layers.3.attention"),
            ("encoder.layers.10.feed_forward.blocks.2.dense1", "encoder.layers.10.feed_forward"),
            ("encoder.layers.0.bottleneck.input", "encoder.layers.0.bottleneck"),
            ("encoder.embeddings.projection", "encoder.embeddings"),
            ("pooler", "pooler"),
            ("prediction.dense", "prediction.dense"),
        ] {
            assert_eq!(part_of(product), part);
        }
    }
}
