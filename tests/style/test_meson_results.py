#!/usr/bin/env python3
"""The counts that scripts/test prints are right: samples of what meson logs, and what they make."""
import importlib.machinery
import importlib.util
import os
import unittest

PATH = os.path.join(os.path.dirname(__file__), "..", "..", "scripts", "meson-results")
LOADER = importlib.machinery.SourceFileLoader("meson_results", PATH)
SPEC = importlib.util.spec_from_loader("meson_results", LOADER)
meson_results = importlib.util.module_from_spec(SPEC)
LOADER.exec_module(meson_results)

CMOCKA = """[==========] Running 3 test(s).
[ RUN      ] test_a
[       OK ] test_a
[ RUN      ] test_b
SKIP: no loop device here
[  SKIPPED ] test_b
[==========] 3 test(s) run.
[  PASSED  ] 2 test(s).
[  SKIPPED ] 1 test(s), listed below:
[  SKIPPED ] test_b
"""


def count(result, stdout="", stderr=""):
    return meson_results.count_test(
        {"name": "etx:unit / x", "result": result, "stdout": stdout, "stderr": stderr})


class Counts(unittest.TestCase):
    """One entry of a log, and what it counts for."""

    def test_plain(self):
        self.assertEqual(count("OK")[:3], (1, 0, 0))
        self.assertEqual(count("FAIL")[:3], (0, 1, 0))
        self.assertEqual(count("TIMEOUT")[:3], (0, 1, 0))

    def test_skip(self):
        self.assertEqual(count("SKIP", stderr="SKIP: not root\n"),
                         (0, 0, 1, [("etx:unit / x", "not root")]))
        self.assertIn("does not say", count("SKIP")[3][0][1])

    def test_cmocka(self):
        self.assertEqual(count("OK", CMOCKA), (
            2, 0, 1, [("etx:unit / x: test_b", "no loop device here")]))
        failed = CMOCKA.replace("PASSED  ] 2", "PASSED  ] 1") + "[  FAILED  ] 1 test(s), listed:\n"
        self.assertEqual(count("FAIL", "", failed)[:3], (1, 1, 1))

    def test_crash_after_good_cases(self):
        self.assertEqual(count("FAIL", "[  PASSED  ] 3 test(s).\n")[:3], (3, 1, 0))


if __name__ == "__main__":
    unittest.main()
