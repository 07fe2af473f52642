#!/usr/bin/env python3
"""Orders for many transactions: few at once, in nobody's way, for no longer than somebody waits."""
import http.client
import re
import socket
import threading

import etxd_common
from etxd_common import Case

COUNT = 20


class Bulk(Case):
    flags = ("--workers", "1", "--drain", "20s")

    def setUp(self):
        super().setUp()
        self.part.rules["/a/try"] = lambda headers, body: (202, b"")
        self.orders = 0

    def begin(self, prefix, count):
        for number in range(count):
            self.submit({"gid": f"{prefix}{number}", "branches": [self.part.tcc()],
                         "wait": "begun"})

    def order(self, *fields):
        """A connection on which an order is under way that takes COUNT seconds."""
        prefix = f"order{self.orders}-"
        self.orders += 1
        self.begin(prefix, COUNT)
        body = etxd_common.json.dumps({"filter": {"gid_prefix": prefix}, "per_second": 1,
                                       "who": "a", "why": "b"})
        sock = socket.create_connection(("127.0.0.1", self.server.port), timeout=60)
        self.addCleanup(sock.close)
        sock.sendall("\r\n".join(("POST /v1/transactions/park HTTP/1.1", "Host: localhost",
                                  "Content-Type: application/json", *fields,
                                  f"Content-Length: {len(body)}", "", body)).encode())
        self.eventually(lambda: self.server.get(
            f"/v1/transactions?parked=true&gid_prefix={prefix}").json["transactions"])
        return sock

    def answer(self, sock):
        response = http.client.HTTPResponse(sock)
        response.begin()
        return etxd_common.Answer(response, response.read())

    def is_full(self):
        """Asks for an order that is quickly done: is it refused?"""
        answer = self.server.post("/v1/transactions/retry", {"filter": {"state": "COMMITTED"}})
        if answer.status == 200:
            self.assertEqual(answer.json, {"count": 0})
            return False
        self.expect(answer, 503, "busy")
        self.assertEqual(answer.headers["Retry-After"], "1")
        self.assertIn("2 orders", answer.json["detail"])
        return True

    def test_others_go_on(self):
        self.begin("t", 1)
        self.order(), self.order()
        self.assertTrue(self.is_full())
        self.expect(self.server.get("/v1/transactions?limit=1"), 200)
        self.expect(self.server.get("/v1/transactions/t0"), 200)
        self.expect(self.server.post("/v1/transactions/t0/park", {"who": "a", "why": "b"}), 200)
        self.assertTrue(self.is_full())  # they were still under way

    def test_whose_client_has_gone(self):
        for fields in ((), ("Connection: close",)):
            socks = [self.order(*fields), self.order(*fields)]
            self.assertTrue(self.is_full())
            for sock in socks:
                sock.close()
            self.eventually(lambda: not self.is_full(), 10)
        self.server.wait_log("an order for many has ended early")
        self.assertIn("its client has gone", self.server.log())

    def test_the_server_ends(self):
        socks = [self.order(), self.order()]
        answers = []
        threads = [threading.Thread(target=lambda sock=sock: answers.append(self.answer(sock)))
                   for sock in socks]
        for thread in threads:
            thread.start()
        self.assertEqual(self.server.end(), 0)
        for thread in threads:
            thread.join()
        self.assertEqual(len(answers), 2)
        for answer in answers:
            self.expect(answer, 503, "closing")
            done = re.search(r"done to (\d+) transactions", answer.json["detail"])
            self.assertIn(int(done.group(1)), range(COUNT))

    def test_what_is_done(self):
        self.begin("t", 20)
        body = {"filter": {"gid_prefix": "t1"}, "per_second": 1000, "who": "a", "why": "b"}
        for what in ("park", "resume", "retry"):
            answer = self.expect(self.server.post("/v1/transactions/" + what, body), 200)
            self.assertEqual(answer.json, {"count": 11})
            parked = self.server.get("/v1/transactions?parked=true").json["transactions"]
            self.assertEqual(len(parked), 11 if what == "park" else 0)


class Order(Case):
    flags = ("--workers", "8")

    def test_on_one_connection(self):
        """What a client sends behind a request that is not safe does not overtake it."""
        def head(what):
            body = b'{"who":"a","why":"b"}'
            return (b"POST /v1/transactions/t/" + what + b" HTTP/1.1\r\nHost: localhost\r\n"
                    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) +
                    body)
        story = b"GET /v1/transactions/t HTTP/1.1\r\nHost: localhost\r\n\r\n"
        last = story.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        self.submit({"gid": "t", "mode": "interactive"})
        for _ in range(40):
            text = self.server.raw((head(b"park") + story + head(b"resume") + story) * 2 + last, 20)
            self.assertEqual(re.findall(rb"HTTP/1.1 (\d+)", text), [b"200"] * 9, text)
            marks = re.findall(rb'"marks":(\[[^]]*\])', text)
            self.assertEqual([b"parked" in each for each in marks],
                             [True, False, True, False, False], text)


if __name__ == "__main__":
    etxd_common.main()
