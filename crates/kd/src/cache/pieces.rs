//! The tensors of an entry, on the device and in host memory.

use bert_core::{EncodeOptions, EncoderOutput};
use burn::tensor::{DType, Device, Tensor, TensorData, f16};

use super::Format;
use super::key::Asked;
use crate::objective::{Feature, Plan};

/// The layers of a teacher that an objective looks at, as positions in [`EncoderOutput`]'s lists, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TeacherLayers {
    /// In [`EncoderOutput::hidden_states`].
    pub states: Vec<usize>,
    /// In [`EncoderOutput::attention_scores`].
    pub scores: Vec<usize>,
    /// In [`EncoderOutput::values`].
    pub values: Vec<usize>,
}

impl TeacherLayers {
    /// Those that the terms of `plan` compare in any step.
    pub fn of(plan: &Plan) -> Self {
        let mut layers = Self::default();
        for entry in plan.layers() {
            match entry.feature {
                Feature::Embedding | Feature::Hidden => layers.states.push(entry.teacher),
                // Without the embedding, the first layer stands first.
                Feature::AttentionScores | Feature::AttentionProbs => {
                    layers.scores.extend(entry.teacher.checked_sub(1));
                }
                Feature::ValueRelation => layers.values.extend(entry.teacher.checked_sub(1)),
            }
        }
        for list in [&mut layers.states, &mut layers.scores, &mut layers.values] {
            list.sort_unstable();
            list.dedup();
        }
        layers
    }

    /// Those of them that `options` ask for.
    pub(super) fn asked(&self, options: EncodeOptions) -> Self {
        let list = |asked: bool, list: &[usize]| if asked { list.to_vec() } else { Vec::new() };
        Self {
            states: list(options.hidden_states, &self.states),
            scores: list(options.attention_scores, &self.scores),
            values: list(options.values, &self.values),
        }
    }
}

/// Scores of a head.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// `[batch, outputs]`
    Logits(Tensor<2>),
    /// `[batch, seq, 2]`
    Spans(Tensor<3>),
}

/// What is kept of an answer, layers in ascending order.
#[derive(Clone, Debug)]
pub(super) struct Pieces {
    states: Vec<Tensor<3>>,
    scores: Vec<Tensor<4>>,
    values: Vec<Tensor<4>>,
    answer: Option<Answer>,
}

impl Pieces {
    /// What `layers` name of `output`; `None` where the teacher has fewer layers.
    pub(super) fn of(output: &EncoderOutput, layers: &TeacherLayers, answer: Option<Answer>) -> Option<Self> {
        fn pick<const D: usize>(list: &[Tensor<D>], layers: &[usize]) -> Option<Vec<Tensor<D>>> {
            layers.iter().map(|&i| list.get(i).cloned()).collect()
        }
        Some(Self {
            states: pick(&output.hidden_states, &layers.states)?,
            scores: pick(&output.attention_scores, &layers.scores)?,
            values: pick(&output.values, &layers.values)?,
            answer,
        })
    }

    /// An output that has what `layers` name and is empty elsewhere, and the answer.
    pub(super) fn output(self, layers: &TeacherLayers) -> (EncoderOutput, Option<Answer>) {
        fn spread<const D: usize>(tensors: Vec<Tensor<D>>, layers: &[usize]) -> Vec<Tensor<D>> {
            let mut list: Vec<Tensor<D>> = Vec::new();
            for (tensor, &layer) in tensors.into_iter().zip(layers) {
                list.resize_with(layer, nothing);
                list.push(tensor);
            }
            list
        }
        let output = EncoderOutput {
            hidden_states: spread(self.states, &layers.states),
            attention_scores: spread(self.scores, &layers.scores),
            values: spread(self.values, &layers.values),
            last_hidden: nothing(),
        };
        (output, self.answer)
    }

    /// Bytes on the device.
    pub(super) fn bytes(&self) -> u64 {
        fn of<const D: usize>(tensor: &Tensor<D>) -> u64 {
            (tensor.shape().num_elements() * tensor.dtype().size()) as u64
        }
        let answer = match &self.answer {
            None => 0,
            Some(Answer::Logits(t)) => of(t),
            Some(Answer::Spans(t)) => of(t),
        };
        let rest = self.scores.iter().chain(&self.values).map(of).sum::<u64>();
        self.states.iter().map(of).sum::<u64>() + rest + answer
    }

    /// In host memory; `None` where a tensor is not of `f32`.
    pub(super) fn to_host(&self, format: Format) -> Option<Vec<TensorData>> {
        let mut pieces = Vec::new();
        for tensor in &self.states {
            pieces.push(host(tensor, format)?);
        }
        for tensor in self.scores.iter().chain(&self.values) {
            pieces.push(host(tensor, format)?);
        }
        match &self.answer {
            None => {}
            Some(Answer::Logits(tensor)) => pieces.push(host(tensor, format)?),
            Some(Answer::Spans(tensor)) => pieces.push(host(tensor, format)?),
        }
        Some(pieces)
    }

    /// Back on a device; `None` where it does not fit `layers` and `asked` for a batch of `rows` examples.
    pub(super) fn from_host(
        pieces: Vec<TensorData>,
        layers: &TeacherLayers,
        asked: Asked,
        rows: usize,
        device: &Device,
    ) -> Option<Self> {
        fn take<const D: usize>(
            from: &mut std::vec::IntoIter<TensorData>,
            count: usize,
            rows: usize,
            device: &Device,
        ) -> Option<Vec<Tensor<D>>> {
            let piece = |p: TensorData| {
                let fits = p.rank() == D && p.shape().to_vec().first() == Some(&rows);
                fits.then(|| Tensor::from_data(p.convert::<f32>(), device))
            };
            (0..count).map(|_| from.next().and_then(piece)).collect()
        }
        let mut from = pieces.into_iter();
        let states = take(&mut from, layers.states.len(), rows, device)?;
        let scores = take(&mut from, layers.scores.len(), rows, device)?;
        let values = take(&mut from, layers.values.len(), rows, device)?;
        let answer = match asked {
            Asked::States(_) => None,
            Asked::Answers(_) => Some(Answer::Logits(take(&mut from, 1, rows, device)?.pop()?)),
            Asked::Spans(_) => Some(Answer::Spans(take(&mut from, 1, rows, device)?.pop()?)),
        };
        from.next().is_none().then_some(Self { states, scores, values, answer })
    }
}

/// An empty tensor, for layers that are not kept: no loss accepts it.
fn nothing<const D: usize>() -> Tensor<D> {
    Tensor::from_data(TensorData::new(Vec::<f32>::new(), [0; D]), &Device::flex())
}

fn host<const D: usize>(tensor: &Tensor<D>, format: Format) -> Option<TensorData> {
    if tensor.dtype() != DType::F32 {
        return None;
    }
    let values = tensor.clone().try_into_vec_as::<f32>().ok()?;
    Some(in_format(values, tensor.dims().to_vec(), format))
}

fn in_format(values: Vec<f32>, shape: Vec<usize>, format: Format) -> TensorData {
    if format == Format::F32 {
        return TensorData::new(values, shape);
    }
    let halves: Vec<f16> = values.iter().map(|&v| f16::from_f32(v)).collect();
    // An infinity where there was a number would be another teacher.
    let overflown = halves.iter().zip(&values).any(|(half, value)| half.is_infinite() && value.is_finite());
    if overflown { TensorData::new(values, shape) } else { TensorData::new(halves, shape) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_beyond_half_precision_keep_their_tensor_exact() {
        let f16s = |values: &[f32]| in_format(values.to_vec(), vec![values.len()], Format::F16);
        let fits = f16s(&[1.0, -10_000.3, 65504.0]);
        assert_eq!((fits.dtype(), fits.as_bytes().len()), (DType::F16, 6));
        assert_eq!(fits.convert::<f32>().try_to_vec::<f32>().unwrap(), [1.0, -10_000.0, 65504.0]);
        let exact = f16s(&[0.1, 70_000.0]);
        assert_eq!(exact.try_to_vec::<f32>().unwrap(), [0.1, 70_000.0]);
        let odd = f16s(&[f32::INFINITY, f32::NAN]).try_to_vec::<f16>().unwrap();
        assert!(odd[0].is_infinite() && odd[1].is_nan(), "what is not finite stays so");
    }

    #[test]
    fn pieces_of_another_number_rank_or_batch_are_refused() {
        let piece = |shape: &[usize]| TensorData::new(vec![0.5f32; shape.iter().product()], shape.to_vec());
        let layers = TeacherLayers { states: vec![2], scores: vec![0], values: vec![] };
        let found = |pieces: Vec<TensorData>| Pieces::from_host(pieces, &layers, Asked::Answers(0), 2, &Device::flex());
        let right = || vec![piece(&[2, 3, 4]), piece(&[2, 1, 3, 3]), piece(&[2, 5])];
        let (output, answer) = found(right()).unwrap().output(&layers);
        assert_eq!(output.hidden_states.iter().map(|t| t.dims()[0]).collect::<Vec<_>>(), [0, 0, 2]);
        assert_eq!((output.attention_scores.len(), output.values.len()), (1, 0));
        assert!(matches!(answer, Some(Answer::Logits(t)) if t.dims() == [2, 5]));
        for wrong in [
            right()[..2].to_vec(),
            [right(), vec![piece(&[2, 2])]].concat(),
            vec![piece(&[2, 3, 4]), piece(&[2, 3, 3]), piece(&[2, 5])],
            vec![piece(&[1, 3, 4]), piece(&[2, 1, 3, 3]), piece(&[2, 5])],
        ] {
            assert!(found(wrong).is_none());
        }
    }
}
