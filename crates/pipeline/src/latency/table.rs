//! The file of measured parts.

use std::collections::BTreeMap;
use std::path::Path;

use bert_core::BertConfig;
use cpu_kernels::Isa;
use encoder_spec::Precision;
use mlp_space::Architecture;
use serde::{Deserialize, Serialize};

use super::Accuracy;
use crate::recipe::LatencySettings;
use crate::{Error, Result};

/// What the file says it is, and the version that this program reads.
pub(super) const FORMAT: &str = "efficientbert latency table";
pub(super) const VERSION: u32 = 1;
/// Largest part of a predicted latency that a candidate is kept away from the limit.
pub(super) const MOST_MARGIN: f64 = 0.1;

/// What a latency depends on beside the network and the processor. Two tables of other conditions have nothing to say of each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conditions {
    /// Kind of the device; `cpu`, for which models are compiled.
    pub device: String,
    /// Instruction set of the kernels.
    pub isa: String,
    /// Threads.
    pub threads: usize,
    /// Sequences in a pass.
    pub batch: usize,
    /// Tokens in a sequence.
    pub seq: usize,
    /// Number format of weights and products.
    pub precision: Precision,
}

impl Conditions {
    /// Those of a pass on this processor in this process.
    pub fn here(settings: LatencySettings, threads: usize) -> Self {
        Self {
            device: "cpu".into(),
            isa: Isa::current().name().into(),
            threads,
            batch: settings.batch,
            seq: settings.seq,
            precision: settings.precision,
        }
    }

    fn facts(&self) -> [(&'static str, String, &'static str); 6] {
        [
            ("device", self.device.clone(), "--device"),
            ("instruction set", self.isa.clone(), "EFFICIENTBERT_ISA"),
            ("threads", self.threads.to_string(), "--threads"),
            ("batch", self.batch.to_string(), "`latency.batch`"),
            ("sequence length", self.seq.to_string(), "`latency.seq`"),
            ("precision", self.precision.to_string(), "`latency.precision`"),
        ]
    }
}

/// Sizes of the students that a table speaks of: a search's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableShape {
    /// Word pieces.
    pub vocab: usize,
    /// Width of the word table.
    pub embed: usize,
    /// Hidden width.
    pub hidden: usize,
    /// Base width that the ratios divide.
    pub base: usize,
    /// Attention heads.
    pub heads: usize,
    /// Layers.
    pub layers: usize,
}

impl TableShape {
    /// That of a student's frame.
    pub fn of(frame: &BertConfig) -> Self {
        Self {
            vocab: frame.vocab_size,
            embed: frame.embed_width(),
            hidden: frame.hidden_size,
            base: frame.intermediate_size,
            heads: frame.num_attention_heads,
            layers: frame.num_hidden_layers,
        }
    }

    fn facts(&self) -> [(&'static str, usize, &'static str); 6] {
        [
            ("word pieces", self.vocab, "the teacher's vocabulary"),
            ("embedding width", self.embed, "`student.embed`"),
            ("hidden width", self.hidden, "`student.hidden`"),
            ("base width", self.base, "`student.hidden`"),
            ("attention heads", self.heads, "`student.heads`"),
            ("layers", self.layers, "`student.layers`"),
        ]
    }
}

/// The network by which the pace of a machine is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Its feed-forwards.
    pub architecture: Architecture,
    /// Its measured latency when the table was made, milliseconds.
    pub ms: f64,
}

/// Measured times of the parts of students, from which the latency of each student of a search is predicted:
/// `scale * sum(parts) + outside`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencyTable {
    pub(super) format: String,
    pub(super) version: u32,
    /// Version of the program that measured.
    pub program: String,
    /// When, in UTC.
    pub measured: String,
    /// Processor, as its operating system names it.
    pub processor: String,
    /// Under which conditions.
    pub conditions: Conditions,
    /// For which students.
    pub shape: TableShape,
    /// The network that tells the machine's pace.
    pub reference: Reference,
    /// Networks whose parts were measured.
    pub networks: usize,
    /// Passes of these networks whose parts were timed.
    pub passes: u64,
    /// How far a search keeps predicted latencies below its limit, as a part of them: what the slowest tenth of the measured networks
    /// takes more than predicted.
    pub margin: f64,
    /// Whole passes by the sum of their parts.
    pub scale: f64,
    /// Whether the machine was too busy for whole passes, so that `scale` is a guess.
    pub is_busy: bool,
    /// Microseconds of a pass outside of its parts.
    pub outside_us: f64,
    /// Microseconds of each part.
    pub parts_us: BTreeMap<String, f64>,
    /// How well it predicts other networks than it was made from, where that was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<Accuracy>,
}

impl LatencyTable {
    /// Reads a table, and checks what can be checked of it alone.
    ///
    /// # Errors
    /// [`Error::Table`]: nothing to read, another file, another version, a number that no measurement gives.
    pub fn read(path: &Path) -> Result<Self> {
        let fail = |message: String| Error::Table { path: path.to_owned(), message };
        let text = std::fs::read_to_string(path).map_err(|e| fail(format!("cannot be read: {e}")))?;
        let value: serde_json::Value = serde_json::from_str(&text)
            .map_err(|e| fail(format!("not a whole JSON file ({e}); make the table again with `bench --table`")))?;
        if value["format"] != FORMAT {
            return Err(fail("is no latency table; `efficientbert bench --table FILE` makes one".into()));
        }
        if value["version"] != VERSION {
            let found = &value["version"];
            return Err(fail(format!(
                "a table of version {found}, this program reads version {VERSION}; make it again with `bench --table`"
            )));
        }
        let table: Self = serde_json::from_value(value).map_err(|e| fail(format!("not a latency table: {e}")))?;
        table.check().map_err(fail)?;
        Ok(table)
    }

    /// Writes it where a person said.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|e| Error::Table { path: path.to_owned(), message: e.to_string() })?;
        text.push('\n');
        Ok(run_store::output::write(path, text.as_bytes())?)
    }

    fn check(&self) -> Result<(), String> {
        let numbers = [
            ("reference.ms", self.reference.ms, true),
            ("scale", self.scale, true),
            ("outside_us", self.outside_us, false),
            ("margin", self.margin, false),
        ];
        let parts = self.parts_us.iter().map(|(name, us)| (name.as_str(), *us, true));
        for (name, value, is_positive) in numbers.into_iter().chain(parts) {
            if !value.is_finite() || value < 0.0 || is_positive && value == 0.0 {
                let rule = if is_positive { "above 0" } else { "0 or more" };
                return Err(format!("`{name}` is {value}, which no measurement gives: it must be {rule}"));
            }
        }
        if self.parts_us.is_empty() {
            return Err("it has no parts".into());
        }
        if self.margin > MOST_MARGIN {
            return Err(format!("`margin` is {}, more than {MOST_MARGIN}", self.margin));
        }
        if let Some(accuracy) = &self.accuracy {
            accuracy.check()?;
        }
        if self.reference.architecture.layers().len() != self.shape.layers {
            return Err(format!(
                "its reference has {} layers, its students {}",
                self.reference.architecture.layers().len(),
                self.shape.layers
            ));
        }
        Ok(())
    }

    /// Checks that the table speaks of such students under such conditions.
    ///
    /// # Errors
    /// [`Error::Table`] with everything in which they differ, both sides of each.
    pub fn agree(&self, path: &Path, conditions: &Conditions, shape: &TableShape) -> Result<()> {
        let mut differ = Vec::new();
        for ((name, table, key), (_, here, _)) in self.conditions.facts().into_iter().zip(conditions.facts()) {
            if table != here {
                differ.push(format!("{name} {table} in the table, {here} here ({key})"));
            }
        }
        for ((name, table, key), (_, here, _)) in self.shape.facts().into_iter().zip(shape.facts()) {
            if table != here {
                differ.push(format!("{name} {table} in the table, {here} here ({key})"));
            }
        }
        if differ.is_empty() {
            return Ok(());
        }
        let message = format!(
            "measured under other conditions than this search has: {}; make one for these with `efficientbert bench --table`",
            differ.join("; ")
        );
        Err(Error::Table { path: path.to_owned(), message })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A table of made-up times for students of two layers, 24 channels and 2 heads.
    pub fn made_up() -> LatencyTable {
        let layer = "linear1_1(relu(linear1_1(x,wb1)),wb2)".parse().unwrap();
        LatencyTable {
            format: FORMAT.into(),
            version: VERSION,
            program: "0".into(),
            measured: "then".into(),
            processor: "some".into(),
            conditions: Conditions {
                device: "cpu".into(),
                isa: "avx2".into(),
                threads: 2,
                batch: 1,
                seq: 32,
                precision: Precision::F32,
            },
            shape: TableShape { vocab: 90, embed: 8, hidden: 24, base: 24, heads: 2, layers: 2 },
            reference: Reference { architecture: Architecture::new(vec![layer; 2]).unwrap(), ms: 0.1 },
            networks: 2,
            passes: 10,
            margin: 0.02,
            scale: 1.0,
            is_busy: false,
            outside_us: 3.0,
            parts_us: [("norm 24".to_owned(), 0.5), ("wait".to_owned(), 0.25)].into(),
            accuracy: None,
        }
    }

    /// Two layers of the sizes of [`made_up`]'s students.
    pub fn frame() -> BertConfig {
        let shape = mlp_space::StudentShape {
            vocab: 90,
            embed: 8,
            hidden: 24,
            base: 24,
            heads: 2,
            max_positions: 32,
            segments: 2,
            fit: None,
        };
        bert_core::student_frame(&shape, 2)
    }

    fn refused(text: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("table.json");
        std::fs::write(&path, text).unwrap();
        LatencyTable::read(&path).unwrap_err().to_string()
    }

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("table.json");
        made_up().write(&path).unwrap();
        assert_eq!(LatencyTable::read(&path).unwrap(), made_up());
    }

    #[test]
    fn a_table_that_was_cut_off_anywhere_is_refused() {
        let whole = serde_json::to_string_pretty(&made_up()).unwrap();
        for end in (0..whole.len() - 1).step_by(7) {
            let message = refused(&whole[..end]);
            assert!(message.contains("table.json") && message.contains("bench --table"), "{message}");
        }
    }

    #[test]
    fn numbers_that_no_measurement_gives_are_refused_with_their_name() {
        let edit = |change: fn(&mut serde_json::Value)| {
            let mut value = serde_json::to_value(made_up()).unwrap();
            change(&mut value);
            refused(&value.to_string())
        };
        for (message, parts) in [
            (edit(|v| v["parts_us"]["wait"] = (-0.25).into()), ["`wait` is -0.25", "above 0"]),
            (edit(|v| v["parts_us"]["wait"] = 0.into()), ["`wait` is 0", "above 0"]),
            (edit(|v| v["scale"] = (-1).into()), ["`scale` is -1", "above 0"]),
            (edit(|v| v["outside_us"] = (-1).into()), ["`outside_us` is -1", "0 or more"]),
            (edit(|v| v["margin"] = 0.5.into()), ["`margin` is 0.5", "0.1"]),
            (edit(|v| v["reference"]["ms"] = 0.into()), ["`reference.ms` is 0", "above 0"]),
            (edit(|v| v["parts_us"] = serde_json::json!({})), ["no parts", "table.json"]),
            (edit(|v| v["surprise"] = 1.into()), ["surprise", "unknown field"]),
            (edit(|v| v["version"] = 9.into()), ["version 9", "version 1"]),
            (edit(|v| v["format"] = "x".into()), ["no latency table", "bench --table"]),
        ] {
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        }
    }

    #[test]
    fn a_table_of_other_conditions_or_sizes_is_refused_with_both_sides() {
        let (table, path) = (made_up(), Path::new("t.json"));
        table.agree(path, &table.conditions, &table.shape).unwrap();
        let conditions = Conditions { isa: "amx".into(), threads: 4, ..table.conditions.clone() };
        let shape = TableShape { hidden: 48, ..table.shape };
        let message = table.agree(path, &conditions, &shape).unwrap_err().to_string();
        for part in
            ["t.json", "instruction set avx2 in the table, amx here", "threads 2", "4 here", "24 in the table, 48 here"]
        {
            assert!(message.contains(part), "{message}");
        }
        let other = Conditions { precision: Precision::Int8, seq: 128, batch: 8, ..table.conditions.clone() };
        let message = table.agree(path, &other, &table.shape).unwrap_err().to_string();
        assert!(
            message.contains("precision f32") && message.contains("sequence length 32") && message.contains("batch 1")
        );
    }
}
