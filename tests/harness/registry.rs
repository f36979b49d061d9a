//! A real Apicurio Registry: a Java process on a port of its choosing, with a folder and a database of its own.
//!
//! Most tests share one of each version, which starts when the first asks for it and ends with the test
//! process, however that ends; nothing can be deleted there, so each test uses groups of its own. One that
//! must fail, forget or refuse is started by the test. What it can be asked is in `registry_calls.rs`.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use super::certificates::{Certificate, base64};
use super::{IdentityProvider, TempDir, project, send_signal, wait_until_stopped};

/// How long a start may take: some seconds of work, on a machine that is busy with other things.
const START: Duration = Duration::from_mins(2);

/// What all versions are started with: little memory, and nothing bound but to this machine.
const JAVA: &[&str] = &[
    "-Xmx128m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Djava.util.logging.manager=org.jboss.logmanager.LogManager",
    "-Dquarkus.http.host=127.0.0.1",
    "-Dquarkus.management.host=127.0.0.1",
    "-Dquarkus.management.port=0",
    // Says which port it listens on.
    "-Dquarkus.log.category.\"io.quarkus\".level=INFO",
    "-Dquarkus.http.access-log.enabled=true",
    "-Dquarkus.http.access-log.pattern=REQUEST %m %s %U [%{i,User-Agent}]",
    "-Dapicurio.datasource.jdbc.initial-size=2",
    "-Dapicurio.datasource.jdbc.min-size=2",
    "-Dquarkus.datasource.jdbc.initial-size=2",
    "-Dquarkus.datasource.jdbc.min-size=2",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V3_3,
    V3_0,
    V2_6,
}

impl Version {
    /// As the registry says it.
    pub fn number(self) -> &'static str {
        match self {
            Self::V3_3 => "3.3.3",
            Self::V3_0 => "3.0.9",
            Self::V2_6 => "2.6.13.Final",
        }
    }

    fn jar(self) -> String {
        match self {
            Self::V3_3 => "quarkus-run.jar".to_owned(),
            Self::V3_0 | Self::V2_6 => {
                format!("apicurio-registry-app-{}-runner.jar", self.number())
            }
        }
    }
}

/// How the harness logs in there.
pub enum Login {
    None,
    /// The value of the `Authorization` header.
    Fixed(String),
    Tokens(IdentityProvider),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Database {
    Memory,
    File,
}

pub struct Registry {
    pub version: Version,
    login: Login,
    flags: Vec<String>,
    process: Mutex<Process>,
    port: AtomicU16,
    tls_port: AtomicU16,
    dir: TempDir,
}

impl Registry {
    /// The one that all tests of this process share. On it no contentId equals its globalId.
    pub fn shared(version: Version) -> &'static Self {
        static SHARED: [OnceLock<Registry>; 3] = [const { OnceLock::new() }; 3];
        SHARED[version as usize].get_or_init(|| {
            let registry = Self::launch(version, &[], Login::None, Database::Memory);
            registry.diverge_ids();
            registry
        })
    }

    /// One of the test's own with these further arguments of Java, such as `-Dkey=value` and `-Xmx1g`. Its
    /// database is a file, so that it survives `kill` and `start_again`.
    pub fn start(version: Version, flags: &[&str]) -> Self {
        Self::start_with(version, flags, Login::None)
    }

    /// The same with these users: name, password, and role (`sr-admin`, `sr-developer`, `sr-readonly`, or none).
    /// Nothing is allowed without a login, but what is open to everybody.
    pub fn with_users(version: Version, users: &[(&str, &str, &str)]) -> Self {
        assert_ne!(version, Version::V2_6, "its logins go by other settings");
        let mut flags = [
            "-Dquarkus.http.auth.basic=true",
            "-Dquarkus.security.users.embedded.plain-text=true",
            "-Dapicurio.auth.role-based-authorization=true",
        ]
        .map(str::to_owned)
        .to_vec();
        for (name, password, role) in [&[("harness", "harness", "sr-admin")], users].concat() {
            let embedded = "-Dquarkus.security.users.embedded";
            flags.push(format!("{embedded}.users.{name}={password}"));
            flags.push(format!("{embedded}.roles.{name}={role}"));
        }
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let login = Login::Fixed(format!("Basic {}", base64(b"harness:harness")));
        Self::start_with(version, &flags, login)
    }

    /// The same with logins by the tokens of an identity provider.
    pub fn trusting(version: Version, provider: &IdentityProvider) -> Self {
        assert_ne!(version, Version::V2_6, "its logins go by other settings");
        let url = provider.url();
        let flags = [
            "-Dquarkus.oidc.tenant-enabled=true".to_owned(),
            format!("-Dquarkus.oidc.auth-server-url={url}"),
            format!("-Dquarkus.oidc.token-path={}", provider.token_url()),
            "-Dapicurio.auth.role-based-authorization=true".to_owned(),
        ];
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        Self::start_with(version, &flags, Login::Tokens(provider.clone()))
    }

    /// The same that also speaks TLS, on a port of its own, with this certificate.
    pub fn with_tls(version: Version, certificate: &Certificate) -> Self {
        let ssl = "-Dquarkus.http.ssl.certificate";
        let (cert, key) = certificate.files();
        let flags = [
            format!("{ssl}.files={}", cert.display()),
            format!("{ssl}.key-files={}", key.display()),
            "-Dquarkus.http.ssl-port=0".to_owned(),
        ];
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let registry = Self::start(version, &flags);
        // It opens a moment after the other port.
        registry.wait_for("the TLS port", || {
            TcpStream::connect(("127.0.0.1", registry.tls_port())).is_ok()
        });
        registry
    }

    fn start_with(version: Version, flags: &[&str], login: Login) -> Self {
        Self::launch(version, flags, login, Database::File)
    }

    fn launch(version: Version, flags: &[&str], login: Login, database: Database) -> Self {
        let dir = TempDir::new();
        let mut flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        if database == Database::File {
            let key = match version {
                Version::V3_3 | Version::V3_0 => "apicurio.datasource.url",
                Version::V2_6 => "quarkus.datasource.jdbc.url",
            };
            let file = dir.path().join("database");
            // By default it writes what is committed half a second later.
            let url = format!("jdbc:h2:file:{};WRITE_DELAY=0", file.display());
            flags.push(format!("-D{key}={url}"));
        }
        let process = Process::spawn(version, &flags, None, &dir);
        let registry = Self {
            version,
            login,
            flags,
            process: Mutex::new(process),
            port: AtomicU16::new(0),
            tls_port: AtomicU16::new(0),
            dir,
        };
        assert!(
            registry.wait_until_it_listens(0),
            "the registry did not start; its log:\n{}",
            registry.log()
        );
        registry
    }

    pub fn port(&self) -> u16 {
        self.port.load(Ordering::SeqCst)
    }

    pub fn tls_port(&self) -> u16 {
        self.tls_port.load(Ordering::SeqCst)
    }

    pub fn pid(&self) -> u32 {
        self.process.lock().unwrap().java.id()
    }

    /// `http://127.0.0.1:port`
    pub fn root_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// The base of the API of version 3.
    pub fn url(&self) -> String {
        self.root_url() + "/apis/registry/v3"
    }

    /// The same over TLS.
    pub fn tls_url(&self) -> String {
        format!("https://127.0.0.1:{}/apis/registry/v3", self.tls_port())
    }

    pub fn v2_url(&self) -> String {
        self.root_url() + "/apis/registry/v2"
    }

    /// The base of the API that is compatible with Confluent's, 7 or 8 (the newest only).
    pub fn ccompat_url(&self, version: u8) -> String {
        format!("{}/apis/ccompat/v{version}", self.root_url())
    }

    /// What it logs, its standard error included.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    pub fn log_path(&self) -> PathBuf {
        self.dir.path().join("registry.log")
    }

    /// SIGSTOP: connections are made, and nothing is answered.
    #[track_caller]
    pub fn stop(&self) {
        self.signal("STOP");
        wait_until_stopped(self.pid());
    }

    /// SIGCONT
    #[track_caller]
    pub fn cont(&self) {
        self.signal("CONT");
    }

    /// SIGTERM, and waits until it is gone.
    #[track_caller]
    pub fn end(&self) {
        self.signal("TERM");
        self.process.lock().unwrap().java.wait().unwrap();
    }

    /// kill -9, and waits until it is gone.
    pub fn kill(&self) {
        self.process.lock().unwrap().kill();
    }

    /// Starts it again on the same port after `kill` or `end`, and waits until it serves.
    pub fn start_again(&self) {
        let start = Instant::now();
        loop {
            let logged = self.log().len();
            let again = Process::spawn(self.version, &self.flags, Some(self.port()), &self.dir);
            *self.process.lock().unwrap() = again;
            // It ends by itself when another process has taken the port for a moment.
            if self.wait_until_it_listens(logged) {
                return;
            }
            assert!(
                start.elapsed() < START,
                "the registry did not start again:\n{}",
                self.log()
            );
        }
    }

    /// How the harness logs in there.
    pub fn login(&self) -> &Login {
        &self.login
    }

    #[track_caller]
    fn signal(&self, signal: &str) {
        assert!(
            send_signal(self.pid(), signal),
            "the registry is gone:\n{}",
            self.log()
        );
    }

    /// Reads its ports from what it logs behind this many bytes. False when it ended instead.
    fn wait_until_it_listens(&self, logged: usize) -> bool {
        let start = Instant::now();
        while start.elapsed() < START {
            let log = self.log();
            let new = log.get(logged..).unwrap_or_default();
            // `Listening on: http://127.0.0.1:1234 and https://127.0.0.1:1235. Management interface …`
            let line = new
                .lines()
                .find_map(|line| line.split_once("Listening on: "));
            if let Some((_, addresses)) = line
                && new.ends_with('\n')
            {
                let addresses = addresses.split("Management").next().unwrap_or_default();
                let port = port_behind(addresses, "http://").expect("it says its port");
                self.port.store(port, Ordering::SeqCst);
                let tls_port = port_behind(addresses, "https://").unwrap_or_default();
                self.tls_port.store(tls_port, Ordering::SeqCst);
                return true;
            }
            if self
                .process
                .lock()
                .unwrap()
                .java
                .try_wait()
                .unwrap()
                .is_some()
            {
                return false;
            }
            thread::sleep(Duration::from_millis(20));
        }
        false
    }

    #[track_caller]
    fn wait_for(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(
                start.elapsed() < START,
                "waited in vain for {what}; the registry's log:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn port_behind(addresses: &str, scheme: &str) -> Option<u16> {
    let (_, address) = addresses.split_once(scheme)?;
    let digits = address.split(':').nth(1)?;
    let end = digits.find(|c: char| !c.is_ascii_digit());
    digits[..end.unwrap_or(digits.len())].parse().ok()
}

/// Java, and what ends it with this test process.
struct Process {
    java: Child,
    /// Reads a pipe of which this process has the other end. When that closes unsaid, this process has ended,
    /// and Java and its folder must go. The other way, a signal at the death of the parent, is bound to the
    /// thread that started Java, which for a shared registry is some test's.
    watcher: Child,
}

impl Process {
    fn spawn(version: Version, flags: &[String], port: Option<u16>, dir: &TempDir) -> Self {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(dir.path().join("registry.log"))
            .unwrap();
        let mut command = Command::new(java());
        command
            .args(JAVA)
            .arg(format!("-Dquarkus.http.port={}", port.unwrap_or(0)))
            .args(flags)
            .args(["-jar", &version.jar()])
            .current_dir(folder(version))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        // What these name is not the test's.
        for name in ["JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "QUARKUS_PROFILE"] {
            command.env_remove(name);
        }
        let java = command.spawn().expect("java can be started");
        let script = r#"trap "" INT TERM HUP; read -r _ || { kill -9 "$0"; rm -rf "$1"; }"#;
        let watcher = Command::new("/bin/sh")
            .args(["-c", script, &java.id().to_string()])
            .arg(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("/bin/sh can be started");
        Self { java, watcher }
    }

    /// Twice does no harm.
    fn kill(&mut self) {
        if let Some(mut pipe) = self.watcher.stdin.take() {
            let _ = pipe.write_all(b"\n");
            let _ = self.watcher.wait();
        }
        let _ = self.java.kill();
        let _ = self.java.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The Java that scripts/install has found.
pub fn java() -> PathBuf {
    let file = project().join(".work/apicurio/java");
    let path = fs::read_to_string(&file)
        .unwrap_or_else(|_| panic!("there is no {}: run scripts/install once", file.display()));
    path.into()
}

fn folder(version: Version) -> PathBuf {
    let folder = project().join(".work/apicurio").join(version.number());
    assert!(
        folder.exists(),
        "there is no {}: run scripts/install once",
        folder.display()
    );
    folder
}
