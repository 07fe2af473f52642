#!/usr/bin/env python3
"""A server whose PostgreSQL log has no space left, beside a home of its own.

    etxd_full.py ETXD ETX

PostgreSQL is found by the environment (scripts/with-postgres --durable). The log's tables are on a
small file system, which needs root.
"""
import json
import os
import re
import subprocess
import tempfile

import etxd_common
from etxd_common import ETX, Case, Server

SIZE_MB = 6


def psql(sql):
    return subprocess.run(["psql", "-Xqtc", sql], check=True, capture_output=True, text=True,
                          timeout=60).stdout.strip()


class Full(Case):
    flags = ("--retry-first", "20", "--retry-cap", "200", "--hold-down", "100")

    def small_disk(self):
        """Where new tables of PostgreSQL go from now on."""
        folder = tempfile.mkdtemp(prefix="etx-full-", dir="/tmp")
        self.addCleanup(os.rmdir, folder)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=755", "none",
                           folder], check=False, capture_output=True).returncode != 0:
            self.skipTest("a small file system needs root")
        self.addCleanup(subprocess.run, ["umount", "-l", folder], check=False)
        tables = os.path.join(folder, "tables")
        os.mkdir(tables, 0o700)
        data = os.stat(os.path.join(os.environ["PGHOST"], "data"))
        os.chown(tables, data.st_uid, data.st_gid)
        psql(f"CREATE TABLESPACE small LOCATION '{tables}'")
        psql("ALTER DATABASE postgres SET default_tablespace = small")
        return folder

    def fill(self, folder):
        with open(os.path.join(folder, "filler"), "wb", buffering=0) as file:
            for size in (1 << 16, 1 << 12):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    pass

    def metric(self, name):
        found = re.search("^" + re.escape(name) + " ([0-9]+)$", self.server.get("/metrics").text,
                          re.M)
        return int(found.group(1)) if found else 0

    def told(self, event):
        return self.metric(f'etx_events_total{{type="{event}"}}')

    def etx(self, *args, code=0):
        """Runs the command, and insists on its exit code."""
        result = subprocess.run([ETX, *args, "--server", f"http://127.0.0.1:{self.server.port}"],
                                check=False, capture_output=True, text=True, timeout=60)
        self.assertEqual(result.returncode, code, result)
        return result.stdout + result.stderr

    def begin_one(self):
        """Begins one that is not small, and ends it; which home has it. None refuses it, as its gid
        was told to nobody. One that was begun just before there was no space for its decision
        waits, and its caller is told that it is unknown: that ends once there is room."""
        answer = self.server.post("/v1/transactions", {
            "branches": [self.part.tcc("y", payload={"x": "z" * 900})], "wait": "ended"})
        if answer.status == 503:
            self.expect(answer, 503, "unknown")
            self.waiting.append(answer.json["gid"])
            return None
        gid = self.expect(answer, 200).json["gid"]
        return [home["id"] for home in self.homes() if home["id"] in gid][0]

    def homes(self):
        return self.server.get("/v1/cluster").json["homes"]

    def test_full(self):
        """It is told once, and the log is not well again before there is room."""
        folder = self.small_disk()
        self.server.close()
        own = tempfile.mkdtemp(prefix="etx-etxd-")
        self.addCleanup(etxd_common.shutil.rmtree, own)
        self.server = Server(*self.flags, homes=["postgresql://?schema=full&partitions=2",
                                                 f"file:{own}/log?segment=1M"])
        self.addCleanup(self.server.close)
        self.waiting = []
        shared, local = (home["id"] for home in self.homes())
        self.assertEqual(self.begin_one(), shared)
        self.part.rules["/x/try"] = lambda headers, body: (425, b"")  # no fault: others are called
        open_one = self.submit({"branches": [self.part.tcc("x")], "wait": "begun"}).json["gid"]
        self.assertIn(shared, open_one)
        self.before = {event: self.told(event)
                       for event in ("log-full", "log-room", "home-down", "home-up")}
        self.fill(folder)
        self.eventually(lambda: self.begin_one() == local, 60)
        self.is_full(local)
        self.part.rules.clear()  # what is open there is not forgotten
        self.expect(self.server.get(f"/v1/transactions/{open_one}"), 200)
        os.unlink(os.path.join(folder, "filler"))
        self.eventually(lambda: self.begin_one() == shared)
        self.assertLessEqual(len(self.waiting), 2)  # one for each partition that was not full yet
        for gid in (open_one, *self.waiting):
            self.assertIn(shared, gid)
            self.eventually(lambda gid=gid: self.server.get(f"/v1/transactions/{gid}").json["state"]
                            == "COMMITTED")
        self.assertEqual((self.told("log-full"), self.told("log-room")), (1, 1))
        self.assertNotIn("log-full", self.etx("doctor", "--room", "0", code=0))
        self.assertEqual(self.server.end(), 0)

    def is_full(self, local):
        """What is told while puts are tried and refused: all that they are, and no more."""
        failed = self.metric("etx_put_failures_total")
        self.eventually(lambda: self.metric("etx_put_failures_total") >= failed + 8)
        self.assertEqual(self.begin_one(), local)
        counts = {event: self.told(event) for event in self.before}
        self.assertEqual(counts, {"log-full": 1, "log-room": 0, "home-down": 1,
                                  "home-up": self.before["home-up"]})
        said = [json.loads(line) for line in self.server.log().splitlines() if "log-full" in line]
        self.assertEqual(len(said), 1)
        self.assertIn("free space there", said[0]["why"])
        self.assertNotIn("partition", said[0])
        down = self.homes()[0]
        self.assertEqual((down["usable"], down["id"]), (False, said[0]["home"]))
        self.assertIn("the disk of the server is full: free space there", down["why"])
        self.assertIn("the disk of the server is full", self.etx("homes"))
        self.assertIn("log-full", self.etx("doctor", "--room", "0", code=1))


if __name__ == "__main__":
    etxd_common.main()
