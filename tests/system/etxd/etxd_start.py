#!/usr/bin/env python3
"""Starting, configuring and ending etxd."""
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest

import etxd_common
from etxd_common import ETXD, Case, Server


def run(*args, env=None, cwd=None):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("ETXD_")}
    clean.update(env or {})
    return subprocess.run([ETXD, *args], capture_output=True, text=True, timeout=30, env=clean,
                          cwd=cwd, check=False)


class Configuration(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="etx-etxd-")
        self.addCleanup(self.folder.cleanup)

    def file(self, name, text):
        path = os.path.join(self.folder.name, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def bad(self, words, *args, **more):
        result = run(*args, **more)
        self.assertEqual(result.returncode, 2, result)
        self.assertIn(words, result.stderr)
        self.assertEqual(result.stdout, "")

    def test_help_names_every_setting(self):
        result = run("--help")
        self.assertEqual(result.returncode, 0)
        printed = run("--print-config").stdout
        for line in printed.splitlines():
            if not line.startswith("#"):
                self.assertIn("--" + line.split(":")[0], result.stdout)
        self.assertIn("curl", result.stdout)
        self.assertRegex(run("--version").stdout, r"^etxd \d+\.\d+\.\d+$")

    def test_flag_over_environment_over_file(self):
        path = self.file("c.yaml", "node: of-file\ndrain: 3s\nlog-level: debug\n"
                                   "allow-target:\n  - 'http://a:80'\n  - 'http://b:*'\n")
        result = run("--config", path, "--node", "of-flag", "--print-config",
                     env={"ETXD_NODE": "of-environment", "ETXD_LOG_LEVEL": "warning"})
        self.assertEqual(result.returncode, 0, result)
        self.assertIn("node: 'of-flag' # flag\n", result.stdout)
        self.assertIn("log-level: 'warning' # environment\n", result.stdout)
        self.assertIn("drain: 3000 # file\n", result.stdout)
        self.assertIn("allow-target: ['http://a:80', 'http://b:*'] # file\n", result.stdout)
        self.assertIn("listen: ['127.0.0.1:7830']\n", result.stdout)

    def test_what_is_printed_can_be_read(self):
        first = run("--node", "it's", "--print-config").stdout
        again = run("--config", self.file("p.yaml", first), "--print-config").stdout
        strip = [line.split(" #")[0] for line in again.splitlines()]
        self.assertEqual(strip, [line.split(" #")[0] for line in first.splitlines()])

    def test_secrets_are_not_shown(self):
        result = run("--home", "postgresql://u:geheim@db/x", "--print-config")
        self.assertIn("postgresql://u:***@db/x", result.stdout)
        self.assertNotIn("geheim", result.stdout)

    def test_typos_and_bad_values(self):
        self.bad("did you mean --listen?", "--lisen", "x")
        self.bad("did you mean token-file?", "--config", self.file("c", "tokenfile: x\n"))
        self.bad("c2:2: drain: 'soon' is no time", "--config",
                 self.file("c2", "node: a\ndrain: soon\n"))
        self.bad("is no setting", "--check-config", env={"ETXD_NOED": "x"})
        self.bad("depth: '100000' is not within 4 and 512\n", "--depth", "100000")
        self.bad("lease: '1' is not within 500 and 4294967295 ms, which a number alone counts",
                 "--lease", "1")
        self.bad("accept-chosen-home: 'f1' is no home's id", "--accept-chosen-home", "f1")
        self.bad("is neither on nor off", "--access-log=maybe")
        self.bad("needs a value", "--node")
        self.bad("go together", "--tls-certificate", "x")
        self.bad("is no address", "--listen", "example.org:80")
        self.bad("log-level", "--log-level", "loud")
        for text in ("- a\n", "a: {b: c}\n", "node: [a]\n", "node: &a b\nhome: *a\n", "{\n",
                     ": : :"):
            self.bad(":", "--config", self.file("bad", text))

    def test_beyond_loopback_only_in_words(self):
        self.bad("there is no TLS", "--listen", "0.0.0.0:0")
        self.bad("there are no tokens", "--listen", "*:0", "--insecure-without-tls")
        self.bad("there is no TLS", "--listen", "[::]:0", "--token-file", "/dev/null")
        result = run("--listen", "0.0.0.0:0", "--insecure-without-tls",
                     "--insecure-without-tokens", "--check-config")
        self.assertEqual((result.returncode, result.stdout), (0, "all is well\n"), result)

    def test_check_reads_tokens_and_certificates(self):
        self.bad("t:1: a line begins with sha256:", "--check-config", "--token-file",
                 self.file("t", "secret\n"))
        self.bad("No such file", "--check-config", "--token-file", "/nowhere/t")
        self.bad("cannot read the certificate /nowhere/c: No such file or directory",
                 "--check-config", "--tls-certificate", "/nowhere/c", "--tls-key", "/nowhere/k")

    def test_a_second_server_says_what_is_wrong(self):
        server = Server()
        self.addCleanup(server.close)
        result = run("--listen", f"127.0.0.1:{server.port}", cwd=self.folder.name)
        self.assertEqual(result.returncode, 1)
        self.assertIn("in use", result.stderr)
        result = run("--listen", "127.0.0.1:0", "--home", f"file:{server.folder}/home",
                     cwd=self.folder.name)
        self.assertEqual(result.returncode, 1)
        self.assertIn("the log cannot be used", result.stderr)

    def test_the_default_home(self):
        printed = run("--print-config", env={"STATE_DIRECTORY": "/var/lib/etxd:/other"}).stdout
        self.assertIn("home: ['file:/var/lib/etxd']\n", printed)
        self.assertIn("home: ['file:etx-data']\n",
                      run("--print-config", env={"STATE_DIRECTORY": ""}).stdout)


HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.join(HERE, *[os.pardir] * 3)

# In a network of its own, where no port is taken: what stands before README's first curl, what
# that takes for granted, and the rest.
NEWCOMER = """
set -eu
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
%s
for port in 7830/readyz 8002; do
    until [ "$(curl -s -o answer -w '%%{http_code}' "localhost:$port")" != 000 ] &&
        ! grep -q starting answer; do
        kill -0 $(jobs -p)
        sleep 0.05
    done
done
say() { echo "--"; curl -sS --fail-with-body "$@"; }
%s
echo --
%s tx list --ended --json
echo --
ls -A
"""


@unittest.skipUnless(etxd_common.ETX and shutil.which("curl") and shutil.which("unshare"),
                     "the command etx, curl or unshare is not there")
class Newcomer(unittest.TestCase):
    """No configuration, an empty directory, and the README."""

    def commands(self):
        with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as file:
            block = re.search(r"```sh\n(build/etxd/etxd &\n.*?)```", file.read(), re.DOTALL)[1]
        self.assertEqual(len(re.findall("^curl ", block, re.M)), 3, block)
        block = block.replace("build/etxd/etxd", f"'{ETXD}'").replace(
            "examples/", f"'{os.path.abspath(SOURCE)}/examples/'")
        before, curls = block.split("curl ", 1)
        return before, re.sub("^curl ", "say ", "curl " + curls, flags=re.M)

    def alone(self, script, folder):
        """A shell in a network that has a loopback and nothing else."""
        up = ("import fcntl, os, socket, struct, sys; "
              "fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sH14x', b'lo', 0x49)); "
              "os.execvp(sys.argv[1], sys.argv[1:])")
        whom = [] if os.geteuid() == 0 else ["--map-root-user"]
        unshare = ["unshare", *whom, "--net", sys.executable, "-c", up]
        tried = subprocess.run([*unshare, "true"], capture_output=True, text=True, check=False,
                               timeout=60)
        if tried.returncode != 0:
            self.skipTest("no network of one's own may be made here: " + tried.stderr.strip())
        clean = {k: v for k, v in os.environ.items()
                 if not k.startswith("ETX") and k not in ("STATE_DIRECTORY", "http_proxy")}
        if os.environ.get("SANITIZED"):
            clean["ETXD_CONFINE"] = "off"
        return subprocess.run([*unshare, "bash", "-c", script], capture_output=True, text=True,
                              check=False, cwd=folder, env=clean, timeout=120)

    def test_readme(self):
        folder = self.enterContext(tempfile.TemporaryDirectory(prefix="etx-etxd-"))
        before, curls = self.commands()
        done = self.alone(NEWCOMER % (before, curls, etxd_common.ETX), folder)
        self.assertEqual(done.returncode, 0, done)
        first, story, listed, found, files = done.stdout.split("--\n")[1:]
        first, story, listed, found = map(json.loads, (first, story, listed, found))
        self.assertEqual((first["gid"], first["state"], first["durability"]),
                         ("first", "COMMITTED", "local"))
        self.assertEqual([branch["forward"] for branch in story["branches"]], ["done"])
        self.assertEqual([one["gid"] for one in listed["transactions"]], ["first"])
        self.assertEqual((found["gid"], found["state"]), ("first", "COMMITTED"))
        self.assertIn("etx-data", files.split())
        self.assertEqual(os.stat(os.path.join(folder, "etx-data")).st_mode & 0o777, 0o700)
        self.assertIn('"address":"127.0.0.1:7830"', done.stderr)
        with sqlite3.connect(os.path.join(folder, "stock.db")) as db:
            self.assertEqual(dict(db.execute("SELECT name, balance FROM account")),
                             {"tea": 98, "sold": 2})
        db.close()


class Chosen(unittest.TestCase):
    """The home that chosen gids belonged to is lost, and that is accepted by name."""

    def open(self, folder, *flags, env=None):
        server = Server(*flags, home=folder, homes=[f"file:{folder}/new"], env=env)
        self.addCleanup(server.close)
        return server

    def test_a_lost_home_is_accepted(self):
        folder = tempfile.mkdtemp(prefix="etx-etxd-")
        self.addCleanup(shutil.rmtree, folder)
        both = Server(home=folder, homes=[f"file:{folder}/old", f"file:{folder}/new"])
        self.addCleanup(both.close)
        self.assertEqual(both.end(), 0)
        shutil.rmtree(f"{folder}/old")
        result = run("--listen", "127.0.0.1:0", "--home", f"file:{folder}/new", cwd=folder)
        self.assertEqual(result.returncode, 1, result)
        lost = re.search(r"\(etxd: --accept-chosen-home (f\w{6})\)", result.stderr).group(1)
        result = run("--listen", "127.0.0.1:0", "--home", f"file:{folder}/new",
                     "--accept-chosen-home", "f000000", cwd=folder)
        self.assertEqual(result.returncode, 1, result)
        self.assertIn(f"--accept-chosen-home {lost}", result.stderr)
        with open(f"{folder}/c.yaml", "w", encoding="utf-8") as file:
            file.write(f"accept-chosen-home: {lost}\n")
        for more in ({"ETXD_ACCEPT_CHOSEN_HOME": lost}, {"ETXD_CONFIG": f"{folder}/c.yaml"}):
            shown = run("--print-config", env=more).stdout
            self.assertIn(f"accept-chosen-home: '{lost}' #", shown)
        server = self.open(folder, env={"ETXD_CONFIG": f"{folder}/c.yaml"})
        self.assertEqual(server.get("/readyz").status, 200)
        self.assertEqual(server.end(), 0)
        self.assertEqual(self.open(folder).end(), 0)  # once is enough


class Ready(Case):
    """Ready is who begins what asks for no durability."""

    def of(self, *flags):
        server = Server("--allow-volatile", *flags, homes=["memory:"])
        self.addCleanup(server.close)
        return server

    def test_a_home_that_promises_less(self):
        server = self.of()
        ready = server.get("/readyz")
        self.assertEqual(ready.status, 503)
        self.assertIn("home memory:", ready.text)
        self.assertIn("promises 'volatile', and by default (durability) 'local' is asked for",
                      ready.text)
        self.assertEqual(server.told_ready()["message"], "not ready")
        body = {"branches": [self.part.tcc("a")], "wait": "ended"}
        self.expect(server.post("/v1/transactions", body), 503, "unavailable")
        self.expect(server.post("/v1/transactions", dict(body, durability="volatile")), 200)

    def test_it_is_what_is_asked_for(self):
        server = self.of("--durability", "volatile")
        self.assertEqual(server.get("/readyz").status, 200)
        body = {"branches": [self.part.tcc("a")], "wait": "ended"}
        self.expect(server.post("/v1/transactions", body), 200)


class Life(Case):
    def test_health_ready_version(self):
        self.assertEqual(self.server.get("/healthz").text, "alive\n")
        self.assertEqual(self.server.get("/readyz").text, "ready\n")
        self.assertEqual(self.server.get("/v1/version").json["node"], "node")

    def test_the_home_is_private(self):
        home = os.path.join(self.server.folder, "home")
        self.assertEqual(os.stat(home).st_mode & 0o077, 0)

    def test_end_in_time(self):
        began = time.monotonic()
        self.assertEqual(self.server.end(), 0)
        self.assertLess(time.monotonic() - began, 10)
        self.assertIn('"message":"ended"', self.server.log())

    def test_end_while_it_starts(self):
        server = Server(wait=False)
        self.addCleanup(server.close)
        self.assertEqual(server.end(), 0, server.log())

    def test_who_waits_longer_is_told_how_far_it_is(self):
        server = Server("--drain", "2s")
        self.addCleanup(server.close)
        self.part.rules["/a/try"] = lambda headers, body: (202, b"")
        answers = []
        thread = etxd_common.threading.Thread(target=lambda: answers.append(server.post(
            "/v1/transactions", {"branches": [self.part.tcc()], "wait": "ended"})))
        thread.start()
        self.eventually(self.part.paths)
        self.assertEqual(server.end(), 0, server.log())
        thread.join(20)
        self.assertEqual((answers[0].status, answers[0].json["state"]), (202, "ACTIVE"), answers)

    def test_drain_answers_what_is_begun(self):
        release = []

        def slow(_headers, _body):
            while not release:
                time.sleep(0.01)
            return 200, b"{}"
        self.part.rules["/a/try"] = slow
        answers = []
        thread = etxd_common.threading.Thread(target=lambda: answers.append(self.server.post(
            "/v1/transactions", {"branches": [self.part.tcc()], "wait": "ended"})))
        thread.start()
        self.eventually(self.part.paths)
        idle = socket.create_connection(("127.0.0.1", self.server.port))
        self.addCleanup(idle.close)
        self.server.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.server.wait_log("ending: answering what is begun")["requests"], 1)
        with self.assertRaises(ConnectionRefusedError):
            self.server.get("/healthz")
        release.append(1)
        self.assertEqual(self.server.process.wait(20), 0, self.server.log())
        thread.join()
        self.assertEqual(answers[0].json["state"], "COMMITTED", answers)

    def test_the_log_tells_the_stage_of_ending(self):
        """And what is waited for when the time is over, here since the process got no turns."""
        hang = etxd_common.threading.Event()
        self.addCleanup(hang.set)
        self.part.rules["/a/try"] = lambda headers, body: (hang.wait(60), (200, b"{}"))[1]
        server = Server("--drain", "2s")
        self.addCleanup(server.close)
        # who waits for this is told after half of the time: so it has not ended when it is stopped
        thread = etxd_common.threading.Thread(target=lambda: server.post(
            "/v1/transactions", {"branches": [self.part.tcc()], "wait": "ended"}))
        thread.start()
        self.eventually(self.part.paths)
        server.process.send_signal(signal.SIGTERM)
        server.wait_log("ending")
        server.process.send_signal(signal.SIGSTOP)
        time.sleep(2.6)
        server.process.send_signal(signal.SIGCONT)
        self.assertEqual(server.process.wait(20), 0)
        thread.join(20)
        lines = [json.loads(line) for line in server.log().splitlines()]
        late = [line for line in lines if line["message"] == "the time to end is over"]
        self.assertEqual([line["level"] for line in late], ["warning"], lines)
        self.assertIn(late[0]["waits_for"], ("answers", "the engine and its logs"))
        stages = [line for line in lines if line["message"].startswith("ending: ")]
        self.assertEqual([line["message"][8:] for line in stages],
                         ["answering what is begun", "closing the engine and its logs",
                          "the engine and its logs are closed"])
        self.assertEqual((stages[0]["requests"], stages[1]["calls"]), (1, 1))

    def test_what_does_not_end_goes_on_at_the_next_start(self):
        self.server.close()
        self.server = Server("--drain", "1s")
        self.addCleanup(self.server.close)
        self.part.rules["/a/confirm"] = lambda headers, body: (500, b"")
        answer = self.submit({"gid": "later", "branches": [self.part.tcc()]})
        self.assertEqual(answer.json["state"], "COMMITTING")
        began = time.monotonic()
        self.assertEqual(self.server.end(), 0)
        self.assertLess(time.monotonic() - began, 5)
        del self.part.rules["/a/confirm"]
        self.server.start()
        self.eventually(lambda: self.server.get("/v1/transactions/later").json["state"]
                        == "COMMITTED")

    def test_notify(self):
        path = os.path.join(self.server.folder, "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.bind(path)
            sock.settimeout(20)
            server = Server(env={"NOTIFY_SOCKET": path})
            self.addCleanup(server.close)
            self.assertIn(b"READY=1", sock.recv(256))
            server.process.send_signal(signal.SIGHUP)
            self.assertIn(b"RELOADING=1", sock.recv(256))
            self.assertIn(b"READY=1", sock.recv(256))
            server.end()
            self.assertIn(b"STOPPING=1", sock.recv(256))

    def test_reload(self):
        config = os.path.join(self.server.folder, "c.yaml")
        with open(config, "w", encoding="utf-8") as file:
            file.write("access-log: on\n")
        server = Server("--config", config)
        self.addCleanup(server.close)
        server.get("/healthz")
        self.assertIn('"path":"/healthz"', server.log())
        with open(config, "w", encoding="utf-8") as file:
            file.write("access-log: off\n")
        server.process.send_signal(signal.SIGHUP)
        server.wait_log("taken up anew")
        server.get("/readyz")
        self.assertNotIn("/readyz", server.log())
        with open(config, "w", encoding="utf-8") as file:
            file.write("acess-log: on\n")
        server.process.send_signal(signal.SIGHUP)
        self.assertIn("did you mean", server.wait_log("nothing was taken up anew")["why"])

    def test_reload_vets_addresses_anew(self):
        """An address that is allowed no more is not called on a connection that was kept."""
        config = os.path.join(self.server.folder, "c.yaml")
        port = self.part.url.rsplit(":", 1)[1]

        def allow(addresses):
            with open(config, "w", encoding="utf-8") as file:
                file.write(f'allow-target:\n  - "http://{addresses}:{port}"\n')
        allow("127.0.0.0/8")
        self.part.rules["/confirm"] = lambda headers, body: (503, b"")
        server = Server("--config", config, "--retry-first", "20ms", "--retry-cap", "50ms")
        self.addCleanup(server.close)
        url = f"http://localhost:{port}"
        self.expect(server.post("/v1/transactions", {"gid": "x", "wait": "begun", "branches": [
            {"kind": "tcc", "try": url + "/try", "confirm": url + "/confirm",
             "cancel": url + "/cancel"}]}), 200)
        self.eventually(lambda: self.part.paths().count("/confirm") > 3)
        allow("10.0.0.0/8")
        server.process.send_signal(signal.SIGHUP)
        self.eventually(lambda: "allowed" in server.get(
            "/v1/transactions/x").json["branches"][0]["reason"])
        allow("127.0.0.0/8")
        count = len(self.part.paths())
        server.process.send_signal(signal.SIGHUP)
        self.eventually(lambda: len(self.part.paths()) > count)


if __name__ == "__main__":
    etxd_common.main()
