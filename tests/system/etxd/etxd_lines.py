#!/usr/bin/env python3
"""Lines of the log that nobody reads: the server serves, and ends, all the same."""
import fcntl
import json
import os
import signal
import socket
import subprocess
import time
import tty
import unittest

import etxd_common
from etxd_common import Server

PAGE = 4096


class Unread(Server):
    """etxd whose standard error is read here, when it is wanted."""

    def __init__(self, ends, *flags):
        self.ends = ends  # (to read, to write)
        self.bytes = b""
        os.set_blocking(ends[0], False)
        super().__init__("--log-format", "json", *flags)

    def start(self, wait=True):
        self.process = subprocess.Popen(
            [etxd_common.ETXD, "--listen", self.listen, "--home", self.homes[0], *self.flags],
            stderr=self.ends[1], stdout=subprocess.DEVNULL, env=self.env, cwd=self.folder)
        os.close(self.ends[1])
        self.host, port = self.wait_log("listening")["address"].rsplit(":", 1)
        self.port = int(port)
        self.wait_log("ready")

    def log(self):
        """What has come so far, without a line that is not whole yet."""
        try:
            while piece := os.read(self.ends[0], 65536):
                self.bytes += piece
        except OSError:  # there is no more now, or nobody writes any more
            pass
        return self.bytes[:self.bytes.rfind(b"\n") + 1].decode()

    def lost(self):
        line = [line for line in self.get("/metrics", timeout=20).text.splitlines()
                if line.startswith("etxd_log_lines_lost_total ")]
        return int(line[0].split()[1])

    def close(self):
        super().close()
        os.close(self.ends[0])


class Lines(unittest.TestCase):
    def open(self, ends, *flags):
        server = Unread(ends, *flags)
        self.addCleanup(server.close)
        return server

    def pipe(self):
        ends = os.pipe()
        fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, PAGE)
        return ends

    def terminal(self):
        master, slave = os.openpty()
        tty.setraw(slave)
        return master, slave

    def fill(self, server):
        """Asks until lines are lost, and then some."""
        count = 0
        until = time.monotonic() + 60
        while server.lost() == 0:
            self.assertLess(time.monotonic(), until, "nothing was lost")
            for _ in range(100):
                self.assertEqual(server.get(f"/healthz?{count}", timeout=20).status, 200)
                count += 1
        self.assertEqual(server.get("/healthz", timeout=20).status, 200)

    def serve(self, ends):
        server = self.open(ends)
        self.assertEqual(server.lost(), 0)
        self.fill(server)
        server.log()  # it is read again
        server.get("/healthz")
        told = server.wait_log("lines of the log were lost")
        self.assertEqual(told["level"], "warning")
        self.assertEqual(told["count"], server.lost())
        lines = server.log().splitlines()
        self.assertTrue(all(map(json.loads, lines)))  # whole, each
        self.assertEqual(sum("were lost" in line for line in lines), 1)
        self.assertEqual(server.end(), 0)
        self.assertEqual(json.loads(server.log().splitlines()[-1])["message"], "ended")

    def test_a_pipe(self):
        self.serve(self.pipe())

    def test_a_socket(self):
        """As of the journal of systemd."""
        ends = socket.socketpair()
        self.serve([end.detach() for end in ends])

    def test_a_terminal(self):
        """As when it is held by Ctrl-S, or its window hangs."""
        server = self.open(self.terminal())
        self.fill(server)
        server.log()
        server.get("/healthz")
        self.assertEqual(server.wait_log("lines of the log were lost")["count"], server.lost())

    def test_the_end(self):
        for ends in (self.pipe(), self.terminal()):
            server = self.open(ends, "--drain", "2s")
            self.fill(server)
            server.process.send_signal(signal.SIGTERM)
            self.assertEqual(server.process.wait(30), 0)

    def test_nobody_is_there(self):
        ends = self.pipe()
        reader = os.dup(ends[0])
        server = self.open((reader, ends[1]))
        os.close(ends[0])
        os.close(reader)
        server.ends = (os.open("/dev/null", os.O_RDONLY), -1)
        self.fill(server)
        self.assertEqual(server.end(), 0)


if __name__ == "__main__":
    etxd_common.main()
