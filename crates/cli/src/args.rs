//! The command line.

use clap::{Arg, CommandFactory, Parser};

use crate::commands::Command;
use crate::global::Global;

/// Search, distill and prove compact BERT models.
///
/// Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 the work failed, 2 wrong usage,
/// 130 interrupted.
#[derive(Parser, Debug)]
#[command(
    name = "efficientbert",
    version = env!("EFFICIENTBERT_VERSION"),
    max_term_width = 100,
    after_help = "\
Environment:
  EFFICIENTBERT_ISA  use at most these instructions on the cpu: portable, avx2, avx512 or amx;
                     on ARM portable, neon, dotprod or i8mm
                     [default: the best that the machine has]
  HF_HOME            folder of the Hugging Face cache [default: ~/.cache/huggingface]
  HF_HUB_CACHE       its folder of models and data alone [default: hub in HF_HOME]
  HF_TOKEN           access token for private and gated models [default: that of `hf auth login`]
  HF_HUB_OFFLINE     1: use what is in that cache, and no network
  HF_ENDPOINT        a mirror of https://huggingface.co"
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// The command line; the global options are described at length by the program's own help alone.
pub fn command() -> clap::Command {
    let command = Cli::command();
    let global: Vec<Arg> = command.get_arguments().filter(|arg| arg.is_global_set()).map(briefly).collect();
    with_global(command, &global)
}

/// `command` with `global` in all commands below it, in place of the copies that the parser makes.
fn with_global(command: clap::Command, global: &[Arg]) -> clap::Command {
    command.mut_subcommands(|below| with_global(below.args(global), global))
}

/// The same option in a line.
fn briefly(arg: &Arg) -> Arg {
    let help = match arg.get_id().as_str() {
        "progress" => "auto, bar, dashboard, json or none",
        "threads" => "Number of CPU threads",
        _ => "cpu, cuda or wgpu; `efficientbert --help` has more about these options",
    };
    arg.clone().help(help).long_help(None::<&str>).hide_possible_values(true).hide_default_value(true)
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;
    use crate::progress::ProgressMode;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn global_options_are_read_before_and_after_a_command() {
        let read = |words: &[&str]| {
            let matches = command().try_get_matches_from([&["efficientbert"], words].concat()).unwrap();
            let global = Cli::from_arg_matches(&matches).unwrap().global;
            (global.threads.map(usize::from), global.progress)
        };
        let wanted = (Some(3), ProgressMode::Json);
        for words in [
            &["--threads", "3", "--progress", "json", "data", "list"][..],
            &["data", "--threads", "3", "list", "--progress", "json"],
            &["data", "list", "--threads", "3", "--progress", "json"],
        ] {
            assert_eq!(read(words), wanted, "{words:?}");
        }
        assert_eq!(read(&["data", "list"]), (None, ProgressMode::Auto));
    }

    #[test]
    fn each_command_has_a_line_for_each_global_option() {
        let help = |words: &[&str]| {
            let all = [&["efficientbert"], words, &["--help"]].concat();
            command().try_get_matches_from(all).unwrap_err().to_string()
        };
        let whole = help(&[]);
        assert!(whole.contains("Several lines on a terminal") && whole.contains("cuda:0,cuda:1"), "{whole}");
        for words in [&["eval"][..], &["teacher"], &["arch", "show"], &["data", "pack"]] {
            let help = help(words);
            let global = help.split("Global options").nth(1).expect("a heading");
            assert!(global.contains("--threads") && global.contains("--device"), "{help}");
            assert!(!help.contains("Several lines on a terminal") && !help.contains("cuda:0,cuda:1"), "{help}");
        }
    }
}
