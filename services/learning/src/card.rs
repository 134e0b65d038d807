//! The model card: what a bundle's manifest, its checks and its history say of one model, in Markdown.
//!
//! Filled when it is asked for, since gates and promotions come after a bundle, which never changes.

use std::fmt::Write;

use finrank_model::{
    Manifest, ModelVersion, ProductClass,
    features::{Definitions, Recipe},
};
use finrank_store::{
    Store, StoreError,
    models::{self, Action, GateCheck, Promotion, RegisteredModel, Waiver},
};
use serde_json::Value;

use crate::{LearningError, Result};

const TEMPLATE: &str = include_str!("card.md");
/// Promotions that are looked through for this model's.
const HISTORY: u32 = 1_000;
/// In the place of what is not known.
const UNKNOWN: &str = "–";

/// Fills the card of a model version.
///
/// # Errors
/// No such model version, or Postgres does not answer.
pub async fn card(store: &Store, version: &ModelVersion, definitions: &Definitions) -> Result<String> {
    let model = models::get(store, version).await?;
    let model = model.ok_or_else(|| StoreError::UnknownModel { model_version: version.to_string() })?;
    let check = models::newest_check(store, version).await?;
    let waivers = models::waivers_of(store, version).await?;
    let mut promotions = models::promotions(store, None, HISTORY).await?;
    promotions.retain(|promotion| promotion.model_version == *version);
    fill(&model, definitions, check.as_ref(), &waivers, &promotions)
}

fn fill(
    model: &RegisteredModel,
    definitions: &Definitions,
    check: Option<&GateCheck>,
    waivers: &[Waiver],
    promotions: &[Promotion],
) -> Result<String> {
    let manifest: Manifest =
        serde_json::from_value(model.manifest.clone()).map_err(LearningError::Manifest)?;
    let moment = |moment: Option<chrono::DateTime<chrono::Utc>>| {
        moment.map_or_else(|| "an unknown day".to_owned(), |moment| moment.format("%F").to_string())
    };
    let golden = match manifest.files.iter().find(|file| file.name == "golden.json") {
        Some(file) => format!("`{}`, computed again by whoever loads the bundle", file.name),
        None => "none; the bundle is of an earlier version".to_owned(),
    };
    let parts = [
        ("model_version", model.model_version.to_string()),
        ("intended_use", intended_use(&manifest)),
        ("created_at", manifest.created_at.format("%F %T UTC").to_string()),
        ("seed", manifest.seed.to_string()),
        ("bundle_sha256", model.bundle_sha256.clone()),
        ("embedding_space", manifest.embedding_space.to_string()),
        ("dimension", manifest.dimension.to_string()),
        ("data_first", moment(manifest.data_window.first)),
        ("data_last", moment(manifest.data_window.last)),
        (
            "training_rows",
            lines(manifest.training_rows.iter().map(|(name, rows)| format!("| {name} | {rows} |"))),
        ),
        ("user_features", user_features(&manifest, definitions)),
        ("product_features", manifest.architecture.product.features.join(", ")),
        ("metrics", lines(manifest.metrics.iter().map(|(name, value)| format!("| {name} | {value:.4} |")))),
        ("gates", check.map_or_else(|| "Not checked.".to_owned(), gates)),
        ("groups", check.map_or_else(|| "Not measured.".to_owned(), |check| groups(&check.tables))),
        ("waivers", or("None.", lines(waivers.iter().map(waiver)))),
        ("promotions", or("It was never promoted.", lines(promotions.iter().map(promotion)))),
        ("golden", golden),
    ];
    // What a part holds is never looked through for further places.
    let mut card = String::with_capacity(2 * TEMPLATE.len());
    let mut rest = TEMPLATE;
    while let Some((before, after)) = rest.split_once('{') {
        card.push_str(before);
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        card.push_str(parts.iter().find(|(part, _)| *part == name).map_or("", |(_, text)| text));
        rest = after;
    }
    card.push_str(rest);
    Ok(card)
}

/// What a model of this program is for is the same for each; what it is for beyond that, its owner says elsewhere.
fn intended_use(manifest: &Manifest) -> String {
    let features = &manifest.architecture.user.features;
    let classes = ProductClass::ALL.map(ProductClass::as_str).join(", ");
    format!(
        "Ranking products ({classes}) that a customer does not hold, by how likely customers with such a history and \
         such attributes hold them. Not for deciding on an application, for prices or for limits. It reads {} features \
         of a customer.",
        features.len()
    )
}

fn user_features(manifest: &Manifest, definitions: &Definitions) -> String {
    lines(manifest.architecture.user.features.iter().map(|name| {
        let own_name = name.rsplit(':').next().unwrap_or(name);
        let declared = definitions.views.values().find_map(|view| {
            let is_it = |recipe: &Recipe, feature: &str| match recipe {
                Recipe::Attribute(attribute) => attribute.as_str() == own_name,
                Recipe::Events { .. } => feature == own_name,
            };
            let feature = view.features.iter().find(|feature| is_it(&feature.recipe, &feature.name))?;
            Some((view.sensitivity.as_str(), if feature.protected { "yes" } else { "no" }))
        });
        let (sensitivity, protected) = declared.unwrap_or(("not declared", UNKNOWN));
        format!("| {name} | {sensitivity} | {protected} |")
    }))
}

fn gates(check: &GateCheck) -> String {
    let beside = check.compared_with.as_ref().map_or_else(|| "no model".to_owned(), ToString::to_string);
    let rows = check
        .results
        .iter()
        .map(|result| format!("| {} | {} | {} |", result.gate, result.verdict.as_str(), result.explanation));
    format!(
        "Check {} by {} at {}, beside {beside}, by the policy with SHA-256 {}.\n\n| gate | verdict | because |\n|---|---|---|\n{}",
        check.check_id,
        check.checked_by,
        check.checked_at.format("%F %T UTC"),
        check.policy,
        lines(rows),
    )
}

/// From what a check recorded: another version of the program may have written it.
fn groups(tables: &Value) -> String {
    let mut text = String::new();
    for table in tables["groups"].as_array().into_iter().flatten() {
        let attribute = table["attribute"].as_str().unwrap_or(UNKNOWN);
        let _ = write!(
            text,
            "By {attribute}:\n\n| group | customers | found | mean score less share held | calibration error | shown |\n\
             |---|---|---|---|---|---|\n"
        );
        for group in table["groups"].as_array().into_iter().flatten() {
            let figure = |name: &str| {
                group[name].as_f64().map_or_else(|| UNKNOWN.to_owned(), |value| format!("{value:.4}"))
            };
            let shown = group["selection"].as_object().into_iter().flatten();
            let shown: Vec<String> = shown
                .filter_map(|(subject, rate)| Some(format!("{subject} {:.3}", rate.as_f64()?)))
                .collect();
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} |",
                group["group"].as_str().unwrap_or(UNKNOWN),
                group["customers"],
                figure("true_positive_rate"),
                figure("calibration_gap"),
                figure("calibration_error"),
                shown.join(", "),
            );
        }
        text.push('\n');
    }
    or("None could be told apart.", text.trim_end().to_owned())
}

fn waiver(waiver: &Waiver) -> String {
    let Waiver { waiver_id, gate, reason, asked_by, approved_by, expires_at, .. } = waiver;
    let until = expires_at.format("%F %T UTC");
    format!("- {waiver_id}: {gate}, until {until}, asked by {asked_by}, approved by {approved_by}: {reason}")
}

fn promotion(promotion: &Promotion) -> String {
    let Promotion { promotion_id, action, promoted_by, promoted_at, waiver_ids, reason, .. } = promotion;
    let what = match action {
        Action::Promote => "promoted",
        Action::Rollback => "brought back",
    };
    let at = promoted_at.format("%F %T UTC");
    let waivers = waiver_ids.iter().map(|id| format!(", with waiver {id}")).collect::<String>();
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    format!("- {promotion_id}: {what} at {at} by {promoted_by}{waivers}{reason}")
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().join("\n")
}

fn or(otherwise: &str, text: String) -> String {
    if text.is_empty() { otherwise.to_owned() } else { text }
}
