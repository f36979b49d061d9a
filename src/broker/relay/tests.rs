//! The relay between sockets of the tests' own. With the crate and real servers it is tried out in `tests/`.

use std::time::Instant;

use super::*;
use crate::broker::info::parse_info;
use crate::broker::tls::TlsPolicy;
use crate::secret::Secret;
use crate::settings::Tls;

const GREETING: &str = "INFO {\"version\":\"2.15.1\",\"headers\":true}\r\n";
const NAME: &str = "the real name";

/// Two ends of a TCP connection.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let far = listener.accept().unwrap().0;
    for end in [&near, &far] {
        end.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    }
    (near, far)
}

fn start(socket: TcpStream, session: Option<ClientConnection>) -> Relay {
    socket.set_read_timeout(None).unwrap();
    let upstream = Upstream {
        socket,
        session,
        server: "server:4222".to_owned(),
    };
    Relay::start(upstream, &parse_info(GREETING.as_bytes()).unwrap(), NAME).unwrap()
}

/// Comes to the door, says this name, and has read the greeting.
fn knock(relay: &Relay, name: &str) -> BufReader<TcpStream> {
    let mut socket = TcpStream::connect(relay.address).unwrap();
    let patience = Some(Duration::from_secs(20));
    socket.set_read_timeout(patience).unwrap();
    let connect = format!("CONNECT {{\"name\":\"{name}\"}}\r\nPING\r\n");
    socket.write_all(connect.as_bytes()).unwrap();
    let mut socket = BufReader::new(socket);
    assert!(read_line(&mut socket).starts_with("INFO {\"version\":\"2.15.1\""));
    socket
}

fn read_line(from: &mut impl BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    line
}

/// Whether the other end has hung up without another word.
fn is_hung_up_on(socket: &mut BufReader<TcpStream>) -> bool {
    match socket.fill_buf() {
        Ok(bytes) => bytes.is_empty(),
        Err(error) => !is_timeout(&error),
    }
}

#[test]
fn only_who_has_the_secret_reaches_the_server_whoever_came_before_it() {
    let (socket, server) = pair();
    let relay = start(socket, None);
    let silent: Vec<_> = (0..5)
        .map(|_| TcpStream::connect(relay.address).unwrap())
        .collect();
    assert!(is_hung_up_on(&mut knock(&relay, NAME)));
    assert!(is_hung_up_on(&mut knock(&relay, "")));
    let mut ours = knock(&relay, &relay.secret);
    let mut server = BufReader::new(server);
    let connect = read_line(&mut server);
    assert!(
        connect.starts_with("CONNECT {\"name\":\"the real name\""),
        "{connect}"
    );
    assert_eq!(read_line(&mut server), "PING\r\n");
    server.get_mut().write_all(b"PONG\r\n").unwrap();
    assert_eq!(read_line(&mut ours), "PONG\r\n");
    assert!(is_hung_up_on(&mut knock(&relay, NAME)));
    drop((silent, ours));
    assert!(is_hung_up_on(&mut server), "nothing of anybody else's");
}

#[test]
fn ours_is_let_in_at_once_however_many_say_nothing() {
    let (socket, server) = pair();
    let relay = start(socket, None);
    let mut silent = Vec::new();
    for _ in 0..2 * MOST_STRANGERS {
        let mut socket = BufReader::new(TcpStream::connect(relay.address).unwrap());
        assert!(read_line(&mut socket).starts_with("INFO"));
        silent.push(socket);
    }
    let start = Instant::now();
    let mut ours = knock(&relay, &relay.secret);
    let mut server = BufReader::new(server);
    assert!(read_line(&mut server).starts_with("CONNECT"));
    assert!(start.elapsed() < ADMISSION_TIMEOUT / 2);
    // And it is no stranger any more.
    silent.extend((0..2 * MOST_STRANGERS).map(|_| knock(&relay, NAME)));
    assert_eq!(read_line(&mut server), "PING\r\n");
    server.get_mut().write_all(b"PONG\r\n").unwrap();
    assert_eq!(read_line(&mut ours), "PONG\r\n");
}

#[test]
fn who_comes_again_with_the_secret_reaches_nobody_and_the_door_closes_behind_it() {
    let (socket, server) = pair();
    let relay = start(socket, None);
    let mut first = knock(&relay, &relay.secret);
    drop(server);
    while !read_line(&mut first).is_empty() {}
    let mut again = knock(&relay, &relay.secret);
    assert_eq!(read_line(&mut again), "PONG\r\n");
    assert_eq!(
        read_line(&mut again),
        "PING\r\n",
        "it is spoken to, so that it ends"
    );
    let address = relay.address;
    drop(relay);
    while !read_line(&mut again).is_empty() {}
    while TcpStream::connect(address).is_ok() {
        thread::yield_now();
    }
}

#[test]
fn a_relay_to_which_nobody_comes_hangs_up() {
    let (socket, server) = pair();
    drop(start(socket, None));
    assert!(is_hung_up_on(&mut BufReader::new(server)));
}

/// A client's session with a server of the test's own, shaken hands.
fn sessions() -> (
    TcpStream,
    ClientConnection,
    rustls::StreamOwned<rustls::ServerConnection, TcpStream>,
) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = made.signing_key.serialize_der().try_into().unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let tls = Tls {
        ca: Some(made.cert.pem()),
        cert: None,
        key: None::<Secret>,
        server_name: None,
        insecure: false,
        first: false,
    };
    let policy = TlsPolicy::compile(&tls).unwrap();
    let mut client = policy.session("localhost").unwrap();
    let (mut near, far) = pair();
    let server = rustls::ServerConnection::new(Arc::new(config)).unwrap();
    let mut server = rustls::StreamOwned::new(server, far);
    thread::scope(|scope| {
        scope.spawn(|| {
            while client.is_handshaking() {
                client.complete_io(&mut near).unwrap();
            }
        });
        while server.conn.is_handshaking() {
            server.conn.complete_io(&mut server.sock).unwrap();
        }
    });
    (near, client, server)
}

#[test]
fn new_keys_disturb_nothing() {
    let (socket, session, mut server) = sessions();
    let relay = start(socket, Some(session));
    let mut ours = knock(&relay, &relay.secret);
    let mut received = [0; 4];
    while &received[2..] != b"\r\n" || &received[..2] != b"NG" {
        received.rotate_left(1);
        server.read_exact(&mut received[3..]).unwrap();
    }
    for _ in 0..20 {
        server.conn.refresh_traffic_keys().unwrap();
        server.write_all(b"PING\r\n").unwrap();
        server.flush().unwrap();
        assert_eq!(read_line(&mut ours), "PING\r\n");
        ours.get_mut().write_all(b"PONG\r\n").unwrap();
        let mut answer = [0; 6];
        server.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"PONG\r\n");
    }
}

#[test]
fn a_session_that_the_server_closes_ends_the_connection_behind_its_last_word() {
    let (socket, session, mut server) = sessions();
    let relay = start(socket, Some(session));
    let mut ours = knock(&relay, &relay.secret);
    server.write_all(b"-ERR 'x'\r\n").unwrap();
    server.conn.send_close_notify();
    server.flush().unwrap();
    // Its socket stays open, and says what is no TLS.
    server.sock.write_all(&[0; 100]).unwrap();
    assert_eq!(read_line(&mut ours), "-ERR 'x'\r\n");
    assert!(is_hung_up_on(&mut ours));
}

#[test]
fn a_server_that_takes_nothing_more_and_says_nothing_is_waited_for_shortly() {
    let (socket, server) = pair();
    let ours_of_it = socket.try_clone().unwrap();
    let relay = start(socket, None);
    let mut ours = knock(&relay, &relay.secret);
    let mut server = BufReader::new(server);
    read_line(&mut server);
    assert_eq!(read_line(&mut server), "PING\r\n");
    ours_of_it.shutdown(Shutdown::Write).unwrap();
    ours.get_mut().write_all(b"PING\r\n").unwrap();
    assert!(is_hung_up_on(&mut ours));
}
