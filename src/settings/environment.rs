//! Settings from environment variables, with a `.env` file below them.
//!
//! The environment is handed in, so that it can be a test's own; nothing here writes to it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use log::Level;
use serde_json::{Map, Value};

use super::LogFormat;
use super::dotenv::parse_dotenv;
use super::kind::ValueKind;
use super::load::Note;
use super::setting::variable_of;
use super::table::TABLE;
use crate::error::{Error, Kind};

/// The process environment, or a test's.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The SDK's name for the logger that tells which variables were read.
const PARSING_LOGGER: &str = "singer_sdk.configuration._dict_config";

/// A log configuration is a few kilobytes; whatever is larger is none.
const MAX_LOG_CONFIG_BYTES: u64 = 1 << 20;

/// What the variables say, by the keys of settings.
pub(super) struct Found {
    pub(super) values: Map<String, Value>,
    pub(super) wrong: Vec<String>,
    pub(super) notes: Vec<Note>,
}

/// A variable that is set and empty counts as set. The environment wins over the `.env` file.
pub(super) fn read_variables(environment: Environment, dotenv: &Path) -> Result<Found, Error> {
    let mut found = Found {
        values: Map::new(),
        wrong: Vec::new(),
        notes: Vec::new(),
    };
    let dotenv = load_dotenv(environment, dotenv, &mut found.notes)?;
    let keys = TABLE.iter().flat_map(|setting| {
        let file = setting.file_key().map(|key| (key, ValueKind::String));
        [(setting.key.to_owned(), setting.kind)]
            .into_iter()
            .chain(file)
    });
    for (key, kind) in keys {
        let variable = variable_of(&key);
        let text = match environment(&variable).map(OsString::into_string) {
            Some(Ok(text)) => text,
            Some(Err(_)) => {
                found.wrong.push(format!("{variable} is not UTF-8"));
                continue;
            }
            None => match dotenv.get(&variable) {
                Some(text) => text.clone(),
                None => continue,
            },
        };
        found.notes.push(Note {
            level: Level::Info,
            logger: PARSING_LOGGER,
            text: format!("Parsing '{key}' config from env variable '{variable}'."),
        });
        match kind.parse_text(&text) {
            Ok(value) => {
                found.values.insert(key, value);
            }
            Err(what) => found.wrong.push(format!("{variable} {what}")),
        }
    }
    Ok(found)
}

fn load_dotenv(
    environment: Environment,
    path: &Path,
    notes: &mut Vec<Note>,
) -> Result<HashMap<String, String>, Error> {
    let text = match fs::read(path) {
        Ok(bytes) => String::from_utf8(bytes)
            .map_err(|_| Error::new(Kind::Config, format!("{} is not UTF-8", path.display())))?,
        // A container's mount makes a folder of a file that is not there.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => {
            return Ok(HashMap::new());
        }
        Err(error) => {
            let what = format!("cannot read {}", path.display());
            return Err(Error::new(Kind::Config, what).cause(error));
        }
    };
    let dotenv = parse_dotenv(&text, &|name| environment(name)?.into_string().ok());
    for line in dotenv.skipped_lines {
        notes.push(Note::new(
            Level::Warn,
            format!(
                "Line {line} of {} makes no sense and is left out.",
                path.display()
            ),
        ));
    }
    Ok(dotenv.variables)
}

/// What `log_format: auto` comes to: JSON where `SINGER_SDK_LOG_CONFIG` names a file that asks for it.
/// It is also how an error is told before the settings are known.
pub(crate) fn auto_log_format(environment: Environment) -> LogFormat {
    let wants_json = |path: &Path| {
        let metadata = fs::metadata(path).ok()?;
        if !metadata.is_file() || metadata.len() > MAX_LOG_CONFIG_BYTES {
            return None;
        }
        let text = fs::read(path).ok()?;
        Some(String::from_utf8_lossy(&text).contains("StructuredFormatter"))
    };
    match environment(LOG_CONFIG) {
        Some(path) if wants_json(Path::new(&path)) == Some(true) => LogFormat::Json,
        _ => LogFormat::Text,
    }
}

const LOG_CONFIG: &str = "SINGER_SDK_LOG_CONFIG";

/// The SDK's warning of a log configuration that is not there.
pub(super) fn note_of_missing_log_config(environment: Environment) -> Option<Note> {
    let path = environment(LOG_CONFIG)?;
    let path = Path::new(&path);
    (!path.exists()).then(|| {
        Note::new(
            Level::Warn,
            format!("Logging config file not found: {}", path.display()),
        )
    })
}
