//! Ranking.
pub mod catalogue;
mod generation;
pub mod index;
pub mod pipeline;
pub use generation::Generation;
