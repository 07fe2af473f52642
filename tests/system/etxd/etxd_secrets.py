#!/usr/bin/env python3
"""Secrets stay secret: headers of branches, headers of calls, keys; in no answer, line or event."""
import base64
import json
import os
import subprocess

import etxd_common
from etxd_common import ETX, ETXD, Case

SECRET = "s3cret-of-a-branch"
OWN = "s3cret-of-the-server"


class Secrets(Case):
    def setUp(self):
        self.folder = etxd_common.tempfile.mkdtemp(prefix="etx-etxd-")
        self.addCleanup(etxd_common.shutil.rmtree, self.folder)
        self.file = os.path.join(self.folder, "header")
        with open(self.file, "w", encoding="utf-8") as file:
            file.write(OWN + "\n")
        self.flags = ("--log-level", "debug", "--call-header", "X-Plain: " + OWN,
                      "--call-header", f"X-Key: file:{self.file}")
        super().setUp()

    def run_etx(self, *args):
        return subprocess.run([ETX, *args], capture_output=True, text=True, timeout=60,
                              check=True).stdout

    def submit_one(self, gid, **more):
        branch = {**self.part.tcc(payload={"visible": 1}),
                  "headers": {"Authorization": "Bearer " + SECRET}}
        return self.submit({"gid": gid, "branches": [branch], **more})

    def test_participants_get_them(self):
        self.submit_one("one", wait="ended")
        with self.part.lock:
            for _, headers, _ in self.part.calls:
                self.assertEqual(headers["Authorization"], "Bearer " + SECRET)
                self.assertEqual((headers["X-Plain"], headers["X-Key"]), (OWN, OWN))

    def test_a_branch_cannot_say_them_otherwise(self):
        headers = {"x-key": "user", "X-PLAIN": "user", "X-Key-2": "user"}
        self.submit({"branches": [self.part.tcc(headers=headers)], "wait": "ended"})
        with self.part.lock:
            for _, headers, _ in self.part.calls:
                got = sorted((name.lower(), value) for name, value in headers.items()
                             if name.lower().startswith("x-"))
                self.assertEqual(got, [("x-key", OWN), ("x-key-2", "user"), ("x-plain", OWN)])

    def test_the_server_shows_none(self):
        self.part.rules["/a/try"] = lambda headers, body: (503, b"no")
        self.submit_one("one", wait="begun")
        connection = etxd_common.http.client.HTTPConnection("127.0.0.1", self.server.port)
        self.addCleanup(connection.close)
        connection.request("GET", "/v1/events", headers={"Last-Event-ID": "abc-1"})
        stream = connection.getresponse()
        self.eventually(lambda: len(self.part.paths()) > 1)
        seen = stream.readline().decode()
        while "call-unknown" not in seen:
            seen += stream.readline().decode()
        for path in ("/v1/transactions/one", "/v1/transactions", "/metrics"):
            seen += self.server.get(path).text
        self.assertEqual(self.server.get("/v1/transactions/one").json["branches"][0]["headers"],
                         {"Authorization": "***"})
        self.server.process.terminate()
        self.assertEqual(self.server.process.wait(30), 0)
        seen += self.server.log()
        self.assertIn("visible", seen)
        self.assertNotIn(SECRET, seen)
        self.assertNotIn(OWN, seen)

    @etxd_common.unittest.skipUnless(ETX, "the command etx was not built")
    def test_the_command_shows_none(self):
        self.part.rules["/a/try"] = lambda headers, body: (503, b"no")
        self.submit_one("one", wait="begun")
        self.submit({"gid": "two", "mode": "interactive", "branches": [
            {**self.part.tcc(name="it"), "headers": {"X-Api-Key": SECRET}}]})
        self.assertEqual(self.server.end(), 0)
        log = os.path.join(self.server.folder, "home")
        with open(os.path.join(log, self.segment(log)), "rb") as file:
            self.assertIn(SECRET.encode(), file.read(), "the log has what calls need")
        text = self.run_etx("log", "show", log)
        self.assertIn(f"try {self.part.url}/a/try", text)
        self.assertIn("Authorization: ***", text)
        self.assertIn("X-Api-Key: ***", text)
        rows = self.run_etx("log", "show", log, "--json")
        payloads = self.payloads(rows)
        self.assertEqual(len(payloads), 2)
        self.assertIn(b"Authorization: ***", b"".join(payloads))
        self.assertIn(b"X-Api-Key: ***", b"".join(payloads))
        self.assertNotIn(SECRET.encode(), b"".join(payloads))
        shown = self.run_etx("tx", "show", "one", "--home", "file:" + log, "--json")
        self.assertIn(b"Authorization: ***".hex(), shown)
        for output in (text, rows, shown):
            self.assertNotIn(SECRET, output)
            self.assertNotIn(SECRET.encode().hex(), output)

    @staticmethod
    def payloads(rows):
        found = []
        for row in rows.splitlines():
            record = json.loads(row)
            for branch in record.get("branches", []) + [record.get("branch", {})]:
                if "payload_base64" in branch:
                    found.append(base64.b64decode(branch["payload_base64"]))
        return found

    @staticmethod
    def segment(log):
        """The segment that has something in it."""
        names = []
        for name in os.listdir(log):
            path = os.path.join(log, name)
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    names += [name] if b"/a/try" in file.read() else []
        return names[0]

    def test_settings(self):
        printed = subprocess.run([ETXD, *self.flags, "--print-config"], capture_output=True,
                                 text=True, timeout=30, check=True).stdout
        self.assertIn(f"call-header: ['X-Plain: ***', 'X-Key: file:{self.file}']", printed)
        self.assertNotIn(OWN, printed)
        for bad in ("X-Plain", ": " + OWN, "X-Plain:", "X-Key: file:/nowhere/at-all",
                    "Bad Name: " + OWN, "Host: " + OWN):
            result = subprocess.run([ETXD, "--home", "file:" + os.path.join(self.folder, "h"),
                                     "--listen", "127.0.0.1:0", "--call-header", bad],
                                    capture_output=True, text=True, timeout=30, check=False)
            self.assertIn(result.returncode, (1, 2), bad)
            self.assertNotIn(OWN, result.stderr + result.stdout)

    def test_reload(self):
        with open(self.file, "w", encoding="utf-8") as file:
            file.write("another")
        self.server.process.send_signal(etxd_common.signal.SIGHUP)
        self.server.wait_log("taken up anew")
        self.submit_one("one", wait="ended")
        with self.part.lock:
            self.assertEqual(self.part.calls[0][1]["X-Key"], "another")
        self.assertNotIn("another", self.server.log().replace("taken up anew", ""))


if __name__ == "__main__":
    etxd_common.main()
