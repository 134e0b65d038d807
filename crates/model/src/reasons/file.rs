//! From the TOML file to a table: everything that is wrong with it is told at once, each by its path.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{Reason, ReasonTable, ReasonText, pattern::Pattern};
use crate::{InvalidField, InvalidFile, Sha256Digest};

/// The version of the format that this program reads.
const FORMAT_VERSION: u32 = 1;
/// Of a text, in bytes: a sentence or two.
const MAX_TEXT_BYTES: usize = 512;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    version: String,
    #[serde(default)]
    reason: Vec<RawReason>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReason {
    code: String,
    #[serde(default)]
    protected: bool,
    inputs: Vec<Pattern>,
    favourable: RawText,
    adverse: RawText,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawText {
    en: String,
    zh: String,
}

impl ReasonTable {
    /// Reads a file.
    ///
    /// # Errors
    /// Names everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, InvalidFile> {
        let file: File = toml::from_str(text)?;
        let problems = problems(&file);
        if !problems.is_empty() {
            return Err(InvalidFile::Problems(problems));
        }
        let reasons = file.reason.into_iter().map(|raw| Reason {
            code: raw.code,
            protected: raw.protected,
            favourable: raw.favourable.into(),
            adverse: raw.adverse.into(),
            inputs: raw.inputs,
        });
        Ok(Self {
            digest: Sha256Digest::of(text.as_bytes()),
            version: file.version,
            reasons: reasons.collect(),
        })
    }
}

impl From<RawText> for ReasonText {
    fn from(RawText { en, zh }: RawText) -> Self {
        Self { english: en, chinese: zh }
    }
}

fn problems(file: &File) -> Vec<InvalidField> {
    let mut problems = Vec::new();
    let mut note = |field: String, reason: String| problems.push(InvalidField::new(field, reason));
    if file.format != FORMAT_VERSION {
        note("format".to_owned(), format!("is {}; this program reads {FORMAT_VERSION}", file.format));
    }
    if !(1..=64).contains(&file.version.len()) {
        note("version".to_owned(), format!("has {} bytes, 1 to 64 are allowed", file.version.len()));
    }
    if file.reason.is_empty() {
        note("reason".to_owned(), "is missing: a table without reasons explains nothing".to_owned());
    }
    let mut seen = BTreeSet::new();
    for (place, reason) in file.reason.iter().enumerate() {
        let path = format!("reason[{place}]");
        if !is_code(&reason.code) {
            note(format!("{path}.code"), format!("is {:?}, not [A-Z][A-Z0-9_]{{0,62}}", reason.code));
        }
        if !seen.insert(&reason.code) {
            note(format!("{path}.code"), format!("is {:?}, which is there twice", reason.code));
        }
        if reason.inputs.is_empty() {
            note(format!("{path}.inputs"), "is empty".to_owned());
        }
        let texts = [
            ("favourable.en", &reason.favourable.en),
            ("favourable.zh", &reason.favourable.zh),
            ("adverse.en", &reason.adverse.en),
            ("adverse.zh", &reason.adverse.zh),
        ];
        for (key, text) in texts {
            if text.trim().is_empty() || text.len() > MAX_TEXT_BYTES {
                let reason = format!("has {} bytes, 1 to {MAX_TEXT_BYTES} are allowed", text.trim().len());
                note(format!("{path}.{key}"), reason);
            }
        }
    }
    problems
}

fn is_code(raw: &str) -> bool {
    let follows = |c: u8| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_';
    raw.len() <= 63 && raw.as_bytes().first().is_some_and(u8::is_ascii_uppercase) && raw.bytes().all(follows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reasons::BUILT_IN_REASONS;

    #[test]
    fn the_shipped_table_is_one_and_says_everything_in_two_languages() {
        let table = ReasonTable::parse(BUILT_IN_REASONS).unwrap();

        assert_eq!(table.digest, Sha256Digest::of(BUILT_IN_REASONS.as_bytes()));
        let is_chinese = |text: &str| text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
        for reason in &table.reasons {
            for text in [&reason.favourable, &reason.adverse] {
                assert!(is_chinese(&text.chinese) && text.english.is_ascii(), "{}", reason.code);
            }
        }
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let text = r#"
            format = 2
            version = ""
            [[reason]]
            code = "age"
            inputs = []
            favourable = { en = "", zh = "年龄" }
            adverse = { en = "Age", zh = " " }
            [[reason]]
            code = "age"
            inputs = ["age"]
            favourable = { en = "Age", zh = "年龄" }
            adverse = { en = "Age", zh = "年龄" }
        "#;

        let refusal = ReasonTable::parse(text).unwrap_err().to_string();

        let expected = "format is 2; this program reads 1\n\
                        version has 0 bytes, 1 to 64 are allowed\n\
                        reason[0].code is \"age\", not [A-Z][A-Z0-9_]{0,62}\n\
                        reason[0].inputs is empty\n\
                        reason[0].favourable.en has 0 bytes, 1 to 512 are allowed\n\
                        reason[0].adverse.zh has 0 bytes, 1 to 512 are allowed\n\
                        reason[1].code is \"age\", not [A-Z][A-Z0-9_]{0,62}\n\
                        reason[1].code is \"age\", which is there twice";
        assert_eq!(refusal, expected);
    }

    #[test]
    fn an_unknown_key_and_a_pattern_that_is_none_are_refused() {
        let refusal = |from: &str, to: &str| {
            let text = BUILT_IN_REASONS.replacen(from, to, 1);
            assert_ne!(text, BUILT_IN_REASONS);
            ReasonTable::parse(&text).unwrap_err().to_string()
        };

        assert!(refusal("protected =", "portected =").contains("portected"));
        assert!(refusal("\"held:*\"", "\"he*ld\"").contains("he*ld"));
    }
}
