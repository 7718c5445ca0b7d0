//! Vectors of texts.

use glue_squad::features::Features;
use tokenizer::Padding;

use crate::predictor::Text;
use crate::{Error, Predictor, Result};

impl Predictor {
    /// The vector of each text by head `head`, which makes vectors.
    ///
    /// # Errors
    /// The model does not take the texts, or answers with NaN or infinity.
    pub fn vectors(&mut self, texts: &[Text], head: usize) -> Result<Vec<Vec<f32>>> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let features: Vec<Features> = texts.iter().map(|text| text.features.clone()).collect();
        let padding =
            Padding { pad_id: self.tokenizer.pad_id(), multiple: 1, max_len: self.config.max_position_embeddings };
        let values = self.model.answer(&features, padding, &[head])?.remove(0);
        let width = values.len() / texts.len();
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::NotFinite { text: at / width, task: self.config.task_heads[head].task.clone() });
        }
        Ok(values.chunks(width).map(<[f32]>::to_vec).collect())
    }
}
