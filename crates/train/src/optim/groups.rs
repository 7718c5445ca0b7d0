//! Parameters with a learning rate or decay of their own.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Parameters whose module path fits a pattern, and what is different for them. The first group that fits a parameter counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Module path, e.g. `encoder.layers.0.attention.query.weight`, in which `*` stands for any run of characters, and `{layer}`
    /// for a number by which the gate moves on: layer after layer has its window.
    pub pattern: String,
    /// Factor of the learning rate.
    #[serde(default = "one")]
    pub factor: f64,
    /// Weight decay in place of the training's; biases and norms have none here either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// Whether the parameters count as biases and norms ([`is_norm`]). Of the groups that fit a parameter the first one that says this
    /// counts, even if others come before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norm: Option<bool>,
    /// Whether the parameters stay as they are; their gradients are not counted in the norm that is clipped.
    #[serde(default)]
    pub frozen: bool,
    /// A window of steps outside of which the learning rate is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
}

/// A window of steps, by which MobileBERT's progressive knowledge transfer trains one layer after another: factor `before` up to
/// the window, 1 in it, `after` behind it. At a factor of 0 a parameter rests as a frozen one does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// First step of the window, from 0.
    pub from: u64,
    /// First step after it.
    pub to: u64,
    /// Factor before the window.
    #[serde(default)]
    pub before: f64,
    /// Factor after the window; MobileBERT's unless given.
    #[serde(default = "tenth")]
    pub after: f64,
}

/// Stands for the number of a layer.
const LAYER: &str = "{layer}";

fn one() -> f64 {
    1.0
}

fn tenth() -> f64 {
    0.1
}

impl Group {
    /// The group of `pattern` in which nothing is different yet.
    pub fn new(pattern: &str) -> Self {
        Self { pattern: pattern.into(), factor: 1.0, weight_decay: None, norm: None, frozen: false, gate: None }
    }

    /// Whether the parameter at `path` belongs to it.
    pub fn fits(&self, path: &str) -> bool {
        self.turn(path).is_some()
    }

    /// The number in `path` that `{layer}` stands for, 0 in a pattern without it; `None` where the path does not fit.
    fn turn(&self, path: &str) -> Option<u64> {
        if !self.pattern.contains(LAYER) {
            return fits(&self.pattern, path).then_some(0);
        }
        let mut numbers = path.split('.').filter_map(|part| part.parse::<u64>().ok());
        numbers.find(|number| fits(&self.pattern.replace(LAYER, &number.to_string()), path))
    }

    /// Factor of the learning rate in `step` (from 0) for the parameter at `path`, which fits. With `{layer}` in the pattern the
    /// window of layer `i` is the gate's, `i` times its own length later.
    pub fn factor_at(&self, path: &str, step: u64) -> f64 {
        if self.frozen {
            return 0.0;
        }
        let window = |gate: Gate| {
            let later = self.turn(path).unwrap_or(0).saturating_mul(gate.to.saturating_sub(gate.from));
            (gate.from.saturating_add(later), gate.to.saturating_add(later))
        };
        self.factor
            * match self.gate {
                Some(gate) if step < window(gate).0 => gate.before,
                Some(gate) if step >= window(gate).1 => gate.after,
                _ => 1.0,
            }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// [`Error::Setting`] that names the pattern.
    pub fn validate(&self) -> Result<()> {
        let fail = |message: &str| {
            Err(Error::Setting { field: "groups", message: format!("pattern `{}`: {message}", self.pattern) })
        };
        let number = |x: f64| x >= 0.0 && x.is_finite();
        if self.pattern.is_empty() {
            return fail("must not be empty");
        }
        match self.pattern.matches(LAYER).count() {
            0 => {}
            1 if self.gate.is_some() => {}
            1 => {
                return fail(
                    "`{layer}` is for patterns with a gate, which it moves from layer to layer; without a gate write `*`",
                );
            }
            _ => return fail("a pattern may have `{layer}` only once"),
        }
        let others = self.factor != 1.0 || self.weight_decay.is_some() || self.norm.is_some() || self.gate.is_some();
        let factors = number(self.factor) && self.gate.is_none_or(|g| number(g.before) && number(g.after));
        let rules = [
            (factors, "factors must not be negative"),
            (self.weight_decay.is_none_or(number), "`weight_decay` must not be negative"),
            (
                !(self.frozen && others),
                "the other keys have no effect on frozen parameters; give either `frozen` or them",
            ),
            (self.gate.is_none_or(|gate| gate.from < gate.to), "`gate.from` must be below `gate.to`"),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, message)| fail(message))
    }
}

/// Whether the parameter at `path`, a tensor of `axes` axes, is a bias, or a scale or shift of a norm: such parameters do not decay, and
/// have no trust ratio. A group can say so ([`Group::norm`]); where none does, it is every parameter of one axis, in whatever module
/// and under whatever name.
pub fn is_norm(groups: &[Group], path: &str, axes: usize) -> bool {
    let said = groups.iter().filter(|group| group.norm.is_some()).find(|group| group.fits(path));
    said.and_then(|group| group.norm).unwrap_or(axes == 1)
}

/// Checks that every pattern has a parameter among `paths`, the parameters of a model.
///
/// # Errors
/// [`Error::Setting`] naming the first pattern that has none: it is misspelled, or an earlier one has them all.
pub fn check_groups(groups: &[Group], paths: &[String]) -> Result<()> {
    let Some(pattern) = first_without_match(groups, paths) else { return Ok(()) };
    let example = paths.get(paths.len() / 2).map_or("", String::as_str);
    let message = format!(
        "pattern `{pattern}` matches no parameter of the model that no earlier pattern matches; one of the parameters is \
         `{example}`"
    );
    Err(Error::Setting { field: "groups", message })
}

fn first_without_match<'a>(groups: &'a [Group], paths: &[String]) -> Option<&'a str> {
    let mut used = vec![false; groups.len()];
    for path in paths {
        if let Some(i) = groups.iter().position(|g| g.fits(path)) {
            used[i] = true;
        }
        // What is said of norms holds behind other groups too.
        groups.iter().zip(&mut used).for_each(|(group, used)| *used |= group.norm.is_some() && group.fits(path));
    }
    used.iter().position(|used| !used).map(|i| groups[i].pattern.as_str())
}

/// Whether `text` is `pattern` with something for every `*`: greedy, going back to the last `*` where it fails.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            (p, t) = (p + 1, t + 1);
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            (p, t) = (at + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, text, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.bc", false),
            ("*", "", true),
            ("*.bias", "x.y.bias", true),
            ("*.bias", "x.bias.y", false),
            ("encoder.layers.1.*", "encoder.layers.1.w", true),
            ("encoder.layers.1.*", "encoder.layers.11.w", false),
            ("*layers*norm*", "encoder.layers.0.norm.gamma", true),
            ("a*b*c", "abbcbc", true),
            ("a*b*c", "abbcb", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn the_gate_of_progressive_transfer_opens_and_leaves_a_tenth() {
        let gate = Some(Gate { from: 10, to: 20, before: 0.0, after: 0.1 });
        let group = Group { factor: 3.0, gate, ..Group::new("encoder.layers.1.*") };
        let at = |step| group.factor_at("encoder.layers.1.w", step);
        assert_eq!([0, 9, 10, 19].map(at), [0.0, 0.0, 3.0, 3.0]);
        assert!((at(20) - 0.3).abs() < 1e-15);
    }

    #[test]
    fn one_gate_goes_from_layer_to_layer() {
        let gate = Some(Gate { from: 5, to: 15, before: 0.0, after: 0.1 });
        let group = Group { gate, ..Group::new("encoder.layers.{layer}.*") };
        group.validate().unwrap();
        let open = |layer: usize| {
            let path = format!("encoder.layers.{layer}.feed_forward.blocks.3.norm.weight");
            assert!(group.fits(&path));
            (0..200).filter(|&step| group.factor_at(&path, step) == 1.0).collect::<Vec<_>>()
        };
        for layer in [0, 1, 12] {
            let from = 5 + 10 * layer as u64;
            assert_eq!(open(layer), (from..from + 10).collect::<Vec<_>>(), "layer {layer}");
        }
        assert!(!group.fits("encoder.embeddings.norm.weight") && !group.fits("encoder.layers.x.w"));
        for (pattern, gate) in [("a.{layer}.b", None), ("a.{layer}.{layer}", gate)] {
            let message = Group { gate, ..Group::new(pattern) }.validate().unwrap_err().to_string();
            assert!(message.contains("{layer}"), "{message}");
        }
    }

    #[test]
    fn a_pattern_without_a_parameter_and_one_that_comes_too_late_are_found() {
        let paths = ["encoder.w".to_string(), "encoder.bias".into()];
        let groups = |patterns: &[&str]| patterns.iter().map(|p| Group::new(p)).collect::<Vec<_>>();
        assert_eq!(first_without_match(&groups(&["*.bias", "*"]), &paths), None);
        assert_eq!(first_without_match(&groups(&["*", "*.bias"]), &paths), Some("*.bias"));
        assert_eq!(first_without_match(&groups(&["decoder.*"]), &paths), Some("decoder.*"));
    }

    #[test]
    fn parameters_of_one_axis_are_biases_and_norms_unless_a_group_says_otherwise() {
        assert!(is_norm(&[], "any.gamma", 1) && !is_norm(&[], "any.norm.weight", 2));
        let said = |pattern: &str, norm| Group { norm: Some(norm), ..Group::new(pattern) };
        let groups = [Group::new("*"), said("query", false), said("*.scale", true), said("a.*", false)];
        for (path, axes, expected) in
            [("query", 1, false), ("a.scale", 2, true), ("a.b", 1, false), ("b.bias", 1, true)]
        {
            assert_eq!(is_norm(&groups, path, axes), expected, "{path}");
        }
        let paths = ["query", "a.scale", "a.b"].map(String::from);
        assert_eq!(first_without_match(&groups, &paths), None, "the first group has everything else");
        assert_eq!(first_without_match(&groups, &paths[..1]), Some("*.scale"));
    }

    #[test]
    fn what_contradicts_itself_is_refused_with_the_pattern() {
        let group = Group { frozen: true, factor: 0.5, ..Group::new("head.*") };
        let message = group.validate().unwrap_err().to_string();
        assert!(message.contains("groups") && message.contains("head.*"), "{message}");
        assert!(Group { factor: -1.0, ..Group::new("a") }.validate().is_err());
        let gate = Some(Gate { from: 5, to: 5, before: 0.0, after: 1.0 });
        assert!(Group { gate, ..Group::new("a") }.validate().is_err());
    }
}
