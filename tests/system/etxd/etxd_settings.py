#!/usr/bin/env python3
"""What is wrong with settings is found before the start, is named, and is told at a reload."""
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import etxd_common
from etxd_common import ETXD, Server


class Settings(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="etx-etxd-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def run_etxd(self, *args, env=None):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("ETXD_")}
        return subprocess.run([ETXD, *args], capture_output=True, text=True, timeout=30,
                              env={**clean, **(env or {})}, cwd=self.folder, check=False)

    def file(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def wrong(self, words, *args, **more):
        """--check-config finds it, in these words; and opens and makes nothing."""
        before = sorted(os.listdir(self.folder))
        result = self.run_etxd("--check-config", *args, **more)
        self.assertEqual((result.returncode, result.stdout), (2, ""), (args, result))
        self.assertIn(words, result.stderr)
        self.assertEqual(sorted(os.listdir(self.folder)), before)

    def well(self, *args, **more):
        result = self.run_etxd("--check-config", *args, **more)
        self.assertEqual((result.returncode, result.stdout), (0, "all is well\n"), (args, result))

    def shown(self, name, *args, **more):
        """The line of --print-config."""
        result = self.run_etxd("--print-config", *args, **more)
        self.assertEqual(result.returncode, 0, result)
        return [line for line in result.stdout.splitlines() if name + ":" in line][0]


class Check(Settings):
    """--check-config finds what a start would."""

    def test_whom_it_calls(self):
        self.wrong("/nowhere/ca", "--call-ca", "/nowhere/ca")
        for target in ("ftp://a:80", "http://*:80", "http://010.0.0.1:80"):
            self.wrong(target, "--allow-target", target)
        self.wrong("a * stands only for the names below one", "--allow-target", "http://*:*")
        self.wrong("call-header 'Etx-Gid': a header of this name is ETX's own",
                   "--call-header", "Etx-Gid: x")
        self.wrong("call-header", "--call-header", "Content-Length: 5")
        self.wrong("call-header", "--call-header", "bad header: x")
        key = self.file("key", "x" * 16)
        self.wrong("sign-key-id", "--sign-key-id", 'a"b', "--sign-key", "file:" + key)
        self.wrong("sign-key has at least 16 bytes", "--sign-key-id", "a", "--sign-key",
                   "file:" + self.file("short", "x" * 15))
        self.well("--sign-key-id", "a", "--sign-key", "file:" + key, "--call-header", "X-Y: 5",
                  "--allow-target", "http://10.0.0.0/8:80")

    def test_secrets_are_not_shown(self):
        """Not even those of an option that is misspelled, or that stand where none belongs."""
        for args, rest in (
                (("--call-heder=X-Key: s3cret",), "'--call-heder' is no option: did you mean"),
                (("--hom=postgresql://u:s3cret@h/d",), "'--hom' is no option"),
                (("postgresql://u:s3cret@h/d",), "'postgresql://' is no option"),
                (("--advertise", "https://me:s3cret@h"), "advertise: 'https://me:***@h'"),
                (("--allow-target", "http://me:s3cret@h:80"), 'target "http://***@h:80"')):
            self.wrong(rest, *args)
            self.assertNotIn("s3cret", self.run_etxd("--check-config", *args).stderr, args)
            self.assertNotIn("s3cret", self.run_etxd(*args).stderr, args)

    def test_what_is_no_header_is_not_shown(self):
        """A name that was forgotten; and what commas of the environment have cut off."""
        for name in ("call-header", "trace-header"):
            variable = "ETXD_" + name.upper().replace("-", "_")
            for args, env, more in (
                    ((f"--{name}", "s3cret"), {}, "\n"),
                    ((f"--{name}", "a s3cret: b"), {}, "\n"),
                    ((), {variable: "A: b,s3cret,c"}, "; in the environment commas part headers")):
                for action in ("--check-config", "--print-config"):
                    said = self.run_etxd(action, *args, env=env)
                    self.assertEqual((said.returncode, said.stdout), (2, ""), said)
                    self.assertIn(f"{name}: '***' is no header: write NAME: VALUE, or NAME: "
                                  f"file:FILE{more}", said.stderr)
                    self.assertNotIn("s3cret", said.stderr)

    def test_secrets_are_not_printed(self):
        for args, line in (
                (("--allow-target", "http://u:s3cret@h:1"), "allow-target: ['http://u:***@h:1']"),
                (("--home", "mariadb://u:s3cret@h/d?PASSWORD=s3cret&prefix=p"),
                 "home: ['mariadb://u:***@h/d?PASSWORD=***&prefix=p']")):
            self.assertIn(line, self.shown(args[0][2:], *args, "--node", "a"))

    def test_homes(self):
        here = os.path.join(self.folder, "x")
        self.wrong("'foo:bar' is no URL of a log", "--home", "foo:bar")
        self.wrong("home file:x?bogus=1: a file log has no option 'bogus'", "--home",
                   "file:x?bogus=1")
        self.wrong("home file:: the URL of a file log names its directory", "--home", "file:")
        self.wrong("partitions", "--home", "memory:?partitions=0", "--allow-volatile")
        self.wrong("--allow-volatile", "--home", "memory:")
        for one, other in (("file:x", "file:x"), ("file:x", "file:./x/"),
                           ("file:x", "file:" + here),
                           ("file:x?segment=1M", f"file://{here}?partitions=2")):
            self.wrong("twice", "--home", one, "--home", other)
        self.wrong("what stands above it is not a directory", "--home", "file:/dev/null/x")
        os.mkdir(here)
        self.wrong("no option 'bogus'", "--home", "file:x?bogus=1")
        os.symlink(here, os.path.join(self.folder, "link"))
        self.wrong("twice", "--home", "file:x", "--home", "file:link")
        self.well("--home", "memory:", "--home", "memory:", "--allow-volatile", "--home", "file:x",
                  "--home", "file:new?partitions=2", "--home", "file:x2")

    def test_a_home_in_use_is_left_alone(self):
        server = Server()
        self.addCleanup(server.close)
        home = os.path.join(server.folder, "home")
        before = sorted(os.listdir(home))
        self.well("--home", "file:" + home, "--listen", f"127.0.0.1:{server.port}")
        self.assertEqual(sorted(os.listdir(home)), before)

    def test_traces(self):
        url = "http://localhost:4318/v1/traces"
        self.wrong("trace-header", "--trace-url", url, "--trace-header", "bad header: x")
        self.wrong("trace-header", "--trace-url", url, "--trace-header", "X: a\x01b")
        for bad in ("http://", "http://a:port/", "http://a b/"):
            self.wrong("trace-url", "--trace-url", bad)
            result = self.run_etxd("--listen", "127.0.0.1:0", "--trace-url", bad)
            self.assertIn(result.returncode, (1, 2), result)
            self.assertIn("trace-url", result.stderr)


class File(Settings):
    """What stands twice, and names of files that are empty."""

    def test_twice(self):
        twice = self.file("c.yaml", "drain: 5s\nnode: a\ndrain: 6s\n")
        self.wrong("c.yaml:3: drain stands twice", "--config", twice)
        self.wrong("stands twice", "--config", self.file("c.yaml", "node: a\nnode: a\n"))
        self.wrong("stands twice", "--config", self.file("c.yaml", "node: a\nnode: b\n"),
                   "--node", "c")
        text = "allow-target: ['http://a:80']\nallow-target: ['http://b:80', 'http://c:80']\n"
        self.assertEqual(self.shown("allow-target", "--config", self.file("c.yaml", text)),
                         "allow-target: ['http://a:80', 'http://b:80', 'http://c:80'] # file")

    def test_one_document(self):
        for second in ("---\nnode: b\n", "...\n---\n"):
            self.wrong("a second document begins, and one is taken", "--config",
                       self.file("c.yaml", "---\nnode: a\n" + second))
        self.well("--config", self.file("c.yaml", "---\nnode: a\n...\n"))

    def test_what_is_no_regular_file(self):
        """It is not waited for, nor read without end; by a start neither."""
        fifo = os.path.join(self.folder, "fifo")
        os.mkfifo(fifo)
        large = self.file("large", "")
        os.truncate(large, (16 << 20) + 1)
        for path, why in ((fifo, "it is no regular file"), ("/dev/zero", "it is no regular file"),
                          (self.folder, "it is a directory"),
                          (large, "it has more than 16777216 bytes")):
            self.wrong(f"{path}: {why}", "--config", path)
            for name in ("token-file", "trace-ca"):
                self.wrong(f"{name} {path}: {why}", f"--{name}", path)
            result = self.run_etxd("--token-file", path, "--listen", "127.0.0.1:0")
            self.assertEqual((result.returncode, why in result.stderr), (2, True), result)
        for path, why in ((fifo, "it is no regular file"), (large, "it has more than 4096 bytes")):
            self.wrong(f"call-header {path}: {why}", "--call-header", "X: file:" + path)
            self.wrong(f"sign-key {path}: {why}", "--sign-key-id", "a", "--sign-key",
                       "file:" + path)

    def test_a_header_of_several_lines(self):
        for text in ("a\nb\n", "\na", "a\0b", "a\r\n\r\nb"):
            self.wrong("it must be one line, the value", "--call-header",
                       "X: file:" + self.file("header", text))
        self.well("--call-header", "X: file:" + self.file("header", "a b\r\n"))

    def test_an_empty_name_of_a_file(self):
        words = "token-file: '' is an empty file name"
        self.wrong("c.yaml:1: " + words, "--config", self.file("c.yaml", "token-file:\n"))
        self.wrong("c.yaml:2: " + words, "--config",
                   self.file("c.yaml", "node: a\ntoken-file: ''\n"))
        self.wrong(words, "--token-file", "")
        self.wrong(words, "--token-file=")
        self.wrong(words, env={"ETXD_TOKEN_FILE": ""})
        for name in ("tls-certificate", "tls-key", "tls-client-ca", "call-ca", "call-certificate",
                     "call-key", "trace-ca"):
            self.wrong(f"{name}: '' is an empty file name", f"--{name}=")
        self.assertEqual(self.shown("token-file"), "# token-file: ''")


class Privacy(Settings):
    """A log's directory that others may look into; and what nobody may see."""

    WORDS = "others than its owner may look into a home's directory: chmod 700"

    def told(self, mode, url="file:{}", **more):
        home = os.path.join(self.folder, "home")
        if mode is not None:
            os.mkdir(home)
            os.chmod(home, mode)
        server = Server(homes=[url.format(home)], **more)
        self.addCleanup(server.close)
        lines = [json.loads(line) for line in server.log().splitlines()]
        self.assertEqual(server.end(), 0)
        shutil.rmtree(home)
        return [(line["level"], line["directory"]) for line in lines
                if line["message"] == self.WORDS]

    def test_an_open_directory(self):
        expected = [("warning", os.path.join(self.folder, "home"))]
        for mode in (0o755, 0o710, 0o701):
            self.assertEqual(self.told(mode), expected, oct(mode))
        self.assertEqual(self.told(0o755, "file://{}/?segment=1M"), expected)
        self.assertEqual(self.told(0o700), [])
        self.assertEqual(self.told(None), [])

    def test_a_socket_is_its_owners_unless_tokens_are_demanded(self):
        tokens = self.file("tokens", "")
        for flags, umask, mode in (((), 0, 0o600), (("--token-file", tokens), 0o007, 0o770),
                                   (("--insecure-without-tokens",), 0o007, 0o770)):
            path = os.path.join(self.folder, "socket")
            before = os.umask(umask)
            try:
                server = Server("--listen", "unix:" + path, *flags)
            finally:
                os.umask(before)
            self.addCleanup(server.close)
            self.assertEqual(oct(os.stat(path).st_mode & 0o777), oct(mode), flags)
            server.close()

    def test_the_query_of_the_collector(self):
        url = "http://localhost:4318/v1/traces"
        self.assertEqual(self.shown("trace-url", "--trace-url", url + "?key=geheim&b=geheim"),
                         f"trace-url: '{url}?***' # flag")
        self.assertEqual(self.shown("trace-url", "--trace-url", url), f"trace-url: '{url}' # flag")
        self.assertEqual(self.shown("home", "--home", "file:x?segment=1M"),
                         "home: ['file:x?segment=1M'] # flag")


class Warnings(Settings):
    """What a start, a check and a reload say, and do all the same."""

    def certificate(self, name, *dates):
        """A certificate for that time, and its key."""
        paths = [os.path.join(self.folder, name + end) for end in (".pem", ".key", ".csr")]
        subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-keyout", paths[1], "-out",
                        paths[2], "-subj", "/CN=localhost"], check=True, capture_output=True,
                       timeout=60)
        settings = self.file("ca.cnf", f"""[ca]
default_ca = one
[one]
database = {self.file("index", "")}
rand_serial = yes
new_certs_dir = {self.folder}
default_md = sha256
policy = any
[any]
commonName = supplied
""")
        subprocess.run(["openssl", "ca", "-batch", "-selfsign", "-notext", "-config", settings,
                        "-keyfile", paths[1], "-in", paths[2], "-out", paths[0], "-startdate",
                        dates[0], "-enddate", dates[1]], check=True, capture_output=True,
                       timeout=60)
        return paths[0], paths[1]

    def test_certificates_of_another_time(self):
        old, old_key = self.certificate("old", "20200101000000Z", "20210203040506Z")
        new, new_key = self.certificate("new", "20900101000000Z", "20910101000000Z")
        ended = "a certificate is not valid any more"
        early = "a certificate is not valid yet"
        result = self.run_etxd("--check-config", "--tls-certificate", old, "--tls-key", old_key,
                               "--call-certificate", new, "--call-key", new_key)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (
            0, "all is well but for the warnings\n",
            f"etxd: warning: {ended}: {old}, 2021-02-03 04:05:06 UTC\n"
            f"etxd: warning: {early}: {new}, 2090-01-01 00:00:00 UTC\n"), result)
        config = self.file("c.yaml", f"tls-certificate: {old}\ntls-key: {old_key}\n")
        server = Server("--config", config)
        self.addCleanup(server.close)
        line = server.wait_log(ended)
        self.assertEqual((line["level"], line["file"], line["date"]),
                         ("warning", old, "2021-02-03 04:05:06 UTC"))
        self.file("c.yaml", f"tls-certificate: {new}\ntls-key: {new_key}\n")
        server.process.send_signal(signal.SIGHUP)
        self.assertEqual(server.wait_log(early)["file"], new)
        server.wait_log("taken up anew")

    def test_a_file_of_tokens_that_others_may_write(self):
        path = self.file("tokens", "")
        for mode, told in ((0o644, False), (0o620, True), (0o602, True)):
            os.chmod(path, mode)
            result = self.run_etxd("--check-config", "--token-file", path)
            self.assertEqual(result.returncode, 0, result)
            self.assertEqual(result.stderr, "etxd: warning: others than its owner may write the "
                             f"file of tokens: chmod go-w: {path}\n" if told else "", oct(mode))


class Numbers(Settings):
    """A number that the engine does not take is refused by its setting's name."""

    def test_what_does_not_fit(self):
        for args, words in (
                (("--retry-first", "10s", "--retry-cap", "1s"),
                 "retry-first: 10000 ms is longer than retry-cap, 1000 ms"),
                (("--retry-first", "60s"), "retry-first: 60000 ms is longer than retry-cap"),
                (("--history-age", "100d", "--deadline", "40d"), "deadline: '40d' is not within"),
                (("--shards", "17"), "shards: '17' is not within 0 and 16"),
                (("--history-max", "268435457"), "history-max: '268435457' is not within"),
                (("--transactions", "67108865"), "transactions: '67108865' is not within")):
            self.wrong(words, *args)
            result = self.run_etxd("--listen", "127.0.0.1:0", *args)
            self.assertEqual(result.returncode, 2, result)
            self.assertIn(words, result.stderr)

    def test_what_is_most(self):
        self.well("--shards", "16", "--deadline", "84h", "--history-max", "268435456",
                  "--transactions", "67108864", "--history-age", "100d")

    def test_a_short_cap_shortens_the_first_pause(self):
        self.well("--retry-cap", "50ms")
        self.assertEqual(self.shown("retry-first", "--retry-cap", "50ms"), "retry-first: 50")
        self.assertEqual(self.shown("retry-first"), "retry-first: 100")
        self.assertEqual(self.shown("retry-first", "--retry-first", "20", "--retry-cap", "50"),
                         "retry-first: 20 # flag")
        self.wrong("retry-first: 100 ms is longer", "--retry-first", "100", "--retry-cap", "50")
        server = Server("--retry-cap", "50ms")
        self.addCleanup(server.close)
        self.assertEqual(server.get("/readyz").status, 200)


class Reload(Settings):
    """A reload tells what it does not take up."""

    def open(self, text, *flags):
        self.config = self.file("c.yaml", text)
        server = Server("--config", self.config, *flags)
        self.addCleanup(server.close)
        return server

    def reload(self, server, text):
        """The log's lines of this reload."""
        self.file("c.yaml", text)
        count = len(server.log().splitlines())
        server.process.send_signal(signal.SIGHUP)

        def told():
            lines = [json.loads(line) for line in server.log().splitlines()[count:]]
            return lines if any("taken up anew" in line["message"] for line in lines) else None
        until = time.monotonic() + 30
        lines = told()
        while lines is None and time.monotonic() < until:
            time.sleep(0.02)
            lines = told()
        self.assertIsNotNone(lines, server.log())
        return lines

    @staticmethod
    def left(lines):
        return [line["setting"] for line in lines
                if line["message"] == "a setting has changed, and is taken up at the next start"]

    def test_what_is_left_is_named(self):
        server = self.open("workers: 4\ndrain: 5s\n")
        self.assertEqual(self.left(self.reload(server, "workers: 4\ndrain: 6s\n")), [])
        lines = self.reload(server, "workers: 5\ndrain: 7s\nevents: 5000\n"
                                    "trace-header: ['X: geheim']\n")
        self.assertEqual(self.left(lines), ["events", "workers", "trace-header"])
        self.assertNotIn("geheim", server.log())
        self.assertEqual(self.left(self.reload(server, "workers: 5\n")), ["workers"],
                         "it is still to be taken up")
        self.assertEqual(self.left(self.reload(server, "workers: 4\n")), [])

    def test_limits(self):
        server = self.open("body-bytes: 4096\n")
        large = {"branches": [], "gid": "x" * 3000}
        huge = {"branches": [], "gid": "x" * 6000}
        self.assertEqual(server.post("/v1/transactions", large).status, 400)
        self.assertEqual(server.post("/v1/transactions", huge).status, 413)
        self.assertEqual(self.left(self.reload(server, "body-bytes: 8192\n")), [])
        self.assertEqual(server.post("/v1/transactions", huge).status, 400)
        self.reload(server, "body-bytes: 1024\n")
        self.assertEqual(server.post("/v1/transactions", large).status, 413)

    def test_a_body_that_is_too_large_by_now(self):
        server = self.open("body-bytes: 8192\n")
        chunk = b"400\r\n" + b"x" * 1024 + b"\r\n"
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as one:
            one.sendall(b"POST /v1/transactions HTTP/1.1\r\nHost: localhost\r\n"
                        b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
                        + 4 * chunk)
            self.assertEqual(server.get("/healthz").status, 200)
            self.reload(server, "body-bytes: 2048\n")
            one.sendall(chunk)
            self.assertIn(b" 413 ", one.recv(4096))

    def status(self, server):
        """Of a request on a connection that the caller closes."""
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        self.addCleanup(connection.close)
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        answer.read()
        return answer.status

    def test_connections(self):
        for name in ("connections", "connections-per-address"):
            with self.subTest(name):
                server = self.open(f"{name}: 1\n")
                self.assertEqual(self.status(server), 200)
                self.assertEqual(self.status(server), 503)
                self.assertEqual(self.left(self.reload(server, f"{name}: 3\n")), [])
                for _ in range(2):  # one that was refused may still be about to end
                    until = time.monotonic() + 30
                    while self.status(server) != 200:
                        self.assertLess(time.monotonic(), until)
                        time.sleep(0.02)
                self.assertEqual(self.status(server), 503)
                server.close()

    def test_what_is_no_regular_file(self):
        fifo = os.path.join(self.folder, "fifo")
        os.mkfifo(fifo)
        server = self.open("drain: 5s\n")
        self.file("c.yaml", f"call-ca: {fifo}\n")
        server.process.send_signal(signal.SIGHUP)
        self.assertEqual(server.wait_log("nothing was taken up anew")["why"],
                         f"call-ca {fifo}: it is no regular file")
        self.assertEqual(server.get("/healthz").status, 200)

    def test_certificates(self):
        """A file of another name is taken up; TLS itself does not come or go."""
        server = self.open("drain: 5s\n")
        self.file("c.yaml", "tls-certificate: /nowhere/c\ntls-key: /nowhere/k\n")
        server.process.send_signal(signal.SIGHUP)
        self.assertIn("tls-certificate comes or goes with a start only",
                      server.wait_log("nothing was taken up anew")["why"])


if __name__ == "__main__":
    etxd_common.main()
