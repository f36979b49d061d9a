//! Contexts of the NATS CLI: a file of JSON that says where the servers are and how to log in.
//!
//! What a context says goes below what the user's own settings say, as values of the same keys. Names and
//! meaning of its fields are those of jsm.go's package natscontext. No content is repeated in an error.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use log::Level;
use serde_json::{Map, Value};

use super::address::{Login, parse_servers};
use super::environment::Environment;
use super::kind::type_name;
use super::load::Note;
use crate::error::shorten;
use crate::nearest::nearest;

/// What a context says.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// By the keys of settings.
    pub(super) values: Map<String, Value>,
    /// Key of a setting, and how an error is to call it.
    pub(super) names: Vec<(&'static str, String)>,
    pub(super) notes: Vec<Note>,
}

/// Field of a context, the key that takes its text, and whether it is a path.
const FIELDS: [(&str, &str, bool); 12] = [
    ("url", "nats_url", false),
    ("user", "nats_user", false),
    ("password", "nats_password", false),
    ("token", "nats_token", false),
    ("creds", "nats_credentials_file", true),
    ("nkey", "nats_nkey_seed_file", true),
    ("ca", "tls_ca_file", true),
    ("cert", "tls_cert_file", true),
    ("key", "tls_key_file", true),
    ("inbox_prefix", "inbox_prefix", false),
    ("jetstream_domain", "jetstream_domain", false),
    ("jetstream_api_prefix", "jetstream_api_prefix", false),
];

/// Dealt with by themselves.
const OTHER_FIELDS: [&str; 3] = ["user_jwt", "user_seed", "tls_first"];

/// They say nothing about a connection that is used to publish.
const IDLE: [&str; 4] = [
    "name",
    "description",
    "color_scheme",
    "jetstream_event_prefix",
];

/// They change how a connection is made, in ways that this program does not know.
const UNKNOWN_WAYS: [&str; 6] = [
    "socks_proxy",
    "nsc",
    "windows_cert_store",
    "windows_cert_match_by",
    "windows_cert_match",
    "windows_ca_certs_match",
];

/// Where secrets may stand elsewhere, in the words of newer versions of the CLI.
const SCHEMES: [&str; 5] = ["op://", "nsc://", "env://", "data:", "file://"];

/// Keys that go together: one of them given by the user replaces all of the context's.
const TOGETHER: [&[&str]; 3] = [
    LOGIN,
    &["tls_cert", "tls_cert_file", "tls_key", "tls_key_file"],
    &["jetstream_domain", "jetstream_api_prefix"],
];

const LOGIN: &[&str] = &[
    "nats_user",
    "nats_password",
    "nats_password_file",
    "nats_token",
    "nats_token_file",
    "nats_nkey_seed",
    "nats_nkey_seed_file",
    "nats_credentials",
    "nats_credentials_file",
];

/// Reads a context by name or path; `given` are the user's settings, which are not repeated in what is found.
/// The error completes a sentence that begins with the setting's name.
pub(super) fn read_context(
    context: &str,
    given: &Map<String, Value>,
    environment: Environment,
) -> Result<Found, String> {
    let path = find(context, environment)?;
    let bytes = fs::read(&path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => unknown(context, &path),
        _ => format!("names a context that cannot be read: {error}"),
    })?;
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|error| format!("names a context whose file is not JSON: {error}"))?;
    let Value::Object(fields) = value else {
        let what = type_name(&value);
        return Err(format!(
            "names a context whose file must hold an object, not {what}"
        ));
    };
    let mut found = interpret(&fields, environment)
        .map_err(|what| format!("names a context that cannot be used: {what}"))?;
    give_way(&mut found.values, given);
    Ok(found)
}

fn find(context: &str, environment: Environment) -> Result<PathBuf, String> {
    let is_path = context.contains(['/', '\\'])
        || context.starts_with('~')
        || Path::new(context)
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    if is_path {
        return Ok(expand(context, environment).into());
    }
    let directory = |name: &str| environment(name).filter(|value| !value.is_empty());
    let root = match directory("XDG_CONFIG_HOME") {
        Some(root) => PathBuf::from(root),
        None => match directory("HOME") {
            Some(home) => Path::new(&home).join(".config"),
            None => {
                return Err(
                    "is looked for below HOME, which is not set; it may be a path".to_owned(),
                );
            }
        },
    };
    let file = format!("{context}.json");
    Ok(root.join("nats").join("context").join(file))
}

fn unknown(context: &str, path: &Path) -> String {
    if path.to_string_lossy() == context || context.contains(['/', '\\', '~']) {
        return "names a file that is not there".to_owned();
    }
    let folder = path.parent().unwrap_or(path);
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_suffix(".json").map(str::to_owned)
        })
        .collect();
    names.sort();
    let hint = match nearest(context, names.iter().map(String::as_str)) {
        Some(name) => format!(": did you mean '{name}'?"),
        None => String::new(),
    };
    let folder = folder.display();
    if names.is_empty() {
        format!("names a context that is not there, and {folder} has none")
    } else {
        let names = names.join(", ");
        format!("names a context that is not there; in {folder} there are {names}{hint}")
    }
}

fn interpret(fields: &Map<String, Value>, environment: Environment) -> Result<Found, String> {
    let mut found = Found::default();
    for (field, key, is_path) in FIELDS {
        let Some(text) = text_of(fields, field)? else {
            continue;
        };
        let text = if is_path {
            expand(text, environment)
        } else {
            text.to_owned()
        };
        found.values.insert(key.to_owned(), text.into());
        found
            .names
            .push((key, format!("nats_context: its {field}")));
    }
    // The CLI logs in with an empty password where there is none.
    if found.values.contains_key("nats_user") && !found.values.contains_key("nats_password") {
        found.values.insert("nats_password".to_owned(), "".into());
    }
    match (text_of(fields, "user_jwt")?, text_of(fields, "user_seed")?) {
        (Some(jwt), Some(seed)) => {
            if found.values.contains_key("nats_credentials_file") {
                return Err("it has creds and a user_jwt".to_owned());
            }
            let text = format!(
                "-----BEGIN NATS USER JWT-----\n{jwt}\n-----BEGIN USER NKEY SEED-----\n{seed}\n"
            );
            found
                .values
                .insert("nats_credentials".to_owned(), text.into());
            let name = "nats_context: its user_jwt with user_seed".to_owned();
            found.names.push(("nats_credentials", name));
        }
        (Some(_), None) => return Err("it has a user_jwt without a user_seed".to_owned()),
        (None, Some(_)) => return Err("it has a user_seed without a user_jwt".to_owned()),
        (None, None) => {}
    }
    match fields.get("tls_first") {
        None | Some(Value::Null | Value::Bool(false)) => {}
        Some(Value::Bool(true)) => {
            found.values.insert("tls_first".to_owned(), true.into());
        }
        Some(other) => {
            let what = type_name(other);
            return Err(format!("its tls_first must be a boolean, not {what}"));
        }
    }
    for (field, value) in fields {
        let field = field.as_str();
        if is_empty(value) || IDLE.contains(&field) || OTHER_FIELDS.contains(&field) {
            continue;
        }
        if UNKNOWN_WAYS.contains(&field) {
            return Err(format!("its {field} is not known to this program"));
        }
        if FIELDS.iter().all(|(known, ..)| *known != field) {
            let field = shorten(field);
            let text = format!("The field '{field}' of the NATS context is unknown and ignored.");
            found.notes.push(Note::new(Level::Warn, text));
        }
    }
    Ok(found)
}

/// A field's text, where it says something.
fn text_of<'a>(fields: &'a Map<String, Value>, field: &str) -> Result<Option<&'a str>, String> {
    let text = match fields.get(field) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) if text.is_empty() => return Ok(None),
        Some(Value::String(text)) => text,
        Some(other) => {
            let what = type_name(other);
            return Err(format!("its {field} must be a string, not {what}"));
        }
    };
    let scheme = SCHEMES.into_iter().find(|scheme| text.starts_with(scheme));
    match scheme {
        Some("file://") if matches!(field, "creds" | "nkey" | "ca" | "cert" | "key") => {
            Ok(text.strip_prefix("file://"))
        }
        Some(scheme) => Err(format!(
            "its {field} stands elsewhere ({scheme}), where this program does not look"
        )),
        None => Ok(Some(text)),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Takes out what the user's own settings replace.
fn give_way(values: &mut Map<String, Value>, given: &Map<String, Value>) {
    let is_given = |key: &&str| given.get(*key).is_some_and(|value| !value.is_null());
    values.retain(|key, _| {
        let plain = key.strip_suffix("_file").unwrap_or(key);
        !is_given(&plain) && !is_given(&format!("{plain}_file").as_str())
    });
    let has_login = given
        .get("nats_url")
        .and_then(Value::as_str)
        .and_then(|text| parse_servers(text).ok())
        .is_some_and(|servers| servers.iter().any(|server| server.login != Login::None));
    for keys in TOGETHER {
        if keys.iter().any(is_given) || (keys == LOGIN && has_login) {
            values.retain(|key, _| !keys.contains(&key.as_str()));
        }
    }
    if LOGIN.iter().any(is_given)
        && let Some(Value::String(urls)) = values.get_mut("nats_url")
    {
        *urls = without_logins(urls);
    }
}

fn without_logins(urls: &str) -> String {
    let urls: Vec<String> = urls
        .split(',')
        .map(|url| {
            let (scheme, rest) = url.split_once("://").unwrap_or(("nats", url));
            let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
            format!("{}://{}", scheme.trim(), host.trim())
        })
        .collect();
    urls.join(",")
}

/// `$NAME` and `${NAME}`, and a `~` at the start, as the CLI expands them in paths.
fn expand(text: &str, environment: Environment) -> String {
    let value = |name: &str| {
        let value = environment(name).and_then(|value| value.into_string().ok());
        value.unwrap_or_default()
    };
    let mut parts = text.split('$');
    let mut expanded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let braced = part.strip_prefix('{').and_then(|part| part.split_once('}'));
        let (name, rest) = braced.unwrap_or_else(|| {
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
            part.split_at(part.find(|c| !is_part(c)).unwrap_or(part.len()))
        });
        if name.is_empty() {
            expanded.push('$');
        } else {
            expanded += &value(name);
        }
        expanded += rest;
    }
    match expanded.strip_prefix('~') {
        Some(rest) => value("HOME") + rest,
        None => expanded,
    }
}

#[cfg(test)]
mod tests;
