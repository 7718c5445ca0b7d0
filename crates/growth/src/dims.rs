//! Which axis of which weight goes along which width.

use encoder_spec::{AttentionSource, Encoder, Shape};

/// A width of the model. Layers are those of the large model, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dim {
    /// Does not grow: word pieces, positions, segments, labels.
    Fixed,
    /// Between layers.
    Hidden,
    /// Of the word table, where a projection follows it.
    Embed,
    /// Three word vectors, one after the other.
    Trigram,
    /// Inside a bottleneck.
    Inside,
    /// Queries, keys and values of a layer.
    Attention(usize),
    /// Between the two maps of a block of a layer's feed-forward.
    Inner(usize, usize),
}

/// An axis of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    pub dim: Dim,
    /// Whether values are divided by the number of copies: on axes that a sum goes over, so that the sum of copies is what it was.
    pub divided: bool,
}

/// Axes of the weights of an encoder.
pub(crate) struct Axes<'a> {
    large: &'a Encoder<Shape>,
}

impl<'a> Axes<'a> {
    pub fn of(large: &'a Encoder<Shape>) -> Self {
        Self { large }
    }

    /// Width of what the masked-language-model head's transform gives.
    pub fn word_scores(&self) -> Dim {
        if self.large.embedding.projection.is_some() { Dim::Embed } else { Dim::Hidden }
    }

    /// Axes of the weight at `path` ([`Encoder::weights`]), one for each of its `rank`.
    ///
    /// The word table is read twice: by the embedding, and as the output map of the masked-language-model head, which sums over its columns.
    /// It is copied undivided, and so the norm before that sum is divided.
    pub fn at(&self, path: &str, rank: usize) -> Vec<Axis> {
        let parts: Vec<&str> = path.split('.').collect();
        let (outputs, inputs) = self.linear(&parts);
        let is_vector = rank == 1;
        if is_vector { vec![outputs] } else { vec![outputs, inputs] }
    }

    /// The axis of what the weight makes, and that of what it takes.
    fn linear(&self, parts: &[&str]) -> (Axis, Axis) {
        let made = |dim| Axis { dim, divided: false };
        let taken = |dim| Axis { dim, divided: true };
        let none = made(Dim::Fixed);
        let words = self.word_scores();
        match parts {
            ["encoder", "embeddings", "word_embeddings", _] => (none, made(words)),
            ["encoder", "embeddings", "position_embeddings" | "token_type_embeddings", _] => (none, made(Dim::Hidden)),
            ["encoder", "embeddings", "projection", _] => {
                let trigram = self.large.embedding.projection.as_ref().is_some_and(|p| p.trigram);
                (made(Dim::Hidden), taken(if trigram { Dim::Trigram } else { Dim::Embed }))
            }
            ["encoder", "embeddings", "norm", _] | ["encoder", "final_norm", _] => (made(Dim::Hidden), none),
            ["encoder", "layers", layer, rest @ ..] => self.of_layer(layer.parse().unwrap_or_default(), rest),
            ["pooler", _] | ["prediction", "dense", _] => (made(Dim::Hidden), taken(Dim::Hidden)),
            ["prediction", "norm", _] => (Axis { dim: Dim::Hidden, divided: self.words_read_prediction() }, none),
            ["heads", index, "dense", _] => {
                let index: usize = index.parse().unwrap_or_default();
                // A vector is made of the last hidden states.
                let is_vector = self.large.heads.get(index).is_some_and(|head| head.vector.is_some());
                let is_divided_before = self.words_read_prediction() && !is_vector;
                (none, Axis { dim: Dim::Hidden, divided: !is_divided_before })
            }
            ["encoder", "fit_dense", _] => (none, taken(Dim::Hidden)),
            // Beside output weights of its own the head does not grow.
            ["mlm", ..] if self.large.mlm.as_ref().is_some_and(|mlm| mlm.extra.is_some()) => (none, none),
            ["mlm", "dense", _] => (made(words), taken(Dim::Hidden)),
            ["mlm", "norm", _] => (taken(words), none),
            _ => (none, none),
        }
    }

    /// Whether scores of words are made of the transform that stands before all heads.
    fn words_read_prediction(&self) -> bool {
        self.large.mlm.as_ref().is_some_and(|mlm| mlm.transform.is_none())
    }

    fn of_layer(&self, index: usize, parts: &[&str]) -> (Axis, Axis) {
        let made = |dim| Axis { dim, divided: false };
        let taken = |dim| Axis { dim, divided: true };
        let none = made(Dim::Fixed);
        let bottleneck = self.large.layers.get(index).and_then(|layer| layer.bottleneck.as_ref());
        let inside = if bottleneck.is_some() { Dim::Inside } else { Dim::Hidden };
        let source = |is_value: bool| match bottleneck.map(|b| &b.attention) {
            None | Some(AttentionSource::Wide) => Dim::Hidden,
            Some(AttentionSource::SharedKeyQuery { .. }) if is_value => Dim::Hidden,
            Some(AttentionSource::SharedKeyQuery { .. } | AttentionSource::Bottleneck) => Dim::Inside,
        };
        let attention = Dim::Attention(index);
        match parts {
            ["attention", "query" | "key", _] => (made(attention), taken(source(false))),
            ["attention", "value", _] => (made(attention), taken(source(true))),
            ["attention", "output", _] => (made(inside), taken(attention)),
            ["attention", "norm", _] => (made(inside), none),
            ["feed_forward", "blocks", block, part, _] => {
                let inner = Dim::Inner(index, block.parse().unwrap_or_default());
                match *part {
                    "dense1" | "gate" => (made(inner), taken(inside)),
                    "dense2" => (made(inside), taken(inner)),
                    _ => (made(inside), none),
                }
            }
            ["bottleneck", "input" | "attention", _] => (made(Dim::Inside), taken(Dim::Hidden)),
            ["bottleneck", "input_norm" | "attention_norm", _] => (made(Dim::Inside), none),
            ["bottleneck", "output", _] => (made(Dim::Hidden), taken(Dim::Inside)),
            ["bottleneck", "output_norm", _] => (made(Dim::Hidden), none),
            _ => (none, none),
        }
    }
}
