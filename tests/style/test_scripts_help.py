#!/usr/bin/env python3
"""Scripts that build or start something tell what they do without either."""
import os
import subprocess
import tempfile
import unittest

SCRIPTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts")


def commands():
    return sorted(name for name in os.listdir(SCRIPTS)
                  if os.path.isfile(os.path.join(SCRIPTS, name))
                  and os.access(os.path.join(SCRIPTS, name), os.X_OK))


class Help(unittest.TestCase):
    def run_bare(self, *words):
        """What a script says where nothing is built; and nothing is, nor started."""
        with tempfile.TemporaryDirectory() as folder:
            build = os.path.join(folder, "build")
            done = subprocess.run([os.path.join(SCRIPTS, words[0]), *words[1:]], cwd=folder,
                                  env=dict(os.environ, ETX_BUILD_DIR=build, TMPDIR=folder),
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  check=False, timeout=60)
            self.assertEqual(os.listdir(folder), [], words)
        return done

    def help_of(self, *words):
        done = self.run_bare(*words, "--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""), words)
        return done.stdout

    def test_each(self):
        """Each script that is a command says how it is called: so, or as a mode of another."""
        self.assertGreater(len(commands()), 15)
        for name in commands():
            said = self.help_of(name)
            self.assertTrue(name in said or name.replace("-", " --") in said, name)

    def test_wrong_words(self):
        """What is not understood is named, and nothing begins."""
        for words, status, told in (
                (("mutants", "--bogus"), 2, "--bogus"),
                (("mutants", "--jobs", "x"), 2, "'x' is no number from 1 on"),
                (("mutants", "--jobs", "0"), 2, "'0' is no number from 1 on"),
                (("mutants", "no-such-mutant"), 2, "no mutant is called 'no-such-mutant'"),
                (("explore-mutants", "--bogus"), 2, "--bogus"),
                (("explore-mutants", "--states", "x"), 2, "'x' is no number from 1 on"),
                (("crash-images", "--bogus", "1"), 2, "--bogus is no option"),
                (("crash-images", "--seed", "x"), 2, "--seed takes a number, not 'x'"),
                (("crash-images", "--seed"), 2, "--seed takes a number"),
                (("coverage", "--bogus"), 1, "--bogus is no option"),
                (("abi-record", "--bogus"), 2, "--bogus is no option"),
                (("setup", "--bogus"), 1, "--bogus"),
                (("test", "--bogus"), 1, "--bogus is no option"),
                (("test", "no-such-stage"), 1, "no stage is called no-such-stage; there are:"),
                (("test", "no-such-stage"), 1, "  simulation\n")):
            done = self.run_bare(*words)
            self.assertEqual((done.returncode, done.stdout), (status, ""), (words, done.stderr))
            self.assertIn(told, done.stderr)
            self.assertNotIn("Traceback", done.stderr)

    def test_stores(self):
        """The environment by which the command finds the store is what one asks for."""
        for name, words in (("postgres", "PGHOST"), ("mariadb", "MARIADB_SOCKET"),
                            ("etcd", "ETX_ETCD"), ("redis", "REDIS_SOCKET")):
            said = self.help_of("with-" + name)
            for word in (f"scripts/with-{name} [", words, "Exit status"):
                self.assertIn(word, said)

    def test_torture(self):
        said = self.help_of("torture")
        for word in ("--minutes M", "--audit CELL", "exit status", "--cluster"):
            self.assertIn(word, said)
        self.assertIn("--store", self.help_of("torture", "--cluster"))


if __name__ == "__main__":
    unittest.main()
