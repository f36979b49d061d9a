//! An HTTP server that answers as the test says, for what no real registry does on demand: slowness, silence, bodies
//! that are cut short, statuses of proxies, nonsense. It keeps what it was asked. With or without TLS.
//!
//! What the answers can be is in `scripted_answers.rs`.

use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::certificates::Certificate;
use super::http::{Content, header, read_body, read_head};
use super::{Answer, Authority, PATIENCE, wait_until};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// With its query, as it was sent.
    pub path: String,
    pub content: Content,
    /// Which connection it came on, from 0 in the order in which they were made.
    pub connection: usize,
    /// Whether the client has shown a certificate.
    pub certified: bool,
    /// When it was there to its end.
    pub at: Instant,
}

impl Deref for Request {
    type Target = Content;

    fn deref(&self) -> &Content {
        &self.content
    }
}

/// Whether clients show certificates.
pub enum Clients<'a> {
    Unknown,
    /// They may, and what they show must be signed by this authority.
    MayShow(&'a Authority),
    MustShow(&'a Authority),
}

type Judge = Box<dyn FnMut(&Request) -> Answer + Send>;

struct Shared {
    judge: Mutex<Judge>,
    requests: Mutex<Vec<Request>>,
    sockets: Mutex<Vec<TcpStream>>,
    connections: AtomicUsize,
    gone: AtomicBool,
    tls: Option<Arc<ServerConfig>>,
}

pub struct ScriptedHttp {
    shared: Arc<Shared>,
    port: u16,
}

impl ScriptedHttp {
    /// The first request gets the first of these answers, and so on; when they are used up, the last serves on.
    pub fn answering(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::start(None, in_turn(answers))
    }

    /// Each request gets what the test makes of it.
    pub fn judging(judge: impl FnMut(&Request) -> Answer + Send + 'static) -> Self {
        Self::start(None, Box::new(judge))
    }

    /// The same over TLS.
    pub fn over_tls(
        certificate: &Certificate,
        clients: &Clients,
        judge: impl FnMut(&Request) -> Answer + Send + 'static,
    ) -> Self {
        Self::start(Some(tls_config(certificate, clients)), Box::new(judge))
    }

    fn start(tls: Option<ServerConfig>, judge: Judge) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            judge: Mutex::new(judge),
            requests: Mutex::default(),
            sockets: Mutex::default(),
            connections: AtomicUsize::new(0),
            gone: AtomicBool::new(false),
            tls: tls.map(Arc::new),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Self { shared, port }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Scheme, address and port, without a path.
    pub fn root_url(&self) -> String {
        let scheme = if self.shared.tls.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// The base that the API of version 3 has on a registry.
    pub fn url(&self) -> String {
        self.root_url() + "/apis/registry/v3"
    }

    /// Answers what comes from here on with these.
    pub fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        *self.shared.judge.lock().unwrap() = in_turn(answers);
    }

    /// What it was asked so far, in the order in which the requests were there.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Waits until there were so many requests, and gives them.
    #[track_caller]
    pub fn wait_for(&self, requests: usize) -> Vec<Request> {
        let what = format!("there are {requests} requests");
        wait_until(&what, PATIENCE, || {
            self.shared.requests.lock().unwrap().len() >= requests
        });
        self.requests()
    }

    /// How many connections were made, those that failed in TLS among them.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for ScriptedHttp {
    fn drop(&mut self) {
        self.shared.gone.store(true, Ordering::SeqCst);
        for socket in self.shared.sockets.lock().unwrap().drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
        // Wakes the accepting thread, which then ends.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn in_turn(answers: impl IntoIterator<Item = Answer>) -> Judge {
    let mut answers: Vec<Answer> = answers.into_iter().collect();
    assert!(!answers.is_empty(), "a scripted server needs an answer");
    answers.reverse();
    Box::new(move |_| match answers.len() {
        1 => answers[0].clone(),
        _ => answers.pop().unwrap(),
    })
}

fn tls_config(certificate: &Certificate, clients: &Clients) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = |authority: &Authority| {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap();
        roots.add(root).unwrap();
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        Clients::Unknown => builder.with_no_client_auth(),
        Clients::MayShow(authority) => builder.with_client_cert_verifier(
            verifier(authority).allow_unauthenticated().build().unwrap(),
        ),
        Clients::MustShow(authority) => {
            builder.with_client_cert_verifier(verifier(authority).build().unwrap())
        }
    };
    let cert = CertificateDer::from_pem_slice(certificate.cert.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).unwrap();
    builder.with_single_cert(vec![cert], key).unwrap()
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((socket, _)) = listener.accept() {
        if shared.gone.load(Ordering::SeqCst) {
            return;
        }
        let number = shared.connections.fetch_add(1, Ordering::SeqCst);
        shared
            .sockets
            .lock()
            .unwrap()
            .push(socket.try_clone().unwrap());
        let shared = Arc::clone(shared);
        thread::spawn(move || serve_connection(&shared, socket, number));
    }
}

fn serve_connection(shared: &Shared, socket: TcpStream, number: usize) {
    let ending = socket.try_clone().unwrap();
    if let Some(config) = &shared.tls {
        let mut connection = ServerConnection::new(Arc::clone(config)).unwrap();
        let mut raw = &socket;
        // Who fails here has shown no acceptable certificate, or does not like ours.
        while connection.is_handshaking() {
            if connection.complete_io(&mut raw).is_err() {
                return;
            }
        }
        let certified = connection.peer_certificates().is_some();
        let mut stream = BufReader::new(StreamOwned::new(connection, socket));
        serve(shared, &mut stream, number, certified);
        stream.get_mut().conn.send_close_notify();
        let _ = stream.get_mut().flush();
    } else {
        serve(shared, &mut BufReader::new(socket), number, false);
    }
    let _ = ending.shutdown(Shutdown::Both);
}

/// Answers what comes on one connection, until one side ends it.
fn serve<S: Read + Write>(
    shared: &Shared,
    stream: &mut BufReader<S>,
    connection: usize,
    certified: bool,
) {
    while let Ok(Some((first, headers))) = read_head(stream) {
        if header(&headers, "expect").is_some() {
            let _ = stream.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        let Ok(body) = read_body(stream, &headers) else {
            return;
        };
        let mut words = first.split(' ');
        let request = Request {
            method: words.next().unwrap_or_default().to_owned(),
            path: words.next().unwrap_or_default().to_owned(),
            content: Content {
                headers,
                body: body.unwrap_or_default(),
            },
            connection,
            certified,
            at: Instant::now(),
        };
        let mut judge = shared.judge.lock().unwrap();
        shared.requests.lock().unwrap().push(request.clone());
        let answer = judge(&request);
        drop(judge);
        if !answer.send(&request, stream) {
            return;
        }
    }
}
