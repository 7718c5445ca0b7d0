//! Foreign code whose panics are errors of its input.
//!
//! Libraries that read foreign formats panic on some damaged files. [`call`] turns such a panic into an error value, and the
//! program's panic hook can ask [`is_active`], so that it says nothing about what is going to be an ordinary message.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// A contained panic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{said}")]
pub struct Panicked {
    /// What the panic said.
    pub said: String,
}

/// Runs `foreign`; a panic in it, on this thread, is an error value. What it was changing is then unusable: drop it.
///
/// Only for code that is not ours: a panic of our own is a fault to report, not an answer.
///
/// # Errors
/// [`Panicked`].
pub fn call<T>(foreign: impl FnOnce() -> T) -> Result<T, Panicked> {
    struct Inside;
    impl Drop for Inside {
        fn drop(&mut self) {
            DEPTH.set(DEPTH.get() - 1);
        }
    }
    DEPTH.set(DEPTH.get() + 1);
    let inside = Inside;
    let outcome = catch_unwind(AssertUnwindSafe(foreign));
    drop(inside);
    outcome.map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref().copied());
        Panicked { said: text.unwrap_or("no message").to_owned() }
    })
}

/// Whether this thread is inside [`call`].
#[must_use]
pub fn is_active() -> bool {
    // A panic while the thread's own variables are already gone is not contained.
    DEPTH.try_with(|depth| depth.get() > 0).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_inside_is_a_value_with_its_words() {
        let (empty, number) = (Vec::<u8>::new(), 7);
        let said = |outcome: Result<u8, Panicked>| outcome.unwrap_err().said;
        assert_eq!(said(call(|| panic!("entry {number} is missing"))), "entry 7 is missing");
        assert_eq!(said(call(|| *empty.first().expect("an entry"))), "an entry");
        assert_eq!(said(call(|| std::panic::panic_any(3))), "no message");
        assert_eq!(call(|| 5), Ok(5));
    }

    #[test]
    fn only_the_thread_that_is_inside_knows_it_and_only_until_the_end() {
        let fails = |words: &str| call::<()>(|| panic!("{words}")).is_err();
        assert!(!is_active());
        call(|| {
            assert!(is_active());
            // One inside the other.
            assert!(fails("inner"));
            assert!(is_active(), "still inside the outer one");
            std::thread::scope(|scope| assert!(!scope.spawn(is_active).join().unwrap()));
        })
        .unwrap();
        assert!(!is_active());
        assert!(fails("outer"));
        assert!(!is_active(), "a panic ends it too");
    }
}
