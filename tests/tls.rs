//! Encrypted connections: when there is one, whom it trusts, and what is said where it cannot be made.
//!
//! A server that also takes clients without TLS is told by its own monitoring which of them has it.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    Authority, NatsServer, Outcome, PATIENCE, Proxy, Subscriber, Target, arrived, free_port,
    record, schema, send_signal, state, wait_until,
};

const MONITORED: &str = "http: \"127.0.0.1:-1\"\n";

/// A SCHEMA, a record and its STATE.
fn one() -> String {
    schema("users", &[]) + &numbered(1)
}

fn numbered(id: u32) -> String {
    record("users", &format!(r#"{{"id":{id}}}"#)) + &state(&format!(r#"{{"id":{id}}}"#))
}

fn tls_url(server: &NatsServer) -> String {
    format!("tls://{}", server.address())
}

/// The versions of TLS of all clients of this name that were ever there: of none, an empty text.
#[track_caller]
fn versions(server: &NatsServer, name: &str) -> Vec<String> {
    let all = server.monitored("/connz?state=all");
    let clients = all["connections"].as_array().unwrap().iter();
    clients
        .filter(|client| client["name"] == name)
        .map(|client| {
            client["tls_version"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        })
        .collect()
}

/// Publishes one record with these settings.
#[track_caller]
fn run(server: &NatsServer, settings: &[(&str, Value)]) -> Outcome {
    let target = Target::new()
        .server(server)
        .setting("connection_name", "ours")
        .setting("connect_timeout_seconds", 4);
    let with = |target: Target, (key, value): &(&str, Value)| target.setting(key, value.clone());
    settings.iter().fold(target, with).input(one()).run()
}

#[track_caller]
fn is_published(outcome: &Outcome) {
    outcome.succeeds().prints("{\"id\": 1}\n");
}

/// It ends at once, without another try, and says all of this.
#[track_caller]
fn is_refused(outcome: &Outcome, parts: &[&str]) {
    outcome.exits(1).prints("").error(parts);
    outcome.check(
        outcome.took < Duration::from_secs(4),
        "nothing is tried again",
    );
}

#[test]
fn an_address_with_tls_is_encrypted_even_where_the_server_does_not_insist() {
    let authority = Authority::new("ours");
    let server = NatsServer::with(&(authority.server().lenient() + MONITORED));
    let mut subscriber = Subscriber::on(&server);
    let settings = [
        ("nats_url", json!(tls_url(&server))),
        ("tls_ca", json!(authority.pem())),
    ];
    let outcome = run(&server, &settings);
    is_published(&outcome);
    arrived(
        &outcome,
        &subscriber.messages(),
        &[("users", r#"{"id":1}"#)],
    );
    let versions = versions(&server, "ours");
    outcome.check(
        !versions.is_empty() && versions.iter().all(|version| version == "1.3"),
        &format!("each connection is of TLS 1.3, not {versions:?}"),
    );
}

#[test]
fn a_setting_of_tls_is_enough_to_encrypt() {
    let authority = Authority::new("ours");
    let server = NatsServer::with(&(authority.server().lenient() + MONITORED));
    let outcome = run(&server, &[("tls_ca", json!(authority.pem()))]);
    is_published(&outcome);
    assert!(
        versions(&server, "ours")
            .iter()
            .all(|version| version == "1.3")
    );
}

#[test]
fn without_any_of_it_a_server_that_does_not_insist_is_spoken_to_plainly() {
    let authority = Authority::new("ours");
    let server = NatsServer::with(&(authority.server().lenient() + MONITORED));
    is_published(&run(&server, &[]));
    assert!(versions(&server, "ours").iter().all(String::is_empty));
}

#[test]
fn a_server_that_insists_is_spoken_to_with_tls_whatever_its_address_says() {
    let authority = Authority::new("ours");
    let server = NatsServer::with(&(authority.server().tls("") + MONITORED));
    is_published(&run(&server, &[("tls_ca", json!(authority.pem()))]));
    assert_ne!(server.monitored("/varz")["in_msgs"], 0);
}

#[test]
fn the_older_tls_will_do_where_the_server_has_no_other() {
    let authority = Authority::new("ours");
    let tls = authority
        .server()
        .tls("min_version: \"1.2\"\ncipher_suites: [\"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\"]");
    // The server has no setting for the highest version; a client that is offered both takes the newer.
    let server = NatsServer::with(&(tls + MONITORED));
    is_published(&run(&server, &[("tls_ca", json!(authority.pem()))]));
}

#[test]
fn one_of_several_authorities_is_enough_and_a_file_may_hold_them() {
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let server = NatsServer::with(&second.server().tls(""));
    let both = format!("{}{}", first.pem(), second.pem());
    is_published(&run(&server, &[("tls_ca", json!(both))]));
    is_published(&run(&server, &[("tls_ca_file", json!(second.file()))]));
}

#[test]
fn an_authority_that_the_system_does_not_know_is_refused() {
    let server = NatsServer::with(&Authority::new("ours").server().tls(""));
    is_refused(
        &run(&server, &[]),
        &[&server.address(), "certificate", "tls_ca"],
    );
    let other = Authority::new("other");
    let outcome = run(&server, &[("tls_ca", json!(other.pem()))]);
    is_refused(&outcome, &[&server.address(), "certificate", "tls_ca"]);
}

#[test]
fn a_certificate_of_another_name_is_refused_unless_that_name_is_asked_for() {
    let authority = Authority::new("ours");
    let certificate = authority.server_named(&["nats.example", "other.example"]);
    let server = NatsServer::with(&certificate.tls(""));
    let ca = ("tls_ca", json!(authority.pem()));
    let outcome = run(&server, std::slice::from_ref(&ca));
    is_refused(
        &outcome,
        &[&server.address(), "certificate", "tls_server_name"],
    );
    let name = ("tls_server_name", json!("nats.example"));
    is_published(&run(&server, &[ca.clone(), name]));
    let wrong = ("tls_server_name", json!("nats.test"));
    is_refused(&run(&server, &[ca, wrong]), &["certificate", "nats.test"]);
}

#[test]
fn an_expired_certificate_is_refused() {
    let authority = Authority::new("ours");
    let server = NatsServer::with(&authority.expired_server().tls(""));
    let outcome = run(&server, &[("tls_ca", json!(authority.pem()))]);
    is_refused(&outcome, &[&server.address(), "expired"]);
}

#[test]
fn insecure_takes_any_certificate_and_warns_once() {
    let authority = Authority::new("ours");
    for certificate in [
        authority.expired_server(),
        authority.server_named(&["x.example"]),
    ] {
        let server = NatsServer::with(&certificate.tls(""));
        let outcome = run(&server, &[("tls_insecure", json!(true))]);
        is_published(&outcome);
        outcome.logs_once(&[" | WARNING ", "tls_insecure"]);
    }
}

#[test]
fn a_server_that_wants_a_clients_certificate_gets_it_in_each_form_of_key() {
    let authority = Authority::new("ours");
    let server = NatsServer::with(&authority.server().tls("verify: true"));
    let client = authority.client();
    for key in [client.key.clone(), client.sec1()] {
        let settings = [
            ("tls_ca", json!(authority.pem())),
            ("tls_cert", json!(client.cert)),
            ("tls_key", json!(key)),
        ];
        is_published(&run(&server, &settings));
    }
}

#[test]
fn a_missing_certificate_of_the_client_is_told_with_the_setting() {
    let authority = Authority::new("ours");
    let server = NatsServer::with(&authority.server().tls("verify: true"));
    let outcome = run(&server, &[("tls_ca", json!(authority.pem()))]);
    is_refused(&outcome, &[&server.address(), "certificate", "tls_cert"]);
}

#[test]
fn a_certificate_of_the_client_that_the_server_does_not_know_is_told_with_the_setting() {
    let authority = Authority::new("ours");
    let server = NatsServer::with(&authority.server().tls("verify: true"));
    let stranger = Authority::new("other").client();
    let settings = [
        ("tls_ca", json!(authority.pem())),
        ("tls_cert", json!(stranger.cert)),
        ("tls_key", json!(stranger.key)),
    ];
    is_refused(
        &run(&server, &settings),
        &[&server.address(), "certificate", "tls_cert"],
    );
}

#[test]
fn a_certificate_or_a_key_that_is_none_is_an_error_before_anything_is_connected() {
    let authority = Authority::new("ours");
    let (client, other) = (authority.client(), authority.client());
    let server = NatsServer::with(MONITORED);
    let connected = || server.monitored("/varz")["total_connections"].clone();
    wait_until(
        "the harness's own look at the server is counted",
        PATIENCE,
        || connected() == 1,
    );
    let cases: [(&str, &[(&str, &str)]); 5] = [
        ("tls_ca", &[("tls_ca", "no PEM")]),
        (
            "tls_ca",
            &[(
                "tls_ca",
                "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
            )],
        ),
        (
            "tls_cert",
            &[("tls_cert", "no PEM"), ("tls_key", &client.key)],
        ),
        (
            "tls_key",
            &[("tls_cert", &client.cert), ("tls_key", "marker-no-key")],
        ),
        (
            "tls_key",
            &[("tls_cert", &client.cert), ("tls_key", &other.key)],
        ),
    ];
    for (setting, settings) in cases {
        let settings: Vec<_> = settings
            .iter()
            .map(|(key, text)| (*key, json!(text)))
            .collect();
        let outcome = run(&server, &settings);
        outcome.exits(2).prints("").error(&[setting]);
        outcome.does_not_log("marker-no-key");
    }
    assert_eq!(connected(), 1);
}

#[test]
fn a_server_name_that_is_none_is_an_error_of_the_settings() {
    let outcome = run(&NatsServer::start(), &[("tls_server_name", json!("a b"))]);
    outcome.exits(2).error(&["tls_server_name"]);
}

#[test]
fn a_handshake_may_come_first() {
    let authority = Authority::new("ours");
    let tls = authority.server().tls("handshake_first: true");
    let server = NatsServer::with(&(tls + MONITORED));
    let ca = ("tls_ca", json!(authority.pem()));
    is_published(&run(&server, &[ca.clone(), ("tls_first", json!(true))]));
    assert_ne!(server.monitored("/varz")["in_msgs"], 0);
    // Without it both wait for the other's first word.
    let outcome = run(&server, &[ca]);
    outcome.exits(75).prints("").error(&[&server.address()]);
}

#[test]
fn a_handshake_before_a_server_that_greets_first_is_told() {
    let authority = Authority::new("ours");
    let server = NatsServer::with(&authority.server().tls(""));
    let settings = [
        ("tls_ca", json!(authority.pem())),
        ("tls_first", json!(true)),
    ];
    let outcome = run(&server, &settings);
    outcome.prints("").error(&[&server.address(), "tls_first"]);
}

#[test]
fn a_server_without_tls_is_refused_where_tls_is_asked_for() {
    let server = NatsServer::with(MONITORED);
    let authority = Authority::new("ours");
    let url = ("nats_url", json!(tls_url(&server)));
    for settings in [vec![url], vec![("tls_ca", json!(authority.pem()))]] {
        is_refused(&run(&server, &settings), &[&server.address(), "TLS"]);
    }
    // Nobody has logged in, let alone published.
    assert_eq!(server.monitored("/varz")["in_msgs"], 0);
    assert_eq!(versions(&server, "ours").len(), 0);
}

#[test]
fn a_login_goes_through_tls_and_a_wrong_one_is_told_as_it_is_without() {
    let authority = Authority::new("ours");
    let login = "authorization: {user: u, password: \"p w\"}\n";
    let server = NatsServer::with(&(authority.server().tls("") + login));
    let ca = ("tls_ca", json!(authority.pem()));
    let url = |password: &str| json!(format!("tls://u:{password}@{}", server.address()));
    is_published(&run(&server, &[ca.clone(), ("nats_url", url("p%20w"))]));
    let outcome = run(&server, &[ca, ("nats_url", url("marker-wrong"))]);
    outcome.exits(1).error(&[&server.address(), "login"]);
    outcome.does_not_log("marker-wrong");
}

#[test]
fn the_check_tells_the_version_of_tls() {
    let authority = Authority::new("ours");
    let server = NatsServer::with(&authority.server().tls(""));
    let outcome = Target::new()
        .setting("nats_url", tls_url(&server))
        .setting("tls_ca", authority.pem())
        .args(["--check"])
        .run();
    outcome.succeeds();
    outcome.check(
        outcome.stdout_text().contains("TLS 1.3"),
        "it tells the version",
    );
    outcome.check(
        outcome.stdout_text().contains(&server.address()),
        "it tells the server's address and not the relay's",
    );
}

#[test]
fn an_address_of_version_six_is_reached_and_its_certificate_checked() {
    let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else {
        return;
    };
    let port = listener.local_addr().unwrap().port();
    let authority = Authority::new("ours");
    let right = NatsServer::with(&authority.server().tls(""));
    let wrong = NatsServer::with(&authority.server_named(&["127.0.0.1"]).tls(""));
    let behind = Arc::new(AtomicU16::new(right.port()));
    let current = Arc::clone(&behind);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = current.load(Ordering::SeqCst);
            thread::spawn(move || forward(&client, server));
        }
    });
    let settings = [
        ("nats_url", json!(format!("tls://[::1]:{port}"))),
        ("tls_ca", json!(authority.pem())),
    ];
    is_published(&run(&right, &settings));
    behind.store(wrong.port(), Ordering::SeqCst);
    is_refused(&run(&wrong, &settings), &["::1", "certificate"]);
}

/// Carries bytes between a client and a server of this machine.
fn forward(client: &TcpStream, server: u16) {
    let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
    let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || {
        let _ = std::io::copy(&mut &from, &mut &to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let _ = std::io::copy(&mut &server, &mut &*client);
    let _ = client.shutdown(Shutdown::Both);
}

#[test]
fn a_peer_that_never_answers_the_handshake_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let greeting = b"INFO {\"server_id\":\"X\",\"version\":\"2.15.1\",\"headers\":true,\"max_payload\":1048576,\"tls_required\":true} \r\n";
        for mut client in listener.incoming().flatten() {
            thread::spawn(move || {
                let _ = client.write_all(greeting);
                let _ = std::io::copy(&mut client, &mut std::io::sink());
            });
        }
    });
    for first in [false, true] {
        let outcome = Target::new()
            .setting("nats_url", format!("tls://{address}"))
            .setting("tls_insecure", true)
            .setting("tls_first", first)
            .setting("connect_timeout_seconds", 2)
            .input(one())
            .run();
        outcome.prints("").error(&[&address]);
        if !first {
            outcome.exits(75);
        }
    }
}

#[test]
fn of_several_servers_one_that_is_down_is_passed_over() {
    let authority = Authority::new("ours");
    let server = NatsServer::with(&authority.server().tls(""));
    let url = format!(
        "tls://127.0.0.1:{},tls://localhost:{}",
        free_port(),
        server.port()
    );
    let settings = [("nats_url", json!(url)), ("tls_ca", json!(authority.pem()))];
    is_published(&run(&server, &settings));
}

/// The ports of this machine that a process listens on.
fn listening_ports(pid: u32) -> Vec<u16> {
    let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
        return Vec::new();
    };
    let sockets: Vec<String> = files
        .flatten()
        .filter_map(|file| {
            std::fs::read_link(file.path())
                .ok()?
                .to_str()
                .map(str::to_owned)
        })
        .filter_map(|name| {
            name.strip_prefix("socket:[")?
                .strip_suffix(']')
                .map(str::to_owned)
        })
        .collect();
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
    let listening = table.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_ours = words[3] == "0A" && sockets.iter().any(|socket| socket == words[9]);
        let port = words[1].rsplit(':').next()?;
        is_ours
            .then(|| u16::from_str_radix(port, 16).ok())
            .flatten()
    });
    listening.collect()
}

#[test]
fn a_stranger_on_this_machine_does_not_get_through_to_the_server() {
    let authority = Authority::new("ours");
    let server = NatsServer::with(&(authority.server().lenient() + MONITORED));
    let mut subscriber = Subscriber::on(&server);
    let proxy = Proxy::before(&server);
    // Connections are made again and again, so that there is always a door to knock at.
    let mut run = Target::new()
        .log_of(&server)
        .setting("nats_url", format!("tls://127.0.0.1:{}", proxy.port()))
        .setting("tls_ca", authority.pem())
        .setting("connection_name", "ours")
        .spawn();
    run.send(one());
    let (pid, stop) = (run.pid(), Arc::new(AtomicUsize::new(0)));
    let knocked = Arc::clone(&stop);
    let stranger = thread::spawn(move || {
        // Until the process is gone.
        while send_signal(pid, "0") {
            for port in listening_ports(pid) {
                let Ok(mut socket) = TcpStream::connect(("127.0.0.1", port)) else {
                    continue;
                };
                let _ = socket.set_read_timeout(Some(Duration::from_millis(200)));
                let text = "CONNECT {\"verbose\":false,\"name\":\"stranger\"}\r\nPUB stolen 5\r\nhello\r\nPING\r\n";
                let _ = socket.write_all(text.as_bytes());
                let mut answer = Vec::new();
                let _ = socket.read_to_end(&mut answer);
                assert!(
                    !String::from_utf8_lossy(&answer).contains("PONG"),
                    "it is let in"
                );
                knocked.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    run.wait_for_line(r#"{"id": 1}"#);
    let mut id = 1;
    wait_until("the stranger has found a door", PATIENCE, || {
        proxy.cut();
        id += 1;
        run.send(numbered(id));
        run.wait_for_line(&format!(r#"{{"id": {id}}}"#));
        stop.load(Ordering::SeqCst) > 0 || id >= 12
    });
    run.end_input();
    let outcome = run.wait();
    outcome.succeeds();
    stranger.join().unwrap();
    outcome.check(
        subscriber
            .messages()
            .iter()
            .all(|message| message.subject == "users"),
        "nothing of the stranger's arrives",
    );
    assert_eq!(versions(&server, "stranger").len(), 0);
}

#[test]
fn the_secret_of_the_door_is_not_what_the_server_sees_as_the_name() {
    let authority = Authority::new("ours");
    let server = NatsServer::with(&(authority.server().lenient() + MONITORED));
    let settings = [
        ("tls_ca", json!(authority.pem())),
        ("connection_name", json!("my \"name\"")),
    ];
    is_published(&run(&server, &settings));
    let all = server.monitored("/connz?state=all");
    let clients = all["connections"].as_array().unwrap().iter();
    // The harness has looked whether the server is there, without a name.
    let names: Vec<&str> = clients
        .filter_map(|client| client["name"].as_str())
        .collect();
    assert!(
        !names.is_empty() && names.iter().all(|name| *name == "my \"name\""),
        "{names:?}"
    );
}
