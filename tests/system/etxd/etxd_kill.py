#!/usr/bin/env python3
"""etxd is killed again and again while clients move money; the ledgers must balance."""
import random
import threading
import time

import etxd_common
from etxd_common import Case

KILLS = 20
CLIENTS = 8


class Bank:
    """A participant with a ledger and a fence: one row for each branch, in one lock."""

    def __init__(self, part, path, rng):
        self.rows = {}  # (gid, branch): [state, amount]
        self.lock = threading.Lock()
        self.rng = rng
        for word in ("try", "confirm", "cancel"):
            part.rules[f"{path}/{word}"] = lambda headers, body, word=word: self.call(
                word, (headers["Etx-Gid"], headers["Etx-Branch"]), body)

    def call(self, word, key, body):
        with self.lock:
            chance = self.rng.random()
            if chance < 0.03:
                return 500, b"before"
            status = self.apply(word, key, etxd_common.json.loads(body))
            return (503, b"after") if chance > 0.97 else (status, b"{}")

    def apply(self, word, key, amount):
        row = self.rows.get(key)
        if word == "try":
            if row is None:
                row = self.rows[key] = ["refused" if amount["refuse"] else "held", amount["n"]]
            return 200 if row[0] in ("held", "done") else 409
        if word == "cancel":
            if row is None or row[0] in ("held", "refused"):
                self.rows[key] = ["undone", 0]
            return 200 if self.rows[key][0] == "undone" else 500
        if row is not None and row[0] == "held":
            row[0] = "done"
        return 200 if row is not None and row[0] == "done" else 500


class Kill(Case):
    flags = ("--access-log=off", "--retry-first", "10", "--retry-cap", "200")

    def move(self, rng, number, answers):
        """One transfer, repeated with the same gid until it is answered."""
        gid = f"move-{number}"
        amount = rng.randrange(1, 100)
        refuse = rng.random() < 0.2
        body = {"gid": gid, "wait": rng.choice(("decided", "ended")), "branches": [
            self.part.tcc("from", payload={"n": -amount, "refuse": refuse}),
            self.part.tcc("to", payload={"n": amount, "refuse": False})]}
        while not self.over.is_set():
            try:
                answer = self.server.post("/v1/transactions", body, timeout=10)
            except (OSError, etxd_common.http.client.HTTPException):
                time.sleep(0.02)
                continue
            if answer.status == 200:
                answers[gid] = answer.json["state"]
                return
            self.assertIn(answer.status, (202, 503), answer)
            time.sleep(0.02)

    def client(self, seed, answers):
        rng = random.Random(seed)
        count = 0
        while not self.stop.is_set():
            self.move(rng, f"{seed}-{count}", answers)
            count += 1

    def test_ledgers_balance(self):
        seed = random.randrange(1 << 30)
        print("seed", seed)
        rng = random.Random(seed)
        banks = [Bank(self.part, "/from", random.Random(seed + 1)),
                 Bank(self.part, "/to", random.Random(seed + 2))]
        self.stop, self.over = threading.Event(), threading.Event()
        self.addCleanup(self.over.set)
        self.addCleanup(self.stop.set)
        answers = {}
        threads = [threading.Thread(target=self.client, args=(number, answers), daemon=True)
                   for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for _ in range(KILLS):
            time.sleep(rng.uniform(0.05, 0.5))
            self.server.kill()
            self.server.start()
        self.stop.set()
        for thread in threads:
            thread.join(60)
            self.assertFalse(thread.is_alive(), "a client hears nothing")
        self.eventually(lambda: self.server.get("/v1/transactions").json["transactions"] == [], 60)
        self.audit(banks, answers)

    def audit(self, banks, answers):
        self.assertGreater(len(answers), 50)
        total = 0
        for gid, state in answers.items():
            rows = [banks[0].rows.get((gid, "0"), ["undone", 0]),
                    banks[1].rows.get((gid, "1"), ["undone", 0])]
            if state in ("COMMITTED", "COMMITTING"):
                self.assertEqual([row[0] for row in rows], ["done", "done"], gid)
            else:
                self.assertIn(state, ("ABORTED", "ABORTING"))
                self.assertNotIn("done", [row[0] for row in rows], gid)
                self.assertNotIn("held", [row[0] for row in rows], gid)
            total += sum(row[1] for row in rows if row[0] == "done")
        self.assertEqual(total, 0)
        for bank in banks:
            for key in bank.rows:
                self.assertIn(key[0], answers)
        self.assertIn("COMMITTED", answers.values())
        self.assertIn("ABORTED", answers.values())
        print(len(answers), "transfers,", KILLS, "kills")


if __name__ == "__main__":
    etxd_common.main()
