//! Uniform plain networks that cost as much as the student: GELU feed-forwards of one width in every layer.

use bert_core::{BertConfig, ModelType, Parts, TaskModel};
use encoder_spec::Encoder;

use super::Context;
use crate::events::RunEvent;
use crate::latency::median_ms;
use crate::{Error, Result};

/// The widest feed-forward that is tried, in hidden widths.
const WIDEST: usize = 16;
/// Widths are multiples of this: kernels work on so many numbers at a time.
const STEP: usize = 8;
/// A ratio of latencies from which on they are called the same.
const CLOSE: f64 = 0.95;
/// Times that two networks are measured in turn; the machine may become slower or faster meanwhile.
const ROUNDS: usize = 3;

/// The plain network of feed-forward width `width` in `frame`.
pub(super) fn of_width(frame: &BertConfig, width: usize) -> BertConfig {
    BertConfig { intermediate_size: width, model_type: ModelType::Bert, ..frame.clone() }
}

/// The plain network whose number of parameters is the nearest to `params`: of the frame's hidden width, or, where even the narrowest feed-forwards of
/// that have more, of the widest hidden width that goes with the frame's heads and has not.
///
/// # Errors
/// None comes within 1%.
pub(super) fn same_params(run: &Context<'_>, frame: &BertConfig, params: u64) -> Result<BertConfig> {
    let count_in = |frame: &BertConfig, width: usize| -> Result<u64> {
        let encoder = Encoder::describe(&of_width(frame, width), Parts::POOLER)?;
        Ok(encoder.count(run.recipe.latency.seq).params_without_fit())
    };
    let heads = frame.num_attention_heads;
    let mut narrower = frame.clone();
    while count_in(&narrower, 1)? > params && narrower.hidden_size > heads {
        narrower.hidden_size -= heads;
    }
    let frame = &narrower;
    let count = |width: usize| count_in(frame, width);
    // Parameters are linear in the width.
    let (one, two) = (count(1)?, count(2)?);
    let width = (1.0 + params.saturating_sub(one) as f64 / (two - one) as f64).round().max(1.0) as usize;
    let found = count(width)?;
    if found.abs_diff(params) * 100 > params {
        return Err(Error::Mismatch(format!(
            "no uniform network within 1% of {params} parameters; the nearest has {found}"
        )));
    }
    Ok(of_width(frame, width))
}

/// The plain network whose measured latency is the nearest to that of `student`, by bisection on the width; `None` where even the
/// narrowest takes longer. Each width is measured in turn with the student, and their ratio counts.
///
/// # Errors
/// Models that cannot be built or measured.
pub(super) fn same_latency(
    run: &mut Context<'_>,
    frame: &BertConfig,
    student: &BertConfig,
) -> Result<Option<BertConfig>> {
    let built = |config: &BertConfig| -> Result<TaskModel> {
        Ok(TaskModel::new(config, Parts::default(), &run.device)?.initialized(config, 0))
    };
    let reference = built(student)?;
    let ratio = |steps: usize| -> Result<f64> {
        let config = of_width(frame, steps * STEP);
        let model = built(&config)?;
        let mut ratios = Vec::new();
        for _ in 0..ROUNDS {
            run.check_stop()?;
            let time = |model, config| median_ms(model, config, run.recipe.latency, &run.device);
            let (plain, found) = (time(&model, &config)?, time(&reference, student)?);
            ratios.push(plain / found);
        }
        ratios.sort_by(f64::total_cmp);
        Ok(ratios[ROUNDS / 2])
    };
    let most = (WIDEST * frame.hidden_size).div_ceil(STEP);
    let Some((steps, ratio)) = nearest(most, ratio)? else { return Ok(None) };
    if steps == most && ratio < CLOSE {
        let message = format!(
            "same latency: the widest feed-forwards that are tried, {WIDEST} hidden widths, take {:.0}% of the student's time; no wider ones are compared",
            ratio * 100.0
        );
        run.emit(RunEvent::Note { message })?;
    }
    Ok(Some(of_width(frame, steps * STEP)))
}

/// Where in `1..=most` a rising `ratio` is the nearest to 1, and what it is there; `None` where it begins above 1.05.
fn nearest(most: usize, mut ratio: impl FnMut(usize) -> Result<f64>) -> Result<Option<(usize, f64)>> {
    const ENOUGH: f64 = 1.05;
    let first = ratio(1)?;
    if first > ENOUGH {
        return Ok(None);
    }
    let mut best = (1, first);
    let (mut low, mut high) = (1, most + 1);
    while high - low > 1 {
        let middle = low.midpoint(high);
        let found = ratio(middle)?;
        if (found - 1.0).abs() < (best.1 - 1.0).abs() {
            best = (middle, found);
        }
        if found > 1.0 { high = middle } else { low = middle }
    }
    Ok(Some(best))
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_width_of_equal_latency_is_found_by_bisection() {
        let line = |slope: f64| move |steps: usize| Ok(0.5 + slope * steps as f64);
        let width = |slope| nearest(500, line(slope)).unwrap().map(|(steps, _)| steps);
        assert_eq!(width(0.01), Some(50));
        assert_eq!(width(0.0001), Some(500), "the widest is still faster");
        assert_eq!(width(0.5), Some(1));
        assert_eq!(width(0.6), None, "the narrowest is slower");
        let (_, ratio) = nearest(500, line(0.0001)).unwrap().unwrap();
        assert!((ratio - 0.55).abs() < 1e-12);
        let mut asked = 0;
        let counted = |steps: usize| {
            asked += 1;
            line(0.01)(steps)
        };
        nearest(500, counted).unwrap();
        assert!(asked <= 11, "{asked} widths were measured");
    }
}
