//! Options of `pretrain`: which words are hidden, and which tokens are dropped.

use clap::Args;
use corpus::{MaskSettings, SpanSettings};
use train::pretrain::{DropBy, DropSettings};

use crate::error::{CliError, ResultExt};

/// Which words are hidden.
#[derive(Args, Debug)]
#[command(next_help_heading = "Hidden words")]
pub struct HiddenWords {
    /// Share of a text's tokens that are to be found.
    #[arg(long, value_name = "SHARE", default_value_t = 0.15)]
    pub mask_probability: f64,
    /// Hide words whole or not at all.
    #[arg(long)]
    whole_words: bool,
    /// Hide spans of neighboring words, as SpanBERT does; lengths are geometric.
    #[arg(long, conflicts_with = "whole_words")]
    spans: bool,
    /// Chance that a span ends with a word [default: 0.2].
    #[arg(long, value_name = "P", requires = "spans")]
    span_p: Option<f64>,
    /// Most words of a span [default: 10].
    #[arg(long, value_name = "N", requires = "spans")]
    max_span: Option<usize>,
    /// Most hidden tokens of one text [default: no limit].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_predictions: Option<u32>,
}

impl HiddenWords {
    /// How words are hidden.
    pub fn settings(&self) -> MaskSettings {
        MaskSettings {
            probability: self.mask_probability,
            whole_words: self.whole_words,
            spans: self.spans.then(|| {
                let usual = SpanSettings::default();
                SpanSettings { p: self.span_p.unwrap_or(usual.p), max: self.max_span.unwrap_or(usual.max) }
            }),
            max_predictions: self.max_predictions.map(|n| n as usize),
            ..MaskSettings::default()
        }
    }
}

/// Token dropping.
#[derive(Args, Debug)]
#[command(next_help_heading = "Token dropping")]
pub struct DropArgs {
    /// Share of each text's tokens that the middle layers leave out (Hou et al. 2022): half of them makes a step about a quarter cheaper.
    #[arg(long, value_name = "SHARE")]
    pub token_drop: Option<f64>,
    /// What decides which tokens go: how easy they are to find so far, how frequent they are in the corpus, or a draw.
    #[arg(long, value_name = "BY", requires = "token_drop", default_value = "loss")]
    token_drop_by: DropBy,
    /// Do as the released code of the method does, with what looks like accidents in it.
    #[arg(long, requires = "token_drop")]
    token_drop_compatible: bool,
}

impl DropArgs {
    /// What is dropped, if anything.
    pub fn settings(&self) -> Result<Option<DropSettings>, CliError> {
        let Some(share) = self.token_drop else { return Ok(None) };
        // So little that it is lost in the difference from 1 is nothing.
        if !(share > 0.0 && share < 1.0 && 1.0 - share < 1.0) {
            return Err(CliError::usage(format!("--token-drop {share}: must be above 0 and below 1")));
        }
        let settings =
            DropSettings { keep: 1.0 - share, by: self.token_drop_by, compatible: self.token_drop_compatible };
        settings.check().context("--token-drop-compatible").or_usage()?;
        Ok(Some(settings))
    }
}
