#!/usr/bin/env python3
"""The systemd unit: what systemd itself says of how much it leaves open, and what it must say."""
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

UNIT = sys.argv[1]
EXPOSURE_MAX = 1.5


def exposure(text):
    """systemd's verdict on a unit, from 0 (nothing is left open) to 10."""
    with tempfile.TemporaryDirectory(prefix="etx-etxd-") as folder:
        path = folder + "/etxd.service"
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        result = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager",
                                 path], capture_output=True, text=True, timeout=60, check=False)
    match = re.search(r"Overall exposure level for etxd.service: ([0-9.]+)", result.stdout)
    assert match, result
    return float(match[1])


class Unit(unittest.TestCase):
    def setUp(self):
        with open(UNIT, encoding="utf-8") as file:
            self.text = file.read()

    def test_exposure(self):
        self.assertLessEqual(exposure(self.text), EXPOSURE_MAX)

    def test_the_verdict_is_of_this_file(self):
        less = "\n".join(line for line in self.text.splitlines()
                         if not line.startswith(("SystemCall", "Protect", "CapabilityBounding")))
        self.assertGreater(exposure(less), EXPOSURE_MAX)

    def test_it_fits_the_server(self):
        self.assertNotIn("@sbindir@", self.text)
        self.assertIn("\nType=notify\n", self.text)
        self.assertIn("\nStateDirectory=etxd\n", self.text)
        calls = [line for line in self.text.splitlines() if line.startswith("SystemCallFilter=@")]
        for name in ("seccomp", "landlock_create_ruleset", "landlock_add_rule",
                     "landlock_restrict_self"):
            self.assertIn(name, calls[0], "it could not confine itself")


if __name__ == "__main__":
    if shutil.which("systemd-analyze") is None:
        print("SKIP: systemd-analyze is not installed")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0]])
