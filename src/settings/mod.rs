//! The settings of a run, typed and cross-checked.
//!
//! [`Settings`] is what the rest of the program sees: no JSON, no environment, no defaults to fill.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use self::address::ServerAddress;
use self::registry::{PayloadFormat, Registry};
use crate::error::Error;
use crate::secret::Secret;

pub(crate) mod about;
pub(crate) mod address;
mod checks;
mod context;
mod dotenv;
mod draft;
pub(crate) mod environment;
mod file_values;
mod kind;
pub(crate) mod load;
mod login;
mod names;
mod object_schemas;
pub(crate) mod registry;
mod setting;
mod table;

/// How the subjects of the JetStream API begin, where no domain and no other account's is meant.
pub(crate) const DEFAULT_API_PREFIX: &str = "$JS.API";

/// What to do with a value that is no legal subject token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubjectInvalid {
    /// The record is an error.
    Reject,
    /// Each illegal character becomes `_`.
    Replace,
    /// Each illegal byte becomes `=HH`: reversible, and two values never meet.
    Encode,
}

/// How messages are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeliveryKind {
    /// As the server asks for it, subject by subject.
    Auto,
    Core,
    JetStream,
    /// As values of keys in a bucket.
    Kv,
}

/// How a JetStream stream is fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ingest {
    /// By fast ingest where the stream allows it.
    Auto,
    /// Message by message.
    Pipelined,
    Fast,
}

/// What the `Nats-Msg-Id` of a message is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageId {
    /// There is none.
    None,
    /// The run and the message's place in it.
    Run,
    /// A hash of stream, subject and payload.
    Content,
}

/// What happens to a record that cannot be published as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnInvalidRecord {
    /// It ends the run.
    Fail,
    /// It is left out.
    Skip,
    /// It is published to the dead-letter subject.
    DeadLetter,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// As the SDK prints them.
    Text,
    /// One JSON object a line, as the SDK's `StructuredFormatter` does.
    Json,
}

/// How connections are encrypted, where the address or the server asks for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tls {
    /// PEM text of the certificates that a server's may come from; else the system's and the bundled ones.
    pub(crate) ca: Option<String>,
    /// PEM text of our own certificate and of what it comes from. Set together with `key`.
    pub(crate) cert: Option<String>,
    /// PEM text.
    pub(crate) key: Option<Secret>,
    /// The name that the server's certificate must have, in place of the address's.
    pub(crate) server_name: Option<String>,
    /// The server's certificate is not checked.
    pub(crate) insecure: bool,
    /// The handshake comes before the server's INFO.
    pub(crate) first: bool,
}

/// The settings of a run. Made by `load`, from configuration files, the environment and defaults.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Servers in the order in which they are tried; never empty.
    pub(crate) nats_urls: Vec<ServerAddress>,
    pub(crate) tls: Tls,
    /// `None` where the schema registry is off.
    pub(crate) registry: Option<Registry>,
    pub(crate) payload_format: PayloadFormat,
    pub(crate) queue_prefix: String,
    pub(crate) connection_name: String,
    pub(crate) connect_timeout: Duration,
    pub(crate) confirm_timeout: Duration,
    /// The subject's template for streams that no entry of `subjects` matches.
    pub(crate) subject: String,
    /// Stream name or glob, and its template; the first match wins.
    pub(crate) subjects: Vec<(String, String)>,
    pub(crate) subject_invalid: SubjectInvalid,
    /// Header name and template, in the order given.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) delivery: DeliveryKind,
    pub(crate) ingest: Ingest,
    pub(crate) message_id: MessageId,
    /// The JetStream stream that must capture every subject.
    pub(crate) jetstream_stream: Option<String>,
    /// The configuration that it is made with where it is missing.
    pub(crate) jetstream_create: Option<Map<String, Value>>,
    /// [`DEFAULT_API_PREFIX`] unless a domain or another prefix is set.
    pub(crate) jetstream_api_prefix: String,
    /// Where answers are awaited, without a dot at the end.
    pub(crate) inbox_prefix: String,
    /// Set where the delivery is `Kv`.
    pub(crate) kv_bucket: Option<String>,
    /// The template of a record's key in the bucket.
    pub(crate) kv_key: String,
    /// The configuration that the bucket is made with where it is missing.
    pub(crate) kv_create: Option<Map<String, Value>>,
    /// Whether a record whose `_sdc_deleted_at` is set becomes a delete marker.
    pub(crate) kv_deletes: bool,
    pub(crate) on_invalid_record: OnInvalidRecord,
    /// Set where `on_invalid_record` is `DeadLetter`.
    pub(crate) dead_letter_subject: Option<String>,
    pub(crate) workers: usize,
    pub(crate) connections: usize,
    /// Unconfirmed messages that a worker may hold.
    pub(crate) max_in_flight: usize,
    /// Unconfirmed payload bytes that a worker may hold.
    pub(crate) max_in_flight_bytes: usize,
    pub(crate) state_interval: Duration,
    pub(crate) log_format: LogFormat,
    pub(crate) process_activate_version_messages: bool,
    /// `batch_config.storage.root`: the folder in which BATCH files are looked for by their names alone.
    pub(crate) batch_root: Option<PathBuf>,
}

impl Settings {
    /// Settings from one JSON object, with the names and defaults of the program's settings. Unknown
    /// keys are logged as warnings, and `null` means the default.
    ///
    /// ```
    /// use target_nats::{Kind, Settings};
    ///
    /// let settings = Settings::from_json(r#"{"nats_url": "localhost:4222", "queue_prefix": "raw."}"#);
    /// assert!(settings.is_ok());
    ///
    /// let error = Settings::from_json(r#"{"workers": 0, "queue_prefix": 5}"#).unwrap_err();
    /// assert_eq!(error.kind(), Kind::Config);
    /// assert_eq!(
    ///     error.to_string(),
    ///     "config validation failed: queue_prefix must be a string, not an integer; \
    ///      workers must be from 1 to 64"
    /// );
    /// ```
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let loaded = load::parse(text)?;
        loaded.notes.iter().for_each(load::Note::write);
        Ok(loaded.settings)
    }
}
