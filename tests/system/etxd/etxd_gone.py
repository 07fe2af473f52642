#!/usr/bin/env python3
"""Nodes on one PostgreSQL log that do not answer any more, or only take no part.

    etxd_gone.py ETXD ETX

PostgreSQL is found by the environment (scripts/with-postgres --durable).
"""
import signal

import etxd_common
from etxd_cluster import Nodes


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


if __name__ == "__main__":
    etxd_common.main()
