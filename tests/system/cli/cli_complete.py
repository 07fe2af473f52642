#!/usr/bin/env python3
"""Completion offers what help lists: every command and every option, and bash takes it so."""
import os
import re
import shutil
import subprocess
import unittest

import cli_common
from cli_common import Case

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../cli/etx.bash")


class Complete(Case):
    def offered(self, *words):
        return self.expect(0, "__complete", *words).stdout.splitlines()

    def help_of(self, *path):
        """(commands, options) as help lists them."""
        text = self.expect(0, *path, "--help").stdout
        commands = re.search(r"^Commands:\n((?:  .*\n)+)", text, re.MULTILINE)
        options = re.findall(r"^  (?:-\w, |    )(--[a-z-]+)", text.split("\nExamples:")[0],
                             re.MULTILINE)
        return ([line.split()[0] for line in commands.group(1).splitlines()] if commands else [],
                options)

    def walk(self, *path):
        commands, options = self.help_of(*path)
        if path == ("sim",):
            self.assertEqual(self.offered(*path, "--"), [])
            return 1
        if not commands:
            self.assertEqual(sorted(self.offered(*path, "-")), sorted(options))
            self.assertIn("--help", options)
            return 1
        self.assertEqual(sorted(self.offered(*path, "")), sorted(commands + ["help"]))
        self.assertEqual(sorted(self.offered("help", *path, "")), sorted(commands + ["help"]))
        return sum(self.walk(*path, command) for command in commands)

    def test_all_that_help_lists(self):
        self.assertGreaterEqual(self.walk(), 13)

    def test_words(self):
        self.assertEqual(self.offered("tx", "fo"), ["force"])
        self.assertEqual(self.offered("help", "tx", "fo"), ["force"])
        self.assertEqual(self.offered("tx", "list", "--old"), ["--older-than"])
        self.assertEqual(self.offered("tx", "list", "--state", "COMMITTE"), ["COMMITTED"])
        self.assertEqual(self.offered("tx", "list", "-s", "ACTIVE,COMMITTE"), ["ACTIVE,COMMITTED"])
        self.assertEqual(self.offered("tx", "list", "--state=ABORTE"), ["--state=ABORTED"])
        self.assertEqual(self.offered("tx", "force", "g", "--as", ""), ["commit", "abort", "done"])
        self.assertEqual(self.offered("tx", "list", "--home", "f"), ["file:"])
        self.assertEqual(self.offered("tx", "list", "--home", "file:/"), [":dirs file:"])
        self.assertEqual(self.offered("log", "show", ""), [":dirs "])
        self.assertEqual(self.offered("tx", "list", "--limit", ""), [])
        self.assertEqual(self.offered("demo-coordinator", "--"), [])
        self.assertEqual(self.offered("nothing", "of", "the", "sort"), [])
        self.assertEqual(self.offered(), [])

    @unittest.skipUnless(shutil.which("bash"), "no bash here")
    def test_bash(self):
        os.mkdir(self.path("one dir"))
        with open(self.path("one file"), "w", encoding="ascii"):
            pass
        for words, replies in ((["t"], None), (["tx", "lis"], ["list"]),
                               (["tx", "list", "--pre"], ["--prefix"]),
                               (["log", "show", "one"], ["one dir"]),
                               (["tx", "list", "--home", "fi"], ["file:"]),
                               (["tx", "list", "--home", "file", ":"], ["one dir"]),
                               (["tx", "list", "--home", "file", ":", "o"], ["one dir"]),
                               (["tx", "list", "--home", "=", "file", ":", "o"], ["one dir"]),
                               (["tx", "list", "--state", "=", "COMMITTE"], ["COMMITTED"])):
            script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _etx\n'
                      'printf "%s\\n" "${COMPREPLY[@]}"')
            result = subprocess.run(["bash", "--norc", "-c", script, "bash", SCRIPT,
                                     cli_common.binary(), *words], capture_output=True, text=True,
                                    cwd=self.dir, check=True)
            self.assertEqual(result.stderr, "")
            said = result.stdout.splitlines()
            if replies is None:
                self.assertIn("tx", said)
            else:
                self.assertEqual(said, replies, words)


if __name__ == "__main__":
    cli_common.main()
