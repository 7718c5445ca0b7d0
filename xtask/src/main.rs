//! Developer commands of the workspace, run as `cargo xtask COMMAND` from any folder inside it.
//!
//! Each command prints on standard error what it runs, so that it can be run by hand as well.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, reason = "a program")]

mod architecture;
mod arm;
mod browser;
mod command;
mod devices;
mod examples;
mod peers;
mod python;
mod small;
mod soak;
mod tidy;
mod transformers;
mod validate;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Developer commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build and run a search; the arguments go to `efficientbert search`, with `--recipe pocket` when no recipe is named.
    #[command(disable_help_flag = true)]
    Search(PassedOn),
    /// Run every test of the workspace; the arguments go to `cargo test`.
    #[command(disable_help_flag = true)]
    Test(PassedOn),
    /// Check the code without running it, cheapest first: format, architecture, dependencies of the inference path, tidiness, lints, documentation.
    Validate {
        /// Only these checks; all of them when none is named.
        #[arg(value_name = "CHECK", value_parser = clap::builder::PossibleValuesParser::new(validate::names()))]
        only: Vec<String>,
        /// Run the remaining checks after one has failed.
        #[arg(long)]
        keep_going: bool,
    },
    /// Check the devices that need a feature: type-check `cuda`, and run the tests against PyTorch on `wgpu`, for which a software
    /// Vulkan driver will do.
    Devices {
        /// Only these; both when none is named.
        #[arg(value_name = "DEVICE", value_parser = clap::builder::PossibleValuesParser::new(devices::NAMES))]
        only: Vec<String>,
    },
    /// Run the tests that compare with `transformers`, in the Python that EFFICIENTBERT_PYTHON names, or in one that is made in the
    /// user's cache folder.
    Transformers,
    /// Build the Python package, install it in a clean virtual environment, and compare it with the program there.
    Python,
    /// Build the browser page of a model, or test one in headless Chromium, online and offline. Needs the target wasm32-unknown-unknown, for
    /// the test Node and Chromium too.
    Browser(browser::Options),
    /// Test the kernels of ARM processors in an emulator. Needs qemu-user, gcc-aarch64-linux-gnu, and the target aarch64-unknown-linux-gnu, or apt-get
    /// to download Debian's compiler for it.
    Arm(arm::Options),
    /// Build the small program `efficientbert-predict` as one static file, and check its size.
    Small,
    /// Serve a model for minutes under mixed load, with hostile requests and reloads: memory must stay flat, and every answer be right.
    Soak(soak::Options),
    /// Build and test `examples/`, in which each trait is implemented outside the workspace.
    Examples,
    /// Run the benchmarks; the arguments go to `cargo bench`. With `--peers` first: against PyTorch and ONNX Runtime.
    #[command(disable_help_flag = true)]
    Bench(PassedOn),
    /// Manage data sets; the arguments go to `efficientbert data`.
    #[command(disable_help_flag = true)]
    Data(PassedOn),
}

/// Arguments for another program.
#[derive(clap::Args)]
struct PassedOn {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    args: Vec<OsString>,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Task::Search(passed) => command::become_binary(command::search(passed.args)),
        Task::Test(passed) => command::become_cargo(command::test(passed.args)),
        Task::Bench(mut passed) if passed.args.first().is_some_and(|a| a == "--peers") => {
            peers::run(passed.args.split_off(1))
        }
        Task::Bench(passed) => command::become_cargo(command::bench(passed.args)),
        Task::Data(passed) => command::become_binary(command::subcommand("data", passed.args)),
        Task::Arm(options) => arm::run(&options),
        Task::Browser(options) => browser::run(&options),
        Task::Devices { only } => devices::run(&only),
        Task::Examples => examples::run(),
        Task::Python => python::run(),
        Task::Small => small::run(),
        Task::Soak(options) => soak::run(&options),
        Task::Transformers => transformers::run(),
        Task::Validate { only, keep_going } => validate::run(&only, keep_going),
    };
    result.unwrap_or_else(|message| {
        eprintln!("error: {message}");
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn options_after_a_task_belong_to_the_program_that_it_runs() {
        let words = ["xtask", "search", "--help", "--set", "a=b", "-x"];
        let Task::Search(passed) = Arguments::try_parse_from(words).map(|a| a.command).ok().unwrap() else {
            unreachable!("the first word is search")
        };
        assert_eq!(passed.args, ["--help", "--set", "a=b", "-x"]);
    }

    #[test]
    fn an_unknown_check_is_refused_with_the_known_ones() {
        let error = Arguments::try_parse_from(["xtask", "validate", "spelling"]).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("architecture"), "{error}");
    }
}
