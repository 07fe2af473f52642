"""What the system tests of etxd share: the server as a process, participants, requests."""
import http.client
import http.server
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

# PROGRAM [COMMAND] [-- TEST...]
WORDS = sys.argv[1:sys.argv.index("--")] if "--" in sys.argv else sys.argv[1:]
ETXD = os.path.abspath(WORDS[0]) if WORDS else ""
ETX = os.path.abspath(WORDS[1]) if len(WORDS) > 1 else ""
JSON = {"Content-Type": "application/json"}


class Answer:
    """What the server answered."""

    def __init__(self, response, body):
        self.status = response.status
        self.headers = response.headers
        self.text = body.decode()

    @property
    def json(self):
        return json.loads(self.text)

    def __repr__(self):
        return f"{self.status} {self.text[:400]}"


class Server:
    """etxd on loopback, on a port that the system chose, with a home of its own."""

    def __init__(self, *flags, home=None, wait=True, env=None, homes=None, listen="127.0.0.1:0",
                 context=None):
        self.listen = listen
        self.context = context  # of TLS
        self.folder = home or tempfile.mkdtemp(prefix="etx-etxd-")
        self.owned = home is None
        self.flags = flags
        self.homes = homes or [f"file:{self.folder}/home"]
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("ETX")}
        if os.environ.get("SANITIZED"):
            self.env["ETXD_CONFINE"] = "off"  # what looks for leaks at the end traces its process
        self.env.update(env or {})
        self.log_path = os.path.join(self.folder, "log")
        self.start(wait)

    def start(self, wait=True):
        self.log_from = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [ETXD, "--listen", self.listen,
                 *(word for url in self.homes for word in ("--home", url)), *self.flags],
                stderr=log, stdout=log, env=self.env, cwd=self.folder)
        line = self.wait_log("listening")
        self.host, port = line["address"].rsplit(":", 1)
        self.port = int(port)
        if wait:
            self.wait_log(("ready", "not ready"))

    def log(self):
        with open(self.log_path, encoding="utf-8") as log:
            log.seek(self.log_from)
            return log.read()

    def wait_log(self, message, seconds=30):
        """The first line with that message, or one of those; or a failure with the log."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for line in self.log().splitlines():
                try:
                    fields = json.loads(line)
                except ValueError:
                    continue
                if fields["message"].startswith(message):
                    return fields
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        raise AssertionError(f"no '{message}' in the log:\n{self.log()}")

    def told_ready(self):
        """What the log says last of whether it is ready."""
        return [line for line in map(json.loads, self.log().splitlines())
                if line["message"] in ("ready", "not ready")][-1]

    def ask(self, method, path, body=None, headers=None, timeout=30):
        connection = (http.client.HTTPSConnection(self.host, self.port, timeout=timeout,
                                                  context=self.context) if self.context else
                      http.client.HTTPConnection(self.host, self.port, timeout=timeout))
        try:
            if body is not None and not isinstance(body, (bytes, str)):
                body = json.dumps(body)
            headers = dict(JSON if method == "POST" else {}, **(headers or {}))
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            return Answer(response, response.read())
        finally:
            connection.close()

    def get(self, path, **more):
        return self.ask("GET", path, **more)

    def post(self, path, body=None, **more):
        return self.ask("POST", path, {} if body is None else body, **more)

    def raw(self, data, seconds=5):
        """Sends bytes as they are; all that comes back until the end or the time is over."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as sock:
            sock.sendall(data)
            parts = []
            try:
                while True:
                    part = sock.recv(65536)
                    if not part:
                        break
                    parts.append(part)
            except (socket.timeout, ConnectionResetError):
                pass
            return b"".join(parts)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self, seconds=30):
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def close(self):
        if self.process.poll() is None:
            self.kill()
        if self.owned:
            shutil.rmtree(self.folder, ignore_errors=True)


def certify(folder, names="DNS:localhost,IP:127.0.0.1"):
    """A certificate for these names, c.pem, its key, k.pem, and a client that trusts it."""
    certificate, key = (os.path.join(folder, name) for name in ("c.pem", "k.pem"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", certificate,
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=" + names],
                   check=True, capture_output=True, timeout=60)
    return certificate, key, ssl.create_default_context(cafile=certificate)


class Participant:
    """An HTTP service on loopback. `rules` maps a path to a function of (headers, body) that gives
    (status, body) or (status, body, headers); other paths are 200. Calls are kept."""

    def __init__(self, context=None):
        self.calls = []
        self.rules = {}
        self.lock = threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with outer.lock:
                    outer.calls.append((self.path, dict(self.headers.items()), body))
                answer = outer.rules.get(self.path, lambda headers, body: (200, b"{}"))(
                    self.headers, body)
                self.send_response(answer[0])
                for name, value in (answer[2] if len(answer) > 2 else {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer[1])))
                self.end_headers()
                self.wfile.write(answer[1])

            def log_message(self, *_):
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            request_queue_size = 128

            def handle_error(self, *_):
                pass

        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def paths(self):
        with self.lock:
            return [path for path, _, _ in self.calls]

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def tcc(self, at="a", **more):
        return {"kind": "tcc", "try": f"{self.url}/{at}/try",
                "confirm": f"{self.url}/{at}/confirm", "cancel": f"{self.url}/{at}/cancel",
                **more}

    def saga(self, at="s", **more):
        return {"kind": "saga", "action": f"{self.url}/{at}/action",
                "compensate": f"{self.url}/{at}/compensate", **more}


class Case(unittest.TestCase):
    """A test with a server and a participant."""

    flags = ()

    def setUp(self):
        self.part = Participant()
        self.addCleanup(self.part.close)
        self.server = Server(*self.flags)
        self.addCleanup(self.server.close)

    def expect(self, answer, status, code=None):
        """An answer of that status; of a problem, that it is one as RFC 9457 has it."""
        self.assertEqual(answer.status, status, answer)
        if status >= 400:
            self.assertEqual(answer.headers["Content-Type"], "application/problem+json", answer)
            problem = answer.json
            for name in ("type", "title", "status", "detail", "code", "hint"):
                self.assertIn(name, problem)
            self.assertEqual(problem["status"], status)
            if code is not None:
                self.assertEqual(problem["code"], code, answer)
        return answer

    def submit(self, body, status=200, **more):
        return self.expect(self.server.post("/v1/transactions", body, **more), status)

    def eventually(self, check, seconds=20):
        until = time.monotonic() + seconds
        while True:
            value = check()
            if value or time.monotonic() > until:
                self.assertTrue(value, "not in time\n" + self.server.log()[-3000:])
                return value
            time.sleep(0.02)


def main():
    names = sys.argv[sys.argv.index("--") + 1:] if "--" in sys.argv else []
    unittest.main(argv=[sys.argv[0], *names])
