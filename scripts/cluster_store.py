"""The stores that `scripts/torture --cluster` has its log in: each on a TCP port of loopback, with
its data in a directory that may be a small file system of its own."""
import importlib.machinery
import importlib.util
import os
import signal
import subprocess
import time

SCRIPTS = os.path.dirname(os.path.abspath(__file__))


def with_script(name):
    """scripts/NAME as a module."""
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_"),
                                                  os.path.join(SCRIPTS, name))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def family(pid):
    """That process and all below it."""
    found, parents = [pid], {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as file:
                    parents[int(name)] = int(file.read().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def runs(pid):
    """Killed ones go on until the kernel gets to them."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Store:
    """Its servers, of which each may be killed, paused, or be without room on its disk."""

    PORTS = 1
    DISK_MB = 768
    # What it promises, as the nodes call it.
    GRADE = "local"

    def __init__(self, folder, ports, url, may_mount):
        self.ports, self.url = ports, url
        self.servers = []
        self.faults = []  # of its own: (name, what does it and draws by a random.Random, weight)
        self.folder = os.path.join(folder, "store")
        os.mkdir(self.folder, 0o711)
        self.mounted = may_mount and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={self.DISK_MB}m,mode=711", "none", self.folder],
            check=False, capture_output=True).returncode == 0
        self.kills = 0

    def url_of(self, _):
        """What that node is told."""
        return self.url

    def home(self, name):
        path = os.path.join(self.folder, name)
        os.mkdir(path, 0o700)
        return path

    def start(self):
        """Those that do not run; one may not be ready before the others are there."""
        for server in self.servers:
            if not server.is_up():
                server.process = server.launch()
        for server in self.servers:
            server.start()

    def kill(self, server):
        """As when its machine fails: nothing of it goes on."""
        pids = family(server.process.pid)
        self.to_all(server, signal.SIGKILL)
        server.process.wait()
        while any(map(runs, pids)):
            time.sleep(0.002)
        self.kills += 1

    def to_all(self, server, number):
        """A signal to what is left of it."""
        for pid in family(server.process.pid) if server.is_up() else ():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def fill(self):
        """Nothing more can be written."""
        with open(os.path.join(self.folder, "filler"), "wb") as file:
            block = bytes(1 << 20)
            try:
                while True:
                    file.write(block)
                    file.flush()
            except OSError:
                pass

    def empty(self):
        try:
            os.unlink(os.path.join(self.folder, "filler"))
        except FileNotFoundError:
            pass

    def close(self):
        for server in self.servers:
            if server.is_up():
                self.to_all(server, signal.SIGCONT)
                self.to_all(server, signal.SIGKILL)
                server.process.wait()
        if self.mounted:
            subprocess.run(["umount", "-l", self.folder], check=False)


postgres = with_script("with-postgres")
POSTGRES = (*postgres.SETTINGS, "listen_addresses='127.0.0.1'", "autovacuum=on",
            "max_wal_size=128MB", "min_wal_size=32MB", "checkpoint_timeout=30s")


class PostgresStore(Store):
    def __init__(self, folder, ports, may_mount):
        super().__init__(folder, ports, f"postgresql://etx@127.0.0.1:{ports[0]}/postgres"
                         "?timeout_ms=2000&connect_timeout=2", may_mount)
        server = postgres.Postgres(self.home("postgres"), ports[0])
        server.make(POSTGRES)
        self.servers.append(server)


class MariadbStore(Store):
    def __init__(self, folder, ports, may_mount):
        super().__init__(folder, ports, f"mariadb://etx@127.0.0.1:{ports[0]}/etx?timeout_ms=2000",
                         may_mount)
        module = with_script("with-mariadb")
        server = module.Mariadb(self.home("mariadb"), {
            **module.DURABLE, "skip-networking": "0", "port": str(ports[0]),
            "bind-address": "127.0.0.1", "skip-name-resolve": "1", "expire-logs-days": "1",
            "max-binlog-size": "16M"})
        server.make()
        self.servers.append(server)
        self.is_open = False

    def start(self):
        super().start()
        if not self.is_open:
            self.servers[0].say("CREATE DATABASE etx; CREATE USER etx@'127.0.0.1';"
                                " GRANT ALL ON etx.* TO etx@'127.0.0.1'")
            self.is_open = True


class EtcdStore(Store):
    """Three members: one that is lost costs nothing but an election."""

    PORTS = 6
    DISK_MB = 2048  # each of the three keeps up to five files of 64 MiB of its log of writes
    GRADE = "replicated"

    def __init__(self, folder, ports, may_mount):
        module = with_script("with-etcd")
        super().__init__(folder, ports[::2], "", may_mount)
        self.servers += [module.Etcd(os.path.join(self.folder, str(number)), number, ports, [])
                         for number in range(3)]
        hosts = ",".join(server.client for server in self.servers)
        self.url = f"etcd://{hosts}/torture?timeout_ms=2000"


class RedisStore(Store):
    def __init__(self, folder, ports, may_mount):
        super().__init__(folder, ports, f"redis://127.0.0.1:{ports[0]}/0?timeout_ms=2000",
                         may_mount)
        module = with_script("with-redis")
        self.servers.append(module.Redis(self.home("redis"), str(ports[0]), *module.DURABLE,
                                         "--auto-aof-rewrite-min-size", "32mb"))


STORES = {"postgresql": PostgresStore, "mariadb": MariadbStore, "etcd": EtcdStore,
          "redis": RedisStore}

