//! From the TOML file to rules: everything that is wrong with it is told at once, each by its path.

use std::collections::BTreeSet;

use finrank_model::{
    InvalidFile, ProductClass, ProductId, Sha256Digest, parse_moment,
    toml_file::{Problems, Table},
};

use crate::{
    Boost, Cap, Diversity, Exploration, Per, Pin, Rule, Scenario, Scope, SelectionCode, SelectionRules, Which,
};

/// The version of the format that this program reads.
const FORMAT: i64 = 1;
/// The most products of one answer.
const MOST: i64 = 500;
/// Boosts beyond this are no nudges: a product that must stand first has pins.
const FACTORS: std::ops::RangeInclusive<f64> = 0.01..=100.0;
/// The most products that a rule names.
const MAX_NAMED: usize = 1000;

impl SelectionRules {
    /// Reads a file.
    ///
    /// # Errors
    /// Names everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, InvalidFile> {
        let file: toml::Table = toml::from_str(text)?;
        let mut problems = Problems::default();
        let rules = rules(file, text, &mut problems);
        problems.settle(rules)
    }
}

fn rules(file: toml::Table, text: &str, problems: &mut Problems) -> Option<SelectionRules> {
    let mut file = Table::new(file, "", problems);
    let (version, description) = file.head(FORMAT);
    let mut codes = BTreeSet::new();
    let pins = kind(&mut file, "pin", &mut codes, pin);
    check_pins(&mut file, &pins);
    let boosts = kind(&mut file, "boost", &mut codes, boost);
    let caps = kind(&mut file, "cap", &mut codes, cap);
    let diversity = kind(&mut file, "diversity", &mut codes, diversity);
    let exploration = kind(&mut file, "exploration", &mut codes, exploration);
    file.finish();
    Some(SelectionRules {
        version: version?,
        digest: Sha256Digest::of(text.as_bytes()),
        text: text.to_owned(),
        description,
        pins: whole(pins)?,
        boosts: whole(boosts)?,
        caps: whole(caps)?,
        diversity: whole(diversity)?,
        exploration: whole(exploration)?,
    })
}

/// The rules that could be read, and nothing where one could not.
type Read<T> = Vec<Option<Rule<T>>>;

fn whole<T>(read: Read<T>) -> Option<Vec<Rule<T>>> {
    read.into_iter().collect()
}

/// All rules of one kind.
fn kind<T>(
    file: &mut Table<'_>,
    key: &str,
    codes: &mut BTreeSet<String>,
    says: impl Fn(&mut Table<'_>) -> Option<T>,
) -> Read<T> {
    let mut read = Vec::new();
    for (place, table) in file.tables(key).into_iter().enumerate() {
        read.push(file.element(key, place, "code", table, |table| rule(table, &says)));
    }
    for rule in read.iter().flatten() {
        let code = rule.code.as_str();
        if !codes.insert(code.to_owned()) {
            file.note(&format!("{key}[{code}]"), "has the code of another rule");
        }
    }
    read
}

fn rule<T>(mut table: Table<'_>, says: impl Fn(&mut Table<'_>) -> Option<T>) -> Option<Rule<T>> {
    let code = table.code("code").map(SelectionCode);
    let description = table.filled("description");
    let scope = scope(&mut table);
    let says = says(&mut table);
    table.finish();
    Some(Rule { code: code?, description: description?, scope: scope?, says: says? })
}

fn scope(table: &mut Table<'_>) -> Option<Scope> {
    let scenario = |raw: &str| {
        Scenario::parse(raw).ok_or_else(|| format!("names {raw:?}, not all, credit, wealth or insurance"))
    };
    let scenarios = list(table, "scenarios", scenario);
    let moment = |raw: &str| parse_moment("", raw).map_err(|invalid| invalid.reason);
    let (from, until) = (table.optional_parsed("from", moment), table.optional_parsed("until", moment));
    let (from, until) = (from?, until?);
    if let (Some(from), Some(until)) = (from, until)
        && from >= until
    {
        table.note("until", "does not lie after from");
    }
    let scenarios = scenarios?.unwrap_or_else(|| Scenario::EVERY.to_vec());
    Some(Scope { scenarios, from, until })
}

fn pin(table: &mut Table<'_>) -> Option<Pin> {
    let product_id =
        table.parsed("product_id", |raw| ProductId::parse(raw).map_err(|invalid| invalid.reason));
    let place = count(table, "place");
    Some(Pin { product_id: product_id?, place: place? })
}

/// No two pins may ask for one place, or for one product, at once.
fn check_pins(file: &mut Table<'_>, pins: &Read<Pin>) {
    let known: Vec<&Rule<Pin>> = pins.iter().flatten().collect();
    for (nth, pin) in known.iter().enumerate() {
        for other in &known[..nth] {
            let Some(scenario) = pin.scope.overlap(&other.scope) else { continue };
            let (key, scenario) = (format!("pin[{}]", pin.code), scenario.as_str());
            if pin.says.place == other.says.place {
                let place = pin.says.place;
                file.note(
                    &key,
                    format!("wants place {place} at a time when {} does, in scenario {scenario}", other.code),
                );
            }
            if pin.says.product_id == other.says.product_id {
                file.note(
                    &key,
                    format!("pins the product of {} at the same time, in scenario {scenario}", other.code),
                );
            }
        }
    }
}

fn boost(table: &mut Table<'_>) -> Option<Boost> {
    let factor = table.number("factor");
    if factor.is_some_and(|factor| !FACTORS.contains(&factor)) {
        table.note("factor", format!("is not {} to {}", FACTORS.start(), FACTORS.end()));
    }
    let of = which(table)?;
    if of.is_everything() {
        table.note(
            "classes",
            "is missing, and so are issuers and product_ids: a boost of everything changes nothing",
        );
    }
    Some(Boost { factor: factor?, of })
}

fn cap(table: &mut Table<'_>) -> Option<Cap> {
    let per = table.parsed("per", |raw| match raw {
        "class" => Ok(Per::Class),
        "issuer" => Ok(Per::Issuer),
        other => Err(format!("is {other:?}, not class or issuer")),
    });
    let most = count(table, "most");
    let of = which(table);
    Some(Cap { per: per?, most: most?, of: of? })
}

fn diversity(table: &mut Table<'_>) -> Option<Diversity> {
    let value = table.number("value")?;
    let diversity = Diversity::new(value);
    if diversity.is_none() {
        table.note("value", format!("is {value}, not 0 to 1"));
    }
    diversity
}

fn exploration(table: &mut Table<'_>) -> Option<Exploration> {
    let epsilon = table.number("epsilon");
    if epsilon.is_some_and(|epsilon| !(epsilon > 0.0 && epsilon <= 0.5)) {
        table.note("epsilon", "is not above 0 and at most 0.5");
    }
    let (from_place, challengers) = (count(table, "from_place"), count(table, "challengers"));
    Some(Exploration { epsilon: epsilon?, from_place: from_place?, challengers: challengers? })
}

/// The products that a rule concerns.
fn which(table: &mut Table<'_>) -> Option<Which> {
    let classes = list(table, "classes", |raw| ProductClass::parse(raw).map_err(|invalid| invalid.reason));
    let filled =
        |raw: &str| if raw.is_empty() { Err("names an empty one".to_owned()) } else { Ok(raw.to_owned()) };
    let issuers = list(table, "issuers", filled);
    let product_ids = list(table, "product_ids", |raw| {
        ProductId::parse(raw).map_err(|invalid| format!("{raw:?}: {}", invalid.reason))
    });
    Some(Which {
        classes: classes?.unwrap_or_default(),
        issuers: issuers?.unwrap_or_default(),
        product_ids: product_ids?.unwrap_or_default(),
    })
}

/// A list that may be left out, and must not be empty.
fn list<T>(
    table: &mut Table<'_>,
    key: &str,
    entry: impl Fn(&str) -> Result<T, String>,
) -> Option<Option<Vec<T>>> {
    let Some(texts) = table.optional_texts(key)? else { return Some(None) };
    if texts.is_empty() || texts.len() > MAX_NAMED {
        table.note(key, format!("has {} entries, not 1 to {MAX_NAMED}", texts.len()));
        return None;
    }
    let entries: Result<Vec<T>, String> = texts.iter().map(|text| entry(text)).collect();
    entries.map(Some).map_err(|reason| table.note(key, reason)).ok()
}

/// A number of products, or a place.
fn count(table: &mut Table<'_>, key: &str) -> Option<usize> {
    let count = table.whole(key)?;
    if (1..=MOST).contains(&count) {
        return usize::try_from(count).ok();
    }
    table.note(key, format!("is {count}, not 1 to {MOST}"));
    None
}
