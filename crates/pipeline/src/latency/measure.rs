//! Measured passes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bert_core::{BertConfig, EncodeOptions, TaskModel, TokenBatch, freeze};
use burn::tensor::Device;
use cpu_runtime::{Model, Outputs, Session};

use crate::recipe::LatencySettings;
use crate::{Error, Result};

/// The pause between two measurements while the machine is busy.
const PAUSE: Duration = Duration::from_millis(300);
/// A machine is busy while a table's reference takes so many times its time.
pub(super) const BUSY: f64 = 1.05;

/// Passes of a model before it is timed for the first time.
const WARM_UP_PASSES: usize = 3;
/// Rounds at least and at most; short passes get more of them, until a model has been timed for as long as this, in milliseconds.
const ROUNDS: [usize; 2] = [5, 40];
const TIMED_MS: f64 = 120.0;

/// Milliseconds of one forward pass of the encoder, as `eval` and `predict` run it: on the CPU compiled, with as many threads as the
/// current pool has. The median of the quietest round of passes.
///
/// # Errors
/// `model` is not the model of `config`, or the device does not compute in the precision of `settings`.
pub fn median_ms(model: &TaskModel, config: &BertConfig, settings: LatencySettings, device: &Device) -> Result<f64> {
    check_precision(settings, device)?;
    if on_cpu(device) {
        let frozen = freeze(model, config, settings.precision)?;
        let mut timer = Timer::new(settings, config.vocab_size, rayon::current_num_threads());
        return Ok(timer.quiet_ms(&[&frozen], None)?[0]);
    }
    let n = settings.batch * settings.seq;
    let ids: Vec<i32> = ids(n, config.vocab_size).map(|id| id as i32).collect();
    let batch = TokenBatch::from_host([settings.batch, settings.seq], &ids, &vec![0; n], &vec![1; n], device);
    let pass = |_: usize| {
        let out = model.encode(&batch, EncodeOptions::LAST).last_hidden;
        // Reading one value waits for the device.
        let _ = out.narrow(0, 0, 1).narrow(1, 0, 1).narrow(2, 0, 1).into_data();
        Ok(())
    };
    Ok(quiet_rounds(1, settings.runs, None, &mut timed(pass))?[0])
}

/// Ids spread over the vocabulary, so that the table look-ups miss the cache as text does.
fn ids(n: usize, vocabulary: usize) -> impl Iterator<Item = usize> {
    (0..n).map(move |i| i.wrapping_mul(7919) % vocabulary)
}

/// Whether tensors of `device` live in the memory of the processor.
pub(crate) fn on_cpu(device: &Device) -> bool {
    *device == Device::flex()
}

/// Checks that the device computes in the number format to be measured.
///
/// # Errors
/// The device does not compute in the precision of `settings`.
pub(crate) fn check_precision(settings: LatencySettings, device: &Device) -> Result<()> {
    if settings.precision == encoder_spec::Precision::F32 || on_cpu(device) {
        return Ok(());
    }
    Err(Error::Mismatch("`latency.precision`: other formats than \"f32\" are computed on the CPU only".into()))
}

/// Runs compiled models on one batch.
pub(super) struct Timer {
    session: Session,
    ids: Vec<u32>,
    offsets: Vec<usize>,
    pub runs: usize,
    start: Instant,
}

impl Timer {
    pub fn new(settings: LatencySettings, vocabulary: usize, threads: usize) -> Self {
        Self {
            session: Session::new(threads),
            ids: ids(settings.batch * settings.seq, vocabulary).map(|id| id as u32).collect(),
            offsets: (0..=settings.batch).map(|s| s * settings.seq).collect(),
            runs: settings.runs,
            start: Instant::now(),
        }
    }

    /// One pass.
    fn pass(&mut self, model: &Model) -> Result<()> {
        let batch = cpu_runtime::Batch { ids: &self.ids, offsets: &self.offsets, ..cpu_runtime::Batch::default() };
        self.session.run(model, &batch, Outputs::default()).map(|_| ()).map_err(|e| bert_core::Error::from(e).into())
    }

    /// Latency of each model, the models in turn.
    ///
    /// # Errors
    /// A model that does not take the batch; [`Error::Interrupted`].
    pub fn quiet_ms(&mut self, models: &[&Model], stop: Option<&AtomicBool>) -> Result<Vec<f64>> {
        let runs = self.runs;
        quiet_rounds(models.len(), runs, stop, &mut timed(|number| self.pass(models[number])))
    }

    /// [`Timer::quiet_ms`] of models of which the first is the reference of a table, where it took `reference_ms`: again, with a pause
    /// before, while it takes longer by more than [`BUSY`] and `enough` does not hold of what was measured so far, at most `attempts` times; the least of
    /// each.
    ///
    /// # Errors
    /// As there.
    pub fn patient_ms(
        &mut self,
        models: &[&Model],
        (reference_ms, attempts): (f64, usize),
        stop: Option<&AtomicBool>,
        enough: &dyn Fn(&[f64]) -> bool,
    ) -> Result<Vec<f64>> {
        let mut least = self.quiet_ms(models, stop)?;
        for _ in 1..attempts {
            if least[0] <= reference_ms * BUSY || enough(&least) {
                break;
            }
            std::thread::sleep(PAUSE);
            let times = self.quiet_ms(models, stop)?;
            least.iter_mut().zip(times).for_each(|(least, ms)| *least = least.min(ms));
        }
        Ok(least)
    }

    /// Nanoseconds of one pass in each part of a model, those of reading the clock taken off, and of the pass outside of its parts.
    ///
    /// # Errors
    /// The model does not take the batch.
    pub fn parts_ns(&mut self, model: &Model, reading_ns: f64) -> Result<(Vec<f64>, f64)> {
        let start = self.start;
        let now = move || u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let begun = now();
        let batch = cpu_runtime::Batch { ids: &self.ids, offsets: &self.offsets, ..cpu_runtime::Batch::default() };
        let laps = self.session.time_parts(model, &batch, &now).map_err(bert_core::Error::from)?;
        let all = (now() - begun) as f64;
        let inside: u64 = laps.iter().map(|lap| lap.time).sum();
        let net = laps.iter().map(|lap| (lap.time as f64 - reading_ns * f64::from(lap.readings)).max(0.0)).collect();
        Ok((net, (all - inside as f64).max(0.0)))
    }

    /// Nanoseconds that it takes to read the clock.
    pub fn reading_ns(&self) -> f64 {
        const READINGS: u32 = 1000;
        let now = || self.start.elapsed().as_nanos();
        let round = || {
            let begun = now();
            (0..READINGS).for_each(|_| {
                std::hint::black_box(now());
            });
            (now() - begun) as f64 / f64::from(READINGS)
        };
        (0..10).map(|_| round()).fold(f64::INFINITY, f64::min)
    }
}

/// Milliseconds of each pass.
fn timed(mut pass: impl FnMut(usize) -> Result<()>) -> impl FnMut(usize) -> Result<f64> {
    move |subject| {
        let start = Instant::now();
        pass(subject)?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    }
}

/// The least of the medians of rounds of `runs` passes, for each of `count` subjects, in turn.
fn quiet_rounds(
    count: usize,
    runs: usize,
    stop: Option<&AtomicBool>,
    timed: &mut dyn FnMut(usize) -> Result<f64>,
) -> Result<Vec<f64>> {
    let mut least = vec![f64::INFINITY; count];
    for (subject, least) in least.iter_mut().enumerate() {
        for _ in 0..WARM_UP_PASSES {
            *least = least.min(timed(subject)?);
        }
    }
    let longest = least.iter().copied().fold(0.0, f64::max);
    let wanted = (TIMED_MS / (longest * runs as f64).max(1e-6)).ceil();
    let rounds = (wanted as usize).clamp(ROUNDS[0], ROUNDS[1]);
    least.fill(f64::INFINITY);
    for round in 0..rounds {
        for turn in 0..count {
            if stop.is_some_and(|stop| stop.load(Ordering::SeqCst)) {
                return Err(Error::Interrupted);
            }
            // Nobody is always the first after the same other one.
            let subject = (turn + round) % count;
            timed(subject)?;
            let mut times = (0..runs.max(1)).map(|_| timed(subject)).collect::<Result<Vec<f64>>>()?;
            times.sort_by(f64::total_cmp);
            least[subject] = least[subject].min(times[times.len() / 2]);
        }
    }
    Ok(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quietest_round_counts_and_every_subject_has_its_turns() {
        let mut passes = [0_usize; 3];
        let times = quiet_rounds(3, 5, None, &mut |subject| {
            passes[subject] += 1;
            // Most passes are disturbed, and single ones are quicker than usual.
            let usual = 1.0 + subject as f64;
            Ok(match passes[subject] % 30 {
                0..18 => usual * 7.0,
                18 => usual * 0.5,
                _ => usual,
            })
        });
        assert_eq!(times.unwrap(), [1.0, 2.0, 3.0]);
        assert_eq!((passes[0], passes[1]), (passes[1], passes[2]));
    }

    #[test]
    fn a_measurement_can_be_stopped() {
        let stop = AtomicBool::new(true);
        let stopped = quiet_rounds(1, 4, Some(&stop), &mut |_| Ok(1.0));
        assert!(matches!(stopped, Err(Error::Interrupted)));
    }
}
