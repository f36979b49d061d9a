//! Three real servers with routes between them and JetStream: leaders, elections, restarts.
//!
//! A server of it stays on its port when it is started again, so clients find it where it was.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::{JetStream, NatsServer, wait_until};

/// An election may take nine seconds, and on a busy machine there may be several.
const ELECTIONS: Duration = Duration::from_secs(100);

const NODES: usize = 3;

pub struct Cluster {
    nodes: Vec<NatsServer>,
}

impl Cluster {
    /// A cluster whose JetStream is ready.
    pub fn start() -> Self {
        Self::with("")
    }

    /// The same, each server with this further configuration.
    pub fn with(config: &str) -> Self {
        let routes: Vec<u16> = (0..NODES).map(|_| free_port()).collect();
        let urls = routes.iter().map(|port| format!("nats://127.0.0.1:{port}"));
        let urls = urls.collect::<Vec<_>>().join(", ");
        let start = |(number, port): (usize, &u16)| {
            NatsServer::with(&format!(
                "server_name: n{number}\nhttp: \"127.0.0.1:-1\"\njetstream: {{store_dir: js}}\n\
                 cluster: {{name: trio, listen: \"127.0.0.1:{port}\", routes: [{urls}]}}\n\
                 lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"1s\"\n{config}"
            ))
        };
        let nodes = routes.iter().enumerate().map(start).collect();
        let cluster = Self { nodes };
        cluster.wait_until_healthy();
        cluster.wait_until_streams_can_be_made();
        cluster
    }

    /// Healthy servers may not have met each other yet, and then there are no places for three replicas.
    fn wait_until_streams_can_be_made(&self) {
        let mut jetstream = self.jetstream();
        let config = json!({"name": "PROBE", "subjects": ["probe"], "num_replicas": NODES});
        wait_until("a stream has three places", ELECTIONS, || {
            jetstream.try_api("STREAM.CREATE.PROBE", &config).is_ok()
        });
        jetstream.delete("PROBE");
    }

    pub fn nodes(&self) -> &[NatsServer] {
        &self.nodes
    }

    /// All servers, as `nats_url` takes them.
    pub fn url(&self) -> String {
        let urls: Vec<String> = self.nodes.iter().map(NatsServer::url).collect();
        urls.join(",")
    }

    pub fn jetstream(&self) -> JetStream {
        JetStream::at(self.nodes.iter().map(NatsServer::port).collect())
    }

    /// Creates a stream of three replicas, and waits until it has its leader.
    #[track_caller]
    pub fn stream(&self, name: &str, subjects: &[&str], mut more: Value) {
        let mut jetstream = self.jetstream();
        more["num_replicas"] = NODES.into();
        jetstream.stream(name, subjects, more);
        self.leader(name);
    }

    /// The server that leads this stream, once there is one.
    #[track_caller]
    pub fn leader(&self, stream: &str) -> usize {
        let mut jetstream = self.jetstream();
        let mut leader = None;
        wait_until(&format!("{stream} has a leader"), ELECTIONS, || {
            let cluster = jetstream.info(stream)["cluster"].take();
            let name = cluster["leader"].as_str().unwrap_or_default();
            leader = name.strip_prefix('n').and_then(|name| name.parse().ok());
            leader.is_some()
        });
        leader.unwrap()
    }

    /// kill -9 to the leader of a stream, whose number is given.
    #[track_caller]
    pub fn kill_leader(&self, stream: &str) -> usize {
        let leader = self.leader(stream);
        self.nodes[leader].kill();
        leader
    }

    /// Makes the leader of a stream step down, and waits for the next one.
    #[track_caller]
    pub fn step_down(&self, stream: &str) {
        let mut jetstream = self.jetstream();
        jetstream.api(&format!("STREAM.LEADER.STEPDOWN.{stream}"), &json!({}));
        self.leader(stream);
    }

    /// Ends and starts one server after the other, each when all are well again.
    #[track_caller]
    pub fn rolling_restart(&self) {
        for node in &self.nodes {
            node.end();
            node.start_again();
            self.wait_until_healthy();
        }
    }

    /// Waits until every server says that it has all its streams and is up to date with them.
    #[track_caller]
    pub fn wait_until_healthy(&self) {
        wait_until("every server of the cluster is healthy", ELECTIONS, || {
            let healthy = self.nodes.iter().all(NatsServer::is_healthy);
            if !healthy {
                // A server logs each time that it says no.
                thread::sleep(Duration::from_millis(50));
            }
            healthy
        });
        // The API may still be without a leader.
        self.jetstream().api("INFO", &json!({}));
    }
}

/// A free port outside of the range that the system gives to whoever asks for any.
pub fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const PORTS: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        // Far from what other test processes try at the same time.
        let own = u16::try_from(std::process::id() % u32::from(PORTS)).unwrap();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + own.wrapping_mul(97).wrapping_add(number) % PORTS;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
