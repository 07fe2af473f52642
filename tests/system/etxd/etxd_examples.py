#!/usr/bin/env python3
"""The examples of a deployment: the server takes the settings, and what they name is there.

    etxd_examples.py ETXD ETX BUILD
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import unittest

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), *[os.pardir] * 3, "examples",
                      "cluster")
ETXD, ETX, BUILD = sys.argv[1:4]


def read(name):
    with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
        return file.read()


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


class Examples(unittest.TestCase):
    def test_settings(self):
        shown = output(ETXD, "--config", os.path.join(FOLDER, "etxd.yaml"), "--print-config")
        taken = re.findall(r"^([a-z-]+): .* # file$", shown, re.MULTILINE)
        given = re.findall(r"^([a-z-]+):", read("etxd.yaml"), re.MULTILINE)
        self.assertEqual(sorted(taken), sorted(given))
        self.assertEqual(shown.count("postgresql://"), 1)

    def test_credentials(self):
        """What the settings read of systemd is what the unit's drop-in hands over."""
        wanted = set(re.findall(r"/run/credentials/etxd.service/(\w+)", read("etxd.yaml")))
        given = set(re.findall(r"^LoadCredential=(\w+):/", read("etxd.service.d.conf"),
                               re.MULTILINE))
        self.assertEqual(wanted, given)

    def test_secrets_of_a_container(self):
        """What the settings read there once they are changed as it says is what it hands over."""
        said = read("Containerfile")
        before, after = re.search(r"sed -i 's\|(.*?)\|(.*?)\|' /etc/etxd/etxd.yaml", said).groups()
        changed = read("etxd.yaml").replace(before, after)
        self.assertNotIn("/run/credentials", changed.split("\nhome:")[1])
        wanted = set(re.findall(r"/run/secrets/(\w+)", changed))
        user = re.search(r"useradd .*--uid (\d+)", said).group(1)
        given = set(re.findall(rf"--secret (\w+),uid={user},mode=0400", said))
        self.assertEqual(wanted, given)
        for name in wanted:
            self.assertRegex(said, rf"for name in [\w ]*\b{name}\b|podman secret create {name} ")

    @unittest.skipIf(os.environ.get("SANITIZED"), "a sanitizer has libraries of its own")
    @unittest.skipUnless(shutil.which("dpkg") and shutil.which("objdump"), "not a Debian")
    def test_container_has_the_libraries(self):
        """Each that is linked comes with a package of the second stage, or with ETX itself."""
        stage = read("Containerfile").split("\nFROM ")[-1]
        named = set(re.search(r"apt-get install -y --no-install-recommends (.*?)&&", stage,
                              re.DOTALL).group(1).replace("\\", " ").split())
        for path in [ETXD, ETX, *glob.glob(os.path.join(BUILD, "*.so"))]:
            for library in re.findall(r"NEEDED\s+(\S+)", output("objdump", "-p", path)):
                if library.startswith("libetx"):
                    continue
                found = {line.split(":")[0] for line in output("dpkg", "-S", library).splitlines()}
                self.assertTrue(found & (named | {"libc6"}), f"{path} needs {library}: {found}")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
