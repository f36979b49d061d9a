//! The table's rows that the Python target has, in its order: those of its own, and those of the Singer SDK.

use super::super::draft::{boolean, parse_batch_config, servers, store, text};
use super::super::kind::ValueKind;
use super::super::object_schemas;
use super::super::registry::{is_on, parse_group, parse_registry_url};
use super::super::setting::{Group, Setting, Support};

pub(super) const ROWS: &[Setting] = &[
    Setting {
        key: "nats_url",
        group: Group::Connection,
        kind: ValueKind::String,
        default: Some(r#""nats://localhost:4222""#),
        help: "The NATS server: one URL, or several with commas between them. A login in it is percent-decoded and never printed.",
        example: Some(r#""nats://user:p%40ss@nats-1:4222,nats-2:4222""#),
        set: |draft, value| store(&mut draft.nats_urls, servers(value)?),
        ..Setting::PLAIN
    },
    Setting {
        key: "queue_prefix",
        group: Group::Subjects,
        kind: ValueKind::String,
        default: Some(r#""""#),
        help: "Put before the stream's name to make the subject; no dot is added.",
        example: Some(r#""raw.""#),
        set: |draft, value| store(&mut draft.queue_prefix, text(value)),
        ..Setting::PLAIN
    },
    Setting {
        key: "enable_schema_registry",
        group: Group::Registry,
        kind: ValueKind::BooleanText,
        default: Some("false"),
        help: "Whether every stream's schema is registered in the schema registry.",
        set: |draft, value| store(&mut draft.registry.is_on, is_on(value)),
        ..Setting::PLAIN
    },
    Setting {
        key: "schema_registry_url",
        group: Group::Registry,
        kind: ValueKind::String,
        default: Some(r#""http://localhost:8080/apis/registry/v3""#),
        help: "The base URL of an Apicurio Registry: of its API v3, v2 or ccompat (`/apis/ccompat/v7`), or without a path for v3. A login in it is percent-decoded and never printed.",
        example: Some(r#""https://registry.example.com/apis/registry/v3""#),
        set: |draft, value| store(&mut draft.registry.url, parse_registry_url(&text(value))?),
        ..Setting::PLAIN
    },
    Setting {
        key: "schema_group_id",
        group: Group::Registry,
        kind: ValueKind::String,
        default: Some(r#""default""#),
        help: "The registry's group that schemas are put into.",
        set: |draft, value| store(&mut draft.registry.group, parse_group(&text(value))?),
        ..Setting::PLAIN
    },
    Setting {
        key: "schema_topic_prefix",
        group: Group::Registry,
        kind: ValueKind::String,
        default: Some(r#""""#),
        help: "Put before the stream's name to make the id of its artifact in the registry.",
        set: |draft, value| store(&mut draft.registry.prefix, text(value)),
        ..Setting::PLAIN
    },
    Setting {
        key: "add_record_metadata",
        group: Group::Transform,
        kind: ValueKind::Boolean,
        title: Some("Add Record Metadata"),
        help: "Whether the SDK's _sdc_ fields are added to every record.",
        support: Support::NotYet,
        ..Setting::PLAIN
    },
    Setting {
        key: "load_method",
        group: Group::Transform,
        kind: ValueKind::Options(&["append-only", "upsert", "overwrite"]),
        default: Some(r#""append-only""#),
        help: "How a target with tables loads its records; a message is always appended.",
        support: Support::Ignored,
        ..Setting::PLAIN
    },
    Setting {
        key: "batch_size_rows",
        group: Group::Transform,
        kind: ValueKind::INTEGER,
        title: Some("Batch Size Rows"),
        help: "The number of rows that a target with tables loads at once; messages are sent as they come.",
        support: Support::Ignored,
        ..Setting::PLAIN
    },
    Setting {
        key: "validate_records",
        group: Group::Transform,
        kind: ValueKind::Boolean,
        title: Some("Validate Records"),
        default: Some("true"),
        help: "Whether every record is validated against its stream's schema. No record is validated yet.",
        support: Support::NotYet,
        ..Setting::PLAIN
    },
    Setting {
        key: "stream_maps",
        group: Group::Transform,
        kind: ValueKind::Object,
        title: Some("Stream Maps"),
        help: "Stream maps, as in [the SDK](https://sdk.meltano.com/en/latest/stream_maps.html).",
        schema: Some(object_schemas::STREAM_MAPS),
        support: Support::NotYet,
        ..Setting::PLAIN
    },
    Setting {
        key: "stream_map_config",
        group: Group::Transform,
        kind: ValueKind::Object,
        title: Some("User Stream Map Configuration"),
        help: "Values of your own that the expressions of stream maps may use.",
        schema: Some(object_schemas::ANY_OBJECT),
        support: Support::NotYet,
        ..Setting::PLAIN
    },
    Setting {
        key: "faker_config",
        group: Group::Transform,
        kind: ValueKind::Object,
        title: Some("Faker Configuration"),
        help: "Seed and locale of `fake` in the expressions of stream maps.",
        schema: Some(object_schemas::FAKER_CONFIG),
        support: Support::NotYet,
        ..Setting::PLAIN
    },
    Setting {
        key: "flattening_enabled",
        group: Group::Transform,
        kind: ValueKind::Boolean,
        title: Some("Enable Schema Flattening"),
        help: "Whether nested properties are flattened.",
        support: Support::NotYet,
        ..Setting::PLAIN
    },
    Setting {
        key: "flattening_max_depth",
        group: Group::Transform,
        kind: ValueKind::INTEGER,
        title: Some("Max Flattening Depth"),
        help: "How many levels are flattened.",
        support: Support::NotYet,
        ..Setting::PLAIN
    },
    Setting {
        key: "flattening_max_key_length",
        group: Group::Transform,
        kind: ValueKind::INTEGER,
        title: Some("Max Key Length"),
        help: "The greatest length of a flattened property's name.",
        support: Support::NotYet,
        ..Setting::PLAIN
    },
    Setting {
        key: "flattening_separator",
        group: Group::Transform,
        kind: ValueKind::String,
        title: Some("Flattening Separator"),
        help: "What stands between the parts of a flattened property's name.",
        support: Support::NotYet,
        ..Setting::PLAIN
    },
    Setting {
        key: "process_activate_version_messages",
        group: Group::Input,
        kind: ValueKind::Boolean,
        title: Some("Process `ACTIVATE_VERSION` messages"),
        default: Some("true"),
        help: "Whether ACTIVATE_VERSION messages are processed.",
        set: |draft, value| store(&mut draft.process_activate_version_messages, boolean(value)),
        ..Setting::PLAIN
    },
    Setting {
        key: "batch_config",
        group: Group::Input,
        kind: ValueKind::Object,
        title: Some("Batch Configuration"),
        help: "The SDK's batch configuration; a target uses `storage.root` alone, the folder in which BATCH files are looked for by their names alone.",
        example: Some(r#"{"storage": {"root": "file:///data/batches"}}"#),
        schema: Some(object_schemas::BATCH_CONFIG),
        set: |draft, value| store(&mut draft.batch_config, parse_batch_config(value)?),
        ..Setting::PLAIN
    },
];
