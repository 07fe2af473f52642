#!/usr/bin/env python3
"""`etx log copy` from store to store: what a log has stays what it is, wherever it goes. And
`etx bench` on logs in stores, which must be its own.

The stores are found by the environment (scripts/with-mariadb and the like).
"""
import itertools
import json
import os
import re
import subprocess
import time

import cli_common
from cli_common import Case, rows


class Stores(Case):
    def setUp(self):
        super().setUp()
        self.unique = "t_" + os.path.basename(self.dir)[-8:]

    def url(self, store, name=""):
        """Of a log of this test in that store."""
        own = self.unique + name
        return {"mariadb": f"mariadb://etx@/etx?socket={os.environ['MARIADB_SOCKET']}&prefix={own}",
                "etcd": f"etcd://{os.environ['ETX_ETCD']}/{own}",
                "postgresql": f"postgresql://?schema={own}",
                "redis": f"redis:///0?socket={os.environ['REDIS_SOCKET']}&prefix={own}",
                "file": f"file:{self.path('log' + name)}"}[store]

    def make_source(self):
        """A log in a directory with transactions in flight and some that have ended."""
        broken = os.path.join(self.make_broken_off_demo(), "log")
        self.expect(0, "log", "copy", broken, self.url("file", "_made"))
        return self.url("file", "_made")

    def contents(self, url):
        """Records, transactions, and what is told of the slots."""
        listed = rows(self.expect(0, "tx", "list", "--home", url, "--ended", "--json", "--limit",
                                  "100000").stdout)
        told = json.loads(self.expect(0, "log", "verify", url, "--json").stdout)
        return (self.expect(0, "log", "show", url, "--json").stdout,
                sorted((tx["gid"], tx["state"]) for tx in listed),
                [told[what] for what in ("state", "partitions", "slots")])

    def operate(self, code, url):
        """Whoever opens a log to change it."""
        return self.expect(code, "tx", "park", "nobody", "--home", url, "--why", "so", "--who",
                           "me").stderr

    def test_around(self):
        source = self.make_source()
        wanted = self.contents(source)
        states = {state for _, state in wanted[1]}
        self.assertIn("COMMITTED", states)
        self.assertTrue(states - {"COMMITTED", "ABORTED"})
        for store in ("mariadb", "etcd", "postgresql", "mariadb", "redis", "etcd", "file"):
            dest = self.url(store, "_" + store + "_from_" + source.split(":")[0])
            told = json.loads(self.expect(0, "log", "copy", source, dest, "--json",
                                           "--volatile").stdout)
            self.assertEqual((told["result"], told["partitions"], told["slots"]),
                             ("copied", *wanted[2][1:]))
            self.assertEqual(self.contents(dest), wanted, dest)
            # the source is read as before, and nobody begins anything in it
            self.assertEqual(self.contents(source), wanted, source)
            self.assertIn("has moved this log to " + dest[:120], self.operate(2, source))
            self.assertIn("was copied before", self.expect(2, "log", "copy", source,
                                                           dest + "_more").stderr)
            self.expect(0, "log", "copy", "--take-back", source)
            self.expect(1, "log", "copy", "--take-back", source)
            # what is there already stays
            self.expect(2, "log", "copy", source, dest)
            self.assertEqual(self.contents(dest), wanted, dest)
            source = dest
        self.operate(1, source)  # opened; there is no such transaction

    def break_off(self, store):
        """Kills copies, each a little later, until one has begun to fill its destination; the
        source and the destination of that."""
        log = os.path.join(self.make_broken_off_demo(), "log")
        for number in itertools.count():
            name = f"_{store}{number}"
            source, dest = self.url("file", name), self.url(store, name)
            self.expect(0, "log", "backup", log, self.path("log" + name))
            with subprocess.Popen([cli_common.binary(), "log", "copy", source, dest,
                                   "--volatile"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
                time.sleep(0.003 * number)
                process.kill()
            if "left unfinished" in cli_common.run("log", "verify", dest).stderr:
                return source, dest
            self.assertLess(number, 1000)

    def test_broken_off(self):
        """Neither log can be used until the same command has run again, and then the copy can."""
        for store in ("mariadb", "etcd"):
            with self.subTest(store):
                source, dest = self.break_off(store)
                wanted = self.contents(source)
                self.assertIn("has not finished", self.operate(2, source))
                self.assertIn("left unfinished", self.operate(2, dest))
                self.expect(0, "log", "copy", source, dest, "--volatile")
                self.assertEqual(self.contents(dest), wanted)
                self.assertIn("has moved this log", self.operate(2, source))
                self.operate(1, dest)

    # ---- a bench must not run others' transactions

    def bench(self, code, url):
        return self.expect(code, "bench", "--seconds", "0.1", "--in-flight", "4", "--home",
                           url).stderr

    def test_bench_leaves_a_used_log_alone(self):
        source = self.make_source()
        for store in ("mariadb", "etcd", "postgresql", "redis"):
            with self.subTest(store):
                used, own = self.url(store, "_used"), self.url(store, "_own")
                self.expect(0, "log", "copy", source, used, "--volatile")
                wanted = self.contents(used)
                said = self.bench(2, used)
                self.assertIn("this log is not empty", said)
                self.assertIn("give it a log of its own", said)
                self.assertEqual(self.contents(used), wanted)
                self.expect(0, "log", "copy", "--take-back", source)
                # a new one is made; then it is used as well
                self.bench(0, own)
                self.assertIn("this log is not empty", self.bench(2, own))

    def redis(self, *words):
        return subprocess.run(["redis-cli", "-s", os.environ["REDIS_SOCKET"], *words], check=True,
                              capture_output=True, text=True, timeout=60).stdout.strip()

    def redis_scripts(self):
        """How many it has run: a put is one."""
        found = re.search(r"cmdstat_evalsha:calls=(\d+)", self.redis("INFO", "commandstats"))
        return int(found.group(1)) if found else 0

    def test_bench_waits_for_a_store_that_pauses(self):
        """New transactions are refused for as long as a write hangs: those are submitted again."""
        url, before = self.url("redis", "_pauses"), self.redis_scripts()
        with subprocess.Popen([cli_common.binary(), "bench", "--slow", "--in-flight", "200000",
                               "--json", "--home", url], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as process:
            self.await_that(lambda: self.redis_scripts() > before + 100)
            self.assertEqual(self.redis("CLIENT", "PAUSE", "1500", "ALL"), "OK")
            out, err = process.communicate(timeout=100)
        self.assertEqual((process.returncode, err), (0, ""), out)
        told = json.loads(out)
        self.assertEqual((told["in_flight"], told["errors"]), (200000, 0))

    def psql(self, sql):
        subprocess.run(["psql", "-Xqc", sql.replace("LOG", self.unique + ".etx_log")], check=True,
                       capture_output=True, timeout=60)

    def test_bench_leaves_an_attended_log_alone(self):
        """Also while nobody has written there: a node may come before its first transaction."""
        url = self.url("postgresql")
        self.bench(0, url)
        self.psql("DELETE FROM LOG_slot; UPDATE LOG_partition SET below = 0;"
                  " INSERT INTO LOG_node(name, address, process, until)"
                  " VALUES('n1', '', 'p', now() + interval '1 hour')")
        said = self.bench(2, url)
        self.assertIn("nodes work on this log: n1", said)
        self.assertIn("give it a log of its own", said)
        self.psql("DELETE FROM LOG_node")
        self.bench(0, url)
        # nor one whose slots are all gone: it goes on behind its marks
        self.psql("DELETE FROM LOG_slot; UPDATE LOG_partition SET below = 7")
        self.assertIn("this log is not empty", self.bench(2, url))


if __name__ == "__main__":
    cli_common.main()
