#!/usr/bin/env python3
"""Transactions over HTTP: every mode and kind, every route, what participants are told."""
import base64
import http.server
import json
import re
import resource
import threading
import time

import etxd_common
from etxd_common import Case


class Submitted(Case):
    def test_tcc_commits(self):
        answer = self.submit({"branches": [self.part.tcc("a", payload={"n": 1}),
                                           self.part.tcc("b")], "wait": "ended"})
        body = answer.json
        self.assertEqual(body["state"], "COMMITTED")
        self.assertEqual(body["durability"], "local")
        self.assertTrue(body["gid"])
        self.assertEqual(sorted(self.part.paths()),
                         ["/a/confirm", "/a/try", "/b/confirm", "/b/try"])

    def test_refused_aborts(self):
        self.part.rules["/b/try"] = lambda headers, body: (409, b"no stock")
        answer = self.submit({"branches": [self.part.tcc("a"), self.part.tcc("b")],
                              "wait": "ended"})
        self.assertEqual(answer.json["state"], "ABORTED")
        self.assertNotEqual(answer.json["reason"], "")
        self.assertIn("/a/cancel", self.part.paths())

    def test_saga_in_order_and_back(self):
        self.part.rules["/s2/action"] = lambda headers, body: (409, b"")
        answer = self.submit({"branches": [self.part.saga("s1"), self.part.saga("s2"),
                                           self.part.saga("s3")], "wait": "ended"})
        self.assertEqual(answer.json["state"], "ABORTED")
        paths = self.part.paths()
        self.assertEqual(paths[:2], ["/s1/action", "/s2/action"])
        self.assertEqual(paths[-1], "/s1/compensate")
        self.assertNotIn("/s3/action", paths)

    def test_other_kinds(self):
        url = self.part.url
        answer = self.submit({"branches": [
            {"kind": "xa", "url": f"{url}/x"},
            {"kind": "message", "deliver": f"{url}/m"},
            {"kind": "notification", "notify": f"{url}/n", "attempts_max": 1}], "wait": "ended"})
        self.assertEqual(answer.json["state"], "COMMITTED")
        self.assertEqual(sorted(self.part.paths()), ["/m", "/n", "/x/commit", "/x/prepare"])

    def test_the_query_of_a_base_stays_one(self):
        url = self.part.url
        for base in ("/b?x=1", "/b/?x=1", "?x=a/b?c"):
            self.submit({"branches": [{"kind": "tcc", "url": url + base}], "wait": "ended"})
        self.assertEqual(self.part.paths(), [
            "/b/try?x=1", "/b/confirm?x=1", "/b/try?x=1", "/b/confirm?x=1",
            "/try?x=a/b?c", "/confirm?x=a/b?c"])

    def test_payload_byte_for_byte(self):
        raw = '{"a" : 1.50, "u":"\\u00e4\\/",\n\t"e":[ ] ,"big":1E3}'
        body = ('{"branches":[{"kind":"saga","name":"payload","action":"%s/p","compensate":"%s/q",'
                '"payload" : %s}],"wait":"ended"}' % (self.part.url, self.part.url, raw))
        self.submit(body)
        self.assertEqual(self.part.calls[0][2], raw.encode())
        self.part.calls.clear()
        blob = bytes(range(256))
        self.submit({"branches": [self.part.saga(
            payload_base64=base64.b64encode(blob).decode(), content_type="image/x-test")],
            "wait": "ended"})
        self.assertEqual(self.part.calls[0][2], blob)
        self.assertEqual(self.part.calls[0][1]["Content-Type"], "image/x-test")

    def test_whole_numbers_as_json_has_them(self):
        """1898.0 and 3e4 are integers, and a payload with them is what it was."""
        body = json.dumps({"gid": "g", "wait": "ended", "branches": [self.part.tcc(payload=0)]})
        body = body.replace('"payload": 0', '"payload": 1898.0, "attempts_max": 2.0')
        answer = self.server.ask("POST", "/v1/transactions",
                                 body=body[:-1] + ', "wait_ms": 3e4, "deadline_ms": 60000.0}')
        self.assertEqual(self.expect(answer, 200).json["state"], "COMMITTED")
        self.assertEqual({call[2] for call in self.part.calls}, {b"1898.0"})

    def test_what_a_participant_is_told(self):
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        answer = self.submit({"gid": "told", "branches": [self.part.tcc(
            name="stock", headers={"X-Tenant": "seven"})], "wait": "ended"},
            headers={"traceparent": trace})
        self.assertEqual(answer.json["gid"], "told")
        headers = {k.lower(): v for k, v in self.part.calls[0][1].items()}
        self.assertEqual(headers["etx-gid"], "told")
        self.assertEqual(headers["etx-branch"], "stock")
        self.assertEqual(headers["etx-operation"], "try")
        self.assertEqual(headers["etx-attempt"], "1")
        self.assertEqual(headers["x-tenant"], "seven")
        self.assertIn("0af7651916cd43dd8448eb211c80319c", headers["traceparent"])
        self.assertTrue(headers["idempotency-key"])
        shown = self.server.get("/v1/transactions/told").text
        self.assertNotIn("seven", shown + self.server.log())

    def test_a_broken_traceparent_is_left_out(self):
        for trace in ("x" * 55, "00-" + "0" * 32 + "-b7ad6b7169203331-01",
                      "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", "00", ""):
            self.submit({"branches": [self.part.tcc()], "wait": "ended"},
                        headers={"traceparent": trace})

    def test_results_and_order(self):
        self.part.rules["/one"] = lambda headers, body: (200, b'{"id":7}')
        self.submit({"branches": [
            {"kind": "saga", "name": "two", "action": self.part.url + "/two",
             "compensate": self.part.url + "/c", "payload": 1, "depends_on": ["one"],
             "results": True},
            {"kind": "saga", "name": "one", "action": self.part.url + "/one",
             "compensate": self.part.url + "/c", "depends_on": []}], "wait": "ended"})
        self.assertEqual(self.part.paths(), ["/one", "/two"])
        body = etxd_common.json.loads(self.part.calls[1][2])
        self.assertEqual(body["payload"], 1)
        self.assertEqual(body["results"]["one"]["result"], {"id": 7})

    def test_not_reached_in_time(self):
        self.part.rules["/a/try"] = lambda headers, body: (202, b"", {"Retry-After": "1"})
        answer = self.submit({"gid": "a/b c%".replace(" ", "_"), "branches": [self.part.tcc()],
                              "wait_ms": 200}, 202)
        self.assertEqual(answer.json["state"], "ACTIVE")
        location = answer.headers["Location"]
        self.assertEqual(self.server.get(location).json["gid"], "a/b_c%")
        answer = self.submit({"branches": [self.part.tcc()], "wait_ms": 0}, 202)
        self.assertEqual(answer.json["state"], "ACTIVE")
        answer = self.submit({"branches": [self.part.tcc()], "wait": "begun"})
        self.assertEqual(answer.json["state"], "ACTIVE")
        del self.part.rules["/a/try"]
        self.eventually(lambda: self.server.get(location).json["state"] == "COMMITTED")

    def test_repeats(self):
        body = {"gid": "again", "branches": [self.part.saga(payload=1)], "wait": "ended"}
        self.submit(body)
        calls = len(self.part.paths())
        self.assertEqual(self.submit(body).json["state"], "COMMITTED")
        self.assertEqual(len(self.part.paths()), calls)
        body["branches"][0]["payload"] = 2
        self.expect(self.server.post("/v1/transactions", body), 409, "conflict")

    def test_a_repeat_has_a_span_of_its_own(self):
        """Whoever repeats a request does so in another span, or in none: it is the same."""
        spans = [{"traceparent": f"00-{n:032x}-{n:016x}-01"} for n in (5, 6)] + [{}]
        url = self.part.url
        other = url + "/other"
        for first in range(3):
            begins = [{"gid": f"s{first}", "branches": [self.part.tcc()]},
                      {"gid": f"q{first}", "mode": "interactive", "query_url": url + "/q"},
                      {"gid": f"r{first}", "mode": "resumed", "resume_url": url + "/q"}]
            for body, changed in zip(begins, ({"branches": [self.part.tcc("other")]},
                                              {"query_url": other}, {"resume_url": other})):
                for headers in [spans[first]] + spans:
                    self.submit(body, headers=headers)
                self.expect(self.server.post("/v1/transactions", {**body, **changed},
                                             headers=spans[first]), 409, "conflict")
            path = f"/v1/transactions/q{first}/branches"
            for headers in [spans[first]] + spans:
                self.expect(self.server.post(path, self.part.tcc(name="x"), headers=headers), 200)
            self.expect(self.server.post(path, self.part.tcc("other", name="x"),
                                         headers=spans[first]), 409, "conflict")

    def test_who_joins_from_within_its_try_joins_again(self):
        """The second attempt's span is another: a conflict would be a refusal, and an abort."""
        attempts = []

        def try_and_join(headers, _body):
            answer = self.server.post(f"/v1/transactions/{headers['Etx-Gid']}/branches",
                                      self.part.tcc("sub", name="sub"),
                                      headers={"traceparent": headers["traceparent"]})
            attempts.append(headers["traceparent"])
            return (409 if answer.status != 200 else 503 if len(attempts) == 1 else 200), b""
        self.part.rules["/a/try"] = try_and_join
        branch = self.part.tcc(name="a")
        gid = self.submit({"mode": "interactive", "branches": [branch]}).json["gid"]
        self.eventually(lambda: len(attempts) > 1)
        answer = self.server.post(f"/v1/transactions/{gid}/commit", {"wait": "ended"})
        self.assertEqual(answer.json["state"], "COMMITTED")
        self.assertNotEqual(attempts[0], attempts[1])

    def test_deadline(self):
        self.part.rules["/a/try"] = lambda headers, body: (425, b"")
        answer = self.submit({"branches": [self.part.tcc()], "deadline_ms": 300, "wait": "ended"})
        self.assertEqual(answer.json["state"], "ABORTED")

    def test_unanswered_calls_are_made_again(self):
        seen = []

        def flaky(headers, _body):
            seen.append(headers["Etx-Attempt"])
            return (500, b"") if len(seen) < 3 else (200, b"")
        self.part.rules["/s/action"] = flaky
        answer = self.submit({"branches": [self.part.saga(retry_first_ms=10)], "wait": "ended"})
        self.assertEqual(answer.json["state"], "COMMITTED")
        self.assertEqual(seen, ["1", "2", "3"])

    def test_the_simplest_participant(self):
        """HTTP/1.0 as Python's server has it: no length, and an end."""
        paths = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                paths.append(self.path)
                self.send_response(200)
                self.end_headers()
        with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            self.part.url = f"http://127.0.0.1:{server.server_port}"
            answer = self.submit({"branches": [self.part.tcc()], "wait": "ended"})
            server.shutdown()
        self.assertEqual(answer.json["state"], "COMMITTED")
        self.assertEqual(paths, ["/a/try", "/a/confirm"])

    def test_durability(self):
        self.expect(self.server.post("/v1/transactions", {
            "branches": [self.part.tcc()], "durability": "replicated"}), 503, "unavailable")

    def test_many_at_once(self):
        states = []

        def one(number):
            states.append(self.submit({"gid": f"m{number}", "branches": [
                self.part.tcc("a"), self.part.tcc("b")], "wait": "ended"}).json["state"])
        threads = [threading.Thread(target=one, args=(n,)) for n in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(states, ["COMMITTED"] * 40)


class Bounded(Case):
    """What is no longer remembered, and what there is no room for."""

    flags = ("--history-max", "1", "--submits", "1", "--shards", "1", "--access-log=off")

    def test_gone(self):
        body = {"branches": [self.part.saga()], "wait": "ended"}
        gid = self.submit(body).json["gid"]
        self.assertEqual(self.submit({**body, "gid": gid}).json["state"], "COMMITTED")

        def is_forgotten():
            self.submit(body)
            return self.server.get(f"/v1/transactions/{gid}").status != 200
        self.eventually(is_forgotten, 60)
        self.expect(self.server.get(f"/v1/transactions/{gid}"), 410, "gone")
        self.expect(self.server.post("/v1/transactions", {**body, "gid": gid}), 410, "gone")
        self.expect(self.server.post(f"/v1/transactions/{gid}/commit"), 410, "gone")
        # and of one that was never begun nothing says that it has ended
        last = "0" if gid[-1] != "0" else "1"
        never = self.expect(self.server.get(f"/v1/transactions/{gid[:-1]}{last}"), 410, "gone").json
        self.assertIn("never begun", never["detail"])
        self.assertIn("never begun", never["hint"])

    def test_busy(self):
        go_on = threading.Event()
        self.addCleanup(go_on.set)
        self.part.rules["/slow/action"] = lambda headers, body: (go_on.wait(30), (200, b""))[1]
        slow = threading.Thread(target=self.submit, args=({
            "gid": "slow", "branches": [self.part.saga("slow")], "wait": "ended"},))
        slow.start()
        self.eventually(self.part.paths)
        body = {"gid": "next", "branches": [self.part.saga()], "wait": "ended"}
        answer = self.expect(self.server.post("/v1/transactions", body), 503, "busy")
        self.assertEqual(answer.headers["Retry-After"], "1")
        self.expect(self.server.get("/v1/transactions/next"), 404, "not-found")
        go_on.set()
        slow.join()
        self.assertEqual(self.submit(body).json["state"], "COMMITTED")


class Unsent(Case):
    """What there is no room to send is no attempt."""

    flags = ("--target-in-flight", "1", "--target-queue", "1")

    def metric(self, pattern):
        text = self.server.get("/metrics").text
        found = re.search(f"^etxd_target_{pattern} ([0-9]+)", text, re.M)
        return int(found[1]) if found else 0

    def rejected(self):
        return self.metric(r'calls_total{.*result="rejected".*}')

    def test_no_limit_is_met_by_what_nobody_was_asked(self):
        go_on = threading.Event()
        self.addCleanup(go_on.set)
        self.part.rules["/slow/action"] = lambda headers, body: (go_on.wait(60), (200, b""))[1]
        self.submit({"branches": [self.part.saga("slow", call_timeout_ms=60000)],
                     "wait": "begun"})
        self.eventually(lambda: self.part.paths() == ["/slow/action"])
        self.submit({"branches": [self.part.saga("waits", call_timeout_ms=60000)],
                     "wait": "begun"})
        self.eventually(lambda: self.metric("waiting{.*}") == 1)
        self.submit({"gid": "one", "wait": "begun", "branches": [self.part.tcc(
            attempts_max=2, retry_first_ms=10, retry_cap_ms=20)]})
        self.eventually(lambda: self.rejected() >= 5)
        shown = self.server.get("/v1/transactions/one").json
        self.assertEqual(shown["state"], "ACTIVE")
        self.assertIn("too many calls to it", shown["branches"][0]["reason"])
        go_on.set()
        self.eventually(lambda: self.server.get("/v1/transactions/one").json["ended"])
        shown = self.server.get("/v1/transactions/one").json
        self.assertEqual(shown["state"], "COMMITTED")
        self.assertEqual(shown["branches"][0]["forward_attempts"], 1)
        sent = [headers["Etx-Attempt"] for path, headers, _ in self.part.calls
                if path == "/a/try"]
        self.assertEqual(sent, ["1"])


class Unwritable(Case):
    """A log that cannot be written to for a while."""

    def may_write(self, may):
        hard = resource.prlimit(self.server.process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(self.server.process.pid, resource.RLIMIT_FSIZE,
                         (hard if may else 0, hard))

    def test_what_is_not_written_is_unknown(self):
        """Nobody is told of what the log does not have, and what was unknown can be asked again."""
        decisions = [(word, self.submit({"gid": word, "mode": "interactive", "branches": [
            self.part.tcc(name="it")]}).json["gid"]) for word in ("commit", "abort")]
        new = {"gid": "new", "branches": [self.part.saga()], "wait": "ended"}
        self.may_write(False)
        for word, gid in decisions:
            answer = self.server.post(f"/v1/transactions/{gid}/{word}")
            self.expect(answer, 503, "unknown")
            self.assertEqual((answer.json["gid"], answer.headers["Retry-After"]), (gid, "1"))
        answer = self.server.post("/v1/transactions", new)
        self.expect(answer, 503)
        self.assertIn(answer.json["code"], ("unknown", "unavailable"))
        self.eventually(lambda: self.server.get("/readyz").status == 503)
        self.may_write(True)
        self.eventually(lambda: self.server.get("/readyz").status == 200)
        for (word, gid), state in zip(decisions, ("COMMITTED", "ABORTED")):
            self.eventually(lambda gid=gid: self.server.get(f"/v1/transactions/{gid}").json.get(
                "state") == "ACTIVE")
            answer = self.server.post(f"/v1/transactions/{gid}/{word}", {"wait": "ended"})
            self.assertEqual(self.expect(answer, 200).json["state"], state)
        self.assertEqual(self.submit(new).json["state"], "COMMITTED")


class Interactive(Case):
    def begin(self, **more):
        return self.submit({"mode": "interactive", **more}).json["gid"]

    def post(self, path, body=None, status=200, code=None):
        return self.expect(self.server.post(f"/v1/transactions/{path}", body), status, code)

    def test_commit(self):
        gid = self.begin(branches=[self.part.tcc(name="first")])
        answer = self.post(f"{gid}/branches", self.part.tcc("b", name="second"))
        self.assertEqual(answer.json, {"gid": gid, "branch": "second"})
        self.assertEqual(self.post(f"{gid}/commit", {"wait": "ended"}).json["state"], "COMMITTED")
        self.assertIn("/b/confirm", self.part.paths())

    def test_commit_waits_for_decided(self):
        self.part.rules["/a/confirm"] = lambda headers, body: (202, b"", {"Retry-After": "60"})
        gid = self.begin(branches=[self.part.tcc(name="x")])
        self.assertEqual(self.post(f"{gid}/commit").json["state"], "COMMITTING")
        answer = self.post(f"{gid}/commit", {"wait": "ended", "wait_ms": 200}, 202)
        self.assertEqual(answer.json["state"], "COMMITTING")
        self.assertIn(gid, answer.headers["Location"])

    def test_abort(self):
        gid = self.begin(branches=[self.part.tcc(name="x")])
        self.assertEqual(self.post(f"{gid}/abort", {"wait": "ended"}).json["state"], "ABORTED")
        answer = self.post(f"{gid}/branches", self.part.tcc(name="y"), 409, "state")
        self.assertIn(": GET /v1/transactions/{gid} says how", answer.json["detail"])
        self.assertEqual(self.post("never-begun/abort", {"wait": "ended"}).json["marks"].count(
            "never-begun"), 1)
        self.expect(self.server.post("/v1/transactions", {
            "gid": "never-begun", "mode": "interactive"}), 409)

    def test_the_initiator_does_it_itself(self):
        gid = self.begin()
        branch = self.part.tcc(name="own", forward="initiator")
        del branch["try"]
        self.post(f"{gid}/branches", branch)
        answer = self.post(f"{gid}/branches/own/result", {"reply": "done", "result": {"id": 1}})
        self.assertEqual(answer.json["reply"], "done")
        again = self.post(f"{gid}/branches/own/result", {"reply": "refused"})
        self.assertEqual(again.json["reply"], "done")
        self.post(f"{gid}/commit", {"wait": "ended"})
        self.assertEqual(self.part.paths(), ["/a/confirm"])

    def test_repeats_and_conflicts(self):
        gid = self.begin(gid="mine")
        self.assertEqual(self.begin(gid="mine"), gid)
        self.post("mine/branches", self.part.tcc(name="x"))
        self.post("mine/branches", self.part.tcc(name="x"))
        self.post("mine/branches", self.part.tcc("other", name="x"), 409, "conflict")
        self.post("mine/branches", self.part.tcc(), 400, "missing-field")
        self.post("nobody/branches", self.part.tcc(name="x"), 404, "not-found")
        self.post("nobody/commit", {}, 404, "not-found")
        self.post("mine/commit", {"wait": "begun"}, 400, "bad-value")

    def test_a_repeat_of_what_is_decided(self):
        """Its state, as of what was submitted; but branches that are not compared are not done."""
        self.part.rules["/c/confirm"] = lambda headers, body: (202, b"", {"Retry-After": "60"})
        for at, word, state in (("a", "commit", "COMMITTED"), ("b", "abort", "ABORTED"),
                                ("c", "commit", "COMMITTING")):
            new, branch = {"gid": at, "mode": "interactive"}, self.part.tcc(at, name="x")
            self.submit(new)
            self.post(f"{at}/branches", branch)
            self.post(f"{at}/{word}", {"wait": "decided" if at == "c" else "ended"})
            answer = self.submit(new).json
            self.assertEqual((answer["state"], answer["reason"]), (
                state, "the initiator aborted it" if word == "abort" else ""))
            self.submit({**new, "query_url": self.part.url}, 409)
            self.submit({"gid": at, "branches": [branch]}, 409)
            again = self.submit({**new, "branches": [branch]}, 200 if word == "abort" else 409)
            self.assertEqual(again.json.get("code"), None if word == "abort" else "state")

    def test_nothing_is_begun_with_a_bad_branch(self):
        """As if it were submitted: all its branches are judged before the first is called."""
        first = self.part.tcc(name="a")
        for mode in ({"mode": "interactive"},
                     {"mode": "resumed", "resume_url": self.part.url + "/resume"}):
            for second, status, code, pointer in (
                    ({"name": "b", "depends_on": ["zz"]}, 400, "invalid", "/depends_on/0"),
                    ({"name": "b", "depends_on": ["a", "b"]}, 400, "invalid", "/depends_on/1"),
                    ({"name": "b", "depends_on": ["a", "c"]}, 400, "invalid", "/depends_on/1"),
                    ({"name": "a", "payload": 2}, 409, "conflict", "")):
                answer = self.server.post("/v1/transactions", {
                    "gid": "bad", **mode,
                    "branches": [first, self.part.tcc("b", **second), self.part.tcc(name="c")]})
                self.expect(answer, status, code)
                self.assertEqual(answer.json["pointer"], "/branches/1" + pointer)
                self.expect(self.server.get("/v1/transactions/bad"), 404, "not-found")
        self.assertEqual(self.part.calls, [])
        gid = self.begin(branches=[first, self.part.tcc(name="b", depends_on=["a"])])
        self.assertEqual(self.post(f"{gid}/commit", {"wait": "ended"}).json["state"], "COMMITTED")

    def test_silence_aborts(self):
        gid = self.begin(deadline_ms=200, branches=[self.part.tcc(name="x")])
        self.eventually(lambda: self.server.get(f"/v1/transactions/{gid}").json["state"]
                        == "ABORTED")

    def test_message_asks_back(self):
        self.part.rules["/query"] = lambda headers, body: (200, b"")
        gid = self.begin(query_url=self.part.url + "/query", deadline_ms=200, branches=[
            {"kind": "message", "name": "m", "deliver": self.part.url + "/m"}])
        self.eventually(lambda: self.server.get(f"/v1/transactions/{gid}").json["state"]
                        == "COMMITTED")
        self.assertEqual(self.part.paths(), ["/query", "/m"])

    def test_resumed(self):
        def resume(headers, _body):
            gid = headers["Etx-Gid"]
            run = int(headers.get("Etx-Run", 0))
            server = self.server
            server.post(f"/v1/transactions/{gid}/branches",
                        self.part.saga("r", name="r", run=run))
            answer = server.post(f"/v1/transactions/{gid}/commit", {"run": run, "wait": "decided"})
            return 200, answer.text.encode()
        self.part.rules["/resume"] = resume
        answer = self.submit({"mode": "resumed", "resume_url": self.part.url + "/resume",
                              "resume_ms": 100})
        self.eventually(lambda: self.server.get(
            f"/v1/transactions/{answer.json['gid']}").json["state"] == "COMMITTED")
        self.assertIn("/r/action", self.part.paths())


class Looking(Case):
    def stuck(self, gid, **more):
        self.part.rules["/a/try"] = lambda headers, body: (503, b"down")
        return self.submit({"gid": gid, "branches": [self.part.tcc(
            name="it", payload={"a": 1}, retry_first_ms=20, **more)], "wait": "begun"})

    def test_show(self):
        self.stuck("one")
        self.eventually(lambda: self.server.get("/v1/transactions/one").json["branches"][0]
                        ["failures"] > 0)
        shown = self.server.get("/v1/transactions/one").json
        self.assertEqual((shown["state"], shown["mode"]), ("ACTIVE", "submitted"))
        branch = shown["branches"][0]
        self.assertEqual((branch["name"], branch["kind"], branch["payload"], branch["by"]),
                         ("it", "tcc", {"a": 1}, "etx"))
        self.assertEqual(branch["try"], self.part.url + "/a/try")
        self.assertIsNone(branch["forward"])
        self.assertIn("503", branch["reason"])
        self.expect(self.server.get("/v1/transactions/none"), 404, "not-found")
        self.expect(self.server.get("/v1/transactions/a%20b"), 404, "not-found")
        self.expect(self.server.get("/v1/transactions/" + "x" * 200), 404, "not-found")

    def test_list(self):
        for number in range(5):
            self.stuck(f"list-{number}")
        self.submit({"gid": "done", "branches": [self.part.saga()], "wait": "ended"})

        def gids(query):
            answer = self.expect(self.server.get("/v1/transactions" + query), 200)
            return sorted(tx["gid"] for tx in answer.json["transactions"])
        five = [f"list-{number}" for number in range(5)]
        self.assertEqual(gids(""), five)
        self.assertEqual(gids("?state=COMMITTED"), ["done"])
        self.assertEqual(gids("?ended=true"), ["done"] + five)
        self.assertEqual(gids("?kind=tcc&state=ACTIVE,ABORTING"), five)
        self.assertEqual(gids("?kind=xa"), [])
        self.assertEqual(gids("?kind=tcc&ended=false"), five)
        self.assertEqual(gids("?gid_prefix=list-1"), ["list-1"])
        self.assertEqual(gids("?older_than_ms=3600000"), [])
        self.assertEqual(gids("?parked=true"), [])
        self.assertEqual(gids("?parked=false&stalled=false&ended=false"), five)
        seen, cursor = [], ""
        for _ in range(20):
            page = self.server.get("/v1/transactions?limit=2" + cursor).json
            seen += [tx["gid"] for tx in page["transactions"]]
            if page["cursor"] is None:
                break
            cursor = "&cursor=" + page["cursor"]
        self.assertEqual(sorted(seen), five)
        for query in ("?stat=ACTIVE", "?state=GONE", "?limit=0", "?limit=x", "?cursor=zz", "?a",
                      "?kind=tc", "?parked=maybe", "?ended=maybe", "?state=%zz",
                      "?state=ACTIVE,", "?ended=false&state=COMMITTED",
                      "?state=ACTIVE,ABORTED&ended=0", "?ended=true&kind=tcc", "?kind=tcc&ended=1",
                      "?cursor=", "?cursor=-1-2", "?cursor=1--2", "?cursor=0x1-2",
                      "?cursor=3270bfc-3d086",
                      "?parked=true&parked=false", "?limit=1&state=ACTIVE&limit=1",
                      "?limit=1&%6cimit=1", "?gid_prefix=a%20b", "?gid_prefix=" + "x" * 129):
            self.expect(self.server.get("/v1/transactions" + query), 400, "bad-query")
        self.assertIn("did you mean 'state'", self.server.get("/v1/transactions?stat=A").text)

    def test_force_speaks_of_the_branchs_kind(self):
        """'notify' and 'confirm' are both what is done on commit, of two kinds."""
        self.stuck("f")
        force = {"who": "ann", "why": "test", "as": "done", "branch": "it"}
        for word in ("action", "prepare", "deliver", "notify", "commit", "rollback", "compensate"):
            answer = self.server.post("/v1/transactions/f/force", {**force, "operation": word})
            self.expect(answer, 400, "bad-value")
            self.assertEqual(answer.json["pointer"], "/operation")
            self.assertIn(f"kind tcc, and has no operation {word}", answer.json["detail"])
        branch = self.server.get("/v1/transactions/f").json["branches"][0]
        self.assertEqual((branch["forward"], branch["by_hand"]), (None, False))
        self.expect(self.server.post("/v1/transactions/f/force", {
            **force, "branch": "other", "operation": "try"}), 404, "not-found")
        self.expect(self.server.post("/v1/transactions/none/force", {
            **force, "operation": "try"}), 404, "not-found")
        self.expect(self.server.post("/v1/transactions/f/force", {
            **force, "operation": "try"}), 200)
        self.eventually(lambda: self.server.get("/v1/transactions/f").json["state"] == "COMMITTED")

    def test_operate(self):
        self.stuck("o")
        said = {"who": "ann", "why": "test"}

        def post(path, body, status=200, code=None):
            return self.expect(self.server.post("/v1/transactions/" + path, body), status, code)
        post("o/park", said)
        self.assertIn("parked", self.server.get("/v1/transactions/o").json["marks"])
        self.assertEqual(
            [tx["gid"] for tx in self.server.get("/v1/transactions?parked=true").json
             ["transactions"]], ["o"])
        post("o/park", {"who": "ann"}, 400, "missing-field")
        post("o/resume", said)
        self.assertNotIn("parked", self.server.get("/v1/transactions/o").json["marks"])
        post("o/retry", {})
        post("nobody/park", said, 404, "not-found")
        post("o/force", {"as": "commit", **said}, 409, "state")
        post("o/force", {"as": "maybe", **said}, 400, "bad-value")
        post("o/force", {"as": "done", **said}, 400, "missing-field")
        post("o/force", {"as": "done", "branch": "it", "operation": "fly", **said}, 400)
        self.part.rules["/a/cancel"] = lambda headers, body: (500, b"")
        post("o/force", {"as": "abort", **said})
        post("o/force", {"as": "done", "branch": "it", "operation": "cancel", **said})
        self.eventually(lambda: self.server.get("/v1/transactions/o").json["state"] == "ABORTED")
        self.assertIn("forced", self.server.get("/v1/transactions/o").json["marks"])

    def test_bulk(self):
        for number in range(3):
            self.stuck(f"bulk-{number}")
        self.stuck("other")
        said = {"filter": {"gid_prefix": "bulk-"}, "who": "ann", "why": "test"}
        for what, parked in (("park", 3), ("resume", 0)):
            answer = self.expect(self.server.post("/v1/transactions/" + what, said), 200)
            self.assertEqual(answer.json, {"count": 3})
            self.assertEqual(len(self.server.get("/v1/transactions?parked=true").json
                                 ["transactions"]), parked)
        self.assertEqual(self.server.post("/v1/transactions/retry", {"filter": {}}).json,
                         {"count": 4})
        self.expect(self.server.post("/v1/transactions/park", {"who": "a", "why": "b"}), 400,
                    "missing-field")
        self.expect(self.server.post("/v1/transactions/retry", {"filter": {"stat": "x"}}), 400,
                    "unknown-field")
        for name, value in (("state", "ACTIVE,"), ("gid_prefix", "a b")):
            self.expect(self.server.post("/v1/transactions/retry", {"filter": {name: value}}), 400,
                        "bad-value")

    def test_slow_targets_do_not_hold_others(self):
        self.part.rules["/slow/try"] = lambda headers, body: (time.sleep(3), (200, b""))[1]
        self.submit({"branches": [self.part.tcc("slow")], "wait": "begun"})
        began = time.monotonic()
        self.submit({"branches": [self.part.tcc("b")], "wait": "ended"})
        self.assertLess(time.monotonic() - began, 2.5)


if __name__ == "__main__":
    etxd_common.main()
