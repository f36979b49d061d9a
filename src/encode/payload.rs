//! [`Encoding`]: how the records of one stream become payloads.

use std::fmt;

use super::avro::AvroCodec;
use crate::error::{Error, Kind};
use crate::settings::registry::PayloadFormat;

/// The byte before the id, in the framing that Apicurio's and Confluent's deserialisers share (spec apicurio.md, 4.1).
const MAGIC: u8 = 0;

/// The bytes before a payload that name its schema: a zero, and the contentId as a big-endian number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame([u8; 5]);

impl Frame {
    /// Of a schema that has no id, in a dry run.
    const NAMELESS: Self = Self([MAGIC, 0, 0, 0, 0]);

    /// Fails with `Refused` where the id has no room in it.
    fn new(content_id: i64) -> Result<Self, Error> {
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
    Avro(Frame, Box<AvroCodec>),
}

impl Encoding {
    /// How the records of a stream are encoded, but for the schema's id. Fails with `Input` where no Avro schema can be
    /// made of the stream's.
    pub(crate) fn compile(
        format: PayloadFormat,
        stream: &str,
        schema: &str,
    ) -> Result<Self, Error> {
        Ok(match format {
            PayloadFormat::Json => Self::Verbatim,
            PayloadFormat::FramedJson => Self::FramedJson(Frame::NAMELESS),
            PayloadFormat::Avro => {
                let codec = AvroCodec::compile(stream, schema).map_err(|e| e.stream(stream))?;
                Self::Avro(Frame::NAMELESS, Box::new(codec))
            }
        })
    }

    /// The schema has this id. Fails with `Refused` where the id has no room before a payload.
    pub(crate) fn name_schema(&mut self, content_id: i64) -> Result<(), Error> {
        match self {
            Self::Verbatim => {}
            Self::FramedJson(frame) | Self::Avro(frame, _) => *frame = Frame::new(content_id)?,
        }
        Ok(())
    }

    /// The Avro schema, where payloads are Avro.
    pub(crate) fn avro_schema(&self) -> Option<&str> {
        match self {
            Self::Avro(_, codec) => Some(codec.schema_text()),
            Self::Verbatim | Self::FramedJson(_) => None,
        }
    }

    pub(crate) fn is_verbatim(&self) -> bool {
        matches!(self, Self::Verbatim)
    }

    /// Appends the payload of a record, which must have been scanned before. Fails with `Input` where the record does
    /// not fit its schema; then nothing is appended.
    pub(crate) fn encode(&self, record: &str, out: &mut Vec<u8>) -> Result<(), Error> {
        let start = out.len();
        match self {
            Self::Verbatim => out.extend_from_slice(record.as_bytes()),
            Self::FramedJson(frame) => {
                out.extend_from_slice(&frame.0);
                out.extend_from_slice(record.as_bytes());
            }
            Self::Avro(frame, codec) => {
                out.extend_from_slice(&frame.0);
                if let Err(error) = codec.encode(record, out) {
                    out.truncate(start);
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_does_not_fit_leaves_nothing() {
        let schema = r#"{"properties":{"a":{"type":"integer"}},"required":["a"]}"#;
        let mut encoding = Encoding::compile(PayloadFormat::Avro, "s", schema).unwrap();
        encoding.name_schema(1).unwrap();
        let mut out = b"before".to_vec();
        assert!(encoding.encode(r#"{"a":"x"}"#, &mut out).is_err());
        assert_eq!(out, b"before");
        encoding.encode(r#"{"a":1}"#, &mut out).unwrap();
        assert_eq!(out, b"before\0\0\0\0\x01\x02");
    }

    #[test]
    fn a_frame_is_a_zero_and_the_id() {
        let mut out = b"before".to_vec();
        let mut encoding = Encoding::compile(PayloadFormat::FramedJson, "s", "{}").unwrap();
        encoding.name_schema(42).unwrap();
        encoding.encode(r#"{"a":1}"#, &mut out).unwrap();
        assert_eq!(out, b"before\0\0\0\0\x2a{\"a\":1}");
        assert_eq!(
            Frame::new(i64::from(i32::MAX) + 1).unwrap_err().kind(),
            Kind::Refused
        );
    }
}
