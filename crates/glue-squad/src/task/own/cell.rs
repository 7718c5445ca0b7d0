//! Cells of a table as texts and labels.

use std::collections::HashMap;
use std::path::Path;

use table_rows::{Cell, Place};

use super::file::{Kind, OwnTask};
use crate::error::{Error, Result, RowPlace};
use crate::task::{Label, LabelSet};

/// The names that stand in the cells of the labels: one of a class or number, any number of [`Kind::Labels`].
pub(super) fn names(own: &OwnTask, kind: Option<Kind>, cells: Vec<Cell>) -> Result<Vec<String>, String> {
    if own.label.len() > 1 {
        return flags(&own.label, cells);
    }
    let trimmed = |text: String| text.trim().to_owned();
    let mut names = Vec::new();
    for cell in cells {
        match cell {
            Cell::List(cells) => {
                for cell in cells {
                    names.push(trimmed(cell.into_text()?));
                }
            }
            other => {
                let whole = trimmed(other.into_text()?);
                match kind {
                    Some(Kind::Labels) => {
                        names.extend(whole.split(&*own.label_separator).map(|name| trimmed(name.to_owned())));
                    }
                    _ => names.push(whole),
                }
            }
        }
    }
    names.retain(|name| !name.is_empty());
    Ok(names)
}

/// The columns that hold 1 or true.
fn flags(columns: &[String], cells: Vec<Cell>) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    for (column, cell) in columns.iter().zip(cells) {
        let given = cell.into_text()?;
        match given.trim().to_ascii_lowercase().as_str() {
            "1" | "1.0" | "true" => names.push(column.clone()),
            "0" | "0.0" | "false" => {}
            _ => return Err(format!("{given}` in `{column}")),
        }
    }
    Ok(names)
}

/// The place of each class of a task.
pub(super) fn places(own: &OwnTask) -> HashMap<&str, usize> {
    own.classes.iter().enumerate().map(|(place, class)| (class.as_str(), place)).collect()
}

/// The label that these cells hold; `None` where there is none.
///
/// # Errors
/// What stands there, and what is allowed.
pub(super) fn label(
    own: &OwnTask,
    places: &HashMap<&str, usize>,
    cells: Vec<Cell>,
) -> Result<Option<Label>, [String; 2]> {
    let is_empty = cells.iter().all(|cell| match cell {
        Cell::Null => true,
        Cell::Text(text) => text.trim().is_empty(),
        _ => false,
    });
    let names = names(own, own.kind, cells).map_err(|given| [given, allowed(own)])?;
    let class = |name: &String| {
        let place = places.get(name.as_str()).copied();
        place.ok_or_else(|| [name.clone(), allowed(own)])
    };
    match own.kind {
        // An example without any of the labels is one like any other.
        Some(Kind::Labels) => {
            let places = names.iter().map(class).collect::<Result<Vec<_>, _>>()?;
            Ok(Some(Label::Set(places.into_iter().collect::<LabelSet>())))
        }
        _ if is_empty => Ok(None),
        kind => match (names.as_slice(), kind) {
            ([name], Some(Kind::Number)) => match (number(name), own.scale) {
                (Some(number), Some(scale)) => Ok(Some(Label::Score(scale.scaled(number)))),
                _ => Err([name.clone(), allowed(own)]),
            },
            ([name], Some(Kind::Similarity)) => {
                number(name).map(|number| Some(Label::Score(number))).ok_or_else(|| [name.clone(), allowed(own)])
            }
            ([name], _) => Ok(Some(Label::Class(class(name)?))),
            _ => Err([names.join(", "), allowed(own)]),
        },
    }
}

/// A finite number.
pub(super) fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The labels that the task has, for messages.
fn allowed(own: &OwnTask) -> String {
    match (own.kind, own.label.len()) {
        (Some(Kind::Number | Kind::Similarity), _) => "a finite number".to_owned(),
        (_, 2..) => "0 or 1".to_owned(),
        _ => format!("{} (what the training data have)", own.classes.join(", ")),
    }
}

/// The place of a row as this crate's errors have it.
pub(super) fn row_place(place: Place) -> RowPlace {
    match place {
        Place::Line(line) => RowPlace::Line(line),
        Place::Row(row) => RowPlace::Row(row),
    }
}

/// A row without a label where one is needed.
pub(super) fn unlabeled(path: &Path, place: Place, column: &str) -> Error {
    let reason = format!("there is no label in `{column}`; leave the row out, or fill it in");
    Error::BadRow { path: path.to_owned(), place: row_place(place), reason }
}
