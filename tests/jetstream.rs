//! JetStream as it should be: ids, expected streams, domains, prefixes, permissions, and who else answers.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{
    JetStream, NatsServer, PATIENCE, Stored, Subscriber, Target, free_port, numbered, record,
    schema, state, wait_until,
};

const INGESTS: [&str; 2] = ["pipelined", "fast"];

/// A server, and its JetStream with a stream `S` that captures `users` and `orders`.
fn capturing(more: Value) -> (NatsServer, JetStream) {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    jetstream.stream("S", &["users", "orders"], more);
    (server, jetstream)
}

fn ids(messages: &[Stored]) -> Vec<&str> {
    messages
        .iter()
        .map(|message| message.header("Nats-Msg-Id").expect("a message has its id"))
        .collect()
}

#[test]
fn ids_of_the_run_are_of_each_message_and_of_each_run() {
    for ingest in INGESTS {
        let (server, mut jetstream) = capturing(json!({"allow_batched": true}));
        let same = record("users", r#"{"id":1}"#);
        let input = schema("users", &[])
            + &schema("orders", &[])
            + &same
            + &same
            + &record("orders", r#"{"id":1}"#);
        for _ in 0..2 {
            Target::new()
                .server(&server)
                .setting("ingest", ingest)
                .setting("message_id", "run")
                .input(input.clone())
                .run()
                .succeeds();
        }
        let messages = jetstream.messages("S");
        assert_eq!(messages.len(), 6);
        let distinct: BTreeSet<&str> = ids(&messages).into_iter().collect();
        assert_eq!(distinct.len(), 6, "{distinct:?}");
    }
}

#[test]
fn ids_of_the_content_make_a_run_that_is_repeated_store_nothing_new() {
    for ingest in INGESTS {
        let (server, mut jetstream) = capturing(json!({"allow_batched": true}));
        let input = schema("users", &[])
            + &schema("orders", &[])
            + &numbered(1)
            + &numbered(2)
            + &record("orders", r#"{"id":1}"#)
            + &state("3");
        for _ in 0..2 {
            let outcome = Target::new()
                .server(&server)
                .setting("ingest", ingest)
                .setting("message_id", "content")
                .input(input.clone())
                .run();
            outcome.succeeds().prints_last("3");
        }
        let messages = jetstream.messages("S");
        let distinct: BTreeSet<&str> = ids(&messages).into_iter().collect();
        assert_eq!(
            (messages.len(), distinct.len()),
            (3, 3),
            "the same record of two Singer streams is two messages"
        );
    }
}

#[test]
fn an_id_stands_beside_the_headers_that_were_asked_for() {
    let (server, mut jetstream) = capturing(json!({}));
    Target::new()
        .server(&server)
        .setting("message_id", "run")
        .setting("jetstream_stream", "S")
        .setting("headers", json!({"Source": "singer"}))
        .input(schema("users", &[]) + &numbered(1))
        .run()
        .succeeds();
    let messages = jetstream.messages("S");
    assert_eq!(messages[0].header("Source"), Some("singer"));
    assert_eq!(messages[0].header("Nats-Expected-Stream"), Some("S"));
    assert_eq!(ids(&messages).len(), 1);
}

#[test]
fn without_ids_and_an_expected_stream_there_are_no_headers() {
    let (server, mut jetstream) = capturing(json!({}));
    Target::new()
        .server(&server)
        .input(schema("users", &[]) + &numbered(1))
        .run()
        .succeeds();
    assert_eq!(jetstream.messages("S")[0].headers, None);
}

#[test]
fn a_stream_that_was_named_and_does_not_capture_is_an_error_before_anything_is_published() {
    let (server, mut jetstream) = capturing(json!({}));
    jetstream.stream("OTHER", &["items"], json!({}));
    let mut subscriber = Subscriber::to(&server, "people");
    for (name, stream, parts) in [
        ("S", "items", &["S", "items"][..]),
        ("S", "people", &["S", "people"]),
        ("NONE", "users", &["NONE"]),
    ] {
        let outcome = Target::new()
            .server(&server)
            .setting("jetstream_stream", name)
            .input(schema(stream, &[]) + &record(stream, r#"{"id":1}"#) + &state("1"))
            .run();
        outcome.prints("").error(parts);
        outcome.check(
            matches!(outcome.status.code(), Some(1 | 2)),
            "it is a matter of the settings or the server's",
        );
    }
    assert_eq!(subscriber.messages().len(), 0);
    assert_eq!((jetstream.count("S"), jetstream.count("OTHER")), (0, 0));
}

#[test]
fn a_domain_is_asked_by_its_name() {
    let server = NatsServer::with("jetstream: {store_dir: js, domain: hub}");
    let mut jetstream = JetStream::on(&server);
    jetstream.stream("S", &["users"], json!({}));
    let outcome = Target::new()
        .server(&server)
        .setting("delivery", "jetstream")
        .setting("jetstream_domain", "hub")
        .input(schema("users", &[]) + &numbered(1))
        .run();
    outcome.succeeds().prints("{\"id\": 1}\n");
    assert_eq!(jetstream.count("S"), 1);
    let outcome = Target::new()
        .server(&server)
        .setting("delivery", "jetstream")
        .setting("jetstream_domain", "elsewhere")
        .input(schema("users", &[]) + &numbered(1))
        .run();
    outcome.prints("").error(&["elsewhere"]);
    outcome.check(!outcome.status.success(), "it fails");
    assert_eq!(jetstream.count("S"), 1);
}

#[test]
fn a_leaf_without_jetstream_reaches_the_domain_of_its_hub() {
    let port = free_port();
    let hub = NatsServer::with(&format!(
        "jetstream: {{store_dir: js, domain: hub}}\nleafnodes: {{listen: \"127.0.0.1:{port}\"}}"
    ));
    let leaf = NatsServer::with(&format!(
        "leafnodes: {{remotes: [{{url: \"nats-leaf://127.0.0.1:{port}\"}}]}}"
    ));
    JetStream::on(&hub).stream("S", &["users"], json!({}));
    // The leaf has its link when the hub's stream is seen from there.
    JetStream::on(&leaf).domain("hub").info("S");
    for ingest in ["auto", "pipelined"] {
        let outcome = Target::new()
            .server(&leaf)
            .setting("jetstream_domain", "hub")
            .setting("ingest", ingest)
            .input(schema("users", &[]) + &numbered(1))
            .run();
        outcome
            .succeeds()
            .prints("{\"id\": 1}\n")
            .logs_once(&[" | INFO ", "users", "S"]);
    }
    assert_eq!(JetStream::on(&hub).count("S"), 2);
}

/// A port of this machine behind which the given one is, each way so much later.
fn slow_link(to: u16, latency: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let carry = move |mut from: TcpStream, mut to: TcpStream| {
        let (arrived, under_way) = channel::<(Instant, Vec<u8>)>();
        thread::spawn(move || {
            for (due, bytes) in under_way {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                let _ = to.write_all(&bytes);
            }
            let _ = to.shutdown(Shutdown::Both);
        });
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                let _ = arrived.send((Instant::now() + latency, buffer[..count].to_vec()));
            }
        });
    };
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let far = TcpStream::connect(("127.0.0.1", to)).unwrap();
            carry(near.try_clone().unwrap(), far.try_clone().unwrap());
            carry(far, near);
        }
    });
    port
}

#[test]
fn the_jetstream_of_a_hub_is_found_over_a_slow_link() {
    let port = free_port();
    let hub = NatsServer::with(&format!(
        "jetstream: {{store_dir: js, domain: hub}}\nleafnodes: {{listen: \"127.0.0.1:{port}\"}}"
    ));
    let slow = slow_link(port, Duration::from_millis(300));
    let leaf = NatsServer::with(&format!(
        "leafnodes: {{remotes: [{{url: \"nats-leaf://127.0.0.1:{slow}\"}}]}}"
    ));
    JetStream::on(&hub).stream("S", &["users"], json!({}));
    JetStream::on(&leaf).domain("hub").info("S");
    let outcome = Target::new()
        .server(&leaf)
        .setting("jetstream_domain", "hub")
        .input(schema("users", &[]) + &numbered(1))
        .run();
    outcome
        .succeeds()
        .prints("{\"id\": 1}\n")
        .logs("stream 'users' goes to 'users': JetStream stream 'S'");
    assert_eq!(JetStream::on(&hub).count("S"), 1);
}

#[test]
fn the_jetstream_of_another_account_is_asked_by_its_prefix() {
    let server = NatsServer::with_jetstream_and(
        r#"accounts: {
          A: {jetstream: enabled, users: [{user: a, password: a}], exports: [
            {service: "$JS.API.>", response_type: stream}, {service: "users"}
          ]}
          B: {users: [{user: b, password: b}], imports: [
            {service: {account: A, subject: "$JS.API.>"}, to: "JS.a.API.>"}
            {service: {account: A, subject: "users"}}
          ]}
        }"#,
    );
    let mut jetstream = JetStream::with_login(&server, r#""user":"a","pass":"a""#);
    jetstream.stream("S", &["users"], json!({}));
    let mut input = schema("users", &[]);
    for id in 1..=3000 {
        input += &numbered(id);
    }
    let outcome = Target::new()
        .log_of(&server)
        .setting("nats_url", format!("nats://b:b@{}", server.address()))
        .setting("jetstream_api_prefix", "JS.a.API")
        .input(input)
        .run();
    outcome.succeeds().prints_last(r#"{"id": 3000}"#);
    assert_eq!(jetstream.count("S"), 3000);
}

/// A server with a user who may listen to one inbox prefix only.
fn narrow_inbox() -> (NatsServer, JetStream) {
    let server = NatsServer::with_jetstream_and(
        r#"authorization: {users: [
          {user: all, password: all}
          {user: n, password: n, permissions: {
            publish: {allow: ["users", "$JS.API.>"]}, subscribe: {allow: ["_MINE.n.>"]}
          }}
        ]}"#,
    );
    let mut jetstream = JetStream::with_login(&server, r#""user":"all","pass":"all""#);
    jetstream.stream("S", &["users", "secret"], json!({"allow_batched": true}));
    (server, jetstream)
}

#[test]
fn a_user_who_may_listen_to_one_inbox_prefix_only_says_which() {
    let (server, mut jetstream) = narrow_inbox();
    for ingest in INGESTS {
        let outcome = Target::new()
            .log_of(&server)
            .setting("nats_url", format!("nats://n:n@{}", server.address()))
            .setting("delivery", "jetstream")
            .setting("ingest", ingest)
            .setting("inbox_prefix", "_MINE.n")
            .input(schema("users", &[]) + &numbered(1) + &numbered(2))
            .run();
        outcome.succeeds().prints_last(r#"{"id": 2}"#);
    }
    assert_eq!(jetstream.count("S"), 4);
    assert!(
        !server.log().contains("Subscription Violation"),
        "{}",
        server.log()
    );
}

#[test]
fn an_inbox_that_may_not_be_listened_to_is_an_error_that_says_so() {
    let (server, mut jetstream) = narrow_inbox();
    let outcome = Target::new()
        .log_of(&server)
        .setting("nats_url", format!("nats://n:n@{}", server.address()))
        .setting("delivery", "jetstream")
        .input(schema("users", &[]) + &numbered(1))
        .run();
    outcome.exits(1).prints("").error(&["inbox"]);
    assert_eq!(jetstream.count("S"), 0);
}

#[test]
fn a_captured_subject_that_may_not_be_published_to_ends_the_run_with_its_name() {
    for ingest in INGESTS {
        let (server, mut jetstream) = narrow_inbox();
        let mut run = Target::new()
            .log_of(&server)
            .setting("nats_url", format!("nats://n:n@{}", server.address()))
            .setting("delivery", "jetstream")
            .setting("ingest", ingest)
            .setting("inbox_prefix", "_MINE.n")
            .spawn();
        run.send(schema("users", &[]) + &schema("secret", &[]) + &numbered(1));
        run.wait_for_line(r#"{"id": 1}"#);
        run.send(record("secret", r#"{"id":2}"#) + &state("2"));
        let outcome = run.wait();
        outcome.exits(1).prints("{\"id\": 1}\n").error(&["secret"]);
        assert_eq!(jetstream.count("S"), 1);
    }
}

/// Answers every message on `users` in the way of a service, at once, and counts.
fn echo_service(server: &NatsServer, answer: &'static str) {
    let socket = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    let mut writer = socket.try_clone().unwrap();
    writer
        .write_all(b"CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB users 1\r\nPING\r\n")
        .unwrap();
    let mut reader = BufReader::new(socket);
    let mut line = String::new();
    while !line.starts_with("PONG") {
        line.clear();
        reader.read_line(&mut line).unwrap();
    }
    thread::spawn(move || {
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
            let words: Vec<&str> = line.trim_end().split(' ').collect();
            if let ["MSG" | "HMSG", _, _, reply, .., size] = words[..] {
                let mut payload = vec![0; size.parse::<usize>().unwrap() + 2];
                reader.read_exact(&mut payload).unwrap();
                let size = answer.len();
                let _ = write!(writer, "PUB {reply} {size}\r\n{answer}\r\n");
            }
            line.clear();
        }
    });
}

#[test]
fn what_another_service_answers_is_not_taken_for_an_acknowledgement() {
    for ingest in INGESTS {
        for answer in [
            r#"{"stream":"OTHER","seq":1}"#,
            r#"{"type":"ack","seq":9,"msgs":1}"#,
            "thanks",
            "",
        ] {
            // What really captures the subject takes nothing.
            let (server, mut jetstream) =
                capturing(json!({"max_msgs": 1, "discard": "new", "allow_batched": true}));
            jetstream.publish("orders", "x");
            echo_service(&server, answer);
            let outcome = Target::new()
                .server(&server)
                .setting("ingest", ingest)
                .setting("confirm_timeout_seconds", 2)
                .input(schema("users", &[]) + &numbered(1))
                .run();
            outcome.prints("");
            outcome.check(!outcome.status.success(), "it fails");
            assert_eq!(jetstream.count("S"), 1);
        }
    }
}

#[test]
fn a_stream_that_comes_while_the_run_waits_is_used_by_the_next_singer_stream() {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    let mut run = Target::new().server(&server).spawn();
    run.send(schema("users", &[]) + &numbered(1));
    run.wait_for_line(r#"{"id": 1}"#);
    jetstream.stream("LATE", &["orders"], json!({}));
    run.send(schema("orders", &[]) + &record("orders", r#"{"id":2}"#) + &state("2"));
    run.wait_for_line("2");
    assert_eq!(jetstream.count("LATE"), 1);
    run.end_input();
    run.wait().succeeds();
}

#[test]
fn a_state_behind_each_record_is_printed_soon_and_one_by_one() {
    let (server, mut jetstream) = capturing(json!({}));
    let mut run = Target::new().server(&server).spawn();
    run.send(schema("users", &[]));
    for id in 1..=100 {
        run.send(numbered(id));
        run.wait_for_line(&format!(r#"{{"id": {id}}}"#));
        assert_eq!(jetstream.count("S"), u64::from(id));
    }
    run.end_input();
    run.wait().succeeds();
}

#[test]
fn a_stopped_server_is_waited_for_and_then_given_up() {
    for ingest in INGESTS {
        let (server, mut jetstream) = capturing(json!({"allow_batched": true}));
        let mut run = Target::new()
            .server(&server)
            .setting("ingest", ingest)
            .setting("confirm_timeout_seconds", 3)
            .spawn();
        run.send(schema("users", &[]) + &numbered(1));
        run.wait_for_line(r#"{"id": 1}"#);
        server.stop();
        run.send(numbered(2));
        let outcome = run.wait();
        server.cont();
        outcome.exits(75).prints("{\"id\": 1}\n").error(&[]);
        wait_until("the server answers again", PATIENCE, || {
            jetstream.count("S") >= 1
        });
    }
}
