//! A model and its parts, and what each of them costs in integers.

use std::collections::{BTreeMap, BTreeSet};

use encoder_spec::{BertConfig, Encoder, MappedTensor};
use serde::Serialize;

use crate::engine::{Engine, Padded};
use crate::export::{Exported, Weights};
use crate::format::is_of_head;
use crate::{Format, Int8, Output, Result};

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

    /// An engine that runs the model in a number format, and the names of its outputs, those of each wanted output together.
    ///
    /// # Errors
    /// As [`Exported::new`] and [`Engine::new`].
    pub fn engine(&self, format: &Format) -> Result<(Engine, Vec<Vec<String>>)> {
        let exported = self.exported(format)?;
        let names = exported.names.clone();
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

    /// How much each part changes the outputs on `batches` where it alone is in integers, the costliest first. The products `keep` are not in
    /// integers in any case.
    ///
    /// # Errors
    /// The engine stops.
    pub fn costs(
        &self,
        ranges: Option<&BTreeMap<String, [f32; 2]>>,
        keep: &BTreeSet<String>,
        batches: &[Padded],
    ) -> Result<Vec<Cost>> {
        let run = |format: &Format| -> Result<Vec<f32>> {
            let (engine, names) = self.engine(format)?;
            let names: Vec<&str> = names.iter().flatten().map(String::as_str).collect();
            let runs = batches.iter().map(|batch| engine.run(batch, &names));
            Ok(runs.collect::<Result<Vec<_>>>()?.into_iter().flatten().flatten().collect())
        };
        let exact = run(&Format::F32)?;
        let parts = self.parts()?;
        let all: BTreeSet<&String> = parts.iter().flat_map(|part| &part.products).collect();
        let mut costs = Vec::with_capacity(parts.len());
        for part in &parts {
            let others = all.iter().filter(|name| !part.products.contains(name)).map(|name| (*name).clone());
            let keep = others.chain(keep.iter().cloned()).collect();
            let found = run(&Format::Int8(Int8 { keep, ranges: ranges.cloned() }))?;
            costs.push(Cost::of(&part.name, &found, &exact));
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

impl Cost {
    /// What `part` does to outputs that are `found` where it is in integers, and `exact` where nothing is.
    pub fn of(part: &str, found: &[f32], exact: &[f32]) -> Self {
        let squares: f64 = found.iter().zip(exact).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        Self { part: part.to_owned(), error: (squares / exact.len().max(1) as f64).sqrt() }
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
