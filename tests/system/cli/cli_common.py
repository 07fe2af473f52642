"""What the tests of the command `etx` share: running it, demos, and files of a log to damage."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

SECTOR = 512
BLOCK = 4096


def binary():
    return os.environ["ETX_COMMAND"]


def run(*args, timeout=120, env=None):
    """Runs etx; a CompletedProcess with text."""
    return subprocess.run([binary(), *args], capture_output=True, text=True, timeout=timeout,
                          env=env, check=False)


def rows(text):
    """JSON Lines to a list."""
    return [json.loads(line) for line in text.splitlines()]



class Case(unittest.TestCase):
    """A test with a directory of its own."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="etx-cli-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def expect(self, code, *args, **kwargs):
        """Runs etx and insists on its exit code."""
        result = run(*args, **kwargs)
        self.assertEqual(result.returncode, code,
                         f"etx {' '.join(args)}\n{result.stdout[-2000:]}{result.stderr[-2000:]}")
        return result

    def make_demo(self, *args, code=0, seconds=0.5, name="demo"):
        """A finished demo of a hundred transfers at least, however slow the machine is; its
        directory and what it found."""
        directory = self.path(name)
        while True:
            result = run("demo", "--dir", directory, "--seconds", str(seconds), "--kills", "0",
                         "--json", *args)
            found = json.loads(result.stdout) if result.stdout else {"transfers": 0}
            if found["transfers"] >= 100 or seconds > 30:
                break
            shutil.rmtree(directory)
            seconds *= 4
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        self.assertGreaterEqual(found["transfers"], 100)
        return directory, found

    def await_that(self, condition):
        """Waits until it holds; fails after a time that no machine needs."""
        deadline = time.monotonic() + 100
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)

    def make_broken_off_demo(self):
        """A demo whose coordinator died with everything in flight; its directory."""
        directory = self.path("broken")
        with subprocess.Popen([binary(), "demo", "--dir", directory, "--seconds", "120", "--kills",
                               "0", "--json"], stdout=subprocess.DEVNULL) as process:
            answers = os.path.join(directory, "answers")
            self.await_that(lambda: size_of(answers) > 5000)
            process.send_signal(signal.SIGKILL)  # its coordinator dies with it
        self.await_that(lambda: not in_use(os.path.join(directory, "log")))
        return directory


def size_of(path):
    """In bytes; 0 while there is no such file."""
    return os.path.getsize(path) if os.path.exists(path) else 0


def in_use(log):
    """Does a process have it?"""
    said = rows(run("log", "verify", log, "--json").stdout)
    return bool(said) and said[0]["in_use"]


def last_sector(log):
    """(path, offset) of the last sector of partition 0 that holds anything but zeros."""
    segments = sorted(name for name in os.listdir(log)
                      if name.startswith("p00-") and name.endswith(".seg"))
    for name in reversed(segments):
        path = os.path.join(log, name)
        with open(path, "rb") as file:
            data = file.read()
        end = len(data.rstrip(b"\0"))
        if end > BLOCK:
            return path, (end - 1) // SECTOR * SECTOR
    raise AssertionError("the log is empty")


def overwrite(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def flip(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x40]))


def main():
    if len(sys.argv) > 1 and os.path.exists(sys.argv[1]):
        os.environ["ETX_COMMAND"] = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
