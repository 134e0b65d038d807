//! How long a caller is willing to wait, as gRPC writes it, and the end of a stream that takes longer.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http_body::Frame;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::{body::Body, codegen::http};

use crate::status;

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

/// A stream's body that ends with DEADLINE_EXCEEDED once its time is over.
pub(crate) struct Until {
    body: Body,
    over: Pin<Box<Sleep>>,
    limit: Duration,
    ended: bool,
}

impl Until {
    /// Ends `body` at `deadline`, which was `limit` away.
    pub(crate) fn new(body: Body, deadline: Instant, limit: Duration) -> Self {
        Self { body, over: Box::pin(sleep_until(deadline)), limit, ended: false }
    }
}

impl http_body::Body for Until {
    type Data = <Body as http_body::Body>::Data;
    type Error = <Body as http_body::Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.over.as_mut().poll(context).is_pending() {
            return Pin::new(&mut self.body).poll_frame(context);
        }
        self.ended = true;
        let mut trailers = http::HeaderMap::new();
        let written = status::deadline_exceeded(self.limit).add_header(&mut trailers);
        Poll::Ready(Some(written.map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
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
