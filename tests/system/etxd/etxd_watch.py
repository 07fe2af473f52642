#!/usr/bin/env python3
"""`etx tx begin` and `etx tx watch`, beside a real etxd."""
import json
import os
import signal
import subprocess
import threading

import etxd_common
from etxd_common import ETX, Case


class Watcher:
    """`etx tx watch` as a process whose lines are read as they come."""

    def __init__(self, server, *args):
        env = dict(os.environ, ETX_SERVER=f"http://127.0.0.1:{server.port}")
        self.process = subprocess.Popen([ETX, "tx", "watch", *args], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, env=env)
        self.lines = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def has(self, *words):
        return any(all(word in line for word in words) for line in list(self.lines))

    def end(self):
        """The exit code, once it ends by itself."""
        code = self.process.wait(60)
        self.reader.join(60)
        self.errors = self.process.stderr.read()
        self.close()
        return code

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.reader.join(60)
        self.process.stdout.close()
        self.process.stderr.close()


@etxd_common.unittest.skipUnless(ETX, "the command etx was not built")
class Watch(Case):
    def etx(self, code, *args, text=None):
        env = dict(os.environ, ETX_SERVER=f"http://127.0.0.1:{self.server.port}")
        result = subprocess.run([ETX, "tx", *args], capture_output=True, text=True, timeout=60,
                                env=env, input=text, check=False)
        self.assertEqual(result.returncode, code, result)
        return result.stdout if code < 2 else result.stderr

    def watch(self, *args, streams=1):
        watcher = Watcher(self.server, *args)
        self.addCleanup(watcher.close)
        self.await_streams(streams)
        return watcher

    def await_streams(self, streams):
        self.eventually(lambda: f"etxd_streams {streams}\n" in self.server.get("/metrics").text)

    def begin(self, *args):
        return self.etx(0, "begin", *args).strip()

    def test_begin(self):
        gid = self.begin()
        self.assertEqual(self.server.get(f"/v1/transactions/{gid}").json["state"], "ACTIVE")
        self.assertEqual(self.server.get(f"/v1/transactions/{gid}").json["mode"], "interactive")
        self.assertEqual(self.begin("--gid", "mine"), "mine")
        self.assertEqual(self.begin("--gid", "mine"), "mine")
        self.assertIn('"gid":"mine"', self.etx(0, "begin", "--gid", "mine", "--json"))
        self.etx(0, "commit", "mine")
        self.etx(1, "begin", "--gid", "mine")
        self.etx(2, "begin", "--gid", "no gid")
        self.etx(2, "begin", "/nowhere/file")
        self.begin("--gid", "short", "--deadline", "1h")
        self.assertIsNotNone(self.server.get("/v1/transactions/short").json["deadline"])

    def test_begin_with_branches(self):
        body = json.dumps({"branches": [self.part.tcc(name="it")]})
        self.assertEqual(self.etx(0, "begin", "-", "--gid", "b", text=body).strip(), "b")
        self.etx(0, "commit", "b")
        self.eventually(lambda: "/a/confirm" in self.part.paths())

    def test_until_committed(self):
        self.begin("--gid", "one")
        watcher = self.watch("one")
        self.begin("--gid", "two")
        self.etx(0, "commit", "one")
        self.assertEqual(watcher.end(), 0)
        self.assertTrue(watcher.has("decided", "one", "COMMITT"))
        self.assertTrue(watcher.has("ended", "one", "COMMITTED"))
        self.assertFalse(watcher.has("two"))

    def test_until_aborted(self):
        self.begin("--gid", "one")
        watcher = self.watch("one", "--json")
        self.etx(0, "abort", "one")
        self.assertEqual(watcher.end(), 1)
        last = json.loads(watcher.lines[-1])
        self.assertEqual((last["type"], last["state"], last["gid"]), ("ended", "ABORTED", "one"))

    def test_what_has_ended(self):
        self.begin("--gid", "one")
        self.etx(0, "commit", "one")
        self.assertIn("one: COMMITTED", self.etx(0, "watch", "one"))
        self.assertEqual(json.loads(self.etx(0, "watch", "one", "--json"))["state"], "COMMITTED")
        self.etx(0, "abort", "two")
        self.etx(1, "watch", "two")
        self.etx(1, "watch", "nobody")
        self.etx(2, "watch", "no gid")
        self.etx(2, "watch", "--from", "9" * 200)
        self.assertIn("Last-Event-ID", self.etx(2, "watch", "--from", "nonsense"))

    def test_filters_and_resuming(self):
        self.part.rules["/a/confirm"] = lambda headers, body: (409, b"")
        watchers = {name: self.watch(*args, "--json", streams=number + 1)
                    for number, (name, args) in enumerate((
                        ("prefix", ("--prefix", "a-", "--count", "2")),
                        ("type", ("--type", "decided,ended", "--count", "2")),
                        ("alarms", ("--alarms", "--count", "1"))))}
        for gid in ("b-1", "a-1"):
            self.begin("--gid", gid)
            self.etx(0, "commit", gid)
            self.assertEqual(watchers["type"].process.wait(60), 0)  # it has both of b-1
        self.submit({"gid": "bad", "branches": [self.part.tcc()]})
        for watcher in watchers.values():
            self.assertEqual(watcher.end(), 0)
        told = {name: [json.loads(line) for line in watcher.lines]
                for name, watcher in watchers.items()}
        self.assertEqual([event["gid"] for event in told["prefix"]], ["a-1", "a-1"])
        self.assertEqual([(event["gid"], event["type"]) for event in told["type"]],
                         [("b-1", "decided"), ("b-1", "ended")])
        self.assertEqual(told["alarms"][0]["type"], "finish-refused")
        again = self.etx(0, "watch", "--from", told["type"][1]["id"], "--count", "1")
        self.assertIn("begun", again)
        self.assertIn("a-1", again)

    def test_what_is_lost_does_not_count(self):
        """It is told, whatever is asked for, and is none of the events that are."""
        self.submit({"gid": "one", "branches": [self.part.saga()], "wait": "ended"})
        told = [json.loads(line) for line in self.etx(
            0, "watch", "--from", "abc-7", "--type", "decided,ended", "--count", "2",
            "--json").splitlines()]
        self.assertEqual([event["type"] for event in told], ["lost", "decided", "ended"])

    def test_over_a_restart(self):
        self.begin("--gid", "one", "--deadline", "1h")
        watcher = self.watch("one")
        port = self.server.port
        self.server.kill()
        self.server.flags = ("--listen", f"127.0.0.1:{port}")
        self.server.start()
        self.await_streams(1)
        self.etx(0, "commit", "one")
        self.assertEqual(watcher.end(), 0)
        self.assertTrue(watcher.has("ended", "COMMITTED") or watcher.has("one: COMMITTED"))

    def test_patience_and_signals(self):
        self.begin("--gid", "one", "--deadline", "1h")
        one = self.watch("one")
        every = self.watch(streams=2)
        one.process.send_signal(signal.SIGINT)
        every.process.send_signal(signal.SIGINT)
        self.assertEqual(one.end(), 130)
        self.assertEqual(every.end(), 0)
        patient = self.watch("--patience", "100ms")
        self.server.kill()
        self.assertEqual(patient.end(), 2)
        self.assertIn("127.0.0.1", patient.errors)


if __name__ == "__main__":
    etxd_common.main()
