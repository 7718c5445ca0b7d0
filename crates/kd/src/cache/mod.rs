//! A teacher's answers to batches, kept for the next student that learns from the same batches.
//!
//! A search trains every candidate on the same batches in the same order, and the teacher says the same about them every time.
//! [`CachedTeacher`] wraps a teacher and asks it only for what [`TeacherCache`] does not have yet.
//!
//! | file | concern |
//! |---|---|
//! | `settings` | where, how much, in which number format |
//! | `key` | what an entry is found by: the teacher, the numbers it computes in, the batch itself |
//! | `pieces` | the tensors of an entry, on the device and in host memory |
//! | `entry` | an entry as a file |
//! | `store` | the bounded store, in memory or in a folder |
//! | `teacher` | the teacher with the cache before it |
//!
//! **Found by content.** The key is a hash of everything that the answer depends on, the token ids of the batch among it, not the
//! step's number and the settings from which the ids follow. So parts of a step ([`train::engine::MicroBatch`]), resumed trainings, other
//! phases and other processes find exactly what fits, independent of the name of their data order.
//!
//! **Bounded, the first ones stay.** A data order is gone through from its beginning, again and again. The least recently used
//! entry would be the one that is needed next, so throwing it away for the newest one would leave nothing to be found: with room for
//! n of m batches no batch would ever be there when it is asked for. What is kept first stays instead, n of m are found in every
//! round, and the rest is computed again. Only entries that are expected to be asked for less often ([`Expected`]) make place.
//!
//! **Exact or rounded.** In [`Format::F32`] a training with the cache is that without it, bit for bit. In [`Format::F16`] every
//! answer is rounded, whether it is kept or not, so that the result of a training depends on the format and not on what was kept.

mod entry;
mod key;
mod pieces;
mod settings;
mod store;
mod teacher;

pub use key::fingerprint;
pub use pieces::TeacherLayers;
pub use settings::{ByteSize, CacheSettings, CacheStorage, Format, Room};
pub use store::{CacheReport, Expected, TeacherCache};
pub use teacher::CachedTeacher;
