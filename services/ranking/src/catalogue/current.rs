//! The catalogue in service, replaced in one step while requests go on with the one they hold.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::Catalogue;

/// Holds the catalogue in service; none until the first one is published.
#[derive(Debug, Default)]
pub struct CurrentCatalogue(ArcSwapOption<Catalogue>);

impl CurrentCatalogue {
    /// Puts a catalogue in service. Memory of the one before goes when its last request ends.
    pub fn publish(&self, catalogue: impl Into<Arc<Catalogue>>) {
        self.0.store(Some(catalogue.into()));
    }

    /// The catalogue in service, for one request to keep until it is answered.
    pub fn get(&self) -> Option<Arc<Catalogue>> {
        self.0.load_full()
    }
}
