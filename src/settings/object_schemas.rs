//! What stands inside the settings that are objects, as JSON schema, for `--about`.
//!
//! The shapes are the SDK's, without its stray `"null"` among the `anyOf`. They describe; nothing is
//! checked against them.

/// Anything goes.
pub(super) const ANY_OBJECT: &str = r#"{"properties": {}, "additionalProperties": true}"#;

/// Any name, each with a text.
pub(super) const TEXTS: &str =
    r#"{"properties": {}, "additionalProperties": {"type": ["string"]}}"#;

pub(super) const BATCH_CONFIG: &str = r#"{
  "properties": {
    "encoding": {
      "type": ["object", "null"],
      "properties": {
        "format": {
          "type": ["string", "null"],
          "title": "Batch Encoding Format",
          "description": "Said by each BATCH message itself.",
          "enum": ["jsonl", "parquet"]
        },
        "compression": {
          "type": ["string", "null"],
          "title": "Batch Compression Format",
          "description": "Said by each BATCH message itself.",
          "enum": ["gzip", "none"]
        }
      },
      "additionalProperties": true,
      "title": "Batch Encoding Configuration",
      "description": "Accepted and not used by a target."
    },
    "storage": {
      "type": ["object", "null"],
      "properties": {
        "root": {
          "type": ["string", "null"],
          "title": "Batch Storage Root",
          "description": "The folder in which BATCH files are looked for by their names alone."
        },
        "prefix": {
          "type": ["string", "null"],
          "title": "Batch Storage Prefix",
          "description": "Accepted and not used by a target."
        }
      },
      "additionalProperties": true,
      "title": "Batch Storage Configuration",
      "description": "Where BATCH files are."
    }
  },
  "additionalProperties": true
}"#;

pub(super) const STREAM_MAPS: &str = r#"{
  "properties": {
    "__else__": {
      "anyOf": [{"const": "__NULL__"}, {"type": "null"}],
      "title": "Other streams",
      "description": "`__NULL__` removes the streams that are not named here."
    }
  },
  "additionalProperties": {
    "anyOf": [
      {"const": "__NULL__"},
      {"type": "null"},
      {
        "type": "object",
        "properties": {
          "__alias__": {
            "type": ["string", "null"],
            "title": "Stream Alias",
            "description": "Another name for the stream."
          },
          "__else__": {
            "anyOf": [{"const": "__NULL__"}, {"type": "null"}],
            "title": "Other properties",
            "description": "`__NULL__` removes the properties that are not named here."
          },
          "__filter__": {
            "type": ["string", "null"],
            "title": "Filter",
            "description": "An expression; a record stays where it is true."
          },
          "__key_properties__": {
            "type": ["array", "null"],
            "items": {"type": ["string"]},
            "title": "Key Properties",
            "description": "The stream's key properties."
          },
          "__source__": {
            "type": ["string", "null"],
            "description": "The stream that this one is made from."
          }
        },
        "additionalProperties": {
          "anyOf": [{"const": "__NULL__"}, {"type": "null"}, {"type": ["string"]}]
        }
      }
    ]
  }
}"#;

pub(super) const FAKER_CONFIG: &str = r#"{
  "properties": {
    "seed": {
      "oneOf": [
        {"type": ["number"]},
        {"type": ["string"]},
        {"type": ["boolean"]},
        {"type": "null"}
      ],
      "title": "Faker Seed",
      "description": "What makes the generated values repeatable."
    },
    "locale": {
      "oneOf": [
        {"type": ["string"]},
        {"type": "array", "items": {"type": ["string"]}},
        {"type": "null"}
      ],
      "title": "Faker Locale",
      "description": "One or several locales of the generated values."
    }
  },
  "additionalProperties": true
}"#;
