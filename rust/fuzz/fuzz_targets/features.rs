//! See `beatweaver_core::replay::check_features`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| beatweaver_core::replay::check_features(bytes));
