//! From input tensors to output tensors.

use std::sync::Arc;

use encoder_spec::{TaskHeadConfig, TaskHeadKind};
use predict::HeadAnswer;
use serde_json::{Map, Value};
use tokenizer::Cut;

use super::message::{Read, Wanted};
use super::metadata::{HIDDEN, outputs};
use super::tensor::{Data, Tensor};
use crate::engine::input::{Input, Truncation, encode};
use crate::engine::job::{Answered, Sequence, Values, Want};
use crate::engine::{Asked, Loaded};
use crate::failure::Failure;
use crate::http::Shared;
use crate::http::frame::Computed;
use crate::http::own::answers::{AnswersParameters, Question, spans};
use crate::http::own::tokens::entities;
use crate::http::tei::predict::finite;

/// What a request is about.
struct Inputs {
    texts: Option<Vec<String>>,
    pairs: Option<Vec<String>>,
    question: Option<Vec<String>>,
    context: Option<Vec<String>>,
    ids: Option<Rows>,
    mask: Option<Rows>,
    segments: Option<Rows>,
}

/// A matrix of whole numbers.
struct Rows {
    shape: [usize; 2],
    values: Vec<i64>,
}

/// The outputs of a request, each with whether it is binary.
///
/// # Errors
/// 400 for tensors that do not belong together, and as [`crate::engine::Engine::run`].
pub(super) async fn infer(
    app: &Shared,
    model: &Arc<Loaded>,
    request: Read,
) -> Result<(Vec<(Tensor, bool)>, Computed), Failure> {
    let task = request.parameters.get("task").map(|task| task.as_str().ok_or_else(|| wrong("`task` is no string")));
    let task = task.transpose()?;
    let head = match task {
        Some(_) => Some(model.head(task, "answers", |_| true)?),
        None => model.config.task_heads.iter().enumerate().next(),
    };
    let inputs = Inputs::of(request.tensors)?;
    let tokens = inputs.ids.is_some();
    let known = outputs(head.map(|(_, head)| head), model.config.hidden_size, tokens);
    let mut known: Vec<&str> = known.into_iter().map(|(name, _, _)| name).collect();
    known.push(HIDDEN);
    if let Some(unknown) = request.outputs.iter().find(|wanted| !known.contains(&wanted.name.as_str())) {
        let (name, known) = (&unknown.name, known.join(", "));
        return Err(wrong(format!("there is no output `{name}` for these inputs; outputs: {known}")));
    }
    if let Some((_, twice)) = request
        .outputs
        .iter()
        .enumerate()
        .find(|(index, one)| request.outputs[..*index].iter().any(|o| o.name == one.name))
    {
        return Err(wrong(format!("output `{}` is asked for twice", twice.name)));
    }
    let wants_hidden = request.outputs.iter().any(|wanted| wanted.name == HIDDEN);
    if head.is_none() && !wants_hidden {
        return Err(wrong(format!("the model has no head; ask for the output `{HIDDEN}`")));
    }
    let truncate = truncate(&request.parameters, app.truncate, inputs.texts.is_some())?;
    let marks = head.filter(|(_, head)| !tokens && head.kind.is_on_tokens());
    let (tensors, computed) = match marks {
        Some(_) if wants_hidden => return Err(wrong(format!("`{HIDDEN}` is for token ids in this model"))),
        Some((_, head)) => marked(app, model, inputs, (head, truncate)).await?,
        None => {
            let want = Want { heads: head.map(|(index, _)| index).into_iter().collect(), hidden: wants_hidden };
            let (count, width, answered) = run(app, model, inputs, (want, truncate)).await?;
            let computed = Computed::of(model, count, &answered);
            (made(model, head.map(|(_, head)| head), &answered.values, (width, wants_hidden))?, computed)
        }
    };
    Ok((chosen(tensors, &request.outputs, request.binary), computed))
}

fn wrong(message: impl Into<String>) -> Failure {
    Failure::malformed(message)
}

/// # Errors
/// It is no truth value, or stands beside other inputs than `text`, which are not cut.
fn truncate(parameters: &Map<String, Value>, default: bool, texts: bool) -> Result<bool, Failure> {
    match parameters.get("truncate") {
        None => Ok(default),
        Some(_) if !texts => {
            Err(wrong("`truncate` is for `text`: questions are read in windows, and token ids are not cut"))
        }
        Some(value) => value.as_bool().ok_or_else(|| wrong("`truncate` is true or false")),
    }
}

/// The wanted tensors in the order of the request; all of them where none is named.
fn chosen(mut tensors: Vec<Tensor>, wanted: &[Wanted], binary: bool) -> Vec<(Tensor, bool)> {
    if wanted.is_empty() {
        return tensors.into_iter().map(|tensor| (tensor, binary)).collect();
    }
    // Each is asked for once.
    let of = |wanted: &Wanted| {
        let place = tensors.iter().position(|tensor| tensor.name == wanted.name)?;
        Some((tensors.swap_remove(place), wanted.binary))
    };
    wanted.iter().filter_map(of).collect()
}

impl Inputs {
    fn of(tensors: Vec<Tensor>) -> Result<Self, Failure> {
        let mut all =
            Self { texts: None, pairs: None, question: None, context: None, ids: None, mask: None, segments: None };
        for Tensor { name, shape, data } in tensors {
            let known = "text, text_pair, question, context, input_ids, attention_mask, token_type_ids";
            let is_there = match (name.as_str(), data) {
                ("text", Data::Texts(texts)) => all.texts.replace(texts).is_some(),
                ("text_pair", Data::Texts(texts)) => all.pairs.replace(texts).is_some(),
                ("question", Data::Texts(texts)) => all.question.replace(texts).is_some(),
                ("context", Data::Texts(texts)) => all.context.replace(texts).is_some(),
                ("input_ids", Data::Integers(v)) => all.ids.replace(Rows::new(&name, &shape, v)?).is_some(),
                ("attention_mask", Data::Integers(v)) => all.mask.replace(Rows::new(&name, &shape, v)?).is_some(),
                ("token_type_ids", Data::Integers(v)) => all.segments.replace(Rows::new(&name, &shape, v)?).is_some(),
                (_, data) => {
                    let datatype = data.datatype();
                    return Err(wrong(format!("there is no input `{name}` of {datatype}; inputs: {known}")));
                }
            };
            if is_there {
                return Err(wrong(format!("input `{name}` is given twice")));
            }
        }
        let groups = [all.ids.is_some(), all.texts.is_some(), all.question.is_some()];
        match groups.into_iter().filter(|given| *given).count() {
            1 => all.of_one_group(),
            0 => Err(wrong("either `text`, `question` or `input_ids` is expected")),
            _ => Err(wrong("`text`, `question` and `input_ids` exclude each other")),
        }
    }

    /// # Errors
    /// An input stands beside those of another group, where it would change nothing.
    fn of_one_group(self) -> Result<Self, Failure> {
        let (ids, texts, questions) = (self.ids.is_some(), self.texts.is_some(), self.question.is_some());
        let others = [
            ("text_pair", "text", self.pairs.is_some() && !texts),
            ("context", "question", self.context.is_some() && !questions),
            ("attention_mask", "input_ids", self.mask.is_some() && !ids),
            ("token_type_ids", "input_ids", self.segments.is_some() && !ids),
        ];
        match others.into_iter().find(|(_, _, is_alone)| *is_alone) {
            Some((name, group, _)) => Err(wrong(format!("input `{name}` belongs to `{group}`, which is not given"))),
            None => Ok(self),
        }
    }
}

impl Rows {
    fn new(name: &str, shape: &[usize], values: Vec<i64>) -> Result<Self, Failure> {
        match *shape {
            [rows, columns] => Ok(Self { shape: [rows, columns], values }),
            _ => Err(wrong(format!("input `{name}`: its shape is {shape:?}, not [batch, tokens]"))),
        }
    }
}

/// Runs the model. Gives the number of sequences, the width of the rows, and what came of it.
async fn run(
    app: &Shared,
    model: &Arc<Loaded>,
    inputs: Inputs,
    (want, truncate): (Want, bool),
) -> Result<(usize, Option<usize>, Answered), Failure> {
    let (count, width) = match (&inputs.ids, &inputs.texts) {
        (Some(ids), _) => (ids.shape[0], Some(ids.shape[1])),
        (None, Some(texts)) => (texts.len(), None),
        (None, None) => return Err(wrong("this model takes `text` or `input_ids`")),
    };
    if count == 0 || width == Some(0) {
        return Err(Failure::empty(if width.is_some() { "input_ids" } else { "text" }));
    }
    let length = |texts: &Option<Vec<String>>| texts.iter().flatten().map(String::len).sum::<usize>();
    let ids = inputs.ids.as_ref().map_or(0, |rows| size_of_val(&rows.values[..]));
    let asked = Asked { texts: count, bytes: length(&inputs.texts) + length(&inputs.pairs) + ids };
    let encode = move |model: &Loaded| match inputs.texts {
        Some(texts) => {
            let texts = match inputs.pairs {
                Some(pairs) if pairs.len() != texts.len() => {
                    return Err(wrong(format!("{} texts and {} of `text_pair`", texts.len(), pairs.len())));
                }
                Some(pairs) => texts.into_iter().zip(pairs).map(|(a, b)| Input::Pair(a, b)).collect::<Vec<_>>(),
                None => texts.into_iter().map(Input::Text).collect(),
            };
            Ok((encode(model, &texts, Truncation { allowed: truncate, cut: Cut::End })?, ()))
        }
        None => Ok((sequences(model, inputs)?, ())),
    };
    let (answered, ()) = app.engine.run(model, asked, want, encode).await?;
    Ok((count, width, answered))
}

/// Rows of token ids as sequences, checked against the model's tables.
fn sequences(model: &Loaded, inputs: Inputs) -> Result<Vec<Sequence>, Failure> {
    let Some(ids) = inputs.ids else { return Err(wrong("`input_ids` is missing")) };
    let [rows, columns] = ids.shape;
    let longest = model.config.max_position_embeddings;
    if columns > longest {
        return Err(Failure::invalid(format!("rows have {columns} tokens; the model takes up to {longest}")));
    }
    let read = |name: &str, rows: Option<Rows>, limit: usize, absent: i64| {
        let Some(given) = rows else { return Ok(vec![absent; ids.values.len()]) };
        if given.shape != ids.shape {
            let (found, wanted) = (given.shape, ids.shape);
            return Err(wrong(format!("`{name}` has shape {found:?}, `input_ids` has {wanted:?}")));
        }
        match given.values.iter().find(|value| !usize::try_from(**value).is_ok_and(|value| value < limit)) {
            Some(value) => Err(Failure::invalid(format!("`{name}` holds {value}; allowed are 0 to {}", limit - 1))),
            None => Ok(given.values),
        }
    };
    let mask = read("attention_mask", inputs.mask, 2, 1)?;
    let segments = read("token_type_ids", inputs.segments, model.config.type_vocab_size.clamp(1, 256), 0)?;
    let limit = model.config.vocab_size;
    if let Some(id) = ids.values.iter().find(|id| !usize::try_from(**id).is_ok_and(|id| id < limit)) {
        return Err(Failure::invalid(format!("`input_ids` holds {id}; allowed are 0 to {}", limit - 1)));
    }
    let row = |row: usize| {
        let at = row * columns..(row + 1) * columns;
        Sequence {
            ids: ids.values[at.clone()].iter().map(|id| *id as u32).collect(),
            segments: segments[at.clone()].iter().map(|segment| *segment as u8).collect(),
            mask: Some(mask[at].iter().map(|seen| *seen as u8).collect()),
        }
    };
    Ok((0..rows).map(row).collect())
}

/// The tensors of a head's values. Positions that were not computed, because they are masked at the end of a row, are 0.
fn made(
    model: &Loaded,
    head: Option<&TaskHeadConfig>,
    values: &[Values],
    (width, with_hidden): (Option<usize>, bool),
) -> Result<Vec<Tensor>, Failure> {
    let (count, hidden) = (values.len(), model.config.hidden_size);
    let mut tensors = Vec::new();
    let diverged = || Failure::backend("the model gives no finite answer");
    if let Some(head) = head {
        let outputs = head.outputs(hidden);
        let rows = values.iter().map(|values| &values.heads[0][..]);
        if rows.clone().any(|row| row.iter().any(|value| !value.is_finite())) {
            return Err(diverged());
        }
        let flat = || Data::Floats(rows.clone().flatten().copied().collect());
        match head.kind {
            TaskHeadKind::Embedding => tensors.push(Tensor::new("embedding", vec![count, outputs], flat())),
            TaskHeadKind::Tags => {
                let (longest, all) = padded(rows.clone(), outputs, width);
                tensors.push(Tensor::new("logits", vec![count, longest, outputs], Data::Floats(all)));
            }
            TaskHeadKind::Span => {
                let (longest, all) = padded(rows.clone(), outputs, width);
                for (side, name) in ["start_logits", "end_logits"].into_iter().enumerate() {
                    let one = all.iter().skip(side).step_by(2).copied().collect();
                    tensors.push(Tensor::new(name, vec![count, longest], Data::Floats(one)));
                }
            }
            _ => {
                let answers = rows.clone().map(|row| finite(head, row)).collect::<Result<Vec<_>, _>>()?;
                tensors.extend(answered(head, &answers));
                tensors.push(Tensor::new("logits", vec![count, outputs], flat()));
            }
        }
    }
    if with_hidden {
        let rows = values.iter().map(|values| &values.hidden[..]);
        if rows.clone().any(|row| row.iter().any(|value| !value.is_finite())) {
            return Err(diverged());
        }
        let (longest, all) = padded(rows, hidden, width);
        tensors.push(Tensor::new(HIDDEN, vec![count, longest, hidden], Data::Floats(all)));
    }
    Ok(tensors)
}

/// Labels, numbers and probabilities.
fn answered(head: &TaskHeadConfig, answers: &[HeadAnswer]) -> Vec<Tensor> {
    let (mut labels, mut scores, mut probabilities) = (Vec::new(), Vec::new(), Vec::new());
    for answer in answers {
        match answer {
            HeadAnswer::Label { label, probability, probabilities: all, .. } => {
                labels.push(label.clone());
                scores.push(*probability);
                probabilities.extend(all.iter().map(|(_, p)| *p));
            }
            HeadAnswer::Labels { probabilities: all, .. } => probabilities.extend(all.iter().map(|(_, p)| *p)),
            HeadAnswer::Number { score, .. } => scores.push(*score),
        }
    }
    let count = answers.len();
    let mut tensors = Vec::new();
    if !labels.is_empty() {
        tensors.push(Tensor::new("label", vec![count], Data::Texts(labels)));
    }
    if !scores.is_empty() {
        tensors.push(Tensor::new("score", vec![count], Data::Floats(scores)));
    }
    if !probabilities.is_empty() {
        tensors.push(Tensor::new("probabilities", vec![count, head.labels.len()], Data::Floats(probabilities)));
    }
    tensors
}

/// Rows of `[tokens, outputs]` as `[rows, width, outputs]`; as wide as the longest where no width is given.
fn padded<'a>(
    rows: impl Iterator<Item = &'a [f32]> + Clone,
    outputs: usize,
    width: Option<usize>,
) -> (usize, Vec<f32>) {
    let longest = width.unwrap_or_else(|| rows.clone().map(|row| row.len() / outputs).max().unwrap_or(0));
    let mut all = Vec::new();
    for row in rows {
        all.extend_from_slice(row);
        all.resize(all.len() + longest * outputs - row.len(), 0.0);
    }
    (longest, all)
}

/// What heads that mark parts of texts answer.
async fn marked(
    app: &Shared,
    model: &Arc<Loaded>,
    inputs: Inputs,
    (head, truncate): (&TaskHeadConfig, bool),
) -> Result<(Vec<Tensor>, Computed), Failure> {
    if head.kind == TaskHeadKind::Tags {
        let (Some(texts), None) = (inputs.texts, inputs.pairs) else {
            return Err(wrong("this head takes `text`, and no `text_pair`"));
        };
        let count = texts.len();
        let (all, computed) = entities(app, model, texts, (truncate, Some(&head.task))).await?;
        let line = |entities| serde_json::to_string(entities).unwrap_or_default();
        let lines = all.iter().map(line).collect();
        return Ok((vec![Tensor::new("entities", vec![count], Data::Texts(lines))], computed));
    }
    let (Some(questions), Some(contexts)) = (inputs.question, inputs.context) else {
        return Err(wrong("this head takes `question` and `context`"));
    };
    if questions.len() != contexts.len() {
        let (questions, contexts) = (questions.len(), contexts.len());
        return Err(wrong(format!("{questions} of `question` and {contexts} of `context`")));
    }
    let count = questions.len();
    let pairs = questions.into_iter().zip(contexts).map(|(question, context)| Question { question, context });
    let parameters = AnswersParameters::default();
    let (answers, computed) = spans(app, model, pairs.collect(), (&parameters, Some(&head.task))).await?;
    let places = |place: fn(&crate::http::own::answers::Answer) -> usize| {
        Data::Integers(answers.iter().map(|answer| place(answer) as i64).collect())
    };
    let tensors = vec![
        Tensor::new("start", vec![count], places(|answer| answer.start)),
        Tensor::new("end", vec![count], places(|answer| answer.end)),
        Tensor::new("score", vec![count], Data::Floats(answers.iter().map(|a| a.score as f32).collect())),
        Tensor::new("answer", vec![count], Data::Texts(answers.into_iter().map(|a| a.answer).collect())),
    ];
    Ok((tensors, computed))
}
