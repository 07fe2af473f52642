#!/usr/bin/env python3
"""A server on a PostgreSQL log, confined: killed, cut off from its store, told what is wrong.

    etxd_postgresql.py ETXD ETX

PostgreSQL is found by the environment (scripts/with-postgres --durable).
"""
import json
import os
import subprocess
import threading

import etxd_common
from etxd_common import ETX, ETXD, Case, Server


def psql(sql):
    return subprocess.run(["psql", "-Xqtc", sql], check=True, capture_output=True, text=True,
                          timeout=60).stdout.strip()


class Postgresql(Case):
    flags = ("--retry-first", "20", "--retry-cap", "200")

    def open(self):
        """A server whose password stands in a file that it may read when it connects again."""
        self.secret = etxd_common.tempfile.mkdtemp(prefix="etx-etxd-")
        self.addCleanup(etxd_common.shutil.rmtree, self.secret)
        path = os.path.join(self.secret, "passfile")
        with open(path, "w", encoding="utf-8") as file:
            file.write("*:*:*:*:s3cret\n")
        os.chmod(path, 0o600)
        schema = "etxd_" + os.path.basename(self.secret)[-4:].lower().replace("-", "_")
        self.url = f"postgresql://?schema={schema}&partitions=2&passfile={path}"
        server = Server(*self.flags, homes=[self.url])
        self.addCleanup(server.close)
        return server

    def test_killed(self):
        self.server = self.open()
        self.part.rules["/x/try"] = lambda headers, body: (503, b"")
        self.submit({"gid": "x", "branches": [self.part.tcc("x")], "wait": "begun"})
        self.submit({"gid": "y", "branches": [self.part.tcc("y")], "wait": "ended"})
        self.server.kill()
        self.part.rules.clear()
        self.server.start()
        self.eventually(lambda: self.server.get("/v1/transactions/x").json["state"] == "COMMITTED")
        # that it had ended may not have been written yet
        self.eventually(lambda: self.server.get("/v1/transactions/y").json["state"] == "COMMITTED")
        self.looked_at_beside()
        metrics = self.server.get("/metrics").text
        self.assertIn('durability="local"', metrics)
        self.assertEqual(self.server.end(), 0)

    def looked_at_beside(self):
        """The command reads the log of a server that runs, and does not take it away."""
        shown = subprocess.run([ETX, "tx", "show", "y", "--home", self.url], check=True,
                               capture_output=True, text=True, timeout=60).stdout
        self.assertIn("COMMITTED", shown)
        said = self.etx("tx", "park", "y", "--home", self.url, "--why", "test", code=2)
        self.assertIn("nodes work on this log: ", said)
        self.assertIn("--server", said)
        self.assertIn("Nothing is wrong", self.etx("doctor", "--home", self.url))
        self.submit({"gid": "z", "branches": [self.part.tcc("z")], "wait": "ended"})

    def etx(self, *args, code=0):
        """Runs the command, and insists on its exit code."""
        result = subprocess.run([ETX, *args], check=False, capture_output=True, text=True,
                                timeout=60)
        self.assertEqual(result.returncode, code, result)
        return result.stdout + result.stderr

    def test_log_without_a_server(self):
        """What is in it is shown, checked and operated on, while no node attends."""
        self.server = self.open()
        self.part.rules["/x/try"] = lambda headers, body: (503, b"")
        self.submit({"gid": "x", "branches": [self.part.tcc("x")], "wait": "begun"})
        self.submit({"gid": "y", "branches": [self.part.tcc("y")], "wait": "ended"})
        self.assertIn("1 node attends", self.etx("log", "verify", self.url))
        self.assertEqual(self.server.end(), 0)
        rows = [json.loads(line) for line in
                self.etx("log", "show", self.url, "--gid", "x", "--json").splitlines()]
        self.assertEqual(rows[0]["record"], "begin")
        self.etx("log", "show", self.url, "--gid", "z", code=1)
        found = json.loads(self.etx("log", "verify", self.url, "--json"))
        self.assertEqual((found["state"], found["partitions"], found["nodes"], found["findings"]),
                         ("sound", 2, [], []))
        self.assertEqual(found["slots"], sum(one["slots"] for one in found["of"]))
        self.assertEqual([one["newest"] for one in found["of"]],
                         [one["mark"] + one["slots"] - 1 for one in found["of"]])
        self.assertIn("not-running", self.etx("doctor", "--home", self.url, code=1))
        self.assertIn("x", self.etx("tx", "list", "--home", self.url))
        operate = ("x", "--home", self.url, "--why", "a test")
        self.etx("tx", "park", *operate)
        self.assertIn("parked", self.etx("tx", "show", "x", "--home", self.url))
        self.etx("tx", "resume", *operate)
        self.etx("tx", "force", *operate, "--as", "abort")
        self.assertIn("forced", self.etx("tx", "show", "x", "--home", self.url))
        self.part.rules.clear()
        self.server.start()
        self.eventually(lambda: self.server.get("/v1/transactions/x").json["state"] == "ABORTED")

    def other_home(self):
        """Submits one, and says whether the server's own home has it."""
        gid = self.submit({"branches": [self.part.tcc("y")], "wait": "ended"}).json["gid"]
        return self.server.get("/v1/cluster").json["homes"][1]["id"] in gid

    def test_refused_and_hanging(self):
        """What was begun nowhere, and whose gid nobody was told, goes to the next home."""
        self.server = self.open()
        self.server.close()
        self.server = Server("--hold-down", "100", *self.flags, homes=[
            self.url, "file:" + os.path.join(self.secret, "own")])
        self.addCleanup(self.server.close)
        self.assertFalse(self.other_home())
        # all rows are refused
        schema = self.url.split("schema=")[1].split("&")[0]
        slots = f"ALTER TABLE {schema}.etx_log_slot"
        psql(f"{slots} ADD CONSTRAINT no CHECK (slot < 0) NOT VALID")
        self.assertTrue(self.other_home())
        psql(f"{slots} DROP CONSTRAINT no")
        self.eventually(lambda: not self.other_home())
        # and all wait: of two partitions two puts hang, and those behind them do not
        lock = subprocess.Popen(["psql", "-Xqt"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                text=True)
        lock.stdin.write(f"BEGIN; LOCK TABLE {schema}.etx_log_slot; SELECT 'locked';\n")
        lock.stdin.flush()
        self.assertIn("locked", lock.stdout.readline())
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(self.server.post(
            "/v1/transactions", {"branches": [self.part.tcc("y")], "wait": "ended"})))
            for _ in range(12)]
        for thread in threads:
            thread.start()
        own = self.server.get("/v1/cluster").json["homes"][1]["id"]
        self.eventually(lambda: sum(answer.status == 200 and own in answer.text
                                    for answer in answers))
        lock.communicate("COMMIT;\n")
        for thread in threads:
            thread.join()
        self.assertEqual({answer.status for answer in answers}, {200}, answers)
        self.assertEqual(self.server.end(), 0)

    def count(self, url):
        found = json.loads(self.etx("log", "verify", url, "--json"))
        return found["state"], found["slots"], found["partitions"]

    def test_store_is_changed(self):
        """Into a directory and back into the database: what was begun before ends after it."""
        self.server = self.open()
        self.part.rules["/x/try"] = lambda headers, body: (503, b"")
        made = self.submit({"branches": [self.part.tcc("x")], "wait": "begun"}).json["gid"]
        for i in range(50):
            self.submit({"gid": f"y{i}", "branches": [self.part.tcc("y")], "wait": "ended"})
        folder = os.path.join(self.secret, "log")
        back = self.url.replace("schema=", "schema=back_")
        self.assertIn("nodes work on this log", self.etx("log", "copy", self.url, folder, code=2))
        self.assertEqual(self.server.end(), 0)
        before = self.count(self.url)
        told = json.loads(self.etx("log", "copy", self.url, f"file:{folder}?segment=1M", "--json"))
        self.assertEqual((told["result"], told["slots"], told["partitions"]),
                         ("copied", *before[1:]))
        self.assertEqual(self.count(folder), before)
        # the source is shown, and nobody starts on it, copies it again, or operates on it
        self.assertIn(made, self.etx("tx", "list", "--home", self.url))
        for said in (self.said(self.url),
                     self.etx("tx", "park", made, "--home", self.url, "--why", "a", code=2)):
            self.assertIn("has moved this log to file:" + folder, said)
        self.assertIn("was copied before", self.etx("log", "copy", self.url, folder + "2", code=2))
        self.server = Server(*self.flags, homes=["file:" + folder])
        self.addCleanup(self.server.close)
        self.assertEqual(self.server.get("/v1/transactions/y7").json["state"], "COMMITTED")
        self.assertIn("is in use", self.etx("log", "copy", folder, back, code=2))
        self.part.rules.clear()
        self.eventually(
            lambda: self.server.get(f"/v1/transactions/{made}").json["state"] == "COMMITTED")
        self.assertEqual(self.server.end(), 0)
        before = self.count(folder)
        self.etx("log", "copy", folder, back)
        self.assertEqual(self.count(back), before)
        self.assertIn("has moved this log", self.said("file:" + folder))
        self.server = Server(*self.flags, homes=[back])
        self.addCleanup(self.server.close)
        for gid in (made, "y7"):
            shown = self.server.get(f"/v1/transactions/{gid}")
            self.assertEqual(shown.json["state"], "COMMITTED", shown)

    def test_nodes_by_their_address(self):
        """As others reach it; what a node tells of its own homes is not part of it."""
        self.server = self.open()
        self.server.close()
        self.server = Server("--advertise", "http://127.0.0.1:7830", *self.flags,
                             homes=[self.url, "file:" + os.path.join(self.secret, "own")])
        self.addCleanup(self.server.close)
        found = json.loads(self.etx("log", "verify", self.url, "--json"))
        self.assertEqual([one["address"] for one in found["nodes"]], ["http://127.0.0.1:7830"])

    def test_damage(self):
        self.server = self.open()
        self.submit({"gid": "y", "branches": [self.part.tcc("y")], "wait": "ended"})
        self.assertEqual(self.server.end(), 0)
        schema = self.url.split("schema=")[1].split("&")[0]
        psql(f"UPDATE {schema}.etx_log_slot SET checksum = checksum - 1 WHERE slot = 0")
        said = self.etx("log", "verify", self.url, code=2)
        self.assertIn("slot 0 of partition 0 is damaged", said)
        self.assertIn("slot 0 of partition 1 is damaged", said)
        self.assertIn("log-damaged", self.etx("doctor", "--home", self.url, code=1))
        self.assertIn("damaged", self.etx("log", "show", self.url, code=2))
        for url, words in ((self.url.replace(schema, schema + "_no"), "there is no log in schema"),
                           ("nosuch://x", "is no URL of a log")):
            for args in (("log", "show", url), ("log", "verify", url),
                         ("tx", "list", "--home", url), ("tx", "park", "x", "--home", url,
                                                         "--why", "a"),
                         ("doctor", "--home", url)):
                self.assertIn(words, self.etx(*args, code=2), args)

    def test_sessions_lost(self):
        self.server = self.open()
        for gid in ("a", "b", "c"):
            psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                 " WHERE application_name = 'etx'")
            self.submit({"gid": gid, "branches": [self.part.tcc(gid)], "wait": "ended"})
        self.assertEqual(self.server.end(), 0)

    def said(self, url, *more):
        result = subprocess.run([ETXD, "--listen", "127.0.0.1:0", "--home", url, *more],
                                check=False, capture_output=True, text=True, timeout=60)
        self.assertEqual(result.returncode == 0, "--print-config" in more)
        return result.stdout + result.stderr

    def test_what_is_wrong_is_said(self):
        for url, words in (("postgresql://?password=s3cret", "password_file="),
                           ("postgresql:///nosuch", "nosuch")):
            shown = self.said(url, "--print-config")
            self.assertIn("postgresql://", shown)
            said = self.said(url)
            self.assertIn(words, said)
            self.assertNotIn("s3cret", shown + said)


if __name__ == "__main__":
    etxd_common.main()
