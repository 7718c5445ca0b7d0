//! How many students a run hands over.

use serde::{Deserialize, Serialize};

use crate::phase::Network;

/// How many students a search hands over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Students {
    /// The one with the best score.
    #[default]
    One,
    /// A small and a middle one too, of the front of score against latency, or against parameters where latencies are not known.
    Three,
}

impl Students {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    pub(super) fn is_one(&self) -> bool {
        *self == Self::One
    }

    /// Those beside the best, the cheapest first.
    pub(crate) fn of_front(self) -> Vec<Network> {
        match self {
            Self::One => Vec::new(),
            Self::Three => vec![Network::Small, Network::Middle],
        }
    }
}

impl TryFrom<u8> for Students {
    type Error = String;

    fn try_from(count: u8) -> Result<Self, String> {
        match count {
            1 => Ok(Self::One),
            3 => Ok(Self::Three),
            _ => Err(format!("{count} students: a search hands over 1 or 3")),
        }
    }
}

impl From<Students> for u8 {
    fn from(students: Students) -> Self {
        match students {
            Students::One => 1,
            Students::Three => 3,
        }
    }
}
