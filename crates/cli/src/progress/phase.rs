//! One phase: how far it is, what it measures, and that as a line or an object.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use pipeline::events::RunEvent;
use serde_json::{Map, json};

use super::format::{count, decimal, duration};

/// Values of a loss curve kept; older ones are merged in pairs.
const HISTORY: usize = 512;
const EVALUATIONS: usize = 4;

/// A value to watch.
#[derive(Clone, Debug)]
pub(super) struct Value {
    /// Name in JSON.
    name: String,
    value: f64,
    /// As a person reads it.
    pub text: String,
    /// Whether a line is worth it; the dashboard and JSON have all.
    in_line: bool,
}

impl Value {
    pub fn plain(name: &str, value: f64) -> Self {
        Self { name: name.into(), value, text: format!("{name} {}", decimal(value)), in_line: true }
    }

    fn named(name: &str, value: f64, text: String) -> Self {
        Self { name: name.into(), value, text, in_line: true }
    }
}

/// Something that is done within one step.
pub(super) struct Within {
    what: String,
    unit: String,
    done: u64,
    total: u64,
    started: Instant,
}

impl Within {
    pub fn text(&self) -> String {
        let Self { what, unit, done, total, .. } = self;
        format!("{what}: {done}/{total} {unit}")
    }

    pub fn json(&self, phase: &str) -> serde_json::Value {
        let Self { what, unit, done, total, started } = self;
        let seconds = started.elapsed().as_secs_f64();
        let left = (*done > 0).then(|| seconds / *done as f64 * total.saturating_sub(*done) as f64);
        json!({
            "event": "within", "phase": phase, "what": what, "done": done, "total": total, "unit": unit,
            "seconds": seconds, "seconds_left": left,
        })
    }
}

pub(super) struct Phase {
    pub name: String,
    pub total: u64,
    /// Of what there are so many.
    unit: String,
    pub done: u64,
    /// Done by an earlier process.
    before: u64,
    pub values: Vec<Value>,
    pub losses: Vec<f64>,
    /// Steps that a value of `losses` stands for, and those that the next one has so far.
    merged: (u32, u32),
    pub evaluations: Vec<String>,
    pub within: Option<Within>,
    started: Instant,
    printed: Option<Instant>,
    pub bar: Option<ProgressBar>,
}

impl Phase {
    pub fn new(name: &str, (total, done): (u64, u64), unit: &str, bar: Option<ProgressBar>) -> Self {
        Self {
            name: name.to_owned(),
            total,
            unit: unit.to_owned(),
            done,
            before: done,
            values: Vec::new(),
            losses: Vec::new(),
            merged: (1, 0),
            evaluations: Vec::new(),
            within: None,
            started: Instant::now(),
            printed: None,
            bar,
        }
    }

    /// Takes over what a training step measured; other events change nothing. `best` is the best score so far, `skipped` counts steps.
    pub fn train(&mut self, event: &RunEvent, best: Option<f64>, skipped: u64) {
        let RunEvent::Step { loss, terms, learning_rate, grad_norm, tokens_per_second, memory_mib, .. } = event else {
            return;
        };
        let mut values = vec![Value::plain("loss", *loss)];
        let term = |(name, value): &(String, f64)| Value { in_line: terms.len() > 1, ..Value::plain(name, *value) };
        values.extend(best.map(|v| Value::plain("best", v)));
        let speed = |v| Value::named("tokens_per_second", v, format!("{} tokens/s", count(v)));
        values.extend(tokens_per_second.map(speed));
        values.extend(memory_mib.map(|v| Value::named("memory_mib", v, format!("{} MiB", count(v)))));
        values.extend(terms.iter().map(term));
        values.push(Value::named("lr", *learning_rate, format!("lr {learning_rate:.2e}")));
        values.push(Value::named("grad_norm", *grad_norm, format!("gradient norm {}", decimal(*grad_norm))));
        values.push(Value {
            in_line: skipped > 0,
            ..Value::named("skipped", skipped as f64, format!("skipped {skipped}"))
        });
        self.values = values;
        self.remember(*loss);
    }

    /// Adds a value to the curve; where it is full, neighbors become their mean, and so does what follows.
    fn remember(&mut self, loss: f64) {
        let (size, filled) = &mut self.merged;
        match self.losses.last_mut().filter(|_| *filled > 0) {
            Some(last) => *last += (loss - *last) / f64::from(*filled + 1),
            None => self.losses.push(loss),
        }
        *filled = (*filled + 1) % *size;
        if self.losses.len() >= HISTORY && *filled == 0 {
            self.losses = self.losses.chunks(2).map(|pair| pair.iter().sum::<f64>() / pair.len() as f64).collect();
            *size *= 2;
        }
    }

    pub fn evaluated(&mut self, text: &str) {
        self.evaluations.insert(0, text.to_owned());
        self.evaluations.truncate(EVALUATIONS);
    }

    /// How far something is that is done within a step; true where it begins.
    pub fn enter(&mut self, what: &str, (done, total): (u64, u64), unit: &str) -> bool {
        match &mut self.within {
            Some(within) if within.what == what => {
                (within.done, within.total) = (done, total);
                false
            }
            _ => {
                let (what, unit) = (what.to_owned(), unit.to_owned());
                self.within = Some(Within { what, unit, done, total, started: Instant::now() });
                true
            }
        }
    }

    /// Whether the last line is older than `interval`.
    pub fn due(&self, interval: Duration) -> bool {
        self.printed.is_none_or(|at| at.elapsed() >= interval)
    }

    /// The moment of the last line is now.
    pub fn printed(&mut self) {
        self.printed = Some(Instant::now());
    }

    pub fn plain(&self, event: &str) -> String {
        let Self { name, total, done, unit, .. } = self;
        let all = counted(*total, unit);
        let seconds = self.started.elapsed().as_secs_f64();
        match event {
            "start" if self.before > 0 => format!("{name}: {all}, {} of them done", self.before),
            "start" => format!("{name}: {all}"),
            "finish" => {
                let values = self.values_in_line().join("  ");
                format!("{name}: {done} of {all} in {seconds:.1} s {values}").trim_end().into()
            }
            _ => format!("{name}: {done}/{total} {}", self.numbers()).trim_end().into(),
        }
    }

    pub fn json(&self, event: &str) -> serde_json::Value {
        // JSON has no NaN; a loss that is not finite becomes null.
        let values: Map<String, serde_json::Value> =
            self.values.iter().map(|v| (v.name.clone(), json!(v.value))).collect();
        json!({
            "event": event,
            "phase": self.name,
            "done": self.done,
            "total": self.total,
            "unit": self.unit,
            "seconds": self.started.elapsed().as_secs_f64(),
            "seconds_left": self.left().map(|left| left.as_secs_f64()),
            "values": values,
        })
    }

    /// Time left and values, on one line.
    pub fn numbers(&self) -> String {
        let left = self.left().map(|left| format!("{} left", duration(left)));
        let within = self.within.as_ref().map(Within::text);
        left.into_iter().chain(within).chain(self.values_in_line()).collect::<Vec<_>>().join("  ")
    }

    fn values_in_line(&self) -> Vec<String> {
        self.values.iter().filter(|v| v.in_line).map(|v| v.text.clone()).collect()
    }

    /// The texts of all values but these.
    pub fn values_without(&self, names: &[&str]) -> Vec<&str> {
        self.values.iter().filter(|v| !names.contains(&v.name.as_str())).map(|v| v.text.as_str()).collect()
    }

    /// The text of a value, if there is one of this name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|v| v.name == name).map(|v| v.text.as_str())
    }

    /// Time left at the speed of this process, evaluations and checkpoints included.
    pub fn left(&self) -> Option<Duration> {
        let here = self.done.checked_sub(self.before).filter(|&n| n > 0)?;
        let open = self.total.checked_sub(self.done).filter(|&n| n > 0)?;
        let seconds = self.started.elapsed().as_secs_f64() / here as f64 * open as f64;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

/// `1 step`, `2 steps`, `3 MB`.
fn counted(number: u64, unit: &str) -> String {
    let unit = if number == 1 { unit.strip_suffix('s').unwrap_or(unit) } else { unit };
    format!("{number} {unit}")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn step(
        loss: f64,
        terms: Vec<(String, f64)>,
        (learning_rate, grad_norm): (f64, f64),
        (tokens_per_second, memory_mib): (Option<f64>, Option<f64>),
    ) -> RunEvent {
        let (phase, step, total, tokens) = ("distill".into(), 4, 10, 0);
        RunEvent::Step {
            phase,
            step,
            total,
            loss,
            terms,
            learning_rate,
            grad_norm,
            tokens,
            tokens_per_second,
            memory_mib,
        }
    }

    /// A training of ten steps after its fourth, 30 seconds after its second.
    pub fn training() -> Phase {
        let mut phase = Phase::new("distill", (10, 2), "steps", None);
        phase.started = Instant::now().checked_sub(Duration::from_secs(30)).expect("the machine is up for longer");
        phase.done = 4;
        let terms = vec![("attention".to_owned(), f64::NAN), ("hidden".to_owned(), 0.25)];
        phase.train(&step(f64::NAN, terms, (5e-5, 1.5), (Some(1234.4), Some(512.2))), Some(0.75), 0);
        phase
    }

    #[test]
    fn a_loss_that_is_not_finite_keeps_the_json_readable() {
        let value = training().json("progress");
        let values = json!({
            "loss": null, "attention": null, "hidden": 0.25, "best": 0.75, "tokens_per_second": 1234.4,
            "memory_mib": 512.2, "lr": 5e-5, "grad_norm": 1.5, "skipped": 0.0,
        });
        assert_eq!(value["values"], values);
        assert_eq!((&value["phase"], &value["done"], &value["total"]), (&json!("distill"), &json!(4), &json!(10)));
        let left = value["seconds_left"].as_f64().unwrap();
        assert!((90.0..95.0).contains(&left), "six steps of 15 seconds, without those of an earlier process: {left}");
    }

    #[test]
    fn plain_lines_name_phase_steps_time_left_and_values() {
        let text = "distill: 4/10 1 min 30 s left  loss NaN  best 0.7500  1,234 tokens/s  512 MiB  attention NaN  \
                    hidden 0.2500  lr 5.00e-5  gradient norm 1.5000";
        assert_eq!(training().plain("progress"), text);
        assert!(training().plain("finish").starts_with("distill: 4 of 10 steps in 30."));
        assert_eq!(training().plain("start"), "distill: 10 steps, 2 of them done");
    }

    #[test]
    fn what_is_counted_is_named() {
        for (number, unit, text) in [(1, "steps", "1 step"), (2, "examples", "2 examples"), (1, "MB", "1 MB")] {
            assert_eq!(counted(number, unit), text);
            let phase = Phase::new("a", (number, 0), unit, None);
            assert_eq!(
                (phase.plain("start"), phase.json("start")["unit"].clone()),
                (format!("a: {text}"), json!(unit))
            );
        }
    }

    #[test]
    fn an_evaluation_within_a_training_shows_how_far_it_is() {
        let mut phase = training();
        assert!(phase.enter("evaluation", (0, 872), "examples") && !phase.enter("evaluation", (320, 872), "examples"));
        let line = phase.plain("within");
        assert!(line.starts_with("distill: 4/10 1 min 30 s left  evaluation: 320/872 examples  loss"), "{line}");
        let object = phase.within.as_ref().unwrap().json("distill");
        assert_eq!((&object["event"], &object["phase"]), (&json!("within"), &json!("distill")));
        assert_eq!(
            (&object["what"], &object["done"], &object["total"]),
            (&json!("evaluation"), &json!(320), &json!(872))
        );
        assert!(phase.enter("scoring", (0, 5), "examples"), "something else begins");
    }

    #[test]
    fn one_term_is_the_loss_and_is_said_once_but_for_json() {
        let mut phase = training();
        phase.train(&step(0.5, vec![("label".to_owned(), 0.5)], (1.0, 1.0), (None, None)), None, 2);
        let line = phase.plain("progress");
        assert!(!line.contains("label") && line.contains("loss 0.5000") && line.ends_with("skipped 2"), "{line}");
        assert_eq!(phase.json("progress")["values"]["label"], json!(0.5));
    }

    #[test]
    fn a_long_curve_keeps_its_shape_in_bounded_memory() {
        let mut phase = Phase::new("a", (1, 0), "steps", None);
        for i in 0..100_000 {
            phase.remember(f64::from(i));
        }
        assert!(phase.losses.len() <= HISTORY && phase.losses.len() >= HISTORY / 2);
        assert!(phase.losses.is_sorted(), "a rising curve still rises");
        assert!(phase.losses[0] < 512.0 && *phase.losses.last().unwrap() > 99_000.0);
    }
}
