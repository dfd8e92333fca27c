//! The work behind BeatWeaver, without Python: maps, clock, tokens, audio, features and rules of play.
//!
//! Floors, lowest first; a module uses only what stands above it in this list:
//! [`error`] → [`timing`] → [`map`] → [`tokens`] → [`corpus`].

pub mod error;
pub mod map;
pub mod replay;
pub mod timing;

pub use error::{Error, Limits, Place, Result, Warning};
