//! From the TOML file to a policy: everything that is wrong with it is told at once, each by its path.

mod facts;
mod kinds;

use std::collections::BTreeMap;

use finrank_model::{
    InvalidFile, ProductClass, Sha256Digest,
    features::FeatureRef,
    toml_file::{Problems, Table},
};

use self::facts::NamedFacts;

use crate::{
    Currency, Fact, FactId, FactSource, FactType, MoneyUnit, OnFailure, Policy, PolicyVersion, Profiling,
    Rule, RuleCode, rules::Check,
};

/// The version of the format that this program reads.
const FORMAT: i64 = 1;

/// The facts that were read, by name; none where the fact itself is wrong, so that only that is said of it.
type Named = BTreeMap<String, (FactId, Option<FactType>)>;

impl Policy {
    /// Reads a file.
    ///
    /// # Errors
    /// Names everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, InvalidFile> {
        let file: toml::Table = toml::from_str(text)?;
        let mut problems = Problems::default();
        let policy = policy(file, text, &mut problems);
        problems.settle(policy)
    }
}

fn policy(file: toml::Table, text: &str, problems: &mut Problems) -> Option<Policy> {
    let mut file = Table::new(file, "", problems);
    let (version, description) = file.head(FORMAT);
    let source = file.table("source", source);
    let tables = file.tables("fact");
    let named = names(&tables);
    let facts: Vec<Option<Fact>> = tables
        .into_iter()
        .enumerate()
        .map(|(place, table)| file.element("fact", place, "name", table, |table| fact(table, &named)))
        .collect();
    check_names(&mut file, &facts, &named);
    let profiling = file.optional_table("profiling", |table| profiling(table, &named));
    let rules: Vec<Option<Rule>> = file
        .tables("rule")
        .into_iter()
        .enumerate()
        .map(|(place, table)| file.element("rule", place, "code", table, |table| rule(table, &named)))
        .collect();
    check_rules(&mut file, &rules);
    file.finish();
    Some(Policy {
        version: PolicyVersion(version?),
        digest: Sha256Digest::of(text.as_bytes()),
        text: text.to_owned(),
        description,
        source: source?,
        facts: facts.into_iter().collect::<Option<_>>()?,
        profiling: profiling.flatten(),
        rules: rules.into_iter().collect::<Option<_>>()?,
    })
}

fn source(mut table: Table<'_>) -> Option<FactSource> {
    let (service, purpose) = (table.name("service"), table.name("purpose"));
    table.finish();
    Some(FactSource { service: service?, purpose: purpose? })
}

/// The facts' names and types, before the facts themselves are read, since one may be dated by a later one.
fn names(tables: &[toml::Table]) -> Named {
    let named = tables.iter().enumerate().filter_map(|(place, table)| {
        let name = table.get("name")?.as_str()?;
        let mut unsaid = Problems::default();
        let fact_type = fact_type(&mut Table::new(table.clone(), "", &mut unsaid));
        Some((name.to_owned(), (FactId(place), fact_type)))
    });
    named.collect()
}

fn fact(mut table: Table<'_>, named: &Named) -> Option<Fact> {
    let name = table.name("name");
    let feature = table.parsed("feature", |raw| FeatureRef::parse(raw).map_err(|invalid| invalid.reason));
    let fact_type = fact_type(&mut table);
    let max_age = table.duration("max_age");
    let dated_by = table.optional_fact("dated_by", named, &["time"]);
    table.finish();
    Some(Fact {
        name: name?,
        feature: feature?,
        fact_type: fact_type?,
        max_age: max_age?,
        dated_by: dated_by?,
    })
}

fn fact_type(table: &mut Table<'_>) -> Option<FactType> {
    let kind = table.text("type")?;
    match kind.as_str() {
        "number" => Some(FactType::Number),
        "text" => Some(FactType::Text),
        "flag" => Some(FactType::Flag),
        "time" => Some(FactType::Time),
        "money" => {
            let (currency, unit) = (currency(table), unit(table));
            Some(FactType::Money { currency: currency?, unit: unit? })
        }
        other => {
            table.note("type", format!("is {other:?}, not number, text, flag, money or time"));
            None
        }
    }
}

fn currency(table: &mut Table<'_>) -> Option<Currency> {
    table.parsed("currency", |raw| {
        Currency::parse(raw).ok_or_else(|| format!("is {raw:?}, not three upper-case letters (ISO 4217)"))
    })
}

/// What a plain number counts: minor units unless the file says `unit = "major"`.
fn unit(table: &mut Table<'_>) -> Option<MoneyUnit> {
    let major = table.choice("unit", false, &[("minor", false), ("major", true)])?;
    let digits = table.optional_whole("minor_digits")?;
    match (major, digits.unwrap_or(2)) {
        (false, _) if digits.is_some() => {
            table.note("minor_digits", "is given, but only unit = \"major\" has some");
            None
        }
        (false, _) => Some(MoneyUnit::Minor),
        (true, digits @ 0..=4) => Some(MoneyUnit::Major { digits: digits as u8 }),
        (true, digits) => {
            table.note("minor_digits", format!("is {digits}, not 0 to 4"));
            None
        }
    }
}

fn check_names(file: &mut Table<'_>, facts: &[Option<Fact>], named: &Named) {
    for (place, fact) in facts.iter().enumerate() {
        // `named` holds the last of one name.
        let Some(fact) = fact else { continue };
        if named.get(&fact.name).is_some_and(|(last, _)| last.0 != place) {
            file.note(&format!("fact[{}]", fact.name), "is declared twice");
        }
    }
}

fn profiling(mut table: Table<'_>, named: &Named) -> Option<Profiling> {
    let objection = table.fact("objection", named, &["flag"]);
    let popularity =
        table.parsed("popularity", |raw| FeatureRef::parse(raw).map_err(|invalid| invalid.reason));
    let purpose = table.name("purpose");
    table.finish();
    Some(Profiling { objection: objection?, popularity: popularity?, purpose: purpose? })
}

fn rule(mut table: Table<'_>, named: &Named) -> Option<Rule> {
    let code = table.code("code").map(RuleCode);
    let description = table.filled("description");
    let regulation = table.filled("regulation");
    let classes = classes(&mut table);
    let outcomes = [("exclude", OnFailure::Exclude), ("review", OnFailure::Review)];
    let on_failure = table.choice("on_failure", OnFailure::Exclude, &outcomes);
    let on_unknown = table.choice("on_unknown", OnFailure::Exclude, &outcomes);
    let check = kinds::check(&mut table, named);
    table.finish();
    Some(Rule {
        code: code?,
        description: description?,
        regulation: regulation?,
        classes: classes?,
        on_failure: on_failure?,
        on_unknown: on_unknown?,
        check: check?,
    })
}

/// Every class, unless the file names some.
fn classes(table: &mut Table<'_>) -> Option<Vec<ProductClass>> {
    let Some(names) = table.optional_texts("classes")? else {
        return Some(ProductClass::ALL.to_vec());
    };
    if names.is_empty() {
        table.note("classes", "is empty; leave it out to mean every class");
        return None;
    }
    let parsed = names.iter().map(|name| ProductClass::parse(name));
    match parsed.collect::<Result<Vec<_>, _>>() {
        Ok(classes) => Some(classes),
        Err(invalid) => {
            table.note("classes", invalid.reason);
            None
        }
    }
}

fn check_rules(file: &mut Table<'_>, rules: &[Option<Rule>]) {
    let known: Vec<&Rule> = rules.iter().flatten().collect();
    for (place, rule) in known.iter().enumerate() {
        if known[..place].iter().any(|earlier| earlier.code == rule.code) {
            file.note(&format!("rule[{}]", rule.code), "is declared twice");
        }
    }
    if known.len() < rules.len() {
        return;
    }
    for class in ProductClass::ALL {
        let checks_status =
            |rule: &&Rule| matches!(rule.check, Check::ProductStatus(_)) && rule.concerns(class);
        if !known.iter().any(checks_status) {
            let reason = format!("has no rule of kind product_status for {}", class.as_str());
            file.note("rule", reason);
        }
    }
}
