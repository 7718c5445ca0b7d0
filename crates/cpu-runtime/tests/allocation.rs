//! A run allocates nothing once the session has seen its size.

mod reference;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use cpu_runtime::{Model, Outputs, Precision, Session};
use encoder_spec::Activation;
use reference::{Forward, Sizes, ragged, sequences};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: hands everything to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) };
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn repeated_runs_allocate_nothing() {
    let layers = vec![Forward::Plain { activation: Activation::GeluErf, blocks: 1, inner: 100 }; 2];
    let sizes = Sizes { embed: Some((16, true)), ..Sizes::plain(60, 4, layers) };
    for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
        let model = Model::compile(sizes.encoder(1), precision).unwrap();
        let mut large = sequences(&sizes, &[128; 9], 1);
        large[3].mask[4] = 0;
        let batches = [ragged(&large), ragged(&sequences(&sizes, &[128], 2)), ragged(&sequences(&sizes, &[60, 7], 3))];
        let mut session = Session::new(2);
        let mut all = || {
            for batch in &batches {
                let out = session.run(&model, &batch.as_batch(), Outputs { pooled: true, heads: &[1] }).unwrap();
                assert!(out.hidden[0].is_finite());
            }
        };
        all();
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        (0..3).for_each(|_| all());
        assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0, "{precision:?}");
    }
}
