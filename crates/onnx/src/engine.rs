//! Runs ONNX files, by the engine `rten`.

use rten::{ModelOptions, NodeId, ValueOrView};

use crate::{Error, OnnxFile, Result};

/// Token ids of several texts, padded to one length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Padded {
    /// Number of texts.
    pub batch: usize,
    /// Length of the longest.
    pub length: usize,
    /// Token ids, `[batch, length]`.
    pub ids: Vec<i32>,
    /// Segments, `[batch, length]`.
    pub segments: Vec<i32>,
    /// 1 for a token, 0 for padding, `[batch, length]`.
    pub mask: Vec<i32>,
}

impl Padded {
    /// Texts as ids and segments, padded with `pad`.
    pub fn new<'t>(texts: impl IntoIterator<Item = (&'t [u32], &'t [u8])>, pad: u32) -> Self {
        let texts: Vec<_> = texts.into_iter().collect();
        let length = texts.iter().map(|(ids, _)| ids.len()).max().unwrap_or(0);
        let mut padded = Self { batch: texts.len(), length, ..Self::default() };
        for (ids, segments) in texts {
            let rest = length - ids.len();
            let segments = segments.iter().map(|&s| i32::from(s)).chain(std::iter::repeat(0));
            padded.ids.extend(ids.iter().map(|&id| id as i32).chain(std::iter::repeat_n(pad as i32, rest)));
            padded.segments.extend(segments.take(length));
            padded.mask.extend(std::iter::repeat_n(1, ids.len()).chain(std::iter::repeat_n(0, rest)));
        }
        padded
    }
}

/// A loaded ONNX file.
pub struct Engine {
    name: String,
    model: rten::Model,
}

impl Engine {
    /// Loads a file.
    ///
    /// # Errors
    /// It has something that the engine doesn't know.
    pub fn new(file: &OnnxFile) -> Result<Self> {
        Self::with(file, true)
    }

    /// The same, but every value of the graph can be asked for, also one that is no output.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn of_all_values(file: &OnnxFile) -> Result<Self> {
        Self::with(file, false)
    }

    fn with(file: &OnnxFile, optimized: bool) -> Result<Self> {
        let mut options = ModelOptions::with_all_ops();
        options.enable_optimization(optimized).prepack_weights(optimized);
        if let Some((name, bytes)) = &file.data {
            options.external_data(name, bytes.clone());
        }
        let model = options.load(file.model.clone()).map_err(|e| run_error(&file.name, &e))?;
        Ok(Self { name: file.name.clone(), model })
    }

    /// The values of these names for a batch, each in row-major order.
    ///
    /// # Errors
    /// There is no such value, or the engine stops.
    pub fn run(&self, batch: &Padded, names: &[&str]) -> Result<Vec<Vec<f32>>> {
        let outputs: Vec<NodeId> = names.iter().map(|name| self.id(name)).collect::<Result<_>>()?;
        let shape = [batch.batch, batch.length];
        let given = [("input_ids", &batch.ids), ("attention_mask", &batch.mask), ("token_type_ids", &batch.segments)];
        let mut inputs: Vec<(NodeId, ValueOrView<'_>)> = Vec::new();
        for (name, values) in given {
            let Some(id) = self.model.find_node(name).filter(|id| self.model.input_ids().contains(id)) else {
                continue;
            };
            let value = rten::ValueView::from_shape(shape, values).map_err(|e| run_error(&self.name, &e))?;
            inputs.push((id, value.into()));
        }
        let values = self.model.run(inputs, &outputs, None).map_err(|e| run_error(&self.name, &e))?;
        let read = |value: rten::Value| {
            let tensor: rten_tensor::Tensor<f32> = value.try_into().map_err(|e| run_error(&self.name, &e))?;
            Ok(tensor.into_data())
        };
        values.into_iter().map(read).collect()
    }

    fn id(&self, name: &str) -> Result<NodeId> {
        self.model.node_id(name).map_err(|e| run_error(&self.name, &e))
    }
}

fn run_error(file: &str, error: &dyn std::fmt::Display) -> Error {
    Error::Run { file: file.to_owned(), message: error.to_string() }
}
