//! Mutated input, settings and protocol lines: no panic, no hang, and an exit code that design.md knows.
//!
//! Bounded and seeded; the seed is printed. For the last of them a stand-in for a server is right, since no
//! real one says such things.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::harness::{Outcome, Random, Target, record, schema, state};

const INPUT_RUNS: usize = 400;
const SETTINGS_RUNS: usize = 400;
const PROTOCOL_RUNS: usize = 120;

/// It ended by itself, in one of the ways that there are.
#[track_caller]
fn ended_well(outcome: &Outcome) {
    outcome
        .does_not_log("panicked")
        .does_not_log("RUST_BACKTRACE");
    outcome.check(
        matches!(outcome.status.code(), Some(0 | 1 | 2 | 75)),
        "it exits 0, 1, 2 or 75",
    );
    if outcome.status.code() != Some(0) {
        outcome.check(!outcome.stderr.is_empty(), "it says why");
    }
}

/// Changes, doubles, cuts and inserts at a few random places.
fn mutate(random: &mut Random, text: &[u8], pieces: &[&[u8]]) -> Vec<u8> {
    let mut bytes = text.to_vec();
    for _ in 0..=random.within(0..6) {
        let at = random.within(0..bytes.len() + 1);
        let end = (at + random.within(0..20)).min(bytes.len());
        match random.within(0..6) {
            0 if at < bytes.len() => bytes[at] = u8::try_from(random.within(0..256)).unwrap(),
            1 if at < bytes.len() => bytes[at] ^= 1 << random.within(0..8),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            4 => bytes.truncate(at),
            _ => {
                let piece = random.pick(pieces).to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

const SINGER_PIECES: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b",",
    b":",
    b"\n",
    b"\r\n",
    b"\0",
    b"\xff",
    b"\xc3",
    b"null",
    b"NaN",
    b"-",
    b"1e999",
    b"\\u",
    b"\\ud800",
    b"\\u0000",
    b"[[[[[[[[[[",
    b"{\"a\":",
    b"\"type\":\"RECORD\",",
    b"\"stream\":\"\",",
    b"\"record\":null,",
    b"\xef\xbb\xbf",
    b" ",
    b"\"key_properties\":[\"nope\"],",
    b"\"type\":\"BATCH\",",
    b"\"manifest\":[\"/nope\",\"/\"],",
    b"\"encoding\":{\"format\":\"jsonl\"},",
    b"\"version\":1e5,",
    b"..",
    b"*",
];

#[test]
fn mutated_singer_input_ends_in_a_known_way() {
    let mut random = Random::new("mutated Singer input");
    let whole = schema("users", &["id"])
        + &schema("a.b", &[])
        + &record(
            "users",
            r#"{"id":1,"name":"é\u00e9\ud83d\ude00","n":[1.50,-0,1e5,null,true,{}]}"#,
        )
        + &state(r#"{"a":{"b":[1,"\u00e9"]}}"#)
        + &record("a.b", "{}")
        + r#"{"type":"ACTIVATE_VERSION","stream":"users","version":1}"#
        + "\n"
        + r#"{"type":"BATCH","stream":"users","encoding":{"format":"jsonl","compression":"gzip"},"manifest":[]}"#
        + "\n"
        + &record("users", r#"{"id":2}"#)
        + &state("2");
    for _ in 0..INPUT_RUNS {
        let input = mutate(&mut random, whole.as_bytes(), SINGER_PIECES);
        let outcome = Target::new()
            .setting("headers", serde_json::json!({"K": "{record.id}"}))
            .setting(
                "subject_invalid",
                *random.pick(&["reject", "replace", "encode"]),
            )
            .args(["--dry-run"])
            .env("TARGET_NATS_LOGLEVEL", *random.pick(&["TRACE", "ERROR"]))
            .input(input)
            .run();
        ended_well(&outcome);
    }
}

const SETTINGS_PIECES: &[&[u8]] = &[
    b"{",
    b"}",
    b"[]",
    b"\"",
    b",",
    b":",
    b"null",
    b"true",
    b"0",
    b"-1",
    b"1e999",
    b"\"\"",
    b"\\u0000",
    b"\xff",
    b"{}",
    b"{{",
    b"}}",
    b"{record.",
    b"{stream}",
    b"{key}",
    b"*",
    b"?",
    b"[!",
    b"@",
    b"%",
    b"%zz",
    b"//",
    b"nats://",
    b"99999999999",
];

#[test]
fn mutated_settings_end_in_a_known_way() {
    let mut random = Random::new("mutated settings");
    let whole = br#"{"nats_url":"nats://u:p%40@127.0.0.1:1,tls://h,[::1]:4222","queue_prefix":"a.","subject":"{queue_prefix}{stream}.{key}","subjects":{"u*":"x.{record.id}","[a-c]?":"y"},"subject_invalid":"encode","headers":{"A":"{stream}","B":"{record.a.b}"},"connect_timeout_seconds":1,"confirm_timeout_seconds":1.5,"workers":2,"connections":1,"max_in_flight":100,"max_in_flight_bytes":100000,"state_interval_seconds":0,"log_format":"auto","stream_maps":{},"flattening_enabled":false,"enable_schema_registry":"no","batch_config":{"encoding":{"format":"jsonl"},"storage":{"root":"file:///tmp"}},"load_method":"upsert"}"#;
    let input =
        schema("users", &["id"]) + &record("users", r#"{"id":1,"a":{"b":"c"}}"#) + &state("1");
    for _ in 0..SETTINGS_RUNS {
        let config = mutate(&mut random, whole, SETTINGS_PIECES);
        let mut target = Target::new()
            .config(config)
            .args(["--dry-run"])
            .input(input.clone());
        if random.once_in(4) {
            let variables = [
                "SUBJECTS",
                "HEADERS",
                "NATS_URL",
                "SUBJECT",
                "WORKERS",
                "STREAM_MAPS",
                "BATCH_CONFIG",
            ];
            let value = mutate(&mut random, br#"{"u*": "{record.id}"}"#, SETTINGS_PIECES);
            // No variable can hold the byte 0.
            let value: String = String::from_utf8_lossy(&value).replace('\0', "");
            target = target
                .args(["--config", "ENV"])
                .env(
                    &format!("TARGET_NATS_{}", random.pick(&variables)),
                    value.clone(),
                )
                .file(
                    ".env",
                    format!("TARGET_NATS_QUEUE_PREFIX={value}\nexport X='{value}'\n"),
                );
        }
        ended_well(&target.run());
    }
}

const INFO: &str = r#"INFO {"server_id":"X","server_name":"x","version":"2.15.1","proto":1,"go":"go1","host":"127.0.0.1","port":4222,"headers":true,"max_payload":1048576,"client_id":5,"client_ip":"127.0.0.1","xkey":"X"}"#;

const HOSTILE: &[&str] = &[
    "-ERR 'Permissions Violation for Publish to \"users\"'",
    "-ERR 'Authorization Violation'",
    "-ERR 'Stale Connection'",
    "-ERR 'Maximum Payload Violation'",
    "-ERR 'Unknown Protocol Operation'",
    "-ERR",
    "-ERR ''",
    "+OK",
    "PING",
    "PONG",
    "PONG\r\nPONG\r\nPONG",
    "MSG users 1 5\r\nhello",
    "MSG users 99 _INBOX.x 2\r\nhi",
    "MSG users 1 99999999999999999999",
    "MSG users 1 -1",
    "MSG",
    "HMSG users 1 12 14\r\nNATS/1.0\r\n\r\nhi",
    "HMSG users 1 99 4\r\nNATS",
    "HMSG users 1 5 5\r\nNATS/",
    "INFO {}",
    "INFO {\"max_payload\":1}",
    "INFO {\"max_payload\":-5}",
    "INFO not json",
    "INFO {\"ldm\":true}",
    "INFO {\"connect_urls\":[\"127.0.0.1:1\",\"\",\"[::1]\",\"nonsense:port\"]}",
    "GET / HTTP/1.1",
    "",
    "\u{0}\u{1}\u{2}",
    "é",
];

/// What one fake server says: its INFO, and at each of the program's PINGs a few lines.
struct Script {
    info: Vec<u8>,
    lines: Vec<Vec<u8>>,
    /// Whether it also answers a PING.
    answers: bool,
    /// After so many PINGs it ends the connection.
    patience: usize,
}

fn script(random: &mut Random) -> Script {
    let pieces: Vec<&[u8]> = HOSTILE.iter().map(|line| line.as_bytes()).collect();
    let mut info = INFO.as_bytes().to_vec();
    match random.within(0..6) {
        0 => info = mutate(random, &info, &pieces),
        // Longer than the client's buffer, in one piece.
        1 => {
            info = format!(
                r#"{}, "pad":"{}"}}"#,
                &INFO[..INFO.len() - 1],
                "x".repeat(random.within(1..20_000))
            )
            .into_bytes();
        }
        2 => info.clear(),
        _ => {}
    }
    let lines = (0..random.within(0..5))
        .map(|_| {
            let line = random.pick(HOSTILE).as_bytes();
            match random.within(0..4) {
                0 => mutate(random, line, &pieces),
                1 => [line, &b"x".repeat(random.within(1..10_000))].concat(),
                _ => line.to_vec(),
            }
        })
        .collect();
    Script {
        info,
        lines,
        answers: !random.once_in(5),
        patience: random.within(1..6),
    }
}

/// Says its script to one client. It answers what comes in as a server would, but for that.
fn play(script: &Script, mut client: TcpStream) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    client.write_all(&script.info)?;
    client.write_all(b"\r\n")?;
    let mut reader = BufReader::new(client.try_clone()?);
    let mut pings = 0;
    let mut line = Vec::new();
    while pings < script.patience {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if line.starts_with(b"PING") {
            pings += 1;
            if pings > 1 {
                for said in &script.lines {
                    client.write_all(said)?;
                    client.write_all(b"\r\n")?;
                }
            }
            if script.answers {
                client.write_all(b"PONG\r\n")?;
            }
        }
    }
    Ok(())
}

#[test]
fn hostile_protocol_lines_end_in_a_known_way() {
    let random = Arc::new(Mutex::new(Random::new("hostile protocol lines")));
    let left = Arc::new(Mutex::new(PROTOCOL_RUNS));
    // Most of the time each of them waits for a time-out.
    let testers: Vec<_> = (0..8)
        .map(|_| {
            let (random, left) = (Arc::clone(&random), Arc::clone(&left));
            thread::spawn(move || {
                loop {
                    let mut left = left.lock().unwrap();
                    if *left == 0 {
                        return;
                    }
                    *left -= 1;
                    drop(left);
                    let script = script(&mut random.lock().unwrap());
                    meet(script);
                }
            })
        })
        .collect();
    for tester in testers {
        assert!(
            tester.join().is_ok(),
            "a run ended in an unknown way; see above"
        );
    }
}

/// Lets the program meet a server with this script.
fn meet(script: Script) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let said = format!(
        "{:?}",
        script
            .lines
            .iter()
            .map(|line| String::from_utf8_lossy(line))
            .collect::<Vec<_>>()
    );
    let script = Arc::new(script);
    let playing = Arc::clone(&script);
    let done = Arc::new(Mutex::new(false));
    let over = Arc::clone(&done);
    let server = thread::spawn(move || {
        for client in listener.incoming().flatten() {
            if *over.lock().unwrap() {
                return;
            }
            let script = Arc::clone(&playing);
            thread::spawn(move || play(&script, client));
        }
    });
    let outcome = Target::new()
        .setting("nats_url", format!("nats://127.0.0.1:{port}"))
        .setting("connect_timeout_seconds", 1)
        .setting("confirm_timeout_seconds", 1)
        .deadline(Duration::from_secs(50))
        .input(
            schema("users", &[])
                + &record("users", r#"{"id":1}"#)
                + &state("1")
                + &record("users", r#"{"id":2}"#),
        )
        .run();
    *done.lock().unwrap() = true;
    let _ = TcpStream::connect(("127.0.0.1", port));
    let _ = server.join();
    let known =
        matches!(outcome.status.code(), Some(0 | 1 | 75)) && !outcome.stderr.contains("panicked");
    if !known {
        let info = String::from_utf8_lossy(&script.info[..script.info.len().min(300)]).into_owned();
        outcome.fail(&format!(
            "a known end; the server began with {info:?} and said {said}"
        ));
    }
}
