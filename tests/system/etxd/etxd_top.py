#!/usr/bin/env python3
"""`etx top` beside a real etxd."""
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import termios
import threading

import etxd_common
from etxd_common import ETX, Case


@etxd_common.unittest.skipUnless(ETX, "the command etx was not built")
class Top(Case):
    def start(self, *args, **more):
        env = dict(os.environ, ETX_SERVER=f"http://127.0.0.1:{self.server.port}", TERM="xterm",
                   NO_COLOR="")
        process = subprocess.Popen([ETX, "top", *args], env=env, **more)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def top(self, *args, code=0):
        process = self.start(*args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        out, err = process.communicate(timeout=120)
        self.assertEqual(process.returncode, code, out + err)
        return [json.loads(line) for line in out.splitlines()] if code == 0 else err

    def test_what_an_interval_was(self):
        """Transactions run while an interval is looked at: rates and latencies are of these."""
        process = self.start("--json", "--interval", "500ms", stdout=subprocess.PIPE, text=True)
        number = 0
        line = None
        while line is None or line["rates"]["committed"] == 0:
            self.submit({"gid": f"g{number}", "branches": [self.part.tcc()], "wait": "ended"})
            number += 1
            self.assertLess(number, 10000)
            if number % 10 == 0:
                line = json.loads(process.stdout.readline())
        self.assertGreater(line["rates"]["begun"], 0)
        self.assertGreater(line["rates"]["calls"], line["rates"]["committed"])
        self.assertGreater(line["rates"]["answers"], 0)
        self.assertGreater(line["latency_ms"]["decided"]["p50"], 0)
        self.assertGreaterEqual(line["latency_ms"]["ended"]["p99"],
                                line["latency_ms"]["ended"]["p50"])
        self.assertGreater(line["latency_ms"]["put"]["p50"], 0)
        self.assertGreaterEqual(line["interval_s"], 0.5)
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        process.stdout.close()
        self.assertEqual(process.wait(60), 0)

    def test_what_is_there(self):
        self.part.rules["/a/try"] = lambda headers, body: (503, b"down")
        for number in range(12):
            self.submit({"gid": f"stuck-{number:02}", "branches": [self.part.tcc()],
                         "wait": "begun"})
        self.expect(self.server.post("/v1/transactions/stuck-03/park",
                                     {"who": "ann", "why": "test"}), 200)
        self.eventually(lambda: self.part.paths())
        lines = self.top("--count", "2", "--interval", "100ms")
        self.assertEqual(len(lines), 2)
        self.assertEqual((lines[1]["in_flight"], lines[1]["parked"]), (12, 1))
        self.assertEqual([one["gid"] for one in lines[1]["oldest"]],
                         [f"stuck-{number:02}" for number in range(10)])
        self.assertEqual(lines[1]["oldest"][3]["marks"].count("parked"), 1)
        self.assertEqual([one["target"] for one in lines[1]["targets"]], [self.part.url])
        self.assertIsNone(lines[1]["latency_ms"]["ended"]["p99"] or None)

    def test_on_a_terminal(self):
        """It redraws, and no page is longer than the terminal."""
        self.submit({"gid": "open", "mode": "interactive", "wait": "begun"})
        parent, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 7, 100, 0, 0))
        process = self.start("--count", "3", "--interval", "100ms", stdout=child)
        os.close(child)
        output = []

        def read():
            try:
                while True:
                    output.append(os.read(parent, 65536))
            except OSError:
                os.close(parent)
        reader = threading.Thread(target=read)
        reader.start()
        self.assertEqual(process.wait(60), 0)
        reader.join(60)
        pages = b"".join(output).decode().split("\033[H")[1:]
        self.assertEqual(len(pages), 3)
        for page in pages:
            self.assertIn("in flight 1", page)
            self.assertLess(page.count("\n"), 7)

    def test_what_does_not_work(self):
        self.assertIn("127.0.0.1:1", self.top("--server", "http://127.0.0.1:1", code=2))
        self.assertIn("is no server", self.top("--server", self.part.url, code=2))
        process = self.start("--json", "--interval", "50ms", stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True)
        self.assertIn("rates", process.stdout.readline())
        self.server.kill()
        process.stdout.read()
        process.stdout.close()
        self.assertEqual(process.wait(60), 2)


if __name__ == "__main__":
    etxd_common.main()
