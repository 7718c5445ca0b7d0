//! The families of encoders, one file each.

pub(crate) mod efficientbert;
pub(crate) mod mobilebert;
