//! When to stop: after so many epochs in which the validation loss did not fall, keeping the best weights.

/// Keeps the best of what is offered.
pub(crate) struct EarlyStopping<W> {
    patience: usize,
    best: Option<Best<W>>,
}

/// What was best.
#[derive(Clone)]
pub(crate) struct Best<W> {
    /// The epoch, from 1.
    pub(crate) epoch: usize,
    /// Its validation loss.
    pub(crate) loss: f64,
    /// Its weights.
    pub(crate) weights: W,
}

impl<W> EarlyStopping<W> {
    /// Gives up after `patience` epochs without a better loss.
    pub(crate) fn new(patience: usize) -> Self {
        Self { patience, best: None }
    }

    /// The same, after epochs of which this one was best.
    pub(crate) fn after(patience: usize, best: Option<Best<W>>) -> Self {
        Self { patience, best }
    }

    /// The best so far, if anything was offered.
    pub(crate) fn best(&self) -> Option<&Best<W>> {
        self.best.as_ref()
    }

    /// Offers an epoch's weights; whether to go on.
    pub(crate) fn goes_on(&mut self, epoch: usize, loss: f64, weights: impl FnOnce() -> W) -> bool {
        match &self.best {
            Some(best) if best.loss <= loss => epoch - best.epoch < self.patience,
            _ => {
                self.best = Some(Best { epoch, loss, weights: weights() });
                true
            }
        }
    }

    /// The best that was offered, if anything was.
    pub(crate) fn into_best(self) -> Option<Best<W>> {
        self.best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_best_and_gives_up_after_the_patience() {
        let mut stopping = EarlyStopping::new(2);

        let went_on: Vec<bool> = [(1, 3.0), (2, 1.0), (3, 2.0), (4, 1.5)]
            .into_iter()
            .map(|(epoch, loss)| stopping.goes_on(epoch, loss, || epoch * 10))
            .collect();

        assert_eq!(went_on, [true, true, true, false]);
        let best = stopping.into_best().unwrap();
        assert_eq!((best.epoch, best.weights), (2, 20));
    }
}
