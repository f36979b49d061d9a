//! Loading, from files of the tests' own and an environment that is handed in.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::*;
use crate::settings::address::Login;

/// A folder that is removed with its files.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("target-nats-load-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const ENV: &str = "ENV";

/// What is loaded from `config` (file contents, or `ENV`), the variables, and the `.env` file.
fn load_from(
    config: &[&str],
    variables: &[(&str, &str)],
    dotenv: Option<&str>,
) -> Result<Loaded, Error> {
    let folder = Folder::new();
    let config: Vec<String> = config
        .iter()
        .enumerate()
        .map(|(index, content)| match *content {
            ENV => ENV.to_owned(),
            content => folder.write(&format!("{index}.json"), content),
        })
        .collect();
    if let Some(content) = dotenv {
        folder.write(".env", content);
    }
    let environment = |name: &str| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| OsString::from(value))
    };
    load(&config, &environment, &folder.0.join(".env"))
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "a reference would make every case longer"
)]
#[track_caller]
fn check<T: PartialEq + std::fmt::Debug>(
    config: &[&str],
    variables: &[(&str, &str)],
    dotenv: Option<&str>,
    get: fn(&Settings) -> T,
    expected: T,
) {
    let loaded = load_from(config, variables, dotenv).unwrap();
    assert_eq!(get(&loaded.settings), expected);
}

/// The error's text, with the folder's name taken out.
#[track_caller]
fn check_refused(config: &[&str], variables: &[(&str, &str)], expected: &str) {
    let error = load_from(config, variables, None).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    let text = error.to_string();
    let text = match text
        .split_once('\'')
        .filter(|(_, rest)| rest.starts_with('/'))
    {
        Some((start, rest)) => format!("{start}'{}", rest.split_once("/0.json").unwrap().1),
        None => text,
    };
    assert_eq!(text, expected);
}

#[track_caller]
fn check_notes(config: &[&str], variables: &[(&str, &str)], expected: &[&str]) {
    let notes = load_from(config, variables, None).unwrap().notes;
    let notes: Vec<_> = notes
        .iter()
        .map(|note| format!("{} {}", note.level, note.text))
        .collect();
    assert_eq!(notes, expected);
}

fn prefix(settings: &Settings) -> String {
    settings.queue_prefix.clone()
}

#[test]
fn defaults() {
    for config in [
        &[][..],
        &["{}"],
        &["[]"],
        &[r#"{"queue_prefix": null, "workers": null}"#],
    ] {
        let settings = load_from(config, &[], None).unwrap().settings;
        assert_eq!(settings.nats_urls[0].to_string(), "localhost:4222");
        assert_eq!(settings.nats_urls[0].login, Login::None);
        assert_eq!(settings.queue_prefix, "");
        assert_eq!(settings.connection_name, "target-nats");
        assert_eq!(settings.connect_timeout, Duration::from_secs(30));
        assert_eq!(settings.confirm_timeout, Duration::from_mins(1));
        assert_eq!(settings.subject, "{queue_prefix}{stream}");
        assert_eq!((settings.workers, settings.connections), (2, 2));
        assert_eq!(
            (settings.max_in_flight, settings.max_in_flight_bytes),
            (32768, 8_388_608)
        );
        assert_eq!(settings.state_interval, Duration::ZERO);
        assert_eq!(settings.log_format, LogFormat::Text);
        assert!(settings.process_activate_version_messages);
        assert!(settings.subjects.is_empty() && settings.headers.is_empty());
        assert_eq!(settings.batch_root, None);
    }
}

#[test]
fn later_files_win_and_the_environment_wins_over_all() {
    const A: &str = r#"{"queue_prefix": "a", "workers": 4}"#;
    const B: &str = r#"{"queue_prefix": "b"}"#;
    const HEADERS: [&str; 2] = [
        r#"{"headers": {"A": "1", "B": "2"}}"#,
        r#"{"headers": {"C": "3"}}"#,
    ];
    const SET: &[(&str, &str)] = &[("TARGET_NATS_QUEUE_PREFIX", "e")];
    check(&[A, B], &[], None, prefix, "b".into());
    check(&[B, A], &[], None, prefix, "a".into());
    check(&[A, B], &[], None, |settings| settings.workers, 4);
    check(&[A, B], SET, None, prefix, "b".into());
    check(&[A, ENV, B], SET, None, prefix, "e".into());
    check(&[ENV, A], SET, None, prefix, "e".into());
    check(&[], SET, None, prefix, String::new());
    check(
        &[ENV, A],
        &[("TARGET_NATS_QUEUE_PREFIX", "")],
        None,
        prefix,
        String::new(),
    );
    check(
        &[ENV, A],
        &[("target_nats_queue_prefix", "e")],
        None,
        prefix,
        "a".into(),
    );
    // Whole values: nothing of the first `headers` is left.
    check(&HEADERS, &[], None, |settings| settings.headers.len(), 1);
    check(
        &[r#"{"queue_prefix": "x", "queue_prefix": "y"}"#],
        &[],
        None,
        prefix,
        "y".into(),
    );
    check(
        &[A, r#"{"queue_prefix": null}"#],
        &[],
        None,
        prefix,
        String::new(),
    );
}

#[test]
fn a_dotenv_file_is_below_the_environment_and_read_only_with_it() {
    const FILE: Option<&str> = Some("export TARGET_NATS_QUEUE_PREFIX='d' # x\nNO SENSE\n");
    check(&[ENV], &[], FILE, prefix, "d".into());
    check(
        &[ENV],
        &[("TARGET_NATS_QUEUE_PREFIX", "e")],
        FILE,
        prefix,
        "e".into(),
    );
    check(&[], &[], FILE, prefix, String::new());
    let notes = load_from(&[ENV], &[], FILE).unwrap().notes;
    assert!(
        notes.iter().any(|note| note.text.starts_with("Line 2 of ")),
        "{notes:?}"
    );
}

#[test]
fn variables_are_converted_to_their_type() {
    let set = [
        ("TARGET_NATS_WORKERS", " 1_0 "),
        ("TARGET_NATS_CONNECT_TIMEOUT_SECONDS", "2.5"),
        ("TARGET_NATS_PROCESS_ACTIVATE_VERSION_MESSAGES", "Off"),
        ("TARGET_NATS_HEADERS", r#"{"A": "b"}"#),
        ("TARGET_NATS_VALIDATE_RECORDS", "on"),
        ("TARGET_NATS_ENABLE_SCHEMA_REGISTRY", "no"),
    ];
    let settings = load_from(&[ENV], &set, None).unwrap().settings;
    assert_eq!((settings.workers, settings.connections), (10, 2));
    assert_eq!(settings.connect_timeout, Duration::from_millis(2500));
    assert!(!settings.process_activate_version_messages);
    assert_eq!(settings.headers, [("A".to_owned(), "b".to_owned())]);
}

#[test]
fn what_is_wrong_is_named_all_of_it() {
    check_refused(
        &[r#"{"queue_prefix": 5, "workers": "x", "nats_url": "ws://u:MARK@h"}"#],
        &[],
        "config validation failed: nats_url cannot be used: the scheme ws:// is unknown, use nats:// or tls://; \
         queue_prefix must be a string, not an integer; workers must be an integer, not a string",
    );
    check_refused(
        &[ENV, r#"{"queue_prefix": 5}"#],
        &[
            ("TARGET_NATS_WORKERS", "many"),
            ("TARGET_NATS_CONNECTIONS", "99"),
        ],
        "config validation failed: TARGET_NATS_WORKERS must be an integer; \
         queue_prefix must be a string, not an integer; TARGET_NATS_CONNECTIONS must be from 1 to 64",
    );
    check_refused(
        &[ENV],
        &[("TARGET_NATS_VALIDATE_RECORDS", "maybe")],
        "config validation failed: TARGET_NATS_VALIDATE_RECORDS must be a boolean (true or false)",
    );
    check_refused(
        &[r#"{"workers": 2, "connections": 4}"#],
        &[],
        "config validation failed: connections (4) must not be more than workers (2)",
    );
    check_refused(
        &[r#"{"flattening_enabled": true}"#],
        &[],
        "config validation failed: flattening_enabled is not available in this version: \
         take it out or leave it at its default",
    );
    check(
        &[r#"{"workers": 1}"#],
        &[],
        None,
        |settings| settings.connections,
        1,
    );
}

#[test]
fn what_is_no_config_file_is_refused() {
    check_refused(
        &["[1]"],
        &[],
        "the config file '' must hold an object, not a list",
    );
    check_refused(
        &["null"],
        &[],
        "the config file '' must hold an object, not null",
    );
    check_refused(
        &["7"],
        &[],
        "the config file '' must hold an object, not an integer",
    );
    check_refused(
        &["{"],
        &[],
        "the config file '' is not JSON: EOF while parsing an object at line 1 column 1",
    );
    check_refused(
        &[""],
        &[],
        "the config file '' is not JSON: EOF while parsing a value at line 1 column 0",
    );
    let nothing = |_: &str| None;
    let folder = Folder::new();
    let refuse = |name: &str| {
        load(&[name.to_owned()], &nothing, &folder.0)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refuse(""),
        "could not open the config file: its name is empty"
    );
    let missing = folder.0.join("c.json").display().to_string();
    assert_eq!(
        refuse(&missing),
        format!("the config file '{missing}' was not found")
    );
    folder.write("c.json.template", "{}");
    assert_eq!(
        refuse(&missing),
        format!(
            "the config file '{missing}' was not found (start from a copy of '{missing}.template')"
        )
    );
    let folder_name = folder.0.display().to_string();
    assert!(refuse(&folder_name).starts_with("cannot read the config file '"));
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let environment = |name: &str| {
        (name == "TARGET_NATS_NATS_URL").then(|| OsString::from_vec(b"nats://MARK\xff@h".to_vec()))
    };
    let error = load(&[ENV.to_owned()], &environment, Path::new("/nope/.env")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "config validation failed: TARGET_NATS_NATS_URL is not UTF-8"
    );
}

#[test]
fn notes_tell_of_unknown_keys_and_of_variables() {
    const SKIPPING: &str = "INFO Skipping parse of env var settings...";
    const PARSING: &str = "INFO Parsing env var for settings config...";
    check_notes(
        &[r#"{"nats_ur": "nats://u:MARK@h", "zzzzzz": 1}"#],
        &[],
        &[
            "WARN The setting 'nats_ur' is unknown and ignored: did you mean 'nats_url'?",
            "WARN The setting 'zzzzzz' is unknown and ignored.",
            SKIPPING,
        ],
    );
    check_notes(
        &[ENV],
        &[("TARGET_NATS_NATS_URL", "h"), ("LOGLEVEL", "INFO")],
        &[
            PARSING,
            "INFO Parsing 'nats_url' config from env variable 'TARGET_NATS_NATS_URL'.",
        ],
    );
    check_notes(
        &[],
        &[("SINGER_SDK_LOG_CONFIG", "/nope")],
        &["WARN Logging config file not found: /nope", SKIPPING],
    );
    let long = format!(r#"{{"{}": 1}}"#, "ä".repeat(5000));
    let notes = load_from(&[&long], &[], None).unwrap().notes;
    assert!(notes[0].text.len() < 300, "{}", notes[0].text);
}

#[test]
fn the_log_is_json_where_the_sdks_log_configuration_asks_for_it() {
    let folder = Folder::new();
    let json = folder.write("json.yaml", "'()': singer_sdk.logging.StructuredFormatter");
    let text = folder.write("text.yaml", "class: logging.StreamHandler");
    let path = folder.0.display().to_string();
    let format = |config: &str, log_config: &str| {
        load_from(&[config], &[("SINGER_SDK_LOG_CONFIG", log_config)], None)
            .unwrap()
            .settings
            .log_format
    };
    assert_eq!(format("{}", &json), LogFormat::Json);
    assert_eq!(format("{}", &text), LogFormat::Text);
    assert_eq!(format("{}", &path), LogFormat::Text);
    assert_eq!(format("{}", "/nope"), LogFormat::Text);
    assert_eq!(format(r#"{"log_format": "text"}"#, &json), LogFormat::Text);
    assert_eq!(format(r#"{"log_format": "json"}"#, &text), LogFormat::Json);
}

#[test]
fn no_login_is_in_a_note_an_error_or_a_debug() {
    let cases: [(&str, &[(&str, &str)]); 5] = [
        (r#"{"nats_url": "nats://u:MARK@h", "workers": 0}"#, &[]),
        (r#"{"nats_url": "nats://u:MARK"}"#, &[]),
        (r#"{"nats_url": ["MARK"]}"#, &[]),
        ("{}", &[("TARGET_NATS_NATS_URL", "nats://MARK@h:x")]),
        ("{}", &[("TARGET_NATS_HEADERS", "{\"MARK")]),
    ];
    for (config, variables) in cases {
        let error = load_from(&[config, ENV], variables, None).unwrap_err();
        assert!(!format!("{error:?}").contains("MARK"), "{error}");
    }
    let loaded = load_from(&[r#"{"nats_url": "u:MARK@h,MARK@h"}"#], &[], None).unwrap();
    assert!(!format!("{loaded:?}").contains("MARK"), "{loaded:?}");
}

/// What cannot be given together with the other settings' examples.
const NOT_WITH_ALL: [&str; 5] = [
    "nats_user",
    "nats_context",
    "dead_letter_subject",
    "kv_bucket",
    "kv_create",
];

/// Mutations of a file with all that can be given at once: whatever they are, the answer is settings or an error.
#[test]
fn mutated_files_never_panic() {
    let mut whole = Map::new();
    for setting in TABLE {
        if NOT_WITH_ALL.contains(&setting.key) {
            continue;
        }
        let json = setting.example.or(setting.default).unwrap_or("null");
        whole.insert(setting.key.to_owned(), serde_json::from_str(json).unwrap());
    }
    let whole = Value::Object(whole).to_string();
    assert!(parse(&whole).is_ok(), "{:?}", parse(&whole));
    let pieces: [&[u8]; 20] = [
        b"{",
        b"}",
        b"[",
        b"]",
        b"\"",
        b",",
        b":",
        b"null",
        b"true",
        b"-",
        b"1e999",
        b"0.0",
        b"\\u",
        b"\\ud800",
        b"\xff",
        b"99999999999999999999",
        b"//",
        b"%",
        b"@",
        b"{\"$serde_json::private::Number\":\"x\"}",
    ];
    let mut seed = 0x7a61_6e64_u64;
    eprintln!("seed {seed:#x}");
    let mut next = |bound: usize| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % bound
    };
    let mut accepted = 0;
    for _ in 0..5000 {
        let mut text = whole.clone().into_bytes();
        for _ in 0..=next(3) {
            let start = next(text.len());
            let end = (start + next(8)).min(text.len());
            match next(3) {
                0 => drop(text.drain(start..end)),
                1 => drop(text.splice(start..end, pieces[next(pieces.len())].iter().copied())),
                _ => {
                    let copied = text[start..end].to_vec();
                    let to = next(text.len());
                    drop(text.splice(to..to, copied));
                }
            }
        }
        accepted += usize::from(parse(&String::from_utf8_lossy(&text)).is_ok());
    }
    assert!(accepted > 0);
}
