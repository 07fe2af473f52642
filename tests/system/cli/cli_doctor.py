#!/usr/bin/env python3
"""`etx doctor` on a directory: what is wrong with a log, seen without touching it."""
import json
import os

import cli_common
from cli_common import Case, flip, run


class Doctor(Case):
    def findings(self, log, *args):
        """What it finds: code -> finding."""
        result = run("doctor", "--home", "file:" + log, "--json", *args)
        found = json.loads(result.stdout)["findings"]
        self.assertEqual(result.returncode, 1 if found else 0, result)
        return {finding["code"]: finding for finding in found}

    def times(self, log):
        return {name: (os.stat(os.path.join(log, name)).st_mtime_ns,
                       os.path.getsize(os.path.join(log, name))) for name in os.listdir(log)}

    def test_a_log_that_is_well(self):
        log = os.path.join(self.make_demo()[0], "log")
        before = self.times(log)
        self.assertEqual(self.findings(log, "--room", "0"), {})
        self.assertIn("Nothing is wrong",
                      self.expect(0, "doctor", "--home", "file:" + log, "--room", "0").stdout)
        self.assertEqual(self.findings(log, "--room", str(1 << 30)).keys(), {"log-nearly-full"})
        self.assertEqual(self.times(log), before)

    def test_what_nobody_finishes(self):
        log = os.path.join(self.make_broken_off_demo(), "log")
        found = self.findings(log, "--room", "0", "--older-than", "0")
        self.assertEqual(found.keys(), {"not-running", "old"})
        self.assertGreater(found["old"]["count"], 0)
        self.assertIn("etx tx force --as abort", found["old"]["do"])  # abort asks a server
        gid = found["old"]["gids"][0]
        self.expect(0, "tx", "park", gid, "--home", "file:" + log, "--why", "test", "--who", "me")
        self.assertEqual(self.findings(log, "--room", "0")["parked"]["gids"], [gid])
        text = self.expect(1, "doctor", "--home", "file:" + log, "--room", "0").stdout
        self.assertIn("etx tx resume", text)

    def test_damage(self):
        log = os.path.join(self.make_demo()[0], "log")
        segment = sorted(name for name in os.listdir(log) if name.endswith(".seg"))[0]
        flip(os.path.join(log, segment), 3 * cli_common.BLOCK)
        found = self.findings(log, "--room", "0")
        self.assertEqual(found.keys(), {"log-damaged"})
        self.assertIn(segment, found["log-damaged"]["file"])

    def test_it_cannot_look(self):
        for home in ("file:" + self.path("nothing"), "http://x", "file:"):
            self.assertEqual(self.expect(2, "doctor", "--home", home).stdout, "")


if __name__ == "__main__":
    cli_common.main()
