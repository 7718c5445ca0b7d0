//! `objective`: what students learn from teachers, by name and written out.

use clap::{Args, Subcommand};
use kd::objective::{Preset, Shape, Source};
use mlp_space::StudentShape;
use serde_json::json;

use crate::arch_spec::{ShapeArgs, is_directory, resolve, resolve_with};
use crate::error::{CliError, ResultExt};
use crate::objective_spec::{project, read_objective, with_words};
use crate::output::{print, print_json, table};

/// What to do with objectives.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Published objectives by name.
    List(ListArgs),
    /// Write an objective out for a student and a teacher, as a file for `distill --objective` and for recipes; what does not fit
    /// the two is an error.
    #[command(after_help = "\
Examples
  efficientbert objective show tinybert --student models/small --teacher models/bert-base > tinybert.toml
  efficientbert objective show tinybert --student tinybert-4 --teacher models/minilm-6 --map 2,3,5,6
  efficientbert objective show mine.toml --student tinybert-4 --on text --steps 1000
  efficientbert objective show mobilebert-progressive --student mobilebert --teacher ib-bert-large --on text --mlm

STUDENT and TEACHER are architectures as in `arch show`: presets, folders, files, expressions.")]
    Show(Box<ShowArgs>),
}

#[derive(Args, Debug)]
pub struct ListArgs {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub struct ShowArgs {
    /// A name that `objective list` shows, or a TOML file with a section `[distill]`.
    #[arg(value_name = "PRESET|FILE")]
    objective: String,
    /// The student.
    #[arg(long, value_name = "ARCH", default_value = "efficientbert")]
    student: String,
    /// The teacher.
    #[arg(long, value_name = "ARCH", default_value = "bert-base")]
    teacher: String,
    /// What is learned on.
    #[arg(long, value_enum, default_value_t = Source::Tasks)]
    on: Source,
    /// The teacher layer of each student layer, for a preset [default: evenly spread].
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    map: Vec<usize>,
    /// With masked words, as `distill --mlm`; needs --on text.
    #[arg(long)]
    mlm: bool,
    /// Check schedules against a training of so many steps.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    steps: u64,
    #[command(flatten)]
    shape: ShapeArgs,
}

pub fn run(command: &Command) -> Result<(), CliError> {
    match command {
        Command::List(args) => list(args),
        Command::Show(args) => show(args),
    }
}

fn list(args: &ListArgs) -> Result<(), CliError> {
    if args.json {
        let all = Preset::ALL.map(|p| json!({ "name": p, "layers": p.has_layers(), "summary": p.summary() }));
        return print_json(&json!({ "objectives": all }));
    }
    let rows: Vec<Vec<String>> = Preset::ALL.iter().map(|p| vec![p.to_string(), p.summary().into()]).collect();
    print(&table(&["objective", "what the student learns"], &rows, true))
}

fn show(args: &ShowArgs) -> Result<(), CliError> {
    let mut objective = with_words(read_objective(&args.objective)?, args.mlm);
    if !args.map.is_empty() {
        objective.map.clone_from(&args.map);
    }
    let teacher = resolve(&args.teacher, &ShapeArgs::default()).context("--teacher")?;
    // Of an architecture alone nobody knows; a model directory has the head or not.
    let has_words = !is_directory(&args.teacher) || teacher.outline.parts().mlm;
    let teacher = teacher.config;
    let defaults = StudentShape { vocab: teacher.vocab_size, ..StudentShape::efficientbert() };
    let student = resolve_with(&args.student, &args.shape, &defaults);
    let mut student = student.context("--student")?.config;
    project(&mut student, &args.shape, &teacher);
    let ours = Shape::with_words(&student, objective.mlm.is_some());
    let theirs = Shape::with_words(&teacher, has_words);
    objective.plan(ours, theirs, args.on, args.steps).or_usage()?;
    let text = objective.written_out(ours, theirs, args.on).and_then(|o| o.to_toml()).or_usage()?;
    let on = if args.on == Source::Text { "text" } else { "tasks" };
    let (name, layers) = (&args.objective, ours.layers);
    print(&format!("# {name} on {on}: {layers} layers of a student learn from {} of a teacher\n{text}", theirs.layers))
}
