"""nats-servers, alone or as a cluster, a subscriber and the JetStream API for scripts/demo and scripts/bench.

Standard library only.
"""

import contextlib
import json
import os
import socket
import subprocess
import tempfile
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WORK = os.path.join(ROOT, ".work")
NATS_SERVER = os.environ.get("NATS_SERVER") or os.path.join(WORK, "venv", "bin", "nats-server")


class Server:
    """Ports are the server's own choice, so runs side by side do not meet. Ended by its pid."""

    def __init__(self, config=""):
        """`config` as in a server's file. FOLDER in it is a folder that lives as long as the server."""
        self.config = config

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        command = [NATS_SERVER, "-a", "127.0.0.1", "-p", "-1", "-m", "-1"]
        command += ["--ports_file_dir", self.folder.name, "-l", os.path.join(self.folder.name, "log")]
        if self.config:
            path = os.path.join(self.folder.name, "config")
            with open(path, "w") as file:
                file.write(self.config.replace("FOLDER", self.folder.name))
            command += ["-c", path]
        self.process = subprocess.Popen(command)
        ports = os.path.join(self.folder.name, f"nats-server_{self.process.pid}.ports")
        try:
            self.url, self.monitoring = self._read_ports(ports)
        except BaseException:
            self.__exit__()
            raise
        host, port = self.url.split("//")[1].split(":")
        self.address = (host, int(port))
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()

    def _read_ports(self, path):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(FileNotFoundError, ValueError), open(path) as file:
                ports = json.load(file)
                return ports["nats"][0], ports["monitoring"][0]
            time.sleep(0.01)
        raise SystemExit("nats-server did not start")

    def received(self):
        """How many messages clients have sent to it so far."""
        with urllib.request.urlopen(self.monitoring + "/varz", timeout=10) as reply:
            return json.load(reply)["in_msgs"]


class Cluster:
    """Three servers with JetStream. Their routes need ports that are known beforehand."""

    def __enter__(self):
        ports = free_ports(3)
        routes = ", ".join(f"nats://127.0.0.1:{port}" for port in ports)
        self.servers = {
            f"n{number}": Server(
                f"server_name: n{number}\njetstream: {{store_dir: FOLDER/js}}\n"
                f"cluster: {{name: trio, listen: '127.0.0.1:{port}', routes: [{routes}]}}\n"
            )
            for number, port in enumerate(ports)
        }
        self.stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            for server in self.servers.values():
                stack.enter_context(server)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def leader(self, js_stream):
        """The server that leads a stream, once all its replicas are up to date."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for server in self.servers.values():
                with contextlib.suppress(ApiError):
                    cluster = JetStream(server).api("STREAM.INFO." + js_stream)["cluster"]
                    replicas = cluster.get("replicas", [])
                    if cluster.get("leader") and replicas and all(replica["current"] for replica in replicas):
                        return self.servers[cluster["leader"]]
            time.sleep(0.05)
        raise SystemExit(f"the stream {js_stream} has no leader")


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class ApiError(Exception):
    """What the JetStream API says instead of an answer."""


class JetStream:
    """The JetStream API of a server."""

    def __init__(self, server):
        self.server = server

    def api(self, verb, body=None):
        """The answer as JSON, from a connection of its own."""
        inbox = f"_INBOX.{os.getpid()}.{time.monotonic_ns()}"
        subscriber = Subscriber(self.server, inbox)
        try:
            payload = b"" if body is None else json.dumps(body).encode()
            subscriber.socket.sendall(f"PUB $JS.API.{verb} {inbox} {len(payload)}\r\n".encode() + payload + b"\r\n")
            answer = json.loads(subscriber.next()[1])
        except TimeoutError:
            answer = {"error": "no answer in time"}
        finally:
            subscriber.close()
        if "error" in answer:
            raise ApiError(f"{verb}: {answer['error']}")
        return answer

    def create_anew(self, name, config):
        """A stream with nothing in it."""
        deadline = time.monotonic() + 30
        while True:
            try:
                if name in (self.api("STREAM.NAMES")["streams"] or []):
                    self.api("STREAM.DELETE." + name)
                return self.api("STREAM.CREATE." + name, {"name": name, **config})
            except ApiError:
                # A cluster that has just been started has no leader yet.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)


class Subscriber:
    """Reads what is published below a subject, on a socket of its own."""

    def __init__(self, server, subject):
        self.socket = socket.create_connection(server.address, timeout=10)
        self.lines = self.socket.makefile("rb")
        self.socket.sendall(f'CONNECT {{"verbose":false}}\r\nSUB {subject} 1\r\nPING\r\n'.encode())
        while self.lines.readline() != b"PONG\r\n":
            pass

    def next(self):
        """The next message as (subject, payload). Fails when there is none for ten seconds."""
        while True:
            words = self.lines.readline().split()
            if not words:
                raise SystemExit("the server closed the subscriber's connection")
            if words[0] == b"PING":
                self.socket.sendall(b"PONG\r\n")
            elif words[0] == b"MSG":
                payload = self.lines.read(int(words[-1]) + 2)[:-2]
                return words[1].decode(), payload

    def close(self):
        self.lines.close()
        self.socket.close()
