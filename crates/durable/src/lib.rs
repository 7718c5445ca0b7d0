//! What a long run needs to survive: randomness that is never stored, files that are never half
//! written, checkpoints that prove themselves, an event log that tolerates a torn tail.
//!
//! | module | concern |
//! |---|---|
//! | [`rng`] | random streams named by (seed, purpose, counters) |

pub mod rng;
