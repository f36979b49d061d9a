//! The settings of what is done to records before they are published, as the Singer SDK has it.

use serde_json::Value;

use super::draft::filled;

/// What stands between the parts of a flattened name.
const SEPARATOR: &str = "__";
/// In characters.
const MAX_KEY_LENGTH: usize = 255;
/// The SDK takes this depth for none.
const NO_DEPTH: i64 = -1;

/// How objects become columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flattening {
    /// How many levels of objects become columns, at least 1.
    pub(crate) max_depth: usize,
    pub(crate) separator: String,
    /// In characters. A name that is as long as this is shortened.
    pub(crate) max_key_length: usize,
}

/// How a JSON payload is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PayloadStyle {
    /// As the tap wrote it.
    Verbatim,
    /// As the Python target would.
    Python,
}

/// What is done to records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transforms {
    /// Whether the SDK's `_sdc_` columns are added.
    pub(crate) adds_metadata: bool,
    /// Whether records are held against their schema.
    pub(crate) validates: bool,
    pub(crate) flattening: Option<Flattening>,
    pub(crate) payload_style: PayloadStyle,
}

/// These settings as they come in.
#[derive(Debug, Default)]
pub(crate) struct TransformsDraft {
    pub(super) adds_metadata: Option<bool>,
    pub(super) validates: Option<bool>,
    pub(super) flattening_enabled: Option<bool>,
    pub(super) flattening_max_depth: Option<i64>,
    pub(super) flattening_max_key_length: Option<i64>,
    pub(super) flattening_separator: Option<String>,
    pub(super) payload_style: Option<PayloadStyle>,
}

impl TransformsDraft {
    pub(super) fn finish(self) -> Result<Transforms, String> {
        Ok(Transforms {
            adds_metadata: self.adds_metadata.unwrap_or_default(),
            validates: filled(self.validates),
            payload_style: filled(self.payload_style),
            flattening: self.flattening()?,
        })
    }

    fn flattening(self) -> Result<Option<Flattening>, String> {
        if self.flattening_enabled != Some(true) {
            return Ok(None);
        }
        let depth = self
            .flattening_max_depth
            .filter(|depth| *depth != NO_DEPTH)
            .ok_or("flattening_enabled needs flattening_max_depth")?;
        let length = self.flattening_max_key_length.map(usize::try_from);
        Ok(Some(Flattening {
            max_depth: match usize::try_from(depth) {
                Ok(depth) if depth > 0 => depth,
                _ => return Ok(None),
            },
            separator: self.flattening_separator.unwrap_or(SEPARATOR.to_owned()),
            max_key_length: match length {
                None => MAX_KEY_LENGTH,
                Some(Ok(length)) => length,
                Some(Err(_)) => {
                    return Err("flattening_max_key_length must not be negative".to_owned());
                }
            },
        }))
    }
}

pub(super) fn payload_style(value: &Value) -> PayloadStyle {
    match value.as_str() {
        Some("python") => PayloadStyle::Python,
        _ => PayloadStyle::Verbatim,
    }
}
