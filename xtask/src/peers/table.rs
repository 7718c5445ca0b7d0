//! The table of ratios.

use std::fmt::Write;

use super::PeerArguments;
use super::measure::{Sample, Versions};

/// One row: all systems, several rounds.
#[derive(Debug)]
pub struct Line {
    name: String,
    rounds: Vec<Vec<Sample>>,
}

impl Line {
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), rounds: Vec::new() }
    }

    /// Adds a round; the systems are the same in each.
    pub fn add(&mut self, samples: Vec<Sample>) {
        self.rounds.push(samples);
    }

    fn systems(&self) -> impl Iterator<Item = (usize, &Sample)> {
        self.rounds.first().into_iter().flatten().enumerate()
    }

    fn median_ms(&self, system: usize) -> f64 {
        median(self.rounds.iter().map(|round| round[system].ms).collect())
    }

    /// Median over the rounds of how many times faster `ours` is than the fastest of `peers`.
    fn faster(&self, ours: usize, peers: &[usize]) -> Option<f64> {
        if peers.is_empty() {
            return None;
        }
        let ratio =
            |round: &Vec<Sample>| peers.iter().map(|&p| round[p].ms).fold(f64::INFINITY, f64::min) / round[ours].ms;
        Some(median(self.rounds.iter().map(ratio).collect()))
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = ((values.len() - 1) / 2, values.len() / 2);
    (values[low] + values[high]) / 2.0
}

/// The whole document.
#[derive(Debug)]
pub struct Table {
    head: String,
    lines: Vec<Line>,
}

impl Table {
    pub fn new(versions: Versions, args: &PeerArguments) -> Self {
        let mut head = String::from("# Speed on the CPU, beside PyTorch and ONNX Runtime\n\n");
        let isa = args.isa.as_deref().unwrap_or("the machine's best");
        let _ = write!(
            head,
            "{}, {}, {} threads, instruction set of ours: {isa}. PyTorch {}, ONNX Runtime {}. Random weights; medians of {} rounds in \
             alternation. Ratios are medians of the ratios inside a round: above 1, ours is faster.\n\n\
             Command: `cargo xtask bench --peers --rounds {}`\n",
            versions.date, versions.processor, args.threads, versions.torch, versions.ort, args.rounds, args.rounds
        );
        Self { head, lines: Vec::new() }
    }

    pub fn add(&mut self, line: Line) {
        self.lines.push(line);
    }

    pub fn markdown(&self) -> String {
        let mut text = self.head.clone();
        for line in &self.lines {
            let peers: Vec<_> = line.systems().filter(|(_, s)| !s.ours).map(|(i, s)| (i, s.system.clone())).collect();
            let all: Vec<usize> = peers.iter().map(|(i, _)| *i).collect();
            let _ = write!(text, "\n## {}\n\n| ours | ms | peak MiB |", line.name);
            for (i, name) in &peers {
                let _ = write!(text, " x {name} ({:.2} ms{}) |", line.median_ms(*i), peak(line, *i, ", ", " MiB"));
            }
            let _ = write!(text, " x the fastest |\n|---|---|---|{}---|\n", "---|".repeat(peers.len()));
            for (i, sample) in line.systems().filter(|(_, s)| s.ours) {
                let _ = write!(text, "| {} | {:.2} | {} |", sample.system, line.median_ms(i), peak(line, i, "", ""));
                for of in peers.iter().map(|(p, _)| vec![*p]).chain([all.clone()]) {
                    let ratio = line.faster(i, &of).map_or("n/a".into(), |r| format!("{r:.2}"));
                    let _ = write!(text, " {ratio} |");
                }
                text.push('\n');
            }
        }
        text
    }
}

/// Median peak memory of a system, or nothing where it does not say.
fn peak(line: &Line, system: usize, before: &str, after: &str) -> String {
    let values: Vec<f64> = line.rounds.iter().filter_map(|round| round[system].peak_mib).collect();
    if values.is_empty() { String::new() } else { format!("{before}{:.0}{after}", median(values)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(system: &str, ours: bool, ms: f64) -> Sample {
        Sample { system: system.into(), ours, ms, peak_mib: None }
    }

    #[test]
    fn a_ratio_is_taken_inside_a_round() {
        let mut line = Line::new("x");
        // The machine was three times slower in the second round.
        line.add(vec![sample("f32", true, 1.0), sample("ort", false, 2.0), sample("torch", false, 3.0)]);
        line.add(vec![sample("f32", true, 3.0), sample("ort", false, 6.0), sample("torch", false, 5.4)]);
        assert_eq!(line.faster(0, &[1]), Some(2.0));
        assert!((line.faster(0, &[1, 2]).unwrap() - 1.9).abs() < 1e-12);
        assert_eq!(line.faster(0, &[]), None);
    }

    #[test]
    fn medians_of_even_counts_are_between_the_middle_values() {
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    }
}
