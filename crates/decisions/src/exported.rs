//! A part of the log in a file, held to its hashes and its signatures by whoever has the file and the log's public key, and
//! nothing else.

use std::io::{BufRead, ErrorKind, Read};

use finrank_contracts::ranking::v1::{self, DecisionRecord, LogPart, log_part::Part};
use finrank_model::Sha256Digest;
use prost::Message;

use crate::{
    DecisionLogError, Result,
    chain::Link,
    checkpoint::{Distrust, PublicKey},
    proof::checkpoint_from_wire,
    verify::{Fault, FaultKind},
};

/// The longest message of a file: a record of 500 items has some 100 KiB.
const MAX_PART_BYTES: u64 = 16 << 20;

/// What was found in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportVerification {
    /// The first decision that it holds.
    pub first: i64,
    /// The last decision that is as it was written, and the hash up to it.
    pub verified: Link,
    /// The last of them that a checkpoint covers; 0 for none.
    pub covered: i64,
    /// Checkpoints that hold.
    pub checkpoints: u64,
    /// The keys that checkpoints were held to.
    pub keys: Vec<PublicKey>,
    /// The first thing that is not as it was written.
    pub fault: Option<Fault>,
}

/// Holds a part of the log to its hashes and its signatures, message by message.
#[derive(Debug)]
pub struct ExportCheck {
    /// `None` until the file names its own.
    trusted: Option<Vec<PublicKey>>,
    /// A link that must be in the part, until it was found.
    expected: Option<Link>,
    part: Option<Begun>,
}

#[derive(Debug)]
struct Begun {
    last: i64,
    records: i64,
    /// The chain up to the last message, past `verified` once digests of later records came.
    end: Link,
    found: ExportVerification,
    whole: bool,
}

impl ExportCheck {
    /// By keys that are trusted, or else by those that the file names, which shows only that it holds together. `expected` is
    /// a link that an earlier verification found.
    pub fn new(trusted: Option<Vec<PublicKey>>, expected: Option<Link>) -> Self {
        Self { trusted, expected, part: None }
    }

    /// Takes the next message. After the first fault nothing more is looked at.
    ///
    /// # Errors
    /// [`DecisionLogError::NoExport`] when it cannot stand where it does. What is wrong with the log is no error.
    pub fn take(&mut self, message: &LogPart) -> Result<()> {
        let none = |reason: &str| DecisionLogError::NoExport(reason.to_owned());
        let message = message.part.as_ref().ok_or_else(|| none("a message is empty"))?;
        let Some(part) = &mut self.part else {
            let Part::Head(head) = message else { return Err(none("it does not begin with its head")) };
            let mut begun = Begun::of(head, self.trusted.take())?;
            begun.meet(&mut self.expected);
            self.part = Some(begun);
            return Ok(());
        };
        if part.whole {
            return Err(none("it goes on after its end"));
        }
        if let Part::End(end) = message {
            part.whole = true;
            part.close(end.records);
            return Ok(());
        }
        if part.found.fault.is_some() {
            return Ok(());
        }
        let taken = match message {
            Part::Head(_) => return Err(none("it has two heads")),
            Part::Record(record) => part.record(record),
            Part::FollowingSha256(sha256) => {
                let sha256 = Sha256Digest::try_from(sha256.as_slice());
                part.end = part.end.then_digest(sha256.map_err(|_| none("a digest is no SHA-256"))?);
                Ok(())
            }
            Part::Checkpoint(checkpoint) => part.checkpoint(checkpoint),
            Part::End(_) => Ok(()),
        };
        part.found.fault = taken.err();
        part.meet(&mut self.expected);
        Ok(())
    }

    /// What was found, now that there are no more messages.
    ///
    /// # Errors
    /// [`DecisionLogError::NoExport`] when it was cut off, or does not hold the link that is expected.
    pub fn finish(self) -> Result<ExportVerification> {
        let none = |reason: String| DecisionLogError::NoExport(reason);
        let part = self.part.filter(|part| part.whole);
        let part = part.ok_or_else(|| none("it was cut off: its end is missing".to_owned()))?;
        match self.expected {
            Some(expected) if part.found.fault.is_none() => {
                Err(none(format!("decision {} is not in it", expected.sequence)))
            }
            _ => Ok(part.found),
        }
    }
}

impl Begun {
    fn of(head: &v1::LogHead, trusted: Option<Vec<PublicKey>>) -> Result<Self> {
        let none = |reason: &str| DecisionLogError::NoExport(reason.to_owned());
        let own =
            head.public_keys.iter().map(|key| PublicKey::from_bytes(key).map_err(DecisionLogError::from));
        let keys = match trusted {
            Some(trusted) => trusted,
            None => own.collect::<Result<_>>()?,
        };
        if head.first < 1 || head.last < head.first {
            return Err(none("its head names no part of a log"));
        }
        let sha256 = Sha256Digest::try_from(head.previous_sha256.as_slice());
        let sha256 = sha256.map_err(|_| none("the hash before it is no SHA-256"))?;
        let before = Link { sequence: head.first - 1, sha256 };
        let begins_anew = head.first == 1 && before != Link::BEGINNING;
        let fault = begins_anew.then_some(Fault { sequence: 1, kind: FaultKind::ChainRewritten });
        let found = ExportVerification {
            first: head.first,
            verified: before,
            covered: 0,
            checkpoints: 0,
            keys,
            fault,
        };
        Ok(Self { last: head.last, records: 0, end: before, found, whole: false })
    }

    /// Holds the chain to the link that is expected, once it is there.
    fn meet(&mut self, expected: &mut Option<Link>) {
        if let Some(expected) = expected.take_if(|expected| expected.sequence == self.end.sequence)
            && expected != self.end
        {
            let rewritten = Fault { sequence: expected.sequence, kind: FaultKind::ChainRewritten };
            self.found.fault.get_or_insert(rewritten);
        }
    }

    fn record(&mut self, record: &v1::LogRecord) -> Result<(), Fault> {
        let next = self.end.then(&record.record);
        if record.sequence != next.sequence {
            return Err(Fault { sequence: next.sequence, kind: FaultKind::Missing });
        }
        let readable = DecisionRecord::decode(record.record.as_slice()).is_ok();
        if record.sha256 != next.sha256.as_bytes() || !readable {
            return Err(Fault { sequence: next.sequence, kind: FaultKind::RecordChanged });
        }
        self.records += 1;
        (self.end, self.found.verified) = (next, next);
        Ok(())
    }

    fn checkpoint(&mut self, message: &v1::Checkpoint) -> Result<(), Fault> {
        let fault = |kind| Fault { sequence: message.sequence, kind };
        if message.sequence != self.end.sequence {
            return Err(Fault { sequence: self.end.sequence + 1, kind: FaultKind::Missing });
        }
        // What cannot be one was signed by nobody.
        let checkpoint = checkpoint_from_wire(message).map_err(|_| fault(FaultKind::SignatureInvalid))?;
        if checkpoint.link != self.end {
            return Err(fault(FaultKind::ChainRewritten));
        }
        checkpoint.check(&self.found.keys).map_err(|distrust| match distrust {
            Distrust::KeyUnknown => fault(FaultKind::KeyUnknown),
            Distrust::SignatureInvalid => fault(FaultKind::SignatureInvalid),
        })?;
        self.found.checkpoints += 1;
        self.found.covered = self.found.verified.sequence;
        Ok(())
    }

    /// Holds what came to what the file says that it holds.
    fn close(&mut self, records: i64) {
        let verified = self.found.verified.sequence;
        if self.found.fault.is_none() && (verified != self.last || records != self.records) {
            self.found.fault = Some(Fault { sequence: verified + 1, kind: FaultKind::Missing });
        }
    }
}

/// The messages of a file, one after the other. After an error there are no more.
pub fn parts(mut file: impl BufRead) -> impl Iterator<Item = Result<LogPart>> {
    let mut broken = false;
    std::iter::from_fn(move || {
        let part = if broken { None } else { next(&mut file).transpose() };
        broken = matches!(part, None | Some(Err(_)));
        part
    })
}

fn next(file: &mut impl BufRead) -> Result<Option<LogPart>> {
    let none = |reason: String| DecisionLogError::NoExport(reason);
    let unreadable = |error: std::io::Error| match error.kind() {
        ErrorKind::UnexpectedEof => none("it was cut off within a message".to_owned()),
        _ => none(format!("it cannot be read: {error}")),
    };
    if file.fill_buf().map_err(unreadable)?.is_empty() {
        return Ok(None);
    }
    let length = length(file).map_err(unreadable)?;
    if length > MAX_PART_BYTES {
        return Err(none(format!("a message has {length} bytes, at most {MAX_PART_BYTES} are allowed")));
    }
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 != length {
        return Err(unreadable(ErrorKind::UnexpectedEof.into()));
    }
    let part = LogPart::decode(bytes.as_slice());
    part.map(Some).map_err(|error| none(format!("a message cannot be read: {error}")))
}

/// A length as protobuf writes it: seven bits a byte, the lowest first.
fn length(file: &mut impl Read) -> std::io::Result<u64> {
    let mut length = 0;
    for shift in (0..63).step_by(7) {
        let mut byte = [0];
        file.read_exact(&mut byte)?;
        length |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] < 0x80 {
            return Ok(length);
        }
    }
    Err(std::io::Error::new(ErrorKind::InvalidData, "a length has no end"))
}
