//! Streams that refuse: full, sealed, purged, deleted, too small for a message. Who waits, who fails, and what is said.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    JetStream, NatsServer, Numbered, PATIENCE, Subscriber, Tally, Target, heavy, numbered, record,
    schema, state,
};

/// A server, and its JetStream with a stream `S` that captures `users`.
fn capturing(more: Value) -> (NatsServer, JetStream) {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    jetstream.stream("S", &["users"], more);
    (server, jetstream)
}

/// Both ways of feeding a stream, with the stream's fields that they need.
const INGESTS: [&str; 2] = ["pipelined", "fast"];

fn with(mut more: Value) -> Value {
    more["allow_batched"] = true.into();
    more
}

#[test]
fn a_full_stream_slows_the_run_down_until_there_is_space() {
    for ingest in INGESTS {
        let (server, mut jetstream) = capturing(with(json!({"max_msgs": 3, "discard": "new"})));
        let mut run = Target::new()
            .server(&server)
            .setting("ingest", ingest)
            .spawn();
        run.send(schema("users", &[]) + &(1..=6).map(numbered).collect::<String>());
        run.wait_for_line(r#"{"id": 3}"#);
        run.wait_until_stored(&mut jetstream, 3, PATIENCE);
        jetstream.update("S", json!({"max_msgs": 5}));
        run.wait_for_line(r#"{"id": 5}"#);
        assert!(!run.stdout().contains(r#"{"id": 6}"#));
        jetstream.update("S", json!({"max_msgs": 10}));
        run.end_input();
        let outcome = run.wait();
        outcome.succeeds().prints_last(r#"{"id": 6}"#);
        let stored = jetstream.messages("S");
        let texts: Vec<String> = stored.iter().map(|m| m.text().to_owned()).collect();
        let expected: Vec<String> = (1..=6).map(|id| format!(r#"{{"id":{id}}}"#)).collect();
        outcome.check(
            texts == expected,
            &format!("all are stored in order, not {texts:?}"),
        );
    }
}

#[test]
fn a_stream_that_stays_full_ends_the_run_as_unavailable_with_the_last_good_state() {
    for ingest in INGESTS {
        for limit in [
            json!({"max_msgs": 3, "discard": "new"}),
            json!({"max_bytes": 3 * 40, "discard": "new"}),
        ] {
            let (server, mut jetstream) = capturing(with(limit));
            let run = Target::new()
                .server(&server)
                .setting("ingest", ingest)
                .setting("confirm_timeout_seconds", 4)
                .spawn();
            run.send(schema("users", &[]) + &(1..=6).map(numbered).collect::<String>());
            // Its input stays open.
            let outcome = run.wait();
            outcome.exits(75).error(&["S"]);
            let stored = jetstream.count("S");
            outcome
                .prints_last(&format!(r#"{{"id": {stored}}}"#))
                .check(stored >= 2, "what had space is stored");
            outcome.check(
                outcome.took < Duration::from_secs(30),
                "it ends when the time is over",
            );
        }
    }
}

#[test]
fn a_limit_that_is_reached_within_much_input_and_lifted_loses_nothing() {
    const RECORDS: usize = 60_000;
    let _turn = heavy();
    for (ingest, message_id) in [
        ("pipelined", "none"),
        ("pipelined", "run"),
        ("fast", "none"),
    ] {
        let server = NatsServer::with_jetstream();
        let mut jetstream = JetStream::on(&server);
        jetstream.stream(
            "S",
            &["s0", "s1", "s2", "s3"],
            with(json!({"max_msgs": 10_000, "discard": "new"})),
        );
        let mut run = Target::new()
            .server(&server)
            .setting("ingest", ingest)
            .setting("message_id", message_id)
            .spawn();
        run.send(Numbered::schemas());
        Numbered::send(&run, 0..RECORDS);
        run.end_input();
        for limit in [25_000, 40_000, 1_000_000] {
            let full = jetstream.info("S")["config"]["max_msgs"].as_u64().unwrap();
            run.wait_until_stored(&mut jetstream, full, PATIENCE);
            let printed = Numbered::printed(&run.stdout());
            assert!(printed <= usize::try_from(full).unwrap());
            jetstream.update("S", json!({"max_msgs": limit}));
        }
        let outcome = run.wait();
        Numbered::is_confirmed(&outcome, RECORDS);
        let tally = Tally::of(&mut jetstream, "S");
        tally.holds_after_refusals(&outcome, RECORDS, ingest, message_id);
    }
}

#[test]
fn a_subject_that_is_full_ends_the_run_as_unavailable_and_names_the_stream() {
    let (server, mut jetstream) = capturing(json!({
        "max_msgs_per_subject": 2, "discard": "new", "discard_new_per_subject": true,
    }));
    let outcome = Target::new()
        .server(&server)
        .setting("confirm_timeout_seconds", 3)
        .input(schema("users", &[]) + &(1..=3).map(numbered).collect::<String>())
        .run();
    outcome
        .exits(75)
        .prints_last(r#"{"id": 2}"#)
        .error(&["S", "maximum messages per subject"]);
    assert_eq!(jetstream.count("S"), 2);
}

#[test]
fn a_stream_that_is_purged_within_much_input_is_fed_on() {
    const RECORDS: usize = 60_000;
    let _turn = heavy();
    for ingest in INGESTS {
        let server = NatsServer::with_jetstream();
        let mut jetstream = JetStream::on(&server);
        jetstream.stream("S", &["s0", "s1", "s2", "s3"], with(json!({})));
        let mut run = Target::new()
            .server(&server)
            .setting("ingest", ingest)
            .spawn();
        run.send(Numbered::schemas());
        Numbered::send(&run, 0..RECORDS / 2);
        run.wait_until_stored(&mut jetstream, 5000, PATIENCE);
        jetstream.purge("S");
        Numbered::send(&run, RECORDS / 2..RECORDS);
        run.end_input();
        let outcome = run.wait();
        Numbered::is_confirmed(&outcome, RECORDS);
        let state = jetstream.info("S")["state"].take();
        outcome.check(
            state["last_seq"] == RECORDS,
            &format!("every record was stored, and once: {state}"),
        );
    }
}

#[test]
fn a_stream_that_is_deleted_in_the_middle_ends_the_run_with_its_name() {
    for ingest in INGESTS {
        let (server, mut jetstream) = capturing(with(json!({})));
        let mut run = Target::new()
            .server(&server)
            .setting("ingest", ingest)
            .setting("confirm_timeout_seconds", 20)
            .spawn();
        run.send(schema("users", &[]) + &numbered(1));
        run.wait_for_line(r#"{"id": 1}"#);
        jetstream.delete("S");
        run.send(numbered(2));
        // Its input stays open.
        let outcome = run.wait();
        outcome
            .exits(1)
            .prints("{\"id\": 1}\n")
            .error(&["S", "users"]);
    }
}

#[test]
fn a_stream_that_is_sealed_in_the_middle_ends_the_run_with_its_name() {
    for ingest in INGESTS {
        let (server, mut jetstream) = capturing(with(json!({})));
        let mut run = Target::new()
            .server(&server)
            .setting("ingest", ingest)
            .spawn();
        run.send(schema("users", &[]) + &numbered(1));
        run.wait_for_line(r#"{"id": 1}"#);
        jetstream.update("S", json!({"sealed": true}));
        run.send(numbered(2));
        let outcome = run.wait();
        outcome
            .exits(1)
            .prints("{\"id\": 1}\n")
            .error(&["S", "sealed"]);
        assert_eq!(jetstream.count("S"), 1);
    }
}

/// Three records with their states, of which the second is too large for a stream of 100 bytes.
fn second_too_large() -> String {
    let text = "x".repeat(200);
    schema("users", &[])
        + &numbered(1)
        + &record("users", &format!(r#"{{"id":2,"text":"{text}"}}"#))
        + &state(r#"{"id":2}"#)
        + &numbered(3)
}

#[test]
fn a_message_larger_than_the_stream_takes_ends_the_run_with_its_place() {
    for ingest in INGESTS {
        let (server, mut jetstream) = capturing(with(json!({"max_msg_size": 100})));
        let outcome = Target::new()
            .server(&server)
            .setting("ingest", ingest)
            .input(second_too_large())
            .run();
        outcome.exits(1).error(&["line 4", "stream users", "S"]);
        outcome.check(
            !outcome.stdout_text().contains(r#""id": 2"#)
                && !outcome.stdout_text().contains(r#""id": 3"#),
            "no state covers the refused record",
        );
        let stored = jetstream.messages("S");
        outcome.check(
            stored
                .first()
                .is_some_and(|message| message.text() == r#"{"id":1}"#),
            "what came before it is stored",
        );
        outcome.does_not_log("xxxx");
    }
}

#[test]
fn a_message_larger_than_the_stream_takes_is_skipped_where_that_is_asked_for() {
    for ingest in INGESTS {
        let (server, mut jetstream) = capturing(with(json!({"max_msg_size": 100})));
        let outcome = Target::new()
            .server(&server)
            .setting("ingest", ingest)
            .setting("on_invalid_record", "skip")
            .input(second_too_large())
            .run();
        outcome
            .succeeds()
            .prints_last(r#"{"id": 3}"#)
            .logs(" | WARNING ");
        let stored = jetstream.messages("S");
        let texts: Vec<&str> = stored.iter().map(|message| message.text()).collect();
        outcome.check(
            texts == [r#"{"id":1}"#, r#"{"id":3}"#],
            &format!("the others are stored, once and in order: {texts:?}"),
        );
        outcome.does_not_log("xxxx");
    }
}

#[test]
fn a_message_larger_than_any_file_store_takes_is_a_record_that_is_refused_and_no_full_stream() {
    const SIZE: usize = 33 * 1024 * 1024;
    for ingest in INGESTS {
        let server =
            NatsServer::with_jetstream_and("max_payload: 67108864\nmax_pending: 268435456\n");
        let mut jetstream = JetStream::on(&server);
        jetstream.stream("S", &["users"], with(json!({})));
        let text = "x".repeat(SIZE);
        let input = schema("users", &[])
            + &numbered(1)
            + &record("users", &format!(r#"{{"id":2,"text":"{text}"}}"#))
            + &numbered(3)
            + &state(r#"{"id":3}"#);
        let outcome = Target::new()
            .server(&server)
            .setting("ingest", ingest)
            .setting("on_invalid_record", "skip")
            .input(input)
            .run();
        outcome
            .succeeds()
            .prints_last(r#"{"id": 3}"#)
            .logs("message too large");
        let stored = jetstream.messages("S");
        let texts: Vec<&str> = stored.iter().map(|message| message.text()).collect();
        outcome.check(
            texts == [r#"{"id":1}"#, r#"{"id":3}"#],
            &format!("the others are stored, once and in order: {texts:?}"),
        );
    }
}

#[test]
fn a_message_larger_than_the_stream_takes_becomes_a_dead_letter_where_that_is_asked_for() {
    for ingest in INGESTS {
        for captured in [false, true] {
            let (server, mut jetstream) = capturing(with(json!({"max_msg_size": 100})));
            let mut subscriber = Subscriber::to(&server, "dead.letters");
            if captured {
                jetstream.stream("DEAD", &["dead.*"], json!({}));
            }
            let outcome = Target::new()
                .server(&server)
                .setting("ingest", ingest)
                .setting("on_invalid_record", "dead_letter")
                .setting("dead_letter_subject", "dead.letters")
                .input(second_too_large())
                .run();
            outcome.succeeds().prints_last(r#"{"id": 3}"#);
            let stored = jetstream.messages("S");
            let texts: Vec<&str> = stored.iter().map(|message| message.text()).collect();
            outcome.check(
                texts == [r#"{"id":1}"#, r#"{"id":3}"#],
                &format!("the others are stored, once and in order: {texts:?}"),
            );
            let (payload, headers) = if captured {
                let mut dead = jetstream.messages("DEAD");
                assert_eq!(dead.len(), 1);
                let dead = dead.remove(0);
                (dead.payload, dead.headers)
            } else {
                let mut dead = subscriber.messages();
                assert_eq!(dead.len(), 1);
                let dead = dead.remove(0);
                (dead.payload, dead.headers)
            };
            let expected = format!(r#"{{"id":2,"text":"{}"}}"#, "x".repeat(200));
            assert_eq!(String::from_utf8(payload).unwrap(), expected);
            let headers = headers.expect("headers say why");
            for part in [
                "Target-Nats-Stream:users\r\n",
                "Target-Nats-Line:4\r\n",
                "Target-Nats-Reason:",
            ] {
                outcome.check(headers.contains(part), &format!("{part} is in {headers}"));
            }
        }
    }
}

#[test]
fn a_state_waits_for_the_dead_letter_before_it() {
    // The stream of dead letters is full, so they cannot be confirmed.
    let (server, mut jetstream) = capturing(json!({"max_msg_size": 100}));
    jetstream.stream("DEAD", &["dead"], json!({"max_msgs": 1, "discard": "new"}));
    jetstream.publish("dead", "x");
    let mut run = Target::new()
        .server(&server)
        .setting("on_invalid_record", "dead_letter")
        .setting("dead_letter_subject", "dead")
        .spawn();
    run.send(second_too_large());
    run.wait_for_line(r#"{"id": 1}"#);
    run.wait_until_stored(&mut jetstream, 2, PATIENCE);
    assert_eq!(run.stdout(), "{\"id\": 1}\n");
    jetstream.update("DEAD", json!({"max_msgs": 10}));
    run.wait_for_line(r#"{"id": 3}"#);
    run.end_input();
    run.wait().succeeds();
    assert_eq!(jetstream.count("DEAD"), 2);
}

#[test]
fn an_account_whose_space_is_used_up_ends_the_run_with_what_the_server_says() {
    for (ingest, storage, limit) in [
        ("pipelined", "file", "max_file: 20000"),
        ("pipelined", "memory", "max_mem: 20000"),
        ("fast", "file", "max_file: 20000"),
    ] {
        let server = NatsServer::with_jetstream_and(&format!(
            "accounts: {{A: {{jetstream: {{{limit}}}, users: [{{user: a, password: a}}]}}}}"
        ));
        let mut jetstream = JetStream::with_login(&server, r#""user":"a","pass":"a""#);
        jetstream.stream(
            "S",
            &["users"],
            json!({"storage": storage, "allow_batched": true}),
        );
        let outcome = Target::new()
            .log_of(&server)
            .setting("nats_url", format!("nats://a:a@{}", server.address()))
            .setting("ingest", ingest)
            .input(schema("users", &[]) + &(1..=2000).map(numbered).collect::<String>())
            .run();
        outcome.exits(1).error(&["S", "exceeded"]);
        let stored = usize::try_from(jetstream.count("S")).unwrap();
        let printed = outcome.stdout_text().lines().last().unwrap_or_default();
        let printed = printed
            .trim_start_matches(r#"{"id": "#)
            .trim_end_matches('}');
        let printed = printed.parse::<usize>().unwrap_or(0);
        // A batch ends where the space does, and says so at once.
        let is_told =
            ingest != "fast" || printed == stored && outcome.took < Duration::from_secs(4);
        outcome.check(is_told, "all that the batch has stored is told, and soon");
        outcome.check(
            printed <= stored && stored < 2000,
            &format!("the last state is {printed}, and {stored} are stored"),
        );
    }
}

#[test]
fn what_was_acknowledged_before_a_refusal_that_ends_the_run_has_its_state_printed() {
    for (ingest, count) in [
        ("pipelined", 10_u32),
        ("pipelined", 300),
        ("fast", 10),
        ("fast", 1300),
    ] {
        let (server, mut jetstream) = capturing(json!({"allow_batched": true}));
        let plain = (1..=count).map(|id| {
            let record = record("users", &format!(r#"{{"id":{id},"ttl":""}}"#));
            record + &state(&format!(r#"{{"id":{id}}}"#))
        });
        let plain: String = plain.collect();
        let outcome = Target::new()
            .server(&server)
            .setting("ingest", ingest)
            .setting("headers", json!({"Nats-TTL": "{record.ttl}"}))
            .input(schema("users", &[]) + &plain + &record("users", r#"{"ttl":"5"}"#))
            .run();
        outcome
            .exits(1)
            .prints_last(&format!(r#"{{"id": {count}}}"#))
            .error(&["S", "TTL"]);
        assert_eq!(jetstream.count("S"), u64::from(count));
    }
}

#[test]
fn what_comes_before_a_record_that_goes_nowhere_is_confirmed_before_the_run_ends() {
    for ingest in ["fast", "pipelined"] {
        let (server, mut jetstream) = capturing(json!({"allow_batched": true}));
        let to = |subject: &str, id: u32| {
            record("users", &format!(r#"{{"id":{id},"to":"{subject}"}}"#)) + &state(&id.to_string())
        };
        let good: String = (1..=300).map(|id| to("users", id)).collect();
        let outcome = Target::new()
            .server(&server)
            .setting("delivery", "jetstream")
            .setting("ingest", ingest)
            .setting("subject", "{record.to}")
            .input(schema("users", &[]) + &good + &to("orders", 301) + &to("users", 302))
            .run();
        outcome
            .exits(1)
            .prints_last("300")
            .error(&["no JetStream stream captures 'orders'"]);
        assert_eq!(jetstream.count("S"), 300);
    }
}

#[test]
fn a_header_of_the_users_that_the_server_takes_for_its_own_stores_nothing_silently() {
    let (server, mut jetstream) = capturing(json!({}));
    let outcome = Target::new()
        .server(&server)
        .setting("headers", json!({"Nats-Expected-Stream": "OTHER"}))
        .input(schema("users", &[]) + &numbered(1))
        .run();
    // Whether such a header is refused at once or by the server, no state is printed and nothing is stored.
    outcome
        .prints("")
        .check(!outcome.status.success(), "it fails");
    assert_eq!(jetstream.count("S"), 0);
}
