#!/usr/bin/env python3
"""Tokens: scopes and prefixes on every route, list and stream; rates; reload; TLS."""
import hashlib
import os
import secrets
import signal
import ssl
import subprocess
import threading
import urllib.request

import etxd_common
from etxd_common import Case, Server
from etxd_events import Stream


class TokenCase(Case):
    flags = ()

    def setUp(self):
        super().setUp()
        self.server.close()
        self.folder = self.enterContext(etxd_common.tempfile.TemporaryDirectory())
        self.path = os.path.join(self.folder, "tokens")
        self.tokens = {}
        for name, rest in (("all", "submit,read,operate"), ("submit", "submit"), ("read", "read"),
                           ("operate", "operate"),
                           ("shop", "submit,read,operate gid-prefix=shop-"),
                           ("bank", "submit,read,operate gid-prefix=bank-")):
            self.make(name, rest)
        self.server = Server("--token-file", self.path, *self.flags)
        self.addCleanup(self.server.close)

    def make(self, name, rest):
        token = secrets.token_hex(32)
        self.tokens[name] = token
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(f"sha256:{hashlib.sha256(token.encode()).hexdigest()} {rest} name={name}\n")

    def ask(self, method, path, who, body=None):
        headers = {"Authorization": "Bearer " + self.tokens.get(who, who)} if who else {}
        return self.server.ask(method, path, body=body, headers=headers)

    def routes(self):
        document = self.ask("GET", "/v1/openapi.json", "all").json
        return [(method.upper(), path, item[method]["x-scope"])
                for path, item in document["paths"].items() for method in item
                if method in ("get", "post")]


class Tokens(TokenCase):
    def test_another_scheme(self):
        for scheme, status in (("Bearer", 200), ("bearer", 200), ("Digest", 401), ("BearerX", 401)):
            answer = self.server.ask("GET", "/v1/transactions", headers={
                "Authorization": f"{scheme} {self.tokens['read']}"})
            self.assertEqual(answer.status, status, scheme)

    def test_no_body_is_taken_without_a_token(self):
        """Whoever may ask nothing cannot have the server keep a megabyte for each connection."""
        def send(headers, body, path="/v1/transactions", seconds=20):
            return self.server.raw(f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}"
                                   "Content-Length: 1048576\r\n\r\n".encode() + body, seconds)
        bearer = "Authorization: Bearer "
        for headers in ("", bearer + "wrong\r\n", "Expect: 100-continue\r\n"):
            for path in ("/v1/transactions", "/healthz", "/nothing"):
                for body in (b"", bytes(200000)):
                    answer = send(headers, body, path)
                    self.assertTrue(answer.startswith(b"HTTP/1.1 401 "), (path, answer[:100]))
                    self.assertIn(b"token", answer)
                    self.assertIn(b"Connection: close", answer)
        good = f"{bearer}{self.tokens['all']}\r\nExpect: 100-continue\r\n"
        self.assertEqual(send(good, b"", seconds=3), b"HTTP/1.1 100 Continue\r\n\r\n")

    def test_every_route_without_a_token(self):
        checked = 0
        for method, path, scope in self.routes():
            path = path.replace("{gid}", "x").replace("{name}", "y")
            for who in (None, "wrong", "", " ", self.tokens["all"] + "x", self.tokens["all"][:-1]):
                answer = self.ask(method, path, who, b"{}")
                if scope == "open":
                    self.assertEqual(answer.status, 200, (method, path))
                else:
                    self.expect(answer, 401)
                    self.assertIn("Bearer", answer.headers["WWW-Authenticate"])
                    checked += 1
        self.assertGreater(checked, 80)
        for path in ("/nothing", "/v1/transactions/x/y/z"):
            self.expect(self.ask("GET", path, None), 401)

    def test_every_route_with_the_wrong_scope(self):
        for method, path, scope in self.routes():
            path = path.replace("{gid}", "x").replace("{name}", "y")
            for who in ("submit", "read", "operate"):
                if scope in ("submit", "read", "operate") and who != scope:
                    self.expect(self.ask(method, path, who, b"{}"), 403, "scope")

    def test_every_route_with_another_prefix(self):
        body = {"gid": "shop-1", "branches": [dict(self.part.tcc())], "wait": "begun"}
        self.part.rules["/a/try"] = lambda headers, body: (202, b"")
        self.expect(self.ask("POST", "/v1/transactions", "shop", etxd_common.json.dumps(body)), 200)
        for method, path, scope in self.routes():
            if "{gid}" in path:
                path = path.replace("{gid}", "shop-1").replace("{name}", "0")
                self.expect(self.ask(method, path, "bank", b"{}"), 403, "gid-prefix")
                if path.endswith("/events"):
                    continue
                answer = self.ask(method, path.replace("shop-1", "shop-none"), "shop", b"{}")
                self.assertIn(answer.status, (200, 400, 404, 409), (path, answer))
        self.expect(self.ask("POST", "/v1/transactions", "bank", etxd_common.json.dumps(body)), 403,
                    "gid-prefix")
        self.expect(self.ask("GET", "/metrics", "bank"), 403, "scope")

    def test_the_whole_prefix(self):
        for gid, status in (("shop-1", 404), ("shop-", 404), ("shop", 403), ("s", 403),
                            ("SHOP-1", 403), ("xshop-1", 403)):
            answer = self.ask("GET", "/v1/transactions/" + gid, "shop")
            self.assertEqual(answer.status, status, gid)

    def test_lists_and_bulks_obey_the_prefix(self):
        self.part.rules["/a/try"] = lambda headers, body: (202, b"")
        for who in ("shop", "shop", "bank"):
            answer = self.expect(self.ask("POST", "/v1/transactions", who, etxd_common.json.dumps(
                {"branches": [self.part.tcc()], "wait": "begun"})), 200)
            self.assertTrue(answer.json["gid"].startswith(who + "-"), answer)
        self.expect(self.ask("POST", "/v1/transactions", "all", etxd_common.json.dumps(
            {"gid": "bazaar", "branches": [self.part.tcc()], "wait": "begun"})), 200)

        def count(who, query=""):
            return len(self.ask("GET", "/v1/transactions" + query, who).json["transactions"])
        self.assertEqual([count("shop"), count("bank"), count("all")], [2, 1, 4])
        self.assertEqual(count("bank", "?gid_prefix=shop-"), 0)
        self.assertEqual(count("all", "?gid_prefix=ba"), 2)
        self.assertEqual(count("bank", "?gid_prefix=ba"), 1)  # not the bazaar's
        self.assertEqual(count("bank", "?gid_prefix=bank-no"), 0)
        page = self.ask("GET", "/v1/transactions?limit=1", "all").json
        self.assertIsNotNone(page["cursor"])  # there is more, for who may see it
        page = self.ask("GET", "/v1/transactions?gid_prefix=shop-&cursor=" + page["cursor"], "bank")
        self.assertEqual(page.json, {"transactions": [], "cursor": None})
        body = b'{"filter":{},"why":"test"}'
        self.assertEqual(self.ask("POST", "/v1/transactions/park", "bank", body).json, {"count": 1})
        body = b'{"filter":{"gid_prefix":"shop-"},"why":"test"}'
        self.assertEqual(self.ask("POST", "/v1/transactions/park", "bank", body).json, {"count": 0})
        self.assertEqual(count("all", "?parked=true"), 1)

    def stream(self, who, last=None):
        stream = Stream(self.server, last=last, token=self.tokens[who])
        self.addCleanup(stream.close)
        self.assertEqual(stream.status, 200)
        return stream

    def test_streams_obey_the_prefix(self):
        """Of others' gids, and of what is of no gid, such a token is told nothing."""
        gids = ["bank-1", "shop-1", "bazaar", "shop-2"]
        streams = {who: self.stream(who) for who in ("all", "shop")}
        for gid in gids:
            self.expect(self.ask("POST", "/v1/transactions", "all", etxd_common.json.dumps(
                {"gid": gid, "branches": [self.part.tcc()], "wait": "ended"})), 200)

        def told(stream):
            """Of each event until the last has ended: its id, and its gid if it has one."""
            events = []
            while not events or events[-1] != ("ended", "shop-2"):
                event = stream.next()
                events.append((event["event"], event["data"].get("gid")))
                ids[events[-1]] = event.get("id")
            return [gid for _, gid in events]
        ids = {}
        self.assertEqual(set(told(streams["all"])), set(gids))
        first = ids["begun", "bank-1"]
        self.assertEqual(set(told(streams["shop"])), {"shop-1", "shop-2"})
        self.assertEqual(set(told(self.stream("shop", last=first))), {"shop-1", "shop-2"})
        # all that is kept, from the start on; and first that there may have been more
        self.assertEqual(set(told(self.stream("all", last="abc-1"))), {None, *gids})
        whole = told(self.stream("shop", last="abc-1"))
        self.assertEqual((whole[0], set(whole[1:])), (None, {"shop-1", "shop-2"}))

    def test_who_says_so_is_recorded_with_the_token(self):
        self.part.rules["/a/try"] = lambda headers, body: (202, b"")
        gid = self.ask("POST", "/v1/transactions", "all", etxd_common.json.dumps(
            {"branches": [self.part.tcc()], "wait": "begun"})).json["gid"]
        body = b'{"who":"the-chief","why":"test"}'
        self.expect(self.ask("POST", f"/v1/transactions/{gid}/park", "operate", body), 200)
        # a long one does not push the token's name out of what is recorded
        body = b'{"who":"' + b"x" * 127 + b'","why":"test"}'
        self.expect(self.ask("POST", f"/v1/transactions/{gid}/resume", "operate", body), 200)
        home = os.path.join(self.server.folder, "home")
        self.server.kill()
        log = b""
        for name in os.listdir(home):
            with open(os.path.join(home, name), "rb") as file:
                log += file.read()
        self.assertIn(b"the-chief (token operate)", log)
        self.assertIn(b"x" * 48 + b" (token operate)", log)

    def test_no_token_in_any_log_line(self):
        self.ask("GET", "/v1/version", "all")
        self.ask("GET", "/v1/version", "wrongtoken")
        log = self.server.log()
        self.assertIn('"token":"all"', log)
        for token in list(self.tokens.values()) + ["wrongtoken"]:
            self.assertNotIn(token, log)

    def test_reload(self):
        self.expect(self.ask("GET", "/v1/version", "all"), 200)
        late = secrets.token_hex(32)
        self.expect(self.ask("GET", "/v1/version", late), 401)
        old = self.tokens.pop("all")
        os.unlink(self.path)
        self.make("all", "read")
        self.server.process.send_signal(signal.SIGHUP)
        self.server.wait_log("taken up anew")
        self.expect(self.ask("GET", "/v1/version", old), 401, "bad-token")
        self.expect(self.ask("GET", "/v1/version", "all"), 200)
        with open(self.path, "w", encoding="utf-8") as file:
            file.write("nonsense\n")
        self.server.process.send_signal(signal.SIGHUP)
        self.server.wait_log("nothing was taken up anew")
        self.expect(self.ask("GET", "/v1/version", "all"), 200)


    def test_reload_ends_what_a_token_has_open(self):
        """Streams and orders for many whose token went, or may do something else, end."""
        self.part.rules["/a/try"] = lambda headers, body: (202, b"")
        for who in ("shop", "bank"):
            for _ in range(20):
                self.expect(self.ask("POST", "/v1/transactions", who, etxd_common.json.dumps(
                    {"branches": [self.part.tcc()], "wait": "begun"})), 200)
        streams = {}
        for who, path in (("all", "/v1/events"), ("read", "/v1/events"), ("shop", "/v1/events"),
                          ("bank", "/v1/transactions/bank-x/events")):
            request = urllib.request.Request(
                f"http://127.0.0.1:{self.server.port}{path}",
                headers={"Authorization": "Bearer " + self.tokens[who]})
            streams[who] = urllib.request.urlopen(request, timeout=20)
            self.addCleanup(streams[who].close)
            self.assertEqual(streams[who].readline(), b":\n")
        orders = {}
        threads = [threading.Thread(target=lambda who=who: orders.update({who: self.ask(
            "POST", "/v1/transactions/park", who, b'{"filter":{},"per_second":1,"why":"a"}')}))
                   for who in ("shop", "bank")]
        for thread in threads:
            thread.start()
            self.addCleanup(thread.join)
        for who in ("shop", "bank"):  # it is under way
            self.eventually(lambda who=who: self.ask("GET", "/v1/transactions?parked=true",
                                                     who).json["transactions"])
        with open(self.path, encoding="utf-8") as file:
            lines = [line.replace("gid-prefix=bank-", "gid-prefix=ban").replace(
                "submit,read,operate name=all", "submit,read name=all")
                     for line in file if "gid-prefix=shop-" not in line]
        with open(self.path, "w", encoding="utf-8") as file:
            file.writelines(lines)
        self.server.process.send_signal(signal.SIGHUP)
        self.server.wait_log("taken up anew")
        for who in ("all", "shop", "bank"):
            streams[who].read()  # to its end, which comes
        for thread in threads:
            thread.join()
        for who in ("shop", "bank"):
            self.expect(orders[who], 401, "bad-token")
        self.expect(self.ask("POST", "/v1/transactions", "submit", etxd_common.json.dumps(
            {"gid": "more", "branches": [self.part.tcc()], "wait": "begun"})), 200)
        self.eventually(lambda: b'"gid":"more"' in streams["read"].readline())


class Rate(TokenCase):
    flags = ("--rate", "5")

    def test_too_many(self):
        answers = [self.ask("GET", "/v1/version", "shop") for _ in range(12)]
        refused = [answer for answer in answers if answer.status != 200]
        self.assertGreater(len(refused), 2)
        for answer in refused:
            self.expect(answer, 429, "rate")
            self.assertEqual(answer.headers["Retry-After"], "1")
        self.expect(self.ask("GET", "/v1/version", "bank"), 200)
        self.assertEqual(self.ask("GET", "/healthz", None).status, 200)


@etxd_common.unittest.skipUnless(etxd_common.ETX, "the command etx was not built")
class Create(TokenCase):
    def etx(self, *args):
        return subprocess.run([etxd_common.ETX, "token", "create", *args], capture_output=True,
                              text=True, timeout=30, check=False)

    def test_create(self):
        made = self.etx("--file", self.path, "--scope", "submit,read", "--gid-prefix", "new-",
                        "--name", "fresh")
        self.assertEqual(made.returncode, 0, made)
        token = made.stdout.strip()
        self.assertEqual(len(token), 64)
        with open(self.path, encoding="utf-8") as file:
            self.assertNotIn(token, file.read())
        self.expect(self.ask("GET", "/v1/version", token), 401, "bad-token")
        self.server.process.send_signal(signal.SIGHUP)
        self.server.wait_log("taken up anew")
        self.expect(self.ask("GET", "/v1/version", token), 200)
        self.expect(self.ask("GET", "/v1/transactions/old-1", token), 403, "gid-prefix")
        self.expect(self.ask("POST", "/v1/transactions/retry", token, b"{}"), 403, "scope")

    def test_a_file_without_its_last_newline(self):
        for last in ("# until May", "sha256:" + 64 * "0" + " read name=old"):
            with open(self.path, "w", encoding="utf-8") as file:
                file.write(last)
            made = self.etx("--file", self.path, "--scope", "read", "--name", "fresh")
            self.assertEqual(made.returncode, 0, made)
            with open(self.path, encoding="utf-8") as file:
                before, line = file.read().splitlines()
            self.assertEqual(before, last)
            self.assertTrue(line.endswith(" read name=fresh"), line)
            self.server.process.send_signal(signal.SIGHUP)
            self.eventually(lambda token=made.stdout.strip(): self.ask(
                "GET", "/v1/version", token).status == 200)

    def test_scopes_count_once(self):
        made = self.etx("--file", self.path, "--scope", ",".join(["operate", "submit"] * 80),
                        "--gid-prefix", "p" * 128, "--name", "n" * 64)
        self.assertEqual(made.returncode, 0, made)
        with open(self.path, encoding="utf-8") as file:
            line = file.read().splitlines()[-1]
        self.assertEqual(line.split(" ", 1)[1],
                         f"submit,operate gid-prefix={'p' * 128} name={'n' * 64}")

    def test_where_the_file_is_by_itself(self):
        usual = os.path.join(self.folder, "etx-tokens")
        for more, path in (({}, usual), ({"ETXD_TOKEN_FILE": self.path}, self.path)):
            made = subprocess.run([etxd_common.ETX, "token", "create", "--scope", "read"],
                                  capture_output=True, text=True, timeout=30, check=False,
                                  cwd=self.folder, env={"PATH": os.environ["PATH"], **more})
            self.assertEqual(made.returncode, 0, made)
            name = "etx-tokens" if path == usual else path
            self.assertIn(f"etxd --token-file {name}", made.stderr)
            with open(path, encoding="utf-8") as file:
                digest = hashlib.sha256(made.stdout.strip().encode()).hexdigest()
                self.assertIn(digest, file.read())

    def test_bad_usage(self):
        new = os.path.join(self.folder, "new")
        for args in ((), ("--file", new), ("--file", new, "--scope", "fly"),
                     ("--file", new, "--scope", ""), ("--file", new, "--scope", "read,"),
                     ("--file", new, "--scope", "read", "--name", "a b"),
                     ("--file", new, "--scope", "read", "--gid-prefix", "a#"),
                     ("--file", "/nowhere/x", "--scope", "read")):
            self.assertEqual(self.etx(*args).returncode, 2, args)
        self.assertFalse(os.path.exists(new))
        self.assertEqual(self.etx("--file", new, "--scope", "read").returncode, 0)
        self.assertEqual(os.stat(new).st_mode & 0o777, 0o600)


class Tls(Case):
    def setUp(self):
        super().setUp()
        self.folder = self.enterContext(etxd_common.tempfile.TemporaryDirectory())
        self.make()

    def make(self):
        self.paths = etxd_common.certify(self.folder)[:2]

    def test_a_reload_is_whole_or_none(self):
        secret = os.path.join(self.folder, "secret")

        def write(text):
            with open(secret, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(secret, 0o600)
        write("0123456789abcdef")
        server = Server("--tls-certificate", self.paths[0], "--tls-key", self.paths[1],
                        "--sign-key-id", "k", "--sign-key", "file:" + secret)
        self.addCleanup(server.close)

        def shown():
            return ssl.get_server_certificate(("127.0.0.1", server.port))
        before = shown()
        self.make()
        write("short")
        server.process.send_signal(signal.SIGHUP)
        server.wait_log("nothing was taken up anew")
        self.assertEqual(shown(), before)
        write("0123456789abcdef")
        server.process.send_signal(signal.SIGHUP)
        server.wait_log("taken up anew")
        self.assertNotEqual(shown(), before)

    def test_a_reload_takes_files_of_another_name(self):
        config = os.path.join(self.folder, "c.yaml")

        def write():
            with open(config, "w", encoding="utf-8") as file:
                file.write(f"tls-certificate: {self.paths[0]}\ntls-key: {self.paths[1]}\n")
        write()
        server = Server("--config", config)
        self.addCleanup(server.close)
        self.paths = [path + "2" for path in self.paths]
        self.make()
        write()
        server.process.send_signal(signal.SIGHUP)
        server.wait_log("taken up anew")
        with open(self.paths[0], encoding="utf-8") as file:
            self.assertEqual(ssl.get_server_certificate(("127.0.0.1", server.port)), file.read())

    def test_tls(self):
        certificate, key = self.paths
        server = Server("--tls-certificate", certificate, "--tls-key", key)
        self.addCleanup(server.close)
        context = ssl.create_default_context(cafile=certificate)
        with urllib.request.urlopen(f"https://127.0.0.1:{server.port}/readyz",
                                    context=context) as answer:
            self.assertEqual(answer.read(), b"ready\n")
        server.process.send_signal(signal.SIGHUP)
        server.wait_log("taken up anew")


if __name__ == "__main__":
    etxd_common.main()
