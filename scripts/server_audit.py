"""The audit of a shop (shop.py): three ledgers and their fences, beside what the server says
and what its clients were told."""
import json
import subprocess

READ = """SELECT json_build_object(
 'accounts', (SELECT json_object_agg(name, balance) FROM account),
 'entries', (SELECT coalesce(json_agg(json_build_array(gid, source, target, amount, state)), '[]')
             FROM entry),
 'fence', (SELECT coalesce(json_agg(json_build_array(gid, operation, reply, marker)), '[]')
           FROM etx_fence))"""
FORWARD, COMMIT, UNDO = 0, 1, 2
OPEN, DONE = 0, 1

# What spoils the books, to show that the audit sees it.
TAMPER = {
    "money": "UPDATE account SET balance = balance + 1 WHERE name = 'shop'",
    "entry": "UPDATE entry SET state = 'undone' WHERE gid ="
             " (SELECT max(gid) FROM entry WHERE state = 'done')",
    "fence": "UPDATE etx_fence SET reply = 0 WHERE operation = 1 AND gid ="
             " (SELECT max(gid) FROM etx_fence WHERE operation = 1)",
    "held": "UPDATE entry SET state = 'held' WHERE gid ="
            " (SELECT max(gid) FROM entry WHERE state = 'done')",
    "stray": "INSERT INTO entry VALUES ('stray', '0', 'alice', 'shop', 1, 'done')",
}


def psql(database, sql):
    """What one statement prints, without decoration."""
    done = subprocess.run(
        ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"psql: {done.stderr.strip()}")
    return done.stdout


class Audit:
    """What is wrong, in numbers, and the first of it in words."""

    def __init__(self):
        self.bad = {}  # gid: why
        self.imbalance = 0

    def blame(self, gid, why):
        self.bad.setdefault(gid, why)

    def ledger(self, name, opening, states):
        """One ledger: its entries and its fence as decided, its accounts as its entries say."""
        books = json.loads(psql(name, READ))
        expected = dict(opening)
        entries = {}
        for gid, source, target, amount, state in books["entries"]:
            if gid in entries:
                self.blame(gid, f"{name} has it twice")
            entries[gid] = state
            if state != "undone":
                expected[source] -= amount
            if state == "done":
                expected[target] += amount
            elif state == "held":
                self.imbalance += amount  # held for nobody: all has ended
        self.imbalance += sum(abs(books["accounts"].get(account, 0) - balance)
                              for account, balance in expected.items())
        self.compare(name, states, entries)
        self.fence(name, states, books["fence"])

    def compare(self, name, states, entries):
        for gid, state in states.items():
            if state == "COMMITTED" and entries.get(gid) != "done":
                self.blame(gid, f"committed, but in {name} it is {entries.get(gid)}")
            elif state == "ABORTED" and entries.get(gid) not in (None, "undone"):
                self.blame(gid, f"aborted, but in {name} it is {entries.get(gid)}")
        for gid in entries.keys() - states.keys():
            self.blame(gid, f"{name} knows it, the server does not")

    def fence(self, name, states, rows):
        fence = {}
        for gid, operation, reply, marker in rows:
            fence.setdefault(gid, {})[operation] = (reply, marker)
        for gid, operations in fence.items():
            replies = {operation: reply for operation, (reply, _) in operations.items()}
            if OPEN in replies.values():
                self.blame(gid, f"entered at {name}, and never finished")
            elif states.get(gid) == "COMMITTED":
                if replies != {FORWARD: DONE, COMMIT: DONE}:
                    self.blame(gid, f"committed, but the fence of {name} says otherwise")
            elif COMMIT in replies or (replies.get(FORWARD) == DONE and replies.get(UNDO) != DONE):
                self.blame(gid, f"aborted, but the fence of {name} says otherwise")
        for gid, state in states.items():
            if state == "COMMITTED" and gid not in fence:
                self.blame(gid, f"committed, but the fence of {name} has no row")

    def answers(self, told, states):
        """Whatever a client was told is what is."""
        for gid, state in told:
            if states.get(gid, "unknown")[:5] != state[:5] and state != "ACTIVE":
                self.blame(gid, f"a client was told {state}; it is {states.get(gid)}")
            elif gid not in states:
                self.blame(gid, "a client was told that it had begun; the server has lost it")

    @staticmethod
    def money(opening):
        return sum(sum(accounts.values()) for accounts in opening.values())
