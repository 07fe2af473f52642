#!/usr/bin/env python3
"""scripts/demo --server: etxd and its participants are killed, and the ledgers in PostgreSQL agree;
an audit that can fail.

    etxd_ledgers.py BUILD
"""
import json
import os
import subprocess
import sys
import unittest

SCRIPTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), *[os.pardir] * 3, "scripts")
BUILD = os.path.abspath(sys.argv[1])
KILLS = 24


class Ledgers(unittest.TestCase):
    def demo(self, *arguments):
        """The exit status, what it found, and what it said."""
        done = subprocess.run(
            [os.path.join(SCRIPTS, "with-postgres"), os.path.join(SCRIPTS, "demo-server"),
             "--build", BUILD, *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode == 77:
            self.skipTest(done.stdout.strip())
        return done.returncode, done.stdout, done.stderr

    def test_kills(self):
        code, out, err = self.demo("--kills", str(KILLS), "--json")
        print(out, err)
        self.assertEqual(code, 0, err)
        self.assertEqual(len(out.splitlines()), 1)
        found = json.loads(out)
        self.assertGreaterEqual(found["kills"], KILLS)
        self.assertEqual(found["kills"], found["kills_server"] + found["kills_participants"])
        self.assertGreater(found["kills_server"], 0)
        self.assertGreater(found["kills_participants"], 0)
        self.assertGreater(found["kills_in_flight"], KILLS // 2)
        self.assertEqual(found["transfers"], found["committed"] + found["aborted"])
        self.assertGreater(found["committed"], KILLS)
        self.assertGreater(found["aborted"], 0)
        for name in ("unfinished", "imbalance", "half_done", "errors"):
            self.assertEqual(found[name], 0, name)
        self.assertNotIn("dir", found)  # it is removed

    def test_audit_can_fail(self):
        for what in ("money", "entry", "fence", "held", "stray"):
            code, out, err = self.demo("--kills", "1", "--tamper", what, "--json")
            self.assertEqual(code, 1, (what, out, err))
            found = json.loads(out)
            self.assertEqual(found["unfinished"], 0)
            self.assertEqual(found["imbalance"] > 0, what != "fence", (what, found))
            self.assertEqual(found["half_done"] > 0, what != "money", (what, found))
            subprocess.run(["rm", "-r", found["dir"]], check=True)

    def test_text(self):
        code, out, err = self.demo("--kills", "1")
        self.assertEqual(code, 0, err)
        self.assertIn("each in three PostgreSQL ledgers", out)
        self.assertIn("0  orders unfinished", out)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
