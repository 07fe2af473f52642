"""bench/cluster.py in short.

    etxd_bench_cluster.py BUILD HARNESS

What is measured is not judged here: a benchmark is no test.
"""
import json
import subprocess
import sys
import unittest

BUILD, HARNESS = sys.argv[1:3]


def harness(*words):
    """The rows of a line, on PostgreSQL."""
    done = subprocess.run(
        [HARNESS, "--build", BUILD, "--store", "postgresql", "--json", "--rounds", "1", *words],
        stdout=subprocess.PIPE, timeout=200, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode in (0, 1), done.returncode
    return [json.loads(line) for line in done.stdout.splitlines()]


class Harness(unittest.TestCase):
    """Some of its lines, each for a moment."""

    def test_in_process(self):
        rows = harness("--seconds", "0.2", "--only", "put", "--only", "puts")
        self.assertEqual([row["line"] for row in rows], ["put", "puts", "puts"])
        for turn in rows[0]["run"]:
            self.assertGreater(turn["bare"]["puts"], 0, rows)
            self.assertGreater(turn["bare"]["p50_us"], 0, rows)
            self.assertGreater(turn["one"]["transactions"], 0, rows)
        self.assertEqual([one["in_flight"] for one in rows[1]["run"]], [1, 16, 64, 256, 1024])
        self.assertEqual([one["errors"] for one in rows[1]["run"]], [0] * 5, rows)

    def test_space(self):
        row, = harness("--minutes", "0.05", "--only", "space")
        *looks, load = row["run"]
        self.assertEqual(load["errors"], 0, row)
        self.assertGreater(len(looks), 1, row)
        for look in looks:
            self.assertGreater(look["kept"], look["live"], row)
            self.assertGreater(look["live"], 0, row)

    def test_server(self):
        row, = harness("--seconds", "0.3", "--only", "etxd")
        self.assertEqual([run["home"] for run in row["run"]], ["file", "postgresql"])
        for run in row["run"]:
            self.assertGreater(run["done"], 0, row)
            self.assertEqual(run["unfit"] + run["broken"], 0, row)

    def test_takeover(self):
        killed, left = harness("--only", "takeover")
        # a lease of five seconds, of which some had passed
        self.assertGreater(killed["run"][0][0], 2, killed)
        self.assertEqual([len(row["run"][0]) for row in (killed, left)], [20, 20])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
