//! Many trainings in one process. Alone in its test binary: memory is counted for the process.

#[allow(dead_code)]
mod tiny;

use tiny::{Trace, Watch, run};
use train::engine::TrainConfig;

/// Pages in memory, as Linux counts them.
#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let counts = std::fs::read_to_string("/proc/self/statm").unwrap();
    counts.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn two_hundred_trainings_need_no_more_memory_than_twenty() {
    let mut early = 0;
    for count in 1..=200 {
        let config = TrainConfig { accumulate: 2, eval_every: 3, seed: count, ..TrainConfig::new(6, 5e-3) };
        run(&config, None, &[], &mut Watch::default(), &mut Trace::default()).unwrap();
        if count == 20 {
            early = resident();
        }
    }
    let late = resident();
    assert!(late * 10 <= early * 11, "{late} pages after 200 trainings, {early} after 20");
}
