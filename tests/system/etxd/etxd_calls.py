#!/usr/bin/env python3
"""Calls of participants as etxd's own settings and a branch's fields have them: how long and how
often, over TLS, signed, and by no thread of their own."""
import os
import re
import signal
import ssl
import threading
import time

import etxd_common
from etxd_common import Case, Participant, Server, certify

DOCUMENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), *[os.pardir] * 3, "docs",
                        "http-participants.md")


class Fields(Case):
    flags = ("--working", "10ms")

    def shown(self, gid):
        return self.server.get(f"/v1/transactions/{gid}").json

    def attempts(self, path):
        with self.part.lock:
            return [headers["Etx-Attempt"] for at, headers, _ in self.part.calls if at == path]

    def test_call_timeout(self):
        """It is made again although the first is not answered yet, long before the default."""
        go_on = threading.Event()
        self.addCleanup(go_on.set)

        def hang(headers, _body):
            if headers["Etx-Attempt"] == "1":
                go_on.wait(60)
            return 200, b""
        self.part.rules["/a/try"] = hang
        began = time.monotonic()
        self.submit({"gid": "slow", "wait": "ended", "branches": [self.part.tcc(
            call_timeout_ms=200, retry_first_ms=10)]})
        self.assertGreaterEqual(time.monotonic() - began, 0.2)
        self.assertFalse(go_on.is_set())
        self.assertEqual(self.attempts("/a/try"), ["1", "2"])

    def test_attempts_max(self):
        for most in (1, 3):
            path = f"x{most}"
            self.part.rules[f"/{path}/try"] = lambda headers, body: (500, b"")
            outcome = self.submit({"gid": path, "wait": "ended", "branches": [self.part.tcc(
                path, attempts_max=most, retry_first_ms=10, retry_cap_ms=20)]}).json
            self.assertEqual(outcome["state"], "ABORTED")
            self.assertEqual(self.attempts(f"/{path}/try"),
                             [str(number + 1) for number in range(most)])
            self.assertIn(f"/{path}/cancel", self.part.paths())

    def test_too_early(self):
        """425 is no failure, and is asked again when it says, however long the pause would be."""
        times = []

        def early(_headers, _body):
            times.append(time.monotonic())
            return (425, b"", {"Retry-After": "1"}) if len(times) == 1 else (200, b"")
        self.part.rules["/a/try"] = early
        self.submit({"gid": "early", "wait": "ended", "branches": [self.part.tcc()]})
        self.assertEqual(len(times), 2)
        self.assertGreaterEqual(times[1] - times[0], 0.99)
        branch = self.shown("early")["branches"][0]
        self.assertEqual((branch["failures"], branch["forward"]), (0, "done"))

    def test_xa_rolls_back(self):
        self.part.rules["/no/prepare"] = lambda headers, body: (409, b"")
        url = self.part.url
        outcome = self.submit({"wait": "ended", "branches": [
            {"kind": "xa", "url": f"{url}/base"},
            {"kind": "xa", "prepare": f"{url}/no/prepare", "commit": f"{url}/no/commit",
             "rollback": f"{url}/no/rollback"}]}).json
        self.assertEqual(outcome["state"], "ABORTED")
        paths = self.part.paths()
        self.assertIn("/base/rollback", paths)
        self.assertFalse({"/base/commit", "/no/commit"} & set(paths))

    def test_no_thread_for_a_call(self):
        def threads():
            return len(os.listdir(f"/proc/{self.server.process.pid}/task"))
        go_on = threading.Event()
        self.addCleanup(go_on.set)
        self.submit({"branches": [self.part.tcc()], "wait": "ended"})
        before = threads()
        self.part.rules["/slow/try"] = lambda headers, body: (go_on.wait(60), (200, b""))[1]
        for number in range(4):
            self.submit({"gid": f"g{number}", "wait": "begun", "branches": [
                self.part.tcc("slow")] * 50})
        self.eventually(lambda: self.part.paths().count("/slow/try") == 200)
        self.assertEqual(threads(), before)
        self.assertEqual(self.shown("g0")["state"], "ACTIVE")
        go_on.set()
        self.eventually(lambda: self.shown("g3")["state"] == "COMMITTED")


class Trust(Case):
    """What is shown to participants, and what is demanded of them."""

    def setUp(self):
        super().setUp()
        self.folder = self.server.folder

    def file(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o600)
        return path

    def test_tls(self):
        """A participant of an own authority, that demands a certificate in its turn."""
        certificate, key, _ = certify(self.folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(certificate)
        context.verify_mode = ssl.CERT_REQUIRED
        safe = Participant(context)
        self.addCleanup(safe.close)
        config = self.file("c.yaml", "node: a\n")
        server = Server("--config", config)
        self.addCleanup(server.close)
        self.expect(server.post("/v1/transactions", {"gid": "tls", "wait": "begun", "branches": [
            safe.tcc(retry_first_ms=10, retry_cap_ms=50)]}), 200)

        def reason():
            return server.get("/v1/transactions/tls").json["branches"][0]["reason"] or ""
        self.eventually(lambda: "certificate" in reason())
        untrusted = reason()
        self.file("c.yaml", f"node: a\ncall-ca: {certificate}\n")
        server.process.send_signal(signal.SIGHUP)
        self.eventually(lambda: reason() != untrusted)
        self.assertEqual(safe.paths(), [])
        self.file("c.yaml", f"node: a\ncall-ca: {certificate}\ncall-certificate: {certificate}\n"
                            f"call-key: {key}\n")
        server.process.send_signal(signal.SIGHUP)
        self.eventually(lambda: server.get("/v1/transactions/tls").json["state"] == "COMMITTED")
        self.assertEqual(safe.paths(), ["/a/try", "/a/confirm"])

    def test_signature(self):
        """What the document shows tells a participant that this server calls, and nobody else."""
        with open(DOCUMENT, encoding="utf-8") as file:
            shown = {}
            exec(re.search(r"```python\n(.*?)```", file.read(), re.DOTALL).group(1), shown)
        keys = {"new": b"0123456789abcdef", "newer": b"fedcba9876543210"}
        paths = {name: self.file(name, key.decode()) for name, key in keys.items()}

        def settings(name):
            return self.file("c.yaml", f"sign-key-id: {name}\nsign-key: 'file:{paths[name]}'\n")
        server = Server("--config", settings("new"))
        self.addCleanup(server.close)
        for name in keys:
            self.part.calls.clear()
            self.expect(server.post("/v1/transactions", {"gid": f"of-{name}", "wait": "ended",
                                    "branches": [self.part.tcc("a?b=c", payload={"n": 1})]}), 200)
            self.assertEqual(len(self.part.calls), 2)
            for path, headers, body in self.part.calls:
                headers = {key.lower(): value for key, value in headers.items()}
                good = ("POST", self.part.url + path, headers, body)
                self.assertTrue(shown["verify"]({name: keys[name]}, *good), headers)
                other = {**headers, "etx-gid": "other"}
                self.assertFalse(shown["verify"](keys, *good[:2], other, body))
                self.assertFalse(shown["verify"]({name: b"x" * 16}, *good))
                self.assertNotIn(keys[name].decode(), str(headers))
            settings("newer")
            server.process.send_signal(signal.SIGHUP)
            server.wait_log("taken up anew")


if __name__ == "__main__":
    etxd_common.main()
