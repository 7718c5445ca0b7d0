//! The vocabulary: activations, element-wise operators, linear ids and weight slots.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// An activation, applied element by element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unary {
    /// `0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`, the tanh form.
    Gelu,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `tanh(x)`.
    Tanh,
    /// `max(x, 0)`.
    Relu,
    /// `x` where positive, else `0.01 x`.
    LeakyRelu,
    /// `x` where positive, else `exp(x) - 1`.
    Elu,
    /// `x sigmoid(x)`.
    Swish,
}

impl Unary {
    /// All activations, in the reference's order.
    pub const ALL: [Self; 7] =
        [Self::Gelu, Self::Sigmoid, Self::Tanh, Self::Relu, Self::LeakyRelu, Self::Elu, Self::Swish];

    /// The name in the text form.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gelu => "gelu",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
            Self::Relu => "relu",
            Self::LeakyRelu => "leaky_relu",
            Self::Elu => "elu",
            Self::Swish => "swish",
        }
    }

    /// Position in [`Unary::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.name() == name)
    }
}

impl fmt::Display for Unary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An element-wise operator of two operands.
///
/// Operands of different width are first brought to one width, see [`crate::widths::Align`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Binary {
    /// `a + b`.
    Add,
    /// `a * b`.
    Mul,
    /// `max(a, b)`.
    Max,
}

impl Binary {
    /// All operators, in the reference's order.
    pub const ALL: [Self; 3] = [Self::Add, Self::Mul, Self::Max];

    /// The name in the text form.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Mul => "mul",
            Self::Max => "max",
        }
    }

    /// Position in [`Binary::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.name() == name)
    }
}

impl fmt::Display for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which of the two linear maps of a feed-forward a node applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WeightSlot {
    /// `(W1, b1)`, hidden to inner width; `wb1` in the text form.
    First,
    /// `(W2, b2)`, inner to hidden width; `wb2` in the text form.
    Second,
}

impl WeightSlot {
    /// The name in the text form.
    pub const fn name(self) -> &'static str {
        match self {
            Self::First => "wb1",
            Self::Second => "wb2",
        }
    }
}

impl fmt::Display for WeightSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Stack count and inner ratio of a layer's feed-forward, written `STACKS_RATIO` (`4_2`: four stacks at ratio 1/2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinearId {
    stacks: u8,
    ratio: u8,
}

impl LinearId {
    /// Number of linear ids: four stack counts times four ratios.
    pub const COUNT: usize = 16;

    /// The largest feed-forward, `4_1`: what a supernet holds and sub-networks are sliced from.
    pub const LARGEST: Self = Self { stacks: 4, ratio: 1 };

    /// A linear id, or `None` unless both numbers are 1 to 4.
    pub const fn new(stacks: u8, ratio: u8) -> Option<Self> {
        if matches!(stacks, 1..=4) && matches!(ratio, 1..=4) { Some(Self { stacks, ratio }) } else { None }
    }

    /// How many feed-forwards are stacked, 1 to 4.
    pub const fn stacks(self) -> u8 {
        self.stacks
    }

    /// The divisor `r` of the inner ratio `1/r`, 1 to 4.
    pub const fn ratio(self) -> u8 {
        self.ratio
    }

    /// Inner width `floor(base / r)`.
    pub const fn inner_size(self, base: usize) -> usize {
        base / self.ratio as usize
    }

    /// Number 0 to 15 in the reference's order `1_1, 1_2, .., 4_4`.
    pub const fn index(self) -> usize {
        (self.stacks as usize - 1) * 4 + self.ratio as usize - 1
    }

    /// All sixteen ids in index order.
    pub fn all() -> impl ExactSizeIterator<Item = Self> + Clone {
        (0..Self::COUNT).map(|i| Self { stacks: (i / 4) as u8 + 1, ratio: (i % 4) as u8 + 1 })
    }
}

impl fmt::Display for LinearId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.stacks, self.ratio)
    }
}

impl FromStr for LinearId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let digit = |b: u8| b.wrapping_sub(b'0');
        match text.as_bytes() {
            [stacks, b'_', ratio] => Self::new(digit(*stacks), digit(*ratio)),
            _ => None,
        }
        .ok_or_else(|| Error::LinearId { text: text.chars().take(64).collect() })
    }
}

impl serde::Serialize for LinearId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for LinearId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_ids_number_themselves_in_the_reference_order() {
        let names: Vec<String> = LinearId::all().map(|id| id.to_string()).collect();
        assert_eq!(names[..5], ["1_1", "1_2", "1_3", "1_4", "2_1"]);
        for (i, id) in LinearId::all().enumerate() {
            assert_eq!(id.index(), i);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        assert_eq!(names.len(), LinearId::COUNT);
    }

    #[test]
    fn linear_ids_outside_one_to_four_are_refused() {
        for text in ["0_1", "5_1", "1_0", "1_5", "11", "1_1 ", "", "1_12", "a_1"] {
            assert!(text.parse::<LinearId>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn inner_width_rounds_down() {
        let id = |r| LinearId::new(1, r).unwrap();
        assert_eq!([1, 2, 3, 4].map(|r| id(r).inner_size(541)), [541, 270, 180, 135]);
    }
}
