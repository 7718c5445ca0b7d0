//! The table of ratios.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

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
        self.ratio(&[ours], peers).map(|ratio| ratio.median)
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = ((values.len() - 1) / 2, values.len() / 2);
    (values[low] + values[high]) / 2.0
}

/// A ratio over the rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ratio {
    median: f64,
    least: f64,
    most: f64,
}

impl std::fmt::Display for Ratio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} ({:.2} to {:.2})", self.median, self.least, self.most)
    }
}

impl Line {
    /// How many times faster the fastest of `ours` is than the fastest of `others`, within each round.
    fn ratio(&self, ours: &[usize], others: &[usize]) -> Option<Ratio> {
        if ours.is_empty() || others.is_empty() {
            return None;
        }
        let least = |round: &[Sample], of: &[usize]| of.iter().map(|&i| round[i].ms).fold(f64::INFINITY, f64::min);
        let all: Vec<f64> = self.rounds.iter().map(|round| least(round, others) / least(round, ours)).collect();
        let (least, most) = all.iter().fold((f64::INFINITY, 0.0_f64), |(a, b), &r| (a.min(r), b.max(r)));
        Some(Ratio { median: median(all), least, most })
    }

    /// Those of the systems that `is` holds for.
    fn which(&self, is: impl Fn(&Sample) -> bool) -> Vec<usize> {
        self.systems().filter(|(_, sample)| is(sample)).map(|(i, _)| i).collect()
    }

    /// The one with the least median, and that.
    fn fastest(&self, of: &[usize]) -> String {
        let best = of.iter().min_by(|&&a, &&b| self.median_ms(a).total_cmp(&self.median_ms(b)));
        best.map_or("n/a".into(), |&i| format!("{} {:.2} ms", self.rounds[0][i].system, self.median_ms(i)))
    }
}

/// Engines of theirs that compute in f32.
const THEIR_F32: [&str; 5] = ["torch", "torch-compile", "ort", "ov", "ct2"];

/// The whole document.
#[derive(Debug)]
pub struct Table {
    versions: Versions,
    libraries: BTreeMap<String, String>,
    command: String,
    isa: String,
    rounds: u32,
    lines: Vec<Line>,
    /// Row, engine, and why it is not there.
    left_out: Vec<[String; 3]>,
}

impl Table {
    pub fn new(versions: Versions, args: &PeerArguments) -> Self {
        let libraries = [("torch".to_owned(), versions.torch.clone())].into();
        let isa = args.isa.as_deref().unwrap_or("the machine's best").to_owned();
        let list = |values: &[u32]| values.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
        let command = format!(
            "cargo xtask bench --peers --rounds {} --models {} --batches {} --seqs {} --threads {}{}",
            args.rounds,
            args.models.join(" "),
            list(&args.batches),
            list(&args.seqs),
            list(&args.threads),
            args.isa.as_ref().map_or_else(String::new, |isa| format!(" --isa {isa}"))
                + &format!(" --engines {}", args.engines.join(" "))
                + if args.no_kd { " --no-kd" } else { "" }
                + if args.student.is_some() { " --student DIR" } else { "" },
        );
        Self { versions, libraries, command, isa, rounds: args.rounds, lines: Vec::new(), left_out: Vec::new() }
    }

    /// Takes up what libraries are used.
    pub fn versions(&mut self, found: &[(String, String)]) {
        self.libraries.extend(found.iter().cloned());
    }

    /// Takes up which engines do not run a row.
    pub fn without(&mut self, row: &str, engines: &[(String, String)]) {
        self.left_out.extend(engines.iter().map(|(engine, why)| [row.to_owned(), engine.clone(), why.clone()]));
    }

    fn head(&self) -> String {
        let libraries: Vec<String> = self.libraries.iter().map(|(name, version)| format!("{name} {version}")).collect();
        format!(
            "# Speed on the CPU, beside OpenVINO, CTranslate2, ONNX Runtime and PyTorch\n\n{}, {}, instruction set of ours: {}. {}. Random weights. Every round runs \
             all systems in turns; medians of {} rounds. Ratios are those inside a round: above 1, ours is faster. Of the ratios the median, the least and the most are given.\n\n\
             Command: `{}`\n",
            self.versions.date,
            self.versions.processor,
            self.isa,
            libraries.join(", "),
            self.rounds,
            self.command
        )
    }

    /// The rows at a glance.
    fn summary(&self) -> String {
        let mut text = String::from(
            "\n| row | ours | theirs | ratio | f32 beside theirs in f32 | our int8 beside our bf16 |\n|---|---|---|---|---|---|\n",
        );
        for line in &self.lines {
            let (ours, theirs) = (line.which(|s| s.ours), line.which(|s| !s.ours));
            let own = |name: &str| line.which(|s| s.ours && s.system == name);
            let their_f32 = line.which(|s| !s.ours && THEIR_F32.contains(&s.system.as_str()));
            let shown = |ratio: Option<Ratio>| ratio.map_or("n/a".to_owned(), |ratio| ratio.to_string());
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} |",
                line.name,
                line.fastest(&ours),
                line.fastest(&theirs),
                shown(line.ratio(&ours, &theirs)),
                shown(line.ratio(&own("f32"), &their_f32)),
                shown(line.ratio(&own("int8"), &own("bf16"))),
            );
        }
        if !self.left_out.is_empty() {
            text.push_str("\nWithout:\n\n");
        }
        for [row, engine, why] in &self.left_out {
            let _ = writeln!(text, "- {row}: {engine}: {why}");
        }
        text
    }

    /// Every measured value.
    pub fn json(&self) -> String {
        let round = |round: &Vec<Sample>| -> Value {
            let values = round.iter().map(|s| {
                let whose = if s.ours { "ours" } else { "theirs" };
                json!({ "system": s.system, "whose": whose, "ms": s.ms, "peak_mib": s.peak_mib })
            });
            values.collect()
        };
        let lines: Vec<Value> = self
            .lines
            .iter()
            .map(|line| json!({ "row": line.name, "rounds": line.rounds.iter().map(round).collect::<Vec<_>>() }))
            .collect();
        let whole = json!({
            "date": self.versions.date, "processor": self.versions.processor, "isa": self.isa, "libraries": self.libraries,
            "command": self.command, "rows": lines, "left_out": self.left_out,
        });
        format!("{whole:#}\n")
    }

    pub fn add(&mut self, line: Line) {
        self.lines.push(line);
    }

    pub fn markdown(&self) -> String {
        let mut text = self.head() + &self.summary();
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
    fn the_fastest_of_each_side_are_compared_within_a_round() {
        let mut line = Line::new("x");
        line.add(vec![sample("bf16", true, 2.0), sample("int8", true, 1.0), sample("ov-int8", false, 3.0)]);
        line.add(vec![sample("bf16", true, 2.0), sample("int8", true, 4.0), sample("ov-int8", false, 3.0)]);
        let ours = line.which(|s| s.ours);
        let ratio = line.ratio(&ours, &line.which(|s| !s.ours)).unwrap();
        assert_eq!(ratio, Ratio { median: 2.25, least: 1.5, most: 3.0 });
        assert_eq!(ratio.to_string(), "2.25 (1.50 to 3.00)");
        assert_eq!(line.ratio(&ours, &[]), None);
        assert_eq!(line.fastest(&ours), "bf16 2.00 ms");
    }

    #[test]
    fn medians_of_even_counts_are_between_the_middle_values() {
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    }
}
