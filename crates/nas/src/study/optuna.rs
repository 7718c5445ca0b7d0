//! A study as a database of Optuna, which `optuna-dashboard` shows and `optuna.load_study` opens.
//!
//! The tables are those of `optuna.storages.RDBStorage` in SQLite, schema 12 of Alembic's version `v3.2.0.a`, which Optuna has had from
//! 3.2 to 5.0. Each stage is a study of its own, `NAME-stage-1`, since what varies differs from stage to stage: it maximizes one value,
//! the fitness. Trials keep their numbers, states and times (UTC; Optuna keeps no time zone). What [`parameters`] names are Optuna's
//! parameters; everything else is a user attribute. Draws that were not evaluated are counted in a user attribute of the study.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::{Connection, OpenFlags, Transaction, params};
use serde_json::{Map, Value as Json, json};

use crate::error::{Error, Result};
use crate::study::parameters::{Value, parameters};
use crate::study::record::{StudyIdentity, Trial, TrialState};
use crate::study::stage::StageRecord;

/// A text of more forms than this in one stage is no parameter. Optuna writes all forms into every row, so that they would take
/// (forms x trials) texts, and a form that nearly every trial has alone explains nothing.
pub const MOST_FORMS: usize = 100;

/// The user attribute of a study that says that it was made here.
const MADE_HERE: &str = "efficientbert";
/// The user attribute that every trial has.
const ARCHITECTURE: &str = "architecture";
/// Where Optuna keeps the names of a study's values.
const METRIC_NAMES: &str = "study:metric_names";

/// Optuna's tables, as its version 5.0.0 makes them in SQLite.
const SCHEMA: &str = "
CREATE TABLE studies (study_id INTEGER NOT NULL, study_name VARCHAR(512) NOT NULL, PRIMARY KEY (study_id));
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE TABLE version_info (version_info_id INTEGER NOT NULL, schema_version INTEGER, library_version VARCHAR(256),
    PRIMARY KEY (version_info_id), CHECK (version_info_id=1));
CREATE TABLE study_directions (study_direction_id INTEGER NOT NULL, direction VARCHAR(8) NOT NULL, study_id INTEGER NOT NULL,
    objective INTEGER NOT NULL, PRIMARY KEY (study_direction_id), UNIQUE (study_id, objective),
    FOREIGN KEY(study_id) REFERENCES studies (study_id));
CREATE TABLE study_user_attributes (study_user_attribute_id INTEGER NOT NULL, study_id INTEGER, \"key\" VARCHAR(512),
    value_json TEXT, PRIMARY KEY (study_user_attribute_id), UNIQUE (study_id, \"key\"),
    FOREIGN KEY(study_id) REFERENCES studies (study_id));
CREATE TABLE study_system_attributes (study_system_attribute_id INTEGER NOT NULL, study_id INTEGER, \"key\" VARCHAR(512),
    value_json TEXT, PRIMARY KEY (study_system_attribute_id), UNIQUE (study_id, \"key\"),
    FOREIGN KEY(study_id) REFERENCES studies (study_id));
CREATE TABLE trials (trial_id INTEGER NOT NULL, number INTEGER, study_id INTEGER, state VARCHAR(8) NOT NULL,
    datetime_start DATETIME, datetime_complete DATETIME, PRIMARY KEY (trial_id),
    FOREIGN KEY(study_id) REFERENCES studies (study_id));
CREATE INDEX ix_trials_study_id ON trials (study_id);
CREATE TABLE trial_user_attributes (trial_user_attribute_id INTEGER NOT NULL, trial_id INTEGER, \"key\" VARCHAR(512),
    value_json TEXT, PRIMARY KEY (trial_user_attribute_id), UNIQUE (trial_id, \"key\"),
    FOREIGN KEY(trial_id) REFERENCES trials (trial_id));
CREATE TABLE trial_system_attributes (trial_system_attribute_id INTEGER NOT NULL, trial_id INTEGER, \"key\" VARCHAR(512),
    value_json TEXT, PRIMARY KEY (trial_system_attribute_id), UNIQUE (trial_id, \"key\"),
    FOREIGN KEY(trial_id) REFERENCES trials (trial_id));
CREATE TABLE trial_params (param_id INTEGER NOT NULL, trial_id INTEGER, param_name VARCHAR(512), param_value FLOAT,
    distribution_json TEXT, PRIMARY KEY (param_id), UNIQUE (trial_id, param_name),
    FOREIGN KEY(trial_id) REFERENCES trials (trial_id));
CREATE TABLE trial_values (trial_value_id INTEGER NOT NULL, trial_id INTEGER NOT NULL, objective INTEGER NOT NULL, value FLOAT,
    value_type VARCHAR(7) NOT NULL, PRIMARY KEY (trial_value_id), UNIQUE (trial_id, objective),
    FOREIGN KEY(trial_id) REFERENCES trials (trial_id));
CREATE TABLE trial_intermediate_values (trial_intermediate_value_id INTEGER NOT NULL, trial_id INTEGER NOT NULL,
    step INTEGER NOT NULL, intermediate_value FLOAT, intermediate_value_type VARCHAR(7) NOT NULL,
    PRIMARY KEY (trial_intermediate_value_id), UNIQUE (trial_id, step), FOREIGN KEY(trial_id) REFERENCES trials (trial_id));
CREATE TABLE trial_heartbeats (trial_heartbeat_id INTEGER NOT NULL, trial_id INTEGER NOT NULL, heartbeat DATETIME NOT NULL,
    PRIMARY KEY (trial_heartbeat_id), UNIQUE (trial_id), FOREIGN KEY(trial_id) REFERENCES trials (trial_id));
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num));
INSERT INTO version_info VALUES (1, 12, '5.0.0');
INSERT INTO alembic_version VALUES ('v3.2.0.a');
";

/// A database and what to know of it.
#[derive(Debug, Clone)]
pub struct Database {
    /// The bytes of the file.
    pub bytes: Vec<u8>,
    /// Names of the studies in it, one for each stage.
    pub studies: Vec<String>,
    /// What was left out, in words.
    pub notes: Vec<String>,
}

/// The stages of a study as a database of Optuna.
///
/// # Errors
/// [`Error::Store`] if SQLite cannot make it, which it does in memory.
pub fn database(identity: &StudyIdentity, stages: &[StageRecord]) -> Result<Database> {
    let (mut studies, mut notes) = (Vec::new(), Vec::new());
    let mut write = || -> rusqlite::Result<Vec<u8>> {
        let mut connection = Connection::open_in_memory()?;
        connection.execute_batch(SCHEMA)?;
        let transaction = connection.transaction()?;
        for stage in stages {
            let name = format!("{}-stage-{}", identity.name, stage.stage);
            write_stage(&transaction, &name, identity, stage, &mut notes)?;
            studies.push(name);
        }
        transaction.commit()?;
        Ok(connection.serialize(rusqlite::MAIN_DB)?.to_vec())
    };
    let bytes = write().map_err(|source| Error::Store { store: "Optuna's database".into(), source: source.into() })?;
    Ok(Database { bytes, studies, notes })
}

/// Whether `path` is a database that [`database`] made and that nobody has written to since, so that nothing is lost with it.
#[must_use]
pub fn is_untouched(path: &Path) -> bool {
    let foreign = || -> rusqlite::Result<(u64, u64)> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        let count = |sql: &str, key: &str| connection.query_row(sql, [key], |row| row.get::<_, u64>(0));
        let own = count("SELECT COUNT(*) FROM study_user_attributes WHERE key = ?1", MADE_HERE)?;
        let studies = "SELECT COUNT(*) FROM studies WHERE study_id NOT IN \
                       (SELECT study_id FROM study_user_attributes WHERE key = ?1)";
        let trials = "SELECT COUNT(*) FROM trials WHERE trial_id NOT IN \
                      (SELECT trial_id FROM trial_user_attributes WHERE key = ?1)";
        // The dashboard's notes and the like are system attributes.
        let notes = "SELECT COUNT(*) FROM study_system_attributes WHERE key <> ?1";
        let of_trials = "SELECT COUNT(*) FROM trial_system_attributes WHERE key <> ?1";
        let foreign = count(studies, MADE_HERE)? + count(trials, ARCHITECTURE)?;
        Ok((own, foreign + count(notes, METRIC_NAMES)? + count(of_trials, "")?))
    };
    foreign().is_ok_and(|(own, foreign)| own > 0 && foreign == 0)
}

fn write_stage(
    transaction: &Transaction<'_>,
    name: &str,
    identity: &StudyIdentity,
    stage: &StageRecord,
    notes: &mut Vec<String>,
) -> rusqlite::Result<()> {
    transaction.execute("INSERT INTO studies (study_name) VALUES (?1)", [name])?;
    let study = transaction.last_insert_rowid();
    transaction
        .execute("INSERT INTO study_directions (direction, study_id, objective) VALUES ('MAXIMIZE', ?1, 0)", [study])?;
    let metric_names = json!(["fitness"]).to_string();
    transaction.execute(
        "INSERT INTO study_system_attributes (study_id, key, value_json) VALUES (?1, ?2, ?3)",
        params![study, METRIC_NAMES, metric_names],
    )?;
    let rejected: Map<String, Json> =
        stage.rejection_counts().into_iter().map(|(reason, count)| (reason.name().into(), count.into())).collect();
    let attributes = [
        (MADE_HERE, json!(env!("CARGO_PKG_VERSION"))),
        ("name", json!(identity.name)),
        ("seed", json!(identity.seed)),
        ("config_hash", json!(identity.config_hash)),
        ("stage", json!(stage.stage)),
        ("rejected", Json::Object(rejected)),
        ("exhausted", json!(stage.exhausted)),
    ];
    for (key, value) in attributes {
        transaction.execute(
            "INSERT INTO study_user_attributes (study_id, key, value_json) VALUES (?1, ?2, ?3)",
            params![study, key, value.to_string()],
        )?;
    }
    let forms = forms(stage);
    for (parameter, all) in forms.iter().filter(|(_, all)| all.len() > MOST_FORMS) {
        notes.push(format!(
            "{name}: {parameter} has {} forms, too many for a parameter; it is left to the attribute `{ARCHITECTURE}`",
            all.len()
        ));
    }
    stage.trials.iter().try_for_each(|trial| write_trial(transaction, study, trial, &forms))
}

/// The forms that each text has in a stage: Optuna wants the same for all trials.
fn forms(stage: &StageRecord) -> BTreeMap<String, Vec<String>> {
    let mut forms: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, value) in stage.trials.iter().flat_map(|trial| parameters(&trial.genome)) {
        if let Value::Text(text) = value {
            forms.entry(name).or_default().insert(text);
        }
    }
    forms.into_iter().map(|(name, texts)| (name, texts.into_iter().collect())).collect()
}

fn write_trial(
    transaction: &Transaction<'_>,
    study: i64,
    trial: &Trial,
    forms: &BTreeMap<String, Vec<String>>,
) -> rusqlite::Result<()> {
    let state = match trial.state {
        TrialState::Running => "RUNNING",
        TrialState::Complete => "COMPLETE",
        TrialState::Failed => "FAIL",
    };
    transaction
        .prepare_cached(
            // Microseconds, as SQLAlchemy writes them.
            "INSERT INTO trials (number, study_id, state, datetime_start, datetime_complete) VALUES (?1, ?2, ?3, \
             strftime('%Y-%m-%d %H:%M:%f', ?4 / 1000.0, 'unixepoch') || '000', \
             strftime('%Y-%m-%d %H:%M:%f', ?5 / 1000.0, 'unixepoch') || '000')",
        )?
        .execute(params![trial.number, study, state, trial.started_at, trial.finished_at])?;
    let row = transaction.last_insert_rowid();
    if let Some(fitness) = trial.fitness {
        transaction
            .prepare_cached(
                "INSERT INTO trial_values (trial_id, objective, value, value_type) VALUES (?1, 0, ?2, 'FINITE')",
            )?
            .execute(params![row, fitness])?;
    }
    for (name, value) in parameters(&trial.genome) {
        if let Some((internal, distribution)) = distribution(&name, &value, forms) {
            transaction
                .prepare_cached(
                    "INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json) \
                     VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![row, name, internal, distribution.to_string()])?;
        }
    }
    let mut attributes = vec![
        (ARCHITECTURE.to_owned(), json!(trial.genome)),
        ("fingerprint".to_owned(), json!(trial.fingerprint)),
        ("params".to_owned(), json!(trial.cost.params)),
        ("macs".to_owned(), json!(trial.cost.macs)),
        ("seed".to_owned(), json!(trial.seed)),
    ];
    attributes.extend(trial.latency_ms.map(|ms| ("latency_ms".to_owned(), json!(ms))));
    attributes.extend(trial.reason.as_ref().map(|reason| ("reason".to_owned(), json!(reason))));
    attributes.extend(trial.metrics.iter().map(|(name, value)| (format!("metrics.{name}"), json!(value))));
    for (key, value) in attributes {
        transaction
            .prepare_cached("INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES (?1, ?2, ?3)")?
            .execute(params![row, key, value.to_string()])?;
    }
    Ok(())
}

/// A value as Optuna stores it, and what it can be; `None` for a text of too many forms.
fn distribution(name: &str, value: &Value, forms: &BTreeMap<String, Vec<String>>) -> Option<(f64, Json)> {
    let (internal, kind, attributes) = match value {
        Value::Whole(value, range) => (
            *value as f64,
            "IntDistribution",
            json!({ "log": false, "step": 1, "low": range.start(), "high": range.end() }),
        ),
        Value::Number(value, range) => (
            *value,
            "FloatDistribution",
            json!({ "step": null, "low": range.start(), "high": range.end(), "log": false }),
        ),
        Value::Text(text) => {
            let choices = forms.get(name).filter(|all| all.len() <= MOST_FORMS)?;
            let index = choices.iter().position(|form| form == text)?;
            (index as f64, "CategoricalDistribution", json!({ "choices": choices }))
        }
    };
    Some((internal, json!({ "name": kind, "attributes": attributes })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Rejection;
    use crate::study::conformance::{draw, new_trial};
    use crate::study::{Fitness, MemoryStudy, NewTrial, StudyStore};

    fn identity() -> StudyIdentity {
        StudyIdentity { name: "pocket".into(), config_hash: "h".into(), seed: u64::MAX >> 1 }
    }

    fn stage(genomes: &[String]) -> StageRecord {
        let mut store = MemoryStudy::new(identity());
        for (number, genome) in genomes.iter().enumerate() {
            let trial =
                NewTrial { genome: genome.clone(), started_at: 1_795_219_200_123, ..new_trial(1, number as u64) };
            let id = store.begin_trial(&trial, &[draw(number as u64, Rejection::TooSlow)]).unwrap();
            store.finish(id, &Fitness { score: 0.1 + 0.2, ..Fitness::default() }, 1_795_219_201_000).unwrap();
        }
        StageRecord::read(&store, 1).unwrap()
    }

    /// A genome of its own for each of 256 numbers.
    fn genome(number: usize) -> String {
        let inner = (0..4).fold("linear2_4(x,wb1)".to_owned(), |inner, level| match number >> (2 * level) & 3 {
            0 => format!("max({inner},x)"),
            1 => format!("add({inner},x)"),
            2 => format!("mul({inner},x)"),
            _ => format!("tanh({inner})"),
        });
        format!("linear2_4(gelu({inner}),wb2)")
    }

    /// The file on the disk and opened.
    fn opened(found: &Database) -> (tempfile::TempDir, Connection) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("optuna.db"), &found.bytes).unwrap();
        let connection = Connection::open(dir.path().join("optuna.db")).unwrap();
        (dir, connection)
    }

    #[test]
    fn every_trial_has_its_value_parameters_attributes_and_times() {
        let found = database(&identity(), &[stage(&[genome(0), genome(1), genome(0)])]).unwrap();
        assert_eq!((found.studies, found.notes), (vec!["pocket-stage-1".to_owned()], Vec::new()));
        let (_dir, db) = opened(&Database { studies: Vec::new(), notes: Vec::new(), ..found });
        let text = |sql: &str| db.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
        let number = |sql: &str| db.query_row(sql, [], |row| row.get::<_, f64>(0)).unwrap();
        assert_eq!(number("SELECT value FROM trial_values WHERE trial_id = 2").to_bits(), (0.1_f64 + 0.2).to_bits());
        assert_eq!(text("SELECT datetime_start FROM trials WHERE number = 0"), "2026-11-21 00:00:00.123000");
        assert_eq!(text("SELECT datetime_complete FROM trials WHERE number = 2"), "2026-11-21 00:00:01.000000");
        let of_second = "FROM trial_params WHERE trial_id = 2 AND param_name = 'layer1.expression'";
        let forms = text(&format!("SELECT distribution_json {of_second}"));
        let choices = &serde_json::from_str::<Json>(&forms).unwrap()["attributes"]["choices"];
        let chosen = number(&format!("SELECT param_value {of_second}")) as usize;
        assert_eq!(choices[chosen], "linear(gelu(max(max(max(add(linear(x,wb1),x),x),x),x)),wb2)", "{forms}");
        assert_eq!(
            number("SELECT param_value FROM trial_params WHERE trial_id = 1 AND param_name = 'layer1.ratio'"),
            0.25
        );
        assert_eq!(text("SELECT value_json FROM study_user_attributes WHERE key = 'rejected'"), "{\"too slow\":3}");
        assert_eq!(
            text("SELECT value_json FROM study_user_attributes WHERE key = 'seed'"),
            (u64::MAX >> 1).to_string()
        );
    }

    #[test]
    fn a_text_of_too_many_forms_is_no_parameter_and_that_is_said() {
        let all: Vec<String> = (0..=MOST_FORMS).map(genome).collect();
        let found = database(&identity(), &[stage(&all)]).unwrap();
        assert_eq!(found.notes.len(), 1);
        assert!(found.notes[0].contains("layer1.expression has 101 forms"), "{:?}", found.notes);
        let (_dir, db) = opened(&found);
        let rows = |name: &str| {
            let sql = "SELECT COUNT(*) FROM trial_params WHERE param_name = ?1";
            db.query_row(sql, [name], |row| row.get::<_, u64>(0)).unwrap()
        };
        assert_eq!((rows("layer1.expression"), rows("layer1.stacks")), (0, 101));
    }

    #[test]
    fn a_database_is_known_again_until_somebody_writes_to_it() {
        let found = database(&identity(), &[stage(&[genome(0)])]).unwrap();
        for change in [
            "INSERT INTO studies (study_name) VALUES ('mine')",
            "INSERT INTO trials (number, study_id, state) VALUES (9, 1, 'COMPLETE')",
            "INSERT INTO study_system_attributes (study_id, key, value_json) VALUES (1, 'dashboard:note:0', '\"n\"')",
            "PRAGMA foreign_keys = OFF; DROP TABLE trials",
        ] {
            let (dir, db) = opened(&found);
            let path = dir.path().join("optuna.db");
            assert!(is_untouched(&path));
            db.execute_batch(change).unwrap();
            assert!(!is_untouched(&path), "{change}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("other");
        assert!(!is_untouched(&path), "nothing is there");
        for text in ["", "no database"] {
            std::fs::write(&path, text).unwrap();
            assert!(!is_untouched(&path), "{text}");
        }
    }
}
