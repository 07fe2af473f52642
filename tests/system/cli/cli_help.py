#!/usr/bin/env python3
"""Help teaches, typos are understood, bad usage is exit code 2 and says what to do."""
import os
import pty
import select
import subprocess

import cli_common
from cli_common import Case, run

COMMANDS = [["demo"], ["bench"], ["log", "show"], ["log", "verify"], ["log", "backup"],
            ["log", "repair"], ["log", "copy"], ["tx", "list"], ["tx", "show"], ["tx", "retry"],
            ["tx", "park"],
            ["tx", "resume"], ["tx", "force"], ["doctor"]]
SERVER_COMMANDS = [["tx", "submit"], ["tx", "begin"], ["tx", "commit"], ["tx", "abort"],
                   ["tx", "watch"], ["top"]]


class Help(Case):
    def test_top_level(self):
        result = self.expect(0, "--help")
        for name in ("demo", "log", "tx", "bench", "Examples:"):
            self.assertIn(name, result.stdout)
        self.assertNotIn("demo-coordinator", result.stdout)
        self.assertEqual(self.expect(0, "help").stdout, result.stdout)
        self.assertEqual(self.expect(2).stdout, "")

    def test_each_command_teaches(self):
        served = "watch" in self.expect(0, "tx", "--help").stdout
        for command in COMMANDS + (SERVER_COMMANDS if served else []):
            result = self.expect(0, *command, "--help")
            for word in ("Usage: etx " + " ".join(command), "Options:", "Examples:", "Exit codes:",
                         "  0  ", "  2  ", "  etx " + command[0]):
                self.assertIn(word, result.stdout)
            self.assertEqual(result.stderr, "")
            self.assertEqual(self.expect(0, "help", *command).stdout, result.stdout)
            for line in result.stdout.splitlines():
                self.assertLessEqual(len(line), 100, line)

    def test_looking_needs_no_closed_log(self):
        for command in ("list", "show"):
            said = self.expect(0, "tx", command, "--help").stdout
            self.assertIn("whoever has it open", said)
            self.assertNotIn("in use", said)
        self.assertIn("which no process may have open",
                      self.expect(0, "tx", "park", "--help").stdout)

    def test_no_server_says_what_to_do(self):
        if run("top", "--help").returncode != 0:
            self.skipTest("built without what needs the server")
        env = dict(os.environ, ETX_SERVER="http://127.0.0.1:1")
        for command in (["tx", "list"], ["tx", "show", "g"], ["tx", "park", "g", "--why", "x"],
                        ["tx", "retry", "g"], ["doctor"]):
            said = self.expect(2, *command, env=env).stderr
            self.assertIn("is etxd started?", said)
            self.assertIn("--home file:DIR", said)
            self.assertNotIn("try again later", said)
        for command in (["top", "--count", "1"], ["homes"], ["cluster", "status"]):
            self.assertIn("is etxd started?", self.expect(2, *command, env=env).stderr)

    def test_version(self):
        self.assertRegex(self.expect(0, "--version").stdout, r"^etx \d+\.\d+\.\d+ ")

    def test_typos(self):
        for args, suggestion in ((["lgo"], "etx log"), (["dmeo"], "etx demo"),
                                 (["log", "shwo"], "etx log show"), (["tx", "lsit"], "etx tx list"),
                                 (["demo", "--secnds", "1"], "--seconds"),
                                 (["log", "show", "x", "--type", "begn"], "begin"),
                                 (["bench", "recvery"], "etx bench recovery"),
                                 (["help", "log", "verfy"], "etx log verify")):
            result = self.expect(2, *args)
            self.assertIn("did you mean", result.stderr)
            self.assertIn(suggestion, result.stderr)
            self.assertEqual(result.stdout, "")
        self.assertNotIn("did you mean", self.expect(2, "foo").stderr)

    def test_bad_usage(self):
        for args in (["log", "show"], ["log", "backup", "a"], ["log", "verify", "a", "b"],
                     ["log", "show", "x", "--partition", "-1"], ["demo", "--seconds", "soon"],
                     ["demo", "--kills"], ["demo", "--kills", "99999999999999999999"],
                     ["demo", "--seconds", "0x10"], ["bench", "--pattern", "tpc"],
                     ["bench", "--callers", "me"], ["tx", "list"], ["tx", "park", "g"],
                     ["tx", "park", "--home", "file:x", "--why", "w"],
                     ["tx", "force", "g", "--home", "file:x", "--why", "w", "--as", "maybe"],
                     ["tx", "list", "--home", "http://x"], ["demo", "--audit"],
                     ["doctor", "--home", "DIR"], ["doctor", "x"], ["-x"], [""]):
            # no server there, whatever runs on this machine
            result = self.expect(2, *args, env={**os.environ, "ETX_SERVER": "http://127.0.0.1:1"})
            self.assertTrue(result.stderr.startswith("etx"), result.stderr)
            self.assertEqual(result.stdout, "")

    def test_bad_usage_says_what_is_good(self):
        for args, words in ((["tx", "list", "--limit", "0"], "at least 1"),
                            (["bench", "--seconds", "0"], "50ms to 86400s"),
                            (["bench", "--shards", "32"], "1 to 16"),
                            (["demo", "--kills", "-1"], "-1 is out of range: 0 to 100000"),
                            (["demo", "--kills", "9" * 20], "out of range: 0 to 100000"),
                            (["demo", "--seed", "9" * 20], "at most 18446744073709551615"),
                            (["demo", "--seed", "-1"], "at least 0"),
                            (["demo", "--seed", "1x"], "is not a number"),
                            (["log", "show", "x", "--type", "foo"], "begin, enlist"),
                            (["log", "show", "x", "--gid", ""], "is no gid")):
            self.assertIn(words, self.expect(2, *args).stderr)

    def test_color_only_on_a_terminal(self):
        self.assertNotIn("\033", self.expect(0, "--help").stdout)
        for no_color, colored in (("", True), ("1", False)):
            env = dict(os.environ, NO_COLOR=no_color, TERM="xterm")
            parent, child = pty.openpty()
            with subprocess.Popen([cli_common.binary(), "--help"], stdout=child, env=env) as etx:
                os.close(child)
                output = b""
                while select.select([parent], [], [], 10)[0]:
                    try:
                        data = os.read(parent, 65536)
                    except OSError:
                        break
                    if not data:
                        break
                    output += data
                etx.wait()
            os.close(parent)
            self.assertEqual(b"\033[1m" in output, colored)

    def test_output_that_cannot_be_written(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full here")
        with open("/dev/full", "w", encoding="ascii") as full:
            result = subprocess.run([cli_common.binary(), "--help"], stdout=full,
                                    stderr=subprocess.PIPE, check=False)
        self.assertEqual(result.returncode, 2)


if __name__ == "__main__":
    cli_common.main()
