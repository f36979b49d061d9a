//! One run of the program, described and then started: `Target::new().server(&server).input(lines).run()`.
//!
//! Running consumes the description, so no assertion can be made on a second run by accident. The program
//! gets a folder of its own as working directory and home, a clean environment, and a deadline.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Map, Value};

use super::running::{Input, Report};
use super::{Cluster, NatsServer, Outcome, PATIENCE, Registry, Running, TempDir, Version};

/// The built program.
const EXECUTABLE: &str = env!("CARGO_BIN_EXE_target-nats");

pub struct Target {
    dir: TempDir,
    settings: Map<String, Value>,
    config: Option<Vec<u8>>,
    args: Vec<OsString>,
    envs: Vec<(OsString, OsString)>,
    input: Input,
    deadline: Duration,
    logs: Vec<PathBuf>,
    stdout: Stdout,
    through: Vec<OsString>,
}

/// Where the program's standard output goes.
enum Stdout {
    Read,
    Closed,
    File(PathBuf),
}

impl Target {
    pub fn new() -> Self {
        Self {
            dir: TempDir::new(),
            settings: Map::new(),
            config: None,
            args: Vec::new(),
            envs: Vec::new(),
            input: Input::Bytes(Vec::new()),
            deadline: PATIENCE,
            logs: Vec::new(),
            stdout: Stdout::Read,
            through: Vec::new(),
        }
    }

    /// Publishes to this server, whose log a failure will show.
    pub fn server(self, server: &NatsServer) -> Self {
        self.log_of(server).setting("nats_url", server.url())
    }

    /// Publishes to this cluster.
    pub fn cluster(self, cluster: &Cluster) -> Self {
        let target = cluster.nodes().iter().fold(self, Self::log_of);
        target.setting("nats_url", cluster.url())
    }

    /// Registers schemas in a group of this registry, by the newest of its own APIs.
    pub fn registry(self, registry: &Registry, group: &str) -> Self {
        let url = match registry.version {
            Version::V3_3 | Version::V3_0 => registry.url(),
            Version::V2_6 => registry.v2_url(),
        };
        let mut target = self.registry_at(&url, group);
        target.logs.push(registry.log_path());
        target
    }

    /// Registers schemas in a group of what is at this base.
    pub fn registry_at(self, url: &str, group: &str) -> Self {
        self.setting("enable_schema_registry", true)
            .setting("schema_registry_url", url)
            .setting("schema_group_id", group)
    }

    /// Shows the log of this server when an assertion fails.
    pub fn log_of(mut self, server: &NatsServer) -> Self {
        self.logs.push(server.log_path());
        self
    }

    /// A setting of the configuration file.
    pub fn setting(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.settings.insert(key.to_owned(), value.into());
        self
    }

    /// Several of them.
    pub fn settings(self, settings: &[(&str, Value)]) -> Self {
        let set = |target: Self, (key, value): &(&str, Value)| target.setting(key, value.clone());
        settings.iter().fold(self, set)
    }

    /// The text of the configuration file, instead of settings.
    pub fn config(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.config = Some(text.into());
        self
    }

    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub fn env(mut self, key: &str, value: impl Into<OsString>) -> Self {
        self.envs.push((key.into(), value.into()));
        self
    }

    /// A file in the working directory, or in a folder below it.
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// The absolute path of a file in the working directory.
    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// What the program reads on standard input.
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = Input::Bytes(input.into());
        self
    }

    /// Standard input that is written while the program reads it.
    pub fn generated(
        mut self,
        write: impl FnOnce(&mut dyn Write) -> std::io::Result<()> + Send + 'static,
    ) -> Self {
        self.input = Input::Generated(Box::new(write));
        self
    }

    /// After so long it is killed, and the test fails.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs it by way of another program, which gets the program and its arguments as arguments.
    pub fn through(mut self, command: &[&str]) -> Self {
        self.through = command.iter().map(Into::into).collect();
        self
    }

    /// Standard output is a pipe that nobody reads any more.
    pub fn stdout_closed(mut self) -> Self {
        self.stdout = Stdout::Closed;
        self
    }

    /// Standard output is this file.
    pub fn stdout_to(mut self, file: &str) -> Self {
        self.stdout = Stdout::File(file.into());
        self
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(self) -> Outcome {
        self.start().wait()
    }

    /// Starts it with a standard input that the test feeds and ends.
    pub fn spawn(mut self) -> Running {
        self.input = Input::Fed;
        self.start()
    }

    /// Starts it with its input, and does not wait.
    pub fn start(self) -> Running {
        let mut args = Vec::new();
        let config = self.config.or_else(|| {
            (!self.settings.is_empty()).then(|| serde_json::to_vec_pretty(&self.settings).unwrap())
        });
        if let Some(config) = &config {
            fs::write(self.dir.path().join("config.json"), config).unwrap();
            args.extend(["--config".into(), "config.json".into()]);
        }
        args.extend(self.args);
        let words = [self.through, vec![EXECUTABLE.into()], args].concat();
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .current_dir(self.dir.path())
            .env_clear();
        command.env("HOME", self.dir.path());
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.envs(self.envs.iter().map(|(key, value)| (key, value)));
        command
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .stdout(match &self.stdout {
                Stdout::Read | Stdout::Closed => Stdio::piped(),
                Stdout::File(file) => fs::OpenOptions::new()
                    .write(true)
                    .open(file)
                    .unwrap()
                    .into(),
            });
        let mut child = command.spawn().expect("the program can be started");
        if matches!(self.stdout, Stdout::Closed) {
            child.stdout = None;
        }
        let report = Report {
            command: format!("{words:?} with {:?}", self.envs),
            config: config.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
            input: self.input.head(),
            logs: self.logs,
        };
        Running::new(child, self.input, self.dir, self.deadline, report)
    }
}
