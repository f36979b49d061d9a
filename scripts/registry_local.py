"""An Apicurio Registry in memory, for scripts/bench. Standard library only; scripts/install has fetched it."""

import http.client
import json
import os
import re
import subprocess
import tempfile
import time

from nats_local import WORK

VERSION = "3.3.3"
FOLDER = os.path.join(WORK, "apicurio")
START_SECONDS = 60
# Spec apicurio.md, 5: ports of its own choice, told on standard output; nothing bound but to this machine.
FLAGS = [
    "-Xmx128m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Djava.util.logging.manager=org.jboss.logmanager.LogManager",
    "-Dquarkus.http.host=127.0.0.1",
    "-Dquarkus.http.port=0",
    "-Dquarkus.management.host=127.0.0.1",
    "-Dquarkus.management.port=0",
    '-Dquarkus.log.category."io.quarkus".level=INFO',
]


class Registry:
    """Ended by its pid."""

    def __enter__(self):
        with open(os.path.join(FOLDER, "java")) as file:
            java = file.read().strip()
        self.log = tempfile.NamedTemporaryFile("w+")
        command = [java, *FLAGS, "-jar", "quarkus-run.jar"]
        self.process = subprocess.Popen(command, cwd=os.path.join(FOLDER, VERSION), stdout=self.log, stderr=self.log)
        try:
            self.port = self._read_port()
        except BaseException:
            self.__exit__()
            raise
        self.url = f"http://127.0.0.1:{self.port}/apis/registry/v3"
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def _read_port(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with open(self.log.name) as log:
                found = re.search(r"Listening on: http://127\.0\.0\.1:(\d+)", log.read())
            if found:
                return int(found.group(1))
            time.sleep(0.05)
        raise SystemExit("the registry did not start")

    def register(self, group, artifact, schemas):
        """Registers one schema after the other on one connection, as barely as it can be done; seconds for all."""
        path = f"/apis/registry/v3/groups/{group}/artifacts?ifExists=FIND_OR_CREATE_VERSION&canonical=true"
        bodies = []
        for schema in schemas:
            content = {"content": schema, "contentType": "application/json"}
            body = {"artifactId": artifact, "artifactType": "JSON", "firstVersion": {"content": content}}
            bodies.append(json.dumps(body).encode())
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        start = time.monotonic()
        for body in bodies:
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            text = reply.read()
            if reply.status != 200 or b'"contentId"' not in text:
                raise SystemExit(f"status {reply.status} of a bare registration")
        seconds = time.monotonic() - start
        connection.close()
        return seconds

    def versions(self, group, artifact):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("GET", f"/apis/registry/v3/groups/{group}/artifacts/{artifact}/versions?limit=1")
        count = json.load(connection.getresponse())["count"]
        connection.close()
        return count
