//! `data`: data sets.

mod augment;
mod check;
mod fetch;
mod list;
mod pack;
mod pocket;
mod selection;
mod tokenizer;

use clap::Subcommand;

use crate::context::Context;
use crate::error::CliError;
use crate::hub::Named;

/// What to do with data sets.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// What data sets there are, their sizes and licenses, and what of them is here.
    List(list::ListArgs),
    /// Download data sets from their official addresses, verify and unpack them.
    Fetch(fetch::FetchArgs),
    /// Hold what is here to the official numbers: rows, columns, labels, duplicates, checksums.
    Check(check::CheckArgs),
    /// Pack text of any size into shards of token ids.
    Pack(pack::PackArgs),
    /// Learn a tokenizer from text.
    Tokenizer(tokenizer::TokenizerArgs),
    /// Make a larger training set by replacing words, as TinyBERT does.
    Augment(augment::AugmentArgs),
    /// Generate the small data set that a whole compression run needs, with no download.
    MakePocket(pocket::MakePocketArgs),
    /// Generate the reviews of the tutorial: a table in three scripts and three classes.
    MakeReviews(pocket::MakeReviewsArgs),
}

impl Command {
    /// The values that may name something on the Hugging Face hub.
    pub(super) fn named(&mut self) -> Vec<Named<'_>> {
        match self {
            Self::Check(args) => args.named(),
            Self::Augment(args) => args.named(),
            _ => Vec::new(),
        }
    }
}

pub fn run(command: &Command, context: &Context) -> Result<(), CliError> {
    match command {
        Command::List(args) => list::run(args),
        Command::Fetch(args) => fetch::run(args, context),
        Command::Check(args) => check::run(args, context),
        Command::Pack(args) => pack::run(args, context),
        Command::Tokenizer(args) => tokenizer::run(args, context),
        Command::Augment(args) => augment::run(args, context),
        Command::MakePocket(args) => pocket::run(args, context),
        Command::MakeReviews(args) => pocket::reviews(args, context),
    }
}
