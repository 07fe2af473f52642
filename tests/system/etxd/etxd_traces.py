#!/usr/bin/env python3
"""Traces: what a collector gets over OTLP/HTTP in JSON, and what happens while it does not."""
import http.server
import json
import os
import re
import subprocess
import threading

import etxd_common
from etxd_common import ETXD, Case

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE, SPAN = CALLER[3:35], CALLER[36:52]


class Collector:
    """Takes spans as a collector does; `status` is what it answers, `gate` is what it waits for."""

    def __init__(self):
        self.spans, self.headers, self.resources = [], [], []
        self.status = 200
        self.asked = 0
        self.gate = threading.Event()
        self.gate.set()
        self.lock = threading.Lock()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):  # noqa: N802 (the name that http.server wants)
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = collector.take(self.path, dict(self.headers.items()), body)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                pass  # a server that ends does not wait for the answer

        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1/traces"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def take(self, path, headers, body):
        self.gate.wait(60)
        with self.lock:
            self.asked += 1
            if self.status != 200:
                return self.status
            if path != "/v1/traces" or headers["Content-Type"] != "application/json":
                return 400
            self.headers.append(headers)
            for resource in json.loads(body)["resourceSpans"]:
                self.resources.append(attributes(resource["resource"]))
                for scope in resource["scopeSpans"]:
                    self.spans += scope["spans"]
        return 200

    def of(self, gid):
        with self.lock:
            return [span for span in self.spans if attributes(span)["etx.gid"] == gid]

    def close(self):
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()


def attributes(of):
    found = {}
    for one in of["attributes"]:
        (kind, value), = one["value"].items()
        assert kind in ("stringValue", "intValue") and isinstance(value, str), one
        found[one["key"]] = value if kind == "stringValue" else int(value)
    return found


class Given(Case):
    """What participants and lines of the log are told."""

    def given(self, path):
        """The traceparent that participants got there."""
        with self.part.lock:
            return [headers["traceparent"] for at, headers, _ in self.part.calls if at == path]

    def lines(self, gid, message="request"):
        """The lines of the log about a gid; those of requests are written after the answer."""
        found = [json.loads(line) for line in self.server.log().splitlines()]
        return [line for line in found if line["message"] == message and line.get("gid") == gid]

    def logged(self, gid, count, message="request"):
        """The trace of so many lines."""
        return [line.get("trace_id") for line in self.eventually(
            lambda: len(self.lines(gid, message)) >= count and self.lines(gid, message))]

    def tell_story(self, gid, traceparent=None):
        """A transaction with a request before and after its end, and an alarm."""
        answers = iter([(409, b"not yet"), (200, b"")])
        self.part.rules["/a/confirm"] = lambda headers, body: next(answers)
        headers = {"traceparent": traceparent} if traceparent else {}
        self.submit({"gid": gid, "branches": [self.part.tcc(retry_first_ms=10)], "wait": "ended"},
                    headers=headers)
        self.expect(self.server.get("/v1/transactions/" + gid), 200)
        traces = self.logged(gid, 2) + self.logged(gid, 1, "alarm")
        traces += [given[3:35] for given in self.given("/a/try") + self.given("/a/confirm")]
        self.assertEqual(len(traces), 6)
        self.assertEqual(len(set(traces)), 1, traces)
        return traces[0]


class Traced(Given):
    """A server that sends to a collector, and what they say of it."""

    def setUp(self):
        self.collector = Collector()
        self.addCleanup(self.collector.close)
        self.flags = ("--trace-url", self.collector.url, *self.flags)
        super().setUp()

    def root(self, gid):
        """The span of the transaction, once it is there."""
        def found():
            return [span for span in self.collector.of(gid) if span["name"] == "transaction"]
        return self.eventually(found)[0]

    def calls(self, gid):
        return [span for span in self.collector.of(gid) if span["name"] != "transaction"]

    def metrics(self):
        text = self.server.get("/metrics").text
        return {result: int(re.search(
            r'etxd_trace_spans_total\{result="%s"\} (\d+)' % result, text)[1])
                for result in ("sent", "dropped", "failed")}

    def check(self, span):
        """A span as OTLP's JSON encoding has it."""
        self.assertRegex(span["traceId"], "^[0-9a-f]{32}$")
        self.assertRegex(span["spanId"], "^[0-9a-f]{16}$")
        self.assertRegex(span["startTimeUnixNano"], "^[0-9]{19}$")
        self.assertRegex(span["endTimeUnixNano"], "^[0-9]{19}$")
        self.assertLessEqual(int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"]))
        self.assertLessEqual(abs(int(span["endTimeUnixNano"]) / 1e9 - etxd_common.time.time()), 60)


class Traces(Traced):
    def test_story_in_the_trace_of_the_caller(self):
        self.submit({"gid": "one", "branches": [self.part.tcc(name="it")], "wait": "ended"},
                    headers={"traceparent": CALLER})
        root = self.root("one")
        calls = {span["name"]: span for span in self.eventually(
            lambda: len(self.calls("one")) == 2 and self.calls("one"))}
        for span in (root, *calls.values()):
            self.check(span)
            self.assertEqual(span["traceId"], TRACE)
        self.assertEqual(root["parentSpanId"], SPAN)
        self.assertEqual([event["name"] for event in root["events"]], ["begun", "decided", "ended"])
        times = [int(event["timeUnixNano"]) for event in root["events"]]
        self.assertEqual(times, sorted(times))
        self.assertEqual((attributes(root)["etx.state"], attributes(root)["etx.durability"]),
                         ("COMMITTED", "local"))
        for name in ("try", "confirm"):
            span = calls[name]
            self.assertEqual(span["parentSpanId"], root["spanId"])
            self.assertEqual(self.given("/a/" + name), [f"00-{TRACE}-{span['spanId']}-01"])
            self.assertEqual(span["kind"], 3)
            port = int(self.part.url.rsplit(":", 1)[1])
            self.assertEqual(attributes(span), {
                "etx.gid": "one", "etx.branch": "it", "etx.operation": name, "etx.attempt": 1,
                "etx.reply": "done", "http.request.method": "POST",
                "http.response.status_code": 200, "server.address": "127.0.0.1",
                "server.port": str(port)})
            self.assertLessEqual(int(root["startTimeUnixNano"]), int(span["startTimeUnixNano"]))
        self.assertEqual(self.collector.resources[0]["service.name"], "etxd")

    def test_a_trace_of_its_own(self):
        self.submit({"gid": "one", "branches": [self.part.tcc()], "wait": "ended"})
        root = self.root("one")
        self.assertNotIn("parentSpanId", root)
        self.assertEqual(self.given("/a/try")[0][3:35], root["traceId"])

    def test_who_is_not_sampled(self):
        quiet = {"traceparent": CALLER[:-2] + "00"}
        self.submit({"gid": "quiet", "branches": [self.part.tcc()], "wait": "ended"}, headers=quiet)
        self.submit({"gid": "loud", "branches": [self.part.tcc("b")], "wait": "ended"})
        self.root("loud")
        self.assertEqual(self.collector.of("quiet"), [])
        self.assertTrue(self.given("/a/try")[0].endswith("-00"))

    def test_interactive_and_a_branch_of_another_trace(self):
        other = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
        self.submit({"gid": "one", "mode": "interactive"}, headers={"traceparent": CALLER})
        self.expect(self.server.post("/v1/transactions/one/branches", self.part.tcc(name="it"),
                                     headers={"traceparent": other}), 200)
        self.expect(self.server.post("/v1/transactions/one/commit", {"wait": "ended"}), 200)
        root = self.root("one")
        self.assertEqual((root["traceId"], root["parentSpanId"]), (TRACE, SPAN))
        call = self.eventually(lambda: self.calls("one"))[0]
        self.assertEqual((call["traceId"], call["parentSpanId"]), ("1" * 32, "2" * 16))
        self.assertEqual(call["links"], [{"traceId": TRACE, "spanId": root["spanId"]}])

    def test_repeats_and_errors(self):
        answers = iter([(503, b"down"), (200, b"")])
        self.part.rules["/a/try"] = lambda headers, body: next(answers)
        self.part.rules["/b/try"] = lambda headers, body: (409, b"no")
        self.submit({"gid": "one", "branches": [self.part.tcc("a"), self.part.tcc("b")],
                     "wait": "ended"})
        self.assertEqual(attributes(self.root("one"))["etx.state"], "ABORTED")
        calls = self.calls("one")
        self.assertEqual(len({span["spanId"] for span in calls}), len(calls))
        failed = [span for span in calls if attributes(span)["etx.reply"] == "retry"]
        self.assertEqual([span["status"]["code"] for span in failed], [2] * len(failed))
        self.assertGreaterEqual(len(failed), 1)
        refused, = [span for span in calls if attributes(span)["etx.reply"] == "refused"]
        self.assertNotIn("status", refused)

    def test_a_collector_that_is_ill_for_a_while(self):
        self.collector.status = 503
        self.submit({"gid": "one", "branches": [self.part.tcc()], "wait": "ended"})
        self.server.wait_log("traces are not taken")
        self.collector.status = 200
        self.root("one")
        self.server.wait_log("traces are taken again")
        self.assertEqual(self.metrics()["failed"], 0)

    def test_a_collector_that_refuses(self):
        self.collector.status = 400
        self.submit({"gid": "one", "branches": [self.part.tcc()], "wait": "ended"})
        self.eventually(lambda: self.metrics()["failed"] >= 3)
        self.assertEqual(self.metrics()["sent"], 0)

    def test_what_waits_is_sent_at_the_end(self):
        self.submit({"gid": "one", "branches": [self.part.tcc()], "wait": "ended"})
        self.assertEqual(self.server.end(), 0)
        self.assertEqual(len(self.collector.of("one")), 3)

    def test_after_a_crash(self):
        self.part.rules["/a/confirm"] = lambda headers, body: (503, b"")
        self.submit({"gid": "one", "branches": [self.part.tcc()]}, headers={"traceparent": CALLER})
        self.server.kill()
        before = etxd_common.time.time_ns()
        self.part.rules.clear()
        self.server.start()
        root = self.root("one")
        self.assertEqual((root["traceId"], root["parentSpanId"]), (TRACE, SPAN))
        self.assertLess(int(root["startTimeUnixNano"]), before)


    def test_lines_of_the_log_name_it(self):
        self.assertEqual(self.tell_story("one"), self.root("one")["traceId"])
        self.part.calls.clear()
        self.assertEqual(self.tell_story("two", CALLER), TRACE)
        self.assertEqual(self.root("two")["traceId"], TRACE)


class Untraced(Given):
    """Without a collector."""

    def test_lines_of_the_log(self):
        own = self.tell_story("one")
        self.assertRegex(own, "^[0-9a-f]{32}$")
        self.part.calls.clear()
        self.assertEqual(self.tell_story("two", CALLER), TRACE)
        other = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
        self.server.get("/v1/transactions/two", headers={"traceparent": other})
        self.assertEqual(self.logged("two", 3)[2], "1" * 32)

    def test_after_a_crash(self):
        self.part.rules["/a/confirm"] = lambda headers, body: (503, b"")
        self.submit({"gid": "one", "branches": [self.part.tcc()]}, headers={"traceparent": CALLER})
        self.server.kill()
        self.part.rules.clear()
        self.server.start()
        path = "/v1/transactions/one"
        self.eventually(lambda: self.server.get(path).json["state"] == "COMMITTED")
        self.server.get(path)
        self.eventually(lambda: self.lines("one")[-1]["trace_id"] == TRACE)


class Bounded(Traced):
    """The queue is bounded, and nobody waits for the collector."""

    flags = ("--trace-queue", "16", "--trace-timeout", "10m")

    def test_full(self):
        self.collector.gate.clear()
        for number in range(40):
            self.submit({"gid": f"g{number}", "branches": [self.part.tcc()], "wait": "ended"})
        counts = self.metrics()
        self.assertGreater(counts["dropped"], 0)
        self.collector.gate.set()
        self.eventually(lambda: sum(self.metrics().values()) == 120)
        self.assertEqual(self.metrics()["sent"], len(self.collector.spans))

    def test_an_end_that_does_not_wait_for_ever(self):
        self.collector.gate.clear()
        self.submit({"gid": "one", "branches": [self.part.tcc()], "wait": "ended"})
        self.assertEqual(self.server.end(), 0)
        self.assertEqual(self.server.wait_log("traces are not taken")["why"],
                         "no answer came before the server's end")


class Settings(etxd_common.unittest.TestCase):
    def run_etxd(self, *args):
        return subprocess.run([ETXD, *args], capture_output=True, text=True, timeout=30,
                              check=False)

    def test_wrong_ones(self):
        for flags, word in ((["--trace-url", "ftp://x/"], "trace-url"),
                            (["--trace-header", "nonsense"], "trace-header"),
                            (["--trace-url", "http://localhost/", "--trace-ca", "/nowhere/ca"],
                             "trace-ca: /nowhere/ca: No such file")):
            result = self.run_etxd("--check-config", *flags)
            self.assertEqual(result.returncode, 2)
            self.assertIn(word, result.stderr)

    def test_secrets(self):
        result = self.run_etxd("--print-config", "--trace-header", "Authorization: geheim",
                               "--trace-url", "http://u:geheim@localhost:4318/v1/traces")
        self.assertEqual(result.returncode, 0)
        self.assertIn("http://u:***@localhost", result.stdout)
        self.assertIn("Authorization: ***", result.stdout)
        self.assertNotIn("geheim", result.stdout)


class Header(Traced):
    def setUp(self):
        self.folder = etxd_common.tempfile.mkdtemp(prefix="etx-etxd-")
        self.addCleanup(etxd_common.shutil.rmtree, self.folder)
        path = os.path.join(self.folder, "key")
        with open(path, "w", encoding="utf-8") as file:
            file.write("Bearer s3cret\n")
        self.flags = ("--trace-header", f"Authorization: file:{path}")
        super().setUp()

    def test_header(self):
        self.submit({"gid": "one", "branches": [self.part.tcc()], "wait": "ended"})
        self.root("one")
        self.assertEqual(self.collector.headers[0]["Authorization"], "Bearer s3cret")
        self.assertNotIn("s3cret", self.server.log())


if __name__ == "__main__":
    etxd_common.main()
