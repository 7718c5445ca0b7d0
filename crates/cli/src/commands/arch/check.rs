//! `arch check`.

use clap::Args;
use encoder_spec::Shape;
use serde_json::json;

use crate::arch_spec::{ShapeArgs, resolve};
use crate::error::{CliError, Kind};
use crate::output::{print, print_json};

type Layer = encoder_spec::Layer<Shape>;

#[derive(Args, Debug)]
pub struct CheckArgs {
    /// The architecture.
    #[arg(value_name = "ARCH")]
    arch: String,
    /// Print one JSON object, also for an architecture that is not valid.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    shape: ShapeArgs,
}

pub fn run(args: &CheckArgs) -> Result<(), CliError> {
    // Resolving parses the expressions and checks rules and widths; there is no second opinion to ask for.
    match resolve(&args.arch, &args.shape) {
        Ok(arch) => {
            let (layers, searched) = (arch.config.num_hidden_layers, arch.config.layers.len());
            if args.json {
                return print_json(&json!({
                    "valid": true,
                    "name": arch.name,
                    "layers": layers,
                    "expressions": arch.config.layers.iter().map(|l| &l.expression).collect::<Vec<_>>(),
                }));
            }
            let what = if searched == 0 { "plain" } else { "searched" };
            let without = |lacks: &dyn Fn(&Layer) -> bool, part: &str| {
                let count = arch.outline.layers.iter().filter(|layer| lacks(layer)).count();
                if count == 0 { String::new() } else { format!(", {count} without {part}") }
            };
            let lacking = without(&|layer| layer.attention.is_none(), "attention")
                + &without(&|layer| layer.feed_forward.blocks.is_empty(), "feed-forward");
            print(&format!("{}: valid, {layers} layers with {what} feed-forwards{lacking}\n", arch.name))
        }
        Err(error) => {
            if args.json && error.kind == Kind::Failed {
                print_json(&json!({ "valid": false, "error": error.message() }))?;
            }
            Err(error)
        }
    }
}
