//! Nothing to import: the benchmarks are in `benches/`.
