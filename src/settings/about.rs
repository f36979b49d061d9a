//! What the program says of itself: `--about` in three forms, `--version`, and the settings in `--help`
//! and in the README.
//!
//! All of it is made from the table. Keys and their order in JSON are the SDK's, since hubs and
//! orchestrators read them. It returns texts, each with its last line end, and
//! prints nothing.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::kind::ValueKind;
use super::setting::{Group, Setting, Support};
use super::table::TABLE;

const NAME: &str = "target-nats";

const DESCRIPTION: &str = "Singer target that publishes every record to NATS and prints STATE once all \
                           that came before it is stored.";

/// The SDK whose command line, settings and output this program has.
const SDK_VERSION: &str = "0.54.9";

/// The SDK's names for what works in this version.
const CAPABILITIES: [&str; 3] = ["about", "structured-logging", "batch"];

/// The width to which `--help` is wrapped, as argh does.
const HELP_WIDTH: usize = 80;

/// What `--version` prints.
pub(crate) fn render_version() -> String {
    format!(
        "{NAME} v{}, Meltano SDK v{SDK_VERSION}\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// What `--about --format=json` prints.
pub(crate) fn render_json() -> String {
    let about = json!({
        "name": NAME,
        "description": DESCRIPTION,
        "version": env!("CARGO_PKG_VERSION"),
        "sdk_version": SDK_VERSION,
        // The SDK's key stays; no Python is needed.
        "supported_python_versions": [],
        "capabilities": CAPABILITIES,
        "settings": {
            "type": "object",
            "properties": properties(),
            "$schema": "https://json-schema.org/draft/2020-12/schema",
        },
    });
    format!("{about:#}\n")
}

/// What `--about` prints without a format.
pub(crate) fn render_text() -> String {
    let mut text = format!(
        "Name: {NAME}\nDescription: {DESCRIPTION}\nVersion: {}\nSDK Version: {SDK_VERSION}\n\
         Capabilities:\n",
        env!("CARGO_PKG_VERSION"),
    );
    for capability in CAPABILITIES {
        let _ = writeln!(text, "  - {capability}");
    }
    text += "Settings:\n";
    for setting in TABLE {
        let (key, kind, variable) = (setting.key, type_word(setting.kind), setting.variable());
        let _ = writeln!(
            text,
            "  - Name: {key}\n    Type: ['{kind}', 'null']\n    Environment Variable: {variable}"
        );
    }
    text + "\n"
}

/// What `--about --format=markdown` prints.
pub(crate) fn render_markdown() -> String {
    let mut text = format!(
        "# `{NAME}`\n\n{DESCRIPTION}\n\n\
         Behaves as a target built with the [Meltano Singer SDK](https://sdk.meltano.com).\n\n\
         ## Capabilities\n\n"
    );
    for capability in CAPABILITIES {
        let _ = writeln!(text, "- `{capability}`");
    }
    text += "\n## Settings\n\n| Setting | Required | Default | Description |\n\
             |:--------|:--------:|:-------:|:------------|\n";
    render_markdown_rows(&mut text, "", &properties());
    let _ = write!(
        text,
        "\nA full list of supported settings and capabilities is available by running: \
         `{NAME} --about`\n\n"
    );
    text
}

fn render_markdown_rows(text: &mut String, parent: &str, properties: &Map<String, Value>) {
    for (key, schema) in properties {
        let name = format!("{parent}{key}");
        let default = match schema.get("default") {
            None => "None".to_owned(),
            Some(Value::Bool(true)) => "True".to_owned(),
            Some(Value::Bool(false)) => "False".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let description = schema["description"].as_str().unwrap_or_default();
        let (default, description) = (table_cell(&default), table_cell(description));
        let _ = writeln!(text, "| {name} | False | {default} | {description} |");
        if let Some(inner) = schema.get("properties").and_then(Value::as_object) {
            render_markdown_rows(text, &format!("{name}."), inner);
        }
    }
}

/// The settings as JSON schema, each with its parts in the SDK's order.
fn properties() -> Map<String, Value> {
    TABLE
        .iter()
        .map(|setting| (setting.key.to_owned(), Value::Object(property(setting))))
        .collect()
}

fn property(setting: &Setting) -> Map<String, Value> {
    let mut property = Map::new();
    property.insert("type".into(), json!([type_word(setting.kind), "null"]));
    if let Some(schema) = setting.schema {
        let inside: Map<String, Value> =
            serde_json::from_str(schema).expect("the table's schemas are JSON objects");
        property.extend(inside);
    }
    if let Some(title) = setting.title {
        property.insert("title".into(), title.into());
    }
    if let Some(default) = setting.default_value() {
        property.insert("default".into(), default);
    }
    property.insert("description".into(), description(setting).into());
    if setting.secret {
        property.insert("secret".into(), true.into());
        property.insert("writeOnly".into(), true.into());
    }
    if let ValueKind::Options(options) = setting.kind {
        property.insert("enum".into(), json!(options));
    }
    property
}

fn type_word(kind: ValueKind) -> &'static str {
    match kind {
        ValueKind::String | ValueKind::Options(_) => "string",
        ValueKind::Integer { .. } => "integer",
        ValueKind::Number { .. } => "number",
        ValueKind::Boolean | ValueKind::BooleanText => "boolean",
        ValueKind::Object => "object",
    }
}

fn description(setting: &Setting) -> String {
    match setting.support {
        Support::Works => match setting.file_key() {
            Some(file_key) => format!("{} Or {file_key}: a file that holds it.", setting.help),
            None => setting.help.to_owned(),
        },
        Support::Ignored => format!("{} Accepted and ignored.", setting.help),
        Support::NotYet => {
            format!(
                "{} Not in this version yet: only the default is accepted.",
                setting.help
            )
        }
    }
}

/// The type, with what it is limited to.
fn range(kind: ValueKind) -> String {
    match kind {
        ValueKind::INTEGER => "integer".to_owned(),
        ValueKind::Integer { min, max } => format!("integer, {min} to {max}"),
        ValueKind::Number { min, max } => format!("number, {min} to {max}"),
        ValueKind::Options(options) => {
            let options: Vec<_> = options.iter().map(|option| code(option)).collect();
            options.join(", ")
        }
        other => type_word(other).to_owned(),
    }
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn table_cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', "<BR/>")
}

/// The settings in `--help`, behind what argh says of the options.
pub(crate) fn render_help() -> String {
    let mut text = String::from(
        "Settings, each a key of a --config file or, with --config ENV, the environment\n\
         variable TARGET_NATS_<KEY>:\n",
    );
    for group in Group::ALL {
        let settings = TABLE
            .iter()
            .filter(|setting| setting.group == group && setting.support == Support::Works);
        for (index, setting) in settings.enumerate() {
            if index == 0 {
                let _ = writeln!(text, "\n{}:", group.heading());
            }
            let limits = range(setting.kind).replace('`', "");
            let default = setting
                .default
                .map(|default| format!("; default {default}"));
            let default = default.unwrap_or_default();
            let short = setting
                .help
                .split_once(". ")
                .map_or(setting.help, |(first, _)| first);
            let short = short.trim_end_matches('.').replace('`', "");
            let or_file = match setting.file_key() {
                Some(file_key) => format!(", or {file_key}"),
                None => String::new(),
            };
            let heading = format!("{}{or_file} ({limits}{default})", setting.key);
            wrap(&mut text, "  ", &heading);
            wrap(&mut text, "      ", &short);
            if let Some(example) = setting.example {
                wrap(&mut text, "      ", &format!("Example: {example}"));
            }
        }
    }
    for (support, what) in [
        (Support::Ignored, "Accepted and ignored:"),
        (
            Support::NotYet,
            "Not in this version yet, so that only the default is accepted:",
        ),
    ] {
        let keys: Vec<_> = TABLE
            .iter()
            .filter(|setting| setting.support == support)
            .map(|setting| setting.key)
            .collect();
        if !keys.is_empty() {
            let _ = writeln!(text, "\n{what}");
            wrap(&mut text, "  ", &keys.join(", "));
        }
    }
    text
}

fn wrap(text: &mut String, indent: &str, words: &str) {
    let mut column = 0;
    for word in words.split(' ') {
        let length = word.chars().count();
        if column == 0 {
            *text += indent;
            column = indent.len();
        } else if column + 1 + length >= HELP_WIDTH {
            text.push('\n');
            *text += indent;
            column = indent.len();
        } else {
            text.push(' ');
            column += 1;
        }
        *text += word;
        column += length;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_sdks_keys_in_the_sdks_order() {
        let about: Value = serde_json::from_str(&render_json()).unwrap();
        let keys: Vec<_> = about.as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            [
                "name",
                "description",
                "version",
                "sdk_version",
                "supported_python_versions",
                "capabilities",
                "settings",
            ]
        );
        let settings = &about["settings"];
        let keys: Vec<_> = settings.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["type", "properties", "$schema"]);
        let properties = settings["properties"].as_object().unwrap();
        let keys: Vec<_> = properties.keys().map(String::as_str).take(4).collect();
        assert_eq!(
            keys,
            [
                "nats_url",
                "queue_prefix",
                "enable_schema_registry",
                "schema_registry_url"
            ]
        );
        assert_eq!(properties.len(), TABLE.len());
        for property in properties.values() {
            assert_eq!(property["type"][1], "null", "{property}");
        }
    }

    #[track_caller]
    fn check_property(key: &str, expected: &str) {
        let setting = TABLE.iter().find(|setting| setting.key == key).unwrap();
        assert_eq!(Value::Object(property(setting)).to_string(), expected);
    }

    #[test]
    fn properties_have_their_parts_in_the_sdks_order() {
        check_property(
            "nats_url",
            r#"{"type":["string","null"],"default":"nats://localhost:4222","description":"The NATS server: one URL, or several with commas between them. A login in it is percent-decoded and never printed."}"#,
        );
        check_property(
            "validate_records",
            r#"{"type":["boolean","null"],"title":"Validate Records","default":true,"description":"Whether every record is validated against its stream's schema. No record is validated yet. Not in this version yet: only the default is accepted."}"#,
        );
        check_property(
            "load_method",
            r#"{"type":["string","null"],"default":"append-only","description":"How a target with tables loads its records; a message is always appended. Accepted and ignored.","enum":["append-only","upsert","overwrite"]}"#,
        );
        check_property(
            "stream_map_config",
            r#"{"type":["object","null"],"properties":{},"additionalProperties":true,"title":"User Stream Map Configuration","description":"Values of your own that the expressions of stream maps may use. Not in this version yet: only the default is accepted."}"#,
        );
        check_property(
            "workers",
            r#"{"type":["integer","null"],"default":2,"description":"The number of publishing threads; a stream belongs to one of them."}"#,
        );
    }

    #[track_caller]
    fn check_contains(text: &str, expected: &str) {
        assert!(text.contains(expected), "{expected:?} is not in:\n{text}");
    }

    #[test]
    fn text_lists_every_setting() {
        let text = render_text();
        check_contains(&text, "Name: target-nats\nDescription: Singer target ");
        check_contains(&text, "\nSDK Version: 0.54.9\nCapabilities:\n  - about\n");
        check_contains(
            &text,
            "Settings:\n  - Name: nats_url\n    Type: ['string', 'null']\n    \
             Environment Variable: TARGET_NATS_NATS_URL\n",
        );
        assert!(text.ends_with("TARGET_NATS_PAYLOAD_FORMAT\n\n"), "{text}");
    }

    #[test]
    fn markdown_is_one_table_with_nested_settings() {
        let text = render_markdown();
        check_contains(&text, "# `target-nats`\n\nSinger target ");
        check_contains(&text, "## Capabilities\n\n- `about`\n");
        check_contains(&text, "\n| validate_records | False | True | Whether ");
        check_contains(&text, "\n| batch_size_rows | False | None | The number ");
        check_contains(&text, "\n| load_method | False | append-only | How ");
        check_contains(
            &text,
            "\n| batch_config.storage.root | False | None | The folder ",
        );
        check_contains(&text, "\n| stream_maps.__else__ | False | None | ");
    }

    #[test]
    fn help_fits_its_place() {
        let help = render_help();
        assert!(
            help.lines().all(|line| line.chars().count() < HELP_WIDTH),
            "{help}"
        );
        for setting in TABLE {
            check_contains(&help, setting.key);
        }
        assert_eq!(table_cell("a|b\nc"), "a\\|b<BR/>c");
    }
}
