//! Which features are served, by which definitions, and up to which moment everything that was known can be read.

mod declared;
mod hangup;
mod horizon;
mod online;
mod registry;

pub(crate) use self::{
    declared::{Declared, Selection},
    hangup::reload_on_hangup,
    horizon::Horizon,
    online::read_at_horizon,
    registry::{InForce, Registry, Reloaded},
};

/// The definitions that are served unless a file is named.
pub const BUILT_IN_DEFINITIONS: &str = include_str!("../../features.toml");
