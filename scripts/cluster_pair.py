"""A PostgreSQL primary with a synchronous standby, which takes its place when it is lost.

Nothing is acknowledged that the standby has not on its disk. So a standby may be promoted at any
time, also if it was away in the end: meanwhile the primary has acknowledged nothing, although what
waited for the standby may have been seen there (where somebody cancelled the wait, or after a
restart), and is lost now. An old primary that goes on beside the new one acknowledges nothing, for
nobody follows it; nor does the new one until the next standby has been made from it.

Standbys wait under a name: the wildcard would be satisfied with pg_basebackup's own stream.
"""
import shutil
import signal
import time

import store_server
from cluster_store import POSTGRES, Store, postgres

NAME = "mate"
SETTINGS = (*POSTGRES, f"synchronous_standby_names='{NAME}'", f"cluster_name='{NAME}'",
            "max_connections=400", "wal_keep_size=256MB", "wal_receiver_timeout=5s",
            "wal_retrieve_retry_interval=200ms")
SYNC_S = 120
GIVE_UP = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


class PostgresPair(Store):
    PORTS = 3
    DISK_MB = 3072
    GRADE = "replicated"

    def __init__(self, folder, ports, may_mount):
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        super().__init__(folder, ports, f"postgresql://etx@{hosts}/postgres?target_session_attrs="
                         "read-write&timeout_ms=2000&connect_timeout=2", may_mount)
        self.primary, self.standby, self.spare = (
            postgres.Postgres(self.home(f"postgres{port}"), port) for port in ports)
        self.primary.make(SETTINGS)
        self.primary.start()
        self.make_standby()
        self.faults += [("promotions", self.fail_over, 10),
                        ("standbys away", self.do_without, 5)]

    def make_standby(self):
        """Of what the primary has. From then on it has all that is acknowledged."""
        self.servers = [self.primary, self.standby]
        shutil.rmtree(self.standby.data, ignore_errors=True)
        self.standby.copy(self.primary)
        self.standby.start()
        until = time.monotonic() + SYNC_S
        while self.primary.say("SELECT sync_state FROM pg_stat_replication") != "sync":
            if time.monotonic() > until:
                raise store_server.Broken(f"no synchronous standby:\n{self.standby.tail()}")
            time.sleep(0.05)

    def do_without(self, rng):
        """The standby hangs. What waits for it can be read once somebody gives the waiting up, or
        starts the primary anew."""
        if not self.primary.is_up() or not self.standby.is_up():
            return
        self.to_all(self.standby, signal.SIGSTOP)
        time.sleep(rng.uniform(0.2, 2))
        if rng.random() < 0.3:
            self.kill(self.primary)
            self.primary.start()
        for _ in range(rng.randrange(4)):
            self.primary.say(GIVE_UP)
            time.sleep(rng.uniform(0.1, 1))

    def fail_over(self, rng):
        """The standby is promoted, also one that was away; the primary is lost before, or hangs
        meanwhile, or goes on until the new one has a standby."""
        if rng.random() < 0.5:
            self.do_without(rng)
        old = self.primary
        fate = rng.choice(("lost", "lost", "hangs", "goes on"))
        if fate == "hangs":
            self.to_all(old, signal.SIGSTOP)
        elif fate == "lost":
            self.lose(old)
        self.to_all(self.standby, signal.SIGCONT)
        time.sleep(rng.choice((0, rng.uniform(0, 1))))
        self.standby.start()
        self.standby.say("SELECT pg_promote()")
        self.to_all(old, signal.SIGCONT)
        self.primary, self.standby, self.spare = self.standby, self.spare, old
        try:
            self.make_standby()
            time.sleep(rng.choice((0, rng.uniform(0, 3))))
        finally:
            self.lose(old)

    def lose(self, server):
        if server.is_up():
            self.kill(server)

    def start(self):
        """Also a standby that hangs goes on."""
        for server in self.servers:
            self.to_all(server, signal.SIGCONT)
        super().start()
