//! What a file gives: answers of heads, hidden states, scores of words.

use encoder_spec::{
    Encoder, Head, MappedTensor, MlmHead, NumberScale, Pooling, TaskHeadConfig, TaskHeadKind, Transform,
};

use crate::graph::{Axis, Value};
use crate::parts::Network;
use crate::proto::{Attribute, DataType};
use crate::{Error, Result};

/// Smallest length that a vector is divided by; 16-bit numbers hold it.
const SHORTEST: f64 = 1e-7;

/// An output of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// The answers of a head, by its position: `logits` of `[batch, outputs]` or, of tags, `[batch, length, outputs]`; `start_logits` and
    /// `end_logits` of `[batch, length]`; `sentence_embedding` of `[batch, size]`. The answer of a regression is the number itself, with the
    /// head's scale in it.
    Head(usize),
    /// `last_hidden_state`, `[batch, length, hidden]`.
    Hidden,
    /// `logits` of the masked-language-model head, `[batch, length, vocabulary]`.
    Words,
}

/// The outputs of a model where a person doesn't say which: all heads, or what it has without heads.
pub fn usual_outputs<W>(encoder: &Encoder<W>) -> Vec<Output> {
    match encoder.heads.len() {
        0 if encoder.mlm.is_some() => vec![Output::Words],
        0 => vec![Output::Hidden],
        heads => (0..heads).map(Output::Head).collect(),
    }
}

/// Where an output is called what, and what it is.
pub(crate) struct Answers<'a> {
    pub encoder: &'a Encoder<MappedTensor>,
    /// The description of each head: the name of its task.
    pub heads: &'a [TaskHeadConfig],
    /// Whether several outputs would have one name, so that each is called after its task, too.
    pub many: bool,
}

impl Network<'_> {
    /// Adds the output, and gives its names in the graph.
    pub fn answer(&mut self, hidden: &str, output: Output, of: &Answers<'_>) -> Result<Vec<String>> {
        let encoder = of.encoder;
        match output {
            Output::Hidden => {
                let width = Axis::Of(encoder.hidden());
                Ok(vec![self.publish(hidden, "last_hidden_state".into(), &[Axis::Batch, Axis::Sequence, width])])
            }
            Output::Words => {
                let missing = || Error::NoOutput("masked-language-model head".into(), possible(of));
                let head = encoder.mlm.as_ref().ok_or_else(missing)?;
                let scores = self.words(hidden, head, encoder);
                let name = if of.many { "logits_words".into() } else { "logits".into() };
                let rows = encoder.embedding.words.shape[0];
                Ok(vec![self.publish(&scores, name, &[Axis::Batch, Axis::Sequence, Axis::Of(rows)])])
            }
            Output::Head(index) => {
                let missing = || Error::NoOutput(format!("head {index}"), possible(of));
                let head = encoder.heads.get(index).ok_or_else(missing)?;
                let (task, scale) = of.heads.get(index).map_or(("", None), |head| (head.task.as_str(), head.scale));
                let named = |name: &str| if of.many { format!("{name}_{task}") } else { name.to_owned() };
                let values = self.head(hidden, index, head, encoder);
                let outputs = head.dense.as_ref().map_or(encoder.hidden(), encoder_spec::Linear::outputs);
                Ok(match head.kind {
                    TaskHeadKind::Span => {
                        let [start, end] = [0, 1].map(|at| {
                            let one = self.b.integer(at);
                            self.b.node("Gather", &[&values, &one], vec![Attribute::int("axis", -1)])
                        });
                        let axes = [Axis::Batch, Axis::Sequence];
                        vec![
                            self.publish(&start, named("start_logits"), &axes),
                            self.publish(&end, named("end_logits"), &axes),
                        ]
                    }
                    TaskHeadKind::Tags => {
                        let axes = [Axis::Batch, Axis::Sequence, Axis::Of(outputs)];
                        vec![self.publish(&values, named("logits"), &axes)]
                    }
                    TaskHeadKind::Embedding => {
                        vec![self.publish(&values, named("sentence_embedding"), &[Axis::Batch, Axis::Of(outputs)])]
                    }
                    TaskHeadKind::Classification | TaskHeadKind::MultiLabel | TaskHeadKind::Regression => {
                        let values = match scale.filter(|_| head.kind == TaskHeadKind::Regression) {
                            Some(scale) => self.scaled(&values, scale),
                            None => values,
                        };
                        vec![self.publish(&values, named("logits"), &[Axis::Batch, Axis::Of(outputs)])]
                    }
                })
            }
        }
    }

    /// `mean + x * deviation`, in 32-bit numbers, whatever the format of the graph: a number may be larger than 16 bits hold.
    fn scaled(&mut self, x: &str, NumberScale { mean, deviation }: NumberScale) -> Value {
        let x = self.b.cast(x, DataType::Float);
        let (mean, deviation) = (self.b.scale(mean as f32), self.b.scale(deviation as f32));
        let x = self.b.binary("Mul", &x, &deviation);
        self.b.binary("Add", &x, &mean)
    }

    /// Makes a value an output of the graph, in 32-bit numbers.
    fn publish(&mut self, value: &str, name: String, axes: &[Axis]) -> String {
        let value = self.b.cast(value, DataType::Float);
        self.b.rename(&value, &name);
        self.b.output(&name, DataType::Float, axes);
        name
    }

    fn head(
        &mut self,
        hidden: &str,
        index: usize,
        head: &Head<MappedTensor>,
        encoder: &Encoder<MappedTensor>,
    ) -> Value {
        let at = format!("heads.{index}");
        let x = match head.vector {
            Some(vector) => self.pooled_by(hidden, vector.pooling, &at),
            None if head.kind.is_on_tokens() => match &encoder.prediction {
                Some(transform) => self.transform(hidden, "prediction", transform),
                None => hidden.to_owned(),
            },
            None => self.pooled(hidden, encoder),
        };
        self.b.enter(&at);
        let x = match &head.dense {
            Some(dense) => self.linear(&x, &format!("{at}.dense"), dense),
            None => x,
        };
        match head.vector {
            Some(vector) if vector.normalize => {
                let axes = self.b.integers(&[-1]);
                let length = self.b.node("ReduceL2", &[&x, &axes], vec![Attribute::int("keepdims", 1)]);
                let shortest = self.b.number(SHORTEST);
                let length = self.b.binary("Max", &length, &shortest);
                self.b.binary("Div", &x, &length)
            }
            _ => x,
        }
    }

    /// What heads see that look at one vector of a text. Several heads share it.
    fn pooled(&mut self, hidden: &str, encoder: &Encoder<MappedTensor>) -> Value {
        if let Some(known) = &self.pooled {
            return known.clone();
        }
        let x = self.pooled_by(hidden, encoder.pooling, "pooler");
        let x = match (&encoder.pooler, &encoder.prediction) {
            (Some(pooler), _) => {
                let x = self.linear(&x, "pooler", pooler);
                self.b.node("Tanh", &[&x], vec![])
            }
            (None, Some(transform)) => self.transform(&x, "prediction", transform),
            (None, None) => x,
        };
        self.pooled = Some(x.clone());
        x
    }

    fn pooled_by(&mut self, hidden: &str, pooling: Pooling, at: &str) -> Value {
        self.b.enter(at);
        match pooling {
            Pooling::Cls => {
                let first = self.b.integer(0);
                self.b.node("Gather", &[hidden, &first], vec![Attribute::int("axis", 1)])
            }
            Pooling::Mean => {
                let seen = self.b.unsqueeze("attention_mask", -1);
                let seen = self.b.cast(&seen, self.b.float);
                let x = self.b.binary("Mul", hidden, &seen);
                let (axes, keep) = (self.b.integers(&[1]), || vec![Attribute::int("keepdims", 0)]);
                let sum = self.b.node("ReduceSum", &[&x, &axes], keep());
                let count = self.b.node("ReduceSum", &[&seen, &axes], keep());
                let one = self.b.number(1.0);
                let count = self.b.binary("Max", &count, &one);
                self.b.binary("Div", &sum, &count)
            }
        }
    }

    /// `Norm(act(W x + b))`; its weights stand in the file once, whoever uses it.
    fn transform(&mut self, x: &str, at: &str, transform: &Transform<MappedTensor>) -> Value {
        if let Some(known) = self.transforms.get(&(at.to_owned(), x.to_owned())) {
            return known.clone();
        }
        self.b.enter(at);
        let y = self.linear(x, &format!("{at}.dense"), &transform.dense);
        let y = self.activation(transform.activation, &y);
        let y = self.norm(&y, &format!("{at}.norm"), &transform.norm);
        self.transforms.insert((at.to_owned(), x.to_owned()), y.clone());
        y
    }

    /// `Norm(act(W h + b)) [E X]^T + bias` over the word table `E`, which stands in the file once.
    fn words(&mut self, hidden: &str, head: &MlmHead<MappedTensor>, encoder: &Encoder<MappedTensor>) -> Value {
        let at = if head.transform.is_some() { "mlm" } else { "prediction" };
        let x = match head.transform.as_ref().or(encoder.prediction.as_ref()) {
            Some(transform) => self.transform(hidden, at, transform),
            None => hidden.to_owned(),
        };
        self.b.enter("mlm");
        let table = self.word_table();
        let table = self.b.transpose(&table, &[1, 0]);
        let weights = match &head.extra {
            Some(extra) => {
                let extra = self.b.floats("mlm.extra", &extra.shape, &extra.data);
                self.b.node("Concat", &[&table, &extra], vec![Attribute::int("axis", 0)])
            }
            None => table,
        };
        let scores = self.b.binary("MatMul", &x, &weights);
        match &head.bias {
            Some(bias) => {
                let bias = self.b.floats("mlm.bias", &bias.shape, &bias.data);
                self.b.binary("Add", &scores, &bias)
            }
            None => scores,
        }
    }
}

/// What the model can give, for a message.
fn possible(of: &Answers<'_>) -> String {
    let heads = of.heads.iter().map(|head| head.task.clone());
    let words = of.encoder.mlm.as_ref().map(|_| "words".to_owned());
    heads.chain(words).chain(["hidden".to_owned()]).collect::<Vec<_>>().join(", ")
}
