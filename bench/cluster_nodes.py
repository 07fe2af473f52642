"""What the lines of bench/cluster.py about several etxd have in common: a PostgreSQL store, nodes,
participants and users."""
import contextlib
import http.client
import http.server
import json
import os
import re
import shutil
import tempfile
import threading
import time

import cluster_store

BENCH = os.path.dirname(os.path.abspath(__file__))
harness = cluster_store.with_script(os.path.join(BENCH, "http"))  # bench/http
USERS = 64
LEASE_S = 5
TAKEOVER_S = LEASE_S + 1
PATIENCE_S = 60


class PostgresStore(cluster_store.Store):
    """One server that syncs, on a Unix socket."""

    def __init__(self, folder):
        super().__init__(folder, [], "", False)
        module = cluster_store.with_script("with-postgres")
        server = module.Postgres(self.home("postgres"))
        server.make(module.SETTINGS)
        self.servers.append(server)
        self.url = f"postgresql://etx@/postgres?host={server.home}"

    def of(self, schema, partitions=16):
        return f"{self.url}&schema={schema}&partitions={partitions}"


@contextlib.contextmanager
def postgres(options):
    """A store that runs until the end of the block."""
    folder = tempfile.mkdtemp(prefix="etx-cluster-", dir=options.dir)
    os.chmod(folder, 0o711)
    store = PostgresStore(folder)
    try:
        store.start()
        yield store
    finally:
        store.close()
        shutil.rmtree(folder, ignore_errors=True)


class Node(harness.Server):
    """One etxd, which others reach, on shared homes or on one of its own."""

    def __init__(self, options, name, homes, *flags, local=False):
        self.name, self.local = name, local
        super().__init__(options, "--node", name, "--access-log=off", "--lease", f"{LEASE_S}s",
                         *flags, homes=homes)

    def command(self):
        local = ["--home", f"file:{self.folder}/local"] if self.local else []
        return [*super().command(), *local, "--advertise", f"http://127.0.0.1:{self.port}",
                "--state", os.path.join(self.folder, "state")]

    def partitions(self):
        """The name of whoever has each."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            body = json.loads(harness.ask(connection, "/v1/cluster")[1])
        finally:
            connection.close()
        return [one["node"] if one["here"] or one["node"] != self.name else ""
                for one in body["homes"][0]["partitions"]]

    def begun(self):
        """How many transactions were begun here."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            text = harness.ask(connection, "/metrics")[1].decode()
        finally:
            connection.close()
        return int(re.search(r"^etx_begun_total (\d+)", text, re.M).group(1))


def until(is_so, what):
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        if time.monotonic() > end:
            raise SystemExit(f"cluster: {what}: not within {PATIENCE_S} s")
        time.sleep(0.05)


def counts(nodes):
    """How many partitions each node works on, as it sees it itself."""
    return [node.partitions().count(node.name) for node in nodes]


def shared(nodes):
    """Waits until each works on its even part."""
    def is_so():
        has = counts(nodes)
        return sum(has) == len(nodes[0].partitions()) and max(has) - min(has) <= 1
    until(is_so, "the partitions are shared")


# ---- participants and users in this process

class Participant:
    """Tells of each call (when, gid, attempt); says that it is still working while it holds."""

    def __init__(self):
        self.calls, self.holds = [], False
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                outer.calls.append((time.monotonic(), self.headers["Etx-Gid"],
                                    int(self.headers["Etx-Attempt"])))
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(425 if outer.holds else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            request_queue_size = 128
            daemon_threads = True

            def handle_error(self, *_):
                pass  # whoever called was killed

        self.server = Quiet(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def port(self):
        return self.server.server_address[1]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class User:
    """Submits transactions to one server at a time, over a connection that is kept."""

    def __init__(self, ports):
        """`ports` of the participants of its branches."""
        self.branches = [{"name": f"b{i}", "kind": "tcc", "url": f"http://127.0.0.1:{port}/b{i}"}
                         for i, port in enumerate(ports)]
        self.connection = None

    def submit(self, port, wait="ended", gid=None):
        """(status, what was answered); 0: no answer."""
        body = {"branches": self.branches, "wait": wait, **({"gid": gid} if gid else {})}
        try:
            if self.connection is None or self.connection.port != port:
                self.leave()
                self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            self.connection.request("POST", "/v1/transactions", json.dumps(body),
                                    {"Content-Type": "application/json"})
            response = self.connection.getresponse()
            return response.status, json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            self.leave()
            return 0, {}

    def leave(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None
