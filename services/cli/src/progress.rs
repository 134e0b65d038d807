//! Progress bars on stderr, drawn only for people.

use std::time::Duration;

use finrank_learning::{EpochProgress, SeedsProgress, Stage, TrainObserver};
use indicatif::{ProgressBar, ProgressStyle};

use crate::output::Format;

/// A bar that counts `total` of `unit`; hidden when a program reads the output.
pub(crate) fn bar(total: u64, unit: &str, format: Format) -> ProgressBar {
    let template =
        format!("{{spinner}} {{wide_bar}} {{human_pos}}/{{human_len}} {unit} ({{per_sec}}, {{eta}}) {{msg}}");
    styled(total, &template, format)
}

/// As [`bar`], of work whose pace its server tells by the bar's message.
pub(crate) fn served_bar(total: u64, unit: &str, format: Format) -> ProgressBar {
    styled(total, &format!("{{spinner}} {{wide_bar}} {{human_pos}}/{{human_len}} {unit} {{msg}}"), format)
}

fn styled(total: u64, template: &str, format: Format) -> ProgressBar {
    if !format.for_people() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total);
    bar.set_style(ProgressStyle::with_template(template).expect("our own templates are well-formed"));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Draws a training: the stage it is at, and a bar of epochs with the losses.
pub(crate) struct TrainingBar {
    format: Format,
    bar: ProgressBar,
}

impl TrainingBar {
    pub(crate) fn new(format: Format) -> Self {
        Self { format, bar: styled(0, "{spinner} {msg}", format) }
    }
}

impl TrainObserver for TrainingBar {
    fn stage(&mut self, stage: Stage) {
        self.bar.finish_and_clear();
        self.bar = match stage {
            Stage::Learning { seed, max_epochs } => {
                let template =
                    format!("{{spinner}} seed {seed} {{wide_bar}} epoch {{pos}}/{{len}} ({{eta}}) {{msg}}");
                styled(max_epochs as u64, &template, self.format)
            }
            _ => styled(0, "{spinner} {msg}", self.format),
        };
        self.bar.set_message(match stage {
            Stage::Reading => "reading customers and products",
            Stage::Preparing => "fitting transforms",
            Stage::Learning { .. } => "",
            Stage::Evaluating => "evaluating",
            Stage::Registering => "registering the bundle",
        });
    }

    fn epoch(&mut self, epoch: &EpochProgress) {
        self.bar.set_position(epoch.epoch as u64);
        let validation =
            epoch.validation_loss.map(|loss| format!(", validation {loss:.4}")).unwrap_or_default();
        self.bar.set_message(format!("loss {:.4}{validation}", epoch.loss));
    }

    fn seeds(&mut self, progress: &SeedsProgress) {
        let SeedsProgress { seeds, finished, running_epochs, max_epochs } = *progress;
        let total = (seeds * max_epochs) as u64;
        if self.bar.length() != Some(total) {
            self.bar.finish_and_clear();
            self.bar = styled(total, "{spinner} {msg} {wide_bar} epoch {pos}/{len} ({eta})", self.format);
        }
        self.bar.set_message(format!("{finished} of {seeds} seeds measured"));
        self.bar.set_position((finished * max_epochs + running_epochs) as u64);
    }
}

impl Drop for TrainingBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
