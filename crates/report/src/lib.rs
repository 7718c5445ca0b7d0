//! Shows what a search run found: one self-contained HTML page, and one table for a terminal.
//!
//! The input is plain data ([`RunReport`], readable from JSON); the output is a string. Nothing here reads a file, a clock or the
//! environment, and nothing can fail: what was not measured is shown as `n/a`, never as zero.
//!
//! | module | concept |
//! |---|---|
//! | `data` | what a report is made of |
//! | `format` | numbers with their units |
//! | `markup` | HTML and SVG text that is escaped by construction |
//! | `axis`, `chart` | scales, ticks and the drawing of points, lines and marks |
//! | `plots` | the charts of a report: search history, Pareto fronts, loss curves |
//! | `genes` | how often the good candidates have each value |
//! | `network` | the found network, layer by layer, as a picture |
//! | `table` | the comparison for a terminal and as JSON |
//! | [`tensorboard`] | event files for TensorBoard, as bytes |
//! | `search` | the part of the page about the search |
//! | `page` | the HTML page around all of it |
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod axis;
mod chart;
mod data;
mod format;
mod genes;
mod markup;
mod network;
mod page;
mod plots;
mod search;
mod table;
pub mod tensorboard;

pub use data::{
    Budget, ChangedSetting, Curve, FidelityRow, GeneValue, LatencyPoint, LatencyReport, LayerReport, Machine, ModelRow,
    Role, RunReport, StageReport, StudentReport, TaskScore, TrialPoint,
};
pub use page::render_html;
pub use table::{TERMINAL_COLUMNS, comparison_table_text};
