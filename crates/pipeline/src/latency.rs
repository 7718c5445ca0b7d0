//! Measured milliseconds of a forward pass.

use std::time::Instant;

use bert_core::{BertConfig, EncodeOptions, Encoder, TokenBatch};
use burn::tensor::Device;
use nas::budget::Latency;
use nas::space::Genome;
use searched_ffn::{AnyModel, Parts, student_config};

use crate::recipe::LatencySettings;

/// Passes before the measured ones.
const WARM_UP_PASSES: usize = 3;

/// Median milliseconds of one forward pass of the encoder.
pub fn median_ms(model: &dyn Encoder, vocab: usize, settings: LatencySettings, device: &Device) -> f64 {
    let n = settings.batch * settings.seq;
    // Ids spread over the vocabulary, so that the table look-ups miss the cache as text does.
    let ids: Vec<i32> = (0..n).map(|i| (i.wrapping_mul(7919) % vocab) as i32).collect();
    let batch = TokenBatch::from_host([settings.batch, settings.seq], &ids, &vec![0; n], &vec![1; n], device);
    let pass = || {
        let start = Instant::now();
        let out = model.encode(&batch, EncodeOptions::LAST).last_hidden;
        // Reading one value waits for the device.
        let _ = out.narrow(0, 0, 1).narrow(1, 0, 1).narrow(2, 0, 1).into_data();
        start.elapsed().as_secs_f64() * 1e3
    };
    for _ in 0..WARM_UP_PASSES {
        pass();
    }
    let mut times: Vec<f64> = (0..settings.runs).map(|_| pass()).collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Measures candidates of a search at random weights (latency does not depend on their values).
#[derive(Debug)]
pub struct CandidateLatency {
    /// The student's frame.
    pub frame: BertConfig,
    /// How to measure.
    pub settings: LatencySettings,
    /// Where.
    pub device: Device,
}

impl Latency for CandidateLatency {
    fn measure(&mut self, genome: &Genome) -> std::result::Result<f64, String> {
        let config = student_config(&self.frame, genome).map_err(|e| e.to_string())?;
        let model = AnyModel::build(&config, Parts::default(), &self.device).map_err(|e| e.to_string())?;
        let model = model.initialised(&config, 0);
        Ok(median_ms(&model, config.vocab_size, self.settings, &self.device))
    }
}
