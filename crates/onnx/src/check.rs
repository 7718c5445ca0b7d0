//! Whether a file computes what its model does.

use cpu_runtime::{Model, Outputs, Packing, Precision, Ragged, Session};
use encoder_spec::{Encoder, MappedTensor, MlmHead, Normalization, TaskHeadConfig, TaskHeadKind, Transform};

use crate::engine::{Engine, Padded};
use crate::outputs::Output;
use crate::{Error, OnnxFile, Result};

/// Lengths of the texts that are compared; the longest fits every model.
const LENGTHS: [usize; 5] = [1, 3, 8, 13, 24];

/// What is compared, and how closely.
#[derive(Clone, Copy, Debug)]
pub struct Check<'a> {
    /// The outputs of the file, in the order of `names`.
    pub outputs: &'a [Output],
    /// Their names.
    pub names: &'a [Vec<String>],
    /// The heads of the model.
    pub heads: &'a [TaskHeadConfig],
    /// The largest difference, relative to the largest value where that is above 1.
    pub allowed: f64,
}

/// Runs `file` and the model `encoder`, and compares their outputs on drawn token ids of mixed length, padded in one batch.
/// Gives the largest difference.
///
/// # Errors
/// The file doesn't run, or an output differs by more than is allowed.
pub fn check(file: &OnnxFile, encoder: Encoder<MappedTensor>, check: &Check<'_>) -> Result<f64> {
    let rows = encoder.embedding.words.shape[0];
    let segments = encoder.embedding.segments.as_ref().map_or(1, |table| table.shape[0].min(2));
    let texts = drawn(rows, segments, encoder.embedding.longest);
    let names: Vec<&str> = check.names.iter().flatten().map(String::as_str).collect();
    let padded = Padded::new(texts.iter().map(|(ids, segments)| (ids.as_slice(), segments.as_slice())), 0);
    let mut found = Engine::new(file)?.run(&padded, &names)?.into_iter();
    let mut names = names.into_iter();

    let mlm = check.outputs.contains(&Output::Words).then(|| encoder.clone());
    let model = Model::compile_as(encoder, Precision::F32, Packing::AtUse)?;
    let mut ragged = Ragged::new();
    texts.iter().for_each(|(ids, segments)| ragged.push(ids, segments.iter().map(|&s| u32::from(s))));
    let mut session = Session::new(1);
    let mut most = 0.0;
    for output in check.outputs {
        let heads: &[usize] = if let Output::Head(index) = output { &[*index] } else { &[] };
        let ran = session.run(&model, &ragged.as_batch(), Outputs { pooled: false, heads })?;
        let expected: Vec<Vec<f32>> = match output {
            Output::Hidden => vec![ran.hidden.to_vec()],
            Output::Words => vec![words(ran.hidden, mlm.as_ref().expect("kept for the words"))],
            Output::Head(index) => answers(ran.heads().next().unwrap_or_default(), &check.heads[*index]),
        };
        // Where a text has one value for each token, padding has some, too.
        let by_token = !matches!(output, Output::Head(index) if !check.heads[*index].kind.is_on_tokens());
        for expected in expected {
            let (found, name) = (found.next().unwrap_or_default(), names.next().unwrap_or_default());
            let found = if by_token { unpadded(&found, &padded) } else { found };
            let difference = difference(&found, &expected);
            if difference.is_nan() || difference > check.allowed {
                let (file, output) = (file.name.clone(), name.to_owned());
                return Err(Error::Differs { file, output, difference, allowed: check.allowed });
            }
            most = f64::max(most, difference);
        }
    }
    Ok(most)
}

/// Texts of mixed length from ids that a model has, the same ones each time.
fn drawn(rows: usize, segments: usize, longest: usize) -> Vec<(Vec<u32>, Vec<u8>)> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as usize) % below
    };
    let text = |length: usize| {
        let ids = (0..length).map(|_| next(rows) as u32).collect();
        let segment = move |at: usize| if segments > 1 && 2 * at > length { 1 } else { 0 };
        (ids, (0..length).map(segment).collect())
    };
    LENGTHS.into_iter().map(|length| length.min(longest)).map(text).collect()
}

/// The answers of a head as the file's outputs have them.
fn answers(values: &[f32], head: &TaskHeadConfig) -> Vec<Vec<f32>> {
    match (head.kind, head.scale) {
        (TaskHeadKind::Span, _) => (0..2).map(|at| values.iter().skip(at).step_by(2).copied().collect()).collect(),
        (TaskHeadKind::Regression, Some(scale)) => {
            let number = |&v: &f32| (scale.mean + f64::from(v) * scale.deviation) as f32;
            vec![values.iter().map(number).collect()]
        }
        _ => vec![values.to_vec()],
    }
}

/// The values of the tokens that are no padding.
fn unpadded(values: &[f32], padded: &Padded) -> Vec<f32> {
    let width = values.len() / padded.mask.len().max(1);
    let seen = values.chunks(width.max(1)).zip(&padded.mask).filter(|(_, seen)| **seen == 1);
    seen.flat_map(|(values, _)| values.iter().copied()).collect()
}

/// The largest difference, relative to the largest expected value where that is above 1; infinite where the counts differ.
fn difference(found: &[f32], expected: &[f32]) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let scale = expected.iter().fold(1.0, |most, v| f64::max(most, f64::from(v.abs())));
    let differences = found.iter().zip(expected).map(|(a, b)| f64::from(a - b).abs() / scale);
    differences.fold(0.0, |most, d| if d > most || d.is_nan() { d } else { most })
}

/// Scores of words, in plain loops: the runtime has no such head.
fn words(hidden: &[f32], encoder: &Encoder<MappedTensor>) -> Vec<f32> {
    let (width, table) = (encoder.hidden(), &encoder.embedding.words);
    let MlmHead { transform, bias, extra } = encoder.mlm.as_ref().expect("a model with words as output has the head");
    let transform = transform.as_ref().or(encoder.prediction.as_ref());
    let [rows, embed] = table.shape[..] else { return Vec::new() };
    let mut scores = Vec::with_capacity(hidden.len() / width * rows);
    for token in hidden.chunks(width) {
        let x = transform.map_or_else(|| token.iter().map(|&v| f64::from(v)).collect(), |t| transformed(token, t));
        let dot = |row: &[f32]| row.iter().zip(&x).map(|(&w, x)| f64::from(w) * x).sum::<f64>();
        scores.extend((0..rows).map(|word| {
            let further = extra.as_ref().map_or(0.0, |extra| {
                x[embed..].iter().enumerate().map(|(i, x)| f64::from(extra.data[i * rows + word]) * x).sum()
            });
            let bias = bias.as_ref().map_or(0.0, |bias| f64::from(bias.data[word]));
            (dot(&table.data[word * embed..(word + 1) * embed]) + further + bias) as f32
        }));
    }
    scores
}

/// `Norm(act(W h + b))`.
fn transformed(token: &[f32], transform: &Transform<MappedTensor>) -> Vec<f64> {
    let Transform { dense, activation, norm } = transform;
    let (inputs, values) = (dense.inputs(), &dense.weight.data);
    let mut y: Vec<f32> = (0..dense.outputs())
        .map(|o| {
            let sum: f64 = (0..inputs).map(|i| f64::from(values[o * inputs + i]) * f64::from(token[i])).sum();
            (sum + dense.bias.as_ref().map_or(0.0, |bias| f64::from(bias.data[o]))) as f32
        })
        .collect();
    cpu_kernels::elementwise::Activation::from(*activation).forward_in_place(&mut y);
    let y: Vec<f64> = y.into_iter().map(f64::from).collect();
    let (mean, scale) = match norm.kind {
        Normalization::NoNorm => (0.0, 1.0),
        Normalization::LayerNorm { eps } => {
            let mean = y.iter().sum::<f64>() / y.len() as f64;
            let variance = y.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / y.len() as f64;
            (mean, 1.0 / (variance + eps).sqrt())
        }
    };
    let bias = |i: usize| norm.bias.as_ref().map_or(0.0, |bias| f64::from(bias.data[i]));
    let normed = |(i, v): (usize, &f64)| (v - mean) * scale * f64::from(norm.weight.data[i]) + bias(i);
    y.iter().enumerate().map(normed).collect()
}
