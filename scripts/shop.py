"""A shop whose orders are transactions of etxd over three ledgers in PostgreSQL: what
`scripts/demo --server` and `scripts/torture --cluster` have in common."""
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time

import server_audit

PLENTY = 10 ** 9
OPENING = {
    "orders": {"free": PLENTY, "placed": 0},
    "stock": {"tea": PLENTY, "milk": PLENTY, "cake": 300, "sold": 0},
    "payment": {"alice": PLENTY, "bob": PLENTY, "carol": 5000, "shop": 0},
}
START_S = 120
LATER = (421, 429, 503)  # statuses with which the same order is placed again


def say(text, end="\n"):
    print(text, end=end, file=sys.stderr, flush=True)


def free_ports(rng, count):
    """Ports that are free, and that the system gives to nobody while a process is down."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        low = int(file.read().split()[0])
    ports = []
    while len(ports) < count:
        port = rng.randrange(10000, max(low, 10002))
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in ports:
            ports.append(port)
    return ports


class Process:
    """A program that is killed and started anew. It ends with this one."""

    def __init__(self, name, address, command, folder, env=None, uid=None):
        self.name, self.address, self.command = name, address, command
        self.folder, self.env = folder, dict(os.environ, **(env or {}))
        self.rights = [] if uid is None else [f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        self.log = os.path.join(folder, name + ".log")
        self.kills = 0
        self.process = None

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", *self.rights, "--pdeathsig=KILL", *self.command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, env=self.env)

    def listens(self):
        try:
            socket.create_connection(self.address, timeout=1).close()
            return True
        except OSError:
            return False

    def wait_listening(self):
        until = time.monotonic() + START_S
        while not self.listens():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{self.name} does not start; see {self.folder}")
            time.sleep(0.02)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.kills += 1

    def signal(self, number):
        self.process.send_signal(number)

    def pause(self):
        self.signal(signal.SIGSTOP)

    def go_on(self):
        self.signal(signal.SIGCONT)

    def end(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def open_ledgers(build, ports, folder):
    """The three ledgers, each with a database of its own, by name; not started yet."""
    program = os.path.join(build, "examples", "example-ledger")
    ledgers = {}
    for name, port in zip(OPENING, ports):
        server_audit.psql("postgres", f"CREATE DATABASE {name}")
        env = {"PGDATABASE": name}
        accounts = [f"{account}={balance}" for account, balance in OPENING[name].items()]
        subprocess.run([program, "open", *accounts], check=True, stdin=subprocess.DEVNULL,
                       env=dict(os.environ, **env))
        ledgers[name] = Process(name, ("127.0.0.1", port), [program, "serve", str(port)], folder,
                                env)
    return ledgers


class Asker:
    """Asks any of some servers, and the same one as long as it answers."""

    def __init__(self, addresses, rng, timeout=20):
        self.addresses, self.rng, self.timeout = addresses, rng, timeout
        self.connection = None

    def ask(self, method, path, body=None):
        """(status, what its JSON says), or None: nobody knows."""
        try:
            if self.connection is None:
                host, port = self.rng.choice(self.addresses)
                self.connection = http.client.HTTPConnection(host, port, timeout=self.timeout)
            self.connection.request(method, path, body,
                                    {"Content-Type": "application/json"} if body else {})
            response = self.connection.getresponse()
            body = response.read()
            is_json = "json" in response.getheader("Content-Type", "")
            return response.status, json.loads(body) if is_json else body.decode()
        except (OSError, http.client.HTTPException, ValueError):
            self.leave()
            return None

    def leave(self):
        """The next request goes to whoever is drawn."""
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def pages(self, query):
        """All that a server lists, ended or not."""
        found, cursor = [], ""
        while cursor is not None:
            answer = self.ask("GET", f"/v1/transactions?limit=1000{query}{cursor}")
            if answer is None or answer[0] != 200:
                raise RuntimeError(f"etxd does not list: {answer}")
            found += answer[1]["transactions"]
            cursor = answer[1]["cursor"] and "&cursor=" + answer[1]["cursor"]
        return found


class Client(Asker):
    """Places orders, each until it is answered."""

    def __init__(self, number, seed, addresses, ledgers, shop):
        super().__init__(addresses, random.Random(f"{seed}-{number}"))
        self.number, self.count = number, 0
        self.ledgers, self.shop = ledgers, shop
        self.told = []  # (gid, state), in the order in which it was told
        self.waiting = False
        self.thread = threading.Thread(target=self.run, daemon=True)

    def draw(self, gid=None):
        """An order; one in eight asks for more than there is. Without gid: ETX makes one."""
        rng = self.rng
        quantity, price = rng.randrange(1, 6), rng.randrange(1, 50)
        if rng.random() < 0.125:
            quantity, price = rng.choice(((2 * PLENTY, price), (quantity, 2 * PLENTY)))
        goods = rng.choices(("tea", "milk", "cake"), (8, 8, 1))[0]  # the last of them runs out
        customer = rng.choices(("alice", "bob", "carol"), (8, 8, 1))[0]
        moves = (("orders", "free", "placed", 1), ("stock", goods, "sold", quantity),
                 ("payment", customer, "shop", price))
        order = {
            "wait": rng.choice(("begun", "decided", "ended")), "branches": [
                {"name": name, "kind": "tcc",
                 "url": f"http://127.0.0.1:{self.ledgers[name].address[1]}",
                 "payload": {"from": source, "to": target, "amount": amount}}
                for name, source, target, amount in moves]}
        return json.dumps({"gid": gid, **order} if gid else order)

    def place(self, gid, body):
        """Again and again, until it is answered. False: the shop is over."""
        while True:
            answer = self.ask("POST", "/v1/transactions", body)
            if answer is not None and answer[0] in (200, 202):
                self.told.append((gid, answer[1]["state"]))
                return True
            if answer is not None and answer[0] not in LATER:
                self.shop.errors.append(f"{gid}: {answer}")
                return True
            if self.shop.over.is_set():
                self.shop.errors.append(f"{gid}: never answered")
                return False
            if answer is not None and len(self.addresses) > 1:
                self.leave()
            time.sleep(0.02)

    def order(self):
        """One order. False: the shop is over."""
        self.count += 1
        gid = f"order-{self.number}-{self.count}"
        body = self.draw(gid)
        self.waiting = True
        answered = self.place(gid, body)
        self.waiting = False
        return answered

    def run(self):
        while not self.shop.closing.is_set() and self.order():
            pass


def audit(states, told, errors):
    """All ledgers beside what the server says and the clients were told."""
    found = server_audit.Audit()
    for name, accounts in OPENING.items():
        found.ledger(name, accounts, states)
    found.answers(told, states)
    words = [f"{gid}: {why}" for gid, why in found.bad.items()] + errors
    return found, words
