//! From ids to the last hidden states.

use encoder_spec::{Attention, AttentionSource, Bottleneck, Embedding, Encoder, Layer, MappedTensor, Rotary};

use crate::graph::{Axis, Value};
use crate::parts::{MASKED, Network};
use crate::proto::DataType;

type Weights = MappedTensor;

const EXPECT_NORM: &str = "a checked encoder: where norms come after, every attention has one";

impl Network<'_> {
    /// The inputs and the last hidden states, `[batch, length, hidden]`.
    pub fn encoder(&mut self, encoder: &Encoder<Weights>) -> Value {
        let axes = [Axis::Batch, Axis::Sequence];
        self.b.input("input_ids", DataType::Int64, &axes);
        self.b.input("attention_mask", DataType::Int64, &axes);
        self.attention_mask();
        let mut x = self.embedding(&encoder.embedding);
        for (i, layer) in encoder.layers.iter().enumerate() {
            x = self.layer(&x, &format!("encoder.layers.{i}"), layer, encoder.embedding.longest);
        }
        match &encoder.final_norm {
            Some(norm) => {
                self.b.enter("encoder.final_norm");
                self.norm(&x, "encoder.final_norm", norm)
            }
            None => x,
        }
    }

    /// `(1 - mask) * -10000`, in the form in which engines look for attention.
    fn attention_mask(&mut self) {
        self.b.enter("mask");
        let mask = self.b.unsqueeze("attention_mask", 1);
        let mask = self.b.unsqueeze(&mask, 2);
        let mask = self.b.cast(&mask, self.b.float);
        let (one, masked) = (self.b.number(1.0), self.b.number(MASKED));
        let mask = self.b.binary("Sub", &one, &mask);
        let mask = self.b.binary("Mul", &mask, &masked);
        self.masks.insert(None, mask);
    }

    fn embedding(&mut self, embedding: &Embedding<Weights>) -> Value {
        let at = "encoder.embeddings";
        self.b.enter(at);
        let mut x = self.words_of(&embedding.words, "input_ids");
        if let Some(projection) = &embedding.projection {
            if projection.trigram {
                x = self.trigrams(&x);
            }
            x = self.linear(&x, &format!("{at}.projection"), &projection.linear);
        }
        if let Some(table) = &embedding.positions {
            let table = self.b.floats(&format!("{at}.position_embeddings.weight"), &table.shape, &table.data);
            let places = self.first_rows(&table);
            x = self.b.binary("Add", &x, &places);
        }
        if let Some(table) = &embedding.segments {
            let name = format!("{at}.token_type_embeddings.weight");
            let rows = self.b.floats(&name, &table.shape, &table.data);
            let segments = if table.shape[0] > 1 {
                let segments = self.b.input("token_type_ids", DataType::Int64, &[Axis::Batch, Axis::Sequence]);
                self.b.binary("Gather", &rows, &segments)
            } else {
                rows
            };
            x = self.b.binary("Add", &x, &segments);
        }
        self.norm(&x, &format!("{at}.norm"), &embedding.norm)
    }

    /// As many rows of a table as the texts are long.
    fn first_rows(&mut self, table: &str) -> Value {
        let shape = self.b.node("Shape", &["input_ids"], vec![]);
        let length = self.b.slice(&shape, 0, 1, Some(2));
        let (zero, axis) = (self.b.integers(&[0]), self.b.integers(&[0]));
        self.b.node("Slice", &[table, &zero, &length, &axis], vec![])
    }

    /// `[next; current; previous]` word, zeros outside of the text: padding is outside.
    fn trigrams(&mut self, x: &str) -> Value {
        let seen = self.b.unsqueeze("attention_mask", -1);
        let seen = self.b.cast(&seen, self.b.float);
        let x = self.b.binary("Mul", x, &seen);
        let pads = self.b.integers(&[0, 1, 0, 0, 1, 0]);
        let around = self.b.binary("Pad", &x, &pads);
        let next = self.b.slice(&around, 1, 2, None);
        let previous = self.b.slice(&around, 1, 0, Some(-2));
        self.b.node("Concat", &[&next, &x, &previous], vec![crate::proto::Attribute::int("axis", -1)])
    }

    fn layer(&mut self, x: &str, at: &str, layer: &Layer<Weights>, longest: usize) -> Value {
        let Layer { attention, feed_forward, bottleneck, norm_first } = layer;
        let place = format!("{at}.attention");
        match (bottleneck, attention) {
            (Some(bottleneck), Some(attention)) => {
                let inside = self.bottleneck(x, at, bottleneck, attention, longest);
                let y = self.feed_forward(&inside, &format!("{at}.feed_forward"), feed_forward, false);
                let at = format!("{at}.bottleneck");
                self.b.enter(&at);
                let y = self.linear(&y, &format!("{at}.output"), &bottleneck.output);
                let y = self.b.binary("Add", &y, x);
                self.norm(&y, &format!("{at}.output_norm"), &bottleneck.output_norm)
            }
            (_, None) => self.feed_forward(x, &format!("{at}.feed_forward"), feed_forward, *norm_first),
            (None, Some(attention)) => {
                self.b.enter(&place);
                let from = match &attention.norm {
                    Some(norm) if *norm_first => self.norm(x, &format!("{place}.norm"), norm),
                    _ => x.to_owned(),
                };
                let context = self.attention([&from, &from, &from], &place, attention, longest);
                let y = self.b.binary("Add", &context, x);
                let y = match &attention.norm {
                    Some(norm) if !norm_first => self.norm(&y, &format!("{place}.norm"), norm),
                    _ => y,
                };
                self.feed_forward(&y, &format!("{at}.feed_forward"), feed_forward, *norm_first)
            }
        }
    }

    /// MobileBERT's narrow inside up to the attention's norm.
    fn bottleneck(
        &mut self,
        x: &str,
        at: &str,
        bottleneck: &Bottleneck<Weights>,
        attention: &Attention<Weights>,
        longest: usize,
    ) -> Value {
        let (inside, place) = (format!("{at}.bottleneck"), format!("{at}.attention"));
        self.b.enter(&inside);
        let narrow = self.linear(x, &format!("{inside}.input"), &bottleneck.input);
        let narrow = match &bottleneck.input_norm {
            Some(norm) => self.norm(&narrow, &format!("{inside}.input_norm"), norm),
            None => narrow,
        };
        let [queries, values] = match &bottleneck.attention {
            AttentionSource::Wide => [x.to_owned(), x.to_owned()],
            AttentionSource::Bottleneck => [narrow.clone(), narrow.clone()],
            AttentionSource::SharedKeyQuery { dense, norm } => {
                let shared = self.linear(x, &format!("{inside}.attention"), dense);
                let shared = match norm {
                    Some(norm) => self.norm(&shared, &format!("{inside}.attention_norm"), norm),
                    None => shared,
                };
                [shared, x.to_owned()]
            }
        };
        self.b.enter(&place);
        let context = self.attention([&queries, &queries, &values], &place, attention, longest);
        let y = self.b.binary("Add", &context, &narrow);
        self.norm(&y, &format!("{place}.norm"), attention.norm.as_ref().expect(EXPECT_NORM))
    }

    /// `W_o softmax(q k^T / sqrt(d) + mask) v` of inputs `[queries, keys, values]`.
    fn attention(
        &mut self,
        [queries, keys, values]: [&str; 3],
        at: &str,
        attention: &Attention<Weights>,
        longest: usize,
    ) -> Value {
        let (heads, width) = (attention.heads, attention.width());
        let split = [0, 0, heads as i64, (width / heads) as i64];
        let mask = self.mask(attention.reach);
        self.b.enter(at);
        let q = self.linear(queries, &format!("{at}.query"), &attention.query);
        let q = self.b.reshape(&q, &split);
        let k = match &attention.key {
            Some(key) => {
                let k = self.linear(keys, &format!("{at}.key"), key);
                self.b.reshape(&k, &split)
            }
            None => q.clone(),
        };
        let v = self.linear(values, &format!("{at}.value"), &attention.value);
        let v = self.b.reshape(&v, &split);
        let v = self.b.transpose(&v, &[0, 2, 1, 3]);
        let q = self.b.transpose(&q, &[0, 2, 1, 3]);
        let (q, k) = match attention.rotary {
            None => (q, self.b.transpose(&k, &[0, 2, 3, 1])),
            Some(rotary) => {
                let k = self.b.transpose(&k, &[0, 2, 1, 3]);
                let turns = self.turns(rotary, width / heads, longest);
                let (q, k) = (self.turned(&q, &turns, width / heads), self.turned(&k, &turns, width / heads));
                (q, self.b.transpose(&k, &[0, 1, 3, 2]))
            }
        };
        let scores = self.b.binary("MatMul", &q, &k);
        let root = self.b.number(((width / heads) as f64).sqrt());
        let scores = self.b.binary("Div", &scores, &root);
        let scores = self.b.binary("Add", &scores, &mask);
        let weights = self.b.node("Softmax", &[&scores], vec![crate::proto::Attribute::int("axis", -1)]);
        let context = self.b.binary("MatMul", &weights, &v);
        let context = self.b.transpose(&context, &[0, 2, 1, 3]);
        let context = self.b.reshape(&context, &[0, 0, width as i64]);
        self.linear(&context, &format!("{at}.output"), &attention.output)
    }

    /// Cosines and sines for heads of this width, as many as the texts are long.
    fn turns(&mut self, rotary: Rotary, width: usize, longest: usize) -> [Value; 2] {
        let key = (rotary.theta.to_bits(), width);
        if let Some(known) = self.turns.get(&key) {
            return known.clone();
        }
        let name = format!("rotary_{}_{width}", rotary.theta);
        let tables = rotary.turns(width, longest);
        let rows = ["cosines", "sines"].map(|part| format!("{name}.{part}"));
        let shape = [longest, width / 2];
        let tables: [Value; 2] = std::array::from_fn(|i| self.b.floats(&rows[i], &shape, &tables[i]));
        let turns = tables.map(|table| self.first_rows(&table));
        self.turns.insert(key, turns.clone());
        turns
    }

    /// `[a cos - b sin; b cos + a sin]` of the halves `a` and `b` of every head.
    fn turned(&mut self, x: &str, [cosines, sines]: &[Value; 2], width: usize) -> Value {
        let half = (width / 2) as i64;
        let (a, b) = (self.b.slice(x, -1, 0, Some(half)), self.b.slice(x, -1, half, None));
        let [ac, bs] = [self.b.binary("Mul", &a, cosines), self.b.binary("Mul", &b, sines)];
        let [bc, as_] = [self.b.binary("Mul", &b, cosines), self.b.binary("Mul", &a, sines)];
        let (first, second) = (self.b.binary("Sub", &ac, &bs), self.b.binary("Add", &bc, &as_));
        self.b.node("Concat", &[&first, &second], vec![crate::proto::Attribute::int("axis", -1)])
    }
}
