#!/usr/bin/env python3
"""`etx doctor` beside a real etxd: each thing that may be wrong with it."""
import datetime
import email.utils
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import threading

import etxd_common
from etxd_common import ETX, Case, Server


# Those that there were none of are not told.
EVENTS = "^(# TYPE etx_events counter)$"


class Between:
    """Stands before a server and gives on what that says, changed by `change(path, text)`; `ahead`
    seconds are added to its clock."""

    def __init__(self, server):
        self.change = lambda path, text: text
        self.ahead = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):  # noqa: N802 (the name that http.server wants)
                answer = server.get(self.path)
                body = outer.change(self.path, answer.text).encode()
                self.send_response_only(answer.status)
                self.send_header("Date", email.utils.formatdate(
                    etxd_common.time.time() + outer.ahead, usegmt=True))
                self.send_header("Content-Type", answer.headers["Content-Type"])
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@etxd_common.unittest.skipUnless(ETX, "the command etx was not built")
class Doctor(Case):
    flags = ("--stalled-after", "2", "--retry-first", "1ms", "--retry-cap", "20ms")

    def doctor(self, code, *args, server=None, env=None):
        url = f"http://127.0.0.1:{(server or self.server).port}"
        env = dict(os.environ, ETX_SERVER=url, **(env or {}))
        result = subprocess.run([ETX, "doctor", *args], capture_output=True, text=True, timeout=60,
                                env=env, check=False)
        self.assertEqual(result.returncode, code, result)
        return result.stderr if code == 2 else result.stdout

    def findings(self, *args, **more):
        """What it finds: code -> finding."""
        env = dict(os.environ, ETX_SERVER=f"http://127.0.0.1:{self.server.port}")
        result = subprocess.run([ETX, "doctor", "--json", *args], capture_output=True, text=True,
                                timeout=60, env=env, check=False, **more)
        found = json.loads(result.stdout)["findings"]
        self.assertEqual(result.returncode, 1 if found else 0, result)
        for finding in found:
            self.assertTrue(finding["what"] and finding["do"], finding)
        return {finding["code"]: finding for finding in found}

    def test_nothing(self):
        self.submit({"branches": [self.part.saga()], "wait": "ended"})
        self.assertEqual(self.findings("--room", "0"), {})
        self.assertIn("Nothing is wrong", self.doctor(0, "--room", "0"))

    def test_a_participant_that_never_answers(self):
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))  # it does not listen
            url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
            self.submit({"gid": "waits", "wait": "begun", "branches": [
                {"kind": "saga", "action": url + "/a", "compensate": url + "/c"}]})
            self.eventually(lambda: "participant-silent" in self.findings("--room", "0"))
            found = self.findings("--room", "0", "--older-than", "0")
            self.assertEqual(found["participant-silent"]["target"], url)
            self.assertEqual(found["old"]["gids"], ["waits"])
            self.assertEqual(found["participant-fails"]["gids"], ["waits"])
            self.assertNotIn("old", self.findings("--room", "0"))
            text = self.doctor(1, "--room", "0")
            self.assertIn(url, text)
            self.assertIn("such as waits", text)

    def test_stalled_and_parked(self):
        self.part.rules["/a/confirm"] = lambda headers, body: (409, b"")
        self.submit({"gid": "bad", "branches": [self.part.tcc()]})
        self.submit({"gid": "held", "mode": "interactive", "wait": "begun"})
        self.expect(self.server.post("/v1/transactions/held/park", {"who": "ann", "why": "x"}), 200)
        self.eventually(lambda: "stalled" in self.findings("--room", "0"))
        found = self.findings("--room", "0")
        self.assertEqual((found["stalled"]["count"], found["stalled"]["gids"]), (1, ["bad"]))
        self.assertEqual(found["parked"]["gids"], ["held"])
        self.assertGreater(found["finish-refused"]["count"], 0)

    def test_a_target_that_is_not_allowed(self):
        """What was allowed when it was begun is not after a restart; what is to be done helps."""
        config = os.path.join(self.server.folder, "c.yaml")
        with open(config, "w", encoding="utf-8") as file:
            file.write("allow-target: 'http://127.0.0.1:1'\n")
        self.part.rules["/a/try"] = lambda headers, body: (503, b"")
        self.submit({"gid": "lost", "wait": "begun", "branches": [self.part.tcc()]})
        self.server.end()
        self.server.flags += ("--config", config)
        self.server.start()
        self.eventually(lambda: "target-not-allowed" in self.findings("--room", "0"))
        found = self.findings("--room", "0")["target-not-allowed"]
        self.assertEqual(found["gids"], ["lost"])
        self.assertIn("SIGHUP", found["do"])
        self.part.rules.clear()
        with open(config, "w", encoding="utf-8") as file:
            file.write(f"allow-target: '{self.part.url}'\n")
        self.server.process.send_signal(signal.SIGHUP)
        self.eventually(lambda: self.server.get("/v1/transactions/lost").json["state"]
                        == "COMMITTED")

    def test_little_room(self):
        found = self.findings("--room", str(1 << 30))
        self.assertGreater(found["log-nearly-full"]["room_bytes"], 0)

    def behind(self):
        """One that stands before the server, and what the doctor finds there."""
        between = Between(self.server)
        self.addCleanup(between.close)
        return between, lambda: self.findings("--room", "0", "--server", between.url)

    def test_clocks(self):
        """A clock that is another's, that stepped, or that was right only later."""
        between, findings = self.behind()
        self.assertEqual(findings(), {})
        between.ahead = 3600
        self.assertIn("ahead of", findings()["clock-differs"]["what"])
        between.ahead = -3600
        self.assertIn("behind", findings()["clock-differs"]["what"])
        between.ahead = 0

        def stepped(path, text):
            return re.sub(EVENTS, r'\1\netx_events_total{type="clock-stepped"} 2', text, flags=re.M)
        between.change = stepped
        self.assertEqual(findings()["clock-jumped"]["count"], 2)

        def early(_path, text):
            return re.sub('"begun":"[^"]+"', f'"begun":"{later}"', text)
        self.submit({"gid": "early", "mode": "interactive", "wait": "begun"})
        later = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
                 ).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        between.change = early
        self.assertEqual(findings()["clock-jumped"]["gids"], ["early"])

    def test_homes_and_their_logs(self):
        """A home that is down, a log that is full or has failed."""
        between, findings = self.behind()
        for code, was, now in (
                ("home-down", r'^(etx_home_usable\{.*\}) 1$', r"\1 0"),
                ("log-full", EVENTS, r'\1\netx_events_total{type="log-full"} 1'),
                ("log-fails", EVENTS, r'\1\netx_events_total{type="log-poisoned"} 1')):
            changed = []

            def change(path, text, was=was, now=now, changed=changed):
                text, count = re.subn(was, now, text, flags=re.M)
                changed.append(count if path == "/metrics" else 0)
                return text
            between.change = change
            found = findings()
            self.assertEqual(set(found), {code})
            self.assertEqual(sum(changed), 1, code)
        for words in ("of a directory", "smartctl", "of a store", "killed or restarted"):
            self.assertIn(words, found["log-fails"]["do"])

    def test_why_a_home_is_down(self):
        between, findings = self.behind()

        def change(_path, text):
            text = re.sub(r'^(etx_home_usable\{.*\}) 1$', r"\1 0", text, flags=re.M)
            return re.sub(r'("since_ms":[0-9]+,"why":)""', r'\1"it does not answer"', text)
        between.change = change
        self.assertIn(": it does not answer", findings()["home-down"]["what"])

    def test_it_cannot_look(self):
        self.assertIn("127.0.0.1:1", self.doctor(2, "--server", "http://127.0.0.1:1"))
        self.assertIn("is no server", self.doctor(2, "--server", self.part.url))
        self.doctor(2, "--home", "file:x", "--server", "http://127.0.0.1:1")
        path = os.path.join(self.server.folder, "tokens")
        token = subprocess.run([ETX, "token", "create", "--file", path, "--scope", "read"],
                               capture_output=True, text=True, check=True).stdout.strip()
        server = Server("--token-file", path)
        self.addCleanup(server.close)
        self.assertIn("token", self.doctor(2, server=server))
        self.doctor(0, "--room", "0", server=server, env={"ETX_TOKEN": token})

    def test_beside_its_directory(self):
        """The directory of a server that runs is looked at too."""
        self.submit({"gid": "held", "mode": "interactive", "wait": "begun"})
        home = f"file:{self.server.folder}/home"
        self.assertEqual(self.findings("--room", "0", "--home", home), {})
        found = self.findings("--room", "0", "--home", home, "--older-than", "0")
        self.assertEqual(found["old"]["gids"], ["held"])


if __name__ == "__main__":
    etxd_common.main()
