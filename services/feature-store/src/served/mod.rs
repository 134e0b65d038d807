//! A sample of what was served online, kept so that it can be held to what history says of the same moment.
//!
//! [`Sampler`] takes some of the rows of complete answers and never makes an answer wait; [`Keeper`] writes them, and
//! removes those that are old or many; [`kept`](self::kept::page) reads them again.
//!
//! People: a customer's samples go with the customer (`people`). A sample that still waits to be written when somebody
//! is erased is not kept at all, since an erasure does not tell whom.

mod keeper;
mod kept;
mod sampler;

pub(crate) use self::{
    keeper::Keeper,
    kept::{Kept, KeptRequest, count, page, still_kept},
    sampler::Sampler,
};
