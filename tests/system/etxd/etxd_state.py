#!/usr/bin/env python3
"""What a server remembers of a shared home: an older backup is noticed, and its loss accepted by
name; a database that is away at start is waited for.

    etxd_state.py ETXD ETX

PostgreSQL is found by the environment (scripts/with-postgres --durable).
"""
import json
import os
import random
import socket
import subprocess

import etxd_common
from etxd_common import ETX, Case, Participant, Server

PARTITIONS = 4


def psql(sql):
    return subprocess.run(["psql", "-Xqtc", sql], check=True, capture_output=True, text=True,
                          timeout=60).stdout.strip()


class State(Case):
    def setUp(self):
        self.part = Participant()
        self.addCleanup(self.part.close)
        self.folder = etxd_common.tempfile.mkdtemp(prefix="etx-etxd-")
        self.addCleanup(etxd_common.shutil.rmtree, self.folder)
        self.sockets = os.path.join(self.folder, "pg")
        self.schema = f"state_{os.getpid()}_{random.randrange(1 << 30)}"
        self.home = (f"postgresql://?host={self.sockets}&schema={self.schema}"
                     f"&partitions={PARTITIONS}")
        self.come()

    def come(self):
        """The database is where the URL says."""
        os.symlink(os.environ["PGHOST"], self.sockets)

    def go(self):
        os.unlink(self.sockets)

    def open(self, *homes, wait=True, env=None, node="one"):
        self.server = Server("--node", node, "--lease", "1s", "--retry-first", "20",
                             home=self.folder, homes=[self.home, *homes], wait=wait, env=env)
        self.addCleanup(self.server.close)
        return self.server

    def commit(self, *gids):
        for gid in gids:
            self.submit({"gid": gid, "branches": [self.part.tcc(gid)], "wait": "ended"})

    def etx(self, *words, code=0):
        done = subprocess.run([ETX, *words], check=False, capture_output=True, text=True,
                              timeout=60, cwd=self.folder)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def partitions(self):
        return self.server.get("/v1/cluster").json["homes"][0]["partitions"]

    def all_here(self):
        return [one["here"] for one in self.partitions()] == [True] * PARTITIONS

    def backup(self):
        psql(f"CREATE TABLE {self.schema}.backup AS SELECT * FROM {self.schema}.etx_log_slot")

    def restore(self):
        psql(f"BEGIN; DELETE FROM {self.schema}.etx_log_slot; INSERT INTO "
             f"{self.schema}.etx_log_slot SELECT * FROM {self.schema}.backup; COMMIT")

    def lose(self):
        """All partitions go on after a backup, which is restored when no server runs."""
        self.open()
        self.commit("before")
        self.backup()
        self.commit(*[f"after{i}" for i in range(40)])
        self.assertEqual(self.server.end(), 0)
        self.restore()

    def test_an_older_backup_is_noticed(self):
        self.lose()
        state = os.path.join(self.folder, "etx-state-one")
        shown = self.etx("log", "diff", self.home, "--state", state, code=1)
        self.assertIn("was acknowledged", shown)
        self.assertIn("accept-loss", shown)
        lost = [json.loads(line) for line in self.etx(
            "log", "diff", self.home, "--state", state, "--json", code=1).splitlines()]
        lost = [one["partition"] for one in lost if one["state"] == "lost"]
        self.assertEqual(lost, list(range(PARTITIONS)))
        doctor = ("doctor", "--home", self.home)
        self.assertIn("only a node can tell", self.etx(*doctor))
        shown = self.etx(*doctor, "--state", state, code=1)
        self.assertIn(f"log-regressed: the store has lost what it acknowledged in {PARTITIONS}",
                      shown)
        self.assertNotIn("only a node can tell", shown)

        self.open()
        self.eventually(lambda: [one["regressed"] for one in self.partitions()] ==
                        [True] * PARTITIONS)
        why = self.partitions()[0]["why"]
        self.assertIn("etx log diff URL --state etx-state-one", why)
        ready = self.server.get("/readyz")
        self.assertEqual(ready.status, 503)
        self.assertIn("the store has lost what it acknowledged", ready.text)
        told = [json.loads(line) for line in self.server.log().splitlines()
                if "log-regressed" in line]
        self.assertEqual({line["partition"] for line in told}, set(range(PARTITIONS)))
        url = f"http://{self.server.host}:{self.server.port}"
        self.assertIn("regressed: the store", self.etx("cluster", "partitions", "--server", url))
        status = self.etx("cluster", "status", "--server", url)
        self.assertIn("down since", status)
        self.assertIn(f"lost something of {PARTITIONS} partitions", status)
        self.assertIn("log-regressed", self.etx("doctor", "--server", url, code=1))
        self.assertIn(f'etx_home_regressed_partitions{{place="0"}} {PARTITIONS}\n',
                      self.server.get("/metrics").text)

        accept = ("log", "accept-loss", self.home, "--state", state, "--who", "ann")
        self.assertIn("--why", self.etx(*accept, "--all", code=2))
        self.assertIn("partition 1: accepted", self.etx(*accept, "--partition", "1", "--why", "x"))
        again = self.etx(*accept, "--partition", "1", "--why", "x", code=1)
        self.assertIn("partition 1: accepted", again)
        self.assertIn("Nothing is lost: nothing was written.", again)
        self.eventually(lambda: self.partitions()[1]["here"])
        self.assertTrue(self.partitions()[0]["regressed"])
        self.etx(*accept, "--all", "--why", "the disk burnt")
        self.eventually(self.all_here)
        self.assertIn("ann: the disk burnt", self.server.log())
        self.commit("later")
        self.assertEqual(self.server.end(), 0)
        shown = self.etx("log", "show", self.home, "--type", "loss")
        self.assertIn("by ann: the disk burnt", shown)
        self.assertIn("there", self.etx("log", "diff", self.home, "--state", state))
        self.assertIn("Nothing is wrong", self.etx(*doctor, "--state", state))
        self.assertIn("is for a log in a store", self.etx("doctor", "--state", state, code=2))
        self.assertIn("Nothing is lost", self.etx(*accept, "--all", "--why", "x", code=1))

    def test_what_another_remembers_counts(self):
        """Node two is first at the restored backup, and knows of no loss; then node one comes."""
        self.lose()
        two = self.open(node="two")
        self.eventually(self.all_here)
        one = self.open()

        def lost(server):
            rows = server.get("/v1/cluster").json["homes"][0]["partitions"]
            self.assertEqual(len(rows), PARTITIONS)
            return {row["partition"] for row in rows if row["regressed"] and not row["here"]}
        self.eventually(lambda: lost(one) | lost(two) == set(range(PARTITIONS)))
        self.assertTrue(lost(two))  # it had all of them, and one may have but its share
        for i in range(8):  # nothing that was committed is decided again
            for server in (one, two):
                answer = server.ask("POST", "/v1/transactions", body=json.dumps(
                    {"gid": f"after{i}", "branches": [self.part.tcc("again")]}).encode())
                self.assertIn(answer.status, (503, 421), answer)
        self.assertIn("which node one remembers", two.log())

    def test_the_acceptance_holds_without_a_state_directory(self):
        self.lose()
        accept = ("log", "accept-loss", self.home, "--why", "x")
        self.assertIn("--state", self.etx(*accept, "--all", code=2))
        self.assertIn("for one", self.etx(*accept, "--all", "--without-proof", code=2))
        for i in range(PARTITIONS):
            shown = self.etx(*accept, "--partition", str(i), "--without-proof")
            self.assertIn(f"warning: partition {i}: nothing shows that anything is lost", shown)
        self.open()
        self.eventually(self.all_here)

    def test_what_is_whole_is_left_as_it_is(self):
        self.open()
        self.commit(*[f"before{i}" for i in range(40)])
        self.assertEqual(self.server.end(), 0)
        state = os.path.join(self.folder, "etx-state-one")
        accept = ("log", "accept-loss", self.home, "--partition", "1", "--why", "x")
        self.assertIn("--without-proof", self.etx(*accept, code=2))
        refused = self.etx(*accept, "--state", state, code=1)
        self.assertIn("partition 1: there", refused)
        self.assertIn("Nothing is lost: nothing was written.", refused)
        self.etx("log", "show", self.home, "--type", "loss", code=1)
        for proof in ((), ("--state", state)):  # who says so in words has it
            shown = self.etx(*accept, "--without-proof", *proof)
            self.assertIn("partition 1: accepted", shown)
            self.assertIn("warning: partition 1: " + ("what --state remembers is not lost" if proof
                                                      else "nothing shows"), shown)
        self.assertEqual(self.etx("log", "show", self.home, "--type", "loss").count(": x"), 2)

    def test_a_database_that_is_away_is_waited_for(self):
        self.open()
        self.commit("before")
        self.assertEqual(self.server.end(), 0)
        self.go()
        path = os.path.join(self.folder, "notify")
        systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(systemd.close)
        systemd.bind(path)
        systemd.settimeout(20)
        self.open(wait=True, env={"NOTIFY_SOCKET": path})
        ready = self.server.get("/readyz")
        self.assertEqual(ready.status, 503)
        self.assertIn("postgresql://", ready.text)
        told = self.server.told_ready()
        self.assertEqual(told["message"], "not ready")
        self.assertIn("postgresql://", told["why"])
        # it has started all the same: nobody is to kill it for that
        self.assertEqual(systemd.recv(1024).decode(),
                         f"READY=1\nSTATUS=not ready: {told['why']}")
        home = self.server.get("/v1/cluster").json["homes"][0]
        self.assertEqual((home["usable"], home["shared"], home["partitions"]), (False, True, []))
        self.assertNotEqual(home["id"], "")  # by what it remembers
        self.expect(self.server.get("/v1/transactions/before"), 503, "unavailable")
        self.come()
        self.eventually(lambda: self.server.get("/readyz").status == 200)
        self.eventually(lambda: self.server.told_ready()["message"] == "ready")
        self.assertEqual(systemd.recv(1024), b"STATUS=serving")
        self.eventually(lambda: self.server.get("/v1/transactions/before").status == 200)
        self.commit("later")
        self.assertEqual(self.server.end(), 0)

    def test_a_next_home_that_promises_less_is_not_enough(self):
        """What asks for no durability is refused until the store is back, and /readyz says so."""
        self.go()
        self.server = Server("--node", "one", "--lease", "1s", "--retry-first", "20",
                             "--allow-volatile", "--state", "", home=self.folder,
                             homes=["memory:", self.home])
        self.addCleanup(self.server.close)
        ready = self.server.get("/readyz")
        self.assertEqual(ready.status, 503)
        self.assertIn("home postgresql://", ready.text)  # what is down, not what can never do
        body = {"branches": [self.part.tcc("a")], "wait": "ended"}
        self.expect(self.server.post("/v1/transactions", body), 503, "unavailable")
        url = f"http://{self.server.host}:{self.server.port}"
        shown = self.etx("cluster", "status", "--server", url)
        self.assertIn("home postgresql://", shown)  # it has no id yet
        self.come()
        self.eventually(lambda: self.server.get("/readyz").status == 200)
        self.expect(self.server.post("/v1/transactions", body), 200)

    def test_a_store_that_promises_less_from_now_on(self):
        """Its settings change while all serves: the log says so too."""
        self.open()
        self.assertEqual(self.server.get("/readyz").status, 200)

        def sync(word):
            psql(f"ALTER SYSTEM SET fsync = {word}")
            psql("SELECT pg_reload_conf()")
        self.addCleanup(sync, "on")
        sync("off")
        self.eventually(lambda: self.server.told_ready()["message"] == "not ready")
        self.assertIn("promises 'volatile'", self.server.told_ready()["why"])
        self.assertEqual(self.server.get("/readyz").status, 503)
        sync("on")
        self.eventually(lambda: self.server.told_ready()["message"] == "ready")

    def test_meanwhile_the_next_home_is_used(self):
        self.go()
        self.open(f"file:{self.folder}/local")
        self.assertEqual(self.server.get("/readyz").status, 200)
        done = self.submit({"branches": [self.part.tcc("a")], "wait": "ended"}).json
        self.assertEqual(done["state"], "COMMITTED")
        self.expect(self.server.post("/v1/transactions", {
            "gid": "mine", "branches": [self.part.tcc("b")]}), 503, "unavailable")
        self.come()
        self.eventually(self.all_here)
        self.commit("mine")

    def test_it_ends_while_it_waits(self):
        self.go()
        self.open()
        self.assertEqual(self.server.end(), 0)

    def test_two_do_not_share_a_state_directory(self):
        self.open()
        other = Server("--node", "two", "--state", os.path.join(self.folder, "etx-state-one"),
                       homes=[self.home], wait=False)
        self.addCleanup(other.close)
        self.assertNotEqual(other.process.wait(30), 0)
        self.assertIn("give each node one of its own", other.log())


if __name__ == "__main__":
    etxd_common.main()
