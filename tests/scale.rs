//! Much of everything: streams, bytes, time. Memory stays within what is promised.

use std::io::{BufWriter, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::harness::{NatsServer, Random, Subscriber, Target, heavy, record, say, schema, state};

/// The memory that the program may take, whatever it is given.
const MOST_MEMORY_KIB: u64 = 60 * 1024;

/// A server that does not take a subscriber on a busy machine for one that is too slow.
fn patient_server() -> NatsServer {
    NatsServer::with("max_pending: 1GB\nwrite_deadline: \"120s\"\n")
}

#[test]
fn ten_thousand_streams_are_kept_apart_within_the_memory_promised() {
    const STREAMS: usize = 10_000;
    const ROUNDS: usize = 3;
    let _turn = heavy();
    let server = patient_server();
    let seen = Arc::new(Mutex::new(vec![0; STREAMS]));
    let counting = Arc::clone(&seen);
    let mut subscriber = Subscriber::each(&server, move |message| {
        let number: usize = message
            .subject
            .strip_prefix("stream_number_")
            .unwrap()
            .parse()
            .unwrap();
        let round = &mut counting.lock().unwrap()[number];
        assert_eq!(
            message.text(),
            format!(r#"{{"id":{number},"round":{round}}}"#)
        );
        *round += 1;
    });
    let name = |number| format!("stream_number_{number}");
    let mut input = String::new();
    for number in 0..STREAMS {
        input += &schema(&name(number), &["id"]);
    }
    for round in 0..ROUNDS {
        for number in 0..STREAMS {
            input += &record(
                &name(number),
                &format!(r#"{{"id":{number},"round":{round}}}"#),
            );
        }
        input += &state(&format!("{}", round + 1));
    }
    let outcome = Target::new()
        .server(&server)
        .env("TARGET_NATS_LOGLEVEL", "WARNING")
        .deadline(Duration::from_secs(170))
        .input(input)
        .run();
    outcome.succeeds().prints_last(&ROUNDS.to_string());
    subscriber.settle();
    outcome.check(
        seen.lock().unwrap().iter().all(|rounds| *rounds == ROUNDS),
        "every record of every stream arrives",
    );
    say(&format!(
        "10,000 streams: peak memory {} KiB, took {:?}",
        outcome.peak_memory_kib, outcome.took
    ));
    outcome.check(outcome.peak_memory_kib > 0, "memory was seen");
    outcome.check(
        outcome.peak_memory_kib < MOST_MEMORY_KIB,
        "memory stays within its bound",
    );
}

#[test]
fn a_gigabyte_through_a_server_that_pauses_takes_no_more_memory_than_promised() {
    const BYTES: usize = 1_000_000_000;
    const TEXT: usize = 1_000;
    let _turn = heavy();
    let mut random = Random::new("a gigabyte with pauses");
    let server = patient_server();
    let next = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&next);
    let rest = format!(r#","text":"{}"}}"#, "x".repeat(TEXT));
    let mut subscriber = Subscriber::each(&server, move |message| {
        let number = counting.fetch_add(1, Ordering::Relaxed);
        let begin = format!(r#"{{"id":{number}"#);
        let whole = message.payload.strip_prefix(begin.as_bytes()) == Some(rest.as_bytes());
        assert!(
            whole,
            "record {number} is the next one, and whole: {}",
            message.text()
        );
    });
    let written = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&written);
    let mut run = Target::new()
        .server(&server)
        .deadline(Duration::from_secs(400))
        .generated(move |stdin| {
            let mut stdin = BufWriter::with_capacity(1 << 18, stdin);
            stdin.write_all(schema("big", &["id"]).as_bytes())?;
            let text = "x".repeat(TEXT);
            let (mut bytes, mut number) = (0, 0);
            while bytes < BYTES {
                let line = format!(
                    "{{\"type\":\"RECORD\",\"stream\":\"big\",\"record\":{{\"id\":{number},\"text\":\"{text}\"}}}}\n"
                );
                stdin.write_all(line.as_bytes())?;
                bytes += line.len();
                number += 1;
                counted.store(number, Ordering::Relaxed);
                if number % 10_000 == 0 {
                    stdin.write_all(state(&number.to_string()).as_bytes())?;
                }
            }
            stdin.write_all(state("\"all\"").as_bytes())?;
            stdin.flush()
        })
        .start();
    let (mut pauses, mut change, mut stopped) = (0, Instant::now(), false);
    while !run.has_ended() {
        run.look_at_memory();
        // Long enough for every buffer on the way to fill, and short enough not to be given up.
        let until = if stopped {
            1500
        } else {
            1000 + random.within(0..3000)
        };
        if change.elapsed() > Duration::from_millis(u64::try_from(until).unwrap()) {
            if stopped {
                server.cont();
            } else {
                server.stop();
                pauses += 1;
            }
            (change, stopped) = (Instant::now(), !stopped);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    if stopped {
        server.cont();
    }
    let outcome = run.wait();
    outcome.succeeds().prints_last("\"all\"");
    subscriber.settle();
    let records = written.load(Ordering::Relaxed);
    outcome.check(
        next.load(Ordering::Relaxed) == records,
        "every record arrives",
    );
    say(&format!(
        "1 GB, {records} records, {pauses} pauses of the server: peak memory {} KiB, took {:?}",
        outcome.peak_memory_kib, outcome.took
    ));
    outcome.check(pauses > 0, "the server was paused");
    outcome.check(outcome.peak_memory_kib > 0, "memory was seen");
    outcome.check(
        outcome.peak_memory_kib < MOST_MEMORY_KIB,
        "memory stays within its bound",
    );
}

#[test]
fn fields_that_nobody_declared_and_that_never_come_twice_take_no_memory() {
    const RECORDS: usize = 300_000;
    let _turn = heavy();
    let server = patient_server();
    let mut subscriber = Subscriber::each(&server, |_| ());
    let outcome = Target::new()
        .server(&server)
        .env("TARGET_NATS_LOGLEVEL", "ERROR")
        .deadline(Duration::from_secs(170))
        .generated(|stdin| {
            let mut stdin = BufWriter::with_capacity(1 << 18, stdin);
            stdin.write_all(schema("events", &[]).as_bytes())?;
            // As a tap does that puts an id or a time into the name of a field.
            let name = "measured_".repeat(25);
            for number in 0..RECORDS {
                let line = record("events", &format!(r#"{{"{name}{number}":1}}"#));
                stdin.write_all(line.as_bytes())?;
            }
            stdin.write_all(state("1").as_bytes())?;
            stdin.flush()
        })
        .run();
    outcome.succeeds().prints("1\n");
    subscriber.settle();
    outcome.check(subscriber.count() == RECORDS, "every record arrives");
    say(&format!(
        "{RECORDS} undeclared fields: peak memory {} KiB, took {:?}",
        outcome.peak_memory_kib, outcome.took
    ));
    outcome.check(
        outcome.peak_memory_kib < MOST_MEMORY_KIB,
        "memory stays within its bound",
    );
}
