//! A student's latency from a table.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use bert_core::BertConfig;
use cpu_runtime::Part;
use mlp_space::{Architecture, Expression, Unary};

use super::LatencyTable;
use super::network::{parts_in, parts_of};
use crate::{Error, Result};

/// Foretells the latency of the students of a frame: a pure function of the table and of the architecture.
#[derive(Debug)]
pub struct Predictor {
    table: LatencyTable,
    frame: BertConfig,
    /// Microseconds of everything but the layers.
    fixed_us: f64,
    /// Microseconds of a layer with the first known feed-forward, by its text.
    layers_us: Mutex<BTreeMap<String, f64>>,
}

/// Microseconds of parts.
pub(super) struct Times<'a> {
    parts_us: &'a BTreeMap<String, f64>,
    /// Widths at which elementwise operations may have been measured.
    widths: Vec<usize>,
}

impl<'a> Times<'a> {
    pub fn new(parts_us: &'a BTreeMap<String, f64>, frame: &BertConfig) -> Self {
        let ratios = (1..=4).map(|r| frame.intermediate_size / r);
        let of_frame = std::iter::once(frame.hidden_size).chain(ratios);
        // Whatever is multiplied is packed before.
        let packed = parts_us.keys().filter_map(|name| name.strip_prefix("pack ")?.parse().ok());
        Self { parts_us, widths: of_frame.chain(packed).collect() }
    }

    fn known(&self, part: &Part) -> Option<f64> {
        self.parts_us.get(&part.to_string()).copied()
    }

    /// The time of a part; one that was not measured follows from its kin.
    ///
    /// # Errors
    /// The name of a part of which nothing is known.
    pub fn us(&self, part: &Part) -> std::result::Result<f64, String> {
        let found = self.known(part).or_else(|| match *part {
            Part::Activation(activation, width) => self.of_width(width, |w| Part::Activation(activation, w)),
            Part::Binary(op, width) | Part::Tail(op, width) => self.of_width(width, |w| Part::Binary(op, w)),
            Part::Pack(width) => self.of_width(width, Part::Pack),
            Part::Product { inputs, outputs, activation } => self.product(inputs, outputs, activation),
            _ => None,
        });
        found.ok_or_else(|| part.to_string())
    }

    /// The operation at the nearest width that is known, in proportion to the width.
    fn of_width(&self, width: usize, at: impl Fn(usize) -> Part) -> Option<f64> {
        let known = self.widths.iter().filter_map(|&w| Some((w, self.known(&at(w))?)));
        let (nearest, us) = known.min_by_key(|(w, _)| w.abs_diff(width))?;
        Some(us * width as f64 / nearest as f64)
    }

    /// The product with another activation, and the difference between the two, as far as that is known.
    fn product(&self, inputs: usize, outputs: usize, activation: Option<Fused>) -> Option<f64> {
        let alone = |of: Option<Fused>| match of {
            None => Some(0.0),
            Some(of) => self.us(&Part::Activation(of, outputs)).ok(),
        };
        let others = std::iter::once(None).chain(Unary::ALL.map(|op| Some(fused(op))));
        let wanted = alone(activation);
        others
            .filter_map(|other| {
                let us = self.known(&Part::Product { inputs, outputs, activation: other })?;
                let more = wanted.zip(alone(other)).map_or(0.0, |(wanted, other)| wanted - other);
                // An activation hides behind the arithmetic of its product, so that less of it shows than alone: the nearest is best.
                Some((more.abs(), (us + more).max(us * 0.5)))
            })
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, us)| us)
    }

    /// The sum over parts.
    ///
    /// # Errors
    /// As [`Times::us`].
    pub fn sum(&self, parts: &[Part]) -> std::result::Result<f64, String> {
        parts.iter().map(|part| self.us(part)).sum()
    }
}

/// Activation of a product.
type Fused = cpu_kernels::elementwise::Activation;

fn fused(op: Unary) -> Fused {
    encoder_spec::Activation::from(op).into()
}

impl Predictor {
    /// What predicts from `table`, read from `path`, for the students of `frame`.
    ///
    /// # Errors
    /// [`Error::Table`]: it lacks a part that every student has.
    pub fn new(table: LatencyTable, path: &Path, frame: &BertConfig) -> Result<Self> {
        let (one, two) = {
            let times = Times::new(&table.parts_us, frame);
            let plain = &table.reference.architecture.layers()[0];
            let sum = |layers: usize| -> Result<f64> {
                let parts = parts_of(frame, &vec![plain.clone(); layers])?;
                times.sum(&parts).map_err(|part| lacks(path, &part))
            };
            (sum(1)?, sum(2)?)
        };
        Ok(Self { table, frame: frame.clone(), fixed_us: 2.0 * one - two, layers_us: Mutex::default() })
    }

    /// The table.
    pub fn table(&self) -> &LatencyTable {
        &self.table
    }

    /// Milliseconds of a pass.
    ///
    /// # Errors
    /// An architecture that does not fit the frame, or with a part of which the table knows nothing.
    pub fn ms(&self, genome: &Architecture) -> Result<f64> {
        let layers = genome.layers().iter().map(|layer| self.layer_us(layer)).sum::<Result<f64>>()?;
        let LatencyTable { scale, outside_us, .. } = self.table;
        Ok((scale * (self.fixed_us + layers) + outside_us) / 1e3)
    }

    /// [`Predictor::ms`] of any student: its layers may have attention of their own or lack a part, which then costs nothing.
    ///
    /// # Errors
    /// A configuration that is not valid, or with a part of which the table knows nothing.
    pub fn ms_of(&self, config: &BertConfig) -> Result<f64> {
        let sum = Times::new(&self.table.parts_us, config).sum(&parts_in(config)?);
        let sum = sum.map_err(|part| lacks(Path::new("the latency table"), &part))?;
        let LatencyTable { scale, outside_us, .. } = self.table;
        Ok((scale * sum + outside_us) / 1e3)
    }

    fn layer_us(&self, layer: &Expression) -> Result<f64> {
        let key = layer.to_string();
        let known = |all: &BTreeMap<String, f64>| all.get(&key).copied();
        if let Some(us) = known(&self.layers_us.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(us);
        }
        let parts = parts_of(&self.frame, std::slice::from_ref(layer))?;
        let sum = Times::new(&self.table.parts_us, &self.frame).sum(&parts);
        let us = sum.map_err(|part| lacks(Path::new("the latency table"), &part))? - self.fixed_us;
        self.layers_us.lock().unwrap_or_else(PoisonError::into_inner).insert(key, us);
        Ok(us)
    }

    /// [`Predictor::ms`], infinite for what cannot be predicted.
    pub fn ms_or_infinite(&self, genome: &Architecture) -> f64 {
        self.ms(genome).unwrap_or(f64::INFINITY)
    }
}

fn lacks(path: &Path, part: &str) -> Error {
    let message = format!("has no time of `{part}`; make the table again with `efficientbert bench --table`");
    Error::Table { path: path.to_owned(), message }
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::{frame, made_up};
    use super::*;

    /// A table in which every part of some networks takes a microsecond per channel of its name's first number.
    fn table(layers: &[&str]) -> LatencyTable {
        let mut parts_us = BTreeMap::new();
        for layer in layers {
            for part in parts_of(&frame(), &[layer.parse().unwrap(), layer.parse().unwrap()]).unwrap() {
                let name = part.to_string();
                let first: f64 =
                    name.split(' ').find_map(|word| word.trim_end_matches(',').parse().ok()).unwrap_or(1.0);
                parts_us.insert(name, first);
            }
        }
        let mut table = made_up();
        (table.parts_us, table.scale, table.outside_us) = (parts_us, 2.0, 10.0);
        table
    }

    const PLAIN: &str = "linear1_1(relu(linear1_1(x,wb1)),wb2)";
    const STACKED: &str = "linear3_2(gelu(linear3_2(x,wb1)),wb2)";

    #[test]
    fn a_latency_is_the_sum_of_its_parts() {
        let predictor = Predictor::new(table(&[PLAIN, STACKED]), Path::new("t"), &frame()).unwrap();
        let genome: Architecture = format!("{PLAIN}; {STACKED}").parse().unwrap();
        let parts = parts_of(&frame(), genome.layers()).unwrap();
        let table = predictor.table().clone();
        let sum: f64 = parts.iter().map(|part| table.parts_us[&part.to_string()]).sum();
        let found = predictor.ms(&genome).unwrap();
        assert!((found - (2.0 * sum + 10.0) / 1e3).abs() < 1e-12, "{found}");
        let other: Architecture = format!("{STACKED}; {PLAIN}").parse().unwrap();
        assert!((predictor.ms(&other).unwrap() - found).abs() < 1e-12);
    }

    #[test]
    fn layers_that_differ_cost_their_own_parts_and_what_is_absent_costs_nothing() {
        use bert_core::{AttentionShape, LayerParts, layered_config};
        let genome: Architecture = format!("{PLAIN}; {PLAIN}").parse().unwrap();
        let usual = LayerParts::usual(&frame());
        let own = LayerParts { attention: Some(AttentionShape { heads: 3, width: 9 }), ..usual };
        let config = |first: LayerParts| layered_config(&frame(), &genome, &[first, usual]).unwrap();
        let mut table = table(&[PLAIN]);
        for part in parts_in(&config(own)).unwrap() {
            table.parts_us.entry(part.to_string()).or_insert(100.0);
        }
        let known = table.parts_us.clone();
        assert_eq!(
            (known["attention 3 x 3"], known["product 24 x 27"], known["product 9 x 24"]),
            (100.0, 100.0, 100.0)
        );
        let predictor = Predictor::new(table, Path::new("t"), &frame()).unwrap();
        let us = |config: &BertConfig| (predictor.ms_of(config).unwrap() * 1e3 - 10.0) / 2.0;
        let of = |first: LayerParts| us(&config(first));
        assert!((of(usual) - (predictor.ms(&genome).unwrap() * 1e3 - 10.0) / 2.0).abs() < 1e-9);
        let sum = |names: &[&str]| names.iter().map(|name| known[*name]).sum::<f64>();
        // Around attention: what is packed and waited for, two products, attention, a norm.
        let usual_attention = [
            "pack 24",
            "wait",
            "product 24 x 72",
            "attention 2 x 12",
            "pack 24",
            "wait",
            "product 24 x 24",
            "norm 24 of a sum",
        ];
        let without = of(LayerParts { attention: None, ..usual });
        assert!((of(usual) - without - sum(&usual_attention)).abs() < 1e-9, "{}", of(usual) - without);
        let own_attention = [
            "pack 24",
            "wait",
            "product 24 x 27",
            "attention 3 x 3",
            "pack 9",
            "wait",
            "product 9 x 24",
            "norm 24 of a sum",
        ];
        assert!((of(own) - without - sum(&own_attention)).abs() < 1e-9, "{}", of(own) - without);
        let feed_forward =
            ["pack 24", "wait", "product 24 x 24, relu", "pack 24", "wait", "product 24 x 24", "norm 24 of a sum"];
        let alone = of(LayerParts { feed_forward: false, ..usual });
        assert!((of(usual) - alone - sum(&feed_forward)).abs() < 1e-9, "{}", of(usual) - alone);
        let other = LayerParts { attention: Some(AttentionShape { heads: 5, width: 35 }), ..usual };
        let message = predictor.ms_of(&config(other)).unwrap_err().to_string();
        assert!(message.contains("`product 24 x 105`"), "{message}");
    }

    #[test]
    fn what_was_not_measured_follows_from_its_kin() {
        let known = table(&[PLAIN, STACKED, "linear1_1(relu(max(linear1_1(x,wb1),x)),wb2)"]);
        let predictor = Predictor::new(known, Path::new("t"), &frame()).unwrap();
        let ms = |text: &str| predictor.ms(&text.parse().unwrap());
        // relu with half the width; gelu in a product of the full one.
        for layer in ["linear1_2(relu(linear1_2(x,wb1)),wb2)", "linear1_1(gelu(linear1_1(x,wb1)),wb2)"] {
            let found = ms(&format!("{layer}; {layer}")).unwrap();
            assert!(found > 0.0 && found < 3.0 * ms(&format!("{PLAIN}; {PLAIN}")).unwrap(), "{layer}: {found}");
        }
    }

    #[test]
    fn a_table_without_a_part_that_every_student_has_is_refused_with_its_name() {
        let mut lacking = table(&[PLAIN]);
        lacking.parts_us.remove("attention 2 x 12").unwrap();
        let message = Predictor::new(lacking, Path::new("t.json"), &frame()).unwrap_err().to_string();
        assert!(message.contains("t.json") && message.contains("`attention 2 x 12`"), "{message}");
    }
}
