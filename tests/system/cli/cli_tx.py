#!/usr/bin/env python3
"""`etx tx` on a directory: list and show, which only read; park, resume and force, recorded."""
import hashlib
import json
import os
import shutil
import signal
import subprocess

import cli_common
from cli_common import Case, rows


class Tx(Case):
    def setUp(self):
        super().setUp()
        self.demo = self.make_broken_off_demo()
        self.log = os.path.join(self.demo, "log")
        self.home = ["--home", "file:" + self.log]

    def contents(self):
        """Every file of the log, with its bytes and the time of its last change."""
        found = {}
        for name in sorted(os.listdir(self.log)):
            path = os.path.join(self.log, name)
            with open(path, "rb") as file:
                found[name] = (hashlib.sha256(file.read()).digest(), os.stat(path).st_mtime_ns)
        return found

    def listed(self, *args):
        return rows(self.expect(0, "tx", "list", *self.home, "--json", "--limit", "100000",
                                *args).stdout)

    def test_list_and_filters(self):
        live = self.listed()
        self.assertGreater(len(live), 0)
        self.assertFalse({"COMMITTED", "ABORTED"} & {tx["state"] for tx in live})
        ended = self.listed("--ended")
        self.assertGreater(len(ended), len(live))
        committed = self.listed("--state", "committed")
        self.assertEqual({tx["state"] for tx in committed}, {"COMMITTED"})
        both = self.listed("--state", "COMMITTED,ABORTED")
        self.assertEqual(len(ended), len(both) + len(live))
        self.assertEqual(len(rows(self.expect(0, "tx", "list", *self.home, "--ended", "--json",
                                              "--limit", "7").stdout)), 7)
        self.assertEqual(self.listed("--older-than", "1h"), [])
        self.assertEqual(self.listed("--parked"), [])
        self.assertEqual(self.listed("--participant", "nobody"), [])
        north = self.listed("--participant", "north.tcc")
        self.assertLess(len(north), len(live))
        self.assertEqual([tx["gid"] for tx in self.listed("--prefix", live[0]["gid"])],
                         [live[0]["gid"]])
        for args in (["--participant", "north.tcc"], ["--kind", "tcc"]):
            said = self.expect(2, "tx", "list", *self.home, "--ended", *args).stderr
            self.assertIn(f"--ended with {args[0]} would not find ended ones", said)
            self.listed("--state", "COMMITTED", *args)
        few = self.expect(0, "tx", "list", *self.home, "--json", "--limit", "1")
        self.assertEqual(len(rows(few.stdout)), 1)
        self.assertEqual(few.stderr, "There may be more: --limit 10\n")
        text = self.expect(0, "tx", "list", *self.home).stdout
        self.assertIn(live[0]["gid"], text)
        self.assertIn("STATE", text)

    def test_looking_changes_nothing(self):
        before = self.contents()
        gid = self.listed()[0]["gid"]
        self.expect(0, "tx", "show", gid, *self.home)
        self.assertEqual(self.contents(), before)
        self.expect(0, "tx", "park", gid, *self.home, "--why", "to see that this does")
        self.assertNotEqual(self.contents(), before)

    def test_log_in_use(self):
        """Looked at whoever has it open; operated on only by its program."""
        gid = self.listed()[0]["gid"]
        with subprocess.Popen([cli_common.binary(), "demo-coordinator", "--dir", self.demo,
                               "--seed", "1"]) as process:
            self.await_that(lambda: cli_common.in_use(self.log))
            self.listed("--ended")
            self.expect(0, "tx", "show", gid, *self.home)
            refused = self.expect(2, "tx", "park", gid, *self.home, "--why", "too late").stderr
            self.assertIn(f"in use by process {process.pid}", refused)
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(timeout=100), 0)

    def test_show(self):
        gid = self.listed()[0]["gid"]
        found = json.loads(self.expect(0, "tx", "show", gid, *self.home, "--json").stdout)
        self.assertEqual(found["gid"], gid)
        self.assertEqual(len(found["branches"]), found["branches_count"])
        self.assertIn("account=", found["branches"][0]["payload"])
        self.assertIn(gid, self.expect(0, "tx", "show", gid, *self.home).stdout)
        self.expect(1, "tx", "show", "nobody", *self.home)
        self.expect(0, "tx", "retry", gid, *self.home)
        self.expect(1, "tx", "retry", "nobody", *self.home)

    def test_show_says_the_same_in_text_and_json(self):
        """How far each branch is, also where that follows from the decision and is not recorded."""
        words = {"tcc": ("try", "confirm", "cancel"), "saga": ("action", "", "compensate"),
                 "message": ("", "deliver", "")}
        seen = set()
        for tx in self.listed("--state", "ACTIVE,COMMITTING,ABORTING")[:60]:
            found = json.loads(self.expect(0, "tx", "show", tx["gid"], *self.home,
                                           "--json").stdout)
            text = self.expect(0, "tx", "show", tx["gid"], *self.home).stdout
            for branch in found["branches"]:
                forward, commit, undo = words[branch["kind"]]
                finish = {"COMMITTING": commit, "ABORTING": undo}.get(found["state"], "")
                told = ", ".join(f"{word} {branch[key]}"
                                 for word, key in ((forward, "forward"), (finish, "finish"))
                                 if word)
                self.assertIn(f"({branch['kind']}): {told or 'nothing to do'}", text)
                if forward and found["state"] == "COMMITTING":
                    self.assertEqual(branch["forward"], "done")
                    seen.add("committing")
        if not seen:
            self.skipTest("nothing was committing when the coordinator died")

    def test_what_no_log_holds_is_no_filter(self):
        """Stalled and unregistered are known to a running program alone: the help says so."""
        said = self.expect(2, "tx", "list", *self.home, "--stalled").stderr
        self.assertIn("--stalled", said)
        for args in (["tx", "--help"], ["tx", "list", "--help"]):
            text = " ".join(self.expect(0, *args).stdout.split())
            self.assertIn("unregistered", text)
            self.assertIn("etx_list", text)
        self.assertIn("nobody calls", self.expect(0, "tx", "retry", "--help").stdout)

    def test_no_gid_at_all(self):
        for gid in ("", "x y", "g" * 129):
            for args in (["show"], ["retry"], ["park", "--why", "x"], ["resume", "--why", "x"],
                         ["force", "--as", "abort", "--why", "x"]):
                said = self.expect(2, "tx", args[0], gid, *self.home, *args[1:]).stderr
                self.assertIn("is no gid", said)
                self.assertIn("1 to 128 printable characters without space", said)

    def test_park_and_resume(self):
        gid = self.listed()[0]["gid"]
        self.expect(2, "tx", "park", gid, *self.home)  # why?
        self.expect(0, "tx", "park", gid, *self.home, "--who", "eva", "--why", "bank is down")
        self.assertEqual([tx["gid"] for tx in self.listed("--parked")], [gid])
        forces = rows(self.expect(0, "log", "show", self.log, "--gid", gid, "--type", "force",
                                  "--json").stdout)
        self.assertEqual((forces[0]["action"], forces[0]["who"], forces[0]["why"]),
                         ("park", "eva", "bank is down"))
        self.expect(0, "tx", "resume", gid, *self.home, "--why", "it is back")
        self.assertEqual(self.listed("--parked"), [])
        ended = self.listed("--state", "COMMITTED")[0]["gid"]
        late = self.expect(1, "tx", "park", ended, *self.home, "--why", "too late")
        self.assertIn("it has ended: COMMITTED", late.stderr)
        self.expect(1, "tx", "park", "nobody", *self.home, "--why", "who?")

    def test_refusals_explain(self):
        deciding = self.listed("--state", "COMMITTING,ABORTING")
        if not deciding:
            self.skipTest("everything was undecided or ended when the coordinator died")
        gid = deciding[0]["gid"]
        for args, words in ((["force", gid, "--as", "abort"], "only --as done is possible"),
                            (["resume", gid], "it is not parked"),
                            (["force", gid, "--as", "done", "--branch", "nope", "--operation",
                              "confirm"], "branches: 0, 1"),
                            (["force", gid, "--as", "done", "--branch", "0", "--operation",
                              "forward"], "can be settled"),
                            (["force", gid, "--as", "done", "--branch", "0", "--operation",
                              "notify"], "which has no notify"),
                            (["park", "nobody"], "ETX_ENOTFOUND")):
            said = self.expect(1, "tx", *args, *self.home, "--why", "a test").stderr
            self.assertIn(words, said)
            self.assertLess(said.count("ETX_E"), 2, said)
        self.expect(0, "tx", "park", gid, *self.home, "--why", "a test")
        self.assertIn("etx tx resume", self.expect(1, "tx", "retry", gid, *self.home).stderr)
        self.assertIn("it is parked already", self.expect(
            1, "tx", "park", gid, *self.home, "--why", "a test").stderr)

    def test_who_has_parked_it(self):
        gid = self.listed()[0]["gid"]
        self.expect(0, "tx", "park", gid, *self.home, "--who", "ann", "--why", "first")
        self.expect(0, "tx", "resume", gid, *self.home, "--who", "ann", "--why", "well")
        self.expect(0, "tx", "park", gid, *self.home, "--who", "bob", "--why", "again\x1b[31m")
        shown = self.expect(0, "tx", "show", gid, *self.home).stdout
        self.assertIn("parked by   bob: again\\x1b[31m\n", shown)
        found = json.loads(self.expect(0, "tx", "show", gid, *self.home, "--json").stdout)
        self.assertEqual(found["parked_by"], "bob")
        self.expect(0, "tx", "resume", gid, *self.home, "--who", "ann", "--why", "well")
        self.assertNotIn("parked", self.expect(0, "tx", "show", gid, *self.home).stdout)
        # nobody's name is cut without a word
        said = self.expect(2, "tx", "park", gid, *self.home, "--who", "x" * 65, "--why", "w")
        self.assertIn("--who: 65 bytes, and 64 are recorded", said.stderr)
        said = self.expect(2, "tx", "park", gid, *self.home, "--who", "x", "--why", "w" * 192)
        self.assertIn("--why: 192 bytes, and 191 are recorded", said.stderr)

    def test_bulk(self):
        live = self.listed()
        result = self.expect(0, "tx", "park", "--all", *self.home, "--why", "night", "--rate",
                             "100000")
        self.assertIn(f"{len(live)} transactions", result.stdout)
        self.assertEqual(len(self.listed("--parked")), len(live))
        self.expect(0, "tx", "resume", "--parked", *self.home, "--why", "morning", "--rate",
                    "100000")
        self.assertEqual(self.listed("--parked"), [])
        self.expect(2, "tx", "park", *self.home, "--why", "nothing named")
        for command in (["park", "--why", "x"], ["resume", "--why", "x"], ["retry"]):
            for name in ("--prefix", "--state", "--participant"):
                said = self.expect(2, "tx", *command, *self.home, name, "", "--kind", "tcc").stderr
                self.assertIn(name + ": a value is needed", said)
                self.assertIn("for all: --all", said)

    def test_force(self):
        active = [tx["gid"] for tx in self.listed("--state", "ACTIVE")]
        if not active:
            self.skipTest("nothing was undecided when the coordinator died")
        gid = active[0]
        self.expect(2, "tx", "force", gid, *self.home, "--as", "abort")
        self.expect(2, "tx", "force", gid, *self.home, "--as", "done", "--why", "x")
        self.expect(0, "tx", "force", gid, *self.home, "--as", "abort", "--who", "eva", "--why",
                    "customer\ngave up \x1b[31m")
        shown = self.expect(0, "tx", "show", gid, *self.home).stdout
        self.assertIn("customer\\x0agave up \\x1b[31m", shown)  # one line, nothing for a terminal
        found = json.loads(self.expect(0, "tx", "show", gid, *self.home, "--json").stdout)
        self.assertIn(found["state"], ("ABORTING", "ABORTED"))
        self.assertIn("forced", found["marks"])
        # never changes a decision
        refused = self.expect(1, "tx", "force", gid, *self.home, "--as", "commit", "--why",
                              "why not")
        self.assertIn("the decision stands" if found["state"] == "ABORTING" else "has ended",
                      refused.stderr)
        operation = {"tcc": "cancel", "saga": "compensate"}
        for branch in found["branches"]:
            if branch["finish"] == "open":
                self.expect(0, "tx", "force", gid, *self.home, "--as", "done", "--branch",
                            branch["name"], "--operation", operation[branch["kind"]], "--why",
                            "booked by hand")
        if found["state"] == "ABORTING":
            found = json.loads(self.expect(0, "tx", "show", gid, *self.home, "--json").stdout)
            self.assertTrue(all(b["settled"] or b["finish"] != "open" for b in found["branches"]))
        # the program that owns the log ends it, and all the others
        self.finish_demo()
        found = json.loads(self.expect(0, "tx", "show", gid, *self.home, "--json").stdout)
        self.assertEqual(found["state"], "ABORTED")
        self.assertIn("forced", found["marks"])
        self.assertEqual(self.listed(), [])

    def test_restored_backup(self):
        """The log is lost: its backup takes its place, knows its gids, and ends what it holds."""
        live = [tx["gid"] for tx in self.listed()]
        backup = self.path("backup")
        self.expect(0, "log", "backup", self.log, backup)
        self.expect(0, "log", "backup", self.log, self.path("look"), "--new-id")
        shutil.rmtree(self.log)
        # a copy for looking at: listed, but its gids are another home's, and no program starts
        look = ["--home", "file:" + self.path("look")]
        listed = rows(self.expect(0, "tx", "list", *look, "--json", "--limit", "100000").stdout)
        self.assertEqual([tx["gid"] for tx in listed], live)
        self.assertIn("which is not among the homes",
                      self.expect(2, "tx", "show", live[0], *look).stderr)
        shutil.copytree(self.path("look"), self.log)
        refused = subprocess.run([cli_common.binary(), "demo-coordinator", "--dir", self.demo,
                                  "--seed", "1"], capture_output=True, text=True, check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("--new-id", refused.stderr)
        shutil.rmtree(self.log)
        # the backup
        self.expect(0, "log", "backup", backup, self.log)
        self.assertEqual([tx["gid"] for tx in self.listed()], live)
        self.expect(0, "tx", "show", live[0], *self.home)
        self.finish_demo()
        self.assertEqual(self.listed(), [])

    def finish_demo(self):
        """Starts the coordinator again, and tells it to finish."""
        with subprocess.Popen([cli_common.binary(), "demo-coordinator", "--dir", self.demo,
                               "--seed", "1"]) as process:
            self.await_that(lambda: cli_common.in_use(self.log))
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(timeout=100), 0)

    def test_missing_directory_is_not_made(self):
        result = self.expect(2, "tx", "list", "--home", "file:" + self.path("typo"))
        self.assertIn("is it the right directory", result.stderr)
        self.assertFalse(os.path.exists(self.path("typo")))


if __name__ == "__main__":
    cli_common.main()
