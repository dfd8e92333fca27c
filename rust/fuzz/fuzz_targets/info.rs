//! See `beatweaver_core::replay::check_info`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| beatweaver_core::replay::check_info(bytes));
