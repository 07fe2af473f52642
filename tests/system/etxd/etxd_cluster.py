#!/usr/bin/env python3
"""Several servers share a PostgreSQL log: whoever is asked, the owner answers; one leaves or dies.

    etxd_cluster.py ETXD ETX

PostgreSQL is found by the environment (scripts/with-postgres --durable).
"""
import json
import os
import random
import socket
import subprocess
import threading

import etxd_common
import etxd_metrics
from etxd_common import ETX, ETXD, Case, Participant, Server

NAMES = ("a", "b", "c")
PARTITIONS = 6
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def reserve():
    """HOST:PORT of loopback where nobody listens, nor will: the host is this test's own."""
    host = f"127.{random.randrange(1, 255)}.{random.randrange(1, 255)}.{random.randrange(1, 255)}"
    with socket.socket() as sock:
        sock.bind((host, 0))
        return f"{host}:{sock.getsockname()[1]}"


class Deaf:
    """Takes a request and ends the connection without an answer, or, if it `holds`, never; what
    came is kept."""

    def __init__(self, holds=False):
        self.heads = []
        self.held = [] if holds else None
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.sock.getsockname()[1]}"
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                peer, _ = self.sock.accept()
            except OSError:
                return
            if self.held is not None:
                self.held.append(peer)
                self.heads.append(peer.recv(65536).decode())
                continue
            with peer:
                peer.settimeout(20)
                self.heads.append(peer.recv(65536).decode())


class Nodes(Case):
    """Servers that share the log."""

    def setUp(self):
        self.part = Participant()
        self.addCleanup(self.part.close)
        self.nodes = {}
        self.flags = ("--retry-first", "20", "--retry-cap", "200", "--lease", "1s")
        schema = f"cluster_{os.getpid()}_{random.randrange(1 << 30)}"
        self.home = f"postgresql://?schema={schema}&partitions={PARTITIONS}"

    def folder(self):
        made = etxd_common.tempfile.mkdtemp(prefix="etx-etxd-")
        self.addCleanup(etxd_common.shutil.rmtree, made)
        return made

    def open(self, name, *flags, advertise=None, at=None, context=None, homes=()):
        at = at or reserve()
        server = Server("--node", name, "--advertise", advertise or "http://" + at, *self.flags,
                        *flags, homes=[self.home, *homes], listen=at, context=context)
        self.addCleanup(server.close)
        self.server = server
        return server

    def open_all(self, names=NAMES):
        for name in names:
            self.nodes[name] = self.open(name)
        self.shared_by(names)

    def owners(self, server):
        """Who has which partition, and works on it, as a node sees it."""
        home = server.get("/v1/cluster").json["homes"][0]
        return [(one["node"], one["here"]) for one in home["partitions"]]

    def shared_by(self, names):
        """Waits until each of them has its even part, and all know that of each other."""
        def is_so():
            seen = [self.owners(self.nodes[name]) for name in names]
            for name, owners in zip(names, seen):
                mine = [one[0] == name for one in owners]
                if [here for _, here in owners] != mine or sum(mine) != PARTITIONS / len(names):
                    return False
                if [one[0] for one in owners] != [one[0] for one in seen[0]]:
                    return False
            return True
        self.eventually(is_so, 60)

    def at_each(self, method, path, body=None, headers=None):
        return [node.ask(method, path, body=body, headers=headers)
                for node in self.nodes.values()]

    def owner_of(self, gid):
        """The node that answers without asking another."""
        header = {"Etx-Forwarded-By": "nobody"}
        found = [name for name, node in self.nodes.items()
                 if node.get(f"/v1/transactions/{gid}", headers=header).status != 421]
        self.assertEqual(len(found), 1, gid)
        return found[0]

    def gid_of(self, name, prefix="x"):
        for i in range(1000):
            if self.owner_of(f"{prefix}{i}") == name:
                return f"{prefix}{i}"
        raise AssertionError("no gid is of node " + name)


class Cluster(Nodes):
    def test_each_gives_the_same_answer(self):
        self.open_all()
        for i in range(6):
            body = {"gid": f"g{i}", "branches": [self.part.tcc(f"g{i}")], "wait": "ended"}
            answers = self.at_each("POST", "/v1/transactions", body)
            self.assertEqual([answer.status for answer in answers], [200] * 3, answers)
            self.assertEqual(len({answer.text for answer in answers}), 1, answers)
            shown = self.at_each("GET", f"/v1/transactions/g{i}")
            self.assertEqual({answer.json["state"] for answer in shown}, {"COMMITTED"}, shown)
            other = {"gid": f"g{i}", "branches": [self.part.tcc("other")]}
            for answer in self.at_each("POST", "/v1/transactions", other):
                self.expect(answer, 409, "conflict")
        self.assertEqual(sorted(self.part.paths()),
                         sorted(f"/g{i}/{what}" for i in range(6) for what in ("try", "confirm")))
        for answer in self.at_each("GET", "/v1/transactions/g9999"):
            self.expect(answer, 404, "not-found")
        asked = [node.get("/metrics").text.count('etxd_forwards_total{result="answered"} 0\n')
                 for node in self.nodes.values()]
        self.assertEqual(sum(asked), 0, "each has asked another")

    def test_what_is_made_here_is_known_everywhere(self):
        """A gid that ETX made names its partition; a step may be taken at each node."""
        self.open_all()
        for name, node in self.nodes.items():
            gid = self.expect(node.post("/v1/transactions", {
                "mode": "interactive", "branches": []}), 200).json["gid"]
            self.assertEqual(self.owner_of(gid), name)
            branch = {**self.part.tcc(gid), "name": "one", "run": 0}
            for answer in self.at_each("POST", f"/v1/transactions/{gid}/branches", branch):
                self.expect(answer, 200)
            for answer in self.at_each("POST", f"/v1/transactions/{gid}/commit",
                                       {"wait": "ended"}):
                self.assertEqual(self.expect(answer, 200).json["state"], "COMMITTED")

    def test_what_is_at_home_of_one_node(self):
        """What a node began at a home of its own is known everywhere, as long as the node is."""
        own = "file:" + os.path.join(self.folder(), "own")
        self.nodes = {"a": self.open("a", homes=[own]), "b": self.open("b")}
        self.shared_by(("a", "b"))
        asked = self.nodes["b"]
        home = self.nodes["a"].get("/v1/cluster").json["homes"][1]["id"]
        told = {one["node"]: one["homes"]
                for one in asked.get("/v1/cluster").json["homes"][0]["nodes"]}
        self.assertEqual(told, {"a": [home], "b": []})
        path = f"/v1/transactions/01m8kp0hhc-{home}000-s3g8jaf7001j"
        self.expect(asked.get(path), 410)  # says node a
        again = self.expect(asked.get(path, headers={"Etx-Forwarded-By": "c"}), 421, "elsewhere")
        self.assertIn("of a local home is with node a", again.json["detail"])
        self.assertEqual(self.nodes.pop("a").end(), 0)
        self.is_missed(asked, path, home)
        self.assertEqual(asked.end(), 0)
        self.nodes["b"] = asked = self.open("b")  # all others have been started anew
        self.is_missed(asked, path, home)
        self.expect(asked.get(path.replace(home, "f000000")), 503, "unavailable")

    def is_missed(self, asked, path, home):
        """What is at home of a node that is gone is still said to be there."""
        self.eventually(lambda: asked.get("/v1/cluster").json["homes"][0]["gone"])
        again = self.expect(asked.get(path), 421, "elsewhere")
        self.assertIn(f"home {home} is with node a, which is not there: start it again",
                      again.json["detail"])
        gone = asked.get("/v1/cluster").json["homes"][0]["gone"]
        self.assertEqual([(one["node"], one["homes"]) for one in gone], [("a", [home])])
        shown = self.etx("status", "--server", f"http://{asked.listen}")
        self.assertRegex(shown, r"(?m)^a .* gone ")
        self.assertIn(f"its own home {home} waits for it", shown)

    def test_the_answer_that_is_not_yet(self):
        """202 with its Location, headers along, and what operators do, at the wrong node."""
        self.open_all()
        gid = self.gid_of("b")
        self.part.rules[f"/{gid}/try"] = lambda headers, body: (503, b"")
        body = {"gid": gid, "branches": [self.part.tcc(gid)], "wait": "ended", "wait_ms": 100}
        answer = self.nodes["a"].post("/v1/transactions", body, headers={"traceparent": TRACE})
        self.expect(answer, 202)
        self.assertEqual(answer.headers["Location"], f"/v1/transactions/{gid}")
        self.eventually(lambda: self.part.calls)
        self.assertIn(TRACE.split("-")[1], self.part.calls[0][1]["traceparent"])
        said = {"who": "test", "why": "because"}
        self.expect(self.nodes["c"].post(f"/v1/transactions/{gid}/park", said), 200)
        shown = self.nodes["a"].get(f"/v1/transactions/{gid}").json
        self.assertIn("parked", shown["marks"])
        self.part.rules.clear()
        self.expect(self.nodes["a"].post(f"/v1/transactions/{gid}/resume", said), 200)
        self.eventually(
            lambda: self.nodes["c"].get(f"/v1/transactions/{gid}").json["state"] == "COMMITTED")
        streamed = self.expect(self.nodes["a"].get(f"/v1/transactions/{gid}/events"), 421,
                               "elsewhere")
        self.assertIn(f"node b at http://{self.nodes['b'].listen}", streamed.json["detail"])
        again = self.nodes["a"].get(f"/v1/transactions/{gid}",
                                    headers={"Etx-Forwarded-By": "c"})
        self.expect(again, 421, "elsewhere")

    def counted(self, name):
        """What a node counts of the shared home: who has what, and what it took from whom."""
        m = etxd_metrics.read(self.nodes[name].get("/metrics").text)
        owners = {}
        for (family, labels), value in m.items():
            if family == "etx_partition_info":
                place, partition, node = (one.split('"')[1] for one in labels.split(","))
                self.assertEqual((place, value), ("0", 1), labels)
                self.assertNotIn(int(partition), owners)
                owners[int(partition)] = node
        return m, [owners[i] for i in range(PARTITIONS)]

    def taken(self, name):
        m, _ = self.counted(name)
        return {reason: m["etx_home_takeovers_total", f'place="0",from="{reason}"']
                for reason in ("lost", "left")}

    def test_metrics(self):
        """Who has which partition, how old its lease is, and how long puts take: by home."""
        self.open_all()
        for name, node in self.nodes.items():
            self.expect(node.post("/v1/transactions", {
                "branches": [self.part.tcc("x")], "wait": "ended"}), 200)
            m, owners = self.counted(name)
            self.assertEqual(owners, [one for one, _ in self.owners(node)])
            for i, owner in enumerate(owners):
                labels = f'place="0",partition="{i}"'
                self.assertEqual(m["etx_partition_here", labels], owner == name)
                self.assertTrue(0 < m["etx_partition_lease_left_seconds", labels] <= 1)
                self.assertEqual(("etx_partition_lease_age_seconds", labels) in m, owner == name)
                self.assertLess(m.get(("etx_partition_lease_age_seconds", labels), 0), 1)
            self.assertGreater(m["etx_home_put_seconds_count", 'place="0"'], 0)
            self.assertEqual(m["etx_home_put_seconds_count", 'place="0"'],
                             m["etx_put_seconds_count", ""])
            self.assertEqual(m["etx_home_put_unknown_total", 'place="0"'], 0)

    def test_orderly_leave(self):
        self.open_all()
        before = self.taken("b"), self.taken("c")
        gid = self.gid_of("a")
        self.part.rules[f"/{gid}/try"] = lambda headers, body: (503, b"")
        self.expect(self.nodes["b"].post("/v1/transactions", {
            "gid": gid, "branches": [self.part.tcc(gid)], "wait": "begun"}), 200)
        self.assertEqual(self.nodes.pop("a").end(), 0)
        self.shared_by(("b", "c"))
        after = self.taken("b"), self.taken("c")
        self.assertEqual(sum(one["left"] for one in after) - sum(one["left"] for one in before),
                         PARTITIONS / 3)
        self.assertEqual([one["lost"] for one in after], [0, 0])
        shown = self.at_each("GET", f"/v1/transactions/{gid}")
        self.assertEqual([answer.status for answer in shown], [200] * 2, shown)
        self.part.rules.clear()
        self.eventually(lambda: {answer.json["state"] for answer in self.at_each(
            "GET", f"/v1/transactions/{gid}")} == {"COMMITTED"})

    def test_killed(self):
        """What was in flight at a node that dies ends elsewhere, and every gid has an answer."""
        self.open_all()
        self.part.rules["/x/try"] = lambda headers, body: (503, b"")
        gids = [f"k{i}" for i in range(12)]
        for gid in gids:
            self.expect(self.nodes["b"].post("/v1/transactions", {
                "gid": gid, "branches": [self.part.tcc("x")], "wait": "begun"}), 200)
        lost = self.nodes.pop("a")
        lost.kill()
        self.part.rules.clear()

        def ended(gid):
            answers = self.at_each("GET", f"/v1/transactions/{gid}")
            for answer in answers:
                if answer.status != 200:
                    self.assertIn((answer.status, answer.json["code"]),
                                  ((503, "unavailable"), (503, "unknown"), (421, "elsewhere")))
            return all(answer.status == 200 and answer.json["state"] == "COMMITTED"
                       for answer in answers)
        for gid in gids:
            self.eventually(lambda gid=gid: ended(gid), 60)
        self.shared_by(("b", "c"))
        self.assertEqual(sum(self.taken(name)["lost"] for name in "bc"), PARTITIONS / 3)
        lost.start()
        self.nodes["a"] = lost
        self.shared_by(("b", "c", "a"))

    def test_two_with_one_name(self):
        older, newer = self.open("a"), self.open("a")
        self.eventually(lambda: "another process is node a now" in older.log())
        self.assertEqual(older.get("/readyz").status, 503)
        self.assertEqual(newer.end(), 0)
        self.eventually(lambda: older.get("/readyz").status == 200)
        self.eventually(lambda: self.owners(older) == [("a", True)] * PARTITIONS)

    def deaf_owner(self, address, *flags):
        """A node whose address leads nowhere or astray, and another that asks there."""
        self.nodes = {"lost": self.open("lost", *flags, advertise=address),
                      "b": self.open("b", *flags)}
        self.shared_by(("lost", "b"))
        return self.nodes["b"]

    def test_owner_cannot_be_reached(self):
        asked = self.deaf_owner("http://" + reserve())
        gid = self.gid_of("lost")
        body = {"gid": gid, "branches": [self.part.tcc("x")]}
        answer = self.expect(asked.post("/v1/transactions", body), 503, "unavailable")
        self.assertIn("node lost", answer.json["detail"])
        self.assertTrue(answer.headers["Retry-After"])
        self.assertEqual(self.part.paths(), [])
        self.assertIn('etxd_forwards_total{result="unreached"} 1', asked.get("/metrics").text)

    def test_owner_does_not_answer(self):
        """It may have begun: nobody knows. The caller's identity went along."""
        deaf = Deaf()
        self.addCleanup(deaf.sock.close)
        path = os.path.join(self.folder(), "tokens")
        made = self.make_token(path)
        self.ask_with_token(made)
        asked = self.deaf_owner(deaf.url, "--token-file", path)
        gid = self.gid_of("lost")
        body = {"gid": gid, "branches": [self.part.tcc("x")]}
        headers = {"Authorization": "Bearer " + made, "traceparent": TRACE}
        self.expect(asked.post("/v1/transactions", body), 401, "no-token")
        self.assertEqual(deaf.heads, [])
        self.expect(asked.post("/v1/transactions", body, headers=headers), 503, "unknown")
        sent = deaf.heads[0].lower()
        for field in (f"authorization: bearer {made}", "etx-forwarded-by: b",
                      f"traceparent: {TRACE}", "content-type: application/json",
                      "post /v1/transactions http"):
            self.assertIn(field.lower(), sent)
        self.assertIn('etxd_forwards_total{result="lost"} 1', asked.get("/metrics").text)

    def test_who_waits_for_another_node_is_told_at_the_end(self):
        """SIGTERM while the owner does not answer: nobody is left without an answer."""
        mute = Deaf(holds=True)
        self.addCleanup(mute.sock.close)
        asked = self.deaf_owner(mute.url, "--drain", "4s")
        gid = self.gid_of("lost")
        answers = []
        body = {"gid": gid, "branches": [self.part.tcc("x")], "wait": "ended", "wait_ms": 60000}
        waits = threading.Thread(target=lambda: answers.append(
            asked.post("/v1/transactions", body, timeout=60)))
        waits.start()
        self.eventually(lambda: mute.heads)
        self.assertEqual(asked.end(), 0)
        waits.join(60)
        self.expect(answers[0], 503, "unknown")

    def make_token(self, path, *more):
        return subprocess.run([ETX, "token", "create", "--file", path, "--scope",
                               "submit,read,operate", *more], check=True, capture_output=True,
                              text=True, timeout=60).stdout.split()[-1]

    def ask_with_token(self, token):
        """Whoever GETs has it."""
        ask = Server.ask

        def with_token(server, method, path, body=None, headers=None, timeout=30):
            if method == "GET":
                headers = {"Authorization": "Bearer " + token, **(headers or {})}
            return ask(server, method, path, body=body, headers=headers, timeout=timeout)
        Server.ask = with_token
        self.addCleanup(setattr, Server, "ask", ask)

    def test_gid_of_a_prefix(self):
        """A gid that the server makes for a token with a prefix is of a partition of its own."""
        path = os.path.join(self.folder(), "tokens")
        bound = {"Authorization": "Bearer " + self.make_token(path, "--gid-prefix", "shop-")}
        self.ask_with_token(self.make_token(path))
        self.nodes = {name: self.open(name, "--token-file", path) for name in ("a", "b")}
        self.shared_by(("a", "b"))
        for node in self.nodes.values():
            for _ in range(8):
                answer = node.post("/v1/transactions", {"branches": [self.part.tcc("x")],
                                                        "wait": "ended"}, headers=bound)
                self.assertTrue(self.expect(answer, 200).json["gid"].startswith("shop-"))
            self.assertIn('etxd_forwards_total{result="answered"} 0', node.get("/metrics").text)
        self.expect(self.nodes["a"].get("/v1/cluster", headers=bound), 403, "scope")

    def etx(self, *args, code=0):
        """Runs `etx cluster ...`, and insists on its exit code."""
        result = subprocess.run([ETX, "cluster", *args], check=False, capture_output=True,
                                text=True, timeout=120)
        self.assertEqual(result.returncode, code, result)
        return result.stdout + result.stderr

    def url(self, name):
        return f"http://{self.nodes[name].listen}"

    def number_of(self, gid):
        """The partition of a gid: the one that its owner names to others."""
        asked = next(name for name in self.nodes if name != self.owner_of(gid))
        answer = self.nodes[asked].get(f"/v1/transactions/{gid}", headers={"Etx-Forwarded-By": "x"})
        return int(answer.json["detail"].split()[1])

    def in_flight(self, gid, asked):
        self.part.rules[f"/{gid}/try"] = lambda headers, body: (503, b"")
        self.expect(self.nodes[asked].post("/v1/transactions", {
            "gid": gid, "branches": [self.part.tcc(gid)], "wait": "begun"}), 200)

    def ends(self, gid):
        self.part.rules.clear()
        self.eventually(lambda: {answer.json.get("state") for answer in self.at_each(
            "GET", f"/v1/transactions/{gid}")} == {"COMMITTED"})

    def test_move(self):
        """Whoever is asked; what is in flight goes on there, and the shares stay even."""
        self.open_all()
        for asked in NAMES:
            gid = self.gid_of("a", prefix="m" + asked)
            self.in_flight(gid, "c")
            number = self.number_of(gid)
            said = json.loads(self.etx("move", str(number), "--to", "b", "--server",
                                       self.url(asked), "--json"))
            self.assertEqual((said["partition"], said["from"], said["to"], said["done"]),
                             (number, "a", "b", True))
            self.shared_by(NAMES)
            self.assertEqual(self.owner_of(gid), "b")
            self.ends(gid)
            again = self.etx("move", str(number), "--to", "b", "--server", self.url(asked))
            self.assertEqual(again, f"partition {number} is with node b\n")
            self.etx("move", str(number), "--to", "a", "--server", self.url(asked))
            self.shared_by(NAMES)

    def test_what_cannot_be_moved(self):
        self.open_all(("a", "b"))
        self.assertIn("no node 'z' attends", self.etx("move", "0", "--to", "z", "--server",
                                                      self.url("a"), code=2))
        self.assertIn("numbered from 0", self.etx("move", str(PARTITIONS), "--to", "b", "--server",
                                                  self.url("a"), code=2))
        self.assertIn("no home has the id", self.etx("move", "0", "--to", "b", "--home", "x",
                                                     "--server", self.url("a"), code=2))
        self.assertIn("no node 'z' attends", self.etx("drain", "z", "--server", self.url("a"),
                                                      code=2))
        self.assertIn("is no partition", self.etx("move", "one", "--to", "b", code=2))
        self.assertIn("which node", self.etx("move", "1", code=2))
        for none in ("", "a b"):
            said = self.etx("move", "1", "--to", none, code=2)
            self.assertIn(f"--to '{none}': no node has such a name", said)
            self.assertIn("'etx cluster status' lists the nodes", said)
        # a node whose address leads nowhere is not told, and nothing changes
        self.open("lost", advertise="http://" + reserve())
        self.eventually(lambda: self.owners(self.nodes["a"]).count(("lost", False)) == 2)
        before = self.owners(self.nodes["a"])
        number = next(i for i, one in enumerate(before) if one[0] != "lost")
        self.assertIn("could not be reached", self.etx("move", str(number), "--to", "lost",
                                                       "--server", self.url("a"), code=2))
        self.assertEqual(self.owners(self.nodes["a"])[number], before[number])

    def test_drain(self):
        """It serves on, by asking the others; also what has no gid yet."""
        self.open_all()
        gid = self.gid_of("b")
        self.in_flight(gid, "a")
        self.assertIn("has no partition any more", self.etx("drain", "b", "--server",
                                                            self.url("a")))
        drained = self.nodes["b"]
        cluster = drained.get("/v1/cluster").json["homes"][0]
        self.assertTrue(cluster["drained"])
        self.assertEqual([one["node"] for one in cluster["nodes"]], ["a", "c"])
        self.assertEqual(drained.get("/readyz").status, 503)
        self.assertIn("drained", self.etx("status", "--server", self.url("b")))
        self.ends(gid)
        for body in ({"branches": [self.part.tcc("x")]}, {"mode": "interactive", "branches": []}):
            made = self.expect(drained.post("/v1/transactions", body), 200).json["gid"]
            self.assertIn(self.owner_of(made), ("a", "c"))
        self.assertIn("ask", self.etx("drain", "b", "--undo", "--server", self.url("a"), code=2))
        # the last one cannot be drained
        self.etx("drain", "c", "--server", self.url("a"))
        self.assertIn("no other node attends", self.etx("drain", "a", "--server", self.url("a"),
                                                        code=2))
        for name in ("b", "c"):
            self.assertIn("takes its share", self.etx("drain", name, "--undo", "--server",
                                                      self.url(name)))
        self.shared_by(NAMES)
        self.eventually(lambda: drained.get("/readyz").status == 200)
        self.assertFalse(drained.get("/v1/cluster").json["homes"][0]["drained"])

    def test_a_drained_node_is_not_ready(self):
        """Whatever other home it has."""
        self.nodes["a"] = self.open("a")
        self.nodes["b"] = self.open("b", homes=[f"file:{self.folder()}/local"])
        self.shared_by(("a", "b"))
        self.etx("drain", "b", "--server", self.url("a"))
        ready = self.nodes["b"].get("/readyz")
        self.assertEqual(ready.status, 503)
        self.assertIn("drained", ready.text)
        self.eventually(lambda: self.nodes["b"].told_ready()["message"] == "not ready")
        told = self.nodes["b"].told_ready()
        self.assertIn("drained", told["why"])
        self.assertIn("etx cluster drain b --undo", told["undo"])
        found = subprocess.run([ETX, "doctor", "--server", self.url("b"), "--json"], check=False,
                               capture_output=True, text=True, timeout=60)
        found = {one["code"]: one for one in json.loads(found.stdout)["findings"]}
        self.assertIn("'etx cluster drain b --undo'", found["drained"]["do"])
        self.assertFalse({"not-ready", "home-down"} & set(found), found)
        self.etx("drain", "b", "--undo", "--server", self.url("b"))
        self.eventually(lambda: self.nodes["b"].get("/readyz").status == 200)
        self.eventually(lambda: self.nodes["b"].told_ready()["message"] == "ready")

    def test_command(self):
        self.open_all(("a", "b"))
        url = f"http://{self.nodes['a'].listen}"
        shown = subprocess.run([ETX, "cluster", "status", "--server", url], check=True,
                               capture_output=True, text=True, timeout=60).stdout
        for name, node in self.nodes.items():
            self.assertRegex(shown, rf"(?m)^{name}\s+http://{node.listen}\s+3\s")
        lines = subprocess.run([ETX, "cluster", "partitions", "--server", url, "--json"],
                               check=True, capture_output=True, text=True, timeout=60).stdout
        seen = [json.loads(line) for line in lines.splitlines()]
        self.assertEqual([one["partition"] for one in seen], list(range(PARTITIONS)))
        self.assertEqual({one["node"] for one in seen}, {"a", "b"})
        table = subprocess.run([ETX, "cluster", "partitions", "--server", url], check=True,
                               capture_output=True, text=True, timeout=60).stdout
        self.assertEqual(len(table.splitlines()), PARTITIONS + 1)

    def test_homes(self):
        """Which home is in use, and which is there for when that is away."""
        own = "file:" + os.path.join(self.folder(), "own")
        self.nodes = {"a": self.open("a", homes=[own])}
        self.shared_by(("a",))
        url = f"http://{self.nodes['a'].listen}"
        lines = subprocess.run([ETX, "homes", "--server", url, "--json"], check=True,
                               capture_output=True, text=True, timeout=60).stdout
        seen = [json.loads(line) for line in lines.splitlines()]
        self.assertEqual([(one["place"], one["shared"], one["in_use"], one["usable"],
                           one["durability"], one["in_flight"]) for one in seen],
                         [(0, True, True, True, "local", 0), (1, False, False, True, "local", 0)])
        self.assertEqual(seen[1]["url"], own)
        shown = subprocess.run([ETX, "homes", "--server", url], check=True, capture_output=True,
                               text=True, timeout=60).stdout
        self.assertRegex(shown, r"(?m)^ +0  s[0-9a-z]{6} +in use +local +0 ")
        self.assertRegex(shown, r"(?m)^ +1  f[0-9a-z]{6} +up +local +0 ")


class Settings(etxd_common.unittest.TestCase):
    """What is wrong is said before anything starts."""

    def said(self, *flags, status=2, home="postgresql:///x"):
        result = subprocess.run([ETXD, "--home", home, *flags, "--print-config"],
                                check=False, capture_output=True, text=True, timeout=60)
        self.assertEqual(result.returncode, status, result)
        return result.stdout + result.stderr

    def test_refused(self):
        for flags, words in (
                (["--advertise", "db:7830"], "is no URL of a server"),
                (["--advertise", "https://u:p@etx.example"], "is no URL of a server"),
                (["--advertise", "https://etx.example/?a=b"], "paths are put behind it"),
                (["--advertise", "http://etx.example:7830"], "could be read on the way"),
                (["--advertise", "https://etx.example/" + "a" * 250], "255 characters"),
                (["--lease", "499"], "is not within 500"),
                (["--lease", "soon"], "is no time"),
                (["--node", ""], "is no name"),
                # a cluster beyond this machine has TLS and tokens, or does not start
                (["--listen", "*:7830"], "there is no TLS"),
                (["--listen", "*:7830", "--insecure-without-tls"], "there are no tokens")):
            self.assertIn(words, self.said(*flags))

    def test_advertised_host_is_its_own(self):
        """Others ask under that name; without tokens, names that nobody gave are refused."""
        server = Server("--advertise", "https://etx.example:7830")
        self.addCleanup(server.close)
        for name, status in (("ETX.example:7830", 200), ("other.example", 421)):
            self.assertEqual(server.get("/readyz", headers={"Host": name}).status, status)
        cluster = server.get("/v1/cluster").json
        self.assertEqual((cluster["node"], cluster["address"]),
                         ("node", "https://etx.example:7830"))
        for path, body in (("move", {"partition": 0, "to": "b"}), ("drain", {"node": "b"})):
            refused = server.post("/v1/cluster/" + path, body)
            self.assertEqual((refused.status, refused.json["code"]), (409, "state"))
        home = cluster["homes"][0]
        self.assertEqual((home["shared"], home["nodes"]), (False, []))
        self.assertEqual({(one["node"], one["here"], one["in_flight"])
                          for one in home["partitions"]}, {("node", True, 0)})

    def test_taken(self):
        shown = self.said("--advertise", "https://etx.example:7830", "--lease", "10s", status=0)
        self.assertIn("advertise: 'https://etx.example:7830' # flag\n", shown)
        self.assertIn("lease: 10000 # flag\n", shown)
        self.assertIn(f"node: '{socket.gethostname()}'\n", shown)
        self.assertIn("node: 'node'\n", self.said("--home", "memory:", status=0, home="file:x"))


if __name__ == "__main__":
    etxd_common.main()
