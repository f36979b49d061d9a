//! What a setting is, and how values become [`Settings`] by way of the table's rows.
//!
//! [`compile`] is the only way from JSON values to typed settings; it reads no file and no environment.

use serde_json::{Map, Value};

use super::checks::contradictions;
use super::draft::Draft;
use super::kind::{ValueKind, parse_boolean};
use super::table::TABLE;
use super::{LogFormat, Settings};

/// One setting.
#[derive(Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) key: &'static str,
    pub(crate) group: Group,
    pub(crate) kind: ValueKind,
    /// As the SDK titles it in `--about`, where it does.
    pub(crate) title: Option<&'static str>,
    /// JSON text, parsed by the same code as what a user gives.
    pub(crate) default: Option<&'static str>,
    /// Its first sentence is the short form.
    pub(crate) help: &'static str,
    /// JSON text.
    pub(crate) example: Option<&'static str>,
    /// Never printed: it has neither a default nor an example.
    pub(crate) secret: bool,
    /// A file's content may be given in its place, by `<key>_file`. So may every secret.
    pub(crate) in_file: bool,
    /// JSON text of an object: what `--about` says of an object's inside.
    pub(crate) schema: Option<&'static str>,
    pub(crate) support: Support,
    /// Gets a value that `kind` allows and that is not null.
    pub(super) set: fn(&mut Draft, &Value) -> Result<(), String>,
}

/// What becomes of a setting in this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Support {
    Works,
    /// Accepted, as the Python target does, and without a meaning here.
    Ignored,
    /// The Python target has it and this version has not: anything but the default is refused.
    NotYet,
}

/// The headings under which settings are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Connection,
    Subjects,
    Delivery,
    Registry,
    Transform,
    Input,
    Output,
}

impl Group {
    pub(crate) const ALL: [Self; 7] = [
        Self::Connection,
        Self::Subjects,
        Self::Delivery,
        Self::Registry,
        Self::Transform,
        Self::Input,
        Self::Output,
    ];

    pub(crate) fn heading(self) -> &'static str {
        match self {
            Self::Connection => "Connection",
            Self::Subjects => "Subjects and headers",
            Self::Delivery => "Delivery",
            Self::Registry => "Schema registry",
            Self::Transform => "Transforms and loading",
            Self::Input => "Input",
            Self::Output => "STATE and logs",
        }
    }
}

impl Setting {
    /// What most rows have in common.
    pub(crate) const PLAIN: Self = Self {
        key: "",
        group: Group::Connection,
        kind: ValueKind::String,
        title: None,
        default: None,
        help: "",
        example: None,
        secret: false,
        in_file: false,
        schema: None,
        support: Support::Works,
        set: |_, _| Ok(()),
    };

    /// A row of a secret.
    pub(crate) const SECRET: Self = Self {
        secret: true,
        in_file: true,
        ..Self::PLAIN
    };

    /// The key that names the file whose content is the value, where there is one.
    pub(crate) fn file_key(&self) -> Option<String> {
        self.in_file.then(|| format!("{}_file", self.key))
    }

    /// The environment variable that sets it.
    pub(crate) fn variable(&self) -> String {
        variable_of(self.key)
    }

    pub(crate) fn default_value(&self) -> Option<Value> {
        let text = self.default?;
        Some(serde_json::from_str(text).expect("the table's defaults are JSON"))
    }

    /// Checks the value and stores it. The error completes a sentence that begins with the name.
    pub(super) fn apply(&self, draft: &mut Draft, value: &Value) -> Result<(), String> {
        self.kind.check(value)?;
        if self.support == Support::NotYet && !self.means_default(value) {
            return Err(
                "is not available in this version: take it out or leave it at its default"
                    .to_owned(),
            );
        }
        (self.set)(draft, value)
    }

    fn means_default(&self, value: &Value) -> bool {
        let default = self.default_value();
        match (parse_boolean(value), value) {
            (Some(boolean), _) if self.kind != ValueKind::String => {
                default.map_or(!boolean, |default| default == boolean)
            }
            (_, Value::Object(entries)) => entries.is_empty(),
            _ => default.as_ref() == Some(value),
        }
    }
}

/// The environment variable of a key.
pub(super) fn variable_of(key: &str) -> String {
    format!("TARGET_NATS_{}", key.to_ascii_uppercase())
}

/// Settings from values by key; null and absent mean the default, and keys that no row has are not
/// looked at. Every value that is wrong has its line in the error, under the name that `name_of` gives it.
pub(crate) fn compile(
    values: &Map<String, Value>,
    name_of: &dyn Fn(&str) -> String,
    auto_log_format: LogFormat,
) -> Result<Settings, Vec<String>> {
    let mut draft = Draft::default();
    let mut wrong = Vec::new();
    for setting in TABLE {
        if let Some(value) = values.get(setting.key).filter(|value| !value.is_null())
            && let Err(what) = setting.apply(&mut draft, value)
        {
            wrong.push(format!("{} {what}", name_of(setting.key)));
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let connections_given = draft.connections.is_some();
    for setting in TABLE {
        if values.get(setting.key).is_none_or(Value::is_null)
            && let Some(default) = setting.default_value()
        {
            setting
                .apply(&mut draft, &default)
                .expect("the table's defaults are legal");
        }
    }
    let is_chosen = |key: &str| {
        let value = values.get(key).filter(|value| !value.is_null());
        let default = || {
            let setting = TABLE.iter().find(|setting| setting.key == key)?;
            setting.default_value()
        };
        value.is_some_and(|value| default().as_ref() != Some(value))
    };
    let mut wrong = contradictions(&draft, &is_chosen);
    match draft.finish(connections_given, auto_log_format) {
        Ok(settings) if wrong.is_empty() => Ok(settings),
        Ok(_) => Err(wrong),
        Err(what) => {
            wrong.push(what);
            Err(wrong)
        }
    }
}
