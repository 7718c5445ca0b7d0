//! The file: header, tables, and whether it is what it should be.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension};

use crate::error::{Error, Result};
use crate::study::record::StudyIdentity;

/// Marks the file as a study (SQLite header field); the bytes spell `EBns`.
const APPLICATION_ID: i64 = 0x4542_6e73;

/// Version of the tables below (SQLite header field `user_version`). A newer one is refused.
pub const SCHEMA_VERSION: i64 = 1;

/// How long to wait for a reader or writer in another process before giving up.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Rows in state `rejected` are draws that were never evaluated: they share the number of the trial
/// that was being drawn, so only the other rows are unique.
const SCHEMA: &str = "
CREATE TABLE study (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE note (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE trial (
    id INTEGER PRIMARY KEY,
    stage INTEGER NOT NULL,
    number INTEGER NOT NULL,
    genome TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    params INTEGER NOT NULL,
    macs INTEGER NOT NULL,
    latency_ms REAL,
    state TEXT NOT NULL CHECK (state IN ('running', 'complete', 'failed', 'rejected')),
    fitness REAL,
    metrics TEXT NOT NULL DEFAULT '{}',
    seed INTEGER,
    started_at INTEGER NOT NULL,
    finished_at INTEGER,
    reason TEXT,
    CHECK ((state = 'complete') = (fitness IS NOT NULL)),
    CHECK ((state IN ('failed', 'rejected')) = (reason IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX trial_number ON trial (stage, number) WHERE state <> 'rejected';
CREATE INDEX trial_state ON trial (stage, state);
";

/// The store in messages.
pub(super) fn store_name(path: &Path) -> String {
    format!("study {}", path.display())
}

/// Adds the path; separates damage from other failures.
pub(super) fn wrap(path: &Path, source: rusqlite::Error) -> Error {
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Error::Corrupt { store: store_name(path), detail: source.to_string() }
        }
        _ => Error::Store { store: store_name(path), source: source.into() },
    }
}

pub(super) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")
}

/// Schema version of the file, 0 for an empty one.
pub(super) fn check_header(path: &Path, connection: &Connection) -> Result<i64> {
    let number =
        |sql: &str| -> Result<i64> { connection.query_row(sql, [], |row| row.get(0)).map_err(|e| wrap(path, e)) };
    let application_id = number("PRAGMA application_id")?;
    let version = number("PRAGMA user_version")?;
    let tables = number("SELECT COUNT(*) FROM sqlite_schema")?;
    if application_id == 0 && version == 0 && tables == 0 {
        return Ok(0);
    }
    if application_id != APPLICATION_ID {
        let detail = format!("it is a SQLite database (application id {application_id:#x})");
        return Err(Error::NotAStudy { store: store_name(path), detail });
    }
    if version > SCHEMA_VERSION {
        return Err(Error::NewerSchema { store: store_name(path), found: version, known: SCHEMA_VERSION });
    }
    Ok(version)
}

/// SQLite's own check of every page; a study is small, so it takes milliseconds.
pub(super) fn check_pages(path: &Path, connection: &Connection) -> Result<()> {
    let verdict: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(|e| wrap(path, e))?;
    if verdict == "ok" {
        return Ok(());
    }
    Err(Error::Corrupt { store: store_name(path), detail: verdict.replace('\n', "; ") })
}

/// One transaction: a process killed in here leaves an empty database, which is started again.
pub(super) fn create_tables(connection: &Connection, identity: &StudyIdentity) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(SCHEMA)?;
    let seed = identity.seed.to_string();
    for (key, value) in [("name", &identity.name), ("config_hash", &identity.config_hash), ("seed", &seed)] {
        transaction.execute("INSERT INTO study (key, value) VALUES (?1, ?2)", [key, value])?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}

pub(super) fn read_identity(path: &Path, connection: &Connection) -> Result<StudyIdentity> {
    let inconsistent = |detail: String| Error::Inconsistent { store: store_name(path), detail };
    let value = |key: &str| -> Result<String> {
        connection
            .query_row("SELECT value FROM study WHERE key = ?1", [key], |row| row.get(0))
            .optional()
            .map_err(|e| wrap(path, e))?
            .ok_or_else(|| inconsistent(format!("table `study` has no row `{key}`")))
    };
    let seed = value("seed")?;
    Ok(StudyIdentity {
        name: value("name")?,
        config_hash: value("config_hash")?,
        seed: seed.parse().map_err(|e| inconsistent(format!("seed `{seed}`: {e}")))?,
    })
}
