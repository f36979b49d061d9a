//! A nats-server of the test's own: a child process on a port of its choosing, with a folder of its own.
//!
//! It can be stopped (SIGSTOP), continued, ended, killed, and started again on the same port. It is killed on
//! drop, by its own process id. Its log is kept for the report of a failing test.

use std::cell::{Cell, RefCell};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{PATIENCE, TempDir, project, send_signal, wait_until, wait_until_stopped};

pub struct NatsServer {
    dir: TempDir,
    child: RefCell<Child>,
    port: Cell<u16>,
    configured: bool,
}

impl NatsServer {
    /// A server with the defaults of nats-server.
    pub fn start() -> Self {
        Self::with("")
    }

    /// A server with JetStream, whose files outlive its death.
    pub fn with_jetstream() -> Self {
        Self::with_jetstream_and("")
    }

    /// The same with this further configuration.
    pub fn with_jetstream_and(config: &str) -> Self {
        Self::with(&format!("jetstream: {{store_dir: js}}\n{config}"))
    }

    /// A server with this configuration text.
    pub fn with(config: &str) -> Self {
        let dir = TempDir::new();
        if !config.is_empty() {
            fs::write(dir.path().join("server.conf"), config).unwrap();
        }
        let configured = !config.is_empty();
        let child = spawn(dir.path(), configured, None);
        let server = Self {
            dir,
            child: RefCell::new(child),
            port: Cell::new(0),
            configured,
        };
        match server.wait_for_port() {
            Some(port) => server.port.set(port),
            None => panic!("nats-server did not start; its log:\n{}", server.log()),
        }
        server
    }

    pub fn port(&self) -> u16 {
        self.port.get()
    }

    /// `127.0.0.1:port`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    pub fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// SIGSTOP, and waits until no thread of it runs: it keeps its connections and answers nothing.
    pub fn stop(&self) {
        self.signal("STOP");
        wait_until_stopped(self.child.borrow().id());
    }

    /// SIGCONT
    pub fn cont(&self) {
        self.signal("CONT");
    }

    /// SIGTERM, and waits until it is gone.
    #[track_caller]
    pub fn end(&self) {
        self.signal("TERM");
        self.wait_until_gone();
    }

    /// Puts it into lame duck mode: it says so to its clients, and ends in its own time.
    #[track_caller]
    pub fn lame_duck(&self) {
        self.signal("USR2");
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub fn wait_until_gone(&self) {
        wait_until("nats-server has ended", PATIENCE, || {
            self.child.borrow_mut().try_wait().unwrap().is_some()
        });
    }

    /// Whether it says that it has all its streams and is up to date with them. Its configuration must have `http`.
    pub fn is_healthy(&self) -> bool {
        let file = self.ports_file(self.child.borrow().id());
        read_port(&file, "monitoring").is_some_and(|port| get(port, "/healthz").contains(" 200 "))
    }

    /// What it tells of itself at this path of its monitoring. Its configuration must have `http`.
    #[track_caller]
    pub fn monitored(&self, path: &str) -> Value {
        let file = self.ports_file(self.child.borrow().id());
        let port = read_port(&file, "monitoring").expect("the server is monitored");
        let answer = get(port, path);
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error} in {answer}"))
    }

    /// kill -9, and waits until it is gone.
    pub fn kill(&self) {
        let mut child = self.child.borrow_mut();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts it again on the same port after `kill`.
    pub fn start_again(&self) {
        let start = Instant::now();
        loop {
            *self.child.borrow_mut() = spawn(self.dir.path(), self.configured, Some(self.port()));
            // It ends by itself when another process has taken the port for a moment.
            if self.wait_for_port().is_some() {
                return;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "nats-server did not start again:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Another configuration for the next `start_again`; it must have had one from the beginning.
    pub fn configure(&self, config: &str) {
        assert!(
            self.configured,
            "this server was started without a configuration"
        );
        fs::write(self.dir.path().join("server.conf"), config).unwrap();
    }

    /// Everything that it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    pub fn log_path(&self) -> PathBuf {
        self.dir.path().join("server.log")
    }

    #[track_caller]
    fn signal(&self, signal: &str) {
        assert!(
            send_signal(self.child.borrow().id(), signal),
            "nats-server is gone:\n{}",
            self.log()
        );
    }

    fn ports_file(&self, pid: u32) -> PathBuf {
        self.dir.path().join(format!("nats-server_{pid}.ports"))
    }

    /// The port that it listens on, once it does; nothing when it ended instead.
    fn wait_for_port(&self) -> Option<u16> {
        let file = self.ports_file(self.child.borrow().id());
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(port) = read_port(&file, "nats")
                && TcpStream::connect(("127.0.0.1", port)).is_ok()
            {
                return Some(port);
            }
            if self.child.borrow_mut().try_wait().unwrap().is_some() {
                return None;
            }
            thread::sleep(Duration::from_millis(2));
        }
        None
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        let child = self.child.get_mut();
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn spawn(dir: &Path, configured: bool, port: Option<u16>) -> Child {
    let port = port.map_or_else(|| "-1".to_owned(), |port| port.to_string());
    // Where there is such a program, the server dies with the test's thread even if that is killed.
    let guard = Path::new("/usr/bin/setpriv");
    let mut command = if guard.exists() {
        let mut command = Command::new(guard);
        command.args(["--pdeathsig", "KILL"]).arg(binary());
        command
    } else {
        Command::new(binary())
    };
    command.args(["-a", "127.0.0.1", "-p", &port, "--ports_file_dir", "."]);
    command.args(["-l", "server.log"]);
    if configured {
        command.args(["-c", "server.conf"]);
    }
    command
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().expect("nats-server can be started")
}

/// The ports file is JSON such as `{"nats": ["nats://127.0.0.1:4222"]}`; half a file is no file yet.
fn read_port(file: &Path, of: &str) -> Option<u16> {
    let text = fs::read_to_string(file).ok()?;
    let ports: Value = serde_json::from_str(&text).ok()?;
    ports[of][0].as_str()?.rsplit(':').next()?.parse().ok()
}

/// The answer to an HTTP request, or nothing.
fn get(port: u16, path: &str) -> String {
    let mut answer = String::new();
    if let Ok(mut socket) = TcpStream::connect(("127.0.0.1", port)) {
        let _ = socket.set_read_timeout(Some(Duration::from_secs(5)));
        let _ = socket.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes());
        let _ = socket.read_to_string(&mut answer);
    }
    answer
}

fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("NATS_SERVER") {
        return path.into();
    }
    let path = project().join(".work/venv/bin/nats-server");
    assert!(
        path.exists(),
        "there is no {}: run scripts/install once, or set NATS_SERVER to the path of a nats-server",
        path.display()
    );
    path
}
