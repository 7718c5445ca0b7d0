//! `fidelity`: how well cheap scores foretell the final ones.

use std::path::{Path, PathBuf};

use clap::Args;
use pipeline::FromRecipe;
use pipeline::fidelity::{FEWEST, Findings, MOST, Place, Ranked, Settings, measure};
use pipeline::recipe::{Override, load_without_text};
use run_store::lock::Holder;
use serde_json::json;

use super::search::Terminal;
use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::hub::Named;
use crate::inputs::{must_all_exist, quoted};
use crate::output::{print, print_json, table};
use crate::watch::Watch;
use crate::{environment, interrupt, models};

/// Options of `fidelity`.
#[derive(Args, Debug)]
#[command(after_help = "\
Random networks get every cheap score and are then trained to the end on the recipe's tasks. The correlation of a score \
with the final one is compared with that of the number of parameters: a score that does not beat this control is no default.\n\n\
A measurement that was stopped goes on where it was with the same command. More networks or steps are added to those that are there.")]
pub struct FidelityArgs {
    /// A published recipe (pocket, smoke, minilm-quick, tinybert-quick, paper) or a TOML file: the search space, the short training of
    /// stage 1 and the final one. Its trainings on text are left out.
    #[arg(long, value_name = "NAME|FILE", default_value = "pocket")]
    recipe: String,
    /// Folder of the measurement: a new one, or that of one to go on with.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number of networks.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(FEWEST as i64..=i64::from(MOST)))]
    networks: u32,
    /// Lengths of the short trainings in steps, separated by commas; 0 is no training.
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "0,60,240")]
    steps: Vec<u64>,
    /// Networks of all sizes that the space has, in place of those within the recipe's budget: a narrow budget leaves networks of about one
    /// size, which their number of parameters cannot order.
    #[arg(long)]
    spread: bool,
    /// Seed of everything random.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Change one key of the recipe, for example final.task.steps=800.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<Override>,
    /// The teacher: a model directory, or its name on the Hugging Face hub.
    #[arg(long, value_name = "DIR|ORG/NAME")]
    teacher: Option<PathBuf>,
    /// Folder of GLUE tasks.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl FidelityArgs {
    /// The values that may name something on the Hugging Face hub.
    pub(super) fn named(&mut self) -> Vec<Named<'_>> {
        self.teacher.as_mut().map(|path| Named::model("--teacher", path)).into_iter().collect()
    }
}

/// Runs the command.
///
/// # Errors
/// A recipe or a folder that is not usable (exit code 2), work that failed (1) or was interrupted (130).
pub fn run(args: &FidelityArgs, context: &Context) -> Result<(), CliError> {
    let named = [("--teacher", &args.teacher), ("--data", &args.data)];
    must_all_exist(named.into_iter().filter_map(|(option, path)| Some((option, path.as_deref()?))))?;
    if let Some(teacher) = &args.teacher {
        models::check_model_directory("--teacher", teacher)?;
    }
    let recipe = load_without_text(&args.recipe, &overrides(args)?).or_usage()?;
    let mut steps = args.steps.clone();
    steps.sort_unstable();
    steps.dedup();
    let settings = Settings { networks: args.networks, steps, spread: args.spread };
    interrupt::install(&context.progress)?;
    let started = pipeline::summary::utc(environment::now_ms());
    let place = Place {
        folder: &args.out,
        devices: context.devices.clone(),
        holder: Holder::this_process(environment::host_name(), started),
    };
    let mut host = Terminal { watch: Watch::new(&context.progress, None, true)?, log_every: None };
    let found = measure(&recipe, &settings, place, &mut FromRecipe, &mut host).map_err(|e| explain(e, &args.out))?;
    context.progress.finish();
    show(args, &found)
}

/// The options as keys of the recipe.
fn overrides(args: &FidelityArgs) -> Result<Vec<Override>, CliError> {
    let mut all = args.set.clone();
    if let Some(seed) = args.seed {
        all.push(Override { key: "seed".into(), value: seed.to_string() });
    }
    for (key, path) in [("teacher.model", &args.teacher), ("data.glue", &args.data)] {
        let Some(path) = path else { continue };
        let path = std::path::absolute(path).context(format!("{}", path.display()))?;
        let text = path.to_str().ok_or_else(|| CliError::usage(format!("{}: not UTF-8", path.display())))?;
        all.push(Override { key: key.into(), value: json!(text).to_string() });
    }
    Ok(all)
}

fn explain(error: pipeline::Error, folder: &Path) -> CliError {
    let begun = folder.join("fidelity.json").is_file();
    if error.is_interruption() {
        return match begun {
            true => CliError::interrupted("the measurement was stopped; everything measured is saved").with_hint(
                format!("the same command goes on with it; its scores are in {}", quoted(&folder.join("scores.jsonl"))),
            ),
            false => CliError::interrupted("stopped while the inputs were read; nothing was written"),
        };
    }
    match &error {
        pipeline::Error::Recipe { .. }
        | pipeline::Error::Mismatch(_)
        | pipeline::Error::Search(nas::Error::Budget { .. } | nas::Error::Unreachable { .. } | nas::Error::Space(_)) => {
            CliError::usage(error.to_string())
        }
        pipeline::Error::Inputs(problems) if problems.iter().any(|problem| problem.usage) => {
            CliError::usage(error.to_string())
        }
        _ => CliError::from(error),
    }
}

fn show(args: &FidelityArgs, found: &Findings) -> Result<(), CliError> {
    if args.json {
        return print_json(
            &json!({ "what": "fidelity", "folder": args.out, "recipe": args.recipe, "findings": found }),
        );
    }
    let mut text =
        format!("\n{} networks trained to the end; intervals hold 95% of 2,000 bootstrap samples\n", found.networks);
    for (what, rows) in [
        ("the mean probability of the right dev answer", &found.probability),
        ("the tasks' metrics on dev", &found.metric),
    ] {
        text += &format!("\nrank correlation with {what}\n");
        let columns = ["fidelity", "n", "spearman", "kendall", "over parameters", "s/network", ""];
        text += &table(&columns, &rows.iter().map(row).collect::<Vec<_>>(), true);
    }
    print(&text)
}

fn row(ranked: &Ranked) -> Vec<String> {
    let estimate =
        |e: pipeline::fidelity::correlation::Estimate| format!("{:.2} ({:.2} to {:.2})", e.value, e.low, e.high);
    vec![
        ranked.fidelity.to_string(),
        ranked.networks.to_string(),
        estimate(ranked.spearman),
        estimate(ranked.kendall),
        estimate(ranked.gain),
        format!("{:.1}", ranked.seconds),
        ranked.verdict.words().to_owned(),
    ]
}
