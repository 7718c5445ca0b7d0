//! Texts, and the way between padded batches and columns of tokens.

use bert_core::{Embeddings, TokenBatch};
use burn::tensor::{Device, Tensor, TensorData};
use glue_squad::batch::EncodedBatch;
use linear_fit::Matrix;
use train::data::to_device;

use crate::{Error, Result};

/// Tokens that are enough: a few hundred texts of the usual length. With half of them a student of MiniLM is fitted to the sample more than to its
/// teacher (docs/results/inherit.md).
const TOKENS: usize = 32_768;

/// Texts on which a student is fitted to its teacher. Its values are matrices with a column per real token, padding left out.
#[derive(Clone, Debug)]
pub struct Sample {
    batches: Vec<TokenBatch>,
    masks: Vec<Tensor<4>>,
    /// By batch, the flat positions of real tokens.
    tokens: Vec<Vec<usize>>,
    /// Columns of each text's first token.
    first: Vec<usize>,
    /// By token: id, position and segment.
    places: Vec<[usize; 3]>,
    device: Device,
}

impl Sample {
    /// The texts of some batches.
    ///
    /// # Errors
    /// There is no token in them.
    pub fn new<'b>(batches: impl IntoIterator<Item = &'b EncodedBatch>, device: &Device) -> Result<Self> {
        let mut sample = Self {
            batches: Vec::new(),
            masks: Vec::new(),
            tokens: Vec::new(),
            first: Vec::new(),
            places: Vec::new(),
            device: device.clone(),
        };
        for batch in batches {
            sample.add(batch);
        }
        match sample.places.is_empty() {
            true => Err(Error::FromTeacher("there are no texts to compare the student with its teacher on".into())),
            false => Ok(sample),
        }
    }

    /// The first batches of a training, up to about 33,000 tokens or `epoch` batches.
    ///
    /// # Errors
    /// What `batch` gives; no tokens.
    pub fn of_training(epoch: u64, batch: impl FnMut(u64) -> Result<EncodedBatch>, device: &Device) -> Result<Self> {
        Self::of_tokens(TOKENS, epoch, batch, device)
    }

    /// The same up to about `most` tokens.
    ///
    /// # Errors
    /// What `batch` gives; no tokens.
    pub fn of_tokens(
        most: usize,
        epoch: u64,
        mut batch: impl FnMut(u64) -> Result<EncodedBatch>,
        device: &Device,
    ) -> Result<Self> {
        let (mut batches, mut tokens) = (Vec::new(), 0);
        for step in 0..epoch {
            if tokens >= most {
                break;
            }
            let next = batch(step)?;
            tokens += next.tokens();
            batches.push(next.stacked());
        }
        Self::new(&batches, device)
    }

    fn add(&mut self, batch: &EncodedBatch) {
        let mut tokens = Vec::with_capacity(batch.tokens());
        for (place, _) in batch.mask.iter().enumerate().filter(|(_, real)| **real != 0) {
            if place % batch.seq == 0 {
                self.first.push(self.places.len());
            }
            tokens.push(place);
            let (id, segment) = (batch.ids[place] as usize, batch.type_ids[place] as usize);
            self.places.push([id, place % batch.seq, segment]);
        }
        self.tokens.push(tokens);
        let on_device = to_device(batch, &self.device);
        // BERT's constant, as the encoder adds it.
        let bias = (on_device.mask.clone() * -1.0 + 1.0) * -10_000.0;
        self.masks.push(bias.reshape([batch.batch, 1, 1, batch.seq]));
        self.batches.push(on_device);
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are no tokens; never, since construction refuses that.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Number of texts.
    pub fn texts(&self) -> usize {
        self.first.len()
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Columns of the first tokens.
    pub(super) fn first(&self) -> &[usize] {
        &self.first
    }

    /// Id, position and segment of each token.
    pub(super) fn places(&self) -> &[[usize; 3]] {
        &self.places
    }

    /// How much each token counts, where the first one of a text counts `first`.
    pub(super) fn counts(&self, first: f64) -> Vec<f64> {
        let mut counts = vec![1.0; self.len()];
        self.first.iter().for_each(|&token| counts[token] = first);
        counts
    }

    /// Evenly spread tokens, at most `most`.
    pub(super) fn some(&self, most: usize) -> Vec<usize> {
        let step = self.len().div_ceil(most).max(1);
        (0..self.len()).step_by(step).collect()
    }

    /// Output of a model's embedding.
    pub(crate) fn embedded(&self, embeddings: &Embeddings) -> Vec<Tensor<3>> {
        self.batches.iter().map(|batch| embeddings.forward(batch)).collect()
    }

    /// Something of every batch.
    pub(super) fn of_batches(&self, make: impl Fn(&TokenBatch) -> Tensor<3>) -> Vec<Tensor<3>> {
        self.batches.iter().map(make).collect()
    }

    /// Hidden states, batch by batch with its mask, through something.
    pub(crate) fn through(
        &self,
        states: Vec<Tensor<3>>,
        layer: impl Fn(Tensor<3>, Tensor<4>) -> Tensor<3>,
    ) -> Vec<Tensor<3>> {
        states.into_iter().zip(&self.masks).map(|(x, mask)| layer(x, mask.clone())).collect()
    }

    /// The real tokens of padded states, `[width, tokens]`.
    pub(crate) fn gather(&self, states: &[Tensor<3>]) -> Matrix {
        let width = states.first().map_or(0, |states| states.dims()[2]);
        let mut values = Vec::with_capacity(width * self.len());
        for (states, tokens) in states.iter().zip(&self.tokens) {
            let data = states.clone().try_into_vec_as::<f32>().expect("float tensors convert to f32");
            for &token in tokens {
                values.extend(data[token * width..][..width].iter().map(|&v| f64::from(v)));
            }
        }
        Matrix::from_vec(width, self.len(), values)
    }

    /// Padded states of the tokens' values, 0 on padding.
    pub(super) fn scatter(&self, values: &Matrix) -> Vec<Tensor<3>> {
        let width = values.nrows();
        let mut columns = values.column_iter();
        let pad = |(batch, tokens): (&TokenBatch, &Vec<usize>)| {
            let [size, seq] = batch.dims();
            let mut data = vec![0.0f32; size * seq * width];
            for (&token, column) in tokens.iter().zip(&mut columns) {
                data[token * width..][..width].iter_mut().zip(&column).for_each(|(to, &v)| *to = v as f32);
            }
            Tensor::from_data(TensorData::new(data, [size, seq, width]), &self.device)
        };
        self.batches.iter().zip(&self.tokens).map(pad).collect()
    }
}
