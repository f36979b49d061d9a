//! Settings as they come in, one `Option` each, and how they become [`Settings`].
//!
//! The rows of the table fill it; [`Draft::finish`] holds what is to be said of several settings at once.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use super::address::{ServerAddress, parse_servers};
use super::kind::type_name;
use super::login::LoginDraft;
use super::registry::RegistryDraft;
use super::{
    DEFAULT_API_PREFIX, DeliveryKind, Ingest, LogFormat, MessageId, OnInvalidRecord, Settings,
    SubjectInvalid, Tls,
};
use crate::secret::Secret;

/// What has been set so far. A row of the table sets exactly one field of it, or none.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(super) nats_urls: Option<Vec<ServerAddress>>,
    pub(super) login: LoginDraft,
    /// What it says has been put among the other settings when they were loaded.
    pub(super) nats_context: Option<String>,
    pub(super) tls: TlsDraft,
    pub(super) registry: RegistryDraft,
    pub(super) queue_prefix: Option<String>,
    pub(super) process_activate_version_messages: Option<bool>,
    pub(super) batch_config: Option<BatchConfig>,
    pub(super) connection_name: Option<String>,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) confirm_timeout: Option<Duration>,
    pub(super) subject: Option<String>,
    pub(super) subjects: Option<Vec<(String, String)>>,
    pub(super) subject_invalid: Option<SubjectInvalid>,
    pub(super) headers: Option<Vec<(String, String)>>,
    pub(super) delivery: Option<DeliveryKind>,
    pub(super) ingest: Option<Ingest>,
    pub(super) message_id: Option<MessageId>,
    pub(super) jetstream_stream: Option<String>,
    pub(super) jetstream_create: Option<Map<String, Value>>,
    pub(super) jetstream_domain: Option<String>,
    pub(super) jetstream_api_prefix: Option<String>,
    pub(super) inbox_prefix: Option<String>,
    pub(super) kv_bucket: Option<String>,
    pub(super) kv_key: Option<String>,
    pub(super) kv_create: Option<Map<String, Value>>,
    pub(super) kv_deletes: Option<bool>,
    pub(super) on_invalid_record: Option<OnInvalidRecord>,
    pub(super) dead_letter_subject: Option<String>,
    pub(super) workers: Option<usize>,
    pub(super) connections: Option<usize>,
    pub(super) max_in_flight: Option<usize>,
    pub(super) max_in_flight_bytes: Option<usize>,
    pub(super) state_interval: Option<Duration>,
    pub(super) log_format: Option<LogFormatChoice>,
}

/// The settings of TLS.
#[derive(Debug, Default)]
pub(crate) struct TlsDraft {
    pub(super) ca: Option<String>,
    pub(super) cert: Option<String>,
    pub(super) key: Option<Secret>,
    pub(super) server_name: Option<String>,
    pub(super) insecure: Option<bool>,
    pub(super) first: Option<bool>,
}

impl TlsDraft {
    fn finish(self) -> Result<Tls, String> {
        match (&self.cert, &self.key) {
            (Some(_), None) => return Err("tls_cert needs tls_key".to_owned()),
            (None, Some(_)) => return Err("tls_key needs tls_cert".to_owned()),
            _ => {}
        }
        Ok(Tls {
            ca: self.ca,
            cert: self.cert,
            key: self.key,
            server_name: self.server_name,
            insecure: filled(self.insecure),
            first: filled(self.first),
        })
    }
}

/// What is used of `batch_config`.
#[derive(Debug, Default)]
pub(crate) struct BatchConfig {
    pub(super) root: Option<PathBuf>,
}

/// `log_format`, before it is known what `auto` comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormatChoice {
    Auto,
    Fixed(LogFormat),
}

impl Draft {
    /// Checks what concerns more than one setting. `connections_given` tells that the number of
    /// connections was chosen and is not the default, which gives way to fewer workers.
    pub(super) fn finish(
        self,
        connections_given: bool,
        auto_log_format: LogFormat,
    ) -> Result<Settings, String> {
        // No `..`: a field that nobody takes up does not compile.
        let Self {
            nats_urls,
            login,
            nats_context: _,
            tls,
            registry,
            queue_prefix,
            process_activate_version_messages,
            batch_config,
            connection_name,
            connect_timeout,
            confirm_timeout,
            subject,
            subjects,
            subject_invalid,
            headers,
            delivery,
            ingest,
            message_id,
            jetstream_stream,
            jetstream_create,
            jetstream_domain,
            jetstream_api_prefix,
            inbox_prefix,
            kv_bucket,
            kv_key,
            kv_create,
            kv_deletes,
            on_invalid_record,
            dead_letter_subject,
            workers,
            connections,
            max_in_flight,
            max_in_flight_bytes,
            state_interval,
            log_format,
        } = self;
        let mut nats_urls = filled(nats_urls);
        login.finish(&mut nats_urls)?;
        let (registry, payload_format) = registry.finish()?;
        let workers = filled(workers);
        let mut connections = filled(connections);
        if connections > workers {
            if connections_given {
                return Err(format!(
                    "connections ({connections}) must not be more than workers ({workers})"
                ));
            }
            connections = workers;
        }
        Ok(Settings {
            nats_urls,
            tls: tls.finish()?,
            registry,
            payload_format,
            queue_prefix: filled(queue_prefix),
            connection_name: filled(connection_name),
            connect_timeout: filled(connect_timeout),
            confirm_timeout: filled(confirm_timeout),
            subject: filled(subject),
            subjects: subjects.unwrap_or_default(),
            subject_invalid: filled(subject_invalid),
            headers: headers.unwrap_or_default(),
            delivery: filled(delivery),
            ingest: filled(ingest),
            message_id: filled(message_id),
            jetstream_stream,
            jetstream_create,
            jetstream_api_prefix: match (jetstream_api_prefix, jetstream_domain) {
                (Some(prefix), _) => prefix,
                (None, Some(domain)) => format!("$JS.{domain}.API"),
                (None, None) => DEFAULT_API_PREFIX.to_owned(),
            },
            inbox_prefix: filled(inbox_prefix),
            kv_bucket,
            kv_key: filled(kv_key),
            kv_create,
            kv_deletes: filled(kv_deletes),
            on_invalid_record: filled(on_invalid_record),
            dead_letter_subject,
            workers,
            connections,
            max_in_flight: filled(max_in_flight),
            max_in_flight_bytes: filled(max_in_flight_bytes),
            state_interval: filled(state_interval),
            log_format: match filled(log_format) {
                LogFormatChoice::Auto => auto_log_format,
                LogFormatChoice::Fixed(format) => format,
            },
            process_activate_version_messages: filled(process_activate_version_messages),
            batch_root: batch_config.unwrap_or_default().root,
        })
    }
}

pub(super) fn filled<T>(value: Option<T>) -> T {
    value.expect("the table has a default for this setting")
}

/// `batch_config`: of the SDK's object only `storage.root` says something to a target.
pub(super) fn parse_batch_config(value: &Value) -> Result<BatchConfig, String> {
    let storage = match &value["storage"] {
        Value::Null => return Ok(BatchConfig::default()),
        storage @ Value::Object(_) => storage,
        other => {
            return Err(format!(
                "storage must be an object, not {}",
                type_name(other)
            ));
        }
    };
    let root = match &storage["root"] {
        Value::Null => None,
        Value::String(root) => {
            let path = root.strip_prefix("file://").unwrap_or(root);
            (!path.is_empty()).then(|| PathBuf::from(path))
        }
        other => {
            return Err(format!(
                "storage.root must be a string, not {}",
                type_name(other)
            ));
        }
    };
    Ok(BatchConfig { root })
}

/// An object whose values are texts, in its own order.
pub(super) fn parse_texts(value: &Value) -> Result<Vec<(String, String)>, String> {
    let mut texts = Vec::new();
    for (key, value) in value.as_object().into_iter().flatten() {
        match value {
            Value::String(text) => texts.push((key.clone(), text.clone())),
            other => {
                return Err(format!(
                    "holds {} under {key:?}, not a string",
                    type_name(other)
                ));
            }
        }
    }
    Ok(texts)
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "a row's `set` may fail, this way of storing does not"
)]
pub(super) fn store<T>(field: &mut Option<T>, value: T) -> Result<(), String> {
    *field = Some(value);
    Ok(())
}

pub(super) fn servers(value: &Value) -> Result<Vec<ServerAddress>, String> {
    parse_servers(&text(value)).map_err(|error| format!("cannot be used: {error}"))
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().expect(CHECKED).to_owned()
}

/// A text that must say something.
pub(super) fn some_text(value: &Value) -> Result<String, String> {
    Some(text(value))
        .filter(|text| !text.is_empty())
        .ok_or_else(|| "must not be empty".to_owned())
}

pub(super) fn secret(value: &Value) -> Result<Secret, String> {
    some_text(value).map(Secret::new)
}

/// PEM text; where it is a path, that is said.
pub(super) fn pem(value: &Value, key: &str) -> Result<String, String> {
    let text = text(value);
    if text.contains("-----BEGIN ") {
        Ok(text)
    } else {
        Err(format!("must be PEM text; a path belongs into {key}_file"))
    }
}

pub(super) fn boolean(value: &Value) -> bool {
    value.as_bool().expect(CHECKED)
}

pub(super) fn count(value: &Value) -> usize {
    usize::try_from(value.as_u64().expect(CHECKED)).expect(CHECKED)
}

pub(super) fn seconds(value: &Value) -> Duration {
    Duration::from_secs_f64(value.as_f64().expect(CHECKED))
}

pub(super) fn subject_invalid(value: &Value) -> SubjectInvalid {
    match value.as_str() {
        Some("replace") => SubjectInvalid::Replace,
        Some("encode") => SubjectInvalid::Encode,
        _ => SubjectInvalid::Reject,
    }
}

pub(super) fn delivery(value: &Value) -> DeliveryKind {
    match value.as_str() {
        Some("core") => DeliveryKind::Core,
        Some("jetstream") => DeliveryKind::JetStream,
        Some("kv") => DeliveryKind::Kv,
        _ => DeliveryKind::Auto,
    }
}

pub(super) fn ingest(value: &Value) -> Ingest {
    match value.as_str() {
        Some("pipelined") => Ingest::Pipelined,
        Some("fast") => Ingest::Fast,
        _ => Ingest::Auto,
    }
}

pub(super) fn message_id(value: &Value) -> MessageId {
    match value.as_str() {
        Some("run") => MessageId::Run,
        Some("content") => MessageId::Content,
        _ => MessageId::None,
    }
}

pub(super) fn object(value: &Value) -> Map<String, Value> {
    value.as_object().expect(CHECKED).clone()
}

pub(super) fn on_invalid_record(value: &Value) -> OnInvalidRecord {
    match value.as_str() {
        Some("skip") => OnInvalidRecord::Skip,
        Some("dead_letter") => OnInvalidRecord::DeadLetter,
        _ => OnInvalidRecord::Fail,
    }
}

pub(super) fn log_format(value: &Value) -> LogFormatChoice {
    match value.as_str() {
        Some("text") => LogFormatChoice::Fixed(LogFormat::Text),
        Some("json") => LogFormatChoice::Fixed(LogFormat::Json),
        _ => LogFormatChoice::Auto,
    }
}

/// Why a setter need not ask for the type again.
const CHECKED: &str = "the row's kind was checked before";
