//! What every test uses: servers, a subscriber, a proxy and the program, all of them real processes and
//! sockets with deadlines.
//!
//! The habit is `Target::new().server(&server).input(lines).run()`, which gives one `Outcome` on which
//! every assertion is made. Nothing here knows a rule of the program; that is what the tests are for.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

mod avro_cases;
mod callout;
mod certificates;
mod cluster;
mod connect_proxy;
mod http;
mod identity;
mod jetstream;
mod numbered;
mod operator;
mod outcome;
mod proxy;
mod random;
mod readers;
mod registry;
mod registry_calls;
mod running;
mod scripted_answers;
mod scripted_http;
mod server;
mod subscriber;
mod target;

pub use avro_cases::{AvroAnswer, AvroCases};
pub use callout::{Callout, Verdict};
pub use certificates::{Authority, Certificate};
pub use cluster::{Cluster, free_port};
pub use connect_proxy::ConnectProxy;
pub use identity::{CLIENT_ID, CLIENT_SECRET, IdentityProvider};
pub use jetstream::{JetStream, Stored};
pub use numbered::{Numbered, Pace, Tally};
pub use operator::Operator;
pub use outcome::Outcome;
pub use proxy::Proxy;
pub use random::{Random, seeds};
pub use readers::{Reader, alike, fastavro_cases, framed, hex, java_reads};
pub use registry::{Registry, Version};
pub use registry_calls::Registered;
pub use running::Running;
pub use scripted_answers::{Answer, Gate};
pub use scripted_http::{Clients, Request, ScriptedHttp};
pub use server::NatsServer;
pub use subscriber::{Message, Subscriber};
pub use target::Target;

/// How long anything that should happen at once may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(50);

/// A folder of its own, removed on drop.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("target-nats-test-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            match fs::create_dir(&path) {
                Ok(()) => return Self(path),
                // Left behind by an earlier process of the same id.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => panic!("cannot create {}: {error}", path.display()),
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Waits until the condition holds, and fails when it does not in time.
#[track_caller]
pub fn wait_until(what: &str, patience: Duration, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < patience,
            "waited {patience:?} in vain until {what}"
        );
        thread::sleep(Duration::from_millis(2));
    }
}

/// Says something that is worth knowing of a test that passes, too, so not by way of what is captured.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Held by a test that keeps both processors busy for long, so that only one such test runs at a time.
pub fn heavy() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends a signal (`TERM`, `STOP`, …) to one process of ours. False when there is no such process any more.
pub fn send_signal(pid: u32, signal: &str) -> bool {
    let script = r#"kill -s "$0" "$1" 2>/dev/null"#;
    let status = Command::new("/bin/sh")
        .args(["-c", script, signal, &pid.to_string()])
        .status();
    status.expect("/bin/sh can be started").success()
}

/// Waits until no thread of this process runs, after a SIGSTOP.
#[track_caller]
pub fn wait_until_stopped(pid: u32) {
    let tasks = format!("/proc/{pid}/task");
    wait_until("it has stopped", PATIENCE, || {
        let mut threads = fs::read_dir(&tasks).unwrap().flatten();
        threads.all(|thread| {
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // `pid (name) T …`
            stat.rsplit(')')
                .next()
                .is_some_and(|rest| rest.starts_with(" T"))
        })
    });
}

/// The folder of the project.
pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A SCHEMA line of a stream with an `id` and whatever else comes.
pub fn schema(stream: &str, keys: &[&str]) -> String {
    let keys = serde_json::to_string(keys).unwrap();
    let stream = serde_json::to_string(stream).unwrap();
    format!(
        r#"{{"type":"SCHEMA","stream":{stream},"schema":{{"type":"object","properties":{{"id":{{"type":"integer"}}}}}},"key_properties":{keys}}}"#
    ) + "\n"
}

/// A SCHEMA line with this text as the schema, and no key.
pub fn schema_as(stream: &str, schema: &str) -> String {
    let stream = serde_json::to_string(stream).unwrap();
    format!(r#"{{"type":"SCHEMA","stream":{stream},"schema":{schema},"key_properties":[]}}"#) + "\n"
}

/// A RECORD line with this text as the record.
pub fn record(stream: &str, record: &str) -> String {
    let stream = serde_json::to_string(stream).unwrap();
    format!(r#"{{"type":"RECORD","stream":{stream},"record":{record}}}"#) + "\n"
}

/// One record of `users` with its state.
pub fn numbered(id: u32) -> String {
    record("users", &format!(r#"{{"id":{id}}}"#)) + &state(&format!(r#"{{"id":{id}}}"#))
}

/// A STATE line with this text as the value.
pub fn state(value: &str) -> String {
    format!(r#"{{"type":"STATE","value":{value}}}"#) + "\n"
}

/// Publishes this input to a server of its own: the outcome, and everything that arrived.
#[track_caller]
pub fn publish(input: impl Into<Vec<u8>>) -> (Outcome, Vec<Message>) {
    publish_with(|target| target, input)
}

/// The same with further settings.
#[track_caller]
pub fn publish_with(
    settings: impl FnOnce(Target) -> Target,
    input: impl Into<Vec<u8>>,
) -> (Outcome, Vec<Message>) {
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let outcome = settings(Target::new().server(&server)).input(input).run();
    let messages = subscriber.messages();
    (outcome, messages)
}

/// Exactly these messages arrived, in this order, none of them with headers.
#[track_caller]
pub fn arrived(outcome: &Outcome, messages: &[Message], expected: &[(&str, &str)]) {
    let got: Vec<(&str, &str)> = messages
        .iter()
        .map(|message| (message.subject.as_str(), message.text()))
        .collect();
    outcome.check(
        got == expected,
        &format!("these messages arrive:\n{expected:?}\nbut these did:\n{got:?}"),
    );
    outcome.check(
        messages.iter().all(|message| message.headers.is_none()),
        "no message has headers",
    );
}
