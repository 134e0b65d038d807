//! The keys of each kind of rule.

use std::collections::BTreeMap;

use finrank_model::{
    AttributeName,
    toml_file::{Table, as_text},
};

use super::{Named, currency, facts::NamedFacts, unit};
use crate::{
    Currency, FactId, FactType, Finite,
    product::{DeclaredAmount, DeclaredCurrency},
    rules::{
        Affordability, Bound, Category, CategoryCap, Check, Consent, Held, Need, Objection, Range, Residence,
        RiskTolerance, SalesWindow, SoldProduct, Undeclared,
    },
};

/// The largest share, in hundredths.
const MAX_PERCENT: i64 = 100_000;
/// The most products of one category that a cap can speak of.
const MAX_CAP: i64 = 1_000_000;

/// What a rule checks, by its `kind`. Of an unknown kind every key is, and they are not told one by one.
pub(super) fn check(table: &mut Table<'_>, named: &Named) -> Option<Check> {
    let kind = table.text("kind")?;
    match kind.as_str() {
        "product_status" => Some(Check::ProductStatus(SoldProduct)),
        "sales_window" => sales_window(table).map(Check::SalesWindow),
        "held" => Some(Check::Held(Held)),
        "category_cap" => category_cap(table).map(Check::CategoryCap),
        "residence" => residence(table, named).map(Check::Residence),
        "risk_tolerance" => {
            let fact = table.fact("fact", named, &["number"])?;
            Some(Check::RiskTolerance(RiskTolerance { fact }))
        }
        "range" => range(table, named).map(Check::Range),
        "affordability" => affordability(table, named).map(Check::Affordability),
        "need" => need(table, named).map(Check::Need),
        "consent" => Some(Check::Consent(Consent { fact: table.fact("fact", named, &["flag"])? })),
        "objection" => Some(Check::Objection(Objection { fact: table.fact("fact", named, &["flag"])? })),
        other => {
            let kinds = "product_status, sales_window, held, category_cap, residence, risk_tolerance, range, \
                         affordability, need, consent or objection";
            table.note("kind", format!("is {other:?}, not {kinds}"));
            table.leave_the_rest();
            None
        }
    }
}

fn undeclared(table: &mut Table<'_>) -> Option<Undeclared> {
    let choices = [("exclude", Undeclared::Exclude), ("pass", Undeclared::Pass)];
    table.choice("undeclared", Undeclared::Exclude, &choices)
}

fn sales_window(table: &mut Table<'_>) -> Option<SalesWindow> {
    let (from, until) = (table.optional_attribute("from"), table.optional_attribute("until"));
    let or =
        |attribute: Option<AttributeName>, default| attribute.or_else(|| AttributeName::parse(default).ok());
    Some(SalesWindow { from: or(from?, "sold_from")?, until: or(until?, "sold_until")? })
}

fn category_cap(table: &mut Table<'_>) -> Option<CategoryCap> {
    let most = table.whole("most");
    if most.is_some_and(|most| !(1..=MAX_CAP).contains(&most)) {
        table.note("most", format!("is not 1 to {MAX_CAP}"));
    }
    let category = table.optional_attribute("attribute")?.map_or(Category::Class, Category::Attribute);
    let undeclared = undeclared(table);
    Some(CategoryCap { most: usize::try_from(most?).ok()?, category, undeclared: undeclared? })
}

fn residence(table: &mut Table<'_>, named: &Named) -> Option<Residence> {
    let fact = table.fact("fact", named, &["text"]);
    let allowed = table.optional_texts("allowed");
    let attribute = table.optional_attribute("attribute");
    let undeclared = undeclared(table);
    let (allowed, attribute) = (allowed?, attribute?);
    if allowed.is_none() && attribute.is_none() {
        table.note("allowed", "is missing, and so is attribute: one of them says where products may be sold");
    }
    let allowed = allowed.map(|allowed| allowed.into_iter().collect());
    Some(Residence { fact: fact?, allowed, attribute, undeclared: undeclared? })
}

fn range(table: &mut Table<'_>, named: &Named) -> Option<Range> {
    let fact = table.fact("fact", named, &["number"]);
    let minimum = bound(table, "minimum", "minimum_attribute");
    let maximum = bound(table, "maximum", "maximum_attribute");
    let undeclared = undeclared(table);
    let (minimum, maximum) = (minimum?, maximum?);
    if minimum == Bound::default() && maximum == Bound::default() {
        table.note("minimum", "is missing, and so are maximum, minimum_attribute and maximum_attribute");
    }
    if let (Some(least), Some(most)) = (minimum.fixed, maximum.fixed)
        && least > most
    {
        table.note("minimum", format!("is {least}, above the maximum {most}"));
    }
    Some(Range { fact: fact?, minimum, maximum, undeclared: undeclared? })
}

fn bound(table: &mut Table<'_>, fixed: &str, attribute: &str) -> Option<Bound> {
    let (fixed, attribute) = (table.optional_number(fixed), table.optional_attribute(attribute));
    Some(Bound { fixed: fixed?.map(Finite::new), attribute: attribute? })
}

fn affordability(table: &mut Table<'_>, named: &Named) -> Option<Affordability> {
    let capacity = table.fact("capacity", named, &["money"]);
    let committed = table.optional_fact("committed", named, &["money"]);
    let percent = table.whole("percent");
    if percent.is_some_and(|percent| !(1..=MAX_PERCENT).contains(&percent)) {
        table.note("percent", format!("is not 1 to {MAX_PERCENT}"));
    }
    let amount = table.table("amount", declared_amount);
    let undeclared = undeclared(table);
    let (capacity, committed) = (capacity?, committed?);
    if let Some(other) = committed
        && currency_of(named, capacity) != currency_of(named, other)
    {
        table.note("committed", "names a fact of another currency than capacity");
    }
    Some(Affordability {
        capacity,
        committed,
        percent: u32::try_from(percent?).ok()?,
        amount: amount?,
        undeclared: undeclared?,
    })
}

fn currency_of(named: &Named, id: FactId) -> Option<&Currency> {
    let fact_type = named.values().find(|(named, _)| *named == id)?.1.as_ref()?;
    match fact_type {
        FactType::Money { currency, .. } => Some(currency),
        _ => None,
    }
}

fn declared_amount(mut table: Table<'_>) -> Option<DeclaredAmount> {
    let attribute = table.attribute("attribute");
    let from_attribute = table.optional_attribute("currency_attribute");
    let currency = match from_attribute? {
        Some(name) => Some(DeclaredCurrency::Attribute(name)),
        None => currency(&mut table).map(DeclaredCurrency::Fixed),
    };
    let unit = unit(&mut table);
    table.finish();
    Some(DeclaredAmount { attribute: attribute?, unit: unit?, currency: currency? })
}

fn need(table: &mut Table<'_>, named: &Named) -> Option<Need> {
    let attribute = table.attribute("attribute");
    let texts = table.table("needs", |inner| {
        inner.values(|value| as_text(value).ok_or_else(|| "is not a text".to_owned()))
    });
    let mut needs = BTreeMap::new();
    for (need, fact) in texts.iter().flatten() {
        if let Some(id) = table.fact_named(&format!("needs.{need}"), fact, named, &["flag"]) {
            needs.insert(need.clone(), id);
        }
    }
    let undeclared = undeclared(table);
    texts?;
    Some(Need { attribute: attribute?, needs, undeclared: undeclared? })
}
