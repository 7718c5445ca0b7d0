//! `compress`: from data of one's own and a model to a small student, in one command.

use std::path::{Path, PathBuf};

use bert_core::{CONFIG_FILE, WEIGHTS_FILE};
use clap::Args;
use glue_squad::task::{Split, Task};
use kd::cache::ByteSize;
use pipeline::recipe::{FITTED, Facts, Limits, Override};
use pipeline::vocabulary::Texts;
use predict::examples::Examples;
use predict::heads::answering_head;
use run_store::rundir::RECIPE;

use super::search::{self, SearchArgs};
use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::hub::Named;
use crate::inputs::{must_exist, quoted};
use crate::models::{check_segments, load_directory, refuse_occupied};
use crate::own_task::{ChosenData, OwnTaskArgs};
use crate::tasks;
use crate::trim_vocab::TrimVocabArgs;
use crate::units::parse_count;

/// Longest sequence that is chosen, in tokens.
const LONGEST: usize = 256;
/// The part of the texts that are not cut.
const WHOLE: f64 = 0.99;
/// Examples whose lengths are looked at.
const LOOKED_AT: usize = 20_000;
/// The folder of the run beside the student.
const RUN: &str = ".run";

#[derive(Args, Debug)]
#[command(after_help = "\
Examples
  efficientbert compress --model models/minilm --train reviews.csv --text review --label stars --max-latency-ms 5 --out student
  efficientbert compress --model teachers/mrpc --task mrpc --data glue --max-params 7M --compare --out student

It fine-tunes the model on the task if it has no head for it, searches a student within the limits among encoders of other widths, teaches it, \
and writes a report. What it assumes and its plan are said before it begins. DIR.run is the folder of the run, with the report, the \
recipe and all trials; `efficientbert search --recipe DIR.run/recipe.toml` runs the same again with changes.")]
pub struct CompressArgs {
    /// The model to compress: a BERT, fine-tuned or not; its directory or its name on the Hugging Face hub.
    #[arg(long, value_name = "DIR|ORG/NAME", required_unless_present = "resume")]
    model: Option<PathBuf>,
    /// The task: a name, or a TOML file that describes one.
    #[arg(long = "task", value_name = "TASK|FILE", value_parser = tasks::parse, required_unless_present_any = ["train", "resume"])]
    task: Option<Task>,
    /// Folder of GLUE tasks, or of the files of a described task.
    #[arg(long, value_name = "DIR", requires = "task")]
    data: Option<PathBuf>,
    /// The student's model directory; it must be new or empty.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Continue an interrupted run: --resume --out DIR.
    #[arg(long)]
    resume: bool,
    /// Most parameters of the student, for example 7M [default: 30% of the model's, where no limit is given].
    #[arg(long, value_name = "N", value_parser = parse_count)]
    max_params: Option<u64>,
    /// Most multiply-adds (counted once) of the student for one text, for example 400M.
    #[arg(long, value_name = "N", value_parser = parse_count)]
    max_macs: Option<u64>,
    /// Largest file of the student's weights, for example 27MB.
    #[arg(long, value_name = "SIZE")]
    max_bytes: Option<ByteSize>,
    /// Longest latency of one text on this machine, milliseconds, measured for the student.
    #[arg(long, value_name = "MS")]
    max_latency_ms: Option<f64>,
    /// Longest sequence in tokens; longer texts are cut [default: what 99% of the texts need, at most 256].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(8..=65_536))]
    max_len: Option<u32>,
    /// Compare the student with plain networks of the same cost, three trainings each: several times the time.
    #[arg(long)]
    compare: bool,
    /// Seed of everything random.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Change one key of the recipe, for example search.stage1.trials=20.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<Override>,
    /// Print the comparison as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    trim: TrimVocabArgs,
    #[command(flatten)]
    own: OwnTaskArgs,
}

impl CompressArgs {
    /// The values that may name something on the Hugging Face hub.
    pub(super) fn named(&mut self) -> Vec<Named<'_>> {
        let model = self.model.as_mut().map(|path| Named::model("--model", path));
        self.own.named().into_iter().chain(model).collect()
    }
}

pub fn run(args: CompressArgs, context: &Context) -> Result<(), CliError> {
    let folder = run_folder(&args.out)?;
    // Of a run that has ended, the result is shown again.
    let is_handed_over = args.resume && is_same_model(&folder.join("student"), &args.out);
    if !is_handed_over {
        refuse_occupied(&args.out)?;
    }
    if args.resume && args.model.is_none() && args.says_more() {
        let message = "--resume: give the whole command that started the run, or --resume --out DIR alone";
        return Err(CliError::usage(message));
    }
    let search = match args.resume && args.model.is_none() {
        true => SearchArgs { out: Some(folder.clone()), resume: true, json: args.json, ..SearchArgs::default() },
        false => fitted(&args, &folder, context)?,
    };
    search::run(search, context).map_err(|error| {
        let hint = match folder.join(RECIPE).is_file() {
            true => format!("continue with: efficientbert compress --resume --out {}", quoted(&args.out)),
            false => "the same command begins again".to_owned(),
        };
        error.with_hint_of("search --resume", hint)
    })?;
    if !is_handed_over {
        // A folder that is there and empty: a new one is written as a whole.
        let _ = std::fs::remove_dir(&args.out);
        hand_over(&folder.join("student"), &args.out)?;
    }
    context.progress.message(&format!(
        "student -> {}, report -> {}",
        args.out.display(),
        folder.join("report.html").display()
    ));
    Ok(())
}

impl CompressArgs {
    /// Whether options are given that a run alone decides.
    fn says_more(&self) -> bool {
        let limits = self.max_params.is_some() || self.max_macs.is_some() || self.max_bytes.is_some();
        let other = self.trim.trim_vocab.is_some()
            || self.max_latency_ms.is_some()
            || self.max_len.is_some()
            || self.seed.is_some()
            || self.compare;
        limits || other || self.task.is_some() || self.data.is_some() || self.own.is_given() || !self.set.is_empty()
    }
}

/// Whether both folders hold a model, and the same one.
fn is_same_model(a: &Path, b: &Path) -> bool {
    [CONFIG_FILE, WEIGHTS_FILE].iter().all(|name| match (std::fs::read(a.join(name)), std::fs::read(b.join(name))) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    })
}

/// Copies the files of a model directory.
fn hand_over(student: &Path, out: &Path) -> Result<(), CliError> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(student).context(format!("{}", student.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.push((name, std::fs::read(&path).context(format!("{}", path.display()))?));
    }
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    Ok(run_store::folder::write(out, &files)?)
}

/// The folder of the run, beside the student.
fn run_folder(out: &Path) -> Result<PathBuf, CliError> {
    let name = out
        .file_name()
        .ok_or_else(|| CliError::usage(format!("--out {}: does not end in a folder name", out.display())))?;
    let mut name = name.to_owned();
    name.push(RUN);
    Ok(out.with_file_name(name))
}

/// The search that fits model, data and limits; what it assumes is said.
fn fitted(args: &CompressArgs, folder: &Path, context: &Context) -> Result<SearchArgs, CliError> {
    let model = args.model.as_ref().expect("a model is required");
    let ChosenData { tasks, data } = args.own.or_of(args.task.as_slice(), args.data.as_deref(), context)?;
    let (task, data) = (&tasks[0], data.unwrap_or_default());
    task.check_trainable().or_usage()?;
    must_exist("--data", [&data])?;
    let (teacher, encoder) = load_directory("--model", model, context)?;
    check_segments("--model", &teacher.config, &encoder, task.is_pair().then_some(task))?;
    let texts = Texts::Tasks { tasks: &tasks, data: &data, most: None };
    let positions = teacher.config.max_position_embeddings;
    let (teacher, encoder) = match args.trim.trim(&encoder, texts, positions, context)? {
        Some(trim) => (trim.model(&teacher, &context.device)?, trim.encoder),
        None => (teacher, encoder),
    };
    let is_tuned = answering_head(&teacher.config, task).is_ok();
    let examples = Examples::read(task, (&data, Split::Train), &encoder, positions, None)?;
    let lengths: Vec<usize> = examples.features.iter().map(glue_squad::features::Features::longest).collect();
    let (max_len, note) = match args.max_len {
        Some(given) => ((given as usize).min(positions), None),
        None => chosen_length(lengths, positions),
    };
    let limits = Limits {
        max_params: args.max_params,
        max_macs: args.max_macs,
        max_bytes: args.max_bytes.map(|size| size.0),
        max_latency_ms: args.max_latency_ms,
    };
    let facts = Facts {
        teacher: &teacher.config,
        params: teacher.model.count(max_len).params_without_fit(),
        is_tuned,
        examples: examples.features.len(),
        max_len,
        limits,
        compare: args.compare,
    };
    let (settings, assumed) = facts.settings();
    let notes = examples.note.into_iter().chain(assumed).chain(note);
    notes.for_each(|note| context.progress.message(&note));
    Ok(SearchArgs {
        recipe: Some(FITTED.to_owned()),
        out: Some(folder.to_owned()),
        resume: args.resume,
        seed: args.seed,
        set: [settings, args.set.clone()].concat(),
        trim: args.trim,
        teacher: Some(model.clone()),
        tasks,
        data: Some(data),
        json: args.json,
        ..SearchArgs::default()
    })
}

/// A length that most texts fit in, a multiple of 8, and what is cut.
fn chosen_length(mut lengths: Vec<usize>, positions: usize) -> (usize, Option<String>) {
    lengths.truncate(LOOKED_AT);
    lengths.sort_unstable();
    let at = ((lengths.len() as f64 * WHOLE).ceil() as usize).clamp(1, lengths.len().max(1)) - 1;
    let needed = lengths.get(at).copied().unwrap_or(LONGEST);
    let chosen = needed.next_multiple_of(8).clamp(16, LONGEST).min(positions);
    let cut = lengths.iter().filter(|length| **length > chosen).count();
    let note = (cut > 0).then(|| {
        let share = 100.0 * cut as f64 / lengths.len() as f64;
        format!("{share:.1}% of the texts are longer and are cut; --max-len N keeps more")
    });
    (chosen, note)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_what_nearly_all_texts_need() {
        assert_eq!(chosen_length((1..=100).collect(), 512).0, 104);
        assert_eq!(chosen_length(vec![5; 50], 512), (16, None));
        let (length, note) = chosen_length(vec![400; 4], 512);
        assert!(length == 256 && note.unwrap().starts_with("100.0% of the texts are longer"));
        assert_eq!(chosen_length(vec![400; 4], 128).0, 128);
    }

    #[test]
    fn the_run_stands_beside_the_student() {
        assert_eq!(run_folder("a/student".as_ref()).unwrap(), Path::new("a/student.run"));
        assert!(run_folder("..".as_ref()).is_err());
    }
}
