"""scripts/coverage notices each way in which unreached.txt can differ from what is measured."""
import contextlib
import importlib.machinery
import importlib.util
import io
import os
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def load():
    loader = importlib.machinery.SourceFileLoader("coverage_script",
                                                  os.path.join(ROOT, "scripts", "coverage"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


SOURCE = "int f(int a) {\n    if (a)\n        return 1;\n    return a ? 2 : 3;\n}\n"
PATH = "src/core/f.c"


class Judging(unittest.TestCase):
    def setUp(self):
        self.coverage = load()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.coverage.ROOT = folder.name
        os.makedirs(os.path.join(folder.name, "src", "core"))
        os.makedirs(os.path.join(folder.name, "tests", "coverage"))
        self.write(PATH, SOURCE)

    def write(self, path, text):
        with open(os.path.join(self.coverage.ROOT, path), "w", encoding="utf-8") as file:
            file.write(text)

    def judge(self, taken, unreached):
        """`taken`: of the `if` in line 2. What is wrong, and what was said of it."""
        self.write(self.coverage.UNREACHED, unreached)
        found = {PATH: {2: ["f", taken], 4: ["f", [1, 1]]}}
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            wrong = self.coverage.judge(self.coverage.missing_of(found),
                                        self.coverage.read_unreached(),
                                        self.coverage.places_of(found))
        return wrong, said.getvalue()

    def test_all_taken(self):
        self.assertEqual(self.judge([3, 1], ""), (0, ""))

    def test_missing_and_named(self):
        named = f"Why.\n    {PATH} | f | 1 | if (a)\n"
        self.assertEqual(self.judge([3, 0], named), (0, ""))

    def test_missing_and_not_named(self):
        wrong, said = self.judge([3, 0], "")
        self.assertEqual(wrong, 1)
        self.assertIn(f"{PATH}:2", said)

    def test_more_missing_than_named(self):
        named = f"Why.\n    {PATH} | f | 1 | if (a)\n"
        self.assertEqual(self.judge([0, 0], named)[0], 1)

    def test_named_and_taken(self):
        wrong, said = self.judge([3, 1], f"Why.\n    {PATH} | f | 1 | if (a)\n")
        self.assertEqual(wrong, 1)
        self.assertIn("and taken", said)

    def test_named_and_gone(self):
        for count in ("1", "0-1"):
            wrong, said = self.judge([3, 1], f"Why.\n    {PATH} | f | {count} | if (b)\n")
            self.assertEqual(wrong, 1)
            self.assertIn("and gone", said)

    def test_chance_may_decide(self):
        named = f"Chance.\n    {PATH} | f | 0-1 | if (a)\n"
        self.assertEqual(self.judge([3, 0], named)[0], 0)
        self.assertEqual(self.judge([3, 1], named)[0], 0)

    def test_without_a_reason_or_twice(self):
        line = f"    {PATH} | f | 1 | if (a)\n"
        for text in (line, "Why.\n" + line + line, "Why.\n    only one column\n"):
            with self.assertRaises(SystemExit):
                self.judge([3, 0], text)


class Options(unittest.TestCase):
    def read(self, *words):
        """What it ends with, None if it goes on, and what it printed."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            try:
                load().read_options(words)
            except SystemExit as end:
                return end.code, said.getvalue()
        return None, said.getvalue()

    def test_help_helps_and_runs_nothing(self):
        for words in (("--help",), ("-h",), ("--list", "--help")):
            status, said = self.read(*words)
            self.assertEqual(status, 0)
            self.assertIn("--no-run", said)

    def test_what_is_no_option_is_refused(self):
        for word in ("--norun", "src/core"):
            self.assertIn(word, self.read(word)[0])

    def test_options_are_taken(self):
        self.assertEqual(self.read("--no-run", "--list"), (None, ""))


class TheListItself(unittest.TestCase):
    def test_names_what_is_there(self):
        """Each line stands in its file: so the list is not stale where nobody measures."""
        coverage = load()
        for path, function, text in coverage.read_unreached():
            with self.subTest(path=path, text=text):
                with open(os.path.join(ROOT, path), encoding="utf-8") as file:
                    source = file.read()
                self.assertTrue(text in [line.strip() for line in source.splitlines()], "is gone")
                self.assertTrue(function + "(" in source, f"{function} is gone")


if __name__ == "__main__":
    unittest.main()
