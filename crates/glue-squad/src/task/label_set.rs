//! Sets of labels.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const WORDS: usize = 4;

/// A set of labels by their indices into [`super::Task::labels`], each below [`LabelSet::MOST`]. Written as a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LabelSet([u64; WORDS]);

impl LabelSet {
    /// The most labels that a task can have.
    pub const MOST: usize = 64 * WORDS;

    /// Adds a label.
    ///
    /// # Panics
    /// The label is not below [`LabelSet::MOST`].
    pub fn insert(&mut self, label: usize) {
        assert!(label < Self::MOST, "label {label} of at most {}", Self::MOST);
        self.0[label / 64] |= 1 << (label % 64);
    }

    /// Whether the label is in it.
    pub fn contains(&self, label: usize) -> bool {
        self.0.get(label / 64).is_some_and(|word| word >> (label % 64) & 1 == 1)
    }

    /// The labels in their order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + use<> {
        let set = *self;
        (0..Self::MOST).filter(move |&label| set.contains(label))
    }

    /// How many labels are in it.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether no label is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl FromIterator<usize> for LabelSet {
    /// # Panics
    /// As [`LabelSet::insert`].
    fn from_iter<T: IntoIterator<Item = usize>>(labels: T) -> Self {
        let mut set = Self::default();
        labels.into_iter().for_each(|label| set.insert(label));
        set
    }
}

impl Serialize for LabelSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for LabelSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let labels = Vec::<usize>::deserialize(deserializer)?;
        match labels.iter().find(|label| **label >= Self::MOST) {
            Some(label) => Err(serde::de::Error::custom(format!("label {label}; at most {} are possible", Self::MOST))),
            None => Ok(labels.into_iter().collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_in_once_and_is_written_as_a_list() {
        let set: LabelSet = [200, 3, 3, 63, 64].into_iter().collect();
        assert_eq!((set.len(), set.iter().collect::<Vec<_>>()), (4, vec![3, 63, 64, 200]));
        assert!(set.contains(64) && !set.contains(65) && !set.contains(10_000));
        let json = serde_json::to_string(&set).unwrap();
        assert_eq!((json.as_str(), serde_json::from_str::<LabelSet>(&json).unwrap()), ("[3,63,64,200]", set));
        assert!(serde_json::from_str::<LabelSet>("[256]").is_err());
    }
}
