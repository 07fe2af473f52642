"""The line of bench/cluster.py about a store that hangs, or is killed: when new transactions go on
at the local home, how fast, and when they return."""
import signal
import statistics
import threading
import time

import cluster_nodes
from cluster_nodes import harness

EVERY_S = 0.02
HOLD_DOWN_S = 5
HANG_MS, REFUSED_MS = 1000, 100
BACK_MS = 1000 * (HOLD_DOWN_S + 1)
SPEED_LEAST = 0.9
PROMPT_MS = 200  # an answer that did not wait for the store
HOME = slice(11, 18)  # of a gid that ETX made: the id of its home


class Probe:
    """Submits transactions without a gid at a constant rate, whatever becomes of those before."""

    def __init__(self, node, ports):
        self.node, self.ports = node, ports
        self.answers = []  # (asked, answered, status, home)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.asking = []

    def ask(self):
        user = cluster_nodes.User(self.ports)
        asked = time.monotonic()
        status, answer = user.submit(self.node.port)
        user.leave()
        self.answers.append((asked, time.monotonic(), status, answer.get("gid", "")[HOME]))

    def run(self):
        while not self.over.wait(EVERY_S):
            self.asking.append(threading.Thread(target=self.ask, daemon=True))
            self.asking[-1].start()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        for each in self.asking:
            each.join(cluster_nodes.PATIENCE_S)

    def home(self, since):
        """Where the newest of those asked since then was begun, or None."""
        asked = [one for one in self.answers if one[0] >= since and one[2] == 200]
        return max(asked)[3] if asked else None

    def await_home(self, is_it, since):
        cluster_nodes.until(lambda: is_it(self.home(since)), "new transactions change homes")


class Watch:
    """Sees new transactions leave one home for another."""

    def __init__(self, node, ports):
        self.probe = Probe(node, ports)
        self.since = None

    def __enter__(self):
        self.probe.__enter__()
        begun = time.monotonic()
        self.probe.await_home(lambda home: home is not None, begun)
        self.was = self.probe.home(begun)
        return self

    def __exit__(self, *_):
        self.probe.__exit__()

    def changes(self, since):
        """... at which they were before; then goes on for what is asked soon after."""
        self.since = since
        self.probe.await_home(lambda home: home not in (None, self.was), since)
        time.sleep(2 * HANG_MS / 1000)

    def gone_on(self):
        """After how many ms the first was answered at another home, and the last was asked that
        waited."""
        after = [one for one in self.probe.answers if one[0] >= self.since]
        first = min(one[1] for one in after if one[2] == 200 and one[3] != self.was)
        waited = [one[0] for one in after if one[2] != 200 or one[1] - one[0] > PROMPT_MS / 1000]
        return (1000 * (first - self.since),
                1000 * (max(waited, default=self.since) - self.since))


def rates(options, nodes, ports):
    """Of each node, in short turns: what else the machine does meanwhile meets all alike."""
    runs = [[] for _ in nodes]
    for _ in range(2 * options.rounds):
        for node, done in zip(nodes, runs):
            done.append(harness.run(options, "tcc", cluster_nodes.USERS, node.port, ports,
                                    seconds=options.seconds / 2))
    return runs


def away(options, node, ports, begin, end):
    """`begin` takes the store away, `end` brings it back. How it went, and the rate meanwhile,
    beside that of a node that has nothing but a local home."""
    with Watch(node, ports) as leaving:
        since = time.monotonic()
        begin()
        leaving.changes(since)
    with cluster_nodes.Node(options, "local", ()) as local:
        shared_home, local_alone = rates(options, [node, local], ports)
    with Watch(node, ports) as returning:
        end()
        returning.changes(time.monotonic())
    return {"away": leaving.gone_on(), "rate": shared_home, "local": local_alone,
            "back": returning.gone_on()}


def failover(options):
    with cluster_nodes.postgres(options) as store, harness.participants(options) as behind:
        server = store.servers[0]
        ways = (("hangs", HANG_MS, lambda: store.to_all(server, signal.SIGSTOP),
                 lambda: store.to_all(server, signal.SIGCONT)),
                ("refuses", REFUSED_MS, lambda: store.kill(server), server.start))
        for what, most_ms, begin, end in ways:
            with cluster_nodes.Node(options, "a", [store.of(what)], "--hold-down",
                                    f"{HOLD_DOWN_S}s", local=True) as node:
                found = away(options, node, behind["ports"], begin, end)
            yield from rows(what, most_ms, found)


def rows(what, most_ms, found):
    first, last = found["away"]
    yield (f"the store {what}: new transactions go on at the local home", f"<= {most_ms:,} ms",
           found, f"the first after {first:,.0f} ms; those asked after {last:,.0f} ms do not wait",
           max(first, last) <= most_ms)
    rate, local = (statistics.mean(one["per_s"] for one in found[name])
                   for name in ("rate", "local"))
    yield (f"... c={cluster_nodes.USERS} meanwhile", f">= {SPEED_LEAST:.0%} of a local home alone",
           found, f"{rate / max(local, 1):.0%}: {rate:,.0f} tx/s of {local:,.0f}",
           rate >= SPEED_LEAST * local and all(map(harness.is_clean, found["rate"])))
    back = found["back"][0]
    yield ("... it returns: new transactions do", f"<= {BACK_MS:,} ms", found,
           f"after {back:,.0f} ms", back <= BACK_MS)
