//! `finrank model traffic`.

use anyhow::Context;
use clap::{ArgGroup, Args};
use finrank_learning::gates::{self, CheckReport};
use finrank_model::{
    Bundle, Experiment, ExperimentName, ModelVersion, Sha256Digest, Share, bundle_directory,
};
use finrank_store::{
    Store,
    models::{self, Traffic as Told, TrafficRequest},
};
use serde::Serialize;

use super::{Known, check, check_config, version};
use crate::{commands::block_on, output::Format, progress::TrainingBar, settings::Settings};

/// Show or set which model answers a share of customers beside the one that is served, and which one is scored in the shadow.
///
/// A treatment answers customers, so that its gates are checked and must stand for it as for a promotion. A shadow is scored
/// beside what was answered and shown to nobody. What is set replaces all that was set before, and ends with the next promotion
/// or rollback. Ranking follows within seconds. docs/models.md explains it.
#[derive(Args)]
#[command(
    group = ArgGroup::new("change").multiple(true).args(["treatment", "shadow", "end"]),
    after_help = "Examples:\n  finrank model traffic\n  finrank model traffic --treatment two-tower-20260105 --share 0.1 --name spring-towers --by alice --reason 'better MRR'\n  finrank model traffic --shadow two-tower-20260202 --by alice --reason 'new features'\n  finrank model traffic --end --by alice --reason 'complaints'"
)]
pub(super) struct Traffic {
    /// The model that answers a share of customers.
    #[arg(long, value_name = "VERSION", value_parser = version, requires_all = ["share", "name", "reason"])]
    treatment: Option<ModelVersion>,
    /// The share that it answers, above 0 and up to 0.5.
    #[arg(long, value_parser = share, requires = "treatment")]
    share: Option<Share>,
    /// Names the experiment. Who is in which arm follows from it: keep it to keep them, and change it to draw anew.
    #[arg(long, value_parser = name, requires = "treatment")]
    name: Option<ExperimentName>,
    /// The model that is scored and shown to nobody.
    #[arg(long, value_name = "VERSION", value_parser = version, requires = "reason")]
    shadow: Option<ModelVersion>,
    /// End what is set.
    #[arg(long, conflicts_with_all = ["treatment", "shadow"], requires = "reason")]
    end: bool,
    /// Who sets it, for the record; by default the one who is logged in.
    #[arg(long, env = "USER", value_name = "NAME")]
    by: Option<String>,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT", requires = "change")]
    reason: Option<String>,
    #[command(flatten)]
    known: Known,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Report {
    /// The check of the treatment's gates that was made for it.
    check: Option<CheckReport>,
    /// Absent if nothing ever was set.
    traffic: Option<Told>,
    serving: Option<ModelVersion>,
}

impl Traffic {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let report = block_on(async {
            let store = settings.store().await?;
            let (check, traffic) = match &self.reason {
                Some(reason) => {
                    let (check, traffic) = self.set(settings, &store, reason).await?;
                    (check, Some(traffic))
                }
                None => (None, models::traffic(&store).await?),
            };
            Ok(Report { check, traffic, serving: models::serving(&store).await? })
        })?;
        self.format.print(&report, text)
    }

    async fn set(
        &self,
        settings: &Settings,
        store: &Store,
        reason: &str,
    ) -> anyhow::Result<(Option<CheckReport>, Told)> {
        let set_by = self.by.as_deref().context("--by says who sets it")?;
        let experiment = match (&self.treatment, &self.name, self.share) {
            (Some(treatment), Some(name), Some(share)) => {
                Some(Experiment { name: name.clone(), treatment: treatment.clone(), share })
            }
            _ => None,
        };
        let check = match &self.treatment {
            Some(treatment) => {
                let config = check_config(settings, treatment, &self.known, set_by)?;
                Some(gates::check(store, &config, TrainingBar::new(self.format)).await?)
            }
            None => None,
        };
        if let Some(shadow) = &self.shadow {
            let model = models::get(store, shadow).await?;
            let model = model.with_context(|| format!("model version {shadow} is not registered"))?;
            let directory = bundle_directory(&settings.feature_store.models_dir, shadow)?;
            Bundle::read_registered(&directory, Sha256Digest::parse(&model.bundle_sha256)?)?;
        }
        let request = TrafficRequest {
            experiment: experiment.as_ref(),
            shadow: self.shadow.as_ref(),
            policy: settings.feature_store.promotion.load()?.digest,
            set_by,
            reason,
        };
        Ok((check, models::set_traffic(store, &request).await?))
    }
}

fn share(raw: &str) -> Result<Share, String> {
    let fraction: f64 = raw.parse().map_err(|_| "is not a number".to_owned())?;
    Share::of_one(fraction).map_err(|invalid| invalid.reason)
}

fn name(raw: &str) -> Result<ExperimentName, String> {
    ExperimentName::parse(raw).map_err(|invalid| invalid.reason)
}

fn text(report: &Report) -> String {
    let check = report.check.as_ref().map(|report| format!("{}\n", check::text(report))).unwrap_or_default();
    format!("{check}{}", in_words(report))
}

fn in_words(report: &Report) -> String {
    let everybody = match &report.serving {
        Some(serving) => format!("{serving} answers everybody"),
        None => "nothing is promoted yet: the newest generation answers everybody".to_owned(),
    };
    let Some(traffic) = &report.traffic else {
        return everybody;
    };
    if let Some(promotion_id) = traffic.ended_by_promotion {
        return format!("{everybody}; traffic {} was ended by promotion {promotion_id}", traffic.traffic_id);
    }
    let Told { traffic_id, control, experiment, shadow, set_by, reason, set_at, .. } = traffic;
    let answers = match experiment {
        Some(Experiment { name, treatment, share }) => format!(
            "{treatment} answers {:.2} % of customers in experiment {name}, and {control} the others",
            100.0 * share.get(),
        ),
        None => everybody,
    };
    let shadow = match shadow {
        Some(shadow) => format!("\n{shadow} is scored in the shadow"),
        None => String::new(),
    };
    format!(
        "{answers}{shadow}\ntraffic {traffic_id}, by {set_by} at {}: {reason}",
        set_at.format("%F %T UTC")
    )
}
