"""What `scripts/torture --cluster` does to its nodes, their store, their ledgers and the wires
between them."""
import ctypes
import functools
import os
import shutil
import signal
import subprocess
import time

NEW_NET, NEW_MOUNTS = 0x40000000, 0x00020000
CLIENTS = 100  # marks above: of connections to a node, from clients and other nodes
LEASE_S = 1.0


def may_run_as(uid, program):
    """May that user run the program? A build in somebody's home may be closed to others."""
    return subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "test",
                           "-x", program], check=False, capture_output=True).returncode == 0


def enter_namespaces():
    """This process and what it starts get a network and mounts of their own. False: not here."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "nft", "mount"))):
        return False
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_NET | NEW_MOUNTS) != 0:
        return False
    subprocess.run(["mount", "--make-rprivate", "/"], check=False, capture_output=True)
    if subprocess.run(["ip", "link", "set", "lo", "up"], check=False).returncode != 0:
        raise RuntimeError("the loopback of a new network namespace cannot be used")
    return True


class Net:
    """Cuts connections, which stay open and carry nothing: by nftables, each by its mark."""

    def __init__(self):
        self.cuts = 0
        self.works = False

    def open(self, nodes, store_ports):
        ports = ", ".join(map(str, store_ports))
        tags = [f"meta skuid {node.uid} tcp dport {{ {ports} }} ct mark set {node.mark}"
                for node in nodes]
        tags += [f"ip daddr {node.address[0]} tcp dport {node.address[1]}"
                 f" ct mark set {CLIENTS + node.mark}" for node in nodes]
        lines = "\n".join(tags)
        self.works = self.nft(f"""table inet etx {{
 set cut {{ type mark; }}
 set deaf {{ type mark; }}
 chain tag {{
  type filter hook output priority -10; policy accept;
  {lines}
 }}
 chain out {{
  type filter hook output priority 0; policy accept;
  ct mark @cut drop
  ct mark @deaf ct direction reply drop
 }}
}}""")

    @staticmethod
    def nft(text):
        try:
            return subprocess.run(["nft", "-f", "-"], input=text, text=True, check=False,
                                  capture_output=True).returncode == 0
        except FileNotFoundError:
            return False

    def cut(self, how, mark):
        self.cuts += 1
        self.nft(f"add element inet etx {how} {{ {mark} }}")

    def heal(self):
        self.nft("flush set inet etx cut\nflush set inet etx deaf")


class Faults:
    """Draws faults, one after another; what one begins may go on while the next is drawn."""

    def __init__(self, cluster):
        self.cluster, self.rng = cluster, cluster.rng
        self.store, self.nodes = cluster.store, cluster.nodes
        self.net = cluster.net if cluster.net is not None and cluster.net.works else None
        # lapses: a node was away for longer than its leases, and others had to take over
        self.counts = {"kills": 0, "pauses": 0, "partitions": 0, "outages": 0, "full": 0,
                       "lapses": 0}
        kinds = [(self.kill_node, 34), (self.pause_node, 21), (self.kill_store, 12),
                 (self.pause_store, 6), (self.stop_store, 5), (self.kill_ledger, 6)]
        if self.net is not None:
            kinds += [(self.cut_store, 10), (self.deafen, 6), (self.cut_clients, 4)]
        if self.store.mounted:
            kinds += [(self.fill_disk, 1)]
        for name, fault, weight in self.store.faults:
            self.counts[name] = 0
            kinds += [(functools.partial(self.of_store, name, fault), weight)]
        self.kinds = [kind for kind, _ in kinds]
        self.weights = [weight for _, weight in kinds]

    def left_out(self):
        words = []
        if self.net is None:
            words.append("cuts between nodes, store and clients (root, nftables, and a build that"
                         " others may read)")
        if not self.store.mounted:
            words.append("a full disk of the store (root)")
        return words

    def line(self):
        own = "".join(f", {self.counts[name]} {name}" for name, _, _ in self.store.faults)
        return (f"{self.counts['kills']} kills, {self.counts['pauses']} pauses, "
                f"{self.counts['lapses']} lapses, {self.counts['partitions']} partitions, "
                f"{self.counts['outages']} outages, {self.counts['full']} full disks{own}")

    def enough(self, options):
        """Has as much happened as was asked for?"""
        return options.kills and (self.counts["kills"] >= options.kills
                                  and self.counts["lapses"] >= options.lapses)

    def strike(self):
        """One fault, or two at a time; then everything works for a while."""
        for _ in range(2 if self.rng.random() < 0.2 else 1):
            self.rng.choices(self.kinds, self.weights)[0]()
        self.heal()
        time.sleep(self.rng.choice((0, self.rng.uniform(0, 0.5), self.rng.uniform(0, 2))))

    def wait(self, *choices):
        """How long it waited."""
        seconds = self.rng.choice(choices)
        time.sleep(seconds)
        return seconds

    def lapse(self, *choices):
        """Waits; is it long enough for leases to be over?"""
        self.counts["lapses"] += self.wait(*choices) > 1.1 * LEASE_S

    # ---- each fault begins something and may leave it so, for heal

    def kill_node(self):
        node = self.rng.choice(self.nodes)
        if node.process.poll() is None:
            node.kill()
            self.counts["kills"] += 1
            self.lapse(0, 0, self.rng.uniform(0, 1), self.rng.uniform(1.2, 3) * LEASE_S)

    def pause_node(self):
        node = self.rng.choice(self.nodes)
        if node.process.poll() is None:
            node.pause()
            self.counts["pauses"] += 1
            self.lapse(1.2 * LEASE_S, self.rng.uniform(1.2, 3) * LEASE_S)
            if self.rng.random() < 0.2:
                node.kill()
                self.counts["kills"] += 1
            else:
                node.go_on()

    def kill_store(self):
        server = self.rng.choice(self.store.servers)
        if server.is_up():
            self.store.kill(server)
            self.counts["kills"] += 1
            self.wait(0, 0, self.rng.uniform(0, 0.5))
            self.store.start()

    def pause_store(self):
        server = self.rng.choice(self.store.servers)
        if server.is_up():
            self.store.to_all(server, signal.SIGSTOP)
            self.counts["outages"] += 1
            self.wait(0.3, self.rng.uniform(0.3, 4))
            self.store.to_all(server, signal.SIGCONT)

    def stop_store(self):
        for server in self.store.servers:
            if server.is_up():
                self.store.kill(server)
                self.counts["kills"] += 1
        self.counts["outages"] += 1
        self.wait(1, 2, 4, 10)

    def of_store(self, name, fault):
        """What only this store knows; it says itself how often it kills."""
        before = self.store.kills
        fault(self.rng)
        self.counts[name] += 1
        self.counts["kills"] += self.store.kills - before

    def kill_ledger(self):
        ledger = self.rng.choice(list(self.cluster.ledgers.values()))
        if ledger.process.poll() is None:
            ledger.kill()
            self.counts["kills"] += 1
            self.wait(0, self.rng.uniform(0, 0.5))

    def cut(self, how, mark):
        self.net.cut(how, mark)
        self.counts["partitions"] += 1
        self.wait(self.rng.uniform(0.2, 1), self.rng.uniform(1, 3) * LEASE_S)

    def cut_store(self):
        self.cut("cut", self.rng.choice(self.nodes).mark)

    def deafen(self):
        """What it sends arrives, and no answer comes: every write is unknown."""
        self.cut("deaf", self.rng.choice(self.nodes).mark)

    def cut_clients(self):
        """It is at the store, and nobody reaches it."""
        self.cut("cut", CLIENTS + self.rng.choice(self.nodes).mark)

    def fill_disk(self):
        self.store.fill()
        self.counts["full"] += 1
        self.wait(self.rng.uniform(0.5, 3))
        self.store.empty()

    # ---- and back

    def heal(self):
        """Everything is started again and connected; it need not be well yet."""
        if self.net is not None:
            self.net.heal()
        self.store.empty()
        self.store.start()
        for process in [*self.cluster.ledgers.values(), *self.nodes]:
            if process.process.poll() is not None:
                process.start()
        for ledger in self.cluster.ledgers.values():
            ledger.wait_listening()
