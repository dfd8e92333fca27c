//! See `beatweaver_core::replay::check_tags`.
#![no_main]

libfuzzer_sys::fuzz_target!(
    // Panics inside of other people's decoders are caught by the core and no finding; those that get out of it still end the run.
    init: std::panic::set_hook(Box::new(|_| {})),
    |bytes: &[u8]| beatweaver_core::replay::check_tags(bytes)
);
