//! The commands behind the tasks, and how they are run.

use std::ffi::OsString;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use cargo_metadata::Message;

/// The binary that a person drives.
const BINARY: &str = "efficientbert";

/// Devices that are compiled in only when a feature of the same name is on.
const OPTIONAL_DEVICES: [&str; 2] = ["cuda", "wgpu"];

/// Arguments of the binary for a search. The recipe is `pocket` unless one is named or an earlier run is resumed.
pub fn search(args: Vec<OsString>) -> Vec<OsString> {
    let named = |option: &str| {
        args.iter()
            .filter_map(|a| a.to_str())
            .any(|a| a == option || a.strip_prefix(option).is_some_and(|rest| rest.starts_with('=')))
    };
    let leave = ["--recipe", "--resume", "--help", "-h"].into_iter().any(named);
    let recipe = if leave { vec![] } else { vec!["--recipe".into(), "pocket".into()] };
    subcommand("search", recipe.into_iter().chain(args).collect())
}

/// Arguments of the binary for a subcommand.
pub fn subcommand(name: &str, args: Vec<OsString>) -> Vec<OsString> {
    [OsString::from(name)].into_iter().chain(args).collect()
}

/// Arguments of cargo that build the binary for `args`.
///
/// The development profile is used on purpose: the workspace optimizes dependencies in it. And all of the workspace is selected,
/// because fewer packages would turn on fewer features of the dependencies: searching, testing and checking share one build.
fn build(args: &[OsString]) -> Vec<OsString> {
    let fixed = ["build", "--workspace", "--bin", BINARY];
    let mut all: Vec<OsString> = fixed.map(OsString::from).into();
    for device in OPTIONAL_DEVICES.into_iter().filter(|d| names_device(args, d)) {
        all.extend(["--features".into(), format!("{BINARY}/{device}").into()]);
    }
    all
}

fn names_device(args: &[OsString], device: &str) -> bool {
    // As in `cuda:0,cuda:1`.
    let named = |value: &str| value.split(',').any(|word| word.split(':').next() == Some(device));
    let words: Vec<&str> = args.iter().map(|a| a.to_str().unwrap_or_default()).collect();
    words.windows(2).any(|pair| pair[0] == "--device" && named(pair[1]))
        || words.iter().any(|word| word.strip_prefix("--device=").is_some_and(named))
}

/// Builds the binary and becomes it.
pub fn become_binary(args: Vec<OsString>) -> Result<ExitCode, String> {
    let path = build_binary(args.clone())?;
    announce(&path.display().to_string(), &args);
    become_command(Command::new(&path).args(args), &path.display().to_string())
}

/// Builds the binary for `args` and says where it is.
pub fn build_binary(args: Vec<OsString>) -> Result<PathBuf, String> {
    built(build(&args), BINARY)
}

/// Builds an example of one of the crates, with the features that everything else is built with, and says where it is.
pub fn built_example(name: &str) -> Result<PathBuf, String> {
    built(["build", "--workspace", "--example", name].map(OsString::from).into(), name)
}

/// Runs cargo to build the executable `name`, and says where it is.
fn built(mut building: Vec<OsString>, name: &str) -> Result<PathBuf, String> {
    announce("cargo", &building);
    // Cargo says where the executable is; its place depends on settings that are not ours.
    building.push("--message-format=json-render-diagnostics".into());
    let mut child = cargo().args(building).stdout(Stdio::piped()).spawn().map_err(|e| cannot_start("cargo", &e))?;
    let mut executable: Option<PathBuf> = None;
    if let Some(output) = child.stdout.take() {
        for message in Message::parse_stream(BufReader::new(output)) {
            if let Message::CompilerArtifact(artifact) =
                message.map_err(|e| format!("cannot read cargo's output: {e}"))?
                && artifact.target.name == name
            {
                executable = artifact.executable.map(Into::into).or(executable);
            }
        }
    }
    let status = child.wait().map_err(|e| format!("cargo cannot be waited for: {e}"))?;
    if !status.success() {
        return Err("the build failed".into());
    }
    executable.ok_or_else(|| format!("cargo built no `{name}`"))
}

/// Arguments of cargo for all tests.
pub fn test(args: Vec<OsString>) -> Vec<OsString> {
    ["test", "--workspace"].map(OsString::from).into_iter().chain(args).collect()
}

/// Arguments of cargo for the benchmarks.
///
/// The development profile is what every other task runs, with dependencies optimized, so it is what is worth measuring; and a
/// profile of its own would compile all tensors a second time. The whole workspace is selected for the same reason: fewer
/// packages would turn on fewer features of the dependencies.
pub fn bench(args: Vec<OsString>) -> Vec<OsString> {
    let fixed = ["bench", "--workspace", "--profile", "dev"];
    let benches = ["latency", "training", "kernels", "shards"].into_iter().flat_map(|name| ["--bench", name]);
    fixed.into_iter().chain(benches).map(OsString::from).chain(args).collect()
}

/// The cargo that runs this program.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Becomes cargo with these arguments.
pub fn become_cargo(args: Vec<OsString>) -> Result<ExitCode, String> {
    announce("cargo", &args);
    become_command(cargo().args(args), "cargo")
}

/// Replaces this program by another, so that its standard streams, its signals and its exit code are the caller's. An interrupt then
/// reaches the search once, and the shell waits until the search has written its checkpoint.
fn become_command(command: &mut Command, name: &str) -> Result<ExitCode, String> {
    #[cfg(unix)]
    {
        let error = std::os::unix::process::CommandExt::exec(command);
        Err(cannot_start(name, &error))
    }
    #[cfg(not(unix))]
    {
        command.status().map(exit_code).map_err(|e| cannot_start(name, &e))
    }
}

/// The exit code of a program that has ended.
pub fn exit_code(status: ExitStatus) -> ExitCode {
    ExitCode::from(status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(1))
}

/// Runs cargo and waits for it.
pub fn run_cargo(args: &[&str], environment: &[(&str, &str)]) -> Result<ExitStatus, String> {
    announce("cargo", args);
    cargo().args(args).envs(environment.iter().copied()).status().map_err(|e| cannot_start("cargo", &e))
}

/// Runs a command that must succeed.
pub fn done(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    announce(&name, &command.get_args().collect::<Vec<_>>());
    match command.status().map_err(|e| cannot_start(&name, &e))? {
        status if status.success() => Ok(()),
        status => Err(format!("{name} failed ({status})")),
    }
}

/// Says which program is run.
pub fn announce<S: AsRef<std::ffi::OsStr>>(program: &str, args: &[S]) {
    let words: Vec<_> = args.iter().map(|a| a.as_ref().to_string_lossy()).collect();
    eprintln!("+ {program} {}", words.join(" "));
}

/// The message where a program does not start.
pub fn cannot_start(program: &str, error: &std::io::Error) -> String {
    format!("cannot start {program}: {error}; is it installed and on the search path?")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(args: &[OsString]) -> String {
        args.iter().map(|a| a.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    fn passed(args: &[&str]) -> Vec<OsString> {
        args.iter().map(OsString::from).collect()
    }

    #[test]
    fn a_command_that_fails_is_named_with_its_exit_status() {
        let cargo = |arg: &str| done(cargo().arg(arg).stdout(Stdio::null()).stderr(Stdio::null()));
        assert_eq!(cargo("--version"), Ok(()));
        let message = cargo("--no-such-option").unwrap_err();
        assert!(message.contains("cargo") && message.contains("failed (exit"), "{message}");
        assert!(done(&mut Command::new("no-such-program")).unwrap_err().contains("no-such-program"));
    }

    #[test]
    fn a_search_without_a_recipe_runs_pocket() {
        assert_eq!(words(&search(vec![])), "search --recipe pocket");
        assert_eq!(words(&search(passed(&["--seed", "7"]))), "search --recipe pocket --seed 7");
    }

    #[test]
    fn a_named_recipe_a_resumed_run_and_a_call_for_help_are_left_alone() {
        for args in [&["--recipe", "smoke"][..], &["--recipe=smoke"], &["--resume", "--out", "runs/a"], &["--help"]] {
            assert_eq!(words(&search(passed(args))), format!("search {}", args.join(" ")));
        }
    }

    #[test]
    fn a_device_that_needs_a_feature_turns_it_on() {
        for args in [
            &["search", "--device", "cuda"][..],
            &["search", "--device=cuda"],
            &["search", "--device", "cuda:0,cuda:1"],
            &["search", "--device=cuda:1"],
        ] {
            assert_eq!(
                words(&build(&passed(args))),
                "build --workspace --bin efficientbert --features efficientbert/cuda"
            );
        }
        assert!(!words(&build(&passed(&["search", "--device", "cpu"]))).contains("--features"));
    }
}
