//! A position as the opaque bytes that a client keeps: the format's version, the content, and a checksum, so that what
//! was cut off or mixed up is refused and not followed.

use chrono::DateTime;
use finrank_contracts::feature::v1::SnapshotReason;
use finrank_model::{InvalidField, ModelVersion, Sha256Digest};
use prost::Message;
use sha2::{Digest, Sha256};

use super::position::Position;

const FIELD: &str = "resume_token";
/// The version of the format. Another one is a later server's.
const FORMAT: u8 = 1;
/// Bytes of the checksum.
const CHECKSUM: usize = 8;

#[derive(Clone, PartialEq, Message)]
struct Content {
    #[prost(string, tag = "1")]
    database: String,
    #[prost(string, tag = "2")]
    model_version: String,
    #[prost(string, tag = "3")]
    bundle_sha256: String,
    #[prost(int64, tag = "4")]
    run_id: i64,
    /// Microseconds since 1970, as Postgres counts them.
    #[prost(int64, tag = "5")]
    products_until: i64,
    #[prost(int64, tag = "6")]
    embeddings_until: i64,
}

/// The token of a position.
pub(super) fn of(position: &Position) -> Vec<u8> {
    let content = Content {
        database: position.database.clone(),
        model_version: position.model_version.to_string(),
        bundle_sha256: position.bundle.to_string(),
        run_id: position.run_id.get(),
        products_until: position.products_until.timestamp_micros(),
        embeddings_until: position.embeddings_until.timestamp_micros(),
    };
    let mut token = vec![FORMAT];
    token.extend(content.encode_to_vec());
    let checksum = Sha256::digest(&token);
    token.extend(&checksum[..CHECKSUM]);
    token
}

/// The position of a token, or why a client that has this one is to be sent a snapshot.
///
/// # Errors
/// When it is no token.
pub(super) fn read(token: &[u8]) -> Result<Result<Position, SnapshotReason>, InvalidField> {
    if token.is_empty() {
        return Ok(Err(SnapshotReason::First));
    }
    let malformed = || InvalidField::new(FIELD, "is not from a response, or not all of it");
    let (stated, checksum) =
        token.len().checked_sub(CHECKSUM).map(|end| token.split_at(end)).ok_or_else(malformed)?;
    if Sha256::digest(stated)[..CHECKSUM] != *checksum {
        return Err(malformed());
    }
    let Some((&FORMAT, content)) = stated.split_first() else {
        return Ok(Err(SnapshotReason::TokenFromElsewhere));
    };
    let content = Content::decode(content).map_err(|_| malformed())?;
    let moment = |micros| DateTime::from_timestamp_micros(micros).ok_or_else(malformed);
    Ok(Ok(Position {
        database: content.database,
        model_version: ModelVersion::parse(content.model_version).map_err(|_| malformed())?,
        bundle: Sha256Digest::parse(&content.bundle_sha256).map_err(|_| malformed())?,
        run_id: content.run_id.into(),
        products_until: moment(content.products_until)?,
        embeddings_until: moment(content.embeddings_until)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position() -> Position {
        Position {
            database: "7711848100774988081/00000001/16384".to_owned(),
            model_version: ModelVersion::parse("m1").unwrap(),
            bundle: Sha256Digest::parse(&"ab".repeat(32)).unwrap(),
            run_id: 7.into(),
            products_until: DateTime::from_timestamp_micros(1_790_000_000_123_456).unwrap(),
            embeddings_until: DateTime::from_timestamp_micros(1_790_000_000_023_456).unwrap(),
        }
    }

    #[test]
    fn a_token_leads_back_to_its_position_to_the_microsecond() {
        assert_eq!(read(&of(&position())).unwrap(), Ok(position()));
    }

    #[test]
    fn no_token_is_the_first_one() {
        assert_eq!(read(&[]).unwrap(), Err(SnapshotReason::First));
    }

    #[test]
    fn a_token_that_lost_or_changed_a_byte_is_refused_by_name() {
        let token = of(&position());

        for place in 0..token.len() {
            let mut changed = token.clone();
            changed[place] ^= 1;
            for broken in [&token[..place], &changed] {
                if !broken.is_empty() {
                    assert_eq!(read(broken).unwrap_err().field, "resume_token", "{place}");
                }
            }
        }
    }

    #[test]
    fn a_later_servers_token_is_not_read() {
        let mut token = vec![FORMAT + 1, 1, 2, 3];
        let checksum = Sha256::digest(&token);
        token.extend(&checksum[..CHECKSUM]);

        assert_eq!(read(&token).unwrap(), Err(SnapshotReason::TokenFromElsewhere));
    }
}
