#!/usr/bin/env python3
"""The whole story of a transaction, also once it has ended; and what is said when it is gone."""
import json
import subprocess

import etxd_common
from etxd_common import ETX, Case

REFUSED = (409, b"none left", {"Content-Type": "text/plain"})
# What an outcome says, and a question must say as well.
SAME = ("gid", "state", "reason", "durability", "marks")


class Story(Case):
    def show(self, gid):
        return self.expect(self.server.get("/v1/transactions/" + gid), 200).json

    def listed(self, gid):
        answer = self.server.get("/v1/transactions?ended=true&gid_prefix=" + gid)
        return [tx for tx in answer.json["transactions"] if tx["gid"] == gid][0]

    def ended(self, gid, *branches, **more):
        """Submits, waits for the end; the outcome is what a question says right after it."""
        outcome = self.submit({"gid": gid, "branches": list(branches), "wait": "ended",
                               **more}).json
        shown = self.show(gid)
        self.assertEqual({name: shown[name] for name in SAME}, outcome)
        return shown

    def check_gone(self, shown):
        """It says that it has no more to tell, and nothing that it does not know."""
        self.assertEqual((shown["story"], shown["branch_count"]), ("gone", 0))
        self.assertEqual((shown["mode"], shown["decided"], shown["deadline"]), (None, None, None))
        self.assertIsNotNone(shown["begun"])
        self.assertIsNotNone(shown["ended"])


class Kept(Story):
    def test_a_commit(self):
        self.part.rules["/a/try"] = lambda headers, body: (200, b'{"seat":"12A"}')
        answers = iter([(503, b"down"), (500, b"worse"), (200, b"")])
        self.part.rules["/b/confirm"] = lambda headers, body: next(answers)
        shown = self.ended("one", self.part.tcc("a", name="seat", payload={"n": 1}),
                           self.part.tcc("b", name="meal", retry_first_ms=10,
                                         headers={"X-Key": "secret"}),
                           deadline_ms=50000)
        self.assertEqual((shown["story"], shown["mode"], shown["state"], shown["branch_count"]),
                         ("whole", "submitted", "COMMITTED", 2))
        times = [shown[name] for name in ("begun", "decided", "ended", "deadline")]
        self.assertEqual(times, sorted(times))
        seat, meal = shown["branches"]
        self.assertEqual((seat["name"], seat["kind"], seat["by"]), ("seat", "tcc", "etx"))
        self.assertEqual((seat["try"], seat["payload"], seat["result"]),
                         (self.part.url + "/a/try", {"n": 1}, {"seat": "12A"}))
        self.assertEqual((seat["forward"], seat["finish"], seat["calling"]),
                         ("done", "done", False))
        self.assertEqual((seat["forward_attempts"], seat["attempts"]), (1, 1))
        self.assertEqual((meal["forward_attempts"], meal["attempts"]), (1, 3))
        self.assertIn("500", meal["reason"])
        self.assertEqual(meal["headers"], {"X-Key": "***"})
        self.assertNotIn("secret", json.dumps(shown))
        listed = self.listed("one")
        self.assertEqual(listed, {name: shown[name] for name in listed})

    def test_an_abort(self):
        self.part.rules["/b/action"] = lambda headers, body: REFUSED
        shown = self.ended("one", self.part.saga("a"), self.part.saga("b"), self.part.saga("c"))
        self.assertEqual((shown["story"], shown["state"]), ("whole", "ABORTED"))
        first, second, third = shown["branches"]
        self.assertEqual((first["forward"], first["finish"]), ("done", "done"))
        self.assertEqual(second["forward"], "refused")
        self.assertIn("none left", second["reason"])
        self.assertIn("none left", shown["reason"])
        self.assertEqual((third["forward"], third["finish"], third["forward_attempts"]),
                         (None, None, 0))

    def test_results_of_steps(self):
        """Also of those whose result no other step is given."""
        self.part.rules["/a/action"] = lambda headers, body: (200, b'{"seat":"12A"}')
        self.part.rules["/b/action"] = lambda headers, body: (200, b'{"meal":7}')
        for results in (False, True):
            shown = self.ended(f"one{results}", self.part.saga("a", results=results),
                               self.part.saga("b", results=results))
            self.assertEqual(shown["state"], "COMMITTED")
            self.assertEqual([(step["result"], step["attempts"]) for step in shown["branches"]],
                             [({"seat": "12A"}, 1), ({"meal": 7}, 1)])

    def test_results_of_steps_while_it_goes_on(self):
        self.part.rules["/a/action"] = lambda headers, body: (200, b'{"seat":"12A"}')
        self.part.rules["/m/deliver"] = lambda headers, body: (503, b"down")
        self.submit({"gid": "one", "branches": [
            self.part.saga("a"), {"kind": "message", "deliver": self.part.url + "/m/deliver",
                                  "retry_first_ms": 10, "retry_cap_ms": 20}]})
        self.eventually(lambda: self.show("one")["branches"][1]["attempts"] >= 3)
        shown = self.show("one")
        self.assertEqual(shown["state"], "COMMITTING")
        self.assertEqual(shown["branches"][0]["result"], {"seat": "12A"})

    def test_interactive(self):
        self.submit({"gid": "one", "mode": "interactive"})
        path = "/v1/transactions/one"
        self.expect(self.server.post(path + "/branches", self.part.tcc(name="it")), 200)
        outcome = self.expect(self.server.post(path + "/commit", {"wait": "ended"}), 200)
        shown = self.show("one")
        self.assertEqual({name: shown[name] for name in SAME}, outcome.json)
        self.assertEqual((shown["story"], shown["mode"]), ("whole", "interactive"))
        self.assertEqual([branch["name"] for branch in shown["branches"]], ["it"])

    def test_what_nobody_began_has_no_more_to_tell(self):
        self.expect(self.server.post("/v1/transactions/one/abort"), 200)
        shown = self.show("one")
        self.assertIn("never-begun", shown["marks"])
        self.assertIsNone(shown["mode"])
        self.assertEqual((shown["story"], shown["branches"]), ("whole", []))

    def test_what_is_long_is_left_out(self):
        self.part.rules["/a/try"] = lambda headers, body: (200, b'"' + b"r" * 20000 + b'"')
        shown = self.ended("one", self.part.tcc("a", payload="p" * 20000),
                           self.part.tcc("b", payload="p" * 1000))
        long, short = shown["branches"]
        self.assertEqual(long["left_out"], ["payload", "result"])
        self.assertEqual(long["try"], self.part.url + "/a/try")
        self.assertTrue({"payload", "result"}.isdisjoint(long))
        self.assertEqual(short["payload"], "p" * 1000)
        self.assertNotIn("left_out", short)

    def test_a_restart_forgets_it_and_says_so(self):
        self.ended("one", self.part.tcc())
        self.assertEqual(self.server.end(), 0)
        self.server.start()
        self.check_gone(self.show("one"))
        self.assertEqual(self.show("one")["branches"], [])
        self.check_gone(self.listed("one"))

    @etxd_common.unittest.skipUnless(ETX, "needs the command etx")
    def test_the_command(self):
        def show(*more):
            return subprocess.run([ETX, "tx", "show", "one", "--server", self.server_url(), *more],
                                  capture_output=True, text=True, check=True).stdout
        self.part.rules["/b/action"] = lambda headers, body: REFUSED
        self.ended("one", self.part.saga("a", name="first"), self.part.saga("b", name="second"),
                   self.part.saga("c", name="third"))
        text = show()
        self.assertRegex(text, r"branch first .*action done, compensate done\n")
        self.assertRegex(text, r"branch second .*action refused.*none left")
        self.assertRegex(text, r"branch third .*action not called, compensate not needed\n")
        self.assertIn("\ndecided ", text)
        self.assertNotIn("not kept", text)
        self.assertGreater(json.loads(show("--json"))["decided_ms"], 0)
        self.assertEqual(self.server.end(), 0)
        self.server.start()
        self.assertIn("not kept any more", show())
        self.assertNotIn("decided_ms", json.loads(show("--json")))

    def server_url(self):
        return f"http://{self.server.host}:{self.server.port}"


class Bounded(Story):
    flags = ("--story-memory", "4096")

    def test_the_oldest_gives_way(self):
        for number in range(20):
            shown = self.ended(f"tx-{number}", self.part.tcc(payload="x" * 200))
            self.assertEqual((shown["story"], len(shown["branches"])), ("whole", 1))
        self.check_gone(self.show("tx-0"))
        self.check_gone(self.listed("tx-0"))
        self.assertEqual(self.listed("tx-19")["branch_count"], 1)


class Off(Story):
    flags = ("--story-memory", "0")

    def test_none_is_kept(self):
        shown = self.ended("one", self.part.tcc())
        self.check_gone(shown)
        self.assertEqual(shown["branches"], [])


if __name__ == "__main__":
    etxd_common.main()
