//! The harness itself: what it claims to see, it sees. Without the program.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use serde_json::json;

use crate::harness::{
    Cluster, JetStream, NatsServer, Numbered, PATIENCE, Proxy, Subscriber, Tally, Target, heavy,
    schema, wait_until,
};

/// A connection that is logged in, as the program's would be.
fn publisher(port: u16) -> TcpStream {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket
        .write_all(b"CONNECT {\"verbose\":false,\"headers\":true}\r\n")
        .unwrap();
    socket
}

/// Reads until the server's PONG has come.
fn confirm(socket: &mut TcpStream) {
    socket.write_all(b"PING\r\n").unwrap();
    assert!(hears_pong(socket), "the server answers");
}

/// Whether a PONG comes before the connection ends or its read time is over.
fn hears_pong(socket: &mut TcpStream) -> bool {
    let mut heard = String::new();
    let mut bytes = [0; 1024];
    while !heard.contains("PONG\r\n") {
        match socket.read(&mut bytes) {
            Ok(read @ 1..) => heard += std::str::from_utf8(&bytes[..read]).unwrap(),
            _ => return false,
        }
    }
    true
}

#[test]
fn the_subscriber_sees_plain_and_headed_messages_byte_for_byte() {
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let mut socket = publisher(server.port());
    socket.write_all("PUB a 4\r\n\r\n\u{1}\r\r\nHPUB é.b 17 19\r\nNATS/1.0\r\nk:v\r\n\r\nhi\r\nPUB c 0\r\n\r\n".as_bytes()).unwrap();
    confirm(&mut socket);
    let messages = subscriber.messages();
    assert_eq!(messages.len(), 3);
    assert_eq!(
        (messages[0].subject.as_str(), messages[0].text()),
        ("a", "\r\n\u{1}\r")
    );
    assert_eq!(messages[0].headers, None);
    assert_eq!(
        (messages[1].subject.as_str(), messages[1].text()),
        ("é.b", "hi")
    );
    assert_eq!(
        messages[1].headers.as_deref(),
        Some("NATS/1.0\r\nk:v\r\n\r\n")
    );
    assert_eq!(
        (messages[2].subject.as_str(), messages[2].text()),
        ("c", "")
    );
}

#[test]
fn a_server_is_killed_and_started_again_on_its_port() {
    let server = NatsServer::start();
    let port = server.port();
    for _ in 0..3 {
        server.kill();
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
        server.start_again();
        assert_eq!(server.port(), port);
        confirm(&mut publisher(port));
    }
}

#[test]
fn a_stopped_server_answers_only_when_it_is_continued() {
    let server = NatsServer::start();
    let mut socket = publisher(server.port());
    confirm(&mut socket);
    server.stop();
    socket.write_all(b"PING\r\n").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    assert!(!hears_pong(&mut socket));
    server.cont();
    socket.set_read_timeout(None).unwrap();
    assert!(hears_pong(&mut socket));
}

#[test]
fn the_proxy_holds_back_what_the_server_says_but_not_what_it_is_told() {
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let proxy = Proxy::before(&server);
    let mut socket = publisher(proxy.port());
    confirm(&mut socket);
    proxy.hold();
    socket.write_all(b"PUB a 1\r\nx\r\nPING\r\n").unwrap();
    subscriber.wait_for(1);
    subscriber.settle();
    socket
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    assert!(!hears_pong(&mut socket));
    proxy.cut();
    socket.set_read_timeout(None).unwrap();
    assert!(!hears_pong(&mut socket));
    // A connection made now waits until the gate opens.
    let mut late = publisher(proxy.port());
    late.set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    assert!(!hears_pong(&mut late));
    proxy.open();
    late.set_read_timeout(None).unwrap();
    confirm(&mut late);
    assert_eq!(proxy.accepted(), 2);
}

#[test]
fn a_stream_is_read_back_byte_for_byte_across_a_kill_of_its_server() {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    jetstream.stream("S", &["s.*"], json!({"max_msgs": 3}));
    assert_eq!(jetstream.messages("S"), []);
    let mut socket = publisher(server.port());
    socket
        .write_all(b"PUB s.a 1\r\nx\r\nPUB s.a 4\r\n\r\n\x01\r\r\nHPUB s.b 18 20\r\nNATS/1.0\r\nk: v\r\n\r\nhi\r\n")
        .unwrap();
    socket
        .write_all(b"HPUB s.c 18 18\r\nNATS/1.0\r\nk: v\r\n\r\n\r\n")
        .unwrap();
    confirm(&mut socket);
    // The server's PONG does not say that its streams have it all.
    wait_until("everything is stored", PATIENCE, || {
        jetstream.info("S")["state"]["last_seq"] == 4
    });
    server.kill();
    server.start_again();
    let messages = jetstream.messages("S");
    let shown: Vec<_> = messages
        .iter()
        .map(|m| (m.sequence, m.subject.as_str(), m.header("k"), m.text()))
        .collect();
    assert_eq!(
        shown,
        [
            (2, "s.a", None, "\r\n\u{1}\r"),
            (3, "s.b", Some("v"), "hi"),
            (4, "s.c", Some("v"), "")
        ]
    );
    assert_eq!(jetstream.publish("s.d", "y")["seq"], 5);
    assert_eq!(jetstream.count("S"), 3);
    jetstream.update("S", json!({"max_msgs": 2}));
    assert_eq!(jetstream.count("S"), 2);
    jetstream.purge("S");
    assert_eq!(jetstream.count("S"), 0);
    jetstream.delete("S");
    assert_eq!(jetstream.try_info("S").unwrap_err()["err_code"], 10059);
}

#[test]
fn the_values_of_a_bucket_are_read_back() {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    jetstream.stream("KV_B", &["$KV.B.>"], json!({"allow_direct": true}));
    for (key, value) in [("a", "1"), ("b.c", "2"), ("a", "3")] {
        jetstream.publish(&format!("$KV.B.{key}"), value);
    }
    let entries = jetstream.kv_entries("B");
    let entries: Vec<_> = entries
        .iter()
        .map(|(key, m)| (key.as_str(), m.text()))
        .collect();
    assert_eq!(entries, [("a", "3"), ("b.c", "2")]);
    assert_eq!(jetstream.kv_get("B", "a").as_deref(), Some(&b"3"[..]));
    assert_eq!(jetstream.kv_get("B", "d"), None);
}

#[test]
fn a_domain_is_asked_with_a_login() {
    let server = NatsServer::with(
        "jetstream: {store_dir: js, domain: hub}\nauthorization: {user: u, password: p}",
    );
    let mut jetstream = JetStream::with_login(&server, r#""user":"u","pass":"p""#).domain("hub");
    jetstream.stream("S", &["s.>"], json!({"retention": "interest"}));
    assert_eq!(jetstream.publish("s.a", "1")["domain"], "hub");
    assert_eq!(jetstream.count("S"), 0);
    jetstream.consumer("S", "reader");
    assert_eq!(jetstream.publish("s.a", "2")["seq"], 2);
    assert_eq!(jetstream.count("S"), 1);
}

#[test]
fn one_subject_alone_is_listened_to() {
    let server = NatsServer::with_jetstream();
    let mut subscriber = Subscriber::to(&server, "a.*");
    let mut socket = publisher(server.port());
    socket
        .write_all(b"PUB b.c 1\r\nx\r\nPUB a.b 1\r\ny\r\n")
        .unwrap();
    confirm(&mut socket);
    let messages = subscriber.messages();
    assert_eq!((messages.len(), messages[0].text()), (1, "y"));
}

#[test]
fn a_tally_sees_what_is_missing_twice_or_out_of_order() {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    let outcome = Target::new().args(["--version"]).run();
    let subjects = ["s0", "s1", "s2", "s3"];
    jetstream.stream("S", &subjects, json!({}));
    let mut tally_of = |numbers: &[usize]| {
        jetstream.purge("S");
        for number in numbers {
            jetstream.publish(subjects[number % 4], &Numbered::payload(*number));
        }
        Tally::of(&mut jetstream, "S")
    };
    let fails = |check: &dyn Fn()| catch_unwind(AssertUnwindSafe(check)).is_err();

    let whole = tally_of(&[0, 1, 2, 3, 4, 5, 6, 7, 8]);
    whole.holds_each_once(&outcome, 9);
    assert!(fails(&|| whole.holds_each_once(&outcome, 10)));
    assert!(fails(&|| whole.holds_all(&outcome, 8)));
    // Between two Singer streams there is no order.
    let woven = tally_of(&[1, 0, 3, 2, 5, 4]);
    woven.holds_each_once(&outcome, 6);
    let again = tally_of(&[0, 4, 8, 4, 8, 12, 1, 2, 3, 5, 6, 7, 9, 10, 11]);
    again.holds_all(&outcome, 13);
    assert!(fails(&|| again.holds_each_once(&outcome, 13)));
    let late = tally_of(&[0, 4, 8, 4, 1, 2, 3, 5, 6, 7]);
    assert!(fails(&|| late.holds_all(&outcome, 9)));
    let gap = tally_of(&[0, 4, 12, 1, 2]);
    assert_eq!((gap.missing(13), gap.missing(3)), (Some(3), None));
    assert!(fails(&|| gap.holds_all(&outcome, 13)));
}

#[test]
fn three_hundred_thousand_messages_are_read_back_in_seconds() {
    let _turn = heavy();
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    jetstream.stream("S", &["s"], json!({}));
    let mut socket = publisher(server.port());
    let text = "x".repeat(200);
    let many = format!("PUB s 200\r\n{text}\r\n").repeat(10_000);
    for thousands in 1..=30 {
        socket.write_all(many.as_bytes()).unwrap();
        // What is published faster than it is stored is lost.
        while jetstream.count("S") < thousands * 10_000 {}
    }
    let start = std::time::Instant::now();
    let mut next = 1;
    jetstream.each("S", |message| {
        assert_eq!((message.sequence, message.payload.len()), (next, 200));
        next += 1;
    });
    assert_eq!(next, 300_001);
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "it took {:?}",
        start.elapsed()
    );
}

#[test]
fn a_cluster_loses_its_leader_steps_down_and_is_restarted_one_by_one() {
    let _turn = heavy();
    let cluster = Cluster::start();
    let mut jetstream = cluster.jetstream();
    cluster.stream("S", &["s"], json!({}));
    assert_eq!(jetstream.publish("s", "1")["seq"], 1);
    let killed = cluster.kill_leader("S");
    assert_ne!(cluster.leader("S"), killed);
    assert_eq!(jetstream.publish("s", "2")["seq"], 2);
    cluster.nodes()[killed].start_again();
    cluster.wait_until_healthy();
    cluster.step_down("S");
    assert_eq!(jetstream.publish("s", "3")["seq"], 3);
    cluster.rolling_restart();
    let leader = cluster.leader("S");
    cluster.nodes()[leader].lame_duck();
    cluster.nodes()[leader].wait_until_gone();
    assert_eq!(jetstream.publish("s", "4")["seq"], 4);
    Target::new()
        .cluster(&cluster)
        .input(schema("users", &[]))
        .run()
        .succeeds();
    let texts: Vec<_> = jetstream
        .messages("S")
        .iter()
        .map(|m| m.text().to_owned())
        .collect();
    assert_eq!(texts, ["1", "2", "3", "4"]);
}
