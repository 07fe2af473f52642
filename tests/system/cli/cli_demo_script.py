#!/usr/bin/env python3
"""scripts/demo, as a newcomer runs it, in a copy of scripts/ whose build is there already."""
import json
import os
import re
import shutil
import subprocess
import sys

import cli_common
from cli_common import Case

SCRIPTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), *[os.pardir] * 3, "scripts")
FIGURES = ("half_done", "imbalance", "unfinished")
# A build that has nothing left to do, or fails.
NINJA = "rule say\n  command = echo compiled; {}\nbuild all: say\n"


class DemoScript(Case):
    def setUp(self):
        super().setUp()
        self.tree = self.path("etx")
        shutil.copytree(SCRIPTS, os.path.join(self.tree, "scripts"))

    def make_build(self, directory, command="true"):
        os.makedirs(os.path.join(directory, "cli"))
        os.symlink(os.path.abspath(cli_common.binary()), os.path.join(directory, "cli", "etx"))
        with open(os.path.join(directory, "build.ninja"), "w", encoding="ascii") as file:
            file.write(NINJA.format(command))

    def demo(self, *arguments, build=None):
        env = dict(os.environ, TMPDIR=self.dir)
        env.pop("ETX_BUILD_DIR", None)
        if build is not None:
            env["ETX_BUILD_DIR"] = build
        return subprocess.run([os.path.join(self.tree, "scripts", "demo"), *arguments], env=env,
                              cwd=self.dir, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=120, check=False)

    def test_words(self):
        """In ./build; the three figures are 0, and what to do next is told."""
        self.make_build(os.path.join(self.tree, "build"))
        done = self.demo("--seconds", "1", "--kills", "3", "--seed", "7")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        audit = done.stdout[done.stdout.index("What the audit found"):]
        self.assertEqual(re.findall(r"^ +([0-9]+)  (\w+) (\w+)", audit, re.MULTILINE),
                         [("0", "transfers", "that"), ("0", "cents", "made"),
                          ("0", "transfers", "unfinished")], audit)
        self.assertIn("killed 3 times", done.stdout)
        self.assertIn("build/cli/etx bench", done.stderr)
        with open(os.path.join(self.tree, "build", "demo-build.log"), encoding="utf-8") as file:
            self.assertIn("compiled", file.read())

    def test_json(self):
        """In a build elsewhere; one object and nothing else."""
        build = self.path("elsewhere")
        self.make_build(build)
        done = self.demo("--seconds", "1", "--kills", "3", "--json", build=build)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(len(done.stdout.splitlines()), 1, done.stdout)
        found = json.loads(done.stdout)
        self.assertEqual([found[name] for name in FIGURES], [0, 0, 0])
        self.assertEqual(found["kills"], 3)
        self.assertGreater(found["committed"], 0)
        self.assertFalse(os.path.exists(os.path.join(self.tree, "build")))

    def test_failures(self):
        """An audit that found something, and a build that failed, are told as that."""
        build = self.path("elsewhere")
        self.make_build(build)
        done = self.demo("--seconds", "1", "--kills", "1", "--json", "--tamper", "money",
                         build=build)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertGreater(json.loads(done.stdout)["imbalance"], 0)
        self.assertNotIn("bench", done.stderr)
        broken = self.path("broken")
        self.make_build(broken, "false")
        done = self.demo("--seconds", "1", "--json", build=broken)
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        self.assertIn("FAILED", done.stderr)


def main():
    missing = subprocess.run([os.path.join(SCRIPTS, "setup"), "--check", "build"],
                             capture_output=True, text=True, check=False)
    if missing.returncode != 0:
        said = " ".join((missing.stdout + missing.stderr).split())
        print(f"SKIP: the demo would install packages: {said}")
        sys.exit(77)
    cli_common.main()


if __name__ == "__main__":
    main()
