//! An HTTP proxy that tunnels: it takes CONNECT, with or without a login, and keeps which targets it was asked for.
//!
//! It takes nothing else. It can lead every tunnel to one port, so that a name that exists nowhere is reached.

use std::io::{self, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::certificates::base64;
use super::http::{header, read_head};

#[derive(Default)]
struct Shared {
    targets: Mutex<Vec<String>>,
    /// `Basic …`
    authorization: Option<String>,
    /// Where tunnels lead, whatever was asked for.
    to: Option<u16>,
    gone: AtomicBool,
}

pub struct ConnectProxy {
    shared: Arc<Shared>,
    port: u16,
}

impl ConnectProxy {
    /// For everybody.
    pub fn start() -> Self {
        Self::with(Shared::default())
    }

    /// For this user only.
    pub fn for_user(name: &str, password: &str) -> Self {
        let authorization = format!("Basic {}", base64(format!("{name}:{password}").as_bytes()));
        Self::with(Shared {
            authorization: Some(authorization),
            ..Shared::default()
        })
    }

    /// For everybody, and every tunnel leads to this port of this machine.
    pub fn leading_to(port: u16) -> Self {
        Self::with(Shared {
            to: Some(port),
            ..Shared::default()
        })
    }

    fn with(shared: Shared) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(shared);
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if accepting.gone.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                thread::spawn(move || tunnel(&shared, &client));
            }
        });
        Self { shared, port }
    }

    /// `http://127.0.0.1:port`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The `host:port` of each CONNECT, those that were refused among them.
    pub fn targets(&self) -> Vec<String> {
        self.shared.targets.lock().unwrap().clone()
    }
}

impl Drop for ConnectProxy {
    fn drop(&mut self) {
        self.shared.gone.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then ends.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Nothing when the client was refused, or is gone.
fn tunnel(shared: &Shared, mut client: &TcpStream) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let (first, headers) = read_head(&mut reader).ok()??;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let refuse = |status: &str| {
        let mut client = client;
        let _ = client.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes());
    };
    if method != "CONNECT" {
        refuse("405 Method Not Allowed");
        return None;
    }
    shared.targets.lock().unwrap().push(target.to_owned());
    let wanted = shared.authorization.as_deref();
    if wanted.is_some() && wanted != header(&headers, "proxy-authorization") {
        refuse("407 Proxy Authentication Required");
        return None;
    }
    let server = match shared.to {
        Some(port) => TcpStream::connect(("127.0.0.1", port)),
        None => TcpStream::connect(target),
    };
    let Ok(server) = server else {
        refuse("502 Bad Gateway");
        return None;
    };
    client.write_all(b"HTTP/1.1 200 Tunnelled\r\n\r\n").ok()?;
    let (mut from, mut to) = (server.try_clone().ok()?, client.try_clone().ok()?);
    let back = thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let _ = io::copy(&mut reader, &mut &server);
    let _ = server.shutdown(Shutdown::Both);
    let _ = back.join();
    Some(())
}
