#!/usr/bin/env python3
"""`etx sim` says what it found, also when the library hangs or dies, and when it is broken off."""
import json
import os
import re
import signal
import subprocess

import cli_common
from cli_common import Case, binary, run

LAST = 2**64 - 1


def children(parent):
    """Its processes that have not ended."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                state, ppid = file.read().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(ppid) == parent and state not in "ZX":
            found.append(int(name))
    return found


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def ticks_of(pid):
    """The processor's time that it has had, in hundredths of a second."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[11])
    except OSError:
        return 0


class Sim(Case):
    def start(self, *args):
        """A run that goes on, with its children."""
        process = subprocess.Popen([binary(), "sim", *args], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, start_new_session=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.await_that(lambda: children(process.pid) or process.poll() is not None)
        return process, children(process.pid)

    def await_work(self, process, ticks=100):
        """Until each child has worked for a while, and so has begun its seeds, or all is over."""
        def worked():
            spent = [ticks_of(child) for child in children(process.pid)]
            return process.poll() is not None or (spent and min(spent) >= ticks / len(spent))
        self.await_that(worked)
        return children(process.pid)


class Finds(Sim):
    def test_a_seed_that_hangs_is_told(self):
        process, jobs = self.start("--seeds", "1..", "--jobs", "1", "--patience", "1")
        os.kill(jobs[0], signal.SIGSTOP)
        said, _ = process.communicate(timeout=200)
        self.assertEqual(process.returncode, 1, said)
        self.assertRegex(said, r"^seed \d+ breaks a promise: it ends: the library goes on: "
                               r"it did not end within 1 s")
        seed = said.split()[1]
        self.assertIn("IT ENDED", said)  # nobody stops it this time
        self.assertRegex(said, rf"(?m)^replay:  etx sim --seed {seed} --trace$")

    def test_a_seed_that_hangs_is_told_as_json(self):
        process, jobs = self.start("--seeds", "1..", "--jobs", "2", "--patience", "1", "--json")
        os.kill(jobs[0], signal.SIGSTOP)
        said = json.loads(process.communicate(timeout=200)[0])
        self.assertEqual(process.returncode, 1)
        self.assertEqual((said["broken"], said["promise"], said["hung"]), (1, "it ends", 1))
        self.assertEqual(said["replay"], f"etx sim --seed {said['seed']} --trace")

    def test_one_seed_that_hangs_is_told(self):
        """Its trace is not read, so it cannot end."""
        process, jobs = self.start("--seed", "1", "--trace", "--patience", "1")
        self.await_that(lambda: not alive(jobs[0]))
        said, _ = process.communicate(timeout=200)
        self.assertEqual(process.returncode, 1)
        self.assertRegex(said.splitlines()[-1], r"^seed 1, .* it ends: .* not end within 1 s")

    def test_a_library_that_dies_is_told_as_json(self):
        process, jobs = self.start("--seeds", "1..", "--jobs", "1", "--json", "--clients", "0..3")
        self.await_work(process)
        os.kill(jobs[0], signal.SIGABRT)
        said = json.loads(process.communicate(timeout=200)[0])
        self.assertEqual(process.returncode, 1)
        self.assertEqual(said["promise"], "the library goes on")
        self.assertIn("within this seed, and alone", said["story"])
        self.assertGreater(len(said["lines"]), 10)
        self.assertEqual(said["shortest"]["clients"], [0, 1, 2, 3])
        self.assertTrue(said["replay"].startswith(f"etx sim --seed {said['seed']} --trace "
                                                  "--clients 0..3"), said["replay"])


class Ranges(Sim):
    def test_the_last_numbers_are_seeds(self):
        for seeds, count in ((f"{LAST - 1}..{LAST}", 2), (f"{LAST - 40}..", 41), (str(LAST), 1),
                             ("5", 1), ("1..33", 33)):
            for jobs in ("1", "2", "7"):
                said = json.loads(self.expect(0, "sim", "--seeds", seeds, "--jobs", jobs,
                                              "--json").stdout)
                self.assertEqual((said["seeds"], said["broken"]), (count, 0), (seeds, jobs))

    def test_no_range(self):
        for seeds in ("5..4", f"{LAST + 1}..", f"1..{LAST + 1}", "", "..", "..5", "a..b", "1...5",
                      "-1..5", " 1..5", "1..+5"):
            result = self.expect(2, "sim", "--seeds", seeds)
            self.assertEqual(result.stdout, "")
            self.assertIn("no range A..B", result.stderr)

    def test_any_order_of_jobs_gives_the_same(self):
        digests = {json.loads(run("sim", "--seeds", "1..50", "--jobs", jobs, "--json").stdout)
                   ["digest"] for jobs in ("1", "3", "9")}
        self.assertEqual(len(digests), 1)


class Stops(Sim):
    """Broken off, it says what held and where to go on, and leaves no process behind."""

    def test_an_interrupt_tells_what_held(self):
        for jobs in ("1", "3"):
            process, found = self.start("--seeds", "7..", "--jobs", jobs)
            self.await_work(process)
            os.kill(found[0], signal.SIGINT)  # is the parent's affair
            self.await_work(process, 150)
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
            said, wrong = process.communicate(timeout=200)
            self.assertEqual((process.returncode, wrong), (130, ""), said)
            count = int(re.match(r"(\d+) seeds in ", said).group(1))
            after = int(re.search(r"no promise was broken, and all seeds before (\d+) are done",
                                  said).group(1))
            self.assertGreaterEqual(after, 7)
            self.assertGreaterEqual(count, after - 7)
            if jobs == "1":
                self.assertEqual(count, after - 7)
            self.assertIn(f"etx sim --seeds {after}..\n", said)
            self.assertFalse(any(map(alive, found)))

    def test_an_interrupt_as_json(self):
        process, _ = self.start("--seeds", "1..1000000", "--jobs", "1", "--json")
        self.await_work(process)
        process.send_signal(signal.SIGINT)
        said = json.loads(process.communicate(timeout=200)[0])
        self.assertEqual(process.returncode, 130)
        self.assertEqual((said["broken"], said["stopped_by"]), (0, signal.SIGINT))
        self.assertEqual(said["next"], said["seeds"] + 1)

    def test_no_process_stays(self):
        for number, code in ((signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)):
            process, _ = self.start("--seeds", "1..", "--jobs", "3")
            found = self.await_work(process, 30)
            os.kill(found[0], signal.SIGSTOP)  # it would end by itself, with nobody to tell
            process.send_signal(number)
            process.communicate(timeout=200)
            self.assertEqual(process.returncode, code)
            self.await_that(lambda pids=found: not any(map(alive, pids)))

    def test_no_process_of_an_exploration_stays(self):
        for number in (signal.SIGTERM, signal.SIGKILL):
            process, _ = self.start("--explore", "saga-3", "--whole")
            found = self.await_work(process, 10)
            os.kill(found[0], signal.SIGSTOP)
            process.send_signal(number)
            process.communicate(timeout=200)
            self.assertEqual(process.returncode, -number)
            self.await_that(lambda pids=found: not any(map(alive, pids)))


class Words(Sim):
    def test_lost_output_is_told(self):
        for args in (["--seeds", "1..3"], ["--seeds", "1..3", "--json"], ["--seed", "1"],
                     ["--seed", "1", "--trace"], ["--help"], ["--faults"], ["--explore", "list"],
                     ["--explore", "tcc-keeps", "--states", "100"],
                     ["--explore", "tcc-keeps", "--states", "100", "--json"],
                     ["--explore", "tcc-keeps", "--replay", "0001"], ["--explore", "--help"]):
            with open("/dev/full", "w", encoding="utf-8") as full:
                result = subprocess.run([binary(), "sim", *args], stdout=full, text=True,
                                        stderr=subprocess.PIPE, timeout=200, check=False)
            self.assertEqual((result.returncode, result.stderr),
                             (2, "etx sim: writing the output failed\n"), args)

    def test_explore_refuses_what_it_does_not_understand(self):
        for args, word in ((["quick", "--states", "-5"], "no number of states: -5"),
                           (["quick", "--states", "0"], "no number of states: 0"),
                           (["quick", "--states", "5x"], "no number of states: 5x"),
                           (["quick", "--seconds", "x"], "no whole number of seconds: x"),
                           (["quick", "--fair", "0"], "no such number: 0"),
                           (["quick", "--states"], "requires an argument"),
                           (["quick", "--seed", "1"], "unrecognized option '--seed'"),
                           (["quick", "all"], "an argument too many: all"),
                           (["quick", "--replay", "0001"], "the name of one configuration"),
                           (["tcc-3", "--replay", "00g1"], "no actions: 00g1"),
                           (["tcc-3", "--replay", "001"], "no actions: 001"),
                           (["tcc-3", "--json", "--trace"], "does not go with --json"),
                           (["nothing"], "no configuration is called nothing"),
                           ([], "list, all, quick, or the name")):
            result = self.expect(2, "sim", "--explore", *args)
            self.assertEqual(result.stdout, "", args)
            self.assertIn(word, result.stderr)

    def test_explore_lists_as_json(self):
        said = json.loads(self.expect(0, "sim", "--explore", "list", "--json").stdout)
        text = self.expect(0, "sim", "--explore", "list").stdout
        names = [row["name"] for row in said["configurations"]]
        self.assertEqual(names, [line.split()[0] for line in text.splitlines()[::2]])
        self.assertTrue(any(row["quick"] for row in said["configurations"]))

    def test_help_names_every_option(self):
        said = self.expect(0, "sim", "--help").stdout
        for option in ("--patience", "--whole", "--check", "--replay", "--fair", "--states"):
            self.assertRegex(said, rf"(?m)^      {option} ")


if __name__ == "__main__":
    cli_common.main()
