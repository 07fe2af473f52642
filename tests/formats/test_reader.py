#!/usr/bin/env python3
"""A stranger's reader, written from the documents alone, reads what ETX writes.

    test_reader.py RELEASED-DIRECTORY... [-- ETX WRITE-RECORDS]

Of logs that older versions wrote it reads what stands in the list beside them; of logs that are
written now, the same as `etx log show --json` prints: every field of every record.
"""
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import log_reader
import record_reader

SEED = 20261130
# Of damaged copies the same bytes are read again and again.
log_reader.crc32c = functools.lru_cache(maxsize=1 << 14)(log_reader.crc32c)


def split_arguments(arguments):
    place = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:place], arguments[place + 1:]


RELEASED, BUILT = split_arguments(sys.argv[1:])


class Case(unittest.TestCase):
    """A test with a directory of its own."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="etx-formats-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.log = os.path.join(self.dir, "log")


def listed(slots):
    """As make_log.c lists them."""
    return ["%u %u %016x %08x %08x %u %08x" % (*slot[:5], len(slot.batch),
                                               log_reader.crc32c(0, slot.batch))
            for slot in slots]


class Released(Case):
    def list_of(self, directory):
        with open(directory + ".txt", encoding="ascii") as file:
            return file.read().splitlines()

    def test_what_is_listed(self):
        self.assertGreater(len(RELEASED), 0)
        for directory in RELEASED:
            log = log_reader.Log(directory)
            self.assertEqual(listed(log.slots()), self.list_of(directory), directory)
            self.assertEqual(log.torn, "torn" in directory)

    def spoil(self, path, offset, data):
        with open(path, "r+b") as file:
            file.seek(offset)
            file.write(data)

    def assert_refused(self, directory, what):
        with self.assertRaises((log_reader.Damage, OSError), msg=what):
            list(log_reader.Log(directory).slots())

    def assert_missed(self, path, directory):
        """A segment is missed, unless all in it was given up: then nothing is."""
        needed = not directory.endswith("clean") or os.path.basename(path) != "p00-00000001.seg"
        os.rename(path, path + ".away")
        if needed:
            self.assert_refused(self.log, path + " is gone")
        else:
            self.assertEqual(listed(log_reader.Log(self.log).slots()), self.list_of(directory))
        os.rename(path + ".away", path)

    def test_damage(self):
        """What is missing, or has one bit turned over, is refused."""
        for directory in RELEASED:
            shutil.copytree(directory, self.log)
            subprocess.run(["chmod", "-R", "u+w", self.log], check=True)
            for name in sorted(os.listdir(directory)):
                path = os.path.join(self.log, name)
                with open(path, "rb") as file:
                    data = file.read()
                held = [place for place in range(0, len(data), log_reader.SECTOR)
                        if any(data[place:place + log_reader.SECTOR])]
                for place in sorted({held[0], held[len(held) // 2], held[-1]}):
                    self.spoil(path, place + 100, bytes([data[place + 100] ^ 16]))
                    self.assert_refused(self.log, f"{name}, offset {place + 100}")
                    self.spoil(path, place + 100, data[place + 100:place + 101])
                if log_reader.BLOCK in held:
                    self.assert_missed(path, directory)
            shutil.rmtree(self.log)

@unittest.skipUnless(BUILT, "this build has no command etx")
class Written(Case):
    def etx(self, *arguments):
        done = subprocess.run([BUILT[0], *arguments], stdin=subprocess.DEVNULL, text=True,
                              capture_output=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def assert_same(self):
        """The reader and `etx log show` agree; the types of the records."""
        lines = self.etx("log", "show", self.log, "--json").splitlines()
        shown = [json.loads(line) for line in lines]
        log = log_reader.Log(self.log)
        place = 0
        for slot in log.slots():
            stands = {"partition": slot.partition, "slot": slot.slot, "owner": f"{slot.nonce:016x}"}
            for record in record_reader.read_batch(slot.batch):
                self.assertLess(place, len(shown))
                self.assertEqual({**stands, **record}, shown[place])
                place += 1
        self.assertEqual(place, len(shown))
        verdict = subprocess.run([BUILT[0], "log", "verify", self.log], capture_output=True,
                                 timeout=120, check=False).returncode
        self.assertEqual(verdict, 1 if log.torn else 0)
        return {record["record"] for record in shown}

    def test_every_record(self):
        """Records of every type, with every field."""
        subprocess.run([BUILT[1], self.log, str(SEED), "400"], check=True, timeout=120)
        self.assertEqual(self.assert_same(), set(record_reader.RECORDS))

    def test_engine(self):
        for pattern in ("tcc", "saga"):
            self.etx("bench", "--pattern", pattern, "--seconds", "0.05", "--warm-up", "0",
                     "--in-flight", "4", "--home", "file:" + self.log)
            self.assertLessEqual({"own", "begin", "decide", "end"}, self.assert_same())
            shutil.rmtree(self.log)

    def test_killed_engine(self):
        """What a dead process left is read up to its last whole group."""
        with subprocess.Popen([BUILT[0], "bench", "--seconds", "120", "--in-flight", "4", "--home",
                               "file:" + self.log], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL) as process:
            show = [BUILT[0], "log", "show", self.log, "--type", "end"]
            while subprocess.run(show, capture_output=True, check=False).returncode != 0:
                self.assertIsNone(process.poll())
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
        self.assert_same()


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
