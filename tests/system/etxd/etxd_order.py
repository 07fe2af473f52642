#!/usr/bin/env python3
"""The examples as a user runs them: three ledgers, in C or in Python, and orders by curl.

    etxd_order.py ETXD ETX LEDGER

LEDGER: examples/ledger.py, or the program of examples/ledger.c, which finds PostgreSQL by the
environment (scripts/with-postgres).
"""
import os
import shutil
import subprocess
import sys
import time
import unittest

import etxd_common
from etxd_common import Case

LEDGER = os.path.abspath(sys.argv[3])
ORDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), *[os.pardir] * 3, "examples",
                     "order.sh")
OPENING = {"order": ("free=100", "placed=0"), "stock": ("tea=10", "sold=0"),
           "payment": ("alice=50", "shop=0")}


@unittest.skipIf(shutil.which("curl") is None, "curl is not installed (scripts/setup server)")
class Order(Case):
    flags = ("--retry-first", "20", "--retry-cap", "200", "--access-log=off")

    def setUp(self):
        super().setUp()
        self.env = {**os.environ, "ETX_SERVER": f"http://127.0.0.1:{self.server.port}"}
        self.served = {}
        for name, accounts in OPENING.items():
            if not LEDGER.endswith(".py"):
                subprocess.run(
                    ["psql", "-q", "-c", "SET client_min_messages = warning",
                     "-c", f"DROP DATABASE IF EXISTS etx_{name} WITH (FORCE)",
                     "-c", f"CREATE DATABASE etx_{name}"], check=True)
            self.ledger(name, "open", *accounts)
            self.serve(name)

    def command(self, name, *arguments):
        """The command line, and its environment."""
        if LEDGER.endswith(".py"):
            path = os.path.join(self.server.folder, name + ".db")
            return [sys.executable, LEDGER, path, *arguments], self.env
        return [LEDGER, *arguments], {**self.env, "PGDATABASE": "etx_" + name}

    def ledger(self, name, *arguments):
        command, env = self.command(name, *arguments)
        return subprocess.run(command, env=env, check=True, capture_output=True, text=True,
                              timeout=60).stdout

    def serve(self, name):
        command, env = self.command(name, "serve", "0")
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True,
                                   stderr=subprocess.DEVNULL)
        self.served[name] = process
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        line = process.stdout.readline()
        self.assertTrue(line.startswith("listening on 127.0.0.1:"), line)
        self.env[name.upper()] = "http://" + line.split()[-1]

    def order(self, *words):
        done = subprocess.run(["sh", ORDER, *words], env=self.env, capture_output=True, text=True,
                              timeout=120, check=False)
        return done.returncode, done.stdout + done.stderr

    def balances(self, name):
        return dict(line.split() for line in self.ledger(name, "show").splitlines())

    def all_balances(self):
        return {name: self.balances(name) for name in OPENING}

    def test_orders(self):
        code, text = self.order("alice", "tea", "2", "10")
        self.assertEqual(code, 0, text)
        self.assertIn("COMMITTED", text)
        after = {"order": {"free": "99", "placed": "1"}, "stock": {"tea": "8", "sold": "2"},
                 "payment": {"alice": "40", "shop": "10"}}
        self.assertEqual(self.all_balances(), after)
        # too dear, too many, of somebody unknown: all of it is taken back
        for words in (("alice", "tea", "1", "41"), ("alice", "tea", "9", "1"),
                      ("nobody", "tea", "1", "1"), ("alice", "tea", "0", "1")):
            code, text = self.order(*words)
            self.assertEqual(code, 1, text)
            self.assertIn("ABORTED", text)
            self.assertIn("because: ", text)
        self.assertEqual(self.all_balances(), after)

    def call(self, name, operation, gid, body=b'{"from": "tea", "to": "sold", "amount": 1}',
             begin="1700000000000"):
        """The status of one call, as etxd makes it."""
        host = self.env[name.upper()].rsplit("/", 1)[1]
        connection = etxd_common.http.client.HTTPConnection(host, timeout=30)
        try:
            connection.request("POST", "/", body, {
                "Etx-Gid": gid, "Etx-Branch": "stock", "Etx-Operation": operation,
                **({} if begin is None else {"Etx-Begin": begin})})
            return connection.getresponse().status
        finally:
            connection.close()

    def test_calls_that_come_wrong(self):
        """Repeats, an undo before its try, a confirm of nothing, a body that is none."""
        for operation, gid, status, tea in (
                ("try", "a", 200, "9"), ("try", "a", 200, "9"), ("confirm", "a", 200, "9"),
                ("confirm", "a", 200, "9"), ("cancel", "a", 409, "9"), ("try", "a", 200, "9"),
                ("cancel", "b", 200, "9"), ("try", "b", 409, "9"), ("cancel", "b", 200, "9"),
                ("confirm", "b", 409, "9"), ("confirm", "c", 409, "9"), ("try", "c", 200, "8"),
                ("cancel", "c", 200, "9"), ("cancel", "c", 200, "9"), ("confirm", "c", 409, "9"),
                ("resume", "d", 400, "9")):
            self.assertEqual(self.call("stock", operation, gid), status, (operation, gid))
            self.assertEqual(self.balances("stock")["tea"], tea, (operation, gid))
        for number, body in enumerate((b"", b"{", b"[]", b"7", b'"x"', b"{}", b"\xff",
                                       b'{"from": "tea", "to": "sold", "amount": -1}',
                                       b'{"from": "tea", "to": "sold", "amount": "many"}',
                                       b'{"from": "tea", "to": "gone", "amount": 1}')):
            self.assertEqual(self.call("stock", "try", f"bad-{number}", body), 409, body)
        self.assertEqual(self.balances("stock"), {"tea": "9", "sold": "1"})

    def test_clean(self):
        """What is finished is forgotten, and never done again; what is not finished stays."""
        new = str(int(time.time() * 1000) + 3600000)
        for operation, gid, begin, status in (
                ("try", "done", "1700000000000", 200), ("confirm", "done", "1700000000000", 200),
                ("try", "undone", "1700000000000", 200), ("cancel", "undone", "1700000000000", 200),
                ("cancel", "empty", "1700000000000", 200), ("try", "open", "1700000000000", 200),
                ("try", "new", new, 200), ("confirm", "new", new, 200)):
            self.assertEqual(self.call("stock", operation, gid, begin=begin), status,
                             (operation, gid))
        self.assertEqual(self.ledger("stock", "clean", "2000000000"), "0 rows forgotten\n")
        self.assertEqual(self.ledger("stock", "clean", "60"), "6 rows forgotten\n")
        self.assertEqual(self.ledger("stock", "clean", "3600"), "0 rows forgotten\n")
        for operation, gid, begin, status in (
                ("try", "done", "1700000000000", 503), ("try", "undone", "1700000000000", 503),
                ("cancel", "never", "1700000000000", 503), ("try", "never", new, 200),
                ("confirm", "new", new, 200), ("confirm", "open", "1700000000000", 200),
                ("confirm", "open", "1700000000000", 200), ("try", "x", None, 400)):
            self.assertEqual(self.call("stock", operation, gid, begin=begin), status,
                             (operation, gid))
        # of done, new and open; one is held for `never`
        self.assertEqual(self.balances("stock"), {"tea": "6", "sold": "3"})

    def test_participant_that_is_killed(self):
        """What was reserved is there when it comes back, and the order goes on."""
        stock = self.served["stock"]

        def last(*_):  # while this one is asked, the others have reserved
            if stock.poll() is not None:
                return 200, b"{}"
            if self.balances("stock")["tea"] == "9":
                stock.kill()
                stock.wait()
            return 503, b""
        self.part.rules["/last/try"] = last
        self.expect(self.server.post("/v1/transactions", {"gid": "g", "wait": "begun", "branches": [
            {"kind": "tcc", "url": self.env["STOCK"], "name": "stock",
             "payload": {"from": "tea", "to": "sold", "amount": 1}},
            self.part.tcc("last", name="last")]}), 200)
        self.eventually(lambda: self.server.get("/v1/transactions/g").json["state"] == "COMMITTING")
        port = self.env["STOCK"].rsplit(":", 1)[1]
        command, env = self.command("stock", "serve", port)
        again = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        self.addCleanup(again.wait)
        self.addCleanup(again.kill)
        self.eventually(lambda: self.server.get("/v1/transactions/g").json["state"] == "COMMITTED")
        self.assertEqual(self.balances("stock"), {"tea": "9", "sold": "1"})


if __name__ == "__main__":
    etxd_common.main()
