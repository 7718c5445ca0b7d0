//! The term between masked words: the teacher's distribution over the vocabulary, the word that stood there, or both.

use burn::tensor::{Int, Tensor};
use corpus::MaskSettings;
use serde::{Deserialize, Serialize};
use train::losses::cross_entropy;

use super::schedule::check_term;
use super::{Schedule, Shape};
use crate::losses;

/// The masked-word term of a training on text, MobileBERT's pre-training distillation (Sun et al. 2020) without its next-sentence term:
///
/// `weight ((1 - teacher) CE(word) + teacher T² CE(softmax(t / T)))`, both cross-entropies against `log_softmax(s)`, the second one
/// against `log_softmax(s / T)`, summed over the vocabulary; mean over the masked positions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mlm {
    /// Whether the soft term is multiplied by `T²`, so that its gradients do not shrink as the temperature rises.
    pub t_squared: bool,
    /// Factor of the whole term; absent 1, with a preset of two stages 1 in the second one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<Schedule>,
    /// Share of the teacher's distribution, 0 (the words alone, no teacher needed) to 1.
    pub teacher: Schedule,
    /// `T`, which divides the scores of both sides where the teacher is compared with.
    pub temperature: Schedule,
    /// Which words are hidden, and how.
    pub mask: MaskSettings,
}

impl Default for Mlm {
    /// MobileBERT's: half the teacher and half the word at temperature 1, BERT's masking.
    fn default() -> Self {
        Self {
            t_squared: true,
            weight: None,
            teacher: Schedule::Constant(0.5),
            temperature: Schedule::Constant(1.0),
            mask: MaskSettings::default(),
        }
    }
}

impl Mlm {
    /// Checks what can be checked without the models.
    ///
    /// # Errors
    /// The key, what is wrong and what is allowed.
    pub fn check(&self) -> Result<(), String> {
        let share = "`teacher` must lie between 0 (the words alone) and 1 (the teacher's distribution)";
        check_term(self.weight(), self.temperature, (self.teacher, share))?;
        self.mask.check().map_err(|e| e.to_string())
    }

    /// Checks the term against both models.
    ///
    /// # Errors
    /// What does not fit.
    pub fn fits(&self, student: Shape, teacher: Shape) -> Result<(), String> {
        self.check()?;
        let Some(ours) = student.words else {
            return Err(
                "the student has no masked-language-model head; `efficientbert distill` on text gives it one, \
                        a search gives none to its students"
                    .into(),
            );
        };
        if !self.asks_teacher() {
            return Ok(());
        }
        match teacher.words {
            None => Err("the teacher has no masked-language-model head (tensors `cls.predictions.*`), whose distribution has a share \
                         here; import a checkpoint that has one, or set `teacher = 0.0` to learn from the words alone"
                .into()),
            Some(theirs) if theirs != ours => Err(format!(
                "the student scores {ours} word pieces, the teacher {theirs}; a distribution can be compared over one vocabulary only"
            )),
            Some(_) => Ok(()),
        }
    }

    /// Whether the teacher's distribution has a share in any step.
    pub fn asks_teacher(&self) -> bool {
        self.teacher.numbers().iter().any(|&share| share > 0.0)
    }

    pub(super) fn weight(&self) -> Schedule {
        self.weight.unwrap_or(Schedule::Constant(1.0))
    }

    /// The schedules with their keys.
    pub(super) fn schedules(&self) -> [(&'static str, Schedule); 3] {
        [("weight", self.weight()), ("teacher", self.teacher), ("temperature", self.temperature)]
    }

    /// The term in step `step` of `total`; `None` where its weight is 0.
    pub(super) fn at(&self, step: u64, total: u64) -> Option<MlmTerm> {
        let weight = self.weight().at(step, total);
        (weight > 0.0).then(|| MlmTerm {
            t_squared: self.t_squared,
            weight,
            teacher: self.teacher.at(step, total),
            temperature: self.temperature.at(step, total),
        })
    }
}

/// The masked-word term of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MlmTerm {
    t_squared: bool,
    weight: f64,
    teacher: f64,
    temperature: f64,
}

impl MlmTerm {
    /// Whether the teacher's distribution has a share.
    pub fn asks_teacher(&self) -> bool {
        self.teacher > 0.0
    }

    /// The weighted term; the part that has no share is not computed. `teacher` is what [`MlmTerm::asks_teacher`] asks for.
    ///
    /// # Shapes
    /// - `student`, `teacher`: scores before the softmax, `[masked, vocab]`
    /// - `words`: ids of what stood there, `[masked]`
    /// - output: `[1]`
    pub fn loss(&self, student: Tensor<2>, teacher: Option<Tensor<2>>, words: Tensor<1, Int>) -> Tensor<1> {
        let (share, t) = (self.teacher, self.temperature);
        let soft = teacher.filter(|_| share > 0.0).map(|teacher| {
            // The mean over the vocabulary as well becomes a sum over it.
            let factor = student.dims()[1] as f64 * if self.t_squared { t * t } else { 1.0 };
            losses::soft_cross_entropy(student.clone(), teacher, t) * (factor * share * self.weight)
        });
        let hard = || cross_entropy(student.clone(), words) * ((1.0 - share) * self.weight);
        match soft {
            Some(soft) if share >= 1.0 => soft,
            Some(soft) => soft + hard(),
            None => hard(),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    const STUDENT: [[f32; 4]; 3] = [[0.5, -1.0, 2.0, 0.1], [0.0, 1.0, -0.5, 0.25], [1.5, 0.2, -2.0, 0.7]];
    const TEACHER: [[f32; 4]; 3] = [[1.0, 0.3, -0.5, 0.0], [-1.0, 2.0, 0.5, 0.5], [0.4, -0.2, 0.1, 3.0]];
    const WORDS: [i32; 3] = [2, 0, 3];

    fn term(edit: impl Fn(&mut Mlm)) -> MlmTerm {
        let mut mlm = Mlm::default();
        edit(&mut mlm);
        mlm.check().unwrap();
        mlm.at(1, 4).unwrap()
    }

    fn loss(term: MlmTerm, student: Tensor<2>) -> Tensor<1> {
        let device = Device::flex();
        term.loss(student, Some(Tensor::from_floats(TEACHER, &device)), Tensor::from_ints(WORDS, &device))
    }

    fn softmax(row: &[f32], t: f64) -> Vec<f64> {
        let exp: Vec<f64> = row.iter().map(|&v| (f64::from(v) / t).exp()).collect();
        let sum: f64 = exp.iter().sum();
        exp.into_iter().map(|v| v / sum).collect()
    }

    /// The formula of [`Mlm`] in double precision.
    fn by_hand(share: f64, t: f64, square: bool) -> f64 {
        let row = |i: usize| {
            let (p, q) = (softmax(&TEACHER[i], t), softmax(&STUDENT[i], t));
            let soft: f64 = p.iter().zip(q).map(|(p, q)| -p * q.ln()).sum();
            let hard = -softmax(&STUDENT[i], 1.0)[WORDS[i] as usize].ln();
            share * soft * if square { t * t } else { 1.0 } + (1.0 - share) * hard
        };
        (0..3).map(row).sum::<f64>() / 3.0
    }

    #[test]
    fn the_term_is_the_mixed_cross_entropy_over_the_vocabulary() {
        for (share, t, square) in
            [(0.5, 1.0, true), (0.0, 1.0, true), (1.0, 1.0, true), (0.25, 3.0, true), (0.7, 2.0, false)]
        {
            let term = term(|m| {
                (m.teacher, m.temperature, m.t_squared, m.weight) = (share.into(), t.into(), square, Some(2.0.into()));
            });
            let found = loss(term, Tensor::from_floats(STUDENT, &Device::flex())).into_scalar::<f32>();
            let expected = 2.0 * by_hand(share, t, square);
            assert!((f64::from(found) - expected).abs() < 1e-5, "{share} {t}: {found} instead of {expected}");
        }
    }

    #[test]
    fn half_the_teacher_is_the_cross_entropy_of_the_mixed_target_as_in_mobilebert() {
        let target = |i: usize| {
            let mut target = softmax(&TEACHER[i], 1.0);
            target.iter_mut().for_each(|p| *p *= 0.5);
            target[WORDS[i] as usize] += 0.5;
            target
        };
        let row = |i: usize| target(i).iter().zip(softmax(&STUDENT[i], 1.0)).map(|(p, q)| -p * q.ln()).sum::<f64>();
        let expected = (0..3).map(row).sum::<f64>() / 3.0;
        let found = loss(term(|_| {}), Tensor::from_floats(STUDENT, &Device::flex())).into_scalar::<f32>();
        assert!((f64::from(found) - expected).abs() < 1e-5, "{found} instead of {expected}");
    }

    #[test]
    fn gradients_are_the_slopes_of_the_values() {
        let at: Vec<f32> = STUDENT.iter().flatten().copied().collect();
        let tensor =
            |values: Vec<f32>, device: &Device| Tensor::<2>::from_data(TensorData::new(values, [3, 4]), device);
        for (share, t) in [(0.5, 1.0), (0.0, 1.0), (1.0, 2.0)] {
            let term = term(|m| (m.teacher, m.temperature) = (share.into(), t.into()));
            let x = tensor(at.clone(), &Device::flex().autodiff()).require_grad();
            let gradients = loss(term, x.clone()).backward();
            let found = x.grad(&gradients).expect("reached").try_into_vec_as::<f32>().unwrap();
            for i in 0..at.len() {
                let moved = |by: f32| {
                    let mut values = at.clone();
                    values[i] += by;
                    f64::from(loss(term, tensor(values, &Device::flex())).into_scalar::<f32>())
                };
                let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                assert!((slope - f64::from(found[i])).abs() < 1e-3, "{share}, {i}: {} against {slope}", found[i]);
            }
        }
    }

    #[test]
    fn a_section_is_read_with_mobileberts_defaults_and_written_again() {
        assert_eq!(toml::from_str::<Mlm>("").unwrap(), Mlm::default());
        let text = "teacher = { from = 1.0, to = 0.0 }\ntemperature = 2.0\nweight = { value = 3.0, begin = \"50%\" }\n\
                    mask = { probability = 0.2, max_predictions = 20, whole_words = true }";
        let read: Mlm = toml::from_str(text).unwrap();
        assert_eq!((read.mask.probability, read.mask.random, read.mask.max_predictions), (0.2, 0.1, Some(20)));
        assert!(read.at(0, 4).is_none() && read.at(2, 4).is_some_and(|term| term.asks_teacher()));
        assert_eq!(toml::from_str::<Mlm>(&toml::to_string_pretty(&read).unwrap()).unwrap(), read);
    }

    #[test]
    fn values_out_of_range_are_refused_with_their_key() {
        for (text, words) in [
            ("weight = -1.0", "`weight`"),
            ("teacher = 1.5", "`teacher`"),
            ("temperature = 0.0", "`temperature`"),
            ("temperature = { value = 2.0, end = 4 }", "gate"),
            ("mask = { probability = 1.5 }", "probability is 1.5"),
            ("mask = { random = 0.8, keep = 0.8 }", "together"),
            ("mask = { max_predictions = 0 }", "max_predictions"),
        ] {
            let message = toml::from_str::<Mlm>(text).unwrap().check().unwrap_err();
            assert!(message.contains(words), "{message}");
        }
        for text in ["alpha = 0.5", "mask = { rate = 0.15 }"] {
            assert!(toml::from_str::<Mlm>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn models_that_do_not_fit_are_refused_with_what_is_missing() {
        let shape = |words| Shape { layers: 1, width: 4, heads: 1, words };
        let fits = |mlm: &Mlm, student, teacher| mlm.fits(shape(student), shape(teacher));
        let mlm = Mlm::default();
        fits(&mlm, Some(9), Some(9)).unwrap();
        assert!(fits(&mlm, None, Some(9)).unwrap_err().contains("the student has no masked-language-model head"));
        let message = fits(&mlm, Some(9), None).unwrap_err();
        assert!(message.contains("the teacher has no") && message.contains("`teacher = 0.0`"), "{message}");
        let message = fits(&mlm, Some(9), Some(8)).unwrap_err();
        assert!(message.contains("9 word pieces, the teacher 8"), "{message}");
        let alone = Mlm { teacher: 0.0.into(), ..Mlm::default() };
        fits(&alone, Some(9), None).unwrap();
        fits(&alone, Some(9), Some(8)).unwrap();
    }
}
