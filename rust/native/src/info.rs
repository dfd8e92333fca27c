//! What this build is, for bug reports and for benchmarks that refuse a debug build.

use std::collections::BTreeMap;

use pyo3::prelude::*;

/// What this build is.
///
/// Returns:
///     `version` (of the Rust crates), `profile` (Cargo's name of it), `debug_assertions` (`on` or `off`),
///     `features` (CPU features the compiler was allowed to use, comma-separated), `target` (`system-processor`).
#[pyfunction]
pub(crate) fn build_info() -> BTreeMap<&'static str, String> {
    let features = [
        ("sse4.2", cfg!(target_feature = "sse4.2")),
        ("avx2", cfg!(target_feature = "avx2")),
        ("avx512f", cfg!(target_feature = "avx512f")),
        ("fma", cfg!(target_feature = "fma")),
        ("neon", cfg!(target_feature = "neon")),
    ];
    let features: Vec<&str> = features.into_iter().filter_map(|(name, on)| on.then_some(name)).collect();
    BTreeMap::from([
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("profile", env!("BEATWEAVER_PROFILE").to_owned()),
        ("debug_assertions", if cfg!(debug_assertions) { "on" } else { "off" }.to_owned()),
        ("features", features.join(",")),
        ("target", format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)),
    ])
}
