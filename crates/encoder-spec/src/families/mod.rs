//! The families of encoders, one file each.

pub(crate) mod mobilebert;
