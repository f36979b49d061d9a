//! The door of the relay that speaks TLS for the client library: only the program itself gets through it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{
    Authority, NatsServer, PATIENCE, Proxy, Subscriber, Target, numbered, schema, send_signal,
    wait_until,
};

const MONITORED: &str = "http: \"127.0.0.1:-1\"\n";

/// A SCHEMA, a record and its STATE.
fn one() -> String {
    schema("users", &[]) + &numbered(1)
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
    let all = server.monitored("/connz?state=all");
    let mut clients = all["connections"].as_array().unwrap().iter();
    assert!(clients.all(|client| client["name"] != "stranger"), "{all}");
}

#[test]
fn the_secret_of_the_door_is_not_what_the_server_sees_as_the_name() {
    let authority = Authority::new("ours");
    let server = NatsServer::with(&(authority.server().lenient() + MONITORED));
    let settings = [
        ("tls_ca", json!(authority.pem())),
        ("connection_name", json!("my \"name\"")),
    ];
    let target = Target::new().setting("nats_url", format!("tls://{}", server.address()));
    target.settings(&settings).input(one()).run().succeeds();
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

#[test]
fn nobody_else_can_listen_where_the_client_library_comes_back_to_after_a_loss() {
    let authority = Authority::new("ours");
    let login = "authorization: {user: u, password: p}\n";
    let server = NatsServer::with(&(authority.server().tls("") + login));
    let proxy = Proxy::before(&server);
    let mut run = Target::new()
        .log_of(&server)
        .setting("nats_url", format!("tls://u:p@127.0.0.1:{}", proxy.port()))
        .setting("tls_ca", authority.pem())
        .setting("workers", 1)
        .spawn();
    run.send(one());
    run.wait_for_line(r#"{"id": 1}"#);
    let doors = listening_ports(run.pid());
    assert!(!doors.is_empty(), "the door stays");
    proxy.cut();
    run.send(numbered(2));
    run.wait_for_line(r#"{"id": 2}"#);
    for door in doors {
        // It is free where the library has been back already. It would come once a second, with the login.
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", door)) {
            listener.set_nonblocking(true).unwrap();
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(3) {
                assert!(listener.accept().is_err(), "somebody comes with the login");
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
    run.end_input();
    run.wait().succeeds();
}
