//! `run.json` of a run folder, read.

use std::path::Path;

use report::{ChangedSetting, ModelRow};
use run_store::rundir::RunPaths;
use serde_json::Value;

use crate::{Error, Result};

/// Reads `run.json` of a run folder.
pub(crate) fn read(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    let wrong = |message: String| Error::RunFile { path: path.to_path_buf(), message };
    let value: Value = serde_json::from_str(&text).map_err(|e| wrong(format!("not the run.json of a run: {e}")))?;
    if value.is_object() { Ok(value) } else { Err(wrong("not the run.json of a run: no JSON object".into())) }
}

/// What the run was started with otherwise than its recipe, from `run.json`.
pub(crate) fn changes(run: &Value) -> serde_json::Result<Option<Vec<ChangedSetting>>> {
    serde_json::from_value(run["changed"].clone())
}

/// What the run in a folder was started with otherwise than its recipe; `None` where that was not written down.
pub(crate) fn stored_changes(paths: &RunPaths) -> Result<Option<Vec<ChangedSetting>>> {
    let path = paths.run_json();
    if !path.exists() {
        return Ok(None);
    }
    let run = read(&path)?;
    changes(&run).map_err(|e| Error::RunFile { path, message: e.to_string() })
}

/// The comparison in `run.json`, where there is one.
pub(crate) fn stored_comparison(run: &Value) -> serde_json::Result<Option<Vec<ModelRow>>> {
    serde_json::from_value(run["comparison"].clone())
}

/// What the search has gained, in `run.json`; nothing in one of an earlier version.
pub(crate) fn stored_gains(run: &Value) -> serde_json::Result<Vec<String>> {
    Ok(serde_json::from_value::<Option<Vec<String>>>(run["gains"].clone())?.unwrap_or_default())
}
