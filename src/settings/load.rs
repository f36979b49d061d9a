//! From `--config` files and the environment to [`Settings`]: defaults < a context of the NATS
//! CLI < files < environment.
//!
//! It reads files and prints nothing: what is to be said goes into notes, which are written once the
//! log is set up. No value is repeated in a note or an error.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::io::{self, ErrorKind};
use std::iter;
use std::path::Path;

use log::Level;
use serde_json::{Map, Value};

use super::context::read_context;
use super::environment::{
    Environment, auto_log_format, note_of_missing_log_config, read_variables,
};
use super::file_values::{lay_over, read_file_values};
use super::kind::type_name;
use super::setting::{compile, variable_of};
use super::table::TABLE;
use super::{LogFormat, Settings};
use crate::error::{Error, Kind, shorten};
use crate::nearest::nearest;

/// The word that stands for the environment among the `--config` files.
const ENVIRONMENT: &str = "ENV";

/// The setting that names a context of the NATS CLI.
const CONTEXT: &str = "nats_context";

/// Settings, and what is to be logged about them.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) settings: Settings,
    pub(crate) notes: Vec<Note>,
}

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) level: Level,
    pub(crate) logger: &'static str,
    pub(crate) text: String,
}

impl Note {
    pub(super) fn new(level: Level, text: impl Into<String>) -> Self {
        Self {
            level,
            logger: "target-nats",
            text: text.into(),
        }
    }

    /// Writes it to the log.
    pub(crate) fn write(&self) {
        log::log!(target: self.logger, self.level, "{}", self.text);
    }
}

/// Loads what the `--config` arguments name; `dotenv` is the `.env` file's path.
///
/// The environment is read only if one of them is `ENV`, and then wins over all files, wherever the
/// word stands.
pub(crate) fn load(
    config: &[String],
    environment: Environment,
    dotenv: &Path,
) -> Result<Loaded, Error> {
    let mut values = read_files(config)?;
    let mut notes: Vec<Note> = note_of_missing_log_config(environment)
        .into_iter()
        .collect();
    let mut names = HashMap::new();
    let mut wrong = Vec::new();
    notes.extend(notes_of_unknown_keys(&values));
    if config.iter().any(|name| name == ENVIRONMENT) {
        notes.push(Note::new(
            Level::Info,
            "Parsing env var for settings config...",
        ));
        let found = read_variables(environment, dotenv)?;
        names.extend(
            found
                .values
                .keys()
                .map(|key| (key.clone(), variable_of(key))),
        );
        lay_over(&mut values, found.values);
        notes.extend(found.notes);
        wrong = found.wrong;
    } else {
        notes.push(Note::new(
            Level::Info,
            "Skipping parse of env var settings...",
        ));
    }
    let loaded = resolve(
        values,
        names,
        wrong,
        environment,
        auto_log_format(environment),
    )?;
    notes.extend(loaded.notes);
    Ok(Loaded { notes, ..loaded })
}

/// Settings from values of which some may stand in a context or in files of their own. `names` are of those
/// keys that are to be called something else, `wrong` is what has been found wrong so far.
fn resolve(
    mut values: Map<String, Value>,
    mut names: HashMap<String, String>,
    mut wrong: Vec<String>,
    environment: Environment,
    auto_log_format: LogFormat,
) -> Result<Loaded, Error> {
    let mut notes = Vec::new();
    if let Some(context) = values.get(CONTEXT).and_then(Value::as_str)
        && !context.is_empty()
    {
        match read_context(context, &values, environment) {
            Ok(found) => {
                let used = |(key, _): &(&str, String)| found.values.contains_key(*key);
                let own = found.names.into_iter().filter(used);
                names.extend(own.map(|(key, name)| (key.to_owned(), name)));
                values.extend(found.values);
                notes = found.notes;
            }
            Err(what) => {
                let name = names.get(CONTEXT).map_or(CONTEXT, String::as_str);
                wrong.push(format!("{name} {what}"));
            }
        }
    }
    let name_of = |key: &str| {
        let file = format!("{key}_file");
        let name = names.get(key).or_else(|| names.get(&file));
        name.cloned().unwrap_or_else(|| key.to_owned())
    };
    wrong.extend(read_file_values(&mut values, &name_of));
    match compile(&values, &name_of, auto_log_format) {
        Ok(settings) if wrong.is_empty() => Ok(Loaded { settings, notes }),
        Ok(_) => Err(violations(&wrong)),
        Err(more) => {
            wrong.extend(more);
            Err(violations(&wrong))
        }
    }
}

/// Reads and merges the files among the `--config` arguments; of a key in several, the last file's
/// value counts, whole. `--about` needs no more than that they can be read.
pub(crate) fn read_files(config: &[String]) -> Result<Map<String, Value>, Error> {
    let mut merged = Map::new();
    for name in config.iter().filter(|name| *name != ENVIRONMENT) {
        lay_over(&mut merged, read_file(name)?);
    }
    Ok(merged)
}

fn read_file(name: &str) -> Result<Map<String, Value>, Error> {
    if name.is_empty() {
        return Err(Error::new(
            Kind::Config,
            "could not open the config file: its name is empty",
        ));
    }
    let bytes = fs::read(name).map_err(|error| read_error(name, &error))?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| {
        Error::new(
            Kind::Config,
            format!("the config file '{name}' is not JSON"),
        )
        .cause(error)
    })?;
    object(value, &format!("the config file '{name}'"))
}

fn read_error(name: &str, error: &io::Error) -> Error {
    if error.kind() != ErrorKind::NotFound {
        let what = format!("cannot read the config file '{name}'");
        return Error::new(Kind::Config, what).cause(error);
    }
    let template = format!("{name}.template");
    let hint = if Path::new(&template).exists() {
        format!(" (start from a copy of '{template}')")
    } else {
        String::new()
    };
    Error::new(
        Kind::Config,
        format!("the config file '{name}' was not found{hint}"),
    )
}

/// An empty list passes as an empty object, as in the Python target.
fn object(value: Value, place: &str) -> Result<Map<String, Value>, Error> {
    match value {
        Value::Object(entries) => Ok(entries),
        Value::Array(items) if items.is_empty() => Ok(Map::new()),
        other => Err(Error::new(
            Kind::Config,
            format!("{place} must hold an object, not {}", type_name(&other)),
        )),
    }
}

/// For those who have their configuration at hand as a text. `auto` is text: their log is their own.
pub(super) fn parse(text: &str) -> Result<Loaded, Error> {
    let value = serde_json::from_str(text)
        .map_err(|error| Error::new(Kind::Config, "the configuration is not JSON").cause(error))?;
    let values = object(value, "the configuration")?;
    let mut notes = notes_of_unknown_keys(&values);
    let environment = |name: &str| env::var_os(name);
    let (names, wrong) = (HashMap::new(), Vec::new());
    let loaded = resolve(values, names, wrong, &environment, LogFormat::Text)?;
    notes.extend(loaded.notes);
    Ok(Loaded { notes, ..loaded })
}

fn violations(wrong: &[String]) -> Error {
    Error::new(Kind::Config, "config validation failed").cause(wrong.join("; "))
}

fn notes_of_unknown_keys(values: &Map<String, Value>) -> Vec<Note> {
    let known: Vec<String> = TABLE
        .iter()
        .flat_map(|setting| iter::once(setting.key.to_owned()).chain(setting.file_key()))
        .collect();
    values
        .keys()
        .filter(|key| !known.contains(key))
        .map(|key| {
            let end = match nearest(key, known.iter().map(String::as_str)) {
                Some(name) => format!(": did you mean '{name}'?"),
                None => ".".to_owned(),
            };
            let text = format!("The setting '{}' is unknown and ignored{end}", shorten(key));
            Note::new(Level::Warn, text)
        })
        .collect()
}

#[cfg(test)]
mod tests;
