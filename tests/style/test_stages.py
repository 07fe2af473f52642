#!/usr/bin/env python3
"""A stage of scripts/test that is named alone runs on builds made for it, on no old one."""
import os
import re
import subprocess
import unittest

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts", "test")


def listed(*words):
    return subprocess.run([SCRIPT, "--list", *words], capture_output=True, text=True,
                          check=True).stdout.split()


def builds_used(function):
    """The builds that a function of the script names, one way or another."""
    with open(SCRIPT, encoding="utf-8") as file:
        body = re.search(rf"^{function}\(\) {{\n(.*?)^}}", file.read(), re.M | re.S).group(1)
    named = re.findall(r"\$base/(\w+)/|^ *check (\w+)", body, re.M)
    looped = re.findall(r"for build in ([\w ]+);", body)
    return {a or b for a, b in named} | {word for line in looped for word in line.split()}


class Stages(unittest.TestCase):
    """What is pulled in, and in which order."""

    def test_simulation(self):
        self.assertEqual(listed("simulation"),
                         ["set-up", "build", "build-clang", "build-asan", "simulation"])

    def test_all_and_quick(self):
        self.assertEqual(listed("--quick"), ["set-up", "build", "test", "style"])
        self.assertGreater(len(listed()), 15)

    def test_each(self):
        """Each stage has its own builds built before it, in the order in which they are run."""
        functions = {"test": "test_gcc", "style": "test_style", "packaging": "test_pack",
                     "system": "test_system", "torture": "test_torture", "asan": "test_asan",
                     "simulation": "test_sim", "crash": "test_crash", "faults": "test_faults",
                     "explore": "test_explore", "tsan": "test_tsan"}
        for stage, function in functions.items():
            stages = listed(stage)
            self.assertEqual(stages[-1], stage)
            for build in builds_used(function):
                self.assertIn("build" if build == "gcc" else "build-" + build, stages, stage)


if __name__ == "__main__":
    unittest.main()
