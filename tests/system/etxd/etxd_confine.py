#!/usr/bin/env python3
"""Confinement of a running server: it serves, says what is in force, and cannot do more."""
import os
import subprocess

import etxd_common
from etxd_common import ETXD, Case, Server


class Confined(Case):
    flags = ("--confine", "auto")

    def say(self, server):
        return server.wait_log("confinement")

    def test_what_is_in_force_is_said_and_true(self):
        line = self.say(self.server)
        tasks = f"/proc/{self.server.process.pid}/task"
        for task in os.listdir(tasks):
            with open(f"{tasks}/{task}/status", encoding="utf-8") as file:
                status = dict(row.split(":\t", 1) for row in file.read().splitlines()
                              if ":\t" in row)
            self.assertEqual(status["Seccomp"] == "2", line["calls"] == "confined", line)
            self.assertEqual(status["NoNewPrivs"], "1")
        if line["files"] != "confined":
            self.skipTest("no Landlock here: " + line["files"])
        self.assertGreater(line["landlock"], 0)

    def test_it_serves(self):
        self.submit({"branches": [self.part.tcc(), self.part.saga()], "wait": "ended"})
        self.part.rules["/x/try"] = lambda headers, body: (503, b"")
        self.submit({"gid": "x", "branches": [self.part.tcc("x")], "wait": "begun"})
        self.server.kill()
        self.part.rules.clear()
        self.server.start()
        self.eventually(lambda: self.server.get("/v1/transactions/x").json["state"] == "COMMITTED")
        self.assertEqual(self.server.end(), 0)

    def test_off(self):
        server = Server("--confine", "off")
        self.addCleanup(server.close)
        self.assertEqual(self.say(server)["files"], "off")
        with open(f"/proc/{server.process.pid}/status", encoding="utf-8") as file:
            self.assertIn("Seccomp:\t0\n", file.read())

    def test_required(self):
        line = self.say(self.server)
        whole = line["files"] == line["calls"] == "confined"
        result = subprocess.run([ETXD, "--listen", "127.0.0.1:0", "--home",
                                 f"file:{self.server.folder}/home", "--confine", "nonsense"],
                                capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual(result.returncode, 2)
        if not whole:
            self.skipTest("not all of it is here: nothing to require")
        server = Server("--confine", "required")
        self.addCleanup(server.close)
        self.assertEqual(server.get("/readyz").status, 200)

    def test_what_it_cannot_read_is_not_taken_up(self):
        """A reload cannot reach beyond what was allowed at the start."""
        if self.say(self.server)["files"] != "confined":
            self.skipTest("no Landlock here")
        inside, outside = (etxd_common.tempfile.mkdtemp(prefix="etx-etxd-") for _ in range(2))
        for folder in (inside, outside):
            self.addCleanup(etxd_common.shutil.rmtree, folder)
            with open(os.path.join(folder, "key"), "w", encoding="utf-8") as file:
                file.write("s3cret")
        config = os.path.join(inside, "etxd.yaml")

        def write(folder):
            with open(config, "w", encoding="utf-8") as file:
                file.write(f"confine: auto\ncall-header: ['X-Key: file:{folder}/key']\n")

        write(inside)
        server = Server("--config", config)
        self.addCleanup(server.close)
        write(outside)
        server.process.send_signal(etxd_common.signal.SIGHUP)
        line = server.wait_log("nothing was taken up anew")
        self.assertIn("Permission denied", line["why"])
        write(inside)
        server.process.send_signal(etxd_common.signal.SIGHUP)
        server.wait_log("taken up anew")


if __name__ == "__main__":
    etxd_common.main()
