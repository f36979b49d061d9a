//! [`Encoding`]: how the records of one stream become payloads.

use std::fmt;

use crate::error::{Error, Kind};

/// The byte before the id, in the framing that Apicurio's and Confluent's deserialisers share (spec apicurio.md, 4.1).
const MAGIC: u8 = 0;

/// The bytes before a payload that name its schema: a zero, and the contentId as a big-endian number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame([u8; 5]);

impl Frame {
    /// Fails with `Refused` where the id has no room in it.
    pub(crate) fn new(content_id: i64) -> Result<Self, Error> {
        let id = i32::try_from(content_id).map_err(|_| {
            let what = "the schema's contentId is too large for the four bytes before each payload";
            Error::new(Kind::Refused, what).cause(content_id)
        })?;
        let [a, b, c, d] = id.to_be_bytes();
        Ok(Self([MAGIC, a, b, c, d]))
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x?}", self.0)
    }
}

/// What is made of a record.
#[derive(Debug)]
pub(crate) enum Encoding {
    /// The tap's own bytes: nothing is made.
    Verbatim,
    FramedJson(Frame),
}

impl Encoding {
    pub(crate) fn is_verbatim(&self) -> bool {
        matches!(self, Self::Verbatim)
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "records that are encoded by their schema may not fit it"
    )]
    /// Appends the payload of a record, which must have been scanned before. Fails with `Input` where the record does
    /// not fit its schema; then nothing is appended.
    pub(crate) fn encode(&self, record: &str, out: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Self::Verbatim => out.extend_from_slice(record.as_bytes()),
            Self::FramedJson(frame) => {
                out.extend_from_slice(&frame.0);
                out.extend_from_slice(record.as_bytes());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_a_zero_and_the_id() {
        let mut out = b"before".to_vec();
        let encoding = Encoding::FramedJson(Frame::new(42).unwrap());
        encoding.encode(r#"{"a":1}"#, &mut out).unwrap();
        assert_eq!(out, b"before\0\0\0\0\x2a{\"a\":1}");
        assert_eq!(
            Frame::new(i64::from(i32::MAX) + 1).unwrap_err().kind(),
            Kind::Refused
        );
    }
}
