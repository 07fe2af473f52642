#!/usr/bin/env python3
"""A participant over HTTP, in Python's standard library: a ledger in SQLite, behind a fence.

    ledger.py FILE open NAME=BALANCE...   makes the tables, with these accounts
    ledger.py FILE serve PORT             answers etxd
    ledger.py FILE show                   balances
    ledger.py FILE clean SECONDS          forgets calls of transactions begun longer ago

The same business as ledger.c. An order moves something in three of them: a number from `free` to
`placed` in the ledger of orders, goods from the shelf to `sold`, money from the customer to the
shop. The body of a call says what: {"from": "alice", "to": "shop", "amount": 10}. Try takes it out
of `from` or refuses, confirm brings it to `to`, cancel gives it back.

Clean only what has ended: `etx tx list --older-than` shows what has not.
"""
import http.server
import json
import sqlite3
import sys
import time

TABLES = """
CREATE TABLE account(name TEXT PRIMARY KEY, balance INTEGER NOT NULL CHECK(balance >= 0));
CREATE TABLE entry(gid TEXT, branch TEXT, source TEXT NOT NULL, target TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK(amount > 0), state TEXT NOT NULL, PRIMARY KEY(gid, branch));
CREATE TABLE fence(gid TEXT, branch TEXT, operation TEXT, status INTEGER NOT NULL,
    begun INTEGER NOT NULL, PRIMARY KEY(gid, branch, operation));
CREATE INDEX fence_begun ON fence(begun);
CREATE TABLE horizon(begun INTEGER NOT NULL);
INSERT INTO horizon VALUES (0);
"""
DONE, REFUSED = 200, 409


class Refused(Exception):
    """A business no: final."""


class TooOld(Exception):
    """Its rows may have been cleaned: somebody must look at it."""


def reserve(db, gid, branch, body):
    taken = db.execute(
        "UPDATE account SET balance = balance - :amount WHERE name = :from AND balance >= :amount"
        " AND EXISTS (SELECT 1 FROM account WHERE name = :to)", body)
    if taken.rowcount != 1:
        raise Refused
    db.execute("INSERT INTO entry VALUES (?, ?, ?, ?, ?, 'held')",
               (gid, branch, body["from"], body["to"], body["amount"]))


def settle(db, gid, branch, state, account):
    name, amount = db.execute(
        f"UPDATE entry SET state = ? WHERE gid = ? AND branch = ? RETURNING {account}, amount",
        (state, gid, branch)).fetchone()
    db.execute("UPDATE account SET balance = balance + ? WHERE name = ?", (amount, name))


OPERATIONS = {
    "try": reserve,
    "confirm": lambda db, gid, branch, body: settle(db, gid, branch, "done", "target"),
    "cancel": lambda db, gid, branch, body: settle(db, gid, branch, "undone", "source"),
}


def enter(db, gid, branch, operation, begun):
    """The fence: what was answered before, or None: then the work is to be done now. The row that
    it leaves is committed with the work, or rolled back with it."""
    def insert(name, status):
        return db.execute("INSERT INTO fence VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                          (gid, branch, name, status, begun)).rowcount == 1

    def status_of(name):
        row = db.execute("SELECT status FROM fence WHERE gid = ? AND branch = ? AND operation = ?",
                         (gid, branch, name)).fetchone()
        return row and row[0]

    if not db.execute("SELECT 1 FROM fence WHERE gid = ? AND branch = ?", (gid, branch)).fetchone():
        horizon, = db.execute("SELECT begun FROM horizon").fetchone()
        if begun < horizon:
            raise TooOld(f"{gid} {branch}")
    if operation == "cancel":
        insert("try", REFUSED)  # if it never came, it is refused from now on
        if status_of("confirm"):
            return REFUSED
    elif operation == "confirm" and (status_of("try") != DONE or status_of("cancel")):
        return REFUSED
    if not insert(operation, DONE):
        return status_of(operation)
    if operation == "cancel" and status_of("try") == REFUSED:
        return DONE  # nothing to give back
    return None


def clean(db, before):
    """Forgets branches of transactions begun before that, in ms since 1970, once they are finished.
    The horizon says so for good: it moves in the same transaction as the first row goes."""
    db.execute("BEGIN IMMEDIATE")
    db.execute("UPDATE horizon SET begun = max(begun, ?)", (before,))
    rows = db.execute(
        "DELETE FROM fence WHERE (gid, branch) IN (SELECT gid, branch FROM fence WHERE begun < ?"
        " AND (operation <> 'try' OR status = ?))", (before, REFUSED)).rowcount
    db.execute("COMMIT")
    return rows


def carry_out(db, gid, branch, operation, begun, body):
    """One call, in one database transaction; the status that it is answered with."""
    db.execute("BEGIN IMMEDIATE")
    try:
        status = enter(db, gid, branch, operation, begun)
        if status is None:
            status = DONE
            db.execute("SAVEPOINT work")
            try:
                OPERATIONS[operation](db, gid, branch, json.loads(body))
            except (Refused, ValueError, OverflowError, KeyError, sqlite3.IntegrityError,
                    sqlite3.ProgrammingError):
                if operation != "try":
                    raise  # a finishing operation is asked again
                db.execute("ROLLBACK TO work")
                db.execute("UPDATE fence SET status = ? WHERE gid = ? AND branch = ?"
                           " AND operation = ?", (REFUSED, gid, branch, operation))
                status = REFUSED
        db.execute("COMMIT")
        return status
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


class Ledger(http.server.BaseHTTPRequestHandler):
    """A call of etxd: gid, branch and operation are in its headers."""
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        gid, branch, operation, begun = (self.headers.get(f"Etx-{name}", "")
                                         for name in ("Gid", "Branch", "Operation", "Begin"))
        if not gid or not branch or operation not in OPERATIONS or not begun.isdecimal():
            return self.answer(400, b"this is no call of a TCC branch")
        db = connect(self.server.path)
        try:
            status = carry_out(db, gid, branch, operation, int(begun), body)
        except Exception as error:  # nobody knows: etxd asks again
            self.log_error("%s: %r", operation, error)
            return self.answer(503, b"ask again")
        finally:
            db.close()
        return self.answer(status, b"{}" if status == DONE else b"there is not enough of it")

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status == DONE else "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_request(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def connect(path):
    return sqlite3.connect(path, timeout=10, isolation_level=None)


def main():
    if len(sys.argv) < 3 or sys.argv[2] not in ("open", "serve", "show", "clean"):
        print(__doc__, file=sys.stderr)
        return 2
    path, word, words = sys.argv[1], sys.argv[2], sys.argv[3:]
    db = connect(path)
    if word == "open":
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(TABLES)
        for name, balance in (text.split("=") for text in words):
            db.execute("INSERT INTO account VALUES (?, ?)", (name, int(balance)))
    elif word == "show":
        for name, balance in db.execute("SELECT name, balance FROM account ORDER BY name"):
            print(name, balance)
    elif word == "clean":
        rows = clean(db, int((time.time() - float(words[0])) * 1000))
        print(f"{rows} rows forgotten")
    else:
        server = Server(("127.0.0.1", int(words[0])), Ledger)
        server.path = path
        print(f"listening on 127.0.0.1:{server.server_address[1]}", flush=True)
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
