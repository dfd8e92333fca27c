//! The work behind BeatWeaver, without Python: maps, clock, tokens, audio, features and rules of play.
//!
//! Floors, lowest first; a module uses only what stands above it in this list:
//! [`error`] → [`timing`], [`store`], [`audio`] → [`map`], [`features`] → [`tokens`], [`play`], [`listen`] → [`corpus`].

pub mod audio;
pub mod corpus;
pub mod error;
pub mod features;
pub mod listen;
pub mod map;
pub mod play;
pub mod replay;
pub mod store;
pub mod timing;
pub mod tokens;

pub use error::{Error, Limits, Place, Result, Warning};
