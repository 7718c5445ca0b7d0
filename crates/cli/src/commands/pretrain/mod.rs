//! `pretrain`: an encoder learns from text alone, by finding hidden words.

mod options;

use std::path::{Path, PathBuf};

use bert_core::{BertConfig, LAYERS_TO_DROP, ModelDir, Package, Parts, TOKENIZER_FILES, TaskModel};
use clap::Args;
use corpus::MaskSettings;
use kd::inherit::continue_from;
use mlp_space::StudentShape;
use model_dir::Origin;
use pipeline::corpus::Corpus;
use pipeline::input_files::{Files, model_files};
use pipeline::training_data::TextData;
use predict::Evaluation;
use predict::card::scored_card;
use serde::Serialize;
use tokenizer::TextEncoder;
use train::engine::Job;
use train::pretrain::{
    DropBy, DropSettings, Growing, GrowthRecipe, MaskedLanguageModeling, PlannedStage, SpecialIds, TokenDropping,
    id_counts,
};

use self::options::{DropArgs, HiddenWords};
use crate::arch_spec::{ShapeArgs, resolve_with};
use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::hub::Named;
use crate::inputs::must_all_exist;
use crate::interrupt;
use crate::models::{capped_length, check_segments, load_for_new_heads, origin, tokenizer_alone, warn_of};
use crate::training::{Training, TrainingArgs, shown, taken_apart};
use crate::words::word_mask;

/// The architecture that the size options describe.
const PLAIN: &str = "bert";
/// The learning rate, where nothing says which.
const LEARNING_RATE: f64 = 5e-4;
/// Length of sequences, where neither packed shards nor an option say which.
const MAX_LEN: u32 = 128;
/// Batches that are looked at for unknown word pieces.
const LOOKED_AT: u64 = 20;
/// Part of the word pieces that may be unknown.
const MOST_UNKNOWN: f64 = 0.1;
/// Longest sequence of a new encoder, where nothing says which.
const POSITIONS: usize = 512;

#[derive(Args, Debug)]
#[command(
    mut_arg("learning_rate", |arg| arg.help("Peak learning rate, from which --schedule goes on [default: 5e-4]")),
    after_help = "\
Examples
  efficientbert data pack texts/ --tokenizer tokenizers/mine --out packed/mine
  efficientbert pretrain --tokenizer tokenizers/mine --corpus packed/mine --hidden 256 --layers 6 --steps 20000 --out models/mine
  efficientbert pretrain --tokenizer tokenizers/mine --corpus packed/mine --token-drop 0.5 --steps 20000 --out models/mine
  efficientbert pretrain --init google-bert/bert-base-uncased --corpus reports/ --steps 2000 --out models/bert-of-reports

The encoder learns to find words that are hidden from it. `teacher --model DIR` goes on from it with labels. Nothing is computed for padding."
)]
pub struct PretrainArgs {
    /// The encoder, as in `arch show`; `bert` is a plain one of the sizes below [default: bert, or that of --init].
    #[arg(long, value_name = "ARCH")]
    arch: Option<String>,
    /// Hidden width of a plain BERT [default: 256].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    hidden: Option<u32>,
    /// Layers of a plain BERT [default: 6].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    layers: Option<u32>,
    /// Attention heads of a plain BERT [default: one for each 64 columns].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    heads: Option<u32>,
    /// Width inside the feed-forwards of a plain BERT [default: four times the hidden width].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    intermediate: Option<u32>,
    /// Longest sequence of a plain BERT [default: 512].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(8..))]
    positions: Option<u32>,
    /// Model to go on from, a directory or its name on the Hugging Face hub; random weights without it.
    #[arg(long, value_name = "DIR|ORG/NAME", conflicts_with_all = ["arch", "hidden", "layers", "heads", "intermediate", "positions"])]
    init: Option<PathBuf>,
    /// Folder with the tokenizer: a model directory, or what `data tokenizer` made [default: that of --init].
    #[arg(long, value_name = "DIR", required_unless_present = "init")]
    tokenizer: Option<PathBuf>,
    /// Text files, folders of .txt files, or one folder that `data pack` made; of that one --max-len is the default.
    #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
    corpus: Vec<PathBuf>,
    /// Held-out text, whose hidden words are asked for at --eval-every and at the end: files, folders or one packed folder, of which the
    /// first 1,000 sequences are used. The best weights are kept.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    eval_corpus: Vec<PathBuf>,
    /// Dropout while training.
    #[arg(long, value_name = "P", default_value_t = 0.1)]
    dropout: f64,
    /// TOML file with the stages of a training in which the encoder grows: fewer layers, narrower feed-forwards or shorter texts first. The
    /// steps are those of the stages.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["init", "steps", "epochs"])]
    grow: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::commands) training: TrainingArgs,
    #[command(flatten)]
    words: HiddenWords,
    #[command(flatten)]
    drop: DropArgs,
}

impl PretrainArgs {
    /// The values that may name something on the Hugging Face hub.
    pub(in crate::commands) fn named(&mut self) -> Vec<Named<'_>> {
        self.init.as_mut().map(|init| Named::model("--init", init)).into_iter().collect()
    }

    /// Refuses what the options alone say cannot be.
    fn check(&self) -> Result<(), CliError> {
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(CliError::usage(format!("--dropout {}: must be from 0 to below 1", self.dropout)));
        }
        if self.training.evaluates_often() && self.eval_corpus.is_empty() {
            return Err(CliError::usage("--eval-every: there is nothing to evaluate on; it goes with --eval-corpus"));
        }
        if self.grow.is_some() && self.training.counts_steps() {
            return Err(CliError::usage("--method: says how many steps there are, and --grow says it too")
                .with_hint("leave `steps` and `epochs` out of the file"));
        }
        let share = self.words.mask_probability;
        if share == 0.0 {
            return Err(CliError::usage("--mask-probability 0: hides nothing, and there is nothing else to learn"));
        }
        if let Some(method) = &self.training.file
            && (method.settings.distill.is_some() || method.settings.teacher_embedding)
        {
            let message = format!("--method {}: says what a student learns from a teacher", method.name);
            return Err(CliError::usage(message).with_hint("leave `distill` and `teacher_embedding` out of the file"));
        }
        fn of<'a>(option: &'a str, paths: &'a [PathBuf]) -> impl Iterator<Item = (&'a str, &'a Path)> {
            paths.iter().map(move |path| (option, path.as_path()))
        }
        let corpora = of("--corpus", &self.corpus).chain(of("--eval-corpus", &self.eval_corpus));
        let files = of("--tokenizer", self.tokenizer.as_slice()).chain(of("--grow", self.grow.as_slice()));
        must_all_exist(files.chain(corpora))
    }

    /// The stages in which the encoder grows.
    fn growth(&self) -> Result<Option<GrowthRecipe>, CliError> {
        let Some(path) = &self.grow else { return Ok(None) };
        let what = || format!("--grow {}", path.display());
        let text = std::fs::read_to_string(path).context(what())?;
        Ok(Some(GrowthRecipe::from_toml(&text).context(what()).or_usage()?))
    }

    /// The files of the tokenizer: another one would make other ids of the same text.
    fn tokenizer_files(&self) -> Files {
        let Some(dir) = &self.tokenizer else { return Files::new() };
        let there = TOKENIZER_FILES.iter().map(|name| (format!("tokenizer {name}"), dir.join(name)));
        there.filter(|(_, path)| path.is_file()).collect()
    }

    /// The sizes of a plain BERT that were given, by option.
    fn sizes(&self) -> [(&'static str, Option<u32>); 5] {
        [
            ("--hidden", self.hidden),
            ("--layers", self.layers),
            ("--heads", self.heads),
            ("--intermediate", self.intermediate),
            ("--positions", self.positions),
        ]
    }

    /// The configuration of a new encoder for the tokenizer.
    fn config(&self, encoder: &TextEncoder) -> Result<BertConfig, CliError> {
        let vocab = encoder.vocab_size();
        let arch = self.arch.as_deref().unwrap_or(PLAIN);
        let size = |given: Option<u32>, usual: usize| given.map_or(usual, |n| n as usize);
        let config = if arch == PLAIN {
            let hidden = size(self.hidden, 256);
            let heads = size(self.heads, (hidden / 64).max(1));
            let config =
                BertConfig::bert(vocab, hidden, size(self.layers, 6), heads, size(self.intermediate, 4 * hidden));
            BertConfig { max_position_embeddings: size(self.positions, POSITIONS), ..config }
        } else {
            let defaults = StudentShape { vocab, max_positions: POSITIONS, fit: None, ..StudentShape::efficientbert() };
            let config = resolve_with(arch, &ShapeArgs::default(), &defaults)?.config;
            if let Some((option, _)) = self.sizes().into_iter().find(|(_, given)| given.is_some()) {
                return Err(CliError::usage(format!("{option} has no effect with --arch {arch}"))
                    .with_hint("the sizes are those of the architecture; --arch bert has sizes of your own"));
            }
            // Fresh weights: the table is as large as the tokenizer says.
            BertConfig { vocab_size: vocab, fit_size: None, task_heads: Vec::new(), ..config }
        };
        Ok(BertConfig { pad_token_id: encoder.pad_id() as usize, ..config })
    }
}

#[derive(Serialize)]
struct RecordedOptions {
    name: &'static str,
    /// The architecture itself.
    encoder: String,
    dropout: f64,
    mask: MaskSettings,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_drop: Option<DropSettings>,
    /// As it was read: the file may have changed since.
    #[serde(skip_serializing_if = "Option::is_none")]
    grow: Option<GrowthRecipe>,
}

pub fn run(mut args: PretrainArgs, context: &Context) -> Result<(), CliError> {
    args.training.or_learning_rate(LEARNING_RATE);
    let args = &args;
    args.training.check()?;
    args.check()?;
    let drop = args.drop.settings()?;
    let corpus = Corpus::find(&args.corpus)?;
    let (init, encoder) = encoder(args, context)?;
    warn_of(&encoder, context);
    let config = match &init {
        Some(dir) => {
            BertConfig { task_heads: Vec::new(), pad_token_id: encoder.pad_id() as usize, ..dir.config.clone() }
        }
        None => args.config(&encoder)?,
    };
    let config = config.with_dropout(args.dropout);
    let what = match (&init, &args.arch) {
        (Some(_), _) => "--init",
        (None, Some(_)) => "--arch",
        (None, None) => "the sizes of the encoder",
    };
    crate::models::check_tables(what, &config, &encoder)?;
    check_segments(what, &config, &encoder, corpus.has_pairs().then(|| "--corpus".to_owned()).as_ref())?;
    let parts = Parts { pooler: init.as_ref().is_some_and(|dir| dir.model.parts().pooler), ..Parts::NONE };
    let parts = parts.with_words(&config);
    let fresh = TaskModel::new(&config, parts, &context.device).context(what).or_usage()?;
    if let Some(fault) = fresh.encoder.ragged_fault() {
        let message = format!("{what}: this encoder cannot be pre-trained here: {fault}");
        return Err(CliError::usage(message));
    }
    if drop.is_some() && config.num_hidden_layers < LAYERS_TO_DROP {
        let message = format!(
            "--token-drop: wants at least {LAYERS_TO_DROP} layers, the encoder has {}",
            config.num_hidden_layers
        );
        return Err(CliError::usage(message));
    }
    let grow = args.growth()?;
    let stages = match &grow {
        Some(grow) => {
            let file = args.grow.as_deref().unwrap_or(Path::new("")).display().to_string();
            let stages = grow.plan(&config, parts).context(format!("--grow {file}")).or_usage()?;
            let few =
                stages.iter().find(|stage| stage.pool.is_none() && stage.config.num_hidden_layers < LAYERS_TO_DROP);
            if let (Some(stage), true) = (few, drop.is_some()) {
                let layers = stage.config.num_hidden_layers;
                let message =
                    format!("--grow {file}: --token-drop wants at least {LAYERS_TO_DROP} layers, a stage has {layers}");
                return Err(CliError::usage(message));
            }
            Some((grow, stages))
        }
        None => None,
    };
    let mask = args.words.settings();
    let held_out = match args.eval_corpus.is_empty() {
        true => None,
        false => Some(Corpus::find(&args.eval_corpus)?),
    };
    let corpora = [("--corpus", Some(&corpus)), ("--eval-corpus", held_out.as_ref())];
    let words = word_mask(&mask, corpora, &encoder, args.training.seed)?;
    let model = fresh.initialized(&config, args.training.seed);
    let model = match &init {
        Some(dir) => continue_from(model, &dir.model, &dir.path)?,
        None => model,
    };
    let max_len = match corpus.max_len() {
        Some(packed) if packed > config.max_position_embeddings => {
            let positions = config.max_position_embeddings;
            let message = format!("--corpus: is packed to {packed} tokens, and the encoder has {positions} positions");
            return Err(CliError::usage(message)
                .with_hint("pack the text with a smaller --max-len, or give a new encoder more --positions"));
        }
        Some(packed) => args.training.given_max_len().unwrap_or(packed),
        None => {
            let wanted = args.training.given_max_len().map_or(MAX_LEN, |n| n as u32);
            capped_length(wanted, config.max_position_embeddings, context)
        }
    };
    let longer = stages.iter().flat_map(|(_, stages)| stages).filter_map(|stage| stage.max_len);
    if let Some(longest) = longer.into_iter().find(|longest| *longest >= max_len) {
        let message = format!("--grow: a stage has max_len {longest}, and texts have at most {max_len} tokens");
        return Err(CliError::usage(message).with_hint("leave it out, or give a smaller one"));
    }
    if drop.as_ref().is_some_and(|drop| drop.compatible) && args.words.max_predictions.is_none() {
        context.progress.warn("--token-drop-compatible: without --max-predictions padding is never predicted, as it is in the released code");
    }
    let batches = args.training.batches(max_len);
    let mut data = TextData::open(&corpus, Some(words), &encoder, batches, args.training.sequences())?;
    if let Some(held_out) = &held_out {
        data.hold_out(held_out, &encoder, batches).context("--eval-corpus")?;
    }
    let settings = RecordedOptions {
        name: "pretrain",
        encoder: serde_json::to_string(&config)?,
        dropout: args.dropout,
        mask,
        token_drop: drop.clone(),
        grow: grow.clone(),
    };
    let steps = grow.as_ref().map_or_else(|| args.training.steps(data.text.batches_per_epoch()), GrowthRecipe::steps);
    let init_files = init.as_ref().map_or_else(Files::new, |dir| model_files("init", &dir.path));
    let files = [init_files, args.tokenizer_files(), data.files.clone()].concat();
    let training = Training::open(context, &args.training, (steps, max_len), &settings, &files)?;
    let dropping =
        drop.map(|drop| dropping(drop, (&encoder, &config), &data, max_len, args.training.seed)).transpose()?;
    tell_unknown(&data, &encoder, context)?;
    for (number, stage) in stages.iter().flat_map(|(_, stages)| stages).enumerate() {
        context.progress.message(&told(number, stage));
    }
    let words = data.words().expect("words are hidden");
    let job = MaskedLanguageModeling {
        text: data.text.as_ref(),
        mask: words.mask,
        held_out: words.held_out,
        dropping: dropping.as_ref(),
        pool: None,
        max_len: None,
    };
    let trained = match &stages {
        None => training.run("pretrain", model, &job)?,
        Some((grow, stages)) => {
            let of_stage = |stage: &PlannedStage| -> Box<dyn Job<TaskModel> + '_> {
                Box::new(MaskedLanguageModeling { pool: stage.pool, max_len: stage.max_len, ..job })
            };
            let stores = training.stage_stores(stages.len())?;
            let growing = Growing { stages, moments: grow.moments, parts, job: &of_stage, stores: &stores };
            let first = TaskModel::new(&stages[0].config, parts, &context.device)?;
            let first = first.initialized(&stages[0].config, args.training.seed);
            training.run_growing("pretrain", first, &model, &growing)?
        }
    };
    let (model, done) = taken_apart(trained);
    let origin = init.as_ref().map_or_else(Origin::default, |dir| origin(&dir.path));
    // What is measured is no task that the hub knows.
    let card = scored_card(&card(args, &done), &origin, &config, &Evaluation::default(), &[]);
    let files = encoder.files(config.max_position_embeddings)?;
    training.save((&config, &model), Package { card: &card, files: &files, keep_fit: false }, &done)
}

/// The model to go on from, if any, and the tokenizer.
fn encoder(args: &PretrainArgs, context: &Context) -> Result<(Option<ModelDir>, TextEncoder), CliError> {
    let own = args.tokenizer.as_deref().map(tokenizer_alone).transpose();
    let own = own.hint("--tokenizer is a folder with tokenizer.json or vocab.txt")?;
    match (&args.init, own) {
        (None, Some(encoder)) => Ok((None, encoder)),
        (Some(init), own) => {
            let (dir, theirs) = load_for_new_heads("--init", init, context)?;
            let Some(own) = own else { return Ok((Some(dir), theirs)) };
            if own.to_json()? != theirs.to_json()? {
                context
                    .progress
                    .warn("--tokenizer: is not that of --init; the rows of its word table will mean other word pieces");
            }
            Ok((Some(dir), own))
        }
        (None, None) => Err(CliError::usage("--tokenizer is missing")),
    }
}

/// A stage in words; the first has number 0.
fn told(number: usize, stage: &PlannedStage) -> String {
    let PlannedStage { config, begins, ends, pool, max_len, rate, .. } = stage;
    let (layers, hidden, inner) = (config.num_hidden_layers, config.hidden_size, config.intermediate_size);
    let pool = pool.map_or_else(String::new, |pool| format!(", {} tokens pooled", pool.window));
    let cut = max_len.map_or_else(String::new, |tokens| format!(", texts of at most {tokens} tokens"));
    let rate = if *rate == 1.0 { String::new() } else { format!(", learning rate x {rate}") };
    let (number, first) = (number + 1, begins + 1);
    format!(
        "stage {number}: steps {first} to {ends}, {layers} layers of {hidden}, feed-forward {inner}{pool}{cut}{rate}"
    )
}

/// Says where the tokenizer knows little of the text, by the first batches.
fn tell_unknown(data: &TextData, encoder: &TextEncoder, context: &Context) -> Result<(), CliError> {
    let Some(unknown) = encoder.unk_id() else { return Ok(()) };
    let (mut found, mut all) = (0, 0);
    for step in 0..data.text.batches_per_epoch().min(LOOKED_AT) {
        let batch = data.text.batch(step)?;
        found += batch.ids.iter().filter(|id| **id == unknown as i32).count();
        all += batch.tokens();
    }
    let share = found as f64 / all.max(1) as f64;
    if share > MOST_UNKNOWN {
        context.progress.warn(&format!(
            "--corpus: {:.0}% of its word pieces are unknown ones, so the tokenizer does not fit these texts",
            100.0 * share
        ));
    }
    Ok(())
}

/// What the middle layers leave out.
fn dropping(
    settings: DropSettings,
    (encoder, config): (&TextEncoder, &BertConfig),
    data: &TextData,
    max_len: usize,
    seed: u64,
) -> Result<TokenDropping, CliError> {
    let always_kept = [Some(encoder.cls_id()), Some(encoder.sep_id()), encoder.unk_id(), encoder.mask_id()];
    let special = SpecialIds { always_kept: always_kept.into_iter().flatten().collect(), pad: encoder.pad_id() };
    let counts = match settings.by {
        DropBy::Frequency => {
            let counts = id_counts(data.text.as_ref(), config.vocab_size, interrupt::flag())?;
            let stopped = || CliError::interrupted("stopped before the training; nothing was written");
            Some(counts.ok_or_else(stopped)?)
        }
        DropBy::Loss | DropBy::Random => None,
    };
    Ok(TokenDropping::new(settings, (config.vocab_size, special), max_len, counts.as_deref(), seed)?)
}

fn card(args: &PretrainArgs, done: &crate::training_summary::TrainingResult) -> String {
    let name = args.training.out.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let corpus: Vec<String> = args.corpus.iter().map(|path| shown(path)).collect();
    let from = args.init.as_ref().map_or_else(|| "random weights".to_owned(), |dir| format!("`{}`", shown(dir)));
    let dropped = args.drop.token_drop.map_or_else(String::new, |share| {
        format!("; the middle layers left out {share} of the tokens (token dropping)")
    });
    let grown = if args.grow.is_some() { "; the encoder grew in stages" } else { "" };
    let scores = done.evaluation.as_ref().map_or_else(String::new, |e| format!("; held-out text: {e}"));
    format!(
        "# {name}\n\nPre-trained by `efficientbert pretrain` on text ({}) in {} steps of masked language modeling, from {from}{dropped}{grown}{scores}\n",
        corpus.join(", "),
        done.steps
    )
}
