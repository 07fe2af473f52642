#!/usr/bin/env python3
"""Bad input: hostile JSON and HTTP, forbidden targets, browsers; each a clear answer."""
import http.client
import json
import socket

import etxd_common
from etxd_common import Case, Server

GOOD = ('{"branches":[{"kind":"saga","action":"http://127.0.0.1:1/a",'
        '"compensate":"http://127.0.0.1:1/c"%s}]%s}')

HOSTILE = [
    b"", b" ", b"{", b"}", b"[]", b"null", b"1", b'"x"', b"{]", b"[1,2", b'{"a":1,}', b"{'a':1}",
    b'{"a":1}{"b":2}', b'{"a":1} x', b'{"branches":[],"branches":[]}', b'{"gid":"a","gid":"a"}',
    b'{"gid":"\xff"}', b'{"gid":"\xc0\xaf"}', b'{"gid":"\xed\xa0\x80"}', b'{"gid":"\\ud800"}',
    b'{"gid":"a\\u0000b","branches":[]}', b'{"g\\u0000id":"a"}', b'{"deadline_ms":1e999}',
    b'{"deadline_ms":99999999999999999999}', b'{"deadline_ms":-1}', b'{"deadline_ms":0x10}',
    b'{"deadline_ms":01}', b'{"deadline_ms":1.5}', b'{"deadline_ms":"1"}', b'{"deadline_ms":true}',
    b'{"deadline_ms":NaN}', b'{"gid":1}', b'{"gid":null}', b'{"gid":""}', b'{"gid":"a b"}',
    b'{"gid":"' + b"x" * 129 + b'"}', b'{"branches":{}}', b'{"branches":[1]}',
    b'{"branches":[null]}',
    b'{"branches":[{}]}', b'{"branches":[[]]}', b'{"mode":"both"}', b'{"wait":"never"}',
    b'{"wait_ms":-1}', b'{"durability":"eternal"}', b'{"\\u0062ranches":[{"kind":"tcc"}]}',
    b'{"gid":"a\nb"}', b'\xef\xbb\xbf{"gid":"a"}', b'{"a":' * 400 + b"1" + b"}" * 400,
    b"[" * 100000, b'{"branches":' + b"[" * 60 + b"]" * 60 + b"}",
]


class Json(Case):
    def test_hostile(self):
        for body in HOSTILE:
            answer = self.server.ask("POST", "/v1/transactions", body=body)
            self.assertEqual(answer.status, 400, (body[:80], answer))
            problem = answer.json
            self.assertIn(problem["code"], ("bad-json", "too-deep", "wrong-type", "bad-value",
                                            "unknown-field", "missing-field"), (body[:80], answer))
        self.assertEqual(self.server.get("/v1/transactions?ended=true").json["transactions"], [])
        self.assertIsNone(self.server.process.poll())

    def test_nul(self):
        """jansson passes over one behind a number, as if it ended the text."""
        body = (GOOD % (',"payload":{"a":[1,"x",2]}', "")).encode()
        for at in range(len(body) + 1):
            answer = self.server.ask("POST", "/v1/transactions", body=body[:at] + b"\0" + body[at:])
            self.expect(answer, 400, "bad-json")
        self.expect(self.server.ask("POST", "/v1/transactions", body=body[:-1] + b"\0"), 400)

    def test_truncated_at_every_byte(self):
        body = (GOOD % (',"payload":{"a":[1,"\\u00e4"]}', "")).encode()
        for length in range(len(body)):
            answer = self.server.ask("POST", "/v1/transactions", body=body[:length])
            self.assertEqual(answer.status, 400, body[:length])

    def test_depth(self):
        """As deep as it may be, and one deeper; brackets in a text are none."""
        def nested(depth):
            return "[" * depth + '"[[{"' + "]" * depth
        body = ('{"wait":"ended","branches":[' + json.dumps(self.part.saga())[:-1] +
                ',"payload":%s}]}')
        self.submit(body % nested(29))  # the 32nd bracket is its last
        self.assertEqual([call[2].decode() for call in self.part.calls], [nested(29)])
        enlisted = json.dumps(self.part.saga(name="b"))[:-1] + ',"payload":%s}'
        for path, text, least, code in (
                ("/v1/transactions", body, 30, None),
                ("/v1/transactions", '{"branches":%s}', 32, "wrong-type"),
                ("/v1/transactions", '{"gid":%s}', 32, "wrong-type"),
                ("/v1/transactions/none/branches", enlisted, 32, "not-found"),
                ("/v1/transactions/none/branches/b/result", '{"reply":"done","result":%s}', 32,
                 "not-found")):
            for depth in (least, 500):
                answer = self.server.ask("POST", path, body=text % nested(depth))
                self.assertIn("32 deep", self.expect(answer, 400, "too-deep").json["detail"])
            if code is not None:
                answer = self.server.ask("POST", path, body=text % nested(least - 1))
                self.assertEqual(answer.json["code"], code, answer)
        self.assertEqual(len(self.part.calls), 1)

    def pointer(self, branch, more, code, pointer, words=""):
        answer = self.server.ask("POST", "/v1/transactions", body=GOOD % (branch, more))
        self.expect(answer, 400, code)
        self.assertEqual(answer.json.get("pointer"), pointer, answer)
        self.assertIn(words, answer.json["detail"])

    def test_pointers_and_suggestions(self):
        self.pointer(',"paylod":1', "", "unknown-field", "/branches/0/paylod", "'payload'")
        self.pointer(',"try":"x"', "", "unknown-field", "/branches/0/try")
        self.pointer("", ',"a/b~c":1', "unknown-field", "/a~1b~0c")
        self.pointer("", ',"wiat":"ended"', "unknown-field", "/wiat", "'wait'")
        self.pointer(',"attempts_max":"3"', "", "wrong-type", "/branches/0/attempts_max",
                     "a whole number, and is a string")
        self.pointer(',"attempts_max":1.5', "", "wrong-type", "/branches/0/attempts_max",
                     "a whole number, and is a number with a fraction")
        self.pointer("", ',"wait_ms":1e17', "wrong-type", "/wait_ms")
        self.pointer("", ',"wait_ms":600000.5', "wrong-type", "/wait_ms")
        self.pointer("", ',"wait_ms":-1.0', "bad-value", "/wait_ms", "from 0 to 600000")
        self.pointer("", ',"wait_ms":6e6', "bad-value", "/wait_ms")
        for number in ("99999999999999999999", "-99999999999999999999", "1e400"):
            self.pointer("", f',"wait_ms":{number}', "bad-value", "/wait_ms", "from 0 to 600000")
        self.pointer(',"attempts_max":0', "", "bad-value", "/branches/0/attempts_max")
        self.pointer(',"depends_on":[1]', "", "wrong-type", "/branches/0/depends_on/0")
        self.pointer(',"depends_on":"0"', "", "wrong-type", "/branches/0/depends_on")
        self.pointer(',"headers":[1]', "", "bad-value", "/branches/0/headers")
        self.pointer(',"headers":{"A":1}', "", "bad-value", "/branches/0/headers")
        self.pointer(',"headers":{"A":"x\\r\\nB: y"}', "", "bad-value", "/branches/0")
        self.pointer(',"payload":1,"payload_base64":"AA=="', "", "bad-value", "/branches/0/payload")
        for text in ("A", "AB=", "AB==", "A===", "====", "AA=A", "AA AA==", "-_8="):
            self.pointer(f',"payload_base64":"{text}"', "", "bad-value",
                         "/branches/0/payload_base64")
        self.pointer(',"forward":"initiator"', "", "bad-value", "/branches/0/forward")
        self.pointer(',"name":"a b"', "", "bad-value", "/branches/0/name")
        self.pointer("", ',"query_url":"http://127.0.0.1/"', "bad-value", "/query_url")
        self.pointer("", ',"mode":"resumed"', "missing-field", "/resume_url")

    def test_dots(self):
        """Location would lead elsewhere: clients take such segments out of a path."""
        for word in (".", ".."):
            answer = self.server.post("/v1/transactions", {"gid": word, "mode": "interactive"})
            self.assertEqual(self.expect(answer, 400, "bad-value").json["pointer"], "/gid")
            self.pointer(f',"name":"{word}"', "", "bad-value", "/branches/0/name", "out of a path")
        for word in ("...", ".a", "a.", "%2e"):
            self.submit({"gid": word, "mode": "interactive"})

    def test_a_base_without_a_host(self):
        """The operation's name that is put behind it would be called."""
        for url in ("http://", "http://?a", "http:///", "grpc://"):
            for branch in ({"kind": "tcc", "url": url}, {"kind": "saga", "url": url}):
                answer = self.server.post("/v1/transactions", {"branches": [branch]})
                self.expect(answer, 400, "bad-value")
                self.assertEqual((answer.json["pointer"], answer.json["detail"]),
                                 ("/branches/0/url", "url: there is no host"))

    def test_fragments(self):
        """What stands behind '#' reaches nobody: three operations would be one URL."""
        url = "http://127.0.0.1/b#v2"
        for branch, field in (({"kind": "tcc", "url": url}, "url"),
                              (self.part.tcc(url=url), "url"),
                              (self.part.tcc(confirm=url), "confirm"),
                              (self.part.tcc(cancel="http://127.0.0.1/#"), "cancel")):
            self.refused({"branches": [branch]}, f"/branches/0/{field}")
            self.submit({"gid": "g", "mode": "interactive"})
            self.refused(dict(branch, name="x"), f"/{field}", "/v1/transactions/g/branches")
        self.refused({"mode": "interactive", "query_url": url}, "/query_url")
        self.refused({"mode": "resumed", "resume_url": url}, "/resume_url")

    def refused(self, body, pointer, path="/v1/transactions"):
        answer = self.expect(self.server.post(path, body), 400, "bad-value")
        self.assertEqual(answer.json["pointer"], pointer)
        self.assertIn("fragment", answer.json["detail"])
        self.assertIn("'#'", answer.json["hint"])

    def test_impossible_transactions(self):
        def branch(**more):
            return self.part.saga(**more)
        for branches, code in (
                ([branch(depends_on=["nobody"])], "invalid"),
                ([branch(name="a", depends_on=["b"]), branch(name="b", depends_on=["a"])],
                 "invalid"),
                ([branch(name="a", depends_on=["a"])], "invalid")):
            self.expect(self.server.post("/v1/transactions", {"branches": branches}), 400, code)
        self.expect(self.server.post("/v1/transactions", {
            "branches": [branch(name="a"), branch(name="a")]}), 409, "conflict")
        answer = self.server.post("/v1/transactions", {
            "branches": [branch(name="1"), branch()]})  # its place is 1
        self.expect(answer, 409, "conflict")
        self.assertEqual(answer.json.get("pointer"), "/branches/1", answer)
        self.assertIn("name", answer.json["detail"])
        self.expect(self.server.post("/v1/transactions", {"branches": [branch()] * 129}), 400,
                    "bad-value")
        self.assertEqual(self.part.calls, [])

    def test_too_large(self):
        answer = self.server.ask("POST", "/v1/transactions", body=b'{"gid":"' + b"x" * (1 << 20))
        self.expect(answer, 413, "too-large")

    def test_media_type(self):
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx",
                     "multipart/form-data", ""):
            self.expect(self.server.ask("POST", "/v1/transactions", body=b"{}",
                                        headers={"Content-Type": kind}), 415, "media-type")
            self.expect(self.server.ask("POST", "/v1/transactions/x/commit", body=b"{}",
                                        headers={"Content-Type": kind}), 415, "media-type")
        self.expect(self.server.ask("POST", "/v1/transactions", body=b"{}", headers={
            "Content-Type": "application/json; charset=utf-8"}), 400, "missing-field")

    def test_the_words_are_those_of_the_api(self):
        """What the library says with its functions and flags, HTTP says with routes and fields."""
        said = {"who": "ann", "why": "test"}
        self.submit({"gid": "o", "mode": "interactive"})
        self.part.rules["/a/try"] = lambda headers, body: (202, b"")
        self.expect(self.server.post("/v1/transactions/o/branches", self.part.tcc(name="it")), 200)
        self.expect(self.server.post("/v1/transactions/o/park", said), 200)
        for path, body, words in (
                ("retry", said, "POST /v1/transactions/{gid}/resume"),
                ("branches/it/result", {"reply": "done"}, "'initiator'"),
                ("force", {"as": "done", "branch": "it", "operation": "confirm", **said},
                 "it is ACTIVE: of branch it only try may be declared done, not confirm")):
            answer = self.expect(self.server.post("/v1/transactions/o/" + path, body), 409, "state")
            self.assertIn(words, answer.json["detail"])
            self.assertNotRegex(answer.json["detail"], "etx_|ETX_|etx tx")

    def test_a_query_that_nobody_reads(self):
        for method, path in routes(self.server):
            if path.startswith("/v1/") and (method, path) != ("GET", "/v1/transactions"):
                answer = self.server.ask(method, path + "?x=1", body=b"{}")
                self.expect(answer, 400, "bad-query")
        for path in ("/healthz", "/readyz", "/metrics"):
            self.assertEqual(self.server.get(path + "?x=1").status, 200, path)

    def test_content_encoding(self):
        for coding, status in (("gzip", 415), ("identity, br", 415), ("Identity", 400), ("", 400)):
            answer = self.server.ask("POST", "/v1/transactions", body=b"{}",
                                     headers={"Content-Encoding": coding})
            self.expect(answer, status)
            self.assertEqual(f"'{coding}'" in answer.json["detail"], status == 415, answer)


class Http(Case):
    def test_paths_and_methods(self):
        for path in ("/", "/v1", "/v1/", "/v1/transactions/", "/v1/transactions//x",
                     "/v1/transactions/a/b/c", "/v1/transactions/x/branches/", "/v1/../healthz",
                     "/healthz/", "//healthz", "/v1/transactions/x/fly"):
            self.assertEqual(self.server.get(path).status, 404, path)
        answer = self.server.ask("DELETE", "/v1/transactions")
        self.expect(answer, 405, "method")
        self.assertEqual(answer.headers["Allow"], "POST, GET")
        self.expect(self.server.get("/v1/transactions/x/commit"), 405, "method")
        head = self.server.ask("HEAD", "/healthz")
        self.assertEqual((head.status, head.text), (200, ""))

    def test_smuggling(self):
        head = (b"POST /v1/transactions HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: application/json\r\n")
        hidden = b"GET /v1/version HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for fields in (b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
                       b"Content-Length: 0\r\nContent-Length: 4\r\n", b"Content-Length: +0\r\n",
                       b"Content-Length : 0\r\n", b"Transfer-Encoding: xchunked\r\n",
                       b"X: a\r\n b\r\nContent-Length: 0\r\n", b"X: a\0b\r\nContent-Length: 0\r\n",
                       b"Content-Length: 0\n"):
            answer = self.server.raw(head + fields + b"\r\n" + hidden)
            self.assertRegex(answer, rb"^HTTP/1.1 (400|501)", fields)
            problem = json.loads(answer.split(b"\r\n\r\n", 1)[1])
            self.assertIn(problem["code"], ("bad-request", "not-served"), fields)
            self.assertTrue(problem["detail"] and problem["hint"], fields)
            self.assertNotIn(b'"etxd"', answer, fields)

    def test_browsers_are_refused(self):
        for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"},
                        {"Origin": "http://localhost"}, {"Sec-Fetch-Site": "cross-site"},
                        {"Sec-Fetch-Site": "same-site"}):
            for method, path in routes(self.server):
                answer = self.server.ask(method, path, body=b"{}", headers=headers)
                self.expect(answer, 403, "browser")
        for fields in ("Origin:", "Origin:\r\nOrigin: http://evil.example", "Sec-Fetch-Site:",
                       "Sec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site",
                       "Sec-Fetch-Site: same-origin\r\nsec-fetch-site: same-site"):
            answer = self.server.raw(f"GET /healthz HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"
                                     "Connection: close\r\n\r\n".encode())
            self.assertIn(b" 403 ", answer[:20], fields)
        same = {"Sec-Fetch-Site": "same-origin"}
        self.assertEqual(self.server.get("/healthz", headers=same).status, 200)
        for host in ("evil.example", "evil.example:7830", "127.0.0.1.evil.example", "[::2]", "a[",
                     "10.0.0.1", "localhost.evil.example", "localhostess", 300 * "a"):
            for method, path in routes(self.server):
                answer = self.server.ask(method, path, body=b"{}", headers={"Host": host})
                self.assertIn(answer.status, (400, 421), (host, path, answer))
        self.assertIn(b" 421 ", self.server.raw(b"GET /healthz HTTP/1.0\r\n\r\n")[:20])
        for host in ("localhost", "LOCALHOST:1", "127.0.0.1", "127.9.9.9:7830", "[::1]:80",
                     "localhost."):
            self.assertEqual(self.server.get("/healthz", headers={"Host": host}).status, 200, host)
        server = Server("--allow-host", "etx.internal")
        self.addCleanup(server.close)
        self.assertEqual(server.get("/healthz", headers={"Host": "etx.internal:80"}).status, 200)


class Listener(http.client.HTTPConnection):
    """To one of a server's listeners, as the log has its address."""

    def __init__(self, address, context):
        super().__init__("localhost", timeout=30)
        self.address, self.context = address, context

    def connect(self):
        if self.address.startswith("unix:"):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(self.timeout)
            self.sock.connect(self.address[len("unix:"):])
        else:
            host, port = self.address.rsplit(":", 1)
            self.sock = socket.create_connection((host.strip("[]"), int(port)), self.timeout)
        if self.context is not None:
            self.sock = self.context.wrap_socket(self.sock, server_hostname="localhost")


class Listeners(Case):
    """A page can have a browser ask any of them, whatever there is beside it."""

    def open(self, *flags, context=None):
        listeners = ["127.0.0.1:0", f"unix:{self.server.folder}/{len(flags)}.socket"]
        if has_ip6():
            listeners.append("[::1]:0")
        server = Server(*(word for one in listeners for word in ("--listen", one)), *flags,
                        context=context)
        self.addCleanup(server.close)
        lines = map(json.loads, server.log().splitlines())
        addresses = [line["address"] for line in lines if line["message"].startswith("listening")]
        self.assertEqual(len(addresses), 1 + len(listeners))
        return addresses

    def ask(self, address, context, method, path, headers):
        connection = Listener(address, context)
        try:
            connection.request(method, path, body=b"{}", headers={**etxd_common.JSON, **headers})
            response = connection.getresponse()
            return etxd_common.Answer(response, response.read())
        finally:
            connection.close()

    def judge(self, addresses, context=None):
        for address in addresses:
            for headers, status, code in (({"Origin": "https://localhost"}, 403, "browser"),
                                          ({"Sec-Fetch-Site": "cross-site"}, 403, "browser"),
                                          ({"Host": "evil.example"}, 421, "host"),
                                          ({"Host": "10.0.0.1:7830"}, 421, "host")):
                for method, path in (("GET", "/healthz"), ("GET", "/v1/transactions"),
                                     ("POST", "/v1/transactions")):
                    answer = self.ask(address, context, method, path, headers)
                    with self.subTest(address, headers=headers, path=path):
                        self.expect(answer, status, code)
            self.assertEqual(self.ask(address, context, "GET", "/healthz", {}).text, "alive\n")

    def test_browsers_are_refused(self):
        self.judge(self.open())
        certificate, key, context = etxd_common.certify(self.server.folder)
        self.judge(self.open("--tls-certificate", certificate, "--tls-key", key,
                             context=context), context)

    def test_one_beyond_loopback(self):
        """The refusal is no matter of where a server listens."""
        server = Server("--listen", "0.0.0.0:0", "--insecure-without-tls",
                        "--insecure-without-tokens")
        self.addCleanup(server.close)
        lines = map(json.loads, server.log().splitlines())
        self.judge([line["address"].replace("0.0.0.0", "127.0.0.1") for line in lines
                    if line["message"] == "listening"])


def has_ip6():
    try:
        with socket.socket(socket.AF_INET6) as one:
            one.bind(("::1", 0))
    except OSError:
        return False
    return True


def routes(server):
    """(method, path) of every route of the OpenAPI document, with names filled in."""
    document = server.get("/v1/openapi.json").json
    return [(method.upper(), path.replace("{gid}", "x").replace("{name}", "y"))
            for path, item in document["paths"].items()
            for method in item if method in ("get", "post")]


class Targets(Case):
    def judge(self, server, url, status):
        answer = server.post("/v1/transactions", {"branches": [
            {"kind": "message", "deliver": url}], "wait": "begun"})
        self.assertEqual(answer.status, status, (url, answer))
        return answer

    def test_by_default_loopback_only(self):
        for url in ("http://10.0.0.1/", "http://169.254.169.254/latest", "http://[fe80::1]/",
                    "http://example.org/", "http://0.0.0.0:80/", "http://[::]:80/"):
            self.expect(self.judge(self.server, url, 403), 403, "target-not-allowed")
        for url in ("ftp://127.0.0.1/", "http://u:p@127.0.0.1/", "http://0x7f.1/",
                    "http://017700000001/", "http://2130706433/", "/x", "", "http://",
                    "http://127.0.0.1:99999/", "http://a b/", "javascript:alert(1)"):
            self.expect(self.judge(self.server, url, 400), 400, "bad-value")

    def test_allow_list(self):
        server = Server("--allow-target", "http://only.example:8080")
        self.addCleanup(server.close)
        self.judge(server, "http://only.example:8080/x", 200)
        self.judge(server, "http://only.example:8081/x", 403)
        self.judge(server, "https://only.example:8080/x", 403)
        self.judge(server, "http://127.0.0.1:80/x", 403)

    def test_beyond_loopback_none(self):
        """Whoever else can ask could have this machine's own services called."""
        words = ("--insecure-without-tls", "--insecure-without-tokens")
        for flags, listen in ((words, "0.0.0.0:0"), ((*words, "--listen", "0.0.0.0:0"), None)):
            server = Server(*flags, listen=listen or "127.0.0.1:0")
            self.addCleanup(server.close)
            server.host = "127.0.0.1"
            for url in (self.part.url, "http://127.0.0.1/", "http://localhost/", "https://[::1]/",
                        "http://10.0.0.1/", "http://169.254.169.254/", "http://example.org/"):
                self.expect(self.judge(server, url, 403), 403, "target-not-allowed")
        server = Server(*words, "--allow-target", "http://127.0.0.1:*", listen="0.0.0.0:0")
        self.addCleanup(server.close)
        server.host = "127.0.0.1"
        self.judge(server, self.part.url, 200)
        self.eventually(lambda: self.part.paths() == ["/"])

    def test_wherever_a_url_may_stand(self):
        far = "http://10.0.0.1/"
        for body in ({"branches": [dict(self.part.tcc(), cancel=far)]},
                     {"branches": [{"kind": "xa", "url": far}]},
                     {"mode": "interactive", "query_url": far},
                     {"mode": "resumed", "resume_url": far}):
            self.expect(self.server.post("/v1/transactions", body), 403, "target-not-allowed")
        self.submit({"gid": "g", "mode": "interactive"})
        self.expect(self.server.post("/v1/transactions/g/branches", {
            "kind": "message", "name": "m", "deliver": far}), 403, "target-not-allowed")


if __name__ == "__main__":
    etxd_common.main()
