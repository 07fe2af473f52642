#!/usr/bin/env python3
"""SIGHUP: limits and the log's level are taken up anew, and no transaction is lost meanwhile."""
import json
import os
import signal
import threading

import etxd_common
from etxd_common import Case, Server
from etxd_events import Stream


class Reload(Case):
    def setUp(self):
        super().setUp()
        self.config = os.path.join(self.server.folder, "c.yaml")

    def write(self, **settings):
        with open(self.config, "w", encoding="utf-8") as file:
            file.writelines(f"{name.replace('_', '-')}: {value}\n"
                            for name, value in settings.items())

    def open(self, **settings):
        self.write(**settings)
        server = Server("--config", self.config)
        self.addCleanup(server.close)
        return server

    def reload(self, server, **settings):
        self.write(**settings)
        self.hang_up(server)

    def hang_up(self, server):
        """SIGHUP, and until it has been obeyed."""
        count = server.log().count('"taken up anew"')
        server.process.send_signal(signal.SIGHUP)
        self.eventually(lambda: server.log().count('"taken up anew"') > count)

    def test_log_level(self):
        server = self.open(log_level="info")

        def levels(word):
            """Of the lines about a transaction whose first call fails."""
            self.part.rules["/a/try"] = lambda headers, body: (
                (503, b"") if headers["Etx-Attempt"] == "1" else (200, b""))
            before = len(server.log())
            self.expect(server.post("/v1/transactions", {"gid": word, "wait": "ended", "branches": [
                self.part.tcc(retry_first_ms=10)]}), 200)
            return {json.loads(line)["level"] for line in server.log()[before:].splitlines()}
        self.assertEqual(levels("one"), {"info"})
        self.reload(server, log_level="debug")
        self.assertEqual(levels("two"), {"debug", "info"})
        self.write(log_level="error")
        server.process.send_signal(signal.SIGHUP)
        self.eventually(lambda: (server.get("/healthz"), levels(f"n{len(self.part.calls)}"))[1]
                        == set())
        self.reload(server, log_level="info")
        self.assertEqual(levels("three"), {"info"})

    def test_rate(self):
        server = self.open()

        def some_are_refused():
            return 429 in {server.get("/v1/version").status for _ in range(20)}
        self.assertFalse(some_are_refused())
        self.reload(server, rate=1)
        self.eventually(some_are_refused)
        self.reload(server, rate=0)
        self.assertFalse(some_are_refused())

    def test_depth(self):
        server = self.open()

        def code(depth):
            body = '{"branches":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"
            return self.expect(server.post("/v1/transactions", body), 400).json["code"]
        self.assertEqual([code(32), code(33)], ["wrong-type", "too-deep"])
        for depth in (40, 8):
            self.reload(server, depth=depth)
            self.assertEqual([code(depth), code(depth + 1)], ["wrong-type", "too-deep"])

    def test_streams(self):
        server = self.open(streams=1)

        def status():
            stream = Stream(server)
            self.addCleanup(stream.close)
            return stream.status
        self.assertEqual([status(), status()], [200, 429])
        self.reload(server, streams=2)
        self.assertEqual([status(), status()], [200, 429])
        self.reload(server, streams=1)
        self.assertEqual(status(), 429)
        self.assertEqual(json.loads(server.log().splitlines()[-1])["status"], 429)

    def test_none_is_lost_under_load(self):
        """Transactions run while what they need is taken up anew, again and again."""
        server = self.open(access_log="off")
        states, reloads = [], []

        def load(name):
            number = 0
            while len(reloads) < 20 or number < 50:
                gid = f"{name}-{number}"
                number += 1
                answer = server.post("/v1/transactions", {"gid": gid, "wait": "ended", "branches": [
                    self.part.tcc("a"), self.part.saga("b")]})
                states.append((gid, answer.json.get("state"), answer.status))
        threads = [threading.Thread(target=load, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            # what callers of participants, the wire and the entrance have of the settings
            self.reload(server, access_log="off",
                        call_header=f"['X-Number: {len(reloads)}']",
                        target_in_flight=4 + len(reloads) % 3, depth=20 + len(reloads) % 3,
                        submits=100 + len(reloads) % 3)
            reloads.append(1)
        self.assertGreaterEqual(len(states), 200)
        self.assertEqual({(state, status) for _, state, status in states}, {("COMMITTED", 200)})
        ended = set()
        cursor = ""
        while cursor is not None:
            page = server.get(f"/v1/transactions?state=COMMITTED&limit=500{cursor}").json
            ended |= {one["gid"] for one in page["transactions"]}
            cursor = page["cursor"] and "&cursor=" + page["cursor"]
        self.assertEqual(ended, {gid for gid, _, _ in states})
        with self.part.lock:
            calls = [(headers["Etx-Gid"], path) for path, headers, _ in self.part.calls]
            numbers = {headers["X-Number"] for _, headers, _ in self.part.calls
                       if "X-Number" in headers}
        self.assertEqual(set(calls), {(gid, path) for gid in ended
                                      for path in ("/a/try", "/a/confirm", "/b/action")})
        self.assertEqual(len(calls), len(set(calls)))  # nor was one made again
        self.assertGreater(len(numbers), 5)


if __name__ == "__main__":
    etxd_common.main()
