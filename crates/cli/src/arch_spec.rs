//! What an ARCH argument means: a preset, a file, a model directory, or expressions.

use std::path::Path;

use bert_core::{
    BertConfig, CONFIG_FILE, PRESETS, Parts, WEIGHTS_FILE, architecture, preset, student_config, student_frame,
    transferred_config,
};
use clap::Args;
use encoder_spec::{Encoder, Shape};
use mlp_space::{Architecture, StudentShape, released};
use run_store::similar::closest;

use crate::error::{CliError, ResultExt};
use crate::inputs::refuse_run_folder;

/// Presets of [`released`] that name expressions without sizes.
const EXPRESSION_PRESETS: [&str; 3] = ["stage1-winner", "stage2-winner", "warm-up"];

/// Sizes of a student that is given by its expressions alone; the defaults are EfficientBERT's.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Sizes, where ARCH is a list of expressions")]
pub struct ShapeArgs {
    /// Hidden width [default: 540].
    #[arg(long, value_name = "N")]
    hidden: Option<usize>,
    /// Base width that the ratios divide [default: the hidden width].
    #[arg(long, value_name = "N")]
    base: Option<usize>,
    /// Width of the word table [default: 128].
    #[arg(long, value_name = "N")]
    embed: Option<usize>,
    /// Attention heads [default: 12].
    #[arg(long, value_name = "N")]
    heads: Option<usize>,
    /// Word pieces [default: 30522].
    #[arg(long, value_name = "N")]
    vocab: Option<usize>,
    /// Longest sequence [default: 512].
    #[arg(long, value_name = "N")]
    positions: Option<usize>,
    /// Teacher width that the distillation projection leads to [default: 768].
    #[arg(long, value_name = "N")]
    fit: Option<usize>,
    /// No distillation projection.
    #[arg(long, conflicts_with = "fit")]
    no_fit: bool,
    /// A plain BERT, as ARCH, whose embedding, attention and widths the searched feed-forwards of ARCH get; operators keep the
    /// wider operand. How EfficientBERT's were transferred to TinyBERT-6.
    #[arg(long, value_name = "ARCH", conflicts_with_all = ["hidden", "base", "embed", "heads", "vocab", "positions", "fit", "no_fit"])]
    into: Option<String>,
}

impl ShapeArgs {
    /// The shape with EfficientBERT's sizes filled in.
    pub fn shape(&self) -> Result<StudentShape, CliError> {
        if self.into.is_some() {
            return Err(CliError::usage("--into has no effect here: it goes with an ARCH"));
        }
        self.shape_or(&StudentShape::efficientbert())
    }

    fn shape_or(&self, d: &StudentShape) -> Result<StudentShape, CliError> {
        let hidden = self.hidden.unwrap_or(d.hidden);
        let shape = StudentShape {
            vocab: self.vocab.unwrap_or(d.vocab),
            embed: self.embed.unwrap_or(d.embed),
            hidden,
            base: self.base.unwrap_or(hidden),
            heads: self.heads.unwrap_or(d.heads),
            max_positions: self.positions.unwrap_or(d.max_positions),
            segments: d.segments,
            fit: if self.no_fit { None } else { self.fit.or(d.fit) },
        };
        shape.check().or_usage()?;
        Ok(shape)
    }

    /// Whether `--into` was given.
    pub fn is_transfer(&self) -> bool {
        self.into.is_some()
    }

    /// The first size that was given.
    pub fn first_given(&self) -> Option<&'static str> {
        [
            ("--hidden", self.hidden.is_some()),
            ("--base", self.base.is_some()),
            ("--embed", self.embed.is_some()),
            ("--heads", self.heads.is_some()),
            ("--vocab", self.vocab.is_some()),
            ("--positions", self.positions.is_some()),
            ("--fit", self.fit.is_some()),
            ("--no-fit", self.no_fit),
        ]
        .into_iter()
        .find_map(|(name, given)| given.then_some(name))
    }
}

/// An architecture with its sizes; the weights are not there yet.
pub struct Arch {
    pub name: String,
    pub config: BertConfig,
    pub outline: Encoder<Shape>,
}

/// Resolves ARCH.
///
/// # Errors
/// It is none of the accepted forms, or the file or the expressions it names are not valid.
pub fn resolve(text: &str, shape: &ShapeArgs) -> Result<Arch, CliError> {
    resolve_with(text, shape, &StudentShape::efficientbert())
}

/// [`resolve`] with other sizes where ARCH is a list of expressions and `shape` leaves them open.
pub fn resolve_with(text: &str, shape: &ShapeArgs, defaults: &StudentShape) -> Result<Arch, CliError> {
    let Some(into) = &shape.into else { return sized(text, shape, defaults) };
    let found = sized(text, &ShapeArgs::default(), defaults)?;
    if found.config.layers.is_empty() {
        return Err(CliError::usage(format!("--into {into}: `{text}` has no searched feed-forwards to transfer")));
    }
    let shape = sized(into, &ShapeArgs::default(), defaults).context("--into")?;
    if !shape.config.layers.is_empty() {
        return Err(CliError::usage(format!(
            "--into {into}: has searched feed-forwards of its own; name a plain BERT"
        )));
    }
    let config = transferred_config(&shape.config, &architecture(&found.config)?);
    let config = config.context(format!("--into {into}")).or_usage()?;
    built(format!("{} in {}", found.name, shape.name), config)
}

fn sized(text: &str, shape: &ShapeArgs, defaults: &StudentShape) -> Result<Arch, CliError> {
    let path = Path::new(text);
    let expressions = |name: &str, arch: &Architecture| expressions(name, arch, &shape.shape_or(defaults)?);
    if EXPRESSION_PRESETS.contains(&text) {
        return expressions(text, &released::preset(text)?);
    }
    let whole = |arch: Result<Arch, CliError>| match shape.first_given() {
        Some(option) => Err(CliError::usage(format!("{option} has no effect on `{text}`, which has sizes of its own"))
            .with_hint("sizes can be given where ARCH is a list of expressions")),
        None => arch,
    };
    if PRESETS.contains(&text) {
        return whole(preset_arch(text));
    }
    if path.is_dir() {
        return whole(directory(path));
    }
    if path.is_file() {
        let content = std::fs::read_to_string(path)
            .map_err(|e| CliError::failed(format!("cannot read {}: {e}", path.display())))?;
        if content.trim_start().starts_with('{') {
            let config = model_dir::read_config(path)?;
            return whole(built(file_stem(path), config).context(path.display().to_string()));
        }
        let arch = content.parse::<Architecture>().map_err(CliError::from);
        let arch = arch.and_then(|a| expressions(&file_stem(path), &a));
        return arch.context(format!("{}: not a usable architecture", path.display()));
    }
    if text.contains(['(', ';', '[']) {
        return expressions("student", &text.parse()?);
    }
    Err(unknown(text, &[&PRESETS[..], &EXPRESSION_PRESETS[..]].concat()))
}

pub fn preset_arch(name: &str) -> Result<Arch, CliError> {
    built(name.to_owned(), preset(name).map_err(|_| unknown(name, &PRESETS))?)
}

/// Whether `text` is meant as a model directory rather than as a preset.
pub fn is_directory(text: &str) -> bool {
    !PRESETS.contains(&text) && Path::new(text).is_dir()
}

fn directory(path: &Path) -> Result<Arch, CliError> {
    refuse_run_folder("ARCH", path)?;
    let name = file_stem(path);
    if path.join(WEIGHTS_FILE).exists() {
        let (config, outline) = model_dir::outline(path)?;
        return Ok(Arch { name, config, outline });
    }
    let config = model_dir::read_config(&path.join(CONFIG_FILE)).hint("a model directory holds a config.json")?;
    built(name, config)
}

fn expressions(name: &str, arch: &Architecture, shape: &StudentShape) -> Result<Arch, CliError> {
    let config = student(shape, arch)?;
    built(name.to_owned(), config)
}

/// The configuration of a student with EfficientBERT's conventions (LayerNorm epsilon 1e-5, tanh GELU, trigram input).
pub fn student(shape: &StudentShape, arch: &Architecture) -> Result<BertConfig, CliError> {
    Ok(student_config(&student_frame(shape, arch.layers().len()), arch)?)
}

fn built(name: String, config: BertConfig) -> Result<Arch, CliError> {
    let outline = Encoder::describe(&config, Parts::published(config.model_type))?;
    Ok(Arch { name, config, outline })
}

fn file_stem(path: &Path) -> String {
    let full = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let stem = if full.is_dir() { full.file_name() } else { full.file_stem() };
    stem.map_or_else(|| path.display().to_string(), |s| s.to_string_lossy().into_owned())
}

fn unknown(text: &str, known: &[&str]) -> CliError {
    let shown: String = text.chars().take(200).collect();
    let error = CliError::usage(format!(
        "`{shown}` is no preset and no such file or folder exists; presets: {}",
        known.join(", ")
    ));
    error.with_hints(closest(text, known.iter().copied()).map(|near| format!("did you mean {near}?")))
}
