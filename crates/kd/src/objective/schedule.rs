//! Numbers that change while a training goes on: weights and temperatures.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Serialize, Serializer};

/// A point of a training: a step (`1000`), or a part of its steps (`"25%"`), which fits trainings of any length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Point {
    /// Steps done before.
    Step(u64),
    /// Percent of the training's steps, 0 to 100.
    Percent(f64),
}

impl Point {
    const START: Self = Self::Percent(0.0);
    const END: Self = Self::Percent(100.0);

    /// The step in a training of `total` steps.
    pub fn step(self, total: u64) -> u64 {
        match self {
            Self::Step(step) => step,
            Self::Percent(part) => (total as f64 * part / 100.0).round() as u64,
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(step) => write!(f, "{step}"),
            Self::Percent(part) => write!(f, "{part}%"),
        }
    }
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let part = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        part.filter(|part| (0.0..=100.0).contains(part)).map(Self::Percent).ok_or_else(|| {
            format!("`{text}` is not a point of a training; give a step (1000) or a percentage of the steps (\"25%\")")
        })
    }
}

impl Serialize for Point {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Step(step) => serializer.serialize_u64(*step),
            Self::Percent(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Point;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a step (1000) or a part of the training (\"25%\")")
            }
            fn visit_u64<E: de::Error>(self, step: u64) -> Result<Point, E> {
                // Beyond this no TOML could write it down again.
                i64::try_from(step).map_err(|_| E::custom(format!("step {step} is too large")))?;
                Ok(Point::Step(step))
            }
            fn visit_i64<E: de::Error>(self, step: i64) -> Result<Point, E> {
                u64::try_from(step).map(Point::Step).map_err(|_| E::custom(format!("step {step} is below 0")))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Point, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// A number that is a function of the step.
///
/// In TOML: `1.0`, or `{ from = 1.0, to = 0.1 }`, or `{ value = 1.0, end = "87%" }`; the last two take `begin` and `end`, by default
/// those of the training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Schedule {
    /// The same in every step.
    Constant(f64),
    /// `from` until `begin`, `to` from `end` on, a straight line between.
    Linear {
        /// Value at `begin`.
        from: f64,
        /// Value at `end`.
        to: f64,
        /// Where the line begins.
        begin: Point,
        /// Where the line ends.
        end: Point,
    },
    /// `value` from `begin` to before `end`, else 0.
    Gate {
        /// Value inside.
        value: f64,
        /// First step inside.
        begin: Point,
        /// First step after.
        end: Point,
    },
}

/// Checks the schedules of a term that compares with the teacher at a temperature; `message` is what a bad share gets.
pub(super) fn check_term(
    weight: Schedule,
    temperature: Schedule,
    (share, message): (Schedule, &str),
) -> Result<(), String> {
    let all = |schedule: Schedule, good: &dyn Fn(f64) -> bool| schedule.numbers().iter().all(|&v| good(v));
    if !all(weight, &|w| w.is_finite() && w >= 0.0) {
        return Err("`weight` must be a number from 0 up".into());
    }
    if !all(share, &|share| (0.0..=1.0).contains(&share)) {
        return Err(message.into());
    }
    if !all(temperature, &|t| t.is_finite() && t > 0.0) {
        return Err("`temperature` must be above 0".into());
    }
    if matches!(temperature, Schedule::Gate { .. }) {
        return Err("`temperature` cannot be a gate, which is 0 outside; give `from` and `to`".into());
    }
    Ok(())
}

impl Schedule {
    /// A gate from `begin` to `end`.
    pub fn gate(value: f64, begin: Point, end: Point) -> Self {
        Self::Gate { value, begin, end }
    }

    /// The value in step `step` of `total`.
    pub fn at(self, step: u64, total: u64) -> f64 {
        match self {
            Self::Constant(value) => value,
            Self::Linear { from, to, begin, end } => {
                let (begin, end) = (begin.step(total), end.step(total));
                if step >= end {
                    to
                } else if step <= begin {
                    from
                } else {
                    from + (to - from) * ((step - begin) as f64 / (end - begin) as f64)
                }
            }
            Self::Gate { value, begin, end } => {
                let inside = (begin.step(total)..end.step(total)).contains(&step);
                if inside { value } else { 0.0 }
            }
        }
    }

    /// The numbers it is made of, between which all its values lie but the 0 outside a gate.
    pub fn numbers(self) -> [f64; 2] {
        match self {
            Self::Constant(value) | Self::Gate { value, .. } => [value; 2],
            Self::Linear { from, to, .. } => [from, to],
        }
    }

    /// Where it changes its course, `None` for a constant.
    pub fn span(self) -> Option<[Point; 2]> {
        match self {
            Self::Constant(_) => None,
            Self::Linear { begin, end, .. } | Self::Gate { begin, end, .. } => Some([begin, end]),
        }
    }

    /// Checks that `begin` comes before `end` in a training of `total` steps. Percentages may meet in a training that is too short
    /// for them.
    ///
    /// # Errors
    /// A message with both points.
    pub fn check(self, total: u64) -> Result<(), String> {
        let Some([begin, end]) = self.span() else { return Ok(()) };
        let (first, last) = (begin.step(total), end.step(total));
        let in_order = match (begin, end) {
            (Point::Percent(begin), Point::Percent(end)) => begin < end,
            _ => first < last,
        };
        match in_order {
            true => Ok(()),
            false => Err(format!(
                "begin ({begin}) must come before end ({end}); in {total} steps they are steps {first} and {last}"
            )),
        }
    }
}

impl From<f64> for Schedule {
    fn from(value: f64) -> Self {
        Self::Constant(value)
    }
}

/// A schedule as a table.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Table {
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    begin: Option<Point>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<Point>,
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let table = match *self {
            Self::Constant(value) => return serializer.serialize_f64(value),
            Self::Linear { from, to, begin, end } => {
                Table { from: Some(from), to: Some(to), begin: Some(begin), end: Some(end), ..Table::default() }
            }
            Self::Gate { value, begin, end } => {
                Table { value: Some(value), begin: Some(begin), end: Some(end), ..Table::default() }
            }
        };
        table.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Schedule;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, { from = .., to = .. } or { value = .., begin = .., end = .. }")
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Schedule, E> {
                Ok(Schedule::Constant(value))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Schedule, E> {
                Ok(Schedule::Constant(value as f64))
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Schedule, E> {
                Ok(Schedule::Constant(value as f64))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Schedule, A::Error> {
                let table = Table::deserialize(MapAccessDeserializer::new(map))?;
                let (begin, end) = (table.begin.unwrap_or(Point::START), table.end.unwrap_or(Point::END));
                match (table.value, table.from, table.to) {
                    (Some(value), None, None) => Ok(Schedule::Gate { value, begin, end }),
                    (None, Some(from), Some(to)) => Ok(Schedule::Linear { from, to, begin, end }),
                    _ => Err(de::Error::custom(
                        "a schedule has `value` (and 0 outside `begin` to `end`), or `from` and `to`",
                    )),
                }
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Holder {
        weight: Schedule,
    }

    fn read(value: &str) -> Result<Schedule, String> {
        toml::from_str::<Holder>(&format!("weight = {value}")).map(|h| h.weight).map_err(|e| e.to_string())
    }

    fn values(value: &str, total: u64) -> Vec<f64> {
        let schedule = read(value).unwrap();
        (0..total).map(|step| schedule.at(step, total)).collect()
    }

    #[test]
    fn constants_lines_and_gates_have_the_values_that_they_say() {
        assert_eq!(values("2", 2), [2.0, 2.0]);
        assert_eq!(values("{ from = 4.0, to = 0 }", 4), [4.0, 3.0, 2.0, 1.0]);
        assert_eq!(values("{ from = 1.0, to = 3.0, begin = 1, end = 3 }", 5), [1.0, 1.0, 2.0, 3.0, 3.0]);
        assert_eq!(values("{ value = 5.0, begin = \"50%\" }", 4), [0.0, 0.0, 5.0, 5.0]);
        assert_eq!(values("{ value = 5.0, begin = 1, end = \"50%\" }", 4), [0.0, 5.0, 0.0, 0.0]);
    }

    #[test]
    fn a_schedule_is_the_same_after_it_was_written() {
        for value in ["0.25", "{ from = 4.0, to = 1.0, end = \"33.3%\" }", "{ value = 1.0, begin = 7 }"] {
            let holder = Holder { weight: read(value).unwrap() };
            let text = toml::to_string_pretty(&holder).unwrap();
            assert_eq!(toml::from_str::<Holder>(&text).unwrap(), holder, "{text}");
        }
    }

    #[test]
    fn mistakes_are_explained() {
        for (value, words) in [
            ("{ from = 1.0 }", "`from` and `to`"),
            ("{ value = 1.0, to = 2.0 }", "`from` and `to`"),
            ("{ value = 1.0, end = \"120%\" }", "120%"),
            ("{ value = 1.0, end = 0.5 }", "part of the training"),
            ("{ value = 1.0, end = -5 }", "below 0"),
            ("{ value = 1.0, until = 5 }", "until"),
            ("\"high\"", "a number"),
        ] {
            let message = read(value).unwrap_err();
            assert!(message.contains(words), "{message}");
        }
        let late = read("{ value = 1.0, begin = 50, end = \"25%\" }").unwrap();
        let message = late.check(100).unwrap_err();
        assert!(message.contains("50") && message.contains("25%"), "{message}");
        late.check(400).unwrap();
    }
}
