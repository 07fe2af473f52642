#!/usr/bin/env python3
"""`etx log`: show, verify, backup, copy and repair, on sound, live, torn and corrupt logs."""
import json
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time

import cli_common
from cli_common import Case, flip, last_sector, overwrite, rows


def file_system(path):
    """Its type."""
    return subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True,
                          check=True).stdout.strip()


class Log(Case):
    def test_show(self):
        log = os.path.join(self.make_demo()[0], "log")
        records = rows(self.expect(0, "log", "show", log, "--json").stdout)
        kinds = {record["record"] for record in records}
        self.assertLessEqual({"own", "begin", "decide", "end"}, kinds)
        text = self.expect(0, "log", "show", log).stdout
        heads = [line for line in text.splitlines() if not line.startswith(" ")]
        self.assertEqual(len(heads), len(records))
        # slots of a partition come in order
        for partition in {record["partition"] for record in records}:
            slots = [r["slot"] for r in records if r["partition"] == partition]
            self.assertEqual(slots, sorted(slots))

    def test_show_filters(self):
        log = os.path.join(self.make_demo()[0], "log")
        begins = rows(self.expect(0, "log", "show", log, "--type", "begin", "--json").stdout)
        self.assertEqual({record["record"] for record in begins}, {"begin"})
        gid = begins[0]["gid"]
        story = rows(self.expect(0, "log", "show", log, "--gid", gid, "--json").stdout)
        self.assertEqual({record["gid"] for record in story}, {gid})
        self.assertEqual(story[0]["record"], "begin")
        self.assertGreaterEqual(len(story[0]["branches"]), 2)
        only = rows(self.expect(0, "log", "show", log, "--partition", "0", "--json").stdout)
        self.assertEqual({record["partition"] for record in only}, {0})
        self.expect(1, "log", "show", log, "--gid", "nobody")
        self.expect(2, "log", "show", log, "--partition", "9999")

    def test_a_live_log(self):
        directory = self.path("live")
        with subprocess.Popen([cli_common.binary(), "demo", "--dir", directory, "--seconds",
                               "120", "--kills", "0", "--json"],
                              stdout=subprocess.PIPE) as process:
            log = os.path.join(directory, "log")
            self.await_that(lambda: cli_common.size_of(os.path.join(directory, "answers")) > 5000)
            self.expect(0, "log", "show", log, "--type", "decide")
            report = json.loads(self.expect(0, "log", "verify", log, "--json").stdout)
            self.assertTrue(report["in_use"])
            self.expect(0, "log", "backup", log, self.path("copy"))
            self.expect(0, "log", "verify", self.path("copy"))
            result = self.expect(2, "log", "repair", log, self.path("other"), "--accept-loss")
            self.assertIn(str(report["owner_pid"]), result.stderr)
            # nobody else may have it, but for looking
            self.expect(0, "tx", "list", "--home", "file:" + log)
            result = self.expect(2, "tx", "park", "some", "--home", "file:" + log, "--why", "so")
            self.assertIn(f"process {report['owner_pid']}", result.stderr)
            process.send_signal(signal.SIGINT)  # enough: it ends in order
            self.assertEqual(process.wait(timeout=100), 0)

    def test_missing_and_foreign(self):
        for command in (["show"], ["verify"], ["backup"], ["repair"]):
            dest = [self.path("dest")] if command[0] in ("backup", "repair") else []
            result = self.expect(2, "log", *command, self.path("nothing"), *dest)
            self.assertIn("is it the right directory", result.stderr)
            with open(self.path("foreign"), "w", encoding="ascii"):
                pass
            result = self.expect(2, "log", *command, self.dir, *dest)
            self.assertIn("there is no log at", result.stderr)
            self.assertIn("is it the right directory", result.stderr)
        self.assertFalse(os.path.exists(self.path("nothing")))
        for absent in ("file:" + self.path("nothing"), self.path("nothing:at-all")):
            result = self.expect(2, "log", "verify", absent)
            self.assertIn("is it the right directory", result.stderr)
        result = self.expect(2, "log", "verify", "own:nothing")  # of an adapter, it seems
        self.assertNotIn("is it the right directory", result.stderr)
        self.assertIn("SCHEME://", result.stderr)

    def test_sound(self):
        log = os.path.join(self.make_demo()[0], "log")
        report = json.loads(self.expect(0, "log", "verify", log, "--json").stdout)
        self.assertEqual(report["state"], "sound")
        self.assertTrue(report["clean"])
        self.assertFalse(report["in_use"])
        self.assertIn("sound", self.expect(0, "log", "verify", "file:" + log).stdout)
        # nothing to repair
        self.expect(0, "log", "repair", log, self.path("repaired"))
        self.assertFalse(os.path.exists(self.path("repaired")))

    def test_torn_tail(self):
        log = os.path.join(self.make_broken_off_demo(), "log")
        path, offset = last_sector(log)
        overwrite(path, offset, bytes(cli_common.SECTOR))
        result = self.expect(1, "log", "verify", log)
        self.assertIn("torn", result.stdout)
        report = json.loads(self.expect(1, "log", "verify", log, "--json").stdout)
        self.assertEqual(report["state"], "torn")
        self.assertEqual(report["findings"][0]["file"], path)
        # looking at it does not cut it, opening does
        self.expect(0, "tx", "list", "--home", "file:" + log)
        self.expect(1, "log", "verify", log)
        self.expect(1, "tx", "retry", "nobody", "--home", "file:" + log)
        self.expect(0, "log", "verify", log)

    def test_corruption_and_repair(self):
        log = os.path.join(self.make_demo()[0], "log")
        path, offset = last_sector(log)
        spot = offset // 2 // cli_common.BLOCK * cli_common.BLOCK + 100
        flip(path, spot)
        result = self.expect(2, "log", "verify", log)
        self.assertIn(path, result.stdout)
        report = json.loads(self.expect(2, "log", "verify", log, "--json").stdout)
        self.assertEqual(report["state"], "corrupt")
        finding = report["findings"][0]
        self.assertIn(f" offset {finding['offset']} ", result.stdout)
        self.assertEqual(finding["file"], path)
        self.assertLessEqual(abs(finding["offset"] - spot), 1 << 20)
        self.expect(2, "log", "show", log)
        self.expect(2, "tx", "list", "--home", "file:" + log)
        self.expect(2, "log", "backup", log, self.path("copy"))
        # without acceptance: says it, writes nothing
        result = self.expect(1, "log", "repair", log, self.path("repaired"))
        self.assertIn("--accept-loss", result.stdout)
        self.assertIn("leaves out slots", result.stdout)
        self.assertFalse(os.path.exists(self.path("repaired")))
        told = json.loads(self.expect(1, "log", "repair", log, self.path("repaired"),
                                      "--json").stdout)
        for figure in ("state", "partitions", "segments", "slots", "bytes", "clean"):
            self.assertEqual(told[figure], report[figure])  # of the same directory
        self.expect(0, "log", "repair", log, self.path("repaired"), "--accept-loss")
        self.expect(0, "log", "verify", self.path("repaired"))
        self.expect(2, "log", "verify", log)  # never in place
        kept = rows(self.expect(0, "log", "show", self.path("repaired"), "--json").stdout)
        self.assertGreater(len(kept), 0)
        self.expect(2, "log", "repair", log, self.path("repaired"), "--accept-loss")  # not empty

    def test_backup(self):
        log = os.path.join(self.make_demo()[0], "log")
        self.expect(0, "log", "backup", log, self.path("same"))
        self.expect(0, "log", "backup", log, self.path("other"), "--new-id")
        self.expect(2, "log", "backup", log, self.path("same"))  # not empty
        nowhere = self.expect(2, "log", "backup", log, self.path("no", "such")).stderr
        self.assertIn("mkdir -p", nowhere)
        self.assertNotIn("is it the right directory", nowhere)  # that of the log is
        wanted = self.expect(0, "log", "show", log, "--json").stdout
        self.assertEqual(self.expect(0, "log", "show", self.path("same"), "--json").stdout, wanted)
        # it is to replace the original, and has its identity, unless it is only to be looked at
        homes = []
        for place in (log, self.path("same"), self.path("other")):
            with open(os.path.join(place, "home"), "rb") as file:
                homes.append(file.read())
        self.assertEqual(homes[0], homes[1])
        self.assertNotEqual(homes[0], homes[2])
        self.expect(0, "tx", "list", "--home", "file:" + self.path("same"), "--ended")

    def home_of(self, place):
        with open(os.path.join(place, "home"), "rb") as file:
            return file.read()

    def operate(self, code, place):
        """Whoever opens a log to change it."""
        return self.expect(code, "tx", "park", "nobody", "--home", "file:" + place, "--why", "so",
                           "--who", "me").stderr

    def test_copy(self):
        log = os.path.join(self.make_demo()[0], "log")
        copy = self.path("copy")
        wanted = self.expect(0, "log", "show", log, "--json").stdout
        told = rows(self.expect(0, "log", "copy", log, f"file:{copy}?segment=8M",
                                "--json").stdout)[0]
        self.assertEqual(told["result"], "copied")
        self.assertEqual(self.expect(0, "log", "show", copy, "--json").stdout, wanted)
        self.expect(0, "log", "verify", copy)
        self.assertEqual(self.home_of(copy), self.home_of(log))
        self.assertIn("has moved this log to file:" + copy, self.operate(2, log))
        self.operate(1, copy)  # opened; there is no such transaction
        self.expect(0, "log", "verify", log)
        self.assertEqual(self.expect(0, "log", "show", log, "--json").stdout, wanted)
        self.assertIn("--force", self.expect(2, "log", "copy", log, self.path("more")).stderr)
        # only who insists makes another, or takes the first one back
        self.expect(0, "log", "copy", log, self.path("more"), "--force")
        self.operate(1, self.path("more"))
        self.expect(0, "log", "copy", "--take-back", log)
        self.operate(1, log)
        self.expect(1, "log", "copy", "--take-back", log)

    def test_copy_that_cannot_be(self):
        log = os.path.join(self.make_demo()[0], "log")
        os.mkdir(self.path("full"))
        overwritten = self.path("full", "some")
        with open(overwritten, "w", encoding="ascii"):
            pass
        for words, args in (("is not empty", [log, self.path("full")]),
                            ("leave the option out", [log, f"file:{self.path('x')}?partitions=9"]),
                            ("is no URL of a log", [log, "nosuch://there"]),
                            ("cannot take the place", [log, "memory://"]),
                            ("no log at", [self.path("none"), self.path("x")]),
                            ("where it is to go", [log])):
            self.assertIn(words, self.expect(2, "log", "copy", *args).stderr)
            self.assertFalse(os.path.exists(os.path.join(log, "moved")))
        self.operate(1, log)
        self.expect(0, "log", "backup", log, self.path("look"), "--new-id")
        self.assertIn("to be looked at", self.expect(2, "log", "copy", self.path("look"),
                                                     self.path("x")).stderr)
        path, offset = last_sector(log)
        flip(path, offset - 512 * 8)
        self.expect(2, "log", "copy", log, self.path("x"))
        self.assertFalse(os.path.exists(os.path.join(log, "moved")))
        self.assertFalse(os.path.exists(self.path("x", "home")))

    def test_a_retired_log_says_so(self):
        """To whoever looks at it, and with what has its place."""
        log, copy = os.path.join(self.make_demo()[0], "log"), self.path("copy")
        self.assertNotIn("retired", self.expect(0, "log", "verify", log).stdout)
        self.assertEqual(self.expect(0, "tx", "list", "--home", "file:" + log).stderr, "")
        self.expect(0, "log", "copy", log, copy)
        self.assertIn("retired: 'etx log copy' has moved this log to " + copy,
                      self.expect(0, "log", "verify", log).stdout)
        told = json.loads(self.expect(0, "log", "verify", log, "--json").stdout)
        self.assertEqual(told["state"], "sound")
        self.assertEqual([finding["file"] for finding in told["findings"]],
                         [os.path.join(log, "moved")])
        self.assertIn("retired", self.expect(0, "tx", "list", "--home", "file:" + log).stderr)
        found = json.loads(self.expect(1, "doctor", "--home", "file:" + log, "--room", "0",
                                       "--json").stdout)["findings"]
        self.assertEqual([finding["code"] for finding in found], ["retired"])
        self.assertIn(copy, found[0]["what"])
        self.expect(0, "log", "copy", "--take-back", log)
        self.assertNotIn("retired", self.expect(0, "log", "verify", log).stdout)

    def test_copy_into_itself(self):
        """By whatever path; and a name that looks like a URL is no directory."""
        log = os.path.join(self.make_demo()[0], "log")
        os.symlink(log, self.path("link"))
        for dest in (log, os.path.join(log, "sub"), self.path("link", "sub"),
                     f"file:{log}/sub?segment=8M", self.path("link")):
            for command in ("copy", "backup"):
                if command == "copy" or "?" not in dest:
                    said = self.expect(2, "log", command, log, dest).stderr
                    self.assertIn("lies in the log's own directory", said)
        for command in ("copy", "backup", "repair"):
            result = subprocess.run([cli_common.binary(), "log", command, log, "memory:"],
                                    capture_output=True, text=True, cwd=self.dir, check=False)
            self.assertEqual(result.returncode, 2, result)
            self.assertIn("'memory:' is no URL of a log", result.stderr)
            self.assertFalse(os.path.exists(self.path("memory:")))
        self.assertFalse(os.path.exists(os.path.join(log, "moved")))
        self.operate(1, log)

    def test_files_that_may_not_grow(self):
        """An error with a message, not a death by the signal of the limit."""
        log = os.path.join(self.make_demo()[0], "log")

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

        with open(self.path("shown"), "wb") as out:
            shown = subprocess.run([cli_common.binary(), "log", "show", log], stdout=out,
                                   stderr=subprocess.PIPE, preexec_fn=limit, check=False)
        self.assertEqual(shown.returncode, 2)
        self.assertIn(b"writing the output failed", shown.stderr)
        copied = subprocess.run([cli_common.binary(), "log", "backup", log, self.path("copy")],
                                capture_output=True, text=True, preexec_fn=limit, check=False)
        self.assertEqual(copied.returncode, 2, copied)
        self.assertIn("raise it (ulimit -f", copied.stderr)

    def test_copy_into_memory(self):
        """Only if that is what is wanted: programs that ask for more would not start on it."""
        log = os.path.join(self.make_demo()[0], "log")
        shm = "/dev/shm"
        if file_system(shm) != "tmpfs" or file_system(log) == "tmpfs":
            self.skipTest("no file system in memory here, or nothing else")
        place = tempfile.mkdtemp(prefix="etx-cli-", dir=shm)
        self.addCleanup(shutil.rmtree, place, ignore_errors=True)
        dest = os.path.join(place, "log")
        said = self.expect(2, "log", "copy", log, dest + "?segment=1M").stderr
        self.assertIn("'volatile'", said)
        self.assertIn("--volatile", said)
        self.assertFalse(os.path.exists(os.path.join(dest, "home")))
        self.assertFalse(os.path.exists(os.path.join(log, "moved")))
        self.operate(1, log)
        self.expect(0, "log", "copy", log, dest + "?segment=1M", "--volatile")
        self.assertIn("has moved this log", self.operate(2, log))

    def test_unfinished_copy(self):
        """There is one remedy, and no other is named beside it."""
        log = os.path.join(self.make_demo()[0], "log")
        self.expect(0, "log", "backup", log, self.path("copy"))
        with open(self.path("copy", "copying"), "wb"):
            pass
        for args in (["show", self.path("copy")], ["repair", self.path("copy"), self.path("to")]):
            said = self.expect(2, "log", *args).stderr
            self.assertIn("an unfinished copy: delete it and repeat", said)
            self.assertNotIn("etx log verify", said)

    def test_copy_broken_off(self):
        """Wherever it is killed: no log can be opened until it is run again, and then one can."""
        log = os.path.join(self.make_demo()[0], "log")
        wanted = self.expect(0, "log", "show", log, "--json").stdout
        moments = set()
        delay = 0.0
        while len(moments) < 3 and delay < 5:
            shutil.rmtree(self.path("copy"), ignore_errors=True)
            self.expect(0, "log", "backup", log, self.path("source"))
            with subprocess.Popen([cli_common.binary(), "log", "copy", self.path("source"),
                                   self.path("copy")], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL) as process:
                time.sleep(delay)
                process.kill()
            delay += 0.002
            marked = os.path.exists(self.path("source", "moved"))
            copying = os.path.exists(self.path("copy", "copying"))
            whole = os.path.exists(self.path("copy", "home")) and not copying
            moments.add((marked, copying, whole))
            if marked:
                self.operate(2, self.path("source"))
            if copying:
                self.operate(2, self.path("copy"))
                said = self.expect(2, "log", "verify", self.path("copy")).stdout
                self.assertIn("delete it and repeat", said)
                self.assertNotIn("repair", said)
            with open(self.path("source", "moved") if marked else os.devnull, "rb") as file:
                done = file.read().startswith(b"moved")
            if not done:
                self.expect(0, "log", "copy", self.path("source"), self.path("copy"))
            self.assertEqual(self.expect(0, "log", "show", self.path("copy"), "--json").stdout,
                             wanted)
            self.operate(2, self.path("source"))
            shutil.rmtree(self.path("source"))
        self.assertGreaterEqual(len(moments), 3)

    def test_copy_that_is_whole_already(self):
        """Killed between the copy's end and the word that the source has moved."""
        log = os.path.join(self.make_demo()[0], "log")
        self.expect(0, "log", "copy", log, self.path("copy"))
        with open(os.path.join(log, "moved"), "r+", encoding="utf-8") as file:
            text = file.read().replace("moved\n", "copying\n", 1)
            file.seek(0)
            file.write(text)
        self.assertIn("was copied", self.expect(0, "log", "copy", log, self.path("copy")).stdout)
        self.operate(2, log)
        self.operate(1, self.path("copy"))


if __name__ == "__main__":
    cli_common.main()
