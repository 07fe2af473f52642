"""A PostgreSQL primary with a synchronous standby, which takes its place when it is lost.

Nothing is acknowledged that the standby has not on its disk. So a standby may be promoted whenever
the primary is gone for good, also if it was away in the end: meanwhile the primary has acknowledged
nothing, although what waited for the standby may have been seen there (after a restart, or where
somebody cancelled the wait), and is lost now. The new primary has nobody either, and acknowledges
nothing until the next standby has been made from it.

Each standby waits under a name: the wildcard would be satisfied with pg_basebackup's own stream.
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
WAITING = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


class PostgresPair(Store):
    PORTS = 2
    DISK_MB = 2048
    GRADE = "replicated"

    def __init__(self, folder, ports, may_mount):
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        super().__init__(folder, ports, f"postgresql://etx@{hosts}/postgres?target_session_attrs="
                         "read-write&timeout_ms=2000&connect_timeout=2", may_mount)
        self.servers += [postgres.Postgres(self.home(f"postgres{port}"), port) for port in ports]
        self.primary, self.standby = self.servers
        self.primary.make(SETTINGS)
        self.primary.start()
        self.make_standby()
        self.faults += [("promotions", self.fail_over, 5), ("cancels", self.cancel_waits, 4)]

    def make_standby(self):
        """Of what the primary has. From then on it has all that is acknowledged."""
        shutil.rmtree(self.standby.data, ignore_errors=True)
        self.standby.copy(self.primary)
        self.standby.start()
        until = time.monotonic() + SYNC_S
        while self.primary.say("SELECT sync_state FROM pg_stat_replication") != "sync":
            if time.monotonic() > until:
                raise store_server.Broken(f"no synchronous standby:\n{self.standby.tail()}")
            time.sleep(0.05)

    def cancel_waits(self, rng):
        """The standby hangs; somebody loses patience, and what waits for it can be read."""
        if self.primary.is_up() and self.standby.is_up():
            self.to_all(self.standby, signal.SIGSTOP)
            time.sleep(rng.uniform(0.2, 1.5))
            for _ in range(rng.randrange(1, 4)):
                self.primary.say(f"SELECT pg_cancel_backend(pid) {WAITING}")
                time.sleep(rng.uniform(0.1, 1))
            self.to_all(self.standby, signal.SIGCONT)

    def fail_over(self, rng):
        """The primary is lost for good, now or after the standby has hung for a while."""
        if rng.random() < 0.5:
            self.cancel_waits(rng)
        hangs = self.standby.is_up() and rng.random() < 0.5
        if hangs:
            self.to_all(self.standby, signal.SIGSTOP)
            time.sleep(rng.uniform(0.2, 3))
        if self.primary.is_up():
            self.kill(self.primary)
        if hangs:
            self.to_all(self.standby, signal.SIGCONT)
        time.sleep(rng.choice((0, rng.uniform(0, 2))))
        self.standby.start()
        self.standby.say("SELECT pg_promote()")
        self.primary, self.standby = self.standby, self.primary
        self.make_standby()
