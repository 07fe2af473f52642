#!/usr/bin/env python3
"""Scripts that build or start something tell what they do without either."""
import os
import subprocess
import tempfile
import unittest

SCRIPTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts")


class Help(unittest.TestCase):
    def help_of(self, *words):
        """What is said where nothing is built; and nothing is, nor started."""
        with tempfile.TemporaryDirectory() as folder:
            build = os.path.join(folder, "build")
            done = subprocess.run([os.path.join(SCRIPTS, words[0]), *words[1:], "--help"],
                                  env=dict(os.environ, ETX_BUILD_DIR=build, TMPDIR=folder),
                                  capture_output=True, text=True, check=False, timeout=60)
            self.assertEqual((done.returncode, done.stderr), (0, ""), words)
            self.assertEqual(os.listdir(folder), [], words)
        return done.stdout

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
