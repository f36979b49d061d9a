//! The table's rows of the schema registry and of what messages carry for it, but for those that the Python target
//! has, which stand in the table's own order.

use super::super::draft::{boolean, pem, seconds, secret, some_text, store, text};
use super::super::kind::ValueKind;
use super::super::registry::{
    on_schema_error, parse_token_url, payload_format, schema_draft, schema_mode,
};
use super::super::setting::{Group, Setting};
use super::SECONDS_OF_A_TIMEOUT;
use crate::secret::Secret;

pub(super) const ROWS: &[Setting] = &[
    Setting {
        key: "schema_registry_user",
        help: "The user's name at the registry. Of schema_registry_user with schema_registry_password, schema_registry_token, schema_registry_oauth_url and a login in schema_registry_url only one may be given.",
        example: Some(r#""loader""#),
        set: |draft, value| store(&mut draft.registry.user, some_text(value)?),
        ..PLAIN
    },
    Setting {
        key: "schema_registry_password",
        help: "The password of schema_registry_user.",
        set: |draft, value| store(&mut draft.registry.password, Secret::new(text(value))),
        ..SECRET
    },
    Setting {
        key: "schema_registry_token",
        help: "A bearer token for the registry.",
        set: |draft, value| store(&mut draft.registry.token, secret(value)?),
        ..SECRET
    },
    Setting {
        key: "schema_registry_oauth_url",
        help: "The whole URL of the token endpoint that gives bearer tokens for client credentials.",
        example: Some(r#""https://idp/realms/registry/protocol/openid-connect/token""#),
        set: |draft, value| {
            store(
                &mut draft.registry.oauth_url,
                parse_token_url(&text(value))?,
            )
        },
        ..PLAIN
    },
    Setting {
        key: "schema_registry_oauth_client_id",
        help: "The client's id at the token endpoint.",
        example: Some(r#""loader""#),
        set: |draft, value| store(&mut draft.registry.oauth_client_id, some_text(value)?),
        ..PLAIN
    },
    Setting {
        key: "schema_registry_oauth_client_secret",
        help: "The client's secret at the token endpoint.",
        set: |draft, value| store(&mut draft.registry.oauth_client_secret, secret(value)?),
        ..SECRET
    },
    Setting {
        key: "schema_registry_oauth_scope",
        help: "The scope that the token is asked for.",
        set: |draft, value| store(&mut draft.registry.oauth_scope, some_text(value)?),
        ..PLAIN
    },
    Setting {
        key: "schema_registry_ca",
        in_file: true,
        help: "PEM text of the certificates that the registry's and the token endpoint's may come from. Without it, the system's, or where it has none, those that this program brings.",
        set: |draft, value| store(&mut draft.registry.ca, pem(value, "schema_registry_ca")?),
        ..PLAIN
    },
    Setting {
        key: "schema_registry_cert",
        in_file: true,
        help: "PEM text of our own certificate for the registry, with those that it comes from behind it.",
        set: |draft, value| {
            store(
                &mut draft.registry.cert,
                pem(value, "schema_registry_cert")?,
            )
        },
        ..PLAIN
    },
    Setting {
        key: "schema_registry_key",
        help: "PEM text of the private key of schema_registry_cert.",
        set: |draft, value| {
            store(
                &mut draft.registry.key,
                Secret::new(pem(value, "schema_registry_key")?),
            )
        },
        ..SECRET
    },
    Setting {
        key: "schema_registry_timeout_seconds",
        kind: SECONDS_OF_A_TIMEOUT,
        default: Some("30"),
        help: "How long the registration of one schema may take, with all its tries.",
        set: |draft, value| store(&mut draft.registry.timeout, seconds(value)),
        ..PLAIN
    },
    Setting {
        key: "schema_mode",
        kind: ValueKind::Options(&["register", "lookup"]),
        default: Some(r#""register""#),
        help: "Whether a schema that the registry does not have is registered, or is an error. A lookup needs no permission to write.",
        set: |draft, value| store(&mut draft.registry.mode, schema_mode(value)),
        ..PLAIN
    },
    Setting {
        key: "schema_on_error",
        kind: ValueKind::Options(&["fail", "warn"]),
        default: Some(r#""fail""#),
        help: "What happens where a schema cannot be registered: the run ends, or the stream is published without ids, which is said once.",
        set: |draft, value| store(&mut draft.registry.on_error, on_schema_error(value)),
        ..PLAIN
    },
    Setting {
        key: "schema_draft",
        kind: ValueKind::Options(&["keep", "draft-07"]),
        default: Some(r#""keep""#),
        help: "What the registered schema says in its `$schema`: what the tap says, or draft-07, which a registry with a COMPATIBILITY rule needs, as it cannot compare 2020-12.",
        set: |draft, value| store(&mut draft.registry.draft, schema_draft(value)),
        ..PLAIN
    },
    Setting {
        key: "schema_closed",
        kind: ValueKind::Boolean,
        default: Some("false"),
        help: "Whether objects with properties get `additionalProperties: false` in the registered schema, so that a new column is compatible under BACKWARD. To be chosen before the first registration.",
        set: |draft, value| store(&mut draft.registry.is_closed, boolean(value)),
        ..PLAIN
    },
    Setting {
        key: "schema_headers",
        kind: ValueKind::Boolean,
        default: Some("true"),
        help: "Whether each message has the headers `apicurio.value.contentId` and `apicurio.value.globalId` while the registry is on.",
        set: |draft, value| store(&mut draft.registry.has_headers, boolean(value)),
        ..PLAIN
    },
    Setting {
        key: "payload_format",
        kind: ValueKind::Options(&["json", "framed_json", "avro"]),
        default: Some(r#""json""#),
        help: "What a payload is: the tap's JSON; the same behind a zero byte and the schema's contentId, as Apicurio's and Confluent's deserialisers want it; or Avro binary behind those.",
        set: |draft, value| store(&mut draft.registry.payload_format, payload_format(value)),
        ..PLAIN
    },
];

const PLAIN: Setting = Setting {
    group: Group::Registry,
    ..Setting::PLAIN
};

const SECRET: Setting = Setting {
    group: Group::Registry,
    ..Setting::SECRET
};
