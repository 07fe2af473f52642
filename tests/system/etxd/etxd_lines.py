#!/usr/bin/env python3
"""Lines of the log that nobody reads: the server serves, and ends, all the same."""
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import tty
import unittest

import etxd_common
from etxd_common import Server

PAGE = 4096


class Unread(Server):
    """etxd whose standard error is read here, when it is wanted."""

    def __init__(self, ends, *flags, form="json"):
        self.ends = ends  # (to read, to write)
        self.bytes = b""
        os.set_blocking(ends[0], False)
        super().__init__(*(("--log-format", form) if form else ()), *flags)

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
        until = time.monotonic() + 60
        while self.told(server) != server.lost():
            self.assertLess(time.monotonic(), until, server.log())

    def told(self, server):
        """How many lines are said to be lost; of what a terminal cut there are halves as well."""
        lines = re.findall(r'^{.*"lines of the log were lost.*"count":(\d+)}$', server.log(), re.M)
        return sum(map(int, lines))

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


class Forms(unittest.TestCase):
    """Text for who looks on, JSON for who collects; and where lines are rotated."""

    def server(self, *flags, **more):
        server = Server(*flags, **more)
        self.addCleanup(server.close)
        return server

    def on_a_terminal(self, env, *flags):
        """All that one saw of a server from its start to its end."""
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        env = {k: v for k, v in os.environ.items() if not k.startswith("ETX") and k != "NO_COLOR"
               } | env
        if os.environ.get("SANITIZED"):
            env["ETXD_CONFINE"] = "off"  # as etxd_common.Server
        with tempfile.TemporaryDirectory(prefix="etx-etxd-") as folder:
            process = subprocess.Popen(
                [etxd_common.ETXD, "--listen", "127.0.0.1:0", "--home", f"file:{folder}/home",
                 *flags], stderr=slave, stdout=subprocess.DEVNULL, env=env)
            os.close(slave)
            seen = b""
            ends = False
            try:
                while piece := os.read(master, 65536):
                    seen += piece
                    if b"ready" in seen and not ends:
                        ends = True
                        process.terminate()
            except OSError:  # nobody writes any more
                pass
            finally:
                process.kill()
                process.wait()
        self.assertIn(b"ended", seen)
        return seen.decode().replace("\r\n", "\n").splitlines()

    def test_text_on_a_terminal(self):
        moment = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z "
        for env, level in (({}, r"info *\033\[0m "), ({"NO_COLOR": "1"}, "info +")):
            lines = self.on_a_terminal(env)
            for line in lines:
                self.assertRegex(line, moment + level)
            self.assertRegex(lines[0], r" listening address=127\.0\.0\.1:\d+$")
        lines = self.on_a_terminal({}, "--log-format", "json")
        self.assertIn("ended", [json.loads(line)["message"] for line in lines])

    def test_json_elsewhere(self):
        server = self.server()
        for line in server.log().splitlines():
            self.assertIn("message", json.loads(line))
        server = Unread(os.pipe(), form=None)
        self.addCleanup(server.close)
        self.assertTrue(all(map(json.loads, server.log().splitlines())))

    def test_rotation(self):
        """A file that is opened to append is copied and cut, as logrotate's copytruncate does."""
        server = self.server()
        for number in range(3):
            server.get(f"/healthz?{number}")
            server.wait_log("request")
            with open(server.log_path, "r+b") as file:
                self.assertGreater(len(file.read()), 0)
                file.truncate(0)
        server.get("/readyz?last")
        server.wait_log("request")
        lines = server.log().splitlines()
        self.assertTrue(all(map(json.loads, lines)), lines)  # no hole before them
        self.assertEqual(len(lines), 1, lines)


if __name__ == "__main__":
    etxd_common.main()
