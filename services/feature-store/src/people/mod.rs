//! What is held on one person: all of it, and its erasure.

mod erase;
mod export;

pub(crate) use self::{
    erase::{Receipt, erase, forget_the_erased, hold_off_erasures, wait_for_erasures},
    export::{Exported, Exports},
};
