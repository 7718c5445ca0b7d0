//! A recipe fitted to a teacher, its data and a limit: what a person would choose.

use bert_core::{BertConfig, Parts};
use encoder_spec::Encoder;

use super::Override;

/// The published recipe that is fitted.
pub const FITTED: &str = "minilm";
/// Examples of a step.
const BATCH: usize = 32;
/// The part of the teacher's parameters that a student has at most, where no limit is given.
const SHARE: f64 = 0.3;
/// The smallest candidates have this part of the most parameters: smaller ones would only seem cheaper.
const LEAST: f64 = 0.92;
/// Most layers of a student.
const MOST_LAYERS: usize = 6;
/// Widths of hidden states, as parts of the teacher's: from the narrowest to the widest.
const HIDDEN: [f64; 2] = [0.5625, 0.875];
/// Most different widths of hidden states.
const MOST_WIDTHS: usize = 10;
/// The width of the hand-made frame, as a part of the teacher's.
const FRAME: f64 = 0.6875;
/// Widths of the word table, as parts of the teacher's hidden width.
const TABLE: [f64; 6] = [1.0 / 6.0, 5.0 / 24.0, 0.25, 7.0 / 24.0, 1.0 / 3.0, 0.375];
/// Widths of feed-forwards, as parts of the teacher's hidden width.
const FEED_FORWARD: [f64; 5] = [0.79, 1.1875, 1.58, 2.375, 3.167];

/// The limits of a student.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// Most parameters.
    pub max_params: Option<u64>,
    /// Most multiply-adds of a pass.
    pub max_macs: Option<u64>,
    /// Most bytes of the weights.
    pub max_bytes: Option<u64>,
    /// Longest latency of one text, in milliseconds.
    pub max_latency_ms: Option<f64>,
}

/// What a recipe is fitted to.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// The teacher.
    pub teacher: &'a BertConfig,
    /// Its parameters.
    pub params: u64,
    /// Whether it answers the task already, so that it is not fine-tuned.
    pub is_tuned: bool,
    /// Training examples.
    pub examples: usize,
    /// Longest sequence in tokens.
    pub max_len: usize,
    /// The limits of the student.
    pub limits: Limits,
    /// Whether the student is compared with plain networks of the same cost, each of three seeds.
    pub compare: bool,
}

impl Facts<'_> {
    /// The changes of [`FITTED`], and what was assumed, in words for people.
    pub fn settings(&self) -> (Vec<Override>, Vec<String>) {
        let teacher = self.teacher;
        let (hidden, heads) = (teacher.hidden_size, teacher.num_attention_heads.max(1));
        let layers = teacher.num_hidden_layers.min(MOST_LAYERS);
        let rounded = |part: f64, to: usize| (((hidden as f64 * part) / to as f64).round() as usize).max(1) * to;
        let list = |values: &[usize]| {
            let mut values = values.to_vec();
            values.dedup();
            format!("[{}]", values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
        };
        let widths = {
            let [narrow, wide] = HIDDEN.map(|part| rounded(part, heads) / heads);
            let step = (wide - narrow).div_ceil(MOST_WIDTHS).max(1);
            (narrow..=wide).step_by(step).map(|k| k * heads).collect::<Vec<_>>()
        };
        let tables = TABLE.map(|part| rounded(part, 16));
        let bases = FEED_FORWARD.map(|part| rounded(part, 8));
        let epoch = self.examples.div_ceil(BATCH).max(1);
        let tuning = if self.is_tuned { 0 } else { (3 * epoch).clamp(300, 6_000) };
        let final_steps = (4 * epoch).clamp(500, 4_000);
        let every = |steps: usize| (steps / 6).max(1);
        let mut settings = vec![
            ("name", "\"compress\"".to_owned()),
            ("description", "\"A recipe fitted to a teacher, its data and a limit.\"".to_owned()),
            ("max_len", self.max_len.to_string()),
            ("teacher.fine_tune.steps", tuning.to_string()),
            ("teacher.fine_tune.eval_every", if tuning == 0 { 0 } else { every(tuning) }.to_string()),
            ("student.layers", layers.to_string()),
            ("student.hidden", rounded(FRAME, heads).to_string()),
            ("student.embed", rounded(TABLE[4], 16).to_string()),
            ("student.heads", heads.to_string()),
            ("search.encoder.layers", list(&[layers])),
            ("search.encoder.hidden", list(&widths)),
            ("search.encoder.embed", list(&tables)),
            ("search.encoder.heads", list(&[heads])),
            ("search.encoder.base", list(&bases)),
            ("final.task.steps", final_steps.to_string()),
            ("final.task.eval_every", every(final_steps).to_string()),
            ("final.task.checkpoint_every", every(final_steps).to_string()),
            ("compare.same_params", self.compare.to_string()),
            ("compare.same_latency", self.compare.to_string()),
            ("compare.seeds", if self.compare { 3 } else { 1 }.to_string()),
            ("data.hold_out", format!("{:?}", if self.examples > 20_000 { 0.05 } else { 0.1 })),
            ("distill.match", matches(teacher.num_hidden_layers, layers)),
            ("latency.seq", self.max_len.to_string()),
        ];
        let mut notes = vec![
            if tuning == 0 {
                "the teacher answers this task already and is taken as it is".to_owned()
            } else {
                format!("the teacher is fine-tuned first: {tuning} steps")
            },
            format!("sequences have at most {} tokens", self.max_len),
        ];
        let reach = self.largest(layers, *widths.last().unwrap_or(&hidden), tables[5], bases[4]);
        let (budget, note) = self.budget(reach);
        settings.extend(budget);
        notes.push(note);
        notes.push(match self.compare {
            true => "the student is compared with plain networks of the same cost, three trainings each".to_owned(),
            false => "the student is not compared with plain networks of the same cost; --compare does, in several times the time".to_owned(),
        });
        let settings = settings.into_iter().map(|(key, value)| Override { key: key.to_owned(), value });
        (settings.collect(), notes)
    }

    /// Parameters of about the largest candidate; the teacher's where that cannot be told.
    fn largest(&self, layers: usize, hidden: usize, table: usize, base: usize) -> u64 {
        let widest = BertConfig {
            hidden_size: hidden,
            num_hidden_layers: layers,
            intermediate_size: base,
            embedding_size: Some(table),
            ..self.teacher.clone()
        };
        let encoder = Encoder::describe(&widest, Parts::POOLER);
        encoder.map_or(self.params, |encoder| encoder.count(self.max_len).params_without_fit())
    }

    fn budget(&self, reach: u64) -> (Vec<(&'static str, String)>, String) {
        let limits = self.limits;
        let whole = self.params;
        let is_open = limits == Limits::default();
        let most = match limits.max_params {
            Some(most) => most,
            None if is_open => (whole as f64 * SHARE) as u64,
            None => whole,
        };
        // Where something else is the limit, any number of parameters may meet it.
        let least = if limits.max_params.is_some() || is_open { (most.min(reach) as f64 * LEAST) as u64 } else { 0 };
        let mut settings = vec![("budget.max_params", most.to_string()), ("budget.min_params", least.to_string())];
        let mut said = Vec::new();
        if limits.max_params.is_some() || is_open {
            said.push(format!(
                "at most {:.2} M parameters of the teacher's {:.2} M",
                most as f64 / 1e6,
                whole as f64 / 1e6
            ));
        }
        if let Some(macs) = limits.max_macs {
            settings.push(("budget.max_macs", macs.to_string()));
            said.push(format!("at most {:.0} M multiply-adds", macs as f64 / 1e6));
        }
        if let Some(bytes) = limits.max_bytes {
            settings.push(("budget.max_bytes", bytes.to_string()));
            said.push(format!("at most {:.1} MB of weights", bytes as f64 / 1e6));
        }
        if let Some(ms) = limits.max_latency_ms {
            settings.push(("budget.max_latency_ms", format!("{ms:?}")));
            said.push(format!("at most {ms} ms for one text of {} tokens on this machine", self.max_len));
        }
        let why = if is_open { ", since no limit is given" } else { "" };
        (settings, format!("the student has {}{why}", said.join(", and ")))
    }
}

/// Hidden states of the student's layers and those of the teacher's that they learn from, evenly spread, and the embedding.
fn matches(teacher: usize, student: usize) -> String {
    let one = |t: usize, s: usize, feature: &str| {
        format!("{{ teacher = {t}, student = {s}, feature = \"{feature}\", loss = \"mse\" }}")
    };
    let layers = (1..=student).map(|layer| one(layer * teacher / student, layer, "hidden"));
    let all: Vec<String> = std::iter::once(one(0, 0, "embedding")).chain(layers).collect();
    format!("[{}]", all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::load;

    fn facts(teacher: &BertConfig) -> Facts<'_> {
        let limits = Limits::default();
        Facts { teacher, params: 22_700_000, is_tuned: false, examples: 3_668, max_len: 64, limits, compare: true }
    }

    fn recipe(facts: &Facts<'_>) -> crate::recipe::Recipe {
        let inputs = [("teacher.model", "\"teacher\""), ("data.glue", "\"glue\"")];
        let inputs = inputs.map(|(key, value)| Override { key: key.into(), value: value.into() });
        load(FITTED, &[facts.settings().0, inputs.to_vec()].concat()).unwrap()
    }

    #[test]
    fn minilm_gets_nearly_the_recipe_that_was_made_for_it_by_hand() {
        let minilm = BertConfig::bert(30_522, 384, 6, 12, 1536);
        let (fitted, by_hand) = (recipe(&facts(&minilm)), {
            let inputs = [("teacher.model", "\"teacher\""), ("data.glue", "\"glue\"")];
            load(FITTED, &inputs.map(|(key, value)| Override { key: key.into(), value: value.into() })).unwrap()
        });
        assert_eq!(fitted.student, by_hand.student);
        let (fitted_space, space) = (fitted.search.encoder.unwrap(), by_hand.search.encoder.unwrap());
        assert_eq!((&fitted_space.embed, &fitted_space.heads), (&space.embed, &space.heads));
        assert_eq!((fitted_space.hidden[0], fitted_space.hidden.len()), (216, 11));
        assert_eq!(fitted.distill, by_hand.distill);
        assert_eq!((fitted.teacher.fine_tune.train.steps, fitted.final_.task.train.steps), (345, 500));
    }

    #[test]
    fn teachers_of_other_shapes_get_recipes_that_hold() {
        for (hidden, layers, heads) in [(768, 12, 12), (1024, 24, 16), (128, 2, 2), (312, 4, 12)] {
            let teacher = BertConfig::bert(30_522, hidden, layers, heads, 4 * hidden);
            let fitted = recipe(&facts(&teacher));
            assert_eq!(fitted.student.layers, layers.min(6));
            let space = fitted.search.encoder.unwrap();
            assert!(space.hidden.len() <= 11 && space.hidden.iter().all(|width| width % heads == 0), "{space:?}");
        }
    }

    #[test]
    fn a_limit_of_latency_leaves_the_parameters_open_and_is_said() {
        let teacher = BertConfig::bert(30_522, 384, 6, 12, 1536);
        let limits = Limits { max_latency_ms: Some(5.0), ..Limits::default() };
        let facts = Facts { limits, is_tuned: true, compare: false, ..facts(&teacher) };
        let fitted = recipe(&facts);
        assert_eq!((fitted.budget.min_params, fitted.budget.max_latency_ms), (Some(0), Some(5.0)));
        assert_eq!((fitted.teacher.fine_tune.train.steps, fitted.compare.same_params), (0, false));
        // A limit that no candidate reaches does not ask for more than there is.
        let wide = Limits { max_params: Some(20_000_000), ..Limits::default() };
        let least = recipe(&Facts { limits: wide, ..facts.clone() }).budget.min_params.unwrap();
        assert!((9_000_000..14_000_000).contains(&least), "{least}");
        let notes = facts.settings().1.join("\n");
        assert!(
            notes.contains("is taken as it is") && notes.contains("at most 5 ms for one text of 64 tokens"),
            "{notes}"
        );
    }
}
