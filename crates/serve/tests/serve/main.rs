//! A server with small random models, and clients that speak plain HTTP.

mod client;
mod docs;
mod kserve;
mod lifecycle;
mod limits;
mod model;
mod routes;
