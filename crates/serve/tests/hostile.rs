//! Requests that mean no good, in a process of their own, whose memory is theirs alone.

#[path = "serve/client.rs"]
#[allow(dead_code, reason = "shared with the other tests")]
mod client;
#[path = "serve/model.rs"]
#[allow(dead_code, reason = "shared with the other tests")]
mod model;
#[path = "serve/hostile.rs"]
mod requests;
