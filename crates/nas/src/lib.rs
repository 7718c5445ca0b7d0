//! Which student to build: the search over feed-forward networks of EfficientBERT (Dong et al. 2021,
//! Findings of EMNLP).
//!
//! | module | concept |
//! |---|---|
//! | [`space`] | what each of the three stages may draw, within size limits |
//! | [`budget`] | hard limits on parameters, MACs and latency |
//! | [`rank`] | which of two evaluated architectures is the better one |
//! | [`pareto`] | which architectures no other one beats in fitness and in what it costs |
//! | [`strategy`] | what to try next: random, evolution, NSGA-II, TPE, learned partition (LaNAS) |
//! | [`halving`] | who goes on from a cheap evaluation to a dearer one |
//! | [`study`] | the store of all trials: SQLite or memory |
//! | [`driver`] | runs one stage; stops, resumes and replays exactly |
//!
//! Deliberately absent: nothing here prints, reads the clock, the environment or the home folder,
//! or keeps a generator's state. Randomness derives from (seed, stage, trial, attempt); time comes
//! from the caller.

/// The example of the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod budget;
pub mod driver;
mod error;
pub mod halving;
pub mod pareto;
pub mod rank;
pub mod space;
pub mod strategy;
pub mod study;

pub use error::{Error, Result};
