//! What the workspace holds, as cargo sees it.

use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// The workspace around the current folder.
pub struct Workspace {
    /// Folder of the root manifest.
    pub root: PathBuf,
    /// Its crates, by name.
    pub packages: Vec<Package>,
}

/// What tests share: a dev-dependency of any crate, and of no other kind.
pub const FOR_TESTS: &str = "test-support";

/// What the names of packages begin with where the crate's own name was taken in the public registry; documents and folders go without it.
const PREFIX: &str = "efficientbert-";

/// The name of a crate, as documents and folders have it, of the name of its package.
pub fn crate_name(package: &str) -> &str {
    package.strip_prefix(PREFIX).unwrap_or(package)
}

/// A package of the workspace.
#[derive(Debug, Clone)]
pub struct Package {
    /// Name of the crate: that of the package without what it begins with for the registry's sake.
    pub name: String,
    /// Its folder, relative to the root.
    pub folder: String,
    /// The workspace packages that it depends on.
    pub imports: Vec<Import>,
}

/// A dependency on another package of the workspace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    /// Name of the imported crate.
    pub name: String,
    /// `dependency`, `dev-dependency` or `build-dependency`.
    pub kind: &'static str,
}

impl Workspace {
    /// Asks cargo, without resolving or fetching dependencies.
    pub fn load() -> Result<Self, String> {
        let metadata = MetadataCommand::new()
            .no_deps()
            .exec()
            .map_err(|e| format!("cargo metadata failed: {e}; run this inside the workspace"))?;
        Ok(Self { root: metadata.workspace_root.clone().into(), packages: packages(&metadata) })
    }

    /// Files that git tracks or would track, relative to the root, sorted.
    pub fn files(&self) -> Result<Vec<PathBuf>, String> {
        let output = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&self.root)
            .output()
            .map_err(|e| format!("cannot list files: git did not start: {e}"))?;
        if !output.status.success() {
            return Err(format!("git ls-files failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        let mut files: Vec<PathBuf> = output
            .stdout
            .split(|b| *b == 0)
            .filter(|name| !name.is_empty())
            .map(|name| PathBuf::from(String::from_utf8_lossy(name).into_owned()))
            // A file that was deleted but is still in the index is no file of the working tree.
            .filter(|path| self.root.join(path).is_file())
            .collect();
        files.sort();
        files.dedup();
        Ok(files)
    }
}

fn packages(metadata: &Metadata) -> Vec<Package> {
    let members = metadata.workspace_packages();
    let names: Vec<String> = members.iter().map(|p| p.name.to_string()).collect();
    let mut packages: Vec<Package> = members
        .iter()
        .map(|p| {
            let folder = p.manifest_path.parent().map_or(Path::new(""), |f| f.as_std_path());
            let folder = folder.strip_prefix(&metadata.workspace_root).unwrap_or(folder);
            let mut imports: Vec<Import> = p
                .dependencies
                .iter()
                .filter(|d| names.contains(&d.name))
                .map(|d| Import { name: crate_name(&d.name).to_owned(), kind: kind_name(d.kind) })
                .collect();
            imports.sort();
            imports.dedup();
            Package { name: crate_name(&p.name).to_owned(), folder: folder.display().to_string(), imports }
        })
        .collect();
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    packages
}

fn kind_name(kind: DependencyKind) -> &'static str {
    match kind {
        DependencyKind::Development => "dev-dependency",
        DependencyKind::Build => "build-dependency",
        _ => "dependency",
    }
}
