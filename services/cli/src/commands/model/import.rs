//! `finrank model import`: a network that was trained elsewhere as the scorer of a new model version.

use std::path::PathBuf;

use clap::Args;
use finrank_learning::{ImportConfig, ImportReport, NetworkOutput, import_model};
use finrank_model::ModelVersion;

use crate::{commands::block_on, output::Format, settings::Settings};

/// Make a dense network from an ONNX or safetensors file the scorer of a new model version.
///
/// The towers are those of a registered model; the network reads its customer and product embedding side by side
/// (128 numbers for embeddings of 64) and gives one probability. ONNX graphs may be made of Gemm, MatMul, Add, Sub,
/// Mul and Div by constants, Relu, a last Sigmoid, and what Keras and PyTorch export around them; any other node is
/// refused by its name. Safetensors files hold `layers.N.weight` [outputs, inputs] and `layers.N.bias` in float32, as
/// PyTorch writes an nn.Sequential and `finrank train-scorer --save` its network.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank model import scorer.onnx --bundle caravan-1 --version caravan-1-keras\n  finrank model import scorer.onnx --logit --bundle caravan-1 --version caravan-1-torch --json"
)]
pub(crate) struct Import {
    /// An .onnx or .safetensors file of at most 16 MiB.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The registered model whose towers the new one has.
    #[arg(long, value_name = "BASE_VERSION")]
    bundle: String,
    /// Names the new model.
    #[arg(long, value_name = "NEW_VERSION")]
    version: String,
    /// The graph ends without a Sigmoid: it gives the logit.
    #[arg(long)]
    logit: bool,
    #[command(flatten)]
    format: Format,
}

impl Import {
    pub(crate) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let config = ImportConfig {
            file: self.file,
            output: if self.logit { NetworkOutput::Logit } else { NetworkOutput::Probability },
            base: ModelVersion::parse(self.bundle)?,
            version: ModelVersion::parse(self.version)?,
            models_dir: settings.feature_store.models_dir.clone(),
        };
        let report = block_on(async {
            let store = settings.store().await?;
            Ok(import_model(&store, &config).await?)
        })?;
        self.format.print(&report, text)
    }
}

fn text(report: &ImportReport) -> String {
    let widths: Vec<String> = report.scorer.iter().map(usize::to_string).collect();
    format!(
        "{}: the towers of {} (space {}) with a scorer {}\nbundle {}\n\
         uncalibrated unless the file says otherwise, and not evaluated yet",
        report.model_version,
        report.base,
        report.embedding_space,
        widths.join(" → "),
        report.bundle_path.display(),
    )
}
