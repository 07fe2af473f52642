"""Three nodes of MariaDB with Galera, each of which serves an etxd first.

A member that was killed tells its position by --wsrep-recover, so that it gets what it has missed
(or, where no other has that any more, a copy of everything). What has lost its majority takes
nothing until its members are there again; if they do not find together by themselves, all are
stopped, and the most advanced begins anew, as Galera's manual says.
"""
import os
import re
import signal
import subprocess
import time

import store_server
from cluster_store import Store, with_script

mariadb = with_script("with-mariadb")
# A member that hangs or is gone is left out after a second or two instead of five.
PROVIDER = ("gcache.size=64M;evs.keepalive_period=PT0.3S;evs.inactive_check_period=PT0.3S;"
            "evs.suspect_timeout=PT2S;evs.inactive_timeout=PT4S;evs.install_timeout=PT4S")
NOWHERE = (0, -1)
PATIENCE_S = 20
START_S = 240


class Member(mariadb.Mariadb):
    def tells(self, name, value):
        try:
            return self.say(f"SHOW STATUS LIKE '{name}'").endswith("\t" + value)
        except subprocess.SubprocessError:
            return False

    def is_ready(self):
        return self.tells("wsrep_ready", "ON")

    def say(self, sql):
        return subprocess.run(self.command(sql), capture_output=True, text=True, check=True,
                              timeout=10).stdout.strip()

    def state(self):
        """What it wrote down of itself."""
        try:
            with open(self.state_file, encoding="ascii") as file:
                return dict(re.findall(r"^(\w+): +(\S+)$", file.read(), re.MULTILINE))
        except FileNotFoundError:
            return {}

    @property
    def state_file(self):
        return os.path.join(self.home, "data", "grastate.dat")

    def position(self):
        """(1, how far it is), by what it wrote or by its data; NOWHERE: it has half a copy."""
        state = self.state()
        if set(state.get("uuid", "0")) <= set("0-"):
            return NOWHERE
        if state["seqno"] != "-1":
            return 1, int(state["seqno"])
        told = subprocess.run(
            self.as_user([self.daemon, "--no-defaults", *self.options, "--wsrep-recover"]),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd=self.home,
            errors="replace").stderr
        found = re.findall(r"Recovered position: *([0-9a-f-]+):(\d+)", told)
        return (1, int(found[-1][1])) if found and found[-1][0] == state["uuid"] else NOWHERE

    def launch(self):
        whole, seqno = self.position()
        start = [f"--wsrep-start-position={self.state()['uuid']}:{seqno}"] if whole else []
        return self.spawn(self.daemon, "--no-defaults", *self.options, *start, *self.once)

    def begin_anew(self):
        """It is the first of the cluster, whatever it believes."""
        state = self.state()
        if state:
            with open(self.state_file, "w", encoding="ascii") as file:
                file.write("# GALERA saved state\n" + "".join(
                    f"{name}: {value}\n" for name, value in {
                        **state, "safe_to_bootstrap": "1"}.items()))
        self.once = ["--wsrep-new-cluster"]
        self.process = self.launch()
        self.once = []


class Galera(Store):
    PORTS = 12
    DISK_MB = 3072
    GRADE = "replicated"

    def __init__(self, folder, ports, may_mount):
        super().__init__(folder, ports[:3], "", may_mount)
        settings = {**mariadb.DURABLE_GALERA, "innodb-buffer-pool-size": "64M"}
        homes = [self.home(f"galera{number}") for number in range(3)]
        alone = mariadb.Mariadb(homes[0], settings)
        alone.make()
        alone.start()
        alone.let_in()
        alone.stop()
        self.servers += [Member(home, settings) for home in homes]
        mariadb.join(self.servers, ports, PROVIDER)
        self.begun_anew = 0
        self.faults += [("majorities lost", self.lose_majority, 4),
                        ("stops in order", self.stop_in_order, 3)]

    def url_of(self, number):
        """All of them, and each etxd begins with another."""
        hosts = [f"127.0.0.1:{port}" for port in self.ports]
        number %= len(hosts)
        return f"mariadb://etx@{','.join(hosts[number:] + hosts[:number])}/etx?timeout_ms=2000"

    def start(self):
        if not any(server.is_up() for server in self.servers):
            self.begin_anew()
        if not self.gather():
            for server in self.servers:
                if server.is_up():
                    self.kill(server)
            self.begin_anew()
            if not self.gather():
                raise store_server.Broken("the Galera cluster does not come back:\n"
                                          + "\n".join(server.tail() for server in self.servers))

    def begin_anew(self):
        """Where nobody runs: the most advanced goes first, and what they knew of each other is
        over."""
        positions = [server.position() for server in self.servers]
        for server in self.servers:
            try:
                os.unlink(os.path.join(server.home, "data", "gvwstate.dat"))
            except FileNotFoundError:
                continue
        self.servers[positions.index(max(positions))].begin_anew()
        self.begun_anew += 1

    def gather(self):
        """All run, and serve. False: it takes too long, or none of them is in a majority."""
        until = time.monotonic() + START_S
        hopeful = time.monotonic()
        while time.monotonic() < min(until, hopeful + PATIENCE_S):
            for server in self.servers:
                if not server.is_up():
                    server.process = server.launch()
            if all(server.is_ready() for server in self.servers):
                return True
            if any(server.tells("wsrep_cluster_status", "Primary") for server in self.servers):
                hopeful = time.monotonic()
            time.sleep(0.05)
        return False

    def lose_majority(self, rng):
        """Two are killed: the third has to refuse."""
        for server in rng.sample(self.servers, 2):
            if server.is_up():
                self.kill(server)
        time.sleep(rng.uniform(0.2, 5))

    def stop_in_order(self, rng):
        """One after another leaves the cluster, and the last goes on alone until it is stopped."""
        for server in rng.sample(self.servers, len(self.servers)):
            if server.is_up():
                server.process.send_signal(signal.SIGTERM)
                try:
                    server.process.wait(60)
                except subprocess.TimeoutExpired:
                    self.kill(server)
            time.sleep(rng.choice((0, rng.uniform(0, 1))))
        time.sleep(rng.choice((0, 2)))
