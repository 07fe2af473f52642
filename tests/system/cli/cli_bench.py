#!/usr/bin/env python3
"""`etx bench`: what it prints, for each pattern and caller. Its numbers are not judged here."""
import glob
import json
import os
import signal
import subprocess
import tempfile

import cli_common
from cli_common import Case, run

KEYS = {"tx_per_s", "p50_us", "p99_us", "p999_us", "cpu_us_per_tx", "rss_bytes", "sync_p50_us",
        "sync_p99_us", "sync_per_s", "p50_per_sync", "p99_per_sync", "tx_per_sync", "puts",
        "tx_per_put", "put_p50_us", "put_p99_us", "errors"}


class Bench(Case):
    def bench(self, *args, home=True):
        place = ["--home", "file:" + tempfile.mkdtemp(dir=self.dir)] if home else []
        return json.loads(self.expect(0, "bench", "--seconds", "0.3", "--json", *place,
                                      *args).stdout)

    def test_patterns(self):
        for pattern in ("tcc", "saga", "xa", "message"):
            found = self.bench("--pattern", pattern, "--in-flight", "16")
            self.assertLessEqual(KEYS, set(found))
            self.assertGreater(found["tx_per_s"], 0)
            self.assertGreater(found["sync_p50_us"], 0)
            self.assertLessEqual(found["p50_us"], found["p99_us"])
            self.assertLessEqual(found["p99_us"], found["p999_us"])
            self.assertGreater(found["put_p99_us"], 0)
            self.assertLessEqual(found["put_p50_us"], found["put_p99_us"])
            self.assertEqual(found["errors"], 0)

    def test_callers(self):
        found = self.bench("--callers", "blocking", "--in-flight", "4")
        self.assertGreater(found["transactions"], 0)
        found = self.bench("--callers", "blocking", "--in-flight", "4", "--workers")
        self.assertGreater(found["transactions"], 0)

    def test_memory_has_no_sync(self):
        found = self.bench("--home", "memory:", home=False)
        self.assertIsNone(found["sync_p50_us"])
        self.assertIsNone(found["tx_per_sync"])
        self.assertGreater(found["tx_per_s"], 0)

    def test_slow(self):
        found = self.bench("--slow", "--in-flight", "2000")
        self.assertEqual(found["in_flight"], 2000)
        self.assertEqual(found["errors"], 0)

    def test_recovery(self):
        found = json.loads(self.expect(0, "bench", "recovery", "--live", "500", "--finished",
                                       "500", "--remembered", "300", "--json", "--home",
                                       "file:" + self.path("log")).stdout)
        self.assertGreaterEqual(found["recovered"], 500)  # an END rides with a later put
        self.assertGreater(found["start_s"], 0)

    def test_one_scenario(self):
        self.assertIn("two scenarios", self.expect(2, "bench", "recovery", "--slow").stderr)

    def test_a_log_that_is_there_is_left_alone(self):
        home = ["--home", "file:" + self.path("log")]
        self.expect(0, "bench", "--seconds", "0.1", *home)
        for scenario in ([], ["recovery"]):
            result = self.expect(2, "bench", *scenario, "--seconds", "0.1", *home)
            self.assertIn("name a new directory", result.stderr)

    def test_refusals_say_why(self):
        for args in ([], ["--callers", "blocking"], ["--slow"], ["recovery", "--live", "10"],
                     ["recovery", "--live", "10", "--remembered", "10"]):
            result = self.expect(1, "bench", "--payload", "1048576", "--branches", "4", *args,
                                 "--home", "file:" + tempfile.mkdtemp(dir=self.dir), timeout=120)
            self.assertIn("larger than one batch", result.stderr)
            self.assertEqual(result.stdout, "")

    def test_many_branches(self):
        self.assertEqual(self.bench("--branches", "1024", "--in-flight", "2")["errors"], 0)

    def test_too_many_threads(self):
        result = self.expect(2, "bench", "--callers", "blocking", "--in-flight", "4097")
        self.assertIn("4097 threads are too many: at most 4096", result.stderr)
        self.assertIn("--callers async", result.stderr)

    def test_interrupted_while_it_starts_threads(self):
        with subprocess.Popen([cli_common.binary(), "bench", "--callers", "blocking",
                               "--in-flight", "4096", "--seconds", "60", "--home", "memory:"],
                              text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as process:
            tasks = f"/proc/{process.pid}/task"
            self.await_that(lambda: len(os.listdir(tasks)) > 100)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=100)
        self.assertEqual(process.returncode, 130, out + err)

    def is_loaded(self):
        """Are there more puts in its log than those before the first that counts?"""
        for segment in glob.glob(self.path("etx-bench-*", "**", "p*.seg"), recursive=True):
            with open(segment, "rb") as file:
                if len(file.read(40 * cli_common.BLOCK).rstrip(b"\0")) > 20 * cli_common.BLOCK:
                    return True
        return False

    def test_interrupted(self):
        for args, printed in ((["--seconds", "60", "--warm-up", "0"], "throughput"),
                              (["recovery", "--live", "1000000"], "")):
            with subprocess.Popen([cli_common.binary(), "bench", *args], cwd=self.dir, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
                self.await_that(self.is_loaded)
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=100)
            self.assertEqual(process.returncode, 130, out + err)
            self.assertIn(printed, out)
            self.assertIn("interrupted", err)
            self.assertEqual(os.listdir(self.dir), [])

    def test_default_home_is_removed(self):
        here = os.getcwd()
        os.chdir(self.dir)
        try:
            result = run("bench", "--seconds", "0.2")
        finally:
            os.chdir(here)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("etx-bench-", result.stdout)
        self.assertEqual(os.listdir(self.dir), [])


if __name__ == "__main__":
    cli_common.main()
