//! What an `--objective` argument means: a preset or a file.

use std::path::Path;

use bert_core::BertConfig;
use kd::objective::{Mlm, Objective, Preset};
use run_store::similar::{closest, with_suggestion};

use crate::arch_spec::ShapeArgs;
use crate::error::{CliError, ResultExt};

/// The objective that `text` names, checked as far as it can be without models.
///
/// # Errors
/// No preset and no file, or a file that is no objective; the message names the line or the entry.
pub fn read_objective(text: &str) -> Result<Objective, CliError> {
    if let Ok(preset) = text.parse::<Preset>() {
        return Ok(preset.into());
    }
    if !Path::new(text).is_file() {
        let names = Preset::ALL.map(|preset| preset.to_string());
        let shown: String = text.chars().take(200).collect();
        let message = format!("`{shown}` is no objective and no such file exists; objectives: {}", names.join(", "));
        let near = closest(text, names.iter().map(String::as_str));
        let near = near.map_or_else(String::new, |near| format!("did you mean {near}? "));
        let hint = format!("{near}`efficientbert objective show PRESET` makes a file to start from");
        return Err(CliError::usage(message).with_hint(hint));
    }
    let content = std::fs::read_to_string(text).map_err(|e| CliError::failed(format!("cannot read {text}: {e}")))?;
    let objective = Objective::from_toml(&content).map_err(|e| CliError::failed(with_suggestion(e.to_string())));
    objective.context(text).or_usage()
}

/// `objective` with the term between masked words that `--mlm` asks for, unless it has one.
pub fn with_words(mut objective: Objective, asked: bool) -> Objective {
    if asked {
        objective.mlm.get_or_insert_with(Mlm::default);
    }
    objective
}

/// Gives a student the projection to the teacher's width that distillation needs. It belongs to the teacher, not to the
/// architecture; sizes given by hand are checked, not changed.
pub fn project(student: &mut BertConfig, by_hand: &ShapeArgs, teacher: &BertConfig) {
    let width = teacher.state_width();
    if by_hand.first_given().is_none() && (student.fit_size.is_some() || student.hidden_size != width) {
        student.fit_size = Some(width);
    }
}
