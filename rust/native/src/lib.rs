//! The Python module `beatweaver._native`: a list of what it exports, and nothing else.

mod audio;
mod corpus;
mod door;
mod error;
mod info;
mod map;
mod play;
mod rows;
mod store;
mod tokens;

/// The native half of BeatWeaver; people import `beatweaver`, which stands on it.
#[pyo3::pymodule(gil_used = false)]
mod _native {
    #[pymodule_export]
    use super::audio::{
        beat_slots, compute_mel_with_onset, decode_audio, decode_audio_with_info, encode_vorbis, feature_widths,
        features, onset_times, prepare_audio, read_tags,
    };
    #[pymodule_export]
    use super::corpus::process;
    #[pymodule_export]
    use super::door::thread_count;
    #[pymodule_export]
    use super::info::build_info;
    #[pymodule_export]
    use super::map::{
        Difficulty, Song, TempoMap, align, check_rules, check_song, convert_song, load_song, load_song_bytes,
        relight_song, save_song,
    };
    #[pymodule_export]
    use super::play::{PlayState, play_facts, play_presets, play_rules};
    #[pymodule_export]
    use super::store::Store;
    #[pymodule_export]
    use super::tokens::{Grammar, Vocab};
}
