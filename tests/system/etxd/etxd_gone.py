#!/usr/bin/env python3
"""Nodes on one PostgreSQL log that do not answer any more, or only take no part.

    etxd_gone.py ETXD ETX

PostgreSQL is found by the environment (scripts/with-postgres --durable).
"""
import os
import signal
import subprocess

import etxd_common
from etxd_cluster import Nodes
from etxd_common import ETX


class Gone(Nodes):
    def test_who_waits_for_a_node_that_is_gone_is_told(self):
        """It hangs: its address takes the request; its lease is over long before the time that
        the request gives."""
        self.open_all(("a", "b"))
        gid = self.gid_of("a")
        self.nodes["a"].process.send_signal(signal.SIGSTOP)
        self.addCleanup(self.nodes["a"].process.send_signal, signal.SIGCONT)
        body = {"gid": gid, "branches": [self.part.tcc("x")], "wait": "ended", "wait_ms": 120000}
        answer = self.nodes["b"].post("/v1/transactions", body, timeout=60)
        self.expect(answer, 503, "unknown")
        self.assertIn("node a", answer.json["detail"])
        self.eventually(lambda: self.nodes["b"].post("/v1/transactions", body).status == 200, 60)

    def etx(self, *args):
        return subprocess.run([ETX, "cluster", *args], check=True, capture_output=True, text=True,
                              timeout=60).stdout

    def test_a_home_that_a_node_had_before(self):
        """Its directory is not there when it comes again: it starts on a new one, and says so."""
        folder = self.folder()
        lost = self.open("a", homes=[f"file:{folder}/lost"])
        home = lost.get("/v1/cluster").json["homes"][1]["id"]
        self.eventually(lambda: home in
                        str(lost.get("/v1/cluster").json["homes"][0]["nodes"]))
        lost.kill()
        again = self.open("a", homes=[f"file:{folder}/new"])
        self.eventually(lambda: f"home {home} was node a's own" in again.log())
        found = subprocess.run([ETX, "doctor", "--room", "0", "--server", f"http://{again.listen}"],
                               check=False, capture_output=True, text=True, timeout=60)
        self.assertEqual((found.returncode, "home-missed" in found.stdout), (1, True), found)

    def test_a_drained_node_can_be_asked(self):
        """Others cannot tell it from one that is gone, and say what to do in either case."""
        own = "file:" + os.path.join(self.folder(), "own")
        self.nodes = {"a": self.open("a", homes=[own]), "b": self.open("b")}
        self.shared_by(("a", "b"))
        drained, other = self.nodes["a"], f"http://{self.nodes['b'].listen}"
        home = drained.get("/v1/cluster").json["homes"][1]["id"]
        gid = drained.post("/v1/transactions", {
            "gid": f"@{home}:x", "branches": [self.part.tcc("x")], "wait": "ended"}).json["gid"]
        path = f"/v1/transactions/{gid}"
        self.eventually(lambda: self.nodes["b"].get(path).status == 200)
        self.etx("drain", "a", "--server", f"http://{drained.listen}")
        self.eventually(lambda: self.nodes["b"].get(path).status == 421)
        said = self.nodes["b"].get(path).json["detail"]
        self.assertIn(f"if it was only drained, ask it at http://{drained.listen} itself", said)
        self.assertIn("unless it was only drained", self.etx("status", "--server", other))
        self.expect(drained.get(path), 200)


if __name__ == "__main__":
    etxd_common.main()
