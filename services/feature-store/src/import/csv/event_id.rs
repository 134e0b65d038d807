//! An id for an event that comes without one.

use chrono::{DateTime, Utc};
use finrank_model::{EventId, EventKind, Money, ProductId, UserId};
use sha2::{Digest, Sha256};

/// Makes an id of everything else that is known of an event, so that the same row is the same event, and two
/// that differ in anything, if only in the amount, are two.
///
/// Two rows that say the same thing in the same words are one event; give ids where they are not.
pub(super) fn derive(
    user_id: &UserId,
    product_id: &ProductId,
    kind: EventKind,
    event_time: DateTime<Utc>,
    quantity: u32,
    amount: Option<&Money>,
) -> EventId {
    let (kind, micros) = (kind.as_str(), event_time.timestamp_micros());
    let amount = amount
        .map(|amount| format!("{} {}", amount.minor_units(), amount.currency_code()))
        .unwrap_or_default();
    // Ids hold no control characters, so that a line ends where it seems to.
    let known = format!("{user_id}\n{product_id}\n{kind}\n{micros}\n{quantity}\n{amount}");
    let digest = Sha256::digest(known);
    EventId::parse(format!("derived-{}", hex::encode(&digest[..16]))).expect("short and plain")
}
