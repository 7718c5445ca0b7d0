//! Parquet with plain columns.

use std::path::Path;

use crate::table::Source;
use crate::{Cell, Place, Result, Row};

/// The rows of a Parquet file.
pub(crate) struct Parquet {
    rows: parquet_rows::Rows,
    columns: Vec<String>,
    row: u64,
}

impl Parquet {
    pub fn open(path: &Path) -> Result<Self> {
        let rows = parquet_rows::Rows::open(path)?;
        let columns = rows.columns().into_iter().map(str::to_owned).collect();
        Ok(Self { rows, columns, row: 0 })
    }
}

impl Source for Parquet {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn select(&mut self, columns: &[usize]) -> Result<()> {
        let names: Vec<&str> = columns.iter().map(|&at| self.columns[at].as_str()).collect();
        self.row = 0;
        Ok(self.rows.select(&names)?)
    }

    fn next_row(&mut self) -> Result<Option<Row>> {
        let Some(values) = self.rows.next_row()? else { return Ok(None) };
        self.row += 1;
        let cell = |value| match value {
            parquet_rows::Value::Null => Cell::Null,
            parquet_rows::Value::Int(number) => Cell::Int(number),
            parquet_rows::Value::Float(number) => Cell::Float(number),
            parquet_rows::Value::Text(text) => Cell::Text(text),
        };
        Ok(Some(Row { cells: values.into_iter().map(cell).collect(), place: Place::Row(self.row) }))
    }
}
