//! A model directory in memory.

use std::path::Path;

use cpu_runtime::{Model, Packing, Precision};
use encoder_spec::{BertConfig, TaskHeadConfig, TaskHeadKind};
use glue_squad::squad::SquadVersion;
use model_dir::ModelDir;
use tokenizer::TextEncoder;

use crate::failure::Failure;

/// A model with its tokenizer; immutable and shared by all threads.
#[derive(Debug)]
pub struct Loaded {
    /// Its name in routes.
    pub name: String,
    /// Its configuration.
    pub config: BertConfig,
    /// The compiled encoder.
    pub model: Model,
    /// Its tokenizer.
    pub tokenizer: TextEncoder,
    /// The longest text in tokens.
    pub longest: usize,
}

/// What a model is asked for first, by its first head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Labels or numbers of a text or a pair.
    Predict,
    /// Entities of a text.
    Tokens,
    /// Answers to questions.
    Answers,
    /// Vectors of texts.
    Embed,
    /// It has no head: hidden states alone.
    States,
}

impl Loaded {
    /// Reads a model directory. All of it is copied into memory: its files may be replaced, or written over, while it is served.
    ///
    /// # Errors
    /// As [`ModelDir::read`], [`Model::compile_keeping`] and [`predict::tokenizer`], or model and tokenizer do not belong together.
    pub fn read(name: &str, dir: &Path, precision: Precision) -> predict::Result<Self> {
        let tokenizer = predict::tokenizer(dir)?;
        let read = ModelDir::read(dir).map_err(cpu_runtime::Error::from)?;
        predict::check_vocabulary(&read.config, &tokenizer)?;
        let keep = read.kept_of_bytes();
        let weights = read.tensors.0.into_iter().map(|(path, tensor)| (path, tensor.into())).collect();
        let encoder = read.outline.filled(weights).map_err(cpu_runtime::Error::from)?;
        let model = Model::compile_keeping(encoder, precision, Packing::Ahead, &keep)?;
        let longest = predict::longest(&read.config);
        let loaded = Self { name: name.to_owned(), config: read.config, model, tokenizer, longest };
        loaded.warm_up()?;
        Ok(loaded)
    }

    /// Builds what the tokenizer builds at its first use, so that the first request doesn't wait for it.
    fn warm_up(&self) -> predict::Result<()> {
        self.tokenizer.encode_with_offsets("a")?;
        Ok(())
    }

    /// What it is asked for where a request does not say.
    pub fn role(&self) -> Role {
        match self.config.task_heads.first().map(|head| head.kind) {
            None => Role::States,
            Some(TaskHeadKind::Span) => Role::Answers,
            Some(TaskHeadKind::Tags) => Role::Tokens,
            Some(TaskHeadKind::Embedding) => Role::Embed,
            Some(_) => Role::Predict,
        }
    }

    /// The head of `task`, in any spelling, or else the first one, among those that `fits`; `what` says what these do.
    ///
    /// # Errors
    /// [`Failure::backend`]: there is none.
    pub fn head(
        &self,
        task: Option<&str>,
        what: &str,
        fits: impl Fn(TaskHeadKind) -> bool,
    ) -> Result<(usize, &TaskHeadConfig), Failure> {
        let heads = || self.config.task_heads.iter().enumerate().filter(|(_, head)| fits(head.kind));
        let found = heads().find(|(_, head)| task.is_none_or(|task| predict::is_of(head, task)));
        found.ok_or_else(|| {
            let known: Vec<&str> = self.config.task_heads.iter().map(|head| head.task.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let wanted = task.map_or(String::new(), |task| format!(" of task `{task}`"));
            Failure::backend(format!("the model `{}` has no head{wanted} that {what}; its heads: {known}", self.name))
        })
    }

    /// The head that answers questions, and by which version of SQuAD.
    ///
    /// # Errors
    /// There is none, or the model has no segment for the second text.
    pub fn span_head(&self, task: Option<&str>) -> Result<(usize, SquadVersion), Failure> {
        let (index, head) = self.head(task, "answers questions", |kind| kind == TaskHeadKind::Span)?;
        let version = predict::span::squad_version(head)?;
        self.check_pairs(true)?;
        Ok((index, version))
    }

    /// Checks that the model takes pairs, where there are any.
    ///
    /// # Errors
    /// It has one segment, and its tokenizer gives two.
    pub fn check_pairs(&self, pairs: bool) -> Result<(), Failure> {
        predict::check_segments(&self.config, &self.tokenizer, pairs.then_some("a request"))?;
        Ok(())
    }
}
