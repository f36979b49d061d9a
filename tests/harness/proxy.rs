//! A TCP proxy between the program and its server, with a gate.
//!
//! Core NATS forgets: what a server has confirmed but not yet handed to a subscriber dies with the server.
//! So a test that counts across a kill first holds back what the server answers (the program can learn of
//! no further confirmation, while its bytes still flow), lets the subscriber catch up, and only then
//! kills. The gate opens again when the subscriber is back, before any repeated message can come.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use super::NatsServer;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    /// Answers of the server are held back; new connections wait.
    Hold,
    /// The same, and what the program says is taken and thrown away.
    Swallow,
    /// New connections are closed at once.
    Refuse,
    /// The proxy is dropped.
    Gone,
}

struct Shared {
    gate: Mutex<State>,
    changed: Condvar,
    server: u16,
}

struct State {
    gate: Gate,
    links: Vec<Arc<Link>>,
    accepted: usize,
    /// Connections behind this many wait.
    let_in: usize,
    swallowed: Vec<u8>,
}

impl State {
    /// Whether the program must hear nothing.
    fn holds(&self) -> bool {
        matches!(self.gate, Gate::Hold | Gate::Swallow)
    }
}

/// One connection of the program's, and whether it was cut.
struct Link {
    client: TcpStream,
    /// How many connections there have been with this one.
    number: usize,
    cut: AtomicBool,
}

pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
}

impl Proxy {
    /// A proxy in front of this server, its gate open.
    pub fn before(server: &NatsServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State {
            gate: Gate::Open,
            links: Vec::new(),
            accepted: 0,
            let_in: usize::MAX,
            swallowed: Vec::new(),
        };
        let shared = Shared {
            gate: Mutex::new(state),
            changed: Condvar::new(),
            server: server.port(),
        };
        let shared = Arc::new(shared);
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Self { shared, port }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// From here on nothing that the server says reaches the program.
    pub fn hold(&self) {
        self.turn(Gate::Hold);
    }

    /// From here on neither side hears the other, and what the program says is lost.
    pub fn swallow(&self) {
        self.turn(Gate::Swallow);
    }

    /// What was swallowed.
    pub fn swallowed(&self) -> String {
        String::from_utf8_lossy(&self.shared.gate.lock().unwrap().swallowed).into_owned()
    }

    /// The first so many connections are let in, and all behind them have to wait.
    pub fn let_in(&self, connections: usize) {
        self.shared.gate.lock().unwrap().let_in = connections;
        self.shared.changed.notify_all();
    }

    /// From here on new connections are closed at once.
    pub fn refuse(&self) {
        self.turn(Gate::Refuse);
    }

    pub fn open(&self) {
        self.turn(Gate::Open);
    }

    /// Ends every connection that there is.
    pub fn cut(&self) {
        let links = std::mem::take(&mut self.shared.gate.lock().unwrap().links);
        for link in links {
            link.cut.store(true, Ordering::SeqCst);
            let _ = link.client.shutdown(Shutdown::Both);
        }
        self.shared.changed.notify_all();
    }

    /// How many connections the program has made.
    pub fn accepted(&self) -> usize {
        self.shared.gate.lock().unwrap().accepted
    }

    fn turn(&self, gate: Gate) {
        self.shared.gate.lock().unwrap().gate = gate;
        self.shared.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.turn(Gate::Gone);
        self.cut();
        // Wakes the accepting thread, which then ends.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        let Ok((client, _)) = listener.accept() else {
            return;
        };
        let mut state = shared.gate.lock().unwrap();
        state.accepted += 1;
        match state.gate {
            Gate::Gone => return,
            Gate::Refuse => continue,
            Gate::Open | Gate::Hold | Gate::Swallow => {}
        }
        let link = Arc::new(Link {
            client,
            number: state.accepted,
            cut: AtomicBool::new(false),
        });
        state.links.push(Arc::clone(&link));
        drop(state);
        let shared = Arc::clone(shared);
        thread::spawn(move || serve(&shared, &link));
    }
}

fn serve(shared: &Arc<Shared>, link: &Arc<Link>) {
    let mut state = shared.gate.lock().unwrap();
    while (state.holds() || link.number > state.let_in) && !link.cut.load(Ordering::SeqCst) {
        state = shared.changed.wait(state).unwrap();
    }
    drop(state);
    let Ok(server) = TcpStream::connect(("127.0.0.1", shared.server)) else {
        let _ = link.client.shutdown(Shutdown::Both);
        return;
    };
    let telling = (
        Arc::clone(shared),
        Arc::clone(link),
        server.try_clone().unwrap(),
    );
    thread::spawn(move || {
        let (shared, link, server) = telling;
        tell(&shared, &link, &server);
        let _ = server.shutdown(Shutdown::Both);
        let _ = link.client.shutdown(Shutdown::Both);
    });
    answer(shared, link, &server);
    let _ = server.shutdown(Shutdown::Both);
    let _ = link.client.shutdown(Shutdown::Both);
}

/// Hands on what the server says. It writes with the gate in its hand, so after `hold` nothing passes.
fn answer(shared: &Shared, link: &Link, mut server: &TcpStream) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(read @ 1..) = server.read(&mut bytes) {
        let mut state = shared.gate.lock().unwrap();
        while state.holds() && !link.cut.load(Ordering::SeqCst) {
            state = shared.changed.wait(state).unwrap();
        }
        if link.cut.load(Ordering::SeqCst) || (&link.client).write_all(&bytes[..read]).is_err() {
            return;
        }
        drop(state);
    }
}

/// Hands on what the program says. It writes with empty hands: a server that is stopped may not take it.
fn tell(shared: &Shared, link: &Link, mut server: &TcpStream) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(read @ 1..) = (&link.client).read(&mut bytes) {
        let mut state = shared.gate.lock().unwrap();
        let swallow = state.gate == Gate::Swallow;
        if swallow {
            state.swallowed.extend_from_slice(&bytes[..read]);
        }
        drop(state);
        if !swallow && server.write_all(&bytes[..read]).is_err() {
            return;
        }
    }
}
