//! Which data sets a command is about, and where they are.

use std::path::PathBuf;

use clap::Args;
use data_catalog::layout::DataFolder;
use data_catalog::manifest::{Catalog, DataSet};

use crate::error::{CliError, ResultExt};

/// The options that `data list`, `fetch` and `check` share.
#[derive(Args, Debug)]
pub struct CatalogArgs {
    /// Folder of the data sets: GLUE goes into DIR/glue, SQuAD into DIR/squad, corpora into DIR/corpus, models into DIR/models.
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub dir: PathBuf,
    /// Another manifest than the one that is compiled in: a mirror's, or one of private data sets.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
}

impl CatalogArgs {
    pub fn folder(&self) -> DataFolder {
        DataFolder::new(&self.dir)
    }

    pub fn catalog(&self) -> Result<Catalog, CliError> {
        match &self.manifest {
            None => Ok(Catalog::builtin()?),
            Some(path) => Catalog::load(path).context("--manifest").or_usage(),
        }
    }
}

/// The sets that the names mean, none meaning all.
pub fn select<'c>(catalog: &'c Catalog, names: &[String]) -> Result<Vec<&'c DataSet>, CliError> {
    if names.is_empty() {
        return Ok(catalog.sets.iter().collect());
    }
    catalog.select(names).hint("`efficientbert data list` shows them").or_usage()
}
