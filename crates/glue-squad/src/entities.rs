//! Entities that the tags of words mark, and their scores.
//!
//! [`TagSet::entities`] reads tags as `seqeval` and the script `conlleval` of CoNLL-2000 do: an `I-X` that follows no `X` begins an
//! entity. [`TagSet::strict_entities`] reads only what the scheme allows, as `seqeval` does with `mode="strict"`.

use std::collections::BTreeSet;
use std::fmt;

use crate::error::{Error, Result};

/// How tags mark entities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Not at all: each word has a tag, such as its part of speech.
    Plain,
    /// Every word of an entity has its kind: `I-X`, or `X` beside a tag `O`. Two entities of a kind that touch are one.
    Io,
    /// As IO, but `B-X` begins an entity that touches another one of its kind.
    Iob1,
    /// `B-X` begins every entity, `I-X` goes on.
    Iob2,
    /// As IOB2, `E-X` ends an entity and `S-X` is one of one word; also with `L` and `U` in their place.
    Bioes,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "none",
            Self::Io => "IO",
            Self::Iob1 => "IOB1",
            Self::Iob2 => "IOB2",
            Self::Bioes => "BIOES",
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Outside,
    Begin,
    Inside,
    End,
    Single,
}

/// A run of words of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entity {
    /// Its first word.
    pub start: usize,
    /// The word after its last one.
    pub end: usize,
    /// Position in [`TagSet::kinds`].
    pub kind: usize,
}

/// The tags of a task and what they mark.
#[derive(Debug, Clone)]
pub struct TagSet {
    marks: Vec<(Mark, usize)>,
    kinds: Vec<String>,
    scheme: Scheme,
    outside: Option<usize>,
}

/// What a tag outside of every entity is called.
const OUTSIDE: &str = "O";

impl TagSet {
    /// What the names of tags say. IOB1 and IOB2 have the same names; IOB2 is assumed, see [`StartCounts`].
    pub fn of<S: AsRef<str>>(names: &[S]) -> Self {
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        let outside = names.iter().position(|name| *name == OUTSIDE);
        let others = || names.iter().filter(|name| **name != OUTSIDE);
        let is_marked = others().next().is_some() && others().all(|name| marked(name).is_some());
        let scheme = match (is_marked, outside) {
            (false, None) => Scheme::Plain,
            (false, Some(_)) => Scheme::Io,
            (true, _) => {
                let has = |wanted: &[Mark]| others().filter_map(|n| marked(n)).any(|(mark, _)| wanted.contains(&mark));
                match (has(&[Mark::End, Mark::Single]), has(&[Mark::Begin])) {
                    (true, _) => Scheme::Bioes,
                    (false, true) => Scheme::Iob2,
                    (false, false) => Scheme::Io,
                }
            }
        };
        // The kind of what has none, which a tag outside of entities has too.
        let mut kinds = vec![String::new()];
        let mut marks = Vec::with_capacity(names.len());
        for name in &names {
            let (mark, kind) = match (*name, is_marked) {
                (OUTSIDE, _) => (Mark::Outside, ""),
                (name, true) => marked(name).unwrap_or((Mark::Outside, "")),
                (name, false) => (Mark::Inside, name),
            };
            let at = kinds.iter().position(|known| known == kind).unwrap_or_else(|| {
                kinds.push(kind.to_owned());
                kinds.len() - 1
            });
            marks.push((mark, at));
        }
        Self { marks, kinds, scheme, outside }
    }

    /// The scheme that the names say.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The kinds of entities; the first is that of tags without one.
    pub fn kinds(&self) -> &[String] {
        &self.kinds
    }

    /// The tag of a word that nothing is known of: `O`, or the first tag where there is no `O`.
    pub fn outside(&self) -> usize {
        self.outside.unwrap_or(0)
    }

    fn mark(&self, tag: Option<&u16>) -> (Mark, usize) {
        tag.and_then(|tag| self.marks.get(usize::from(*tag))).copied().unwrap_or((Mark::Outside, 0))
    }

    /// The entities of a text as `seqeval` finds them by default.
    pub fn entities(&self, tags: &[u16]) -> Vec<Entity> {
        let mut found = Vec::new();
        let (mut before, mut start) = ((Mark::Outside, 0), 0);
        for at in 0..=tags.len() {
            let now = self.mark(tags.get(at));
            if ends(before, now) {
                found.push(Entity { start, end: at, kind: before.1 });
            }
            if begins(before, now) {
                start = at;
            }
            before = now;
        }
        found
    }

    /// The entities of a text that IOB2 or BIOES allows; of other schemes [`TagSet::entities`].
    pub fn strict_entities(&self, tags: &[u16]) -> Vec<Entity> {
        let is_bioes = match self.scheme {
            Scheme::Bioes => true,
            Scheme::Iob2 => false,
            _ => return self.entities(tags),
        };
        let mut found = Vec::new();
        let mut at = 0;
        while at < tags.len() {
            let (start, (mark, kind)) = (at, self.mark(tags.get(at)));
            at += 1;
            let mut last = mark;
            if mark == Mark::Begin {
                while matches!(last, Mark::Begin | Mark::Inside) {
                    match self.mark(tags.get(at)) {
                        (next @ (Mark::Inside | Mark::End), same) if same == kind => last = next,
                        _ => break,
                    }
                    at += 1;
                }
            }
            let is_whole = match is_bioes {
                true => mark == Mark::Single || (mark == Mark::Begin && last == Mark::End),
                false => mark == Mark::Begin,
            };
            if is_whole {
                found.push(Entity { start, end: at, kind });
            }
        }
        found
    }

    /// The words at which a text breaks the rules of a scheme. Of BIOES this is also the word after an entity that has no end; it may be one
    /// past the last.
    pub fn breaks(&self, scheme: Scheme, tags: &[u16]) -> Vec<usize> {
        let is_broken = |at: &usize| {
            let before = self.mark(at.checked_sub(1).and_then(|before| tags.get(before)));
            let (is_open, now) = (matches!(before.0, Mark::Begin | Mark::Inside), self.mark(tags.get(*at)));
            let goes_on = matches!(now.0, Mark::Inside | Mark::End);
            let fits = is_open && before.1 == now.1;
            match scheme {
                Scheme::Iob2 => goes_on && !fits,
                Scheme::Bioes => (goes_on || is_open) && !(goes_on && fits),
                Scheme::Plain | Scheme::Io | Scheme::Iob1 => false,
            }
        };
        (0..=tags.len()).filter(is_broken).collect()
    }
}

/// The mark and the kind that a tag's name has: `B-PER`, or `B` alone.
fn marked(name: &str) -> Option<(Mark, &str)> {
    let mark = match name.chars().next()? {
        'B' => Mark::Begin,
        'I' => Mark::Inside,
        'E' | 'L' => Mark::End,
        'S' | 'U' => Mark::Single,
        _ => return None,
    };
    match &name[1..] {
        "" => Some((mark, "")),
        rest => rest.strip_prefix('-').map(|kind| (mark, kind)),
    }
}

/// Whether an entity ends before a word, as `seqeval` has it.
fn ends((before, kind_before): (Mark, usize), (now, kind): (Mark, usize)) -> bool {
    use Mark::{Begin, End, Inside, Outside, Single};
    match before {
        Outside => false,
        End | Single => true,
        Begin | Inside => matches!(now, Begin | Single | Outside) || kind_before != kind,
    }
}

/// Whether an entity begins with a word.
fn begins((before, kind_before): (Mark, usize), (now, kind): (Mark, usize)) -> bool {
    use Mark::{Begin, End, Inside, Outside, Single};
    match now {
        Outside => false,
        Begin | Single => true,
        End | Inside => matches!(before, End | Single | Outside) || kind_before != kind,
    }
}

/// How entities of a data set with the tags of IOB begin, by which IOB1 is told from IOB2.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StartCounts {
    /// With `I-X` that follows no `X`.
    pub inside: u64,
    /// With `B-X` that follows no `X`, which IOB1 never has.
    pub begin: u64,
}

impl StartCounts {
    /// Counts those of a text.
    pub fn add(&mut self, set: &TagSet, tags: &[u16]) {
        let mut before = (Mark::Outside, 0);
        for tag in tags {
            let now = set.mark(Some(tag));
            let follows = before.0 != Mark::Outside && before.1 == now.1;
            match now.0 {
                Mark::Inside if !follows => self.inside += 1,
                Mark::Begin if !follows => self.begin += 1,
                _ => {}
            }
            before = now;
        }
    }

    /// The scheme of a data set whose names say `scheme`.
    pub fn scheme(self, scheme: Scheme) -> Scheme {
        let is_iob1 = scheme == Scheme::Iob2 && self.inside > 0 && self.begin == 0;
        if is_iob1 { Scheme::Iob1 } else { scheme }
    }
}

/// How many entities are right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EntityCounts {
    /// Predicted where they are.
    pub right: usize,
    /// Predicted.
    pub predicted: usize,
    /// There.
    pub present: usize,
}

impl EntityCounts {
    /// Compares the entities that `read` finds in predicted and gold tags, text by text.
    ///
    /// # Errors
    /// Different numbers of texts, or of words in one.
    pub fn of(predicted: &[Vec<u16>], gold: &[&[u16]], read: impl Fn(&[u16]) -> Vec<Entity>) -> Result<Self> {
        if predicted.len() != gold.len() {
            return Err(Error::Invalid(format!("tags of {} texts for {}", predicted.len(), gold.len())));
        }
        let mut counts = Self::default();
        for (text, (predicted, gold)) in predicted.iter().zip(gold).enumerate() {
            if predicted.len() != gold.len() {
                return Err(Error::Invalid(format!("text {text}: {} tags for {} words", predicted.len(), gold.len())));
            }
            let [found, there] = [read(predicted), read(gold)].map(|all| all.into_iter().collect::<BTreeSet<_>>());
            counts.right += found.intersection(&there).count();
            counts.predicted += found.len();
            counts.present += there.len();
        }
        Ok(counts)
    }

    /// Right of those predicted; 0 where none are.
    pub fn precision(&self) -> f64 {
        share(self.right, self.predicted)
    }

    /// Right of those present; 0 where none are.
    pub fn recall(&self) -> f64 {
        share(self.right, self.present)
    }

    /// 2 right / (predicted + present); 0 where none are.
    pub fn f1(&self) -> f64 {
        share(2 * self.right, self.predicted + self.present)
    }
}

fn share(part: usize, of: usize) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &str) -> (TagSet, Vec<String>) {
        let names: Vec<String> = names.split(' ').map(str::to_owned).collect();
        (TagSet::of(&names), names)
    }

    /// Entities of a text of tags as `START-END KIND`.
    fn found(names: &str, text: &str, strict: bool) -> Vec<String> {
        let (set, names) = set(names);
        let tags: Vec<u16> =
            text.split(' ').map(|tag| names.iter().position(|name| name == tag).unwrap() as u16).collect();
        let all = if strict { set.strict_entities(&tags) } else { set.entities(&tags) };
        all.into_iter().map(|e| format!("{}-{} {}", e.start, e.end, set.kinds()[e.kind])).collect()
    }

    #[test]
    fn the_names_of_tags_say_the_scheme() {
        for (names, scheme) in [
            ("O B-PER I-PER", Scheme::Iob2),
            ("B-PER I-PER", Scheme::Iob2),
            ("B I O", Scheme::Iob2),
            ("O I-PER I-LOC", Scheme::Io),
            ("O PER LOC", Scheme::Io),
            ("O B-PER I-PER E-PER S-PER", Scheme::Bioes),
            ("O B-PER I-PER L-PER U-PER", Scheme::Bioes),
            ("NOUN VERB DET", Scheme::Plain),
            ("O", Scheme::Io),
        ] {
            assert_eq!(set(names).0.scheme(), scheme, "{names}");
        }
        assert_eq!((set("B-A I-A O").0.outside(), set("NOUN VERB").0.outside()), (2, 0));
    }

    #[test]
    fn an_inside_tag_without_a_beginning_is_an_entity_unless_it_is_read_strictly() {
        let names = "O B-PER I-PER B-LOC I-LOC";
        let text = "B-PER I-PER I-LOC O I-PER I-PER B-PER";
        assert_eq!(found(names, text, false), ["0-2 PER", "2-3 LOC", "4-6 PER", "6-7 PER"]);
        assert_eq!(found(names, text, true), ["0-2 PER", "6-7 PER"]);
    }

    #[test]
    fn bioes_needs_an_end_when_it_is_read_strictly() {
        for names in ["O B-X I-X E-X S-X", "O B-X I-X L-X U-X"] {
            let [_, _, _, end, single] = names.split(' ').collect::<Vec<_>>()[..] else { panic!("five names") };
            let text = format!("B-X I-X {end} {single} B-X O I-X {end} {single} {single}");
            assert_eq!(found(names, &text, false), ["0-3 X", "3-4 X", "4-5 X", "6-8 X", "8-9 X", "9-10 X"]);
            assert_eq!(found(names, &text, true), ["0-3 X", "3-4 X", "8-9 X", "9-10 X"]);
        }
    }

    #[test]
    fn kinds_without_marks_are_runs() {
        assert_eq!(found("O PER LOC", "PER PER LOC O LOC", false), ["0-2 PER", "2-3 LOC", "4-5 LOC"]);
        assert_eq!(found("O B I", "B I B O I", false), ["0-2 ", "2-3 ", "4-5 "]);
    }

    #[test]
    fn broken_rules_are_found_at_their_words() {
        let (iob, _) = set("O B-X I-X B-Y I-Y");
        assert_eq!(iob.breaks(Scheme::Iob2, &[2, 2, 1, 2, 4, 0, 4]), [0, 4, 6]);
        assert!(iob.breaks(Scheme::Iob1, &[2, 2, 1, 2, 4, 0, 4]).is_empty());
        let (bioes, _) = set("O B-X I-X E-X S-X");
        assert_eq!(bioes.breaks(Scheme::Bioes, &[1, 2, 3, 4, 1, 0, 3, 1]), [5, 6, 8]);
    }

    #[test]
    fn iob1_is_told_by_how_its_entities_begin() {
        let (set, _) = set("O B-X I-X");
        let scheme = |texts: &[&[u16]]| {
            let mut counts = StartCounts::default();
            texts.iter().for_each(|tags| counts.add(&set, tags));
            counts.scheme(set.scheme())
        };
        assert_eq!(scheme(&[&[0, 2, 2, 1, 2], &[2, 0]]), Scheme::Iob1);
        assert_eq!(scheme(&[&[0, 1, 2, 1, 2], &[2, 0]]), Scheme::Iob2);
        assert_eq!(scheme(&[&[0, 0]]), Scheme::Iob2);
    }

    #[test]
    fn scores_are_those_of_seqeval() {
        let (set, _) = set("O B-X I-X B-Y I-Y");
        let gold: [&[u16]; 2] = [&[1, 2, 0, 3], &[0, 1, 0]];
        let predicted = vec![vec![1, 2, 0, 1], vec![2, 1, 0]];
        let counts = EntityCounts::of(&predicted, &gold, |tags| set.entities(tags)).unwrap();
        assert_eq!(counts, EntityCounts { right: 2, predicted: 4, present: 3 });
        assert!((counts.f1() - 4.0 / 7.0).abs() < 1e-12);
        assert_eq!(EntityCounts::default().f1() + EntityCounts::default().precision(), 0.0);
        assert!(EntityCounts::of(&predicted[..1], &gold, |tags| set.entities(tags)).is_err());
        assert!(EntityCounts::of(&[vec![1], vec![]], &gold, |tags| set.entities(tags)).is_err());
    }
}
