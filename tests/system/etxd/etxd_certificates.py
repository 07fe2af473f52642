#!/usr/bin/env python3
"""Servers that share a PostgreSQL log over TLS, and what they show each other.

    etxd_certificates.py ETXD ETX

PostgreSQL is found by the environment (scripts/with-postgres --durable).
"""
import json
import os
import signal
import subprocess

import etxd_common
from etxd_cluster import NAMES, Nodes, reserve
from etxd_common import ETX


class Certificates(Nodes):
    def certify(self, folder, places):
        """A certificate for all of the places, its key, and who trusts and shows it."""
        names = ",".join("IP:" + at.split(":")[0] for at in places.values())
        certificate, key, context = etxd_common.certify(folder, names)
        context.load_cert_chain(certificate, key)
        return certificate, key, context

    def test_certificates(self):
        """Over TLS, both sides with certificates; also after they were read anew."""
        places = {"a": reserve(), "b": reserve()}
        certificate, key, context = self.certify(self.folder(), places)
        flags = ("--tls-certificate", certificate, "--tls-key", key, "--tls-client-ca",
                 certificate, "--call-ca", certificate, "--call-certificate", certificate,
                 "--call-key", key)
        self.nodes = {name: self.open(name, *flags, advertise="https://" + at, at=at,
                                      context=context) for name, at in places.items()}
        self.shared_by(("a", "b"))
        gid = self.gid_of("b")
        body = {"gid": gid, "branches": [self.part.tcc("x")], "wait": "ended"}
        for _ in range(2):
            for answer in self.at_each("POST", "/v1/transactions", body):
                self.assertEqual(self.expect(answer, 200).json["state"], "COMMITTED")
            self.nodes["a"].process.send_signal(signal.SIGHUP)
            self.nodes["a"].wait_log("taken up anew")
        shown = {**os.environ, "ETX_CA": certificate}
        for more, code in (({}, 2), ({"ETX_CERTIFICATE": certificate, "ETX_KEY": key}, 0)):
            self.assertEqual(subprocess.run(
                [ETX, "cluster", "status", "--server", "https://" + places["a"]], check=False,
                capture_output=True, env={**shown, **more}, timeout=120).returncode, code)

    def doctor(self, at, certificate):
        """What it finds of the certificates that nodes show each other."""
        found = subprocess.run([ETX, "doctor", "--json", "--server", "https://" + at], check=False,
                               capture_output=True, text=True, timeout=120,
                               env={**os.environ, "ETX_CA": certificate})
        return [one for one in json.loads(found.stdout)["findings"]
                if one["code"] == "node-certificate"]

    def test_a_node_without_a_certificate(self):
        """It is told by name, and what to set; until that is set and read."""
        folder = self.folder()
        places = {name: reserve() for name in NAMES}
        certificate, key, context = self.certify(folder, places)
        flags = ("--tls-certificate", certificate, "--tls-key", key, "--call-ca", certificate)
        demands = ("--tls-client-ca", certificate)
        shows = {"call-certificate": certificate, "call-key": key}
        config = os.path.join(folder, "b.yaml")
        with open(config, "w", encoding="utf-8") as file:
            file.write("log-level: info\n")
        more = {"a": (*demands, *(f"--{name}={value}" for name, value in shows.items())),
                "b": ("--config", config)}
        for name in ("a", "b"):
            self.nodes[name] = self.open(name, *flags, *more[name], at=places[name],
                                         advertise="https://" + places[name], context=context)
        self.shared_by(("a", "b"))
        asked = self.nodes["b"]
        self.assertEqual(self.doctor(places["b"], certificate), [])
        path = "/v1/transactions/" + self.gid_of("a")
        for _ in range(2):
            refused = self.expect(asked.get(path), 503, "unavailable")
            self.assertIn("shows it no certificate", refused.json["detail"])
        told = [line for line in asked.log().splitlines() if "certificates between nodes" in line]
        self.assertEqual([json.loads(line)["node"] for line in told], ["a"])
        self.assertIn("set call-certificate and call-key of b", told[0])
        found = self.doctor(places["b"], certificate)
        self.assertEqual([one["node"] for one in found], ["a"])
        self.assertIn("set call-certificate and call-key of b", found[0]["what"])
        shown = subprocess.run([ETX, "cluster", "status", "--server", "https://" + places["b"]],
                               check=True, capture_output=True, text=True, timeout=120,
                               env={**os.environ, "ETX_CA": certificate}).stdout
        self.assertIn("set call-certificate and call-key of b", shown)
        with open(config, "w", encoding="utf-8") as file:
            file.write("".join(f"{name}: {value}\n" for name, value in shows.items()))
        asked.process.send_signal(signal.SIGHUP)
        asked.wait_log("taken up anew")
        self.assertEqual(self.doctor(places["b"], certificate), [])
        self.expect(asked.get(path), 404)
        # one that demands it itself foresees it
        lacking = self.open("c", *flags, *demands, advertise="https://" + places["c"],
                            at=places["c"], context=context)
        self.assertEqual(lacking.wait_log("certificates between nodes")["node"], "c")
        own = self.eventually(lambda: [
            one["remark"] for one in lacking.get("/v1/cluster").json["homes"][0]["nodes"]
            if one["here"]])
        self.assertIn("set its call-certificate", own[0])


if __name__ == "__main__":
    etxd_common.main()
