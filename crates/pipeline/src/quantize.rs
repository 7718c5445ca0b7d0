//! Models in 8-bit integers, within an allowed loss of score.
//!
//! A model directory whose matrices are integers is scored by the runtime that will run it; an ONNX file by an engine for such files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cpu_kernels::Isa;
use cpu_runtime::{Model, Outputs, Packing, Precision, Ragged, Session};
use encoder_spec::{Encoder, MappedTensor};
use glue_squad::batch::EncodedBatch;
use glue_squad::task::Predictions;
use model_dir::{ModelDir, WEIGHTS_FILE, in_bytes, is_computed_in_bytes};
use onnx::{Cost, Format, Int8, Method, Padded};
use predict::Watch;
use predict::data::{EvalSet, to_ragged};
use predict::evaluate::{predictions_by, predictions_compiled};
use predict::heads::AnsweringHead;
use serde::Serialize;

use crate::{Error, Result};

/// Examples on which parts are compared.
const SAMPLE: usize = 128;
/// Examples on which portable code is scored, which takes forty times as long as the best instructions: as few as make one answer less than
/// the half point that is usually allowed.
const PORTABLE_SAMPLE: usize = 512;
/// How many of the costliest parts a message names.
const NAMED: usize = 3;
/// Examples of a batch of the sample.
const BATCH: usize = 16;

/// What a model is scored on.
#[derive(Clone, Copy)]
pub struct Scored<'a> {
    /// The examples, with labels.
    pub set: &'a EvalSet,
    /// The head that answers.
    pub head: &'a AnsweringHead,
    /// Threads.
    pub threads: usize,
}

/// What is allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Points of the score that may be lost.
    pub allowed: f64,
    /// Whether the parts that cost most go back to floating point, one after another, where more is lost.
    pub mend: bool,
}

/// What became of a model directory in integers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quantized {
    /// Score in `f32`.
    pub before: f64,
    /// Score in `int8`, with the best instructions of this machine.
    pub after: f64,
    /// These instructions.
    pub instructions: String,
    /// The same on a sample by portable code, which computes on machines without such instructions.
    pub portable: Portable,
    /// Parts that stay in floating point.
    pub kept: Vec<String>,
    /// What each part costs, the costliest first; empty where nobody had to know.
    pub costs: Vec<Cost>,
    /// Bytes of `model.safetensors` before and after.
    pub file_bytes: [u64; 2],
    /// Bytes of weights in memory, in `f32` and in `int8`.
    pub resident_bytes: [usize; 2],
}

/// Scores on a sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Portable {
    /// Examples.
    pub examples: usize,
    /// Score of `f32` with the best instructions.
    pub before: f64,
    /// Score of `int8` by portable code.
    pub after: f64,
}

/// Whether the model directory `dir` has its matrices in integers already: what it scores now is what it lost before.
///
/// # Errors
/// It cannot be read.
pub fn is_in_integers(dir: &Path) -> Result<bool> {
    Ok(!ModelDir::map(dir)?.bytes.is_empty())
}

/// Writes the model directory `dir` to the new folder `out` with its matrices in integers, after scoring it on `on`.
///
/// # Errors
/// [`Error::Int8Loses`]: it loses more than allowed. The directory cannot be read or written, or `watch` ended the scoring.
pub fn quantize(
    dir: &Path,
    out: &Path,
    on: Scored<'_>,
    limits: Limits,
    card: &str,
    watch: &mut Watch<'_>,
) -> Result<Quantized> {
    let size = |path: &Path| std::fs::metadata(path).map(|file| file.len()).map_err(Error::io("read", path));
    let encoder = || -> Result<Encoder<MappedTensor>> { Ok(ModelDir::map(dir)?.into_encoder()?) };
    let compiled = |precision, keep: &BTreeSet<String>| -> Result<Model> {
        Ok(Model::compile_keeping(encoder()?, precision, Packing::Ahead, keep).map_err(predict::Error::from)?)
    };
    let exact = compiled(Precision::F32, &BTreeSet::new())?;
    let before = score_of(&exact, on, watch)?;
    let parts = parts(&encoder()?);
    let sample = on.set.sample(PORTABLE_SAMPLE, BATCH)?;
    let of_sample = Scored { set: &sample, ..on };
    let before_of_sample = score_of(&exact, of_sample, watch)?;
    let mut attempt = |keep: &BTreeSet<String>| {
        let after = score_of(&compiled(Precision::Int8, keep)?, on, watch)?;
        let mut attempt = Attempt { made: (after, None), before, after };
        if !limits.allow(before, after) {
            return Ok(attempt);
        }
        let by_portable = by_portable_code(|| score_of(&compiled(Precision::Int8, keep)?, of_sample, watch))?;
        attempt.made.1 = Some(Portable { examples: sample.len(), before: before_of_sample, after: by_portable });
        if !limits.allow(before_of_sample, by_portable) {
            (attempt.before, attempt.after) = (before_of_sample, by_portable);
        }
        Ok(attempt)
    };
    let Gated { made: (after, portable), keep, kept, costs } =
        gated(limits, &parts, &mut attempt, &mut || costs_of(&exact, &parts, on, &compiled))?;
    let portable = portable.expect("what passes was scored by portable code too");
    let made = in_bytes(dir, &keep)?;
    let tokenizer = model_dir::tokenizer_files(dir)?;
    let mut files: Vec<(&str, &[u8])> = vec![("README.md", card.as_bytes())];
    files.extend(tokenizer.iter().chain(&made).map(|(n, b)| (n.as_str(), b.as_slice())));
    run_store::folder::write(out, &files)?;
    let file_bytes = [size(&dir.join(WEIGHTS_FILE))?, size(&out.join(WEIGHTS_FILE))?];
    let (_, small) = Model::open(out, Precision::Int8, Packing::Ahead).map_err(predict::Error::from)?;
    let resident_bytes = [exact.bytes(), small.bytes()];
    let instructions = Isa::current().to_string();
    Ok(Quantized { before, after, instructions, portable, kept, costs, file_bytes, resident_bytes })
}

fn score_of(model: &Model, on: Scored<'_>, watch: &mut Watch<'_>) -> Result<f64> {
    let mut session = Session::new(on.threads);
    let predictions = predictions_compiled(model, &mut session, on.head, on.set, watch)?;
    primary(on.set, &predictions)
}

fn primary(set: &EvalSet, predictions: &Predictions) -> Result<f64> {
    Ok(set.task.score(predictions, &set.labels)?.primary)
}

/// What `score` gives by portable code. The choice of instructions holds for the whole process while this runs.
fn by_portable_code(score: impl FnOnce() -> Result<f64>) -> Result<f64> {
    let usual = Isa::current();
    Isa::limit(Isa::Portable);
    let scored = score();
    Isa::limit(usual);
    scored
}

/// The parts of a model that can be in integers, each with the paths of its weights: the words, what follows them, attention and feed-forward of
/// each layer, and what stands before the heads. A bottleneck is part of the attention: one product computes maps of both.
fn parts(encoder: &Encoder<MappedTensor>) -> BTreeMap<String, BTreeSet<String>> {
    let mut parts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let matrices = encoder.weights().into_iter().filter(|(_, weight)| weight.shape.len() > 1);
    for path in matrices.map(|(path, _)| path).filter(|path| is_computed_in_bytes(path) && !path.starts_with("mlm.")) {
        parts.entry(part_of(&path)).or_default().insert(path);
    }
    parts
}

fn part_of(path: &str) -> String {
    if path.contains("word_embeddings") {
        return "words".into();
    }
    let parts: Vec<&str> = path.split('.').collect();
    let depth = if path.starts_with("encoder.layers.") { 4 } else { 2 };
    parts[..depth.min(parts.len() - 1)].join(".").replace(".bottleneck", ".attention")
}

/// How much each part changes the head's outputs on a sample where it alone is in integers, the costliest first.
fn costs_of(
    exact: &Model,
    parts: &BTreeMap<String, BTreeSet<String>>,
    on: Scored<'_>,
    compiled: &dyn Fn(Precision, &BTreeSet<String>) -> Result<Model>,
) -> Result<Vec<Cost>> {
    let sample = on.set.sample(SAMPLE, BATCH)?;
    let outputs = |model: &Model| -> Result<Vec<f32>> {
        let (mut session, mut ragged, mut all) = (Session::new(on.threads), Ragged::new(), Vec::new());
        for batch in sample.batches() {
            to_ragged(&batch?, &mut ragged);
            let wanted = Outputs { pooled: false, heads: &[on.head.index] };
            let ran = session.run(model, &ragged.as_batch(), wanted).map_err(predict::Error::from)?;
            all.extend(ran.heads().flatten());
        }
        Ok(all)
    };
    let exact = outputs(exact)?;
    let mut costs = Vec::with_capacity(parts.len());
    for part in parts.keys() {
        let others = parts.iter().filter(|(other, _)| *other != part);
        let keep = others.flat_map(|(_, paths)| paths.iter().cloned()).collect();
        let found = outputs(&compiled(Precision::Int8, &keep)?)?;
        costs.push(Cost::of(part, &found, &exact));
    }
    costs.sort_by(|a, b| b.error.total_cmp(&a.error));
    Ok(costs)
}

/// An ONNX file in integers that loses no more than allowed.
#[derive(Clone, Debug)]
pub struct OnnxInt8 {
    /// Its number format.
    pub format: Format,
    /// Score of the file in `f32`.
    pub before: f64,
    /// Score in integers.
    pub after: f64,
    /// Parts that stay in floating point.
    pub kept: Vec<String>,
    /// What each part costs, the costliest first; empty where nobody had to know.
    pub costs: Vec<Cost>,
}

/// The integers of an ONNX file of `model`, scored by an engine for such files: `answer` is the position of the output that answers `on`.
/// Where `method` is given, ranges of inputs are measured on the texts of `calibration`. The products `keep` stay in floating point in any
/// case.
///
/// # Errors
/// [`Error::Int8Loses`]: it loses more than allowed. There is no such product, the engine stops, or `watch` ended the scoring.
pub fn onnx_int8(
    model: &onnx::Model<'_>,
    (calibration, method): (&EvalSet, Option<Method>),
    (on, answer): (Scored<'_>, usize),
    (limits, keep): (Limits, &BTreeSet<String>),
    watch: &mut Watch<'_>,
) -> Result<OnnxInt8> {
    // Before anything that takes time: whether there are such products.
    model.exported(&Format::Int8(Int8 { keep: keep.clone(), ranges: None }))?;
    let calibration: Vec<Padded> = calibration.batches().map(|batch| Ok(padded(&batch?))).collect::<Result<_>>()?;
    let ranges = method.map(|method| onnx::ranges(model, &calibration, method)).transpose()?;
    let scale = model.config.task_heads[on.head.index].scale;
    let mut score = |format: &Format| -> Result<f64> {
        let (engine, names) = model.engine(format)?;
        let names: Vec<&str> = names[answer].iter().map(String::as_str).collect();
        let mut values = |batch: &EncodedBatch| -> predict::Result<Vec<f32>> {
            let ran = engine.run(&padded(batch), &names).map_err(|e| predict::Error::Mismatch(e.to_string()))?;
            let mut values = ran.into_iter().next().unwrap_or_default();
            // The file answers in the units of the data, and a head is read as it answers by itself.
            if let Some(scale) = scale {
                values.iter_mut().for_each(|v| *v = ((f64::from(*v) - scale.mean) / scale.deviation) as f32);
            }
            Ok(values)
        };
        primary(on.set, &predictions_by(&mut values, on.head, on.set, watch)?)
    };
    let before = score(&Format::F32)?;
    let format = |more: &BTreeSet<String>| {
        Format::Int8(Int8 { keep: keep.union(more).cloned().collect(), ranges: ranges.clone() })
    };
    // What is kept in any case costs nothing.
    let parts = model.parts()?.into_iter().map(|part| {
        let products: BTreeSet<String> = part.products.into_iter().filter(|name| !keep.contains(name)).collect();
        (part.name, products)
    });
    let parts: BTreeMap<String, BTreeSet<String>> = parts.filter(|(_, products)| !products.is_empty()).collect();
    let mut attempt = |more: &BTreeSet<String>| {
        let format = format(more);
        let after = score(&format)?;
        Ok(Attempt { made: (format, after), before, after })
    };
    let mut costs = || {
        let costs = model.costs(ranges.as_ref(), keep, &calibration)?;
        Ok(costs.into_iter().filter(|cost| parts.contains_key(&cost.part)).collect())
    };
    let Gated { made: (format, after), kept, costs, .. } = gated(limits, &parts, &mut attempt, &mut costs)?;
    Ok(OnnxInt8 { format, before, after, kept, costs })
}

impl Limits {
    /// Whether a score may be `after` where it was `before`.
    fn allow(self, before: f64, after: f64) -> bool {
        /// Of the differences of numbers such as 0.995 from 1.
        const ROUNDING: f64 = 1e-9;
        (before - after) * 100.0 <= self.allowed + ROUNDING
    }
}

/// Something in integers, and the scores by which it is judged.
struct Attempt<T> {
    made: T,
    before: f64,
    after: f64,
}

/// What loses no more than allowed.
struct Gated<T> {
    made: T,
    /// The weights or products that stay in floating point, and the parts that they are.
    keep: BTreeSet<String>,
    kept: Vec<String>,
    costs: Vec<Cost>,
}

/// What `attempt` makes with nothing kept in floating point. Where its score is too low, it is refused, or the costliest part is kept, and the next
/// one, until it is not.
fn gated<T>(
    limits: Limits,
    parts: &BTreeMap<String, BTreeSet<String>>,
    attempt: &mut dyn FnMut(&BTreeSet<String>) -> Result<Attempt<T>>,
    costs_of: &mut dyn FnMut() -> Result<Vec<Cost>>,
) -> Result<Gated<T>> {
    let (mut keep, mut kept, mut costs) = (BTreeSet::new(), Vec::new(), Vec::new());
    loop {
        let Attempt { made, before, after } = attempt(&keep)?;
        if limits.allow(before, after) {
            return Ok(Gated { made, keep, kept, costs });
        }
        if costs.is_empty() {
            costs = costs_of()?;
        }
        let next = costs.get(kept.len());
        let Some(next) = next.filter(|_| limits.mend) else {
            let worst = costs.iter().take(NAMED).map(|cost| format!("{} ({:.3})", cost.part, cost.error));
            let told = match next {
                Some(_) => format!("what changes the outputs most: {}", worst.collect::<Vec<_>>().join(", ")),
                None => "every part is in floating point already".into(),
            };
            return Err(Error::Int8Loses { before, after, allowed: limits.allowed, told });
        };
        keep.extend(parts[&next.part].iter().cloned());
        kept.push(next.part.clone());
    }
}

fn padded(batch: &EncodedBatch) -> Padded {
    Padded {
        batch: batch.batch,
        length: batch.seq,
        ids: batch.ids.clone(),
        segments: batch.type_ids.clone(),
        mask: batch.mask.iter().map(|&seen| i32::from(seen)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> BTreeMap<String, BTreeSet<String>> {
        ["a", "b", "c"].map(|part| (part.to_owned(), [format!("{part}.1"), format!("{part}.2")].into())).into()
    }

    /// A model that scores 0.9, of which part `a` loses 0.01, `b` 0.04 and `c` nothing.
    fn score(keep: &BTreeSet<String>) -> f64 {
        let lost = |part: &str, points: f64| if keep.contains(part) { 0.0 } else { points };
        0.9 - lost("a.1", 0.01) - lost("b.2", 0.04)
    }

    fn costs() -> Result<Vec<Cost>> {
        Ok([("b", 0.5), ("a", 0.2), ("c", 0.01)].map(|(part, error)| Cost { part: part.into(), error }).into())
    }

    fn run(allowed: f64, mend: bool) -> Result<Gated<f64>> {
        let mut attempt = |keep: &BTreeSet<String>| Ok(Attempt { made: score(keep), before: 0.9, after: score(keep) });
        gated(Limits { allowed, mend }, &parts(), &mut attempt, &mut costs)
    }

    #[test]
    fn what_loses_too_much_is_refused_with_the_parts_that_cost_most() {
        assert!(run(6.0, false).unwrap().kept.is_empty());
        let message = run(0.5, false).err().unwrap().to_string();
        assert!(message.contains("int8 scores 85.00, which is 5.00 points less than 90.00"), "{message}");
        assert!(message.ends_with("b (0.500), a (0.200), c (0.010)"), "{message}");
    }

    #[test]
    fn exactly_what_is_allowed_passes() {
        assert!(Limits { allowed: 0.5, mend: false }.allow(1.0, 0.995));
        assert!(!Limits { allowed: 0.5, mend: false }.allow(1.0, 0.994));
        assert!(!Limits { allowed: 100.0, mend: false }.allow(1.0, f64::NAN));
    }

    #[test]
    fn the_costliest_parts_go_back_to_floating_point_until_little_is_lost() {
        let Gated { kept, keep, made: after, .. } = run(1.5, true).unwrap();
        assert_eq!((kept, keep.len(), after), (vec!["b".to_owned()], 2, 0.89));
        assert_eq!(run(0.5, true).unwrap().kept, ["b", "a"]);
        let message = run(-1.0, true).err().unwrap().to_string();
        assert!(message.ends_with("every part is in floating point already"), "{message}");
    }

    #[test]
    fn all_weights_that_are_computed_in_integers_belong_to_a_part() {
        for (path, part) in [
            ("encoder.embeddings.word_embeddings.weight", "words"),
            ("encoder.embeddings.projection.weight", "encoder.embeddings"),
            ("encoder.layers.3.attention.query.weight", "encoder.layers.3.attention"),
            ("encoder.layers.10.feed_forward.blocks.2.dense1.weight", "encoder.layers.10.feed_forward"),
            ("encoder.layers.0.bottleneck.input.weight", "encoder.layers.0.attention"),
            ("pooler.weight", "pooler"),
            ("prediction.dense.weight", "prediction.dense"),
        ] {
            assert_eq!(part_of(path), part);
        }
    }
}
