//! Encrypted connections under load, and when they, their servers or their cluster break: every byte arrives,
//! nothing is lost, nothing hangs.
//!
//! Each server also takes clients without TLS, so that the harness can listen to it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use crate::harness::{
    Authority, JetStream, NatsServer, Numbered, PATIENCE, Proxy, Random, Subscriber, Tally, Target,
    free_port, heavy, record, schema, state, wait_until,
};

/// So that the server does not take a subscriber on a busy machine for one that is too slow.
const PATIENT: &str = "max_pending: 512MB\nwrite_deadline: \"60s\"\n";
const MONITORED: &str = "http: \"127.0.0.1:-1\"\n";

/// A program that speaks TLS with whoever listens on this port.
fn target(authority: &Authority, server: &NatsServer, port: u16) -> Target {
    Target::new()
        .log_of(server)
        .setting("nats_url", format!("tls://127.0.0.1:{port}"))
        .setting("tls_ca", authority.pem())
        .setting("connection_name", "ours")
}

fn numbered(id: usize) -> String {
    record("users", &format!(r#"{{"id":{id}}}"#)) + &state(&format!("{id}"))
}

/// What record `number` says, of a length that varies.
fn payload(number: usize) -> String {
    format!(
        r#"{{"id":{number},"text":"{}"}}"#,
        "xyz".repeat(number % 97)
    )
}

/// All clients of this name that there are or were speak TLS, and there is one.
#[track_caller]
fn is_encrypted(server: &NatsServer) {
    let all = server.monitored("/connz?state=all");
    let clients = all["connections"].as_array().unwrap();
    let ours: Vec<_> = clients
        .iter()
        .filter(|client| client["name"] == "ours")
        .collect();
    assert!(!ours.is_empty(), "{all}");
    assert!(
        ours.iter().all(|client| client["tls_version"] == "1.3"),
        "{all}"
    );
}

#[test]
fn of_200_000_records_every_byte_arrives() {
    const RECORDS: usize = 200_000;
    let _turn = heavy();
    let authority = Authority::new("ours");
    let server = NatsServer::with(&(authority.server().lenient() + PATIENT + MONITORED));
    // The next number, and what is wrong.
    let seen = Arc::new(Mutex::new((0, None)));
    let noting = Arc::clone(&seen);
    let mut subscriber = Subscriber::each(&server, move |message| {
        let (next, wrong) = &mut *noting.lock().unwrap();
        if message.payload != payload(*next).as_bytes() && wrong.is_none() {
            *wrong = Some(format!("{next} is {:?}", message.text()));
        }
        *next += 1;
    });
    let outcome = target(&authority, &server, server.port())
        .setting("workers", 1)
        .generated(|input| {
            input.write_all(schema("users", &[]).as_bytes())?;
            for number in 0..RECORDS {
                input.write_all(record("users", &payload(number)).as_bytes())?;
            }
            input.write_all(state("1").as_bytes())
        })
        .run();
    outcome.succeeds().prints("1\n");
    subscriber.settle();
    let (count, wrong) = &*seen.lock().unwrap();
    outcome.check(wrong.is_none(), &format!("order and bytes: {wrong:?}"));
    outcome.check(*count == RECORDS, &format!("all arrive, not {count}"));
    is_encrypted(&server);
}

#[test]
fn payloads_of_a_mebibyte_arrive() {
    const RECORDS: usize = 60;
    const LENGTH: usize = 1 << 20;
    let _turn = heavy();
    let authority = Authority::new("ours");
    let server = NatsServer::with(&(authority.server().lenient() + PATIENT));
    let large = |number: usize| {
        let text = number.to_string().repeat(LENGTH);
        let head = r#"{"id":""#;
        format!("{head}{}\"}}", &text[..LENGTH - head.len() - 2])
    };
    let mut subscriber = Subscriber::on(&server);
    let outcome = target(&authority, &server, server.port())
        .setting("workers", 1)
        .generated(move |input| {
            input.write_all(schema("users", &[]).as_bytes())?;
            for number in 0..RECORDS {
                input.write_all(record("users", &large(number)).as_bytes())?;
            }
            input.write_all(state("1").as_bytes())
        })
        .run();
    outcome.succeeds().prints("1\n");
    let messages = subscriber.messages();
    outcome.check(messages.len() == RECORDS, "all arrive");
    for (number, message) in messages.iter().enumerate() {
        outcome.check(
            message.payload == large(number).as_bytes(),
            &format!("{number} arrives as it was sent"),
        );
    }
}

#[test]
fn nothing_is_lost_when_the_server_is_killed_four_times() {
    const RECORDS: usize = 100_000;
    let _turn = heavy();
    let mut random = Random::new("TLS server killed four times");
    let authority = Authority::new("ours");
    let server = NatsServer::with_jetstream_and(&authority.server().lenient());
    let mut jetstream = JetStream::on(&server);
    jetstream.stream("S", &["s0", "s1", "s2", "s3"], json!({}));
    let mut run = target(&authority, &server, server.port())
        .setting("message_id", "run")
        .setting("ingest", "pipelined")
        .deadline(Duration::from_mins(3))
        .spawn();
    run.send(Numbered::schemas());
    let most = RECORDS - RECORDS / 50;
    Numbered::send(&run, 0..most);
    let mut moments: Vec<usize> = (0..4).map(|_| random.within(0..most)).collect();
    moments.sort_unstable();
    for moment in moments {
        run.wait_until_stored(&mut jetstream, moment as u64, PATIENCE);
        server.kill();
        server.start_again();
    }
    Numbered::send(&run, most..RECORDS);
    run.end_input();
    let outcome = run.wait();
    Numbered::is_confirmed(&outcome, RECORDS);
    let tally = Tally::of(&mut jetstream, "S");
    outcome.check(
        tally.missing(RECORDS).is_none() && tally.total() == RECORDS,
        "every record is stored once",
    );
}

#[test]
fn nothing_is_lost_when_the_connection_breaks_ten_times() {
    const RECORDS: usize = 50_000;
    let _turn = heavy();
    let mut random = Random::new("TLS connection cut ten times");
    let authority = Authority::new("ours");
    let server = NatsServer::with(&(authority.server().lenient() + PATIENT));
    let seen = Arc::new(Mutex::new((0, vec![false; RECORDS])));
    let noting = Arc::clone(&seen);
    let mut subscriber = Subscriber::each(&server, move |message| {
        let number: usize = message.text()[6..]
            .split(',')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(message.text(), payload(number));
        let mut seen = noting.lock().unwrap();
        seen.0 += usize::from(!std::mem::replace(&mut seen.1[number], true));
    });
    let proxy = Proxy::before(&server);
    let mut run = target(&authority, &server, proxy.port())
        .deadline(Duration::from_mins(2))
        .spawn();
    run.send(schema("users", &[]));
    let mut moments: Vec<usize> = (0..10)
        .map(|_| random.within(0..RECORDS * 9 / 10))
        .collect();
    moments.sort_unstable();
    let mut sent = 0;
    let feed = |run: &crate::harness::Running, from: usize, to: usize| {
        let lines: String = (from..to)
            .map(|number| record("users", &payload(number)))
            .collect();
        run.send(lines);
    };
    for moment in moments {
        let upto = (moment + RECORDS / 10).max(sent);
        feed(&run, sent, upto);
        sent = upto;
        wait_until(&format!("{moment} have arrived"), PATIENCE, || {
            assert!(!run.has_ended(), "it ended:\n{}", run.give_up().stderr);
            seen.lock().unwrap().0 >= moment
        });
        proxy.cut();
    }
    feed(&run, sent, RECORDS);
    run.send(state("1"));
    run.end_input();
    let outcome = run.wait();
    outcome.succeeds().prints("1\n");
    subscriber.settle();
    outcome.check(seen.lock().unwrap().0 == RECORDS, "every record arrives");
    outcome.check(proxy.accepted() > 5, "it has connected again and again");
}

#[test]
fn a_server_that_is_stopped_ends_the_run_as_unavailable_even_when_every_buffer_is_full() {
    let authority = Authority::new("ours");
    for records in [1, 600] {
        let server = NatsServer::with(&authority.server().lenient());
        let mut run = target(&authority, &server, server.port())
            .setting("confirm_timeout_seconds", 2)
            .spawn();
        run.send(schema("users", &[]) + &numbered(1));
        run.wait_for_line("1");
        server.stop();
        let text = "x".repeat(100_000);
        for _ in 0..records {
            run.send(record("users", &format!(r#"{{"id":"{text}"}}"#)) + &state("2"));
        }
        let outcome = run.wait();
        server.cont();
        outcome.exits(75).prints("1\n").error(&[]);
    }
}

#[test]
fn answers_that_are_held_back_for_a_while_are_waited_for() {
    let authority = Authority::new("ours");
    let server = NatsServer::with(&authority.server().lenient());
    let mut subscriber = Subscriber::on(&server);
    let proxy = Proxy::before(&server);
    let mut run = target(&authority, &server, proxy.port()).spawn();
    run.send(schema("users", &[]) + &numbered(1));
    run.wait_for_line("1");
    proxy.hold();
    run.send(numbered(2));
    subscriber.wait_for(2);
    assert_eq!(run.stdout(), "1\n", "a state without a confirmation");
    proxy.open();
    run.wait_for_line("2");
    run.end_input();
    run.wait().succeeds();
    assert_eq!(subscriber.messages().len(), 2);
}

#[test]
fn when_the_configured_server_of_a_cluster_dies_a_discovered_one_takes_over() {
    let authority = Authority::new("ours");
    let certificate = authority.server_named(&["localhost"]);
    let routes = [free_port(), free_port()];
    let start = |route: u16| {
        NatsServer::with(&format!(
            "{}{MONITORED}cluster: {{name: pair, listen: \"127.0.0.1:{route}\", \
             routes: [\"nats://127.0.0.1:{}\", \"nats://127.0.0.1:{}\"]}}\n",
            certificate.lenient(),
            routes[0],
            routes[1],
        ))
    };
    let (first, second) = (start(routes[0]), start(routes[1]));
    wait_until("the servers have found each other", PATIENCE, || {
        let known = |server: &NatsServer| {
            server.monitored("/varz")["connect_urls"]
                .as_array()
                .map_or(0, Vec::len)
        };
        known(&first) == 2 && known(&second) == 2
    });
    let mut subscriber = Subscriber::on(&second);
    // The certificate is for `localhost`. The other server is known by its IP alone, and is held to that name.
    let mut run = Target::new()
        .log_of(&first)
        .log_of(&second)
        .setting("nats_url", format!("tls://localhost:{}", first.port()))
        .setting("tls_ca", authority.pem())
        .setting("connection_name", "ours")
        .spawn();
    run.send(schema("users", &[]));
    for id in 1..=20 {
        run.send(numbered(id));
    }
    run.wait_for_line("20");
    // What the first server has confirmed is on its way to the second.
    subscriber.wait_for(20);
    first.kill();
    for id in 21..=40 {
        run.send(numbered(id));
    }
    run.wait_for_line("40");
    run.end_input();
    let outcome = run.wait();
    outcome.succeeds();
    let messages = subscriber.messages();
    let texts: Vec<&str> = messages.iter().map(|message| message.text()).collect();
    for id in 1..=40 {
        let text = format!(r#"{{"id":{id}}}"#);
        outcome.check(texts.contains(&&*text), &format!("{text} arrives"));
    }
    is_encrypted(&second);
}

#[test]
fn a_discovered_server_that_is_not_trusted_is_passed_over_until_the_configured_one_is_back() {
    let (authority, other) = (Authority::new("ours"), Authority::new("other"));
    let routes = [free_port(), free_port()];
    let start = |authority: &Authority, route: u16| {
        NatsServer::with(&format!(
            "{}{MONITORED}cluster: {{name: pair, listen: \"127.0.0.1:{route}\", \
             routes: [\"nats://127.0.0.1:{}\", \"nats://127.0.0.1:{}\"]}}\n",
            authority.server().tls(""),
            routes[0],
            routes[1],
        ))
    };
    let (ours, others) = (start(&authority, routes[0]), start(&other, routes[1]));
    wait_until("the servers have found each other", PATIENCE, || {
        let urls = &ours.monitored("/varz")["connect_urls"];
        urls.as_array().is_some_and(|urls| urls.len() == 2)
    });
    let mut run = Target::new()
        .log_of(&ours)
        .log_of(&others)
        .setting("nats_url", format!("tls://127.0.0.1:{}", ours.port()))
        .setting("tls_ca", authority.pem())
        .spawn();
    run.send(schema("users", &[]) + &numbered(1));
    run.wait_for_line("1");
    ours.kill();
    run.send(numbered(2));
    wait_until("the other server was tried", PATIENCE, || {
        assert!(!run.has_ended(), "it ended:\n{}", run.give_up().stderr);
        others.log().contains("remote error: tls")
    });
    ours.start_again();
    run.wait_for_line("2");
    run.end_input();
    run.wait().succeeds();
}

#[test]
fn a_greeting_that_is_too_long_for_the_client_library_is_none_for_the_program() {
    let name = "n".repeat(5000);
    let server = NatsServer::with(&format!("server_name: {name}\n{MONITORED}"));
    let mut subscriber = Subscriber::on(&server);
    let outcome = Target::new()
        .server(&server)
        .setting("connection_name", "ours")
        .input(schema("users", &[]) + &numbered(1))
        .run();
    outcome.succeeds().prints("1\n");
    assert_eq!(subscriber.messages().len(), 1);
}
