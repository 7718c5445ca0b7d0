//! A study in one SQLite file.
//!
//! Write-ahead log with `synchronous = FULL`: a row whose call returned survives a killed process
//! and a power cut, on file systems that honor fsync. Costs one fsync per trial start and end. The log and its
//! index (`-wal`, `-shm`) exist while the study is open; the last process that closes it removes them.

mod rows;
mod schema;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags, Row, params};
pub use schema::SCHEMA_VERSION;

use self::rows::{COLUMNS, RowError, read_rejected, read_rejection, read_trial};
use self::schema::{
    BUSY_TIMEOUT, check_header, check_pages, configure, create_tables, read_identity, store_name, wrap,
};
use crate::budget::Rejection;
use crate::error::{Error, Result};
use crate::study::StudyStore;
use crate::study::record::{Fitness, NewTrial, RejectedDraw, Settled, StudyIdentity, Trial, TrialId};
use crate::study::stage::StageRecord;

/// A study kept in a SQLite database.
#[derive(Debug)]
pub struct SqliteStudy {
    path: PathBuf,
    connection: Connection,
    identity: StudyIdentity,
}

impl SqliteStudy {
    /// Starts a new study in a file that does not exist yet.
    ///
    /// # Errors
    /// [`Error::Exists`] if there is a file; storage errors.
    pub fn create(path: &Path, identity: &StudyIdentity) -> Result<Self> {
        if path.exists() {
            return Err(Error::Exists(store_name(path)));
        }
        Self::open_or_create(path, identity)
    }

    /// Continues the study in an existing file.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is no file, [`Error::Foreign`] if it holds another study or the
    /// same one with other settings, [`Error::Corrupt`] if it is damaged, [`Error::NotAStudy`] and
    /// [`Error::NewerSchema`] for other files; storage errors.
    pub fn resume(path: &Path, identity: &StudyIdentity) -> Result<Self> {
        if !path.exists() {
            return Err(Error::Missing(store_name(path)));
        }
        Self::open_or_create(path, identity)
    }

    /// Continues the study in `path`, or starts it if there is no file.
    ///
    /// # Errors
    /// As [`SqliteStudy::resume`], except that a missing file is none.
    pub fn open_or_create(path: &Path, identity: &StudyIdentity) -> Result<Self> {
        let connection = Connection::open(path).map_err(|e| wrap(path, e))?;
        configure(&connection).map_err(|e| wrap(path, e))?;
        let version = check_header(path, &connection)?;
        check_pages(path, &connection)?;
        if version == 0 {
            create_tables(&connection, identity).map_err(|e| wrap(path, e))?;
        }
        let found = read_identity(path, &connection)?;
        found.require(identity, &store_name(path))?;
        Ok(Self { path: path.to_owned(), connection, identity: found })
    }

    /// Opens a study for reading, of any identity; a run may be writing it meanwhile. Calls
    /// that write return an error. Where the file may be written, what a killed process was in the middle of is put in order.
    ///
    /// # Errors
    /// As [`SqliteStudy::resume`], without [`Error::Foreign`]; [`Error::NotBegun`] for an empty database.
    pub fn open_read_only(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Err(Error::Missing(store_name(path)));
        }
        // Not read-only, which could neither undo what was half written nor remove the log again. SQLite opens a file that is
        // write-protected for reading.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(|e| wrap(path, e))?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(|e| wrap(path, e))?;
        connection.pragma_update(None, "query_only", true).map_err(|e| wrap(path, e))?;
        if check_header(path, &connection)? == 0 {
            return Err(Error::NotBegun(store_name(path)));
        }
        check_pages(path, &connection)?;
        let identity = read_identity(path, &connection)?;
        Ok(Self { path: path.to_owned(), connection, identity })
    }

    /// Numbers of the stages that have begun.
    ///
    /// # Errors
    /// Storage errors.
    pub fn stages(&self) -> Result<Vec<u32>> {
        let sql = "SELECT DISTINCT stage FROM trial ORDER BY stage";
        let mut statement = self.connection.prepare_cached(sql).map_err(|e| self.wrap(e))?;
        let stages = statement.query_map([], |row| row.get(0)).map_err(|e| self.wrap(e))?;
        stages.collect::<rusqlite::Result<_>>().map_err(|e| self.wrap(e))
    }

    /// Everything that the study knows of the stages that have begun, all of it as it stood at one moment, also where another process
    /// is writing.
    ///
    /// # Errors
    /// Storage errors.
    pub fn read_stages(&self) -> Result<Vec<StageRecord>> {
        // A reader in a transaction sees no later commit; dropped, it ends.
        let _snapshot = self.connection.unchecked_transaction().map_err(|e| self.wrap(e))?;
        self.stages()?.into_iter().map(|stage| StageRecord::read(self, stage)).collect()
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn wrap(&self, source: rusqlite::Error) -> Error {
        wrap(&self.path, source)
    }

    fn inconsistent(&self, detail: String) -> Error {
        Error::Inconsistent { store: store_name(&self.path), detail }
    }

    fn end(&mut self, id: TrialId, settled: &Settled, finished_at: i64) -> Result<Trial> {
        let metrics = serde_json::to_string(&settled.metrics)
            .map_err(|e| self.inconsistent(format!("metrics of row {}: {e}", id.0)))?;
        let changed = self
            .connection
            .execute(
                "UPDATE trial SET state = ?2, fitness = ?3, metrics = ?4, reason = ?5, \
                 finished_at = ?6 WHERE id = ?1 AND state = 'running'",
                params![id.0, settled.state.name(), settled.fitness, metrics, settled.reason, finished_at],
            )
            .map_err(|e| self.wrap(e))?;
        if changed == 0 {
            return Err(self.inconsistent(format!("row {} is not a running trial", id.0)));
        }
        let sql = format!("SELECT {COLUMNS} FROM trial WHERE id = ?1");
        self.connection
            .query_row(&sql, [id.0], |row| Ok(read_trial(row)))
            .map_err(|e| self.wrap(e))?
            .map_err(|e| self.row_error(e))
    }

    fn row_error(&self, error: RowError) -> Error {
        match error {
            RowError::Sqlite(source) => self.wrap(source),
            RowError::Content(detail) => self.inconsistent(detail),
        }
    }

    /// Rows of `sql`, which selects [`COLUMNS`] of one stage.
    fn rows<T>(&self, sql: &str, stage: u32, read: impl Fn(&Row<'_>) -> Result<T, RowError>) -> Result<Vec<T>> {
        let mut statement = self.connection.prepare_cached(sql).map_err(|e| self.wrap(e))?;
        let mut rows = statement.query([stage]).map_err(|e| self.wrap(e))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(|e| self.wrap(e))? {
            found.push(read(row).map_err(|e| self.row_error(e))?);
        }
        Ok(found)
    }
}

impl StudyStore for SqliteStudy {
    fn identity(&self) -> &StudyIdentity {
        &self.identity
    }

    fn begin_trial(&mut self, trial: &NewTrial, rejected: &[RejectedDraw]) -> Result<TrialId> {
        let insert = |connection: &mut Connection| -> rusqlite::Result<i64> {
            let transaction = connection.transaction()?;
            insert_rejected(&transaction, rejected)?;
            transaction
                .prepare_cached(
                    "INSERT INTO trial (stage, number, genome, fingerprint, params, macs, \
                     latency_ms, state, seed, started_at) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'running', ?8, ?9)",
                )?
                .execute(params![
                    trial.stage,
                    trial.number,
                    trial.genome,
                    trial.fingerprint,
                    trial.cost.params,
                    trial.cost.macs,
                    trial.latency_ms,
                    trial.seed,
                    trial.started_at
                ])?;
            let id = transaction.last_insert_rowid();
            transaction.commit()?;
            Ok(id)
        };
        insert(&mut self.connection).map(TrialId).map_err(|e| {
            if e.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) {
                self.inconsistent(format!(
                    "stage {} already has a trial {} ({e}); is another process running this study?",
                    trial.stage, trial.number
                ))
            } else {
                self.wrap(e)
            }
        })
    }

    fn restart(&mut self, id: TrialId, started_at: i64) -> Result<()> {
        let changed = self
            .connection
            .execute("UPDATE trial SET started_at = ?2 WHERE id = ?1 AND state = 'running'", params![id.0, started_at])
            .map_err(|e| self.wrap(e))?;
        if changed == 0 {
            return Err(self.inconsistent(format!("row {} is not a running trial", id.0)));
        }
        Ok(())
    }

    fn finish(&mut self, id: TrialId, fitness: &Fitness, finished_at: i64) -> Result<Trial> {
        self.end(id, &fitness.settle(), finished_at)
    }

    fn fail(&mut self, id: TrialId, reason: &str, finished_at: i64) -> Result<Trial> {
        self.end(id, &Settled::failed(reason), finished_at)
    }

    fn trials(&self, stage: u32) -> Result<Vec<Trial>> {
        let sql = format!("SELECT {COLUMNS} FROM trial WHERE stage = ?1 AND state <> 'rejected' ORDER BY number");
        self.rows(&sql, stage, read_trial)
    }

    fn rejected(&self, stage: u32) -> Result<Vec<RejectedDraw>> {
        let sql = format!("SELECT {COLUMNS} FROM trial WHERE stage = ?1 AND state = 'rejected' ORDER BY id");
        self.rows(&sql, stage, read_rejected)
    }

    fn rejection_counts(&self, stage: u32) -> Result<BTreeMap<Rejection, u64>> {
        let sql = "SELECT reason, COUNT(*) FROM trial WHERE stage = ?1 AND state = 'rejected' \
                   GROUP BY reason";
        let rows = self.rows(sql, stage, |row| {
            let name: String = row.get(0)?;
            Ok((read_rejection(&name)?, row.get::<_, u64>(1)?))
        })?;
        Ok(rows.into_iter().collect())
    }

    fn exhaust(&mut self, stage: u32, rejected: &[RejectedDraw]) -> Result<()> {
        let insert = |connection: &mut Connection| -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            insert_rejected(&transaction, rejected)?;
            transaction.execute("INSERT INTO note (key, value) VALUES (?1, 'exhausted')", [stage_note(stage)])?;
            transaction.commit()
        };
        insert(&mut self.connection).map_err(|e| self.wrap(e))
    }

    fn is_exhausted(&self, stage: u32) -> Result<bool> {
        let found = self.connection.query_row(
            "SELECT COUNT(*) FROM note WHERE key = ?1 AND value = 'exhausted'",
            [stage_note(stage)],
            |row| row.get::<_, u64>(0),
        );
        found.map(|rows| rows > 0).map_err(|e| self.wrap(e))
    }
}

fn stage_note(stage: u32) -> String {
    format!("stage {stage}")
}

fn insert_rejected(transaction: &rusqlite::Transaction<'_>, rejected: &[RejectedDraw]) -> rusqlite::Result<()> {
    for draw in rejected {
        transaction
            .prepare_cached(
                "INSERT INTO trial (stage, number, genome, fingerprint, params, macs, \
                 latency_ms, state, started_at, reason) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'rejected', ?8, ?9)",
            )?
            .execute(params![
                draw.stage,
                draw.number,
                draw.genome,
                draw.fingerprint,
                draw.cost.params,
                draw.cost.macs,
                draw.latency_ms,
                draw.at,
                draw.reason.name()
            ])?;
    }
    Ok(())
}
