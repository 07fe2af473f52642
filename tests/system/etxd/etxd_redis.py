#!/usr/bin/env python3
"""A server on a Redis log, confined: killed, cut off from its store, told what is wrong.

    etxd_redis.py ETXD ETX

Redis is found by the environment (scripts/with-redis --durable).
"""
import os
import subprocess

import etxd_common
from etxd_common import ETX, ETXD, Case, Server

SOCKET = os.environ["REDIS_SOCKET"]


def redis(*words):
    return subprocess.run(["redis-cli", "-s", SOCKET, *words], check=True, capture_output=True,
                          text=True, timeout=60).stdout.strip()


class Redis(Case):
    flags = ("--retry-first", "20", "--retry-cap", "200")

    def open(self):
        """A server whose password stands in a file."""
        secret = etxd_common.tempfile.mkdtemp(prefix="etx-etxd-")
        self.addCleanup(etxd_common.shutil.rmtree, secret)
        path = os.path.join(secret, "password")
        with open(path, "w", encoding="utf-8") as file:
            file.write("s3cret\n")
        os.chmod(path, 0o600)
        redis("ACL", "SETUSER", "etx", "on", ">s3cret", "~{etxd*", "+@all")
        prefix = "etxd" + os.path.basename(secret)[-8:]
        self.url = (f"redis://etx@/0?prefix={prefix}&partitions=2&socket={SOCKET}"
                    f"&password_file={path}&timeout_ms=2000")
        server = Server(*self.flags, homes=[self.url])
        self.addCleanup(server.close)
        return server

    def test_killed(self):
        self.server = self.open()
        self.part.rules["/x/try"] = lambda headers, body: (503, b"")
        self.submit({"gid": "x", "branches": [self.part.tcc("x")], "wait": "begun"})
        self.submit({"gid": "y", "branches": [self.part.tcc("y")], "wait": "ended"})
        self.server.kill()
        self.part.rules.clear()
        self.server.start()
        for gid in ("x", "y"):  # that y had ended may not have been written yet
            self.eventually(
                lambda gid=gid: self.server.get("/v1/transactions/" + gid).json["state"] ==
                "COMMITTED")
        self.looked_at_beside()
        self.assertIn('durability="local"', self.server.get("/metrics").text)
        self.assertEqual(self.server.end(), 0)

    def looked_at_beside(self):
        """The command reads the log of a server that runs, and does not take it away."""
        shown = subprocess.run([ETX, "tx", "show", "y", "--home", self.url], check=True,
                               capture_output=True, text=True, timeout=60).stdout
        self.assertIn("COMMITTED", shown)
        done = subprocess.run([ETX, "tx", "park", "y", "--home", self.url, "--why", "test"],
                              check=False, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("--server", done.stderr)
        self.submit({"gid": "z", "branches": [self.part.tcc("z")], "wait": "ended"})

    def test_sessions_lost(self):
        self.server = self.open()
        for gid in ("a", "b", "c"):
            redis("CLIENT", "KILL", "USER", "etx")
            self.submit({"gid": gid, "branches": [self.part.tcc(gid)], "wait": "ended"})
        self.assertEqual(self.server.end(), 0)

    def said(self, url, *more):
        result = subprocess.run([ETXD, "--listen", "127.0.0.1:0", "--home", url, *more],
                                check=False, capture_output=True, text=True, timeout=60)
        self.assertEqual(result.returncode == 0, "--print-config" in more)
        return result.stdout + result.stderr

    def test_what_is_wrong_is_said(self):
        for url, words in (("redis://h?password=s3cret", "password_file="),
                           ("rediss://u:s3cret@h/0?ca_file=/nowhere/ca.pem", "/nowhere/ca.pem"),
                           (f"redis://nobody:s3cret@/0?socket={SOCKET}", "check user and pass")):
            shown = self.said(url, "--print-config")
            self.assertIn("redis", shown)
            said = self.said(url)
            self.assertIn(words, said)
            self.assertNotIn("s3cret", shown + said)


if __name__ == "__main__":
    etxd_common.main()
