//! How long a caller is willing to wait, as gRPC writes it.

use std::time::Duration;

/// The header that carries it.
pub const TIMEOUT_HEADER: &str = "grpc-timeout";

/// Reads `grpc-timeout`: at most eight digits and a unit. What is malformed allows any time, as the server's
/// own limit still holds.
pub fn parse_timeout(raw: &str) -> Option<Duration> {
    let (digits, unit) = raw.split_at_checked(raw.len().checked_sub(1)?)?;
    if digits.len() > 8 {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read() {
        let read = ["2H", "2M", "2S", "2m", "2u", "2n"].map(|raw| parse_timeout(raw).unwrap().as_nanos());

        assert_eq!(read, [7_200_000_000_000, 120_000_000_000, 2_000_000_000, 2_000_000, 2_000, 2]);
    }

    #[test]
    fn what_is_malformed_allows_any_time() {
        for raw in ["", "S", "5", "-1S", "123456789S", "1h", "é"] {
            assert_eq!(parse_timeout(raw), None, "{raw}");
        }
    }
}
