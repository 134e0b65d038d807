//! Which features are served, by which definitions, and up to which moment everything that was known can be read.

mod horizon;
mod registry;

pub(crate) use self::{
    horizon::Horizon,
    registry::{InForce, Registry},
};

/// The definitions that are served unless a file is named.
pub const BUILT_IN_DEFINITIONS: &str = include_str!("../../features.toml");
