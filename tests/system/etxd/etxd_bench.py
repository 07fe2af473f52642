"""bench/http in short; and a server that is asked for too much, which loses nothing.

What is measured is not judged here: a benchmark is no test.
"""
import json
import subprocess
import sys
import unittest

import etxd_common

HARNESS, LOAD = sys.argv[3:5]


def harness(*words):
    """The lines of a run, by case."""
    done = subprocess.run(
        [HARNESS, "--etxd", etxd_common.ETXD, "--etx", etxd_common.ETX, "--load", LOAD, "--json",
         "--dir", etxd_common.tempfile.gettempdir(), *words],
        stdout=subprocess.PIPE, timeout=200, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode in (0, 1), done.returncode
    return {line["case"]: line for line in map(json.loads, done.stdout.splitlines())}


class Harness(unittest.TestCase):
    """The table and the campaign, each for a moment."""

    def test_cases_give_results_without_errors(self):
        lines = harness("--seconds", "0.3", "--only", "tcc-64", "--only", "added-saga-1",
                        "--only", "start")
        for name, part in (("tcc-64", "tcc"), ("added-saga-1", "etxd")):
            run = lines[name]["run"][part]
            self.assertGreater(run["done"], 0, lines)
            self.assertEqual(run["unfit"] + run["broken"], 0, lines)
            self.assertGreater(run["p99_us"], 0, lines)
        # Three participants of two milliseconds, one after another.
        self.assertGreaterEqual(lines["added-saga-1"]["run"]["direct"]["p50_us"], 6000)
        self.assertGreater(min(lines["start"]["run"]["ms"]), 0)

    def test_soak(self):
        line = harness("soak", "--minutes", "0.03", "--rate", "200")["soak"]
        self.assertGreater(line["run"]["count"]["done"], 200, line)
        self.assertEqual(line["run"]["count"]["broken"], 0, line)
        self.assertEqual(line["run"]["rates"], [200], line)
        self.assertGreater(line["run"]["rss"], 1 << 20, line)


class Overload(etxd_common.Case):
    """More than can be done in a millisecond."""

    flags = ("--overload", "1")

    def test_refuses_and_loses_nothing(self):
        gids = self.server.folder + "/gids"
        with subprocess.Popen([LOAD, "serve"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as behind:
            port = json.loads(behind.stdout.readline())["ports"][0]
            done = subprocess.run(
                [LOAD, "run", "--plan", "tcc", "--users", "1000", "--port", str(self.server.port),
                 "--participants", str(port), "--seconds", "2", "--gids", gids],
                stdout=subprocess.PIPE, check=True, timeout=100, stdin=subprocess.DEVNULL)
            behind.stdin.close()
        result = json.loads(done.stdout)
        self.assertGreater(result["done"], 0, result)
        self.assertGreater(result["refused"], 0, result)
        self.assertEqual(result["refused_without_retry_after"], 0, result)
        self.assertEqual(result["unfit"] + result["broken"], 0, result)
        self.server.kill()
        self.server.start()
        with open(gids, encoding="ascii") as file:
            for gid in file.read().split()[-200:]:
                self.assertEqual(self.server.get("/v1/transactions/" + gid).json["state"],
                                 "COMMITTED")


if __name__ == "__main__":
    etxd_common.main()
