//! Measured milliseconds of a forward pass.

use std::time::Instant;

use bert_core::{BertConfig, EncodeOptions, Parts, TaskModel, TokenBatch, freeze, student_config};
use burn::tensor::Device;
use cpu_runtime::{Outputs, Session};
use mlp_space::Architecture;
use nas::budget::Latency;

use crate::recipe::LatencySettings;
use crate::{Error, Result};

/// Passes before the measured ones.
const WARM_UP_PASSES: usize = 3;

/// Median milliseconds of one forward pass of the encoder, as `eval` and `predict` run it: on the CPU compiled, with as many
/// threads as the current pool has.
///
/// # Errors
/// `model` is not the model of `config`, or the device does not compute in the precision of `settings`.
pub fn median_ms(model: &TaskModel, config: &BertConfig, settings: LatencySettings, device: &Device) -> Result<f64> {
    check_precision(settings, device)?;
    let n = settings.batch * settings.seq;
    // Ids spread over the vocabulary, so that the table look-ups miss the cache as text does.
    let ids = (0..n).map(|i| i.wrapping_mul(7919) % config.vocab_size);
    if on_cpu(device) {
        let frozen = freeze(model, config, settings.precision)?;
        let ids: Vec<u32> = ids.map(|id| id as u32).collect();
        let offsets: Vec<usize> = (0..=settings.batch).map(|s| s * settings.seq).collect();
        let batch = cpu_runtime::Batch { ids: &ids, offsets: &offsets, ..cpu_runtime::Batch::default() };
        let mut session = Session::new(rayon::current_num_threads());
        return median(settings.runs, || {
            session.run(&frozen, &batch, Outputs::default()).map(|_| ()).map_err(|e| bert_core::Error::from(e).into())
        });
    }
    let ids: Vec<i32> = ids.map(|id| id as i32).collect();
    let batch = TokenBatch::from_host([settings.batch, settings.seq], &ids, &vec![0; n], &vec![1; n], device);
    median(settings.runs, || {
        let out = model.encode(&batch, EncodeOptions::LAST).last_hidden;
        // Reading one value waits for the device.
        let _ = out.narrow(0, 0, 1).narrow(1, 0, 1).narrow(2, 0, 1).into_data();
        Ok(())
    })
}

/// Whether tensors of `device` live in the memory of the processor.
pub(crate) fn on_cpu(device: &Device) -> bool {
    *device == Device::flex()
}

/// Checks that the device computes in the number format to be measured.
pub(crate) fn check_precision(settings: LatencySettings, device: &Device) -> Result<()> {
    if settings.precision == encoder_spec::Precision::F32 || on_cpu(device) {
        return Ok(());
    }
    Err(Error::Mismatch("`latency.precision`: other formats than \"f32\" are computed on the CPU only".into()))
}

fn median(runs: usize, mut pass: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut timed = || {
        let start = Instant::now();
        pass()?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    };
    for _ in 0..WARM_UP_PASSES {
        timed()?;
    }
    let mut times = (0..runs).map(|_| timed()).collect::<Result<Vec<f64>>>()?;
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
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

impl Latency<Architecture> for CandidateLatency {
    fn measure(&mut self, genome: &Architecture) -> std::result::Result<f64, String> {
        let config = student_config(&self.frame, genome).map_err(|e| e.to_string())?;
        let model = TaskModel::new(&config, Parts::default(), &self.device).map_err(|e| e.to_string())?;
        let model = model.initialized(&config, 0);
        median_ms(&model, &config, self.settings, &self.device).map_err(|e| e.to_string())
    }
}
