//! The space of whole encoders: number of layers, widths, heads, and the feed-forward of each layer.
//!
//! EfficientBERT's stages keep all of a student but its feed-forwards. This space varies the rest too, so that a budget can be spent where it brings
//! most: on the word table, on width, on depth or on feed-forwards. Plain BERT's shapes are in it, those four times as wide as the hidden states
//! included. A draw is uniform in each choice and redrawn until it is within the size limits.

mod genome;

use encoder_spec::{AttentionShape, BertConfig, Encoder, Parts};
use mlp_space::{Architecture, Expression, Heights, LinearId, Mutation, Space, Unary, Widths};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

pub use genome::{EncoderGenome, EncoderLayer};

use crate::budget::{Budget, Cost, Reach};
use crate::error::{Error, Result};
use crate::space::{EncodedSpace, SearchSpace};

/// Draws before a student is made from one that is known to be within the limits.
const DRAWS: usize = 400;
/// Steps of a walk inside the limits.
const WALK: usize = 16;
/// Variations of a student that are looked at for one within the limits.
const VARIATIONS: usize = 60;
/// Where parts may be absent, one layer in so many is drawn without attention, and as many without a feed-forward.
const ONE_IN_ABSENT: u32 = 8;

/// What a student of the space may have; each list holds at least one number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderChoices {
    /// Numbers of layers.
    pub layers: Vec<usize>,
    /// Hidden widths.
    pub hidden: Vec<usize>,
    /// Widths of the word table.
    pub embed: Vec<usize>,
    /// Attention heads of each layer.
    pub heads: Vec<usize>,
    /// Widths of one head; without any, heads divide the hidden width.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub head_width: Vec<usize>,
    /// Base widths of the feed-forwards; a layer's has that width, or a half, a third or a quarter of it.
    pub base: Vec<usize>,
    /// Whether feed-forwards may be any expression and stack of EfficientBERT's space; if not, all are `linear(gelu(linear(x)))`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expressions: bool,
    /// Whether a layer may have no attention, or no feed-forward.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub absent: bool,
}

impl EncoderChoices {
    /// Checks that there is something to choose from.
    ///
    /// # Errors
    /// [`Error::Space`] for an empty list, a zero, or hidden widths that no number of heads divides.
    pub fn check(&self) -> Result<()> {
        let lists = [
            ("layers", &self.layers),
            ("hidden", &self.hidden),
            ("embed", &self.embed),
            ("heads", &self.heads),
            ("base", &self.base),
        ];
        for (name, list) in lists {
            if list.is_empty() || list.contains(&0) {
                return Err(Error::Space(format!("`{name}` lists at least one number, and no 0")));
            }
        }
        if self.head_width.contains(&0) {
            return Err(Error::Space("`head_width` lists no 0".into()));
        }
        match self.hidden.iter().find(|&&hidden| self.attention_of(hidden).is_empty()) {
            Some(hidden) => {
                Err(Error::Space(format!("no number of heads in `heads` divides the hidden width {hidden}")))
            }
            None => Ok(()),
        }
    }

    /// What the attention of a layer may be, by the hidden width.
    fn attention_of(&self, hidden: usize) -> Vec<AttentionShape> {
        if self.head_width.is_empty() {
            let divides = self.heads.iter().filter(|&&heads| hidden.is_multiple_of(heads));
            return divides.map(|&heads| AttentionShape { heads, width: hidden }).collect();
        }
        let of = |heads: usize| self.head_width.iter().map(move |width| AttentionShape { heads, width: heads * width });
        self.heads.iter().flat_map(|&heads| of(heads)).collect()
    }
}

/// All students of some choices within size limits.
#[derive(Debug, Clone)]
pub struct EncoderSpace {
    frame: BertConfig,
    parts: Parts,
    seq: usize,
    choices: EncoderChoices,
    budget: Budget,
    /// Students with equal layers that are within the limits.
    known: Vec<EncoderGenome>,
    reach: Reach,
}

impl EncoderSpace {
    /// The students of `choices` within the size limits of `budget`; what they have beside, and the heads that count, are those of `frame` and
    /// `parts`. MACs are counted for one sequence of `seq` tokens.
    ///
    /// # Errors
    /// [`Error::Space`] for choices that make no student, [`Error::Unreachable`] if none is within the limits.
    pub fn new(frame: &BertConfig, parts: Parts, seq: usize, choices: EncoderChoices, budget: &Budget) -> Result<Self> {
        budget.validate()?;
        choices.check()?;
        if seq == 0 {
            return Err(Error::Space("0 tokens: there must be at least 1".into()));
        }
        let zero = Cost::default();
        let reach = Reach { smallest: zero, largest: zero, nearest: zero };
        let frame = frame.clone();
        let mut space = Self { frame, parts, seq, choices, budget: *budget, known: Vec::new(), reach };
        let equal: Vec<(EncoderGenome, Cost)> = space
            .with_equal_layers()
            .into_iter()
            .filter(|genome| space.describes(genome).is_ok())
            .map(|genome| (genome.clone(), space.cost(&genome)))
            .collect();
        space.reach = reach_of(equal.iter().map(|(_, cost)| *cost), budget)
            .ok_or_else(|| Error::Space("none of these choices makes a student".into()))?;
        space.reach.require(budget)?;
        space.known = equal.into_iter().filter(|(_, cost)| budget.check(*cost).is_none()).map(|(g, _)| g).collect();
        Ok(space)
    }

    /// Students with plain feed-forwards of one width in every layer that are within the size limits.
    pub fn known(&self) -> &[EncoderGenome] {
        &self.known
    }

    /// All students with plain feed-forwards of one width in every layer, those outside the size limits too.
    pub fn with_equal_layers(&self) -> Vec<EncoderGenome> {
        let c = &self.choices;
        let mut all = Vec::new();
        for (&layers, &hidden) in c.layers.iter().flat_map(|l| c.hidden.iter().map(move |h| (l, h))) {
            for attention in c.attention_of(hidden) {
                for (&embed, &base) in c.embed.iter().flat_map(|e| c.base.iter().map(move |b| (e, b))) {
                    for id in plain_ids() {
                        let feed_forward = Some(Expression::plain(id, Unary::Gelu));
                        let layer = EncoderLayer { attention: Some(attention), feed_forward };
                        all.push(EncoderGenome { hidden, embed, base, layers: vec![layer; layers] });
                    }
                }
            }
        }
        all
    }

    fn describes(&self, genome: &EncoderGenome) -> Result<Cost> {
        let config = genome.config(&self.frame)?;
        let encoder = Encoder::describe(&config, self.parts).map_err(|e| genome.wrong(e))?;
        let count = encoder.count(self.seq);
        Ok(Cost { params: count.params_without_fit(), macs: count.macs() })
    }

    fn is_within(&self, genome: &EncoderGenome) -> bool {
        self.describes(genome).is_ok_and(|cost| self.budget.check(cost).is_none())
    }

    /// The expressions that may stand in a layer of such widths.
    fn mutation(&self, hidden: usize, base: usize) -> Mutation {
        let widths = Widths { base, ..Widths::square(hidden) };
        let space = Space { heights: Heights::default(), widths: Some(widths) };
        Mutation { keep_id: true, ..Mutation::stage1(space) }
    }

    fn feed_forward(&self, hidden: usize, base: usize, rng: &mut ChaCha8Rng) -> Expression {
        if !self.choices.expressions {
            return Expression::plain(*pick(&plain_ids(), rng), Unary::Gelu);
        }
        let ids: Vec<LinearId> = LinearId::all().collect();
        let plain = Expression::plain(*pick(&ids, rng), Unary::Gelu);
        self.mutation(hidden, base).mutate(&plain, rng)
    }

    fn any(&self, rng: &mut ChaCha8Rng) -> EncoderGenome {
        let c = &self.choices;
        let (layers, hidden) = (*pick(&c.layers, rng), *pick(&c.hidden, rng));
        let (embed, base) = (*pick(&c.embed, rng), *pick(&c.base, rng));
        let layers = (0..layers).map(|_| self.layer(hidden, base, rng)).collect();
        EncoderGenome { hidden, embed, base, layers }
    }

    fn layer(&self, hidden: usize, base: usize, rng: &mut ChaCha8Rng) -> EncoderLayer {
        let mut layer = EncoderLayer {
            attention: Some(*pick(&self.choices.attention_of(hidden), rng)),
            feed_forward: Some(self.feed_forward(hidden, base, rng)),
        };
        if self.choices.absent {
            match rng.random_range(0..ONE_IN_ABSENT) {
                0 => layer.attention = None,
                1 => layer.feed_forward = None,
                _ => {}
            }
        }
        layer
    }

    /// One change: of a width to the next smaller or larger one, of the depth, of the attention of one layer, or of the feed-forward of one or
    /// two.
    fn changed(&self, genome: &EncoderGenome, rng: &mut ChaCha8Rng) -> EncoderGenome {
        let c = &self.choices;
        let mut new = genome.clone();
        let count = new.layers.len();
        match rng.random_range(0..6u32) {
            0 => new.hidden = beside(&c.hidden, new.hidden, rng),
            1 => new.embed = beside(&c.embed, new.embed, rng),
            2 => new.base = beside(&c.base, new.base, rng),
            3 => {
                let wanted = beside(&c.layers, count, rng);
                while new.layers.len() > wanted {
                    new.layers.remove(index(new.layers.len(), rng));
                }
                while new.layers.len() < wanted {
                    let at = index(new.layers.len(), rng);
                    new.layers.insert(at, new.layers[at].clone());
                }
            }
            4 => {
                let at = index(count, rng);
                let is_left_out = c.absent && new.layers[at].feed_forward.is_some() && rng.random_range(0..4u32) == 0;
                new.layers[at].attention = (!is_left_out).then(|| *pick(&c.attention_of(new.hidden), rng));
            }
            _ => {
                for _ in 0..=index(2, rng) {
                    let at = index(count, rng);
                    let is_left_out = c.absent && new.layers[at].attention.is_some() && rng.random_range(0..4u32) == 0;
                    let old = new.layers[at].feed_forward.take();
                    new.layers[at].feed_forward = (!is_left_out).then(|| match &old {
                        Some(old) if c.expressions && rng.random() => {
                            self.mutation(new.hidden, new.base).mutate(old, rng)
                        }
                        _ => self.feed_forward(new.hidden, new.base, rng),
                    });
                }
            }
        }
        self.fit_attention(&mut new, rng);
        new
    }

    /// Another hidden width may go with other heads.
    fn fit_attention(&self, genome: &mut EncoderGenome, rng: &mut ChaCha8Rng) {
        let possible = self.choices.attention_of(genome.hidden);
        for layer in &mut genome.layers {
            if let Some(attention) = &mut layer.attention
                && !possible.contains(attention)
            {
                let same_heads = possible.iter().find(|shape| shape.heads == attention.heads);
                *attention = *same_heads.unwrap_or_else(|| pick(&possible, rng));
            }
        }
    }

    fn walk(&self, from: &EncoderGenome, steps: usize, rng: &mut ChaCha8Rng) -> EncoderGenome {
        let mut at = from.clone();
        for _ in 0..steps {
            let next = self.changed(&at, rng);
            if self.is_within(&next) {
                at = next;
            }
        }
        at
    }
}

/// Plain feed-forwards: one stack of each ratio.
fn plain_ids() -> Vec<LinearId> {
    LinearId::all().filter(|id| id.stacks() == 1).collect()
}

fn pick<'a, T>(from: &'a [T], rng: &mut ChaCha8Rng) -> &'a T {
    &from[index(from.len(), rng)]
}

fn index(count: usize, rng: &mut ChaCha8Rng) -> usize {
    rng.random_range(0..count as u32) as usize
}

/// One of the numbers of `list` next to `number` in size, or itself where it stands alone.
fn beside(list: &[usize], number: usize, rng: &mut ChaCha8Rng) -> usize {
    let below = list.iter().copied().filter(|&n| n < number).max();
    let above = list.iter().copied().filter(|&n| n > number).min();
    let both: Vec<usize> = below.into_iter().chain(above).collect();
    if both.is_empty() { number } else { *pick(&both, rng) }
}

fn architecture(layers: Vec<Expression>) -> Architecture {
    // At least one layer, and each a valid expression.
    Architecture::new(layers).expect("layers made from valid layers are valid")
}

fn reach_of(costs: impl Iterator<Item = Cost> + Clone, budget: &Budget) -> Option<Reach> {
    let smallest = costs.clone().min_by_key(|cost| (cost.params, cost.macs))?;
    let largest = costs.clone().max_by_key(|cost| (cost.params, cost.macs))?;
    let nearest = costs.min_by(|a, b| budget.excess(*a).total_cmp(&budget.excess(*b)))?;
    Some(Reach { smallest, largest, nearest })
}

impl SearchSpace for EncoderSpace {
    type Genome = EncoderGenome;

    fn sample(&self, rng: &mut ChaCha8Rng) -> EncoderGenome {
        let drawn = (0..DRAWS).map(|_| self.any(rng)).find(|genome| self.is_within(genome));
        drawn.unwrap_or_else(|| {
            let known = pick(&self.known, rng).clone();
            self.walk(&known, WALK, rng)
        })
    }

    fn mutate(&self, genome: &EncoderGenome, rng: &mut ChaCha8Rng) -> EncoderGenome {
        // A narrow window is left by most single changes: up to three, one of which makes up for another.
        let varied = (0..VARIATIONS).map(|_| {
            let changes = 1 + index(3, rng);
            (0..changes).fold(genome.clone(), |at, _| self.changed(&at, rng))
        });
        let found = varied.into_iter().find(|new| new != genome && self.is_within(new));
        found.unwrap_or_else(|| self.sample(rng))
    }

    /// Each width and the depth from either parent; each layer from either parent that has it.
    fn crossover(&self, one: &EncoderGenome, other: &EncoderGenome, rng: &mut ChaCha8Rng) -> Option<EncoderGenome> {
        let mut cross = || {
            let mut either = |get: fn(&EncoderGenome) -> usize| get(if rng.random() { one } else { other });
            let (hidden, embed, base) = (either(|g| g.hidden), either(|g| g.embed), either(|g| g.base));
            let depth = either(|g| g.layers.len());
            let layer = |at: usize| {
                let [own, its] = [one, other].map(|parent| parent.layers.get(at));
                if rng.random() { own.or(its) } else { its.or(own) }
            };
            let layers: Vec<EncoderLayer> = (0..depth).filter_map(layer).cloned().collect();
            let mut child = EncoderGenome { hidden, embed, base, layers };
            self.fit_attention(&mut child, rng);
            child
        };
        let children = (0..super::CROSSINGS).map(|_| cross());
        children.into_iter().find(|child| child != one && child != other && self.is_within(child))
    }

    /// Of the inner widths, not of bases and ratios that give the same.
    fn fingerprint(&self, genome: &EncoderGenome) -> String {
        let EncoderGenome { hidden, embed, base, layers } = genome;
        let feed_forward = |expression: &Expression| {
            let plain = expression.id().filter(|&id| *expression == Expression::plain(id, Unary::Gelu));
            match plain {
                Some(id) => format!("{}x{}", id.stacks(), id.inner_size(*base)),
                None => format!("{base} {}", super::fingerprint(&architecture(vec![expression.clone()]))),
            }
        };
        let layer = |layer: &EncoderLayer| {
            let attention = layer.attention.map_or("-".to_owned(), |shape| format!("{}x{}", shape.heads, shape.width));
            let feed_forward = layer.feed_forward.as_ref().map_or("-".to_owned(), feed_forward);
            format!("{attention} {feed_forward}")
        };
        let layers: Vec<String> = layers.iter().map(layer).collect();
        format!("{hidden} {embed}: {}", layers.join("; "))
    }

    fn cost(&self, genome: &EncoderGenome) -> Cost {
        self.describes(genome).unwrap_or_default()
    }

    fn reach(&self, budget: &Budget) -> Reach {
        if *budget == self.budget {
            return self.reach;
        }
        let equal = self.with_equal_layers();
        let costs: Vec<Cost> = equal.iter().filter_map(|genome| self.describes(genome).ok()).collect();
        reach_of(costs.iter().copied(), budget).unwrap_or(self.reach)
    }

    fn check(&self, genome: &EncoderGenome) -> Result<()> {
        let c = &self.choices;
        let layers = &genome.layers;
        let fits = [
            ("hidden", &c.hidden, genome.hidden),
            ("embed", &c.embed, genome.embed),
            ("base", &c.base, genome.base),
            ("layers", &c.layers, layers.len()),
        ];
        if let Some((name, list, number)) = fits.into_iter().find(|(_, list, number)| !list.contains(number)) {
            return Err(genome.wrong(format!("`{name}` is {number}, the space has {list:?}")));
        }
        let possible = c.attention_of(genome.hidden);
        if let Some(shape) = layers.iter().filter_map(|layer| layer.attention).find(|shape| !possible.contains(shape)) {
            let AttentionShape { heads, width } = shape;
            return Err(genome.wrong(format!("the space has no {heads} heads of together {width} channels")));
        }
        if !c.absent && layers.iter().any(|layer| layer.attention.is_none() || layer.feed_forward.is_none()) {
            return Err(genome.wrong("each layer of the space has attention and a feed-forward"));
        }
        let plain =
            |e: &Expression| e.id().is_some_and(|id| id.stacks() == 1 && *e == Expression::plain(id, Unary::Gelu));
        if !c.expressions && !layers.iter().filter_map(|layer| layer.feed_forward.as_ref()).all(plain) {
            return Err(genome.wrong("the space has plain GELU feed-forwards only"));
        }
        self.describes(genome).map(|_| ())
    }
}

impl EncodedSpace for EncoderSpace {
    /// Hidden width, table width and layers; then of each layer the heads and width of its attention, the width of its feed-forward, its stacks and
    /// its length as an expression, 0 for what it does not have.
    fn encode(&self, genome: &EncoderGenome) -> Vec<f64> {
        let deepest = self.choices.layers.iter().copied().max().unwrap_or_default();
        let mut numbers = vec![genome.hidden as f64, genome.embed as f64, genome.layers.len() as f64];
        for index in 0..deepest {
            let layer = genome.layers.get(index);
            let attention = layer.and_then(|layer| layer.attention);
            numbers.extend(attention.map_or([0.0; 2], |shape| [shape.heads as f64, shape.width as f64]));
            let expression = layer.and_then(|layer| layer.feed_forward.as_ref());
            let sizes = expression.and_then(|expression| {
                let id = expression.id()?;
                let (width, stacks) = (id.inner_size(genome.base) as f64, f64::from(id.stacks()));
                Some([width, stacks, expression.tokens().len() as f64])
            });
            numbers.extend(sizes.unwrap_or_default());
        }
        numbers
    }
}

#[cfg(test)]
mod tests;
