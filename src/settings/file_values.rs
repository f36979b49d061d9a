//! Values that stand in files of their own: `<key>_file` names one, and its content, trimmed, is the value.
//!
//! Neither a path nor a content is repeated in an error: a secret may have been given in place of the path.

use std::fs::File;
use std::io::{self, Read};

use serde_json::{Map, Value};

use super::kind::ValueKind;
use super::table::TABLE;

/// Passwords, keys and certificates are a few kilobytes; a bundle of all authorities has 200.
const MAX_BYTES: u64 = 1 << 20;

/// Puts `above` over `below`: a value wins over one in a file, and the other way round.
pub(super) fn lay_over(below: &mut Map<String, Value>, above: Map<String, Value>) {
    for setting in TABLE {
        if let Some(file_key) = setting.file_key()
            && (above.contains_key(setting.key) || above.contains_key(&file_key))
        {
            below.remove(setting.key);
            below.remove(&file_key);
        }
    }
    below.extend(above);
}

/// Replaces every `<key>_file` by `<key>` with the file's content. What is wrong is returned, under the
/// name that `name_of` gives a key.
pub(super) fn read_file_values(
    values: &mut Map<String, Value>,
    name_of: &dyn Fn(&str) -> String,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for setting in TABLE {
        let Some(file_key) = setting.file_key() else {
            continue;
        };
        let Some(path) = values.remove(&file_key).filter(|path| !path.is_null()) else {
            continue;
        };
        let name = name_of(&file_key);
        if values
            .get(setting.key)
            .is_some_and(|value| !value.is_null())
        {
            let other = name_of(setting.key);
            wrong.push(format!("{other} and {name} cannot both be given"));
            continue;
        }
        match read_value(&path) {
            Ok(text) => {
                values.insert(setting.key.to_owned(), text.into());
            }
            Err(what) => wrong.push(format!("{name} {what}")),
        }
    }
    wrong
}

fn read_value(path: &Value) -> Result<String, String> {
    ValueKind::String.check(path)?;
    let unread = |error: io::Error| format!("names a file that cannot be read: {error}");
    let mut bytes = Vec::new();
    File::open(path.as_str().unwrap_or_default())
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(unread)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err("names a file of more than a megabyte".to_owned());
    }
    let text = String::from_utf8(bytes).map_err(|_| "names a file that is not UTF-8")?;
    match text.trim() {
        "" => Err("names a file that is empty".to_owned()),
        text => Ok(text.to_owned()),
    }
}
