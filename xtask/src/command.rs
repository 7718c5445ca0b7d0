//! The commands behind the tasks, and how they are run.

use std::ffi::OsString;
use std::process::{Command, ExitCode, ExitStatus};

/// Package and binary that a person drives.
const BINARY: &str = "efficientbert";

/// Devices that are compiled in only when a feature of the same name is on.
const OPTIONAL_DEVICES: [&str; 2] = ["cuda", "wgpu"];

/// Arguments of cargo for a search. The recipe is `pocket` unless one is named or an earlier run is resumed.
pub fn search(args: Vec<OsString>) -> Vec<OsString> {
    let named = |option: &str| {
        args.iter()
            .filter_map(|a| a.to_str())
            .any(|a| a == option || a.strip_prefix(option).is_some_and(|rest| rest.starts_with('=')))
    };
    let leave = ["--recipe", "--resume", "--help", "-h"].into_iter().any(named);
    let recipe = if leave { vec![] } else { vec!["--recipe".into(), "pocket".into()] };
    binary("search", recipe.into_iter().chain(args).collect())
}

/// Arguments of cargo for a subcommand of the binary.
///
/// The development profile is used on purpose: the workspace optimises dependencies in it, so that searching, testing and checking
/// share one build.
pub fn binary(subcommand: &str, args: Vec<OsString>) -> Vec<OsString> {
    let mut all: Vec<OsString> = ["run", "--package", BINARY].map(OsString::from).into();
    for device in OPTIONAL_DEVICES.into_iter().filter(|d| names_device(&args, d)) {
        all.extend(["--features", device].map(OsString::from));
    }
    all.extend(["--", subcommand].map(OsString::from));
    all.extend(args);
    all
}

fn names_device(args: &[OsString], device: &str) -> bool {
    args.windows(2).any(|w| w[0] == "--device" && w[1] == device)
        || args.iter().any(|a| a.to_str() == Some(&format!("--device={device}")))
}

/// Arguments of cargo for all tests.
pub fn test(args: Vec<OsString>) -> Vec<OsString> {
    ["test", "--workspace"].map(OsString::from).into_iter().chain(args).collect()
}

/// Arguments of cargo for the benchmarks.
pub fn bench(args: Vec<OsString>) -> Vec<OsString> {
    ["bench", "--package", "benches"].map(OsString::from).into_iter().chain(args).collect()
}

/// The cargo that runs this program.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Replaces this program by cargo, so that its standard streams, its signals and its exit code are the caller's. An interrupt then
/// reaches the search once, and the shell waits until the search has written its checkpoint.
pub fn become_cargo(args: Vec<OsString>) -> Result<ExitCode, String> {
    announce(&args);
    let mut command = cargo();
    command.args(args);
    #[cfg(unix)]
    {
        let error = std::os::unix::process::CommandExt::exec(&mut command);
        Err(cannot_start(&error))
    }
    #[cfg(not(unix))]
    {
        let status = command.status().map_err(|e| cannot_start(&e))?;
        Ok(ExitCode::from(status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(1)))
    }
}

/// Runs cargo and waits for it.
pub fn run_cargo(args: &[&str], environment: &[(&str, &str)]) -> Result<ExitStatus, String> {
    announce(args);
    cargo().args(args).envs(environment.iter().copied()).status().map_err(|e| cannot_start(&e))
}

fn announce<S: AsRef<std::ffi::OsStr>>(args: &[S]) {
    let words: Vec<_> = args.iter().map(|a| a.as_ref().to_string_lossy()).collect();
    eprintln!("+ cargo {}", words.join(" "));
}

fn cannot_start(error: &std::io::Error) -> String {
    format!("cannot start cargo: {error}; is it installed and on the search path?")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn searched(args: &[&str]) -> String {
        let words: Vec<String> =
            search(args.iter().map(OsString::from).collect()).iter().map(|a| a.to_str().unwrap().into()).collect();
        words.join(" ")
    }

    #[test]
    fn a_search_without_a_recipe_runs_pocket() {
        assert_eq!(searched(&[]), "run --package efficientbert -- search --recipe pocket");
        assert_eq!(searched(&["--seed", "7"]), "run --package efficientbert -- search --recipe pocket --seed 7");
    }

    #[test]
    fn a_named_recipe_a_resumed_run_and_a_call_for_help_are_left_alone() {
        for args in [&["--recipe", "smoke"][..], &["--recipe=smoke"], &["--resume", "--out", "runs/a"], &["--help"]] {
            assert_eq!(searched(args), format!("run --package efficientbert -- search {}", args.join(" ")));
        }
    }

    #[test]
    fn a_device_that_needs_a_feature_turns_it_on() {
        for args in [&["--recipe", "smoke", "--device", "cuda"][..], &["--recipe", "smoke", "--device=cuda"]] {
            assert!(searched(args).starts_with("run --package efficientbert --features cuda -- search "));
        }
        assert!(!searched(&["--device", "cpu"]).contains("--features"));
    }
}
