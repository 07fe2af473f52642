#!/usr/bin/env python3
"""`etx demo`: kills that really happen, an audit that holds, and an audit that can fail."""
import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import time

import cli_common
from cli_common import Case, run

KEYS = {"transfers", "committed", "aborted", "kills", "unfinished", "imbalance", "half_done",
        "seconds", "tx_per_s", "seed"}


# What is redrawn: the line is cleared and written anew.
PROGRESS = re.compile(r"\r\033\[K +[0-9.]+ s +([0-9]+) transfers +[0-9]+/s  "
                      r"([0-9]+) committed  ([0-9]+) aborted  ([0-9]+) of 3 kills(\r\n)?")
COLOR = re.compile(r"\033\[[0-9]+m")


def read_terminal(terminal):
    """All that is written to a terminal until nobody has it any more."""
    data = b""
    while True:
        try:
            more = os.read(terminal, 65536)
        except OSError:  # what Linux says when the other side is closed
            more = b""
        if not more:
            os.close(terminal)
            return data.decode()
        data += more


class Demo(Case):
    def run_on_terminal(self, *arguments, stdout=None):
        """Runs a demo on a terminal, or with its stdout elsewhere; what the terminal shows."""
        terminal, inner = pty.openpty()
        with subprocess.Popen([cli_common.binary(), "demo", "--seconds", "0.5", "--kills", "3",
                               *arguments], stdin=inner, stdout=stdout or inner, stderr=inner,
                              env=dict(os.environ, TERM="xterm")) as process:
            os.close(inner)
            shown = read_terminal(terminal)
            self.assertEqual(process.wait(timeout=100), 0, shown)
        return shown

    def test_progress_on_a_terminal(self):
        shown = COLOR.sub("", self.run_on_terminal())
        lines = PROGRESS.findall(shown)
        self.assertGreaterEqual(len(lines), 2, shown)
        self.assertEqual(shown.count("\r\033[K"), len(lines), shown)  # nothing else is redrawn
        for transfers, committed, aborted, *_ in lines:
            self.assertEqual(int(transfers), int(committed) + int(aborted))
        figures = [[int(transfers), int(kills)] for transfers, _, _, kills, _ in lines]
        self.assertEqual([kills for _, kills in figures], sorted(kills for _, kills in figures))
        self.assertGreater(figures[-1][0], figures[0][0])
        self.assertEqual(figures[-1][1], 3)
        # the last one stays, and the audit follows below it
        self.assertEqual([end for *_, end in lines], [""] * (len(lines) - 1) + ["\r\n"])
        self.assertIn("adds up", shown[shown.rindex("of 3 kills"):])

    def test_no_progress_elsewhere(self):
        with open(self.path("out"), "w+", encoding="utf-8") as file:
            self.assertEqual(self.run_on_terminal(stdout=file), "")
            file.seek(0)
            said = file.read()
        self.assertIn("adds up", said)
        self.assertNotIn("\033", said)
        self.assertNotIn("of 3 kills", said)
        shown = self.run_on_terminal("--json")
        self.assertEqual(len(shown.splitlines()), 1, shown)
        self.assertEqual(json.loads(shown)["kills"], 3)

    def test_kills(self):
        result = self.expect(0, "demo", "--seconds", "4", "--kills", "8", "--seed", "7", "--json")
        self.assertEqual(len(result.stdout.splitlines()), 1)
        found = json.loads(result.stdout)
        self.assertLessEqual(KEYS, set(found))
        self.assertEqual(found["kills"], 8)
        self.assertEqual([found["unfinished"], found["imbalance"], found["half_done"]], [0, 0, 0])
        self.assertGreater(found["committed"], 100)
        self.assertGreater(found["aborted"], 0)
        self.assertEqual(found["transfers"], found["committed"] + found["aborted"])
        # the kills hit something, and restarts took it up
        self.assertGreaterEqual(found["kills_in_flight"], 6)
        self.assertGreater(found["calls_cut"], 0)
        self.assertGreater(found["recovered"], 0)
        self.assertEqual(found["seed"], 7)
        self.assertNotIn("dir", found)  # it is removed

    def test_text(self):
        result = self.expect(0, "demo", "--seconds", "0.5", "--kills", "1")
        for word in ("Three banks", "killed 1 time in", "killed 1 time:", "audit found",
                     "What next", cli_common.binary() + " log show"):
            self.assertIn(word, result.stdout)
        self.assertNotIn("\033", result.stdout)
        self.assertNotIn("\r", result.stdout)

    def test_no_time_for_so_many_kills(self):
        """Each takes a restart, so that these would take minutes: it ends before, and says so."""
        result = self.expect(0, "demo", "--seconds", "0.1", "--kills", "100000")
        self.assertIn(" times (of 100000: there was no time for more)", result.stdout)

    def test_a_missing_bank_is_not_made(self):
        directory, _ = self.make_demo()
        os.remove(os.path.join(directory, "south.db"))
        for what in ("--audit", "--finish"):
            self.assertIn("south.db", self.expect(2, "demo", what, "--dir", directory).stderr)
            self.assertFalse(os.path.exists(os.path.join(directory, "south.db")))

    def test_directory_is_kept_and_audited_again(self):
        directory, _ = self.make_demo()
        for name in ("north.db", "south.db", "west.db", "log", "answers"):
            self.assertTrue(os.path.exists(os.path.join(directory, name)), name)
        self.expect(0, "demo", "--audit", "--dir", directory)
        # not over an older one
        result = self.expect(2, "demo", "--dir", directory)
        self.assertIn("--audit", result.stderr)
        # one cent
        with sqlite3.connect(os.path.join(directory, "north.db")) as db:
            db.execute("UPDATE account SET balance = balance + 1 WHERE id = 7")
        result = self.expect(1, "demo", "--audit", "--dir", directory, "--json")
        self.assertIn("north: account 7 has 1 cent more than its entries say", result.stderr)
        found = json.loads(result.stdout)
        self.assertGreater(found["imbalance"], 0)
        self.assertEqual(found["half_done"], 0)
        self.assertEqual(found["dir"], directory)
        self.assertNotIn("seed", found)  # it is not known what made it

    def test_audit_finds_what_is_spoiled(self):
        for what, key in (("ledger", "half_done"), ("money", "imbalance"), ("fence", "half_done"),
                          ("answer", "half_done"), ("late", "half_done"),
                          ("nothing", "half_done"), ("note", "half_done"),
                          ("log", "half_done"), ("ended", "unfinished")):
            _, found = self.make_demo("--tamper", what, code=1, seconds=0.2, name=what)
            self.assertGreater(found[key], 0, what)

    def count_begun(self, directory):
        log = os.path.join(directory, "log")
        shown = self.expect(0, "log", "show", log, "--type", "begin", "--json").stdout
        return len(shown.splitlines())

    def test_audit_sees_what_is_unfinished(self):
        directory = self.make_broken_off_demo()
        found = json.loads(self.expect(1, "demo", "--audit", "--dir", directory, "--json").stdout)
        self.assertGreater(found["unfinished"], 0)
        said = self.expect(1, "demo", "--audit", "--dir", directory).stdout
        self.assertNotIn("must not happen", said)
        self.assertNotIn("made or lost", said)
        self.assertIn("demo --finish --dir " + directory, said)
        with sqlite3.connect(os.path.join(directory, "west.db")) as db:
            db.execute("UPDATE account SET balance = balance - 1 WHERE id = 3")
        told = self.expect(1, "demo", "--audit", "--dir", directory)  # that is wrong at any time
        self.assertIn("must not happen", told.stdout)
        self.assertIn("west: account 3 has 1 cent less", told.stderr)
        with sqlite3.connect(os.path.join(directory, "west.db")) as db:
            db.execute("UPDATE account SET balance = balance + 1 WHERE id = 3")
        begun = self.count_begun(directory)
        self.assertIn("adds up", self.expect(0, "demo", "--finish", "--dir", directory).stdout)
        self.expect(0, "demo", "--audit", "--dir", directory)
        self.assertEqual(self.count_begun(directory), begun)  # nothing new

    def test_interrupt_ends_in_order(self):
        directory = self.path("interrupted")
        with subprocess.Popen([cli_common.binary(), "demo", "--dir", directory, "--seconds", "60",
                               "--kills", "5", "--json"], stdout=subprocess.PIPE,
                              text=True) as process:
            self.await_that(lambda: cli_common.size_of(os.path.join(directory, "answers")) > 0)
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=100)
        self.assertEqual(process.returncode, 0)
        self.assertEqual(json.loads(output)["unfinished"], 0)

    def test_interrupt_at_any_moment(self):
        """Also while a coordinator is killed, or starts: it is told to finish, and hears it."""
        for i in range(9):
            with subprocess.Popen([cli_common.binary(), "demo", "--dir", self.path(str(i)),
                                   "--seconds", "60", "--kills", "100000", "--json"],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  text=True) as process:
                self.await_that(lambda: cli_common.size_of(self.path(str(i), "progress")) > 0)
                time.sleep(0.03 * i)  # no condition: the moment is to be any
                process.send_signal((signal.SIGINT, signal.SIGTERM, signal.SIGHUP)[i % 3])
                output, errors = process.communicate(timeout=100)
            self.assertEqual(process.returncode, 0, output + errors)
            self.assertEqual(json.loads(output)["unfinished"], 0)

    def test_nobody_reads(self):
        """A pipe that is closed ends it as an error does, and its directory is removed."""
        read, write = os.pipe()
        os.close(read)
        process = subprocess.run([cli_common.binary(), "demo", "--seconds", "0.1", "--kills", "0"],
                                 stdout=write, stderr=subprocess.PIPE, text=True, timeout=100,
                                 env=dict(os.environ, TMPDIR=self.dir), check=False)
        os.close(write)
        self.assertEqual(process.returncode, 2, process.stderr)
        self.assertIn("writing the output failed", process.stderr)
        self.assertEqual(os.listdir(self.dir), [])

    def test_bad_places(self):
        self.expect(2, "demo", "--dir", self.path("missing", "parent"))
        self.expect(2, "demo", "--audit", "--dir", self.path("missing"))
        env = dict(os.environ, TMPDIR=self.path("missing"))
        self.assertEqual(run("demo", "--seconds", "0.2", env=env).returncode, 2)


if __name__ == "__main__":
    cli_common.main()
