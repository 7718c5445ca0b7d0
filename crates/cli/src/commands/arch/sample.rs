//! `arch sample`.

use clap::Args;
use mlp_space::{Architecture, LinearId, Space, StudentShape, Widths};
use nas::space::Student;
use rand::Rng;
use rand::seq::IndexedRandom;
use serde_json::json;

use crate::arch_spec::ShapeArgs;
use crate::error::{CliError, ResultExt};
use crate::output::{print, print_json};
use crate::units::{grouped, parse_count};

/// Draws of stack counts and ratios before the limits are called impossible.
const DRAWS: usize = 100_000;

#[derive(Args, Debug)]
pub struct SampleArgs {
    /// Seed of the draw; the same seed draws the same architectures on every machine.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// How many to draw.
    #[arg(long, value_name = "K", default_value_t = 1)]
    n: u64,
    /// Layers of each.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=256))]
    layers: u16,
    /// Fewest parameters, such as 15M; the distillation projection does not count.
    #[arg(long, value_name = "COUNT", value_parser = parse_count)]
    min_params: Option<u64>,
    /// Most parameters, such as 16M; the distillation projection does not count.
    #[arg(long, value_name = "COUNT", value_parser = parse_count)]
    max_params: Option<u64>,
    /// Most multiply-adds for one sequence, such as 1.6G.
    #[arg(long, value_name = "COUNT", value_parser = parse_count)]
    max_macs: Option<u64>,
    /// Sequence length that the MACs are counted for, in tokens.
    #[arg(long, value_name = "N", default_value_t = 128)]
    seq: usize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    shape: ShapeArgs,
}

pub fn run(args: &SampleArgs) -> Result<(), CliError> {
    let shape = args.shape.shape()?;
    let widths = Widths { base: shape.base, ..Widths::square(shape.hidden) };
    let space = Space::runnable(widths);
    // What a person ships and budgets for has no projection.
    let shipped = StudentShape { fit: None, ..shape.clone() };
    let student = Student::efficientbert(&shipped, usize::from(args.layers), args.seq).or_usage()?;
    let mut lines = String::new();
    let mut drawn = Vec::new();
    for k in 0..args.n {
        let rng = &mut run_store::rng::keyed(args.seed, "arch sample", &[k]);
        let ids = draw_ids(args, &student, rng)?;
        let layers = ids.iter().map(|id| space.sample(Some(*id), rng)).collect::<Result<_, _>>()?;
        let arch = Architecture::new(layers)?;
        let cost = student.cost(&arch);
        if args.json {
            drawn.push(json!({ "expressions": arch, "params": cost.params, "macs": cost.macs }));
        } else {
            lines += &format!("{arch}\n");
        }
    }
    if args.json {
        print_json(&json!({ "seed": args.seed, "seq": args.seq, "architectures": drawn }))
    } else {
        print(&lines)
    }
}

/// Stack counts and ratios within the limits, by rejection.
fn draw_ids(args: &SampleArgs, student: &Student, rng: &mut impl Rng) -> Result<Vec<LinearId>, CliError> {
    let all: Vec<LinearId> = LinearId::all().filter(|id| id.inner_size(student.widths.base) > 0).collect();
    let (low, high) = (args.min_params.unwrap_or(0), args.max_params.unwrap_or(u64::MAX));
    let mut seen = (u64::MAX, 0);
    for _ in 0..DRAWS {
        let ids: Vec<LinearId> = (0..args.layers).filter_map(|_| all.choose(rng).copied()).collect();
        let cost = ids.iter().fold(student.fixed, |sum, id| sum + student.layer_cost(*id));
        if (low..=high).contains(&cost.params) && args.max_macs.is_none_or(|most| cost.macs <= most) {
            return Ok(ids);
        }
        seen = (seen.0.min(cost.params), seen.1.max(cost.params));
    }
    Err(CliError::failed(format!("none of {DRAWS} random architectures keeps the limits")).with_hint(format!(
        "students of this shape have about {} to {} parameters; change the limits or the sizes",
        grouped(seen.0),
        grouped(seen.1)
    )))
}
