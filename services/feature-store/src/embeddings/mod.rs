//! What readers ask: embeddings of the generation that is served, and who holds what.
//!
//! The generation that is served is the newest whole one of the promoted model version; before the first promotion it is
//! the newest of all. Unfinished ones do not exist for readers.

mod generation;
mod holdings;
mod hot;
mod lookup;
mod moments;

pub(crate) use self::{
    generation::{Generation, newest_generation},
    holdings::holdings,
    hot::hot_users,
    lookup::{Answer, Found, Lookup, PresentEmbedding, lookup_products},
    moments::{Moment, Moments, moments_of},
};
