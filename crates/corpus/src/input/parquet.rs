//! The text column of a Parquet file.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parquet_rows::{Rows, Value};
use table_rows::compressed::Counted;

use super::pending::Records;
use crate::error::{Error, Result};

/// One text per row; rows without text are passed over.
pub(super) struct ParquetTexts {
    rows: Rows,
    field: String,
    row: u64,
}

impl ParquetTexts {
    /// Opens a file and looks for the column.
    pub fn open(path: &Path, field: &str, read: Arc<AtomicU64>) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        let mut rows = Rows::over(Box::new(Counted { file, read }), path)?;
        rows.select(&[field])?;
        Ok(Self { rows, field: field.to_owned(), row: 0 })
    }
}

impl Records for ParquetTexts {
    fn next_text(&mut self) -> Result<Option<String>> {
        while let Some(mut row) = self.rows.next_row()? {
            self.row += 1;
            match row.pop() {
                Some(Value::Text(next)) => return Ok(Some(next)),
                Some(Value::Null) | None => {}
                Some(Value::Int(_) | Value::Float(_)) => {
                    let reason = format!("column `{}` holds numbers; name the column of the text", self.field);
                    return Err(Error::input(self.rows.path(), format!("row {}", self.row), reason));
                }
            }
        }
        Ok(None)
    }
}
