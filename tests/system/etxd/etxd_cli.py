#!/usr/bin/env python3
"""`etx tx` as a client of etxd."""
import json
import os
import signal
import subprocess
import time

import etxd_common
from etxd_common import ETX, Case, Server


@etxd_common.unittest.skipUnless(ETX, "the command etx was not built")
class Client(Case):
    def run_etx(self, *args, text=None, env=None):
        env = dict(os.environ, ETX_SERVER=f"http://127.0.0.1:{self.server.port}", **(env or {}))
        return subprocess.run([ETX, "tx", *args], capture_output=True, text=True, timeout=60,
                              env=env, input=text, check=False)

    def etx(self, code, *args, text=None, env=None):
        result = self.run_etx(*args, text=text, env=env)
        self.assertEqual(result.returncode, code, result)
        return result.stdout if code < 2 else result.stderr

    def stuck(self, gid):
        self.part.rules["/a/try"] = lambda headers, body: (503, b"down")
        self.submit({"gid": gid, "branches": [self.part.tcc(name="it", payload={"a": 1})],
                     "wait": "begun"})

    def test_submit_commit_abort(self):
        body = json.dumps({"gid": "sub", "wait": "ended", "branches": [self.part.saga()]})
        self.assertIn("sub: COMMITTED", self.etx(0, "submit", "-", text=body))
        self.part.rules["/n/action"] = lambda headers, body: (409, b"")
        body = json.dumps({"wait": "ended", "branches": [self.part.saga("n")]})
        self.assertIn("ABORTED", self.etx(1, "submit", "-", "--json", text=body))
        self.etx(0, "submit", "-", text='{"gid":"open","mode":"interactive"}')
        self.assertIn("COMMIT", self.etx(0, "commit", "open"))
        self.assertIn("COMMITTED", self.etx(1, "abort", "open"))
        self.assertIn("ABORTED", self.etx(0, "abort", "nobody"))
        self.etx(1, "commit", "nobody")
        self.etx(1, "commit", "unheard-of")
        self.etx(2, "submit", "/nowhere/file")
        self.assertIn("did you mean 'branches'",
                      self.etx(2, "submit", "-", text='{"branch":[]}'))
        self.etx(2, "submit", "-", text="{")

    def test_a_file_is_sent_as_it_is(self):
        payload = ('{"a": 0.1, "b":1.10 , "c":1E2, "d":"\\u00e9\\/", "e":18446744073709551615, '
                   '"f": [ 1e400 ]}')
        branch = json.dumps(self.part.saga(name="it"))[:-1] + ', "payload": ' + payload + "}"
        text = '{ "gid": "exact", "wait":"ended", "branches": [' + branch + ']}'
        self.assertIn("exact: COMMITTED", self.etx(0, "submit", "-", text=text))
        self.assertEqual([body.decode() for path, _, body in self.part.calls], [payload])
        self.assertIn("exact: COMMITTED", self.etx(0, "submit", "-", text=text))
        file = os.path.join(self.server.folder, "begun.json")
        with open(file, "w", encoding="utf-8") as out:
            out.write(text.replace("[ 1e400 ]", "7").replace('"exact"', '"of the file"'))
        said = self.etx(0, "begin", file, "--gid", "begun", "--deadline", "1h")
        self.assertEqual(said, "begun\n")
        self.eventually(lambda: len(self.part.calls) == 2)
        self.assertEqual(self.part.calls[1][2].decode(), payload.replace("[ 1e400 ]", "7"))
        shown = json.loads(self.etx(0, "show", "begun", "--json"))
        self.assertEqual(shown["mode"], "interactive", shown)
        self.assertEqual(len(shown["branches"]), 1, shown)
        self.assertEqual(shown["branches"][0]["payload"], payload.replace("[ 1e400 ]", "7"))
        self.assertIn("COMMITTED", self.etx(0, "commit", "begun"))
        for bad in ("[1e999]", "[]", "1e999", '{"a":1e999', '{"branches":[]} x'):
            self.assertNotIn("COMMITTED", self.etx(2, "submit", "-", text=bad))

    def test_list_and_show(self):
        for number in range(3):
            self.stuck(f"stuck-{number}")
        self.submit({"gid": "done", "branches": [self.part.saga()], "wait": "ended"})
        self.assertEqual(self.etx(0, "list").count("ACTIVE"), 3)
        rows = [json.loads(line) for line in self.etx(0, "list", "--ended", "--json").splitlines()]
        self.assertEqual(sorted(row["gid"] for row in rows),
                         ["done", "stuck-0", "stuck-1", "stuck-2"])
        self.assertEqual(self.etx(0, "list", "--prefix", "stuck-1", "--state", "ACTIVE",
                                  "--json").count("stuck-1"), 1)
        self.assertIn("No transaction", self.etx(0, "list", "--older-than", "1h"))
        self.assertIn("--participant is for --home", self.etx(2, "list", "--participant", "x"))
        shown = json.loads(self.etx(0, "show", "stuck-0", "--json"))
        self.assertEqual(shown["state"], "ACTIVE")
        self.assertEqual(shown["branches"][0]["payload"], '{"a": 1}')
        self.assertIn("branch it", self.etx(0, "show", "stuck-0"))
        self.etx(1, "show", "nobody")

    def test_older_than(self):
        """What was begun before, and nothing younger: over HTTP, and by the command."""
        self.stuck("old")
        began = time.monotonic()
        self.eventually(lambda: time.monotonic() - began > 0.4)
        middle = time.monotonic()
        self.eventually(lambda: time.monotonic() - middle > 0.4)
        self.stuck("new")

        def of_the_server():
            age_ms = int(1000 * (time.monotonic() - middle))
            answer = self.server.get(f"/v1/transactions?older_than_ms={age_ms}")
            return [one["gid"] for one in answer.json["transactions"]]

        def of_the_command():
            age_ms = int(1000 * (time.monotonic() - middle))
            lines = self.etx(0, "list", "--older-than", f"{age_ms}ms", "--json").splitlines()
            return [json.loads(line)["gid"] for line in lines]
        for listed in (of_the_server, of_the_command):
            self.eventually(lambda listed=listed: listed() == ["old"])
        self.assertEqual({one["gid"] for one in self.server.get(
            "/v1/transactions?older_than_ms=1").json["transactions"]}, {"old", "new"})

    def test_color_only_on_a_terminal(self):
        self.stuck("stuck")
        self.assertNotIn("\033", self.etx(0, "list"))
        for no_color, colored in (("", True), ("1", False)):
            env = dict(os.environ, ETX_SERVER=f"http://127.0.0.1:{self.server.port}",
                       NO_COLOR=no_color, TERM="xterm")
            parent, child = os.openpty()
            self.addCleanup(os.close, parent)
            with subprocess.Popen([ETX, "tx", "list"], stdout=child, env=env) as etx:
                os.close(child)
                output = b""
                try:
                    while piece := os.read(parent, 65536):
                        output += piece
                except OSError:  # nobody writes any more
                    pass
                self.assertEqual(etx.wait(60), 0)
            self.assertIn(b"stuck", output)
            self.assertEqual(b"\033[1mSTATE" in output, colored)
            self.assertEqual(b"\033" in output, colored)

    def test_what_is_shown_can_be_pasted_back(self):
        """A gid as it is, with its backslash; and letters of any language as they are."""
        self.part.rules["/a/try"] = lambda headers, body: (503, b"down")
        self.submit({"gid": "a\\b", "branches": [self.part.tcc(name="c\\d")], "wait": "begun"})
        self.etx(0, "park", "a\\b", "--why", "\u00fcberlastet")
        home = self.server.folder + "/home"
        shown, log = [subprocess.run([ETX, *args], check=True, capture_output=True, text=True,
                                     timeout=60).stdout
                      for args in (["tx", "show", "a\\b", "--home", "file:" + home],
                                   ["log", "show", home])]
        self.assertIn("a\\b", self.etx(0, "show", "a\\b"))
        for text in (shown, log):
            self.assertIn("a\\b", text)
            self.assertIn("c\\d", text)
            self.assertNotIn("\\x", text)
            self.assertIn("\u00fcberlastet", text)

    def test_kind_and_stalled(self):
        self.server.close()
        self.server = Server("--retry-first", "5", "--retry-cap", "50", "--stalled-after", "2")
        self.addCleanup(self.server.close)
        self.stuck("stuck")
        self.part.rules["/s/compensate"] = lambda headers, body: (503, b"")
        self.part.rules["/s/action"] = lambda headers, body: (200, b"")
        self.part.rules["/r/action"] = lambda headers, body: (409, b"")
        self.submit({"gid": "halted", "branches": [
            {**self.part.saga("s"), "name": "a"},
            {**self.part.saga("r"), "name": "b", "depends_on": ["a"]}], "wait": "begun"})
        self.assertEqual(self.etx(0, "list", "--kind", "saga", "--json").count('"gid"'), 1)
        self.eventually(lambda: "halted" in self.etx(0, "list", "--stalled"))
        listed = self.etx(0, "list", "--stalled")
        self.assertIn("stalled", listed)
        self.assertNotIn("stuck", listed)
        said = ("--who", "ann", "--why", "test")
        self.assertIn("1 transaction", self.etx(0, "park", "--stalled", "--kind", "saga", *said))
        self.assertIn("No transaction", self.etx(0, "list", "--kind", "xa"))
        self.assertIn("tcc, saga", self.etx(2, "list", "--kind", "xy"))

    def test_operate(self):
        for number in range(2):
            self.stuck(f"op-{number}")
        said = ("--who", "ann", "--why", "test")
        self.etx(0, "park", "op-0", *said)
        self.assertIn("parked", self.etx(0, "show", "op-0"))
        self.etx(1, "retry", "op-0")  # nobody would be called
        refused = self.expect(self.server.post("/v1/transactions/op-0/retry"), 409)
        self.assertIn("it is parked", refused.json["detail"])
        self.etx(0, "resume", "--parked", *said)
        self.assertIn("2 transactions", self.etx(0, "park", "--all", *said))
        self.etx(0, "resume", "--prefix", "op-", *said)
        self.etx(0, "retry", "op-1")
        self.etx(1, "retry", "nobody")
        self.part.rules["/a/cancel"] = lambda headers, body: (500, b"")
        self.etx(0, "force", "op-0", "--as", "abort", *said)
        for word in ("compensate", "rollback", "notify"):  # other kinds' words
            self.etx(1, "force", "op-0", "--as", "done", "--branch", "it", "--operation", word,
                     *said)
        self.assertIn("ABORTING", self.etx(0, "show", "op-0"))
        self.etx(0, "force", "op-0", "--as", "done", "--branch", "it", "--operation", "cancel",
                 *said)
        self.eventually(lambda: "ABORTED" in self.etx(0, "show", "op-0"))

    def test_force_says_which_branches_there_are(self):
        self.stuck("op")
        for gid, branch, says in (("op", "no", "op: branch no is not there\n  branches: it\n"),
                                  ("nobody", "it", "ETX_ENOTFOUND")):
            said = self.run_etx("force", gid, "--as", "done", "--branch", branch, "--operation",
                                "forward", "--why", "x")
            self.assertEqual(said.returncode, 1, said)
            self.assertIn(says, said.stderr)

    def test_where_and_who(self):
        self.etx(2, "list", "--server", "http://127.0.0.1:1")
        self.etx(2, "list", "--server", "ftp://x")
        self.etx(2, "list", "--server", "http://127.0.0.1:1", "--home", "file:x")
        path = os.path.join(self.server.folder, "tokens")
        token = subprocess.run([ETX, "token", "create", "--file", path, "--scope", "read"],
                               capture_output=True, text=True, check=True).stdout.strip()
        server = Server("--token-file", path)
        self.addCleanup(server.close)
        url = f"http://127.0.0.1:{server.port}/"
        self.etx(0, "list", "--server", url, env={"ETX_TOKEN": token})
        self.refused(path, server, url)

    def refused(self, path, server, url):
        """What the token may not do is said first, and then what to do about it."""
        bound = subprocess.run([ETX, "token", "create", "--file", path, "--scope", "submit,read",
                                "--gid-prefix", "shop-"], capture_output=True, text=True,
                               check=True).stdout.strip()
        server.process.send_signal(signal.SIGHUP)
        server.wait_log("taken up anew")
        for token, args, what, todo in (
                ("", ("list",), "it wants a token", "set ETX_TOKEN"),
                ("wrong", ("list",), "it does not know the token", "ETX_TOKEN: it may be mistyped"),
                (bound, ("retry", "shop-1"), "it needs the scope operate", "etx token create"),
                (bound, ("show", "x"), "gids that begin with 'shop-'", "ETX_TOKEN"),
                (bound, ("watch", "x"), "gids that begin with 'shop-'", "ETX_TOKEN")):
            said = self.etx(2, *args, "--server", url, env={"ETX_TOKEN": token}).splitlines()
            self.assertIn(what, said[0])
            self.assertIn(todo, said[1])
            self.assertNotIn("EINVALID", "".join(said))

    def test_a_password_in_a_url_is_not_shown(self):
        for url, shown in (("http://u:s3cret@127.0.0.1:1", "'http://u:***@127.0.0.1:1'"),
                           ("http://u:s3cret/@x@127.0.0.1:1", "'http://u:***@127.0.0.1:1'"),
                           ("http://s3cret@127.0.0.1:1", "'http://***@127.0.0.1:1'"),
                           ("u:s3cret@127.0.0.1:1", "'u:***@127.0.0.1:1'")):
            for command, env in ((("tx", "list", "--server", url), {}),
                                 (("doctor", "--server", url), {}),
                                 (("top",), {"ETX_SERVER": url})):
                said = subprocess.run([ETX, *command], capture_output=True, text=True, timeout=60,
                                      env={**os.environ, **env}, check=False)
                self.assertEqual(said.returncode, 2, said)
                self.assertIn(shown, said.stderr)
                self.assertNotIn("s3cret", said.stderr)

    def test_no_token_goes_in_the_clear_beyond_this_machine(self):
        port = self.server.port
        far = f"http://0.0.0.0:{port}"  # the same server, and no address of loopback
        said = self.etx(2, "list", "--server", far, env={"ETX_TOKEN": "x"})
        self.assertIn("without TLS ETX_TOKEN could be read", said)
        self.assertIn("https://, or set ETX_INSECURE_WITHOUT_TLS=on", said)
        for word in ("", "off", "1"):
            self.etx(2, "list", "--server", far,
                     env={"ETX_TOKEN": "x", "ETX_INSECURE_WITHOUT_TLS": word})
        asked = len(self.server.log().splitlines())
        said = self.etx(2, "list", "--server", far,
                        env={"ETX_TOKEN": "x", "ETX_INSECURE_WITHOUT_TLS": "on"})
        self.assertIn("(host)", said, "it was asked")
        self.eventually(lambda: len(self.server.log().splitlines()) > asked)
        for near in ("127.0.0.1", "127.1.2.3", "localhost"):
            said = self.run_etx("list", "--server", f"http://{near}:{port}",
                                env={"ETX_TOKEN": "x"})
            self.assertNotIn("TLS", said.stderr)
        self.assertNotIn("TLS", self.etx(2, "list", "--server", "http://[::1]:1",
                                         env={"ETX_TOKEN": "x"}))

    def test_what_is_no_token(self):
        for token in ("abc\r", "abc\nX: y", "\x7f"):
            said = self.etx(2, "list", env={"ETX_TOKEN": token})
            self.assertIn("ETX_TOKEN has a character that no token has", said)
        self.assertIn("ETX_TOKEN is too long", self.etx(2, "list", env={"ETX_TOKEN": "x" * 300}))
        self.etx(0, "list", env={"ETX_TOKEN": "x" * 248})

    def test_the_pointer(self):
        for body, where in (('{"branch":[]}', "/branch"),
                            ('{"branches":[{"kind":"tcc"}]}', "/branches/0")):
            said = self.etx(2, "submit", "-", text=body)
            self.assertRegex(said, rf"\([a-z-]+, at {where}(/\w+)?\)\n$")

    def test_an_untrusted_certificate(self):
        certificate, key, _ = etxd_common.certify(self.server.folder)
        server = Server("--tls-certificate", certificate, "--tls-key", key, wait=False)
        self.addCleanup(server.close)
        server.wait_log("ready")
        url = f"https://127.0.0.1:{server.port}"
        for command in (("tx", "list"), ("doctor",), ("homes",)):
            said = subprocess.run([ETX, *command, "--server", url], capture_output=True, text=True,
                                  timeout=60, check=False)
            self.assertEqual(said.returncode, 2, said)
            self.assertIn("ETX_CA", said.stderr)
            self.assertNotIn("is etxd started", said.stderr)
        self.etx(0, "list", "--server", url, env={"ETX_CA": certificate})


if __name__ == "__main__":
    etxd_common.main()
