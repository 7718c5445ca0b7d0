//! One file per command. A new command is a file here, a variant of [`Command`] and its arm in [`run`].

mod arch;
mod bench;
mod bench_step;
mod bench_table;
mod completions;
mod compress;
mod data;
mod distill;
mod encode;
mod eval;
mod export;
mod fidelity;
mod import;
mod man;
mod objective;
mod predict;
mod pretrain;
mod quantize;
mod report;
mod runs;
mod score;
mod search;
mod serve;
mod study;
mod submit;
mod teacher;
mod trim;

use clap::Subcommand;

use crate::context::Context;
use crate::error::CliError;
use crate::given::GivenOptions;
use crate::hub::{self, Named};

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Compress a model on data of your own, in one command.
    Compress(Box<compress::CompressArgs>),
    /// Search a compact student, distill it and prove it: the main job.
    Search(search::SearchArgs),
    /// Write the report of a run folder again.
    Report(report::ReportArgs),
    /// What runs there are, how far they are, and their scores.
    Runs(runs::RunsArgs),
    /// What a search has tried: its stages and trials, the best of them, exports for other programs.
    #[command(subcommand)]
    Study(study::Command),
    /// Measure how well cheap scores of networks foretell their final ones.
    Fidelity(Box<fidelity::FidelityArgs>),
    /// Metrics of a model on a task, and the official prediction file.
    Eval(eval::EvalArgs),
    /// Official scores of a predictions file, without a model.
    Score(score::ScoreArgs),
    /// The archive of prediction files that the GLUE site takes.
    Submit(submit::SubmitArgs),
    /// What a model answers to texts.
    Predict(predict::PredictArgs),
    /// Serve models over HTTP.
    Serve(Box<serve::ServeArgs>),
    /// Fine-tune a BERT on tasks.
    Teacher(Box<teacher::TeacherArgs>),
    /// Pre-train an encoder on text.
    Pretrain(Box<pretrain::PretrainArgs>),
    /// Teach a student on text or on tasks.
    Distill(Box<distill::DistillArgs>),
    /// What students learn from teachers: published objectives, and files of one's own.
    #[command(subcommand)]
    Objective(objective::Command),
    /// Look at architectures: parameters and MACs, validity, random draws.
    #[command(subcommand)]
    Arch(arch::Command),
    /// Turn foreign weights into a model directory.
    Import(import::ImportArgs),
    /// Trim a model's vocabulary to the word pieces that texts need.
    Trim(Box<trim::TrimArgs>),
    /// Write a model as a file for other programs: ONNX.
    Export(Box<export::ExportArgs>),
    /// A model in 8-bit integers, if it loses little.
    Quantize(Box<quantize::QuantizeArgs>),
    /// Write hidden states and attention scores of given token ids, for comparisons.
    Encode(encode::EncodeArgs),
    /// Measure how long one forward pass takes, or a latency table for a search.
    Bench(bench::BenchArgs),
    /// Data sets.
    #[command(subcommand)]
    Data(data::Command),
    /// A script by which a shell completes the command line.
    Completions(completions::CompletionsArgs),
    /// Write manual pages into a folder.
    Man(man::ManArgs),
}

impl Command {
    /// Keeps the options of the command line for a training that may be resumed.
    pub fn remember(&mut self, given: GivenOptions) {
        match self {
            Self::Teacher(args) => args.training.given = given,
            Self::Distill(args) => args.training.given = given,
            Self::Pretrain(args) => args.training.given = given,
            _ => {}
        }
    }
}

impl Command {
    /// Whether it trains on several devices at once.
    fn takes_several_devices(&self) -> bool {
        matches!(self, Self::Compress(_) | Self::Search(_) | Self::Teacher(_) | Self::Pretrain(_) | Self::Distill(_))
    }

    /// The values that may name something on the Hugging Face hub.
    fn named(&mut self) -> Vec<Named<'_>> {
        match self {
            Self::Compress(args) => args.named(),
            Self::Search(args) => args.named(),
            Self::Fidelity(args) => args.named(),
            Self::Eval(args) => args.named(),
            Self::Predict(args) => args.named(),
            Self::Serve(args) => args.named(),
            Self::Teacher(args) => args.named(),
            Self::Distill(args) => args.named(),
            Self::Pretrain(args) => args.named(),
            Self::Import(args) => args.named(),
            Self::Trim(args) => args.named(),
            Self::Export(args) => args.named(),
            Self::Quantize(args) => args.named(),
            Self::Encode(args) => args.named(),
            Self::Bench(args) => args.named(),
            Self::Data(command) => command.named(),
            _ => Vec::new(),
        }
    }
}

pub fn run(mut command: Command, context: &Context) -> Result<(), CliError> {
    if !command.takes_several_devices() {
        context.one_device()?;
    }
    hub::resolve(command.named(), context)?;
    match command {
        Command::Compress(args) => compress::run(*args, context),
        Command::Search(args) => search::run(args, context),
        Command::Report(args) => report::run(&args, context),
        Command::Runs(args) => runs::run(&args),
        Command::Study(command) => study::run(&command, context),
        Command::Fidelity(args) => fidelity::run(&args, context),
        Command::Eval(args) => eval::run(&args, context),
        Command::Score(args) => score::run(&args, context),
        Command::Submit(args) => submit::run(&args, context),
        Command::Predict(args) => predict::run(&args, context),
        Command::Serve(args) => serve::run(&args, context),
        Command::Teacher(args) => teacher::run(&args, context),
        Command::Pretrain(args) => pretrain::run(*args, context),
        Command::Distill(args) => distill::run(*args, context),
        Command::Objective(command) => objective::run(&command),
        Command::Arch(command) => arch::run(&command),
        Command::Import(args) => import::run(&args, context),
        Command::Trim(args) => trim::run(&args, context),
        Command::Export(args) => export::run(&args, context),
        Command::Quantize(args) => quantize::run(&args, context),
        Command::Encode(args) => encode::run(&args, context),
        Command::Bench(args) => bench::run(&args, context),
        Command::Data(command) => data::run(&command, context),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}
