#!/usr/bin/env python3
"""Streams of events."""
import http.client
import json

import etxd_common
from etxd_common import Case, Server


class Stream:
    """A stream of server-sent events."""

    def __init__(self, server, path="/v1/events", last=None, token=None):
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        headers = {"Last-Event-ID": last, "Authorization": token and "Bearer " + token}
        self.connection.request("GET", path, headers={k: v for k, v in headers.items() if v})
        self.response = self.connection.getresponse()
        self.status = self.response.status

    def next(self):
        """The next event: a dict of its fields, with data decoded; None at the end."""
        event = {}
        while True:
            line = self.response.readline().decode()
            if not line:
                return None
            line = line.rstrip("\n")
            if line == "" and event:
                event["data"] = json.loads(event["data"])
                return event
            if line and not line.startswith(":"):
                name, value = line.split(": ", 1)
                event[name] = value

    def until(self, kind, gid=None):
        while True:
            event = self.next()
            if event is None or (event["event"] == kind and gid in (None, event["data"]["gid"])):
                return event

    def close(self):
        self.connection.close()


class Events(Case):
    def stream(self, *args, **more):
        stream = Stream(self.server, *args, **more)
        self.addCleanup(stream.close)
        self.assertEqual(stream.status, 200)
        return stream

    def submit_one(self, gid):
        self.submit({"gid": gid, "branches": [self.part.tcc()], "wait": "ended"})

    def test_story_of_a_transaction(self):
        stream = self.stream()
        self.assertTrue(stream.response.headers["Content-Type"].startswith("text/event-stream"))
        self.submit_one("one")
        seen = [stream.until(kind, "one") for kind in ("begun", "decided", "ended")]
        self.assertEqual(seen[2]["data"]["state"], "COMMITTED")
        self.assertEqual(seen[0]["data"]["durability"], "local")

    def test_resume(self):
        stream = self.stream()
        self.submit_one("one")
        last = stream.until("ended", "one")["id"]
        stream.close()
        self.submit_one("two")
        again = self.stream(last=last)
        event = again.next()
        self.assertEqual((event["event"], event["data"]["gid"]), ("begun", "two"))

    def test_of_one_transaction(self):
        stream = self.stream("/v1/transactions/two/events")
        self.submit_one("one")
        self.submit_one("two")
        self.assertEqual(stream.next()["data"]["gid"], "two")

    def test_of_one_transaction_resumed(self):
        path = "/v1/transactions/two/events"
        stream = self.stream(path)
        self.submit({"gid": "two", "mode": "interactive"})
        last = stream.until("begun")["id"]
        stream.close()
        said = {"who": "ann", "why": "test"}
        self.expect(self.server.post("/v1/transactions/two/park", said), 200)
        self.submit_one("one")
        again = self.stream(path, last=last)
        self.expect(self.server.post("/v1/transactions/two/resume", said), 200)
        self.expect(self.server.post("/v1/transactions/two/abort"), 200)
        told = [again.next()]
        while told[-1]["event"] != "ended":
            told.append(again.next())
        self.assertEqual(told[0]["event"], "parked")
        self.assertEqual({event["data"]["gid"] for event in told}, {"two"})

    def test_an_id_of_another_process(self):
        self.submit_one("one")
        stream = self.stream(last="abc-7")
        self.assertEqual(stream.next()["event"], "lost")
        self.assertEqual(stream.until("begun")["data"]["gid"], "one")
        boot = stream.next()["id"].split("-")[0]
        for bad in ("x", "abc", "9" * 80, boot + "-", boot + "--1", boot + "-+1", boot + "-01",
                    boot + "- 1", boot + "-1x", boot.upper() + "-1", "0" + boot + "-1",
                    boot + "-" + "9" * 30):
            self.expect(self.server.get("/v1/events", headers={"Last-Event-ID": bad}), 400,
                        "bad-query")

    def test_the_ring_is_bounded(self):
        server = Server("--events", "16")
        self.addCleanup(server.close)
        for number in range(20):
            server.post("/v1/transactions", {"gid": f"g{number}", "branches": [self.part.saga()],
                                             "wait": "ended"})
        stream = Stream(server, last="abc-1")
        self.addCleanup(stream.close)
        self.assertEqual(stream.next()["event"], "lost")
        self.assertNotEqual(stream.until("begun")["data"]["gid"], "g0")

    def test_streams_are_bounded_and_end(self):
        server = Server("--streams", "2")
        self.addCleanup(server.close)
        streams = [Stream(server), Stream(server)]
        self.addCleanup(streams[1].close)
        third = server.get("/v1/events")
        self.expect(third, 429, "streams")
        streams[0].close()

        def one_more():
            stream = Stream(server)
            self.addCleanup(stream.close)
            return stream.status == 200
        self.eventually(one_more)
        server.process.terminate()
        self.assertIsNone(streams[1].next())
        self.assertEqual(server.process.wait(20), 0)

    def test_alarms_are_told_and_logged(self):
        stream = self.stream()
        self.part.rules["/a/confirm"] = lambda headers, body: (409, b"")
        self.submit({"gid": "bad", "branches": [self.part.tcc()]})
        event = stream.until("finish-refused")
        self.assertEqual((event["data"]["alarm"], event["data"]["branch"],
                          event["data"]["operation"]), (True, "0", "confirm"))
        self.assertIn('"event":"finish-refused"', self.server.log())


if __name__ == "__main__":
    etxd_common.main()
