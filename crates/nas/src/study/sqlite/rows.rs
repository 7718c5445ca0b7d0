//! Rows of the table `trial` as values.

use rusqlite::Row;

use crate::budget::{Cost, Rejection};
use crate::error::Result;
use crate::study::record::{RejectedDraw, Trial, TrialId, TrialState};

/// What [`read_trial`] and [`read_rejected`] expect to be selected.
pub(super) const COLUMNS: &str = "id, stage, number, genome, fingerprint, params, macs, latency_ms, state, \
                       fitness, metrics, seed, started_at, finished_at, reason";

/// Why a row could not be read.
pub(super) enum RowError {
    Sqlite(rusqlite::Error),
    Content(String),
}

impl From<rusqlite::Error> for RowError {
    fn from(source: rusqlite::Error) -> Self {
        Self::Sqlite(source)
    }
}

pub(super) fn read_trial(row: &Row<'_>) -> Result<Trial, RowError> {
    let id = row.get("id")?;
    let state: String = row.get("state")?;
    let metrics: String = row.get("metrics")?;
    Ok(Trial {
        id: TrialId(id),
        stage: row.get("stage")?,
        number: row.get("number")?,
        genome: row.get("genome")?,
        fingerprint: row.get("fingerprint")?,
        cost: Cost { params: row.get("params")?, macs: row.get("macs")? },
        latency_ms: row.get("latency_ms")?,
        state: TrialState::from_name(&state)
            .ok_or_else(|| RowError::Content(format!("row {id} has the unknown state `{state}`")))?,
        fitness: row.get("fitness")?,
        metrics: serde_json::from_str(&metrics).map_err(|e| RowError::Content(format!("metrics of row {id}: {e}")))?,
        seed: row.get("seed")?,
        started_at: row.get("started_at")?,
        finished_at: row.get("finished_at")?,
        reason: row.get("reason")?,
    })
}

pub(super) fn read_rejected(row: &Row<'_>) -> Result<RejectedDraw, RowError> {
    let reason: String = row.get("reason")?;
    Ok(RejectedDraw {
        stage: row.get("stage")?,
        number: row.get("number")?,
        genome: row.get("genome")?,
        fingerprint: row.get("fingerprint")?,
        cost: Cost { params: row.get("params")?, macs: row.get("macs")? },
        latency_ms: row.get("latency_ms")?,
        reason: read_rejection(&reason)?,
        at: row.get("started_at")?,
    })
}

pub(super) fn read_rejection(name: &str) -> Result<Rejection, RowError> {
    Rejection::from_name(name).ok_or_else(|| RowError::Content(format!("unknown reason of rejection `{name}`")))
}
