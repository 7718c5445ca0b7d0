//! The class `Predictor`.

use std::path::PathBuf;
use std::sync::Arc;

use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};
use runtime::{Forward, Packing, Precision, QuestionSettings, Runtime, Settings, TokenRows};

use crate::convert::{array, failed, inputs, object, pairs, texts};
use crate::fork;
use crate::integers::{Kinds, Whole};

/// A model directory that answers texts.
///
/// Use ``Predictor.from_dir(path)``. All methods may be called from any number of threads at the same time: Python's lock is released while
/// they compute, and what is answered to a text does not depend on other texts or threads.
#[pyclass(module = "efficientbert", frozen)]
pub struct Predictor {
    runtime: Arc<Runtime>,
}

#[pymethods]
impl Predictor {
    /// Load a model directory: ``config.json``, ``model.safetensors`` and the files of a tokenizer.
    ///
    /// Parameters
    /// ----------
    /// path: the directory.
    /// threads: threads of one computation.
    /// precision: "f32", "bf16" or "int8": the number format of weights and products.
    /// sessions: computations at the same time, each with ``threads`` threads; further calls wait for one to end.
    ///
    /// Raises ``efficientbert.Error`` where a file is missing or damaged, with its name.
    #[classmethod]
    #[pyo3(signature = (path, threads=1, precision="f32", sessions=1))]
    fn from_dir(
        _class: &Bound<'_, PyType>,
        py: Python<'_>,
        path: PathBuf,
        threads: usize,
        precision: &str,
        sessions: usize,
    ) -> PyResult<Self> {
        let found = Precision::ALL.into_iter().find(|one| one.name() == precision);
        let known = Precision::ALL.map(Precision::name).join(", ");
        let precision =
            found.ok_or_else(|| PyValueError::new_err(format!("precision is '{precision}', not one of {known}")))?;
        for (name, value) in [("threads", threads), ("sessions", sessions)] {
            if !(1..=1024).contains(&value) {
                return Err(PyValueError::new_err(format!("{name} is {value}; allowed are 1 to 1024")));
            }
        }
        let settings = Settings { threads, sessions, precision, packing: Packing::Ahead };
        let runtime = Arc::new(py.detach(|| Runtime::load(&path, settings)).map_err(failed)?);
        fork::remember(&runtime);
        Ok(Self { runtime })
    }

    /// The heads of the model, in their order: dictionaries with ``task``, ``kind``, ``labels`` and ``outputs``.
    #[getter]
    fn heads<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let hidden = self.runtime.config().hidden_size;
        let head = |head: &runtime::TaskHeadConfig| {
            let described = PyDict::new(py);
            described.set_item("task", &head.task)?;
            described.set_item("kind", object(py, &head.kind)?)?;
            described.set_item("labels", &head.labels)?;
            described.set_item("outputs", head.outputs(hidden))?;
            Ok(described)
        };
        self.runtime.heads().iter().map(head).collect()
    }

    /// The longest text in tokens, special tokens included; a longer one loses its end.
    #[getter]
    fn max_tokens(&self) -> usize {
        self.runtime.longest()
    }

    /// The width of the hidden states.
    #[getter]
    fn hidden_size(&self) -> usize {
        self.runtime.config().hidden_size
    }

    /// Threads of one computation.
    #[getter]
    fn threads(&self) -> usize {
        self.runtime.settings().threads
    }

    /// Computations at the same time.
    #[getter]
    fn sessions(&self) -> usize {
        self.runtime.settings().sessions
    }

    /// The number format of weights and products.
    #[getter]
    fn precision(&self) -> &'static str {
        self.runtime.settings().precision.name()
    }

    /// The directory.
    #[getter]
    fn path(&self) -> PathBuf {
        self.runtime.dir().to_owned()
    }

    /// What a head of classes, labels or a number answers: a dictionary for each text, with ``task`` and ``label``, ``probability``,
    /// ``probabilities``; or ``labels``, ``probabilities``; or ``score``.
    ///
    /// Parameters
    /// ----------
    /// texts: a sequence of texts.
    /// pairs: the second text of each pair; None for single texts.
    /// task: whose head answers; it may be left out where the model has one head.
    #[pyo3(signature = (texts, pairs=None, *, task=None))]
    fn labels<'py>(
        &self,
        py: Python<'py>,
        texts: &Bound<'py, PyAny>,
        pairs: Option<&Bound<'py, PyAny>>,
        task: Option<&str>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let (texts, pairs) = read(texts, pairs)?;
        let answers = py.detach(|| self.runtime.labels(&inputs(&texts, pairs.as_deref()), task)).map_err(failed)?;
        answers.iter().map(|answer| object(py, answer)).collect()
    }

    /// The probability of each class or label, or the number of a regression: an array ``[texts, labels]`` or ``[texts, 1]`` of float32.
    #[pyo3(signature = (texts, pairs=None, *, task=None))]
    fn scores<'py>(
        &self,
        py: Python<'py>,
        texts: &Bound<'py, PyAny>,
        pairs: Option<&Bound<'py, PyAny>>,
        task: Option<&str>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let (texts, pairs) = read(texts, pairs)?;
        let matrix = py.detach(|| self.runtime.scores(&inputs(&texts, pairs.as_deref()), task)).map_err(failed)?;
        array(py, matrix)
    }

    /// What stands before softmax, sigmoid and scale: an array ``[texts, outputs]`` of float32.
    #[pyo3(signature = (texts, pairs=None, *, task=None))]
    fn logits<'py>(
        &self,
        py: Python<'py>,
        texts: &Bound<'py, PyAny>,
        pairs: Option<&Bound<'py, PyAny>>,
        task: Option<&str>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let (texts, pairs) = read(texts, pairs)?;
        let matrix = py.detach(|| self.runtime.logits(&inputs(&texts, pairs.as_deref()), task)).map_err(failed)?;
        array(py, matrix)
    }

    /// The vector of each text: an array ``[texts, width]`` of float32.
    #[pyo3(signature = (texts, *, task=None))]
    fn vectors<'py>(
        &self,
        py: Python<'py>,
        texts: &Bound<'py, PyAny>,
        task: Option<&str>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let texts = self::texts(texts, "texts")?;
        let matrix = py.detach(|| self.runtime.vectors(&plain(&texts), task)).map_err(failed)?;
        array(py, matrix)
    }

    /// The entities that a head of tags finds: for each text a list of dictionaries with ``kind``, ``text``, ``start``, ``end`` (in characters)
    /// and ``probability``. Tags that mark no entities, such as parts of speech, are given for every word.
    #[pyo3(signature = (texts, *, task=None))]
    fn entities<'py>(
        &self,
        py: Python<'py>,
        texts: &Bound<'py, PyAny>,
        task: Option<&str>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let texts = self::texts(texts, "texts")?;
        let answers = py.detach(|| self.runtime.entities(&plain(&texts), task)).map_err(failed)?;
        answers.iter().map(|answer| object(py, &answer.entities)).collect()
    }

    /// The pieces of texts that answer questions: dictionaries with ``answer``, ``start``, ``end`` (in characters of the text; None where there is
    /// no answer), ``probability``, ``null_odds`` and ``n_best``.
    ///
    /// Parameters
    /// ----------
    /// questions, contexts: as many questions as texts that answer them.
    /// max_len, doc_stride: tokens of a window (None: 384, or what the model takes), and by how many one starts after the one before: long texts
    ///     are read in windows.
    /// max_query_length: tokens of a question, at most (None: 64, or half of the room in a window).
    /// max_answer_length: tokens of an answer, at most.
    /// n_best: how many answers are kept.
    /// null_threshold: SQuAD v2.0: no answer where the null score is more than this above the best answer's.
    #[pyo3(signature = (questions, contexts, *, task=None, max_len=None, doc_stride=128, max_query_length=None, max_answer_length=30,
                        n_best=20, null_threshold=0.0))]
    #[expect(clippy::too_many_arguments, reason = "named in Python")]
    fn questions<'py>(
        &self,
        py: Python<'py>,
        questions: &Bound<'py, PyAny>,
        contexts: &Bound<'py, PyAny>,
        task: Option<&str>,
        max_len: Option<usize>,
        doc_stride: usize,
        max_query_length: Option<usize>,
        max_answer_length: usize,
        n_best: usize,
        null_threshold: f64,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let (questions, contexts) = (texts(questions, "questions")?, texts(contexts, "contexts")?);
        if questions.len() != contexts.len() {
            let counts = (questions.len(), contexts.len());
            return Err(PyValueError::new_err(format!("there are {} questions and {} contexts", counts.0, counts.1)));
        }
        let settings =
            QuestionSettings { max_len, doc_stride, max_query_length, max_answer_length, n_best, null_threshold };
        let answers = py.detach(|| {
            let pairs: Vec<(&str, &str)> =
                questions.iter().map(String::as_str).zip(contexts.iter().map(String::as_str)).collect();
            self.runtime.questions(&pairs, task, &settings)
        });
        answers.map_err(failed)?.iter().map(|answer| object(py, answer)).collect()
    }

    /// Texts or pairs as token ids: a dictionary with ``input_ids``, ``attention_mask`` and ``token_type_ids``, arrays ``[texts, longest]`` of
    /// int64, padded at the end. Texts are cut to ``max_tokens``.
    #[pyo3(signature = (texts, pairs=None))]
    fn encode<'py>(
        &self,
        py: Python<'py>,
        texts: &Bound<'py, PyAny>,
        pairs: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let (texts, pairs) = read(texts, pairs)?;
        let encoded = py.detach(|| {
            let encode = |input: runtime::Input<'_>| self.runtime.encode(input.text, input.pair);
            inputs(&texts, pairs.as_deref()).into_iter().map(encode).collect::<Result<Vec<_>, _>>()
        });
        let rows: Vec<_> = encoded.map_err(failed)?.into_iter().map(|text| text.features).collect();
        let longest = rows.iter().map(|row| row.ids.len()).max().unwrap_or(0);
        let filled = |padding: i64, value: &dyn Fn(usize, usize) -> i64| {
            let mut values = Vec::with_capacity(rows.len() * longest);
            for (at, row) in rows.iter().enumerate() {
                values.extend((0..row.ids.len()).map(|column| value(at, column)));
                values.resize((at + 1) * longest, padding);
            }
            PyArray1::from_vec(py, values).reshape([rows.len(), longest])
        };
        let arrays = PyDict::new(py);
        let padding = i64::from(self.runtime.tokenizer().pad_id());
        arrays.set_item("input_ids", filled(padding, &|row, at| i64::from(rows[row].ids[at]))?)?;
        arrays.set_item("attention_mask", filled(0, &|_, _| 1)?)?;
        arrays.set_item("token_type_ids", filled(0, &|row, at| i64::from(rows[row].type_ids[at]))?)?;
        Ok(arrays)
    }

    /// What the model computes of arrays of token ids: a dictionary with ``last_hidden_state``, ``[rows, tokens, hidden]``, and the outputs of each
    /// head under the name of its task, before any softmax: ``[rows, outputs]``, of spans and tags ``[rows, tokens, outputs]``. All are float32.
    /// Padding at the end of a row has zeros.
    ///
    /// Parameters
    /// ----------
    /// input_ids: token ids, ``[rows, tokens]``, of any integer type.
    /// attention_mask: 1 or True for tokens and 0 or False for padding; None: there is no padding.
    /// token_type_ids: segments, of any integer type; None: all 0.
    #[pyo3(signature = (input_ids, attention_mask=None, token_type_ids=None))]
    fn forward<'py>(
        &self,
        py: Python<'py>,
        input_ids: &Bound<'py, PyAny>,
        attention_mask: Option<&Bound<'py, PyAny>>,
        token_type_ids: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let ids = Whole::<u32>::read(input_ids, "input_ids", Kinds::Integers)?;
        let shape = ids.shape;
        if shape[0] > 0 && shape[1] == 0 {
            return Err(PyValueError::new_err(format!("input_ids has {} rows of 0 tokens", shape[0])));
        }
        let beside = |name: &str, found: [usize; 2]| match found == shape {
            true => Ok(()),
            false => Err(PyValueError::new_err(format!("{name} has the shape {found:?}, input_ids has {shape:?}"))),
        };
        let mask = attention_mask.map(|mask| Whole::<u8>::read(mask, "attention_mask", Kinds::IntegersOrTruths));
        let mask = mask
            .transpose()?
            .map_or(Ok(Vec::new()), |mask| beside("attention_mask", mask.shape).map(|()| mask.values))?;
        let segments = token_type_ids.map(|types| Whole::<u32>::read(types, "token_type_ids", Kinds::Integers));
        let segments = segments
            .transpose()?
            .map_or(Ok(Vec::new()), |types| beside("token_type_ids", types.shape).map(|()| types.values))?;
        let ids = ids.values;
        let [rows, columns] = shape;
        let given = TokenRows { columns, ids: &ids, segments: &segments, mask: &mask };
        let Forward { hidden, heads } = py.detach(|| self.runtime.forward(&given)).map_err(failed)?;
        let arrays = PyDict::new(py);
        let width = self.runtime.config().hidden_size;
        arrays.set_item("last_hidden_state", PyArray1::from_vec(py, hidden).reshape([rows, columns, width])?)?;
        for (head, values) in self.runtime.heads().iter().zip(heads) {
            let (outputs, values) = (head.outputs(width), PyArray1::from_vec(py, values));
            match head.kind.is_on_tokens() {
                true => arrays.set_item(&head.task, values.reshape([rows, columns, outputs])?)?,
                false => arrays.set_item(&head.task, values.reshape([rows, outputs])?)?,
            }
        }
        Ok(arrays)
    }

    fn __repr__(&self) -> String {
        let Settings { threads, sessions, precision, .. } = self.runtime.settings();
        let (path, precision) = (self.runtime.dir().display(), precision.name());
        format!("Predictor.from_dir('{path}', threads={threads}, precision='{precision}', sessions={sessions})")
    }

    /// Pickled as its path and settings: another process loads the model again.
    #[expect(clippy::type_complexity, reason = "what pickle asks for")]
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (PathBuf, usize, &'static str, usize))> {
        let runtime = &slf.get().runtime;
        let Settings { threads, sessions, precision, .. } = *runtime.settings();
        let load = slf.get_type().getattr("from_dir")?;
        Ok((load, (runtime.dir().to_owned(), threads, precision.name(), sessions)))
    }
}

type Read = (Vec<String>, Option<Vec<Option<String>>>);

fn read(given: &Bound<'_, PyAny>, second: Option<&Bound<'_, PyAny>>) -> PyResult<Read> {
    let texts = texts(given, "texts")?;
    let pairs = pairs(second, texts.len())?;
    Ok((texts, pairs))
}

fn plain(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}
