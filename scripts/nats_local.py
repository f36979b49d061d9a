"""A nats-server and a subscriber for scripts/demo and scripts/bench. Standard library only."""

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

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen(
            [NATS_SERVER, "-a", "127.0.0.1", "-p", "-1", "-m", "-1"]
            + ["--ports_file_dir", self.folder.name, "-l", os.path.join(self.folder.name, "log")]
        )
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
