//! Panics of the tokenizer library on damaged files are contained: a program's hook can tell them from its own.
//!
//! One test: the hook is one for the process.

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokenizer::TextEncoder;

static CONTAINED: AtomicUsize = AtomicUsize::new(0);
static OTHER: AtomicUsize = AtomicUsize::new(0);

#[test]
fn a_tokenizer_file_cut_anywhere_is_an_error_and_no_panic_of_the_program() {
    let whole = TextEncoder::from_dir(common::tiny_model().path()).unwrap().to_json().unwrap();
    std::panic::set_hook(Box::new(|_| {
        let count = if run_store::contain::is_active() { &CONTAINED } else { &OTHER };
        count.fetch_add(1, Ordering::SeqCst);
    }));
    let source = Path::new("tokenizer.json");
    let outcomes: Vec<(usize, Option<String>)> = (0..whole.len())
        .map(|cut| (cut, TextEncoder::from_json(&whole[..cut], source).err().map(|error| error.to_string())))
        .collect();
    let whole_again = TextEncoder::from_json(&whole, source).map(|encoder| encoder.vocab_size());
    // Back to the usual one, which shows what the checks below say.
    drop(std::panic::take_hook());
    assert_eq!(whole_again.unwrap(), 19);
    for (cut, error) in outcomes {
        let error = error.unwrap_or_else(|| panic!("{cut} bytes of {} were accepted", whole.len()));
        assert!(error.contains("tokenizer.json"), "{error}");
    }
    assert!(CONTAINED.load(Ordering::SeqCst) > 0, "the library panics no more: this test needs another damage");
    assert_eq!(OTHER.load(Ordering::SeqCst), 0);
}
