//! Levels as players have them and the rules they must keep.

pub mod pack;
pub mod rules;
