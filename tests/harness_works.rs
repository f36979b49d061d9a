//! The harness itself: what it claims to see, it sees. Without the program.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::harness::{NatsServer, Proxy, Subscriber};

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
