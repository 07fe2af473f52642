#!/usr/bin/env python3
"""The OpenAPI document beside the server that serves it."""
import os
import re

import etxd_common
from etxd_common import Case
from json_schema import Schema

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), *[os.pardir] * 3)


class OpenApi(Case):
    def test_document(self):
        document = self.server.get("/v1/openapi.json").json
        self.assertEqual(document["openapi"], "3.1.0")
        for path, item in document["paths"].items():
            for method, operation in item.items():
                if method == "parameters":
                    continue
                self.assertIn("x-scope", operation, path)
                self.assertIn("default", operation["responses"], path)
                self.assertTrue(operation["summary"], path)
                filled = path.replace("{gid}", "none").replace("{name}", "b")
                if filled.endswith("events"):
                    continue
                answer = self.server.ask(method.upper(), filled, body=b"{}")
                self.assertNotIn(answer.status, (405, 500, 501), (path, answer))
                self.assertNotEqual(answer.json["code"] if answer.status == 404 else "",
                                    "no-route", (path, answer))

    def test_every_route_of_the_program_is_there(self):
        document = self.server.get("/v1/openapi.json").json
        counted = set()
        for path, item in document["paths"].items():
            counted |= {(method.upper(), path) for method in item if method != "parameters"}
        with open(os.path.join(SOURCE, "etxd", "route.c"), encoding="utf-8") as file:
            source = set(re.findall(r'\{"(GET|POST)",\s+"([^"]+)"', file.read()))
        self.assertEqual(counted, source)

    def test_answers_have_what_the_document_says(self):
        schemas = self.server.get("/v1/openapi.json").json["components"]["schemas"]
        outcome = self.submit({"gid": "x", "branches": [self.part.tcc()], "wait": "ended"}).json
        self.assertEqual(set(outcome), set(schemas["Outcome"]["properties"]))
        self.part.rules["/a/try"] = lambda headers, body: (202, b"")
        self.submit({"gid": "y", "branches": [self.part.tcc(payload=1)], "wait": "begun"})
        shown = self.server.get("/v1/transactions/y").json
        self.assertEqual(set(shown), set(schemas["Status"]["properties"]) | {"branches"})
        self.assertLessEqual(set(shown["branches"][0]), set(schemas["BranchStatus"]["properties"]))
        problem = self.server.get("/v1/transactions/z").json
        self.assertLessEqual(set(problem), set(schemas["Problem"]["properties"]))

    def test_codes(self):
        """The document lists the codes that the program has, of the server's own and of HTTP."""
        schemas = self.server.get("/v1/openapi.json").json["components"]["schemas"]
        codes = set()
        for path, pattern in (("etxd/problem.h", r'X\(\w+, \d+, "([^"]+)"'),
                              ("net/refusal.c", r'\{\d+, "([^"]+)"')):
            with open(os.path.join(SOURCE, path), encoding="utf-8") as file:
                found = re.findall(pattern, file.read())
            self.assertGreater(len(found), 5, path)
            codes |= set(found)
        self.assertEqual(set(schemas["Problem"]["properties"]["code"]["enum"]), codes)


OPERATIONS = {"tcc": ["try", "confirm", "cancel"], "saga": ["action", "compensate"],
              "xa": ["prepare", "commit", "rollback"], "message": ["deliver"],
              "notification": ["notify"]}
# What the entrance says of a body, whatever transactions there are.
REFUSED = ("unknown-field", "wrong-type", "bad-value", "missing-field", "target-not-allowed")


class Bodies(Case):
    """What the document says of a body is what the server does with it."""

    flags = ("--access-log=off",)

    def setUp(self):
        super().setUp()
        self.document = self.server.get("/v1/openapi.json").json
        self.judged = [0, 0]

    def check(self, path, schema, body):
        wanted = Schema(self.document, schema).takes(body)
        answer = self.server.post(path, body)
        taken = answer.status < 400 or answer.json["code"] not in REFUSED
        self.assertEqual(taken, wanted, (path, body, answer))
        self.judged[taken] += 1

    def values(self, name):
        """For a field of a branch: one that is right in it, and some that are wrong in any."""
        url = self.part.url + "/x"
        right = {"url": url, "forward": "etx", "payload": None, "payload_base64": "AAE=",
                 "content_type": "text/plain", "headers": {"X-A": "b"}, "depends_on": [],
                 "results": True, "independent": True, "attempts_max": 3.0,
                 "call_timeout_ms": 1000, "retry_first_ms": 1, "retry_cap_ms": 4294967295,
                 "name": "n", "run": 0}
        yield right.get(name, url)
        if name != "payload":
            yield from ({"a": 1}, [1], 1.5, -1, "", "a b\u00e4")
        if name == "headers":
            yield from ({"a b": "c"}, {str(i): "" for i in range(33)}, {"A": 1}, {"A": "b\tc"},
                        {"A": "b\nc"}, {"": "a"}, {"a:": "b"})
        if name == "forward":
            yield "initiator"
        if name == "payload_base64":
            yield from ("A", "AA==", "AB==", "AAE=", "AAF=", "====", "-_8=")

    def of_each_kind(self, kind):
        """Branches of a kind: with one of all fields more, with one less."""
        urls = {name: f"{self.part.url}/{name}" for name in OPERATIONS[kind]}
        names = set(self.document["components"]["schemas"]["BranchFields"]["properties"])
        for whole in ({"kind": kind, **urls}, {"kind": kind, "url": self.part.url}):
            yield whole
            for name in whole:
                yield {key: value for key, value in whole.items() if key != name}
            for name in sorted(names | {"run", "other"} | set(sum(OPERATIONS.values(), []))):
                for value in self.values(name):
                    yield {**whole, name: value}
            for more in ("payload_base64", "content_type"):
                yield {**whole, "payload": 1, more: "AAE="}
            for more in ("grpc://127.0.0.1:1/a", "HTTP://127.0.0.1:1/a", "ftp://127.0.0.1/"):
                yield {**whole, "url": more}
        yield {**dict(list(urls.items())[1:]), "kind": kind, "forward": "initiator"}
        yield {"kind": kind, "name": "n"}

    def test_branches(self):
        schema = {"$ref": "#/components/schemas/Transaction"}
        for kind in OPERATIONS:
            for branch in self.of_each_kind(kind):
                self.check("/v1/transactions", schema, {"branches": [branch], "wait": "begun"})
        for branch in ({}, {"kind": "other"}, {"kind": 1}, 7, None, []):
            self.check("/v1/transactions", schema, {"branches": [branch]})
        self.assertGreater(min(self.judged), 200, self.judged)

    def test_enlisted(self):
        schema = {"$ref": "#/components/schemas/Enlisted"}
        for kind in OPERATIONS:
            for number, branch in enumerate(self.of_each_kind(kind)):
                body = {"name": str(number), **branch}
                self.check("/v1/transactions/none/branches", schema, body)
        self.check("/v1/transactions/none/branches", schema,
                   {"kind": "tcc", "url": self.part.url})
        self.assertGreater(min(self.judged), 200, self.judged)

    def test_transactions(self):
        url = self.part.url + "/x"
        schema = {"$ref": "#/components/schemas/Transaction"}
        right = {"gid": "g", "branches": [], "query_url": url, "resume_url": url, "resume_ms": 1.0,
                 "deadline_ms": 1000, "durability": "local", "wait": "begun", "wait_ms": 0}
        self.assertEqual({"mode", *right},
                         set(self.document["components"]["schemas"]["Transaction"]["properties"]))
        for mode in ({}, {"mode": "submitted"}, {"mode": "interactive"}, {"mode": "resumed"},
                     {"mode": "resumed", "resume_url": url}, {"mode": 1}):
            for whole in (mode, {**mode, "branches": [self.part.tcc()]},
                          {**mode, "branches": [self.part.tcc(name="a")]}):
                self.check("/v1/transactions", schema, whole)
                for name, value in [*right.items(), ("other", 1)]:
                    for one in (value, {"a": 1}, [1], 0.5, -1, True, "", "a b"):
                        self.check("/v1/transactions", schema, {**whole, name: one})
        self.assertGreater(min(self.judged), 40, self.judged)

    def test_of_operators(self):
        said = {"who": "ann", "why": "test"}
        force = [{"as": how, **branch, **operation}
                 for how in ("abort", "commit", "done", "undone", 1)
                 for branch in ({}, {"branch": "b"}, {"branch": ""})
                 for operation in ({}, {"operation": "confirm"}, {"operation": "other"})]
        wrong = [{"who": 1}, {"why": ""}, {"why": "x" * 256}, {"who": "x" * 128}, {"other": 1}]
        filters = [{"state": "ACTIVE,ABORTED"}, {"state": "ACTIVE,"}, {"kind": "saga"},
                   {"kind": "sage"}, {"parked": True}, {"stalled": 1}, {"older_than_ms": 1e3},
                   {"older_than_ms": -1}, {"gid_prefix": "a b"}, {"gid_prefix": "g"}, {"gid": "g"}]
        results = [{"reply": "done"}, {"reply": "refused", "result": [1]}, {"reply": "other"}, {},
                   {"reply": "done", "run": 0.5}, {"reply": "done", "other": 1}]
        waits = [{}, {"wait": "begun"}, {"wait": "ended", "wait_ms": 10}, {"wait": "decided"},
                 {"run": -1}, {"run": 1}, {"wait_ms": 600001}, {"other": 1}]
        bulk = [{}, {"filter": {}}, {"filter": []}, {"filter": {}, "per_second": 1},
                {"filter": {}, "per_second": 0}, *({"filter": one} for one in filters)]
        for word, bodies in (("/none/force", force), ("/none/park", [{}]), ("/none/resume", [{}]),
                             ("/none/retry", [{}]), ("/none/commit", waits),
                             ("/none/abort", waits), ("/none/branches/b/result", results),
                             ("/retry", bulk), ("/park", bulk), ("/resume", bulk)):
            path = "/v1/transactions" + word
            operation = self.document["paths"][path.replace("none", "{gid}").replace(
                "/b/", "/{name}/")]["post"]
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            takes_who = bodies is not waits and bodies is not results
            for body in bodies:
                for more in [said, *({**said, **one} for one in wrong)] if takes_who else [{}]:
                    self.check(path, schema, {**body, **more})
        self.assertGreater(min(self.judged), 40, self.judged)


if __name__ == "__main__":
    etxd_common.main()
