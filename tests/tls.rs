//! Encrypted connections: when there is one, whom it trusts, and what is said where it cannot be made.
//!
//! A server that also takes clients without TLS is told by its own monitoring which of them has it.

use std::io::Write;
use std::net::{Ipv6Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    Authority, NatsServer, Outcome, PATIENCE, Subscriber, Target, arrived, free_port, numbered,
    schema, wait_until,
};

const MONITORED: &str = "http: \"127.0.0.1:-1\"\n";

/// A SCHEMA, a record and its STATE.
fn one() -> String {
    schema("users", &[]) + &numbered(1)
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
    target.settings(settings).input(one()).run()
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
