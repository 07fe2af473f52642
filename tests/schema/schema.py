#!/usr/bin/env python3
"""Holds a running etxd to its OpenAPI document, by schemathesis.

    schema.py ETXD VENV [--seconds N] [--examples N] [--seed N]

VENV: a directory for a virtual environment, into which schemathesis is installed from PyPI when it
is not there. Exit status 77, and why: it cannot be had here. The last line is
`N requests, N findings`.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
VERSION = "schemathesis>=4,<5"


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def quietly(words, seconds):
    """None, or the last line of what a command says that fails."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    said = (done.stdout + done.stderr).strip().splitlines() or ["nothing said"]
    return None if done.returncode == 0 else said[-1]


def command(venv):
    """schemathesis's command, installed if need be."""
    path = os.path.join(venv, "bin", "schemathesis")
    if quietly([path, "--version"], 60) is None:
        return path
    trouble = quietly([sys.executable, "-m", "venv", venv], 120)
    if trouble:
        skip(f"no virtual environment can be made (package python3-venv): {trouble}")
    trouble = quietly([os.path.join(venv, "bin", "pip"), "install", "--retries", "1", "--timeout",
                       "20", VERSION], 300)
    if trouble:
        skip(f"pip cannot install schemathesis: {trouble}")
    return path


class Server:
    """etxd on loopback; it may call nobody but loopback."""

    def __init__(self, etxd, folder):
        self.log = os.path.join(folder, "log")
        env = {name: value for name, value in os.environ.items() if not name.startswith("ETX")}
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [etxd, "--listen", "127.0.0.1:0", "--home", f"file:{folder}/home",
                 "--access-log=off", "--log-format", "json"], stdout=log, stderr=log,
                env=env, cwd=folder)
        while True:
            with open(self.log, encoding="utf-8") as log:
                text = log.read()
            if '"ready' in text:
                break
            if self.process.poll() is not None:
                raise SystemExit(f"etxd has ended:\n{text}")
            time.sleep(0.02)
        self.url = "http://" + re.search(r'"address":"([^"]+)"', text).group(1)

    def post(self, path, body):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer.read()


# The transactions that `prepare` begins, for the run with gids that are there.
KNOWN = r"""
[[operations]]
include-path-regex = "/(commit|abort)$"
parameters = { gid = "plain" }

[[operations]]
include-path-regex = "/.gid.(|/retry|/park|/resume|/force|/branches)$"
parameters = { gid = "kept" }

[[operations]]
include-path-regex = "/result$"
parameters = { gid = "kept", name = "one" }
"""


def prepare(server):
    """One that stays as it is, since it is parked, and one that has nothing to wait for."""
    server.post("/v1/transactions", {
        "gid": "kept", "mode": "interactive", "deadline_ms": 3600000,
        "branches": [{"kind": "tcc", "name": "one", "url": "http://127.0.0.1:1",
                      "payload": {"n": 1}, "headers": {"X-Secret": "hush"}}]})
    server.post("/v1/transactions/kept/park", {"who": "schema", "why": "to be looked at"})
    server.post("/v1/transactions", {
        "gid": "plain", "mode": "interactive", "deadline_ms": 3600000})


def run(path, server, options, fixed):
    """How many requests were made, and how many findings there are; these are printed. `fixed` is
    added to what is asked of the server."""
    with open(os.path.join(HERE, "schemathesis.toml"), encoding="utf-8") as file:
        settings = file.read() + fixed
    with tempfile.TemporaryDirectory() as folder:
        config = os.path.join(folder, "schemathesis.toml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(settings)
        words = [path, "--config-file", config, "--no-color", "run",
                 server.url + "/v1/openapi.json", "--max-examples", str(options.examples),
                 "--max-time", str(options.seconds), "--seed", str(options.seed),
                 "--request-timeout", "30"]
        done = subprocess.run(words, capture_output=True, text=True, cwd=folder,
                              timeout=options.seconds * 4 + 120, check=False)
    made = re.search(r"^ *(\d+) generated(?:, \d+ found (\d+))?", done.stdout, re.M)
    if made is None or done.returncode not in (0, 1):
        raise SystemExit(f"schemathesis does not run:\n{done.stdout}{done.stderr}")
    found = int(made.group(2) or 0) or done.returncode
    if found:
        print(done.stdout)
    return int(made.group(1)), found


def main():
    parser = argparse.ArgumentParser(description="etxd beside its OpenAPI document")
    parser.add_argument("etxd")
    parser.add_argument("venv")
    parser.add_argument("--seconds", type=int, default=30, help="of each of two runs")
    parser.add_argument("--examples", type=int, default=20, help="of each operation")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    path = command(os.path.abspath(options.venv))
    with tempfile.TemporaryDirectory() as folder:
        server = Server(os.path.abspath(options.etxd), folder)
        try:
            prepare(server)
            # Gids as they come, of which hardly any is there; and the one that is.
            runs = [run(path, server, options, fixed)
                    for fixed in ("", KNOWN)]
            alive = server.process.poll() is None
        finally:
            server.process.kill()
            server.process.wait()
    if not alive:
        print("etxd has ended in between")
    requests, findings = (sum(column) for column in zip(*runs))
    findings += not alive
    print(f"{requests} requests, {findings} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
