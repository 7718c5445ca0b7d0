//! The fidelities by name.

use std::fmt;
use std::str::FromStr;

use kd::proxy::Proxy;
use serde::{Deserialize, Serialize};

/// What the weights of a network are before it is scored or trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Beginning {
    /// Random.
    Random,
    /// Computed from its teacher's ([`kd::from_teacher`]), for this network alone.
    Teacher,
    /// A slice of the largest student that begins as its teacher.
    Slice,
}

impl Beginning {
    const ALL: [Self; 3] = [Self::Random, Self::Teacher, Self::Slice];

    fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Teacher => "teacher",
            Self::Slice => "slice",
        }
    }
}

/// A way to score a network, from the cheapest to the final score. By name: `w-pca` (of random weights), `w-pca/teacher`, `teacher/60`
/// (60 steps from there), `slice/0`, `final/held-out`, `final`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Fidelity {
    /// A zero-cost proxy.
    Proxy(Proxy, Beginning),
    /// The mean probability of the right answer on the held-out examples, after so many steps of distillation.
    Trained(Beginning, u64),
    /// The same after the final training, on the held-out examples by which its weights were chosen.
    HeldOut,
    /// The mean probability of the right answer on the dev sets after the final training: what the others shall foretell.
    Final,
}

impl Fidelity {
    /// Whether it needs the largest student.
    pub fn is_slice(self) -> bool {
        matches!(self, Self::Proxy(_, Beginning::Slice) | Self::Trained(Beginning::Slice, _))
    }

    /// What it is, in words.
    pub fn words(self) -> String {
        match self {
            Self::Proxy(Proxy::Parameters, _) => "number of parameters".into(),
            Self::Proxy(proxy, Beginning::Random) => format!("{} of random weights", proxy.name()),
            Self::Proxy(proxy, _) => format!("{} of the weights from the teacher", proxy.name()),
            Self::Trained(beginning, steps) => {
                let from = match beginning {
                    Beginning::Random => "from random weights",
                    Beginning::Teacher => "from weights of the teacher",
                    Beginning::Slice => "from a slice of the supernet",
                };
                match steps {
                    0 => format!("no training, {from}"),
                    _ => format!("{steps} steps {from}"),
                }
            }
            Self::HeldOut => "final training, held-out examples".into(),
            Self::Final => "final training, dev examples".into(),
        }
    }
}

impl fmt::Display for Fidelity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proxy(proxy, Beginning::Random) => f.write_str(proxy.name()),
            Self::Proxy(proxy, beginning) => write!(f, "{}/{}", proxy.name(), beginning.name()),
            Self::Trained(beginning, steps) => write!(f, "{}/{steps}", beginning.name()),
            Self::HeldOut => f.write_str("final/held-out"),
            Self::Final => f.write_str("final"),
        }
    }
}

/// A text that names no fidelity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no fidelity")]
pub struct UnknownFidelity(String);

impl FromStr for Fidelity {
    type Err = UnknownFidelity;

    fn from_str(text: &str) -> Result<Self, UnknownFidelity> {
        let unknown = || UnknownFidelity(text.to_owned());
        match text {
            "final" => return Ok(Self::Final),
            "final/held-out" => return Ok(Self::HeldOut),
            _ => {}
        }
        let (first, second) = text.split_once('/').unwrap_or((text, Beginning::Random.name()));
        let beginning = |name: &str| Beginning::ALL.into_iter().find(|beginning| beginning.name() == name);
        match Proxy::ALL.into_iter().find(|proxy| proxy.name() == first) {
            Some(proxy) => Ok(Self::Proxy(proxy, beginning(second).ok_or_else(unknown)?)),
            None => {
                let steps = second.parse().map_err(|_| unknown())?;
                Ok(Self::Trained(beginning(first).ok_or_else(unknown)?, steps))
            }
        }
    }
}

impl TryFrom<String> for Fidelity {
    type Error = UnknownFidelity;

    fn try_from(text: String) -> Result<Self, UnknownFidelity> {
        text.parse()
    }
}

impl From<Fidelity> for String {
    fn from(fidelity: Fidelity) -> Self {
        fidelity.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fidelity_is_read_back_from_its_name() {
        let all = [
            (Fidelity::CONTROL, "parameters"),
            (Fidelity::Proxy(Proxy::WPca, Beginning::Random), "w-pca"),
            (Fidelity::Proxy(Proxy::StableRank, Beginning::Teacher), "stable-rank/teacher"),
            (Fidelity::Trained(Beginning::Teacher, 60), "teacher/60"),
            (Fidelity::Trained(Beginning::Slice, 0), "slice/0"),
            (Fidelity::HeldOut, "final/held-out"),
            (Fidelity::Final, "final"),
        ];
        for (fidelity, name) in all {
            assert_eq!(fidelity.to_string(), name);
            assert_eq!(name.parse(), Ok(fidelity));
        }
        for wrong in ["", "w-pca/", "w-pca/60", "teacher", "teacher/", "teacher/-1", "pca", "final/dev"] {
            assert!(wrong.parse::<Fidelity>().is_err(), "{wrong}");
        }
    }
}
