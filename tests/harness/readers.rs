//! What consumers in other languages make of published messages: the scripts in `tests/readers` and `tests/java`.
//!
//! scripts/install puts what they run on below `.work`. Each call starts a process, so a test hands over all its
//! messages at once.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::{Number, Value, json};

use super::registry::java;
use super::{NatsServer, Registry, project};

/// A library that reads framed messages. Times, decimals and bytes of its records are shown as `tests/readers/shown.py`
/// says; a message that it cannot read is `{"error": …}`.
#[derive(Clone, Copy, Debug)]
pub enum Reader {
    /// Apicurio's own for Python, told that the id is a contentId.
    ApicurioAvro,
    ConfluentAvro,
    /// It checks the records against their schema.
    ConfluentJson,
    Fastavro,
}

impl Reader {
    /// Each of these messages, read by way of this registry.
    #[track_caller]
    pub fn read(self, registry: &Registry, messages: &[Vec<u8>]) -> Vec<Value> {
        let (library, url) = match self {
            Self::ApicurioAvro => ("apicurio-avro", registry.url()),
            Self::ConfluentAvro => ("confluent-avro", registry.ccompat_url(7)),
            Self::ConfluentJson => ("confluent-json", registry.ccompat_url(7)),
            Self::Fastavro => ("fastavro", registry.url()),
        };
        let mut input = String::new();
        for message in messages {
            input += &hex(message);
            input.push('\n');
        }
        let mut command = Command::new(python());
        command.arg(script("read.py")).args([library, &url]);
        run(command, input, messages.len())
    }
}

/// What fastavro makes of payloads without a frame, each with its schema, logical types raw:
/// `{"record": …, "again": …}`, where `again` says whether fastavro encodes that record to the same bytes.
#[track_caller]
pub fn fastavro_cases(cases: &[(Value, Vec<u8>)]) -> Vec<Value> {
    let mut input = String::new();
    for (schema, payload) in cases {
        let _ = writeln!(
            input,
            "{}",
            json!({"schema": schema, "payload": hex(payload)})
        );
    }
    let mut command = Command::new(python());
    command.arg(script("cases.py"));
    run(command, input, cases.len())
}

/// What Apicurio's Java consumer makes of the messages in a stream, with these further settings of its deserialiser
/// (`key=value`): `{"subject": …, "record": …}` or `{"subject": …, "error": …}`, logical types raw.
#[track_caller]
pub fn java_reads(
    server: &NatsServer,
    stream: &str,
    registry: &Registry,
    settings: &[&str],
) -> Vec<Value> {
    let jars = project().join(".work/java-lib");
    let path = format!("{}:{}/*", jars.display(), jars.display());
    let mut command = Command::new(java());
    command
        .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", &path])
        .args(["Consume", &server.url(), stream, &registry.url()])
        .args(settings);
    let messages = usize::try_from(super::JetStream::on(server).count(stream)).unwrap();
    run(command, String::new(), messages)
}

/// Runs it with this input and gives its output, which must have so many lines of JSON.
#[track_caller]
fn run(mut command: Command, input: String, lines: usize) -> Vec<Value> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the reader can be started");
    let mut stdin = child.stdin.take().unwrap();
    // It may end without reading all of it; its output will tell.
    let writing = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let values: Vec<Value> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    assert!(
        output.status.success() && values.len() == lines,
        "{command:?} ended with {}, having read {} of {lines} messages:\n{text}\n{}",
        output.status,
        values.len(),
        String::from_utf8_lossy(&output.stderr)
    );
    values
}

/// A message as Apicurio and Confluent frame it.
pub fn framed(id: i64, payload: &[u8]) -> Vec<u8> {
    let id = u32::try_from(id).unwrap();
    [&[0], &id.to_be_bytes()[..], payload].concat()
}

/// Whether two values are the same where numbers count by their value: each of these libraries writes them in its
/// own way.
pub fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => {
            let whole = |number: &Number| !number.to_string().contains(['.', 'e', 'E']);
            a == b || !(whole(a) && whole(b)) && a.as_f64() == b.as_f64()
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let same = |(key, value)| b.get(key).is_some_and(|other| alike(value, other));
            a.len() == b.len() && a.iter().all(same)
        }
        _ => one == other,
    }
}

/// Two digits for each byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The Python that has the packages of the readers.
pub fn python() -> PathBuf {
    let path = project().join(".work/readers-venv/bin/python");
    assert!(
        path.exists(),
        "there is no {}: run scripts/install once",
        path.display()
    );
    path
}

pub fn script(name: &str) -> PathBuf {
    project().join("tests/readers").join(name)
}
