//! The kernels of ARM processors: cross-compiled, and tested in an emulator with the instructions of several processors.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use cargo_metadata::{Metadata, MetadataCommand};

use crate::command::{announce, cargo, done};

const TARGET: &str = "aarch64-unknown-linux-gnu";
const LINKER: &str = "aarch64-linux-gnu-gcc";
const EMULATOR: &str = "qemu-aarch64";
/// Where Debian has the C library of the target, which the emulator loads.
const LIBRARIES: &str = "/usr/aarch64-linux-gnu";
/// Debian's compiler, which has a standard library for each of its architectures.
const COMPILER: &str = "rustc-web";
const STANDARD_LIBRARY: &str = "libstd-rust-web-dev:arm64";

/// A processor as the emulator names it, the instruction set that must be found there, and arguments of `cargo test`.
///
/// The first has all instruction sets, and the tests limit it to each of them. The others show that what is missing is not used.
const PROCESSORS: [(&str, &str, &[&[&str]]); 3] = [
    (
        "max",
        "i8mm",
        &[
            &["--package", "efficientbert-cpu-kernels", "--lib", "--tests"],
            &["--package", "efficientbert-cpu-runtime", "--test", "instructions", "--test", "random"],
            // Of the models of this test: the emulator takes minutes for all.
            &[
                "--package",
                "efficientbert-cpu-runtime",
                "--test",
                "parity",
                "--",
                "searched_feed",
                "plain_enc",
                "rotary",
            ],
        ],
    ),
    ("neoverse-n1", "dotprod", &[&["--package", "efficientbert-cpu-kernels", "--lib"]]),
    (
        "cortex-a57",
        "neon",
        &[
            &["--package", "efficientbert-cpu-kernels", "--lib", "--test", "elementwise"],
            &["--package", "efficientbert-cpu-runtime", "--test", "instructions"],
        ],
    ),
];

/// What to do.
#[derive(clap::Args)]
pub struct Options {
    /// Only get what is needed, or say what is missing.
    #[arg(long)]
    prepare: bool,
}

/// Tests the kernels and the runtime for aarch64.
///
/// # Errors
/// A tool is missing, there is no standard library for the target, or tests fail.
pub fn run(options: &Options) -> Result<ExitCode, String> {
    if cfg!(target_arch = "aarch64") {
        return Err("this machine has an ARM processor: `cargo xtask test` tests its kernels".into());
    }
    let metadata = MetadataCommand::new().no_deps().exec().map_err(|e| format!("cargo metadata failed: {e}"))?;
    for tool in [LINKER, EMULATOR] {
        if !starts(tool) {
            return Err(format!(
                "{tool} is missing; Debian: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"
            ));
        }
    }
    let compiler = compiler(&metadata)?;
    if options.prepare {
        return Ok(ExitCode::SUCCESS);
    }
    for (processor, isa, tests) in PROCESSORS {
        for test in tests {
            let mut command = cargo();
            command.args(["test", "--target", TARGET]).args(*test).current_dir(&metadata.workspace_root);
            let variable = |name: &str| format!("CARGO_TARGET_{}_{name}", TARGET.to_uppercase().replace('-', "_"));
            command.env(variable("LINKER"), LINKER);
            command.env(variable("RUNNER"), format!("{EMULATOR} -cpu {processor} -L {LIBRARIES}"));
            // What the emulator runs takes longer than a better optimization of it.
            command.env("CARGO_PROFILE_DEV_OPT_LEVEL", "3").env("EFFICIENTBERT_EXPECTED_ISA", isa);
            if let Some(compiler) = &compiler {
                command.env("RUSTC", compiler);
            }
            eprintln!("+ on {processor}, which has {isa}:");
            done(&mut command)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether a program is there.
fn starts(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// What a program prints, if it succeeds.
fn output(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

/// A compiler for the target: `None` is the one in use, if it has the standard library; otherwise Debian's.
fn compiler(metadata: &Metadata) -> Result<Option<PathBuf>, String> {
    let own = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let folder = output(Command::new(own).args(["--print", "target-libdir", "--target", TARGET]));
    if folder.is_some_and(|folder| Path::new(folder.trim()).is_dir()) {
        return Ok(None);
    }
    let folder = metadata.target_directory.as_std_path().join("arm");
    let compiler = folder.join("rustc");
    // Neither there nor left by a folder of another name.
    if output(Command::new(&compiler).arg("--version")).is_none() {
        debian(&folder, &compiler).map_err(|e| {
            format!("the toolchain cannot compile for {TARGET} (rustup target add {TARGET}), and Debian's cannot be had: {e}")
        })?;
    }
    let found = output(Command::new(&compiler).arg("--version")).unwrap_or_default();
    let wanted = metadata.packages.iter().filter_map(|p| p.rust_version.as_ref()).max();
    if let Some(wanted) = wanted.filter(|wanted| minor(&found).is_none_or(|minor| minor < wanted.minor)) {
        return Err(format!("Debian's compiler is `{}`, older than {wanted}", found.trim()));
    }
    Ok(Some(compiler))
}

/// The second number of `rustc 1.95.0 (...)`.
fn minor(version: &str) -> Option<u64> {
    version.split_whitespace().nth(1)?.split('.').nth(1)?.parse().ok()
}

/// Downloads Debian's compiler and its standard libraries of both architectures, and unpacks them in `folder`: nothing is installed, so no
/// package is in another's way, and no rights are needed.
fn debian(folder: &Path, compiler: &Path) -> Result<(), String> {
    let (lists, cache, files, root) =
        (folder.join("lists"), folder.join("cache"), folder.join("files"), folder.join("root"));
    for folder in [&lists.join("partial"), &cache.join("archives").join("partial"), &files, &root] {
        std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    let apt = |program: &str| {
        let mut command = Command::new(program);
        for architecture in ["amd64", "arm64"] {
            command.args(["-o", &format!("APT::Architectures::={architecture}")]);
        }
        command.arg("-o").arg(format!("Dir::State::lists={}", lists.display()));
        command.arg("-o").arg(format!("Dir::Cache={}", cache.display()));
        // As root, apt would hand downloads to a user who may not write here.
        command.args(["-o", "APT::Sandbox::User=root"]).current_dir(&files);
        command
    };
    done(apt("apt-get").args(["-qq", "update"]))?;
    let mut packages = vec![COMPILER.to_owned()];
    let mut next = 0;
    while let Some(package) = packages.get(next) {
        let dependencies = output(apt("apt-cache").args(["depends", package])).ok_or("apt-cache does not know it")?;
        packages.extend(needed(&dependencies, &packages));
        next += 1;
    }
    packages.push(STANDARD_LIBRARY.to_owned());
    done(apt("apt-get").args(["-qq", "download"]).args(&packages))?;
    let entries = std::fs::read_dir(&files).map_err(|e| format!("{}: {e}", files.display()))?;
    for entry in entries.flatten() {
        done(Command::new("dpkg-deb").arg("-x").arg(entry.path()).arg(&root))?;
    }
    // They are not needed again.
    for folder in [&lists, &cache, &files] {
        std::fs::remove_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    let usr = root.join("usr");
    let script =
        format!("#!/bin/sh\nLD_LIBRARY_PATH='{0}/lib/x86_64-linux-gnu' exec '{0}/bin/rustc' \"$@\"\n", usr.display());
    announce("write", &[compiler]);
    write_script(compiler, &script).map_err(|e| format!("{}: {e}", compiler.display()))?;
    if output(Command::new(compiler).arg("--version")).is_none() {
        std::fs::remove_file(compiler).map_err(|e| format!("{}: {e}", compiler.display()))?;
        return Err("it does not start; it needs the packages libedit2, libxml2 and libz3-4".into());
    }
    Ok(())
}

/// Libraries of the compiler among the dependencies that `apt-cache` prints, which are not in `known` yet. Those of C are on the machine.
fn needed(dependencies: &str, known: &[String]) -> Vec<String> {
    let names = dependencies.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    let ours = names.filter(|name| ["libstd-rust", "libllvm"].iter().any(|start| name.starts_with(start)));
    ours.filter(|name| known.iter().all(|known| known != name)).map(str::to_owned).collect()
}

fn write_script(path: &Path, text: &str) -> std::io::Result<()> {
    std::fs::write(path, text)?;
    #[cfg(unix)]
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_of_the_compiler_are_found_once() {
        let printed = "libstd-rust-web-1.96\n  Depends: libc6\n  Depends: libllvm22\n  Depends: libstd-rust-web-dev\n  Conflicts: <rustup>\n";
        assert_eq!(needed(printed, &[]), ["libllvm22", "libstd-rust-web-dev"]);
        assert_eq!(needed(printed, &["libllvm22".into()]), ["libstd-rust-web-dev"]);
    }

    #[test]
    fn versions_are_read_as_the_compiler_prints_them() {
        assert_eq!(minor("rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)"), Some(96));
        assert_eq!(minor(""), None);
    }
}
