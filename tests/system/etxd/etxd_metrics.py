#!/usr/bin/env python3
"""What /metrics says: as OpenMetrics has it, with bounded labels, and true."""
import re

import etxd_common
from etxd_common import Case

SAMPLE = re.compile(r'^([a-z_]+)(\{([a-z_]+="[^"\\]*"(,[a-z_]+="[^"\\]*")*)\})? ([0-9.e+-]+)$')
SUFFIXES = {"counter": ["_total"], "gauge": [""], "info": ["_info"],
            "histogram": ["_bucket", "_sum", "_count"]}


def read(text):
    """The samples: {(name, labels): value}; fails where OpenMetrics would not be taken."""
    samples, families = {}, {}
    family = None
    assert text.endswith("# EOF\n")
    for line in text[:-len("# EOF\n")].splitlines():
        if line.startswith("# TYPE "):
            _, _, family, kind = line.split()
            assert family not in families, f"{family} stands twice"
            families[family] = kind
            continue
        if line.startswith("# HELP "):
            assert line.split()[2] == family, line
            continue
        match = SAMPLE.match(line)
        assert match, line
        name, labels = match[1], match[3] or ""
        assert name in [family + suffix for suffix in SUFFIXES[families[family]]], line
        assert (name, labels) not in samples, line
        samples[name, labels] = float(match[5])
    for family, kind in families.items():
        if kind == "histogram":
            check_histogram(samples, family)
    return samples


def check_histogram(samples, family):
    """Buckets rise, end with +Inf, and that is the count; the sum is of what they have."""
    series = {}
    for (name, labels), value in samples.items():
        if name == family + "_bucket":
            rest, bound = labels.rsplit("le=", 1)
            series.setdefault(rest.rstrip(","), []).append((float(bound.strip('"')), value))
    assert series, family
    for labels, buckets in series.items():
        assert buckets == sorted(buckets), (family, labels)
        values = [value for _, value in buckets]
        assert values == sorted(values), (family, labels)
        assert buckets[-1][0] == float("inf")
        assert buckets[-1][1] == samples[family + "_count", labels]
        check_sum(samples[family + "_sum", labels], buckets, (family, labels))


def check_sum(total, buckets, where):
    """What was measured lies within the bounds of its buckets; one more may have come meanwhile."""
    least, most, before, below = 0.0, 0.0, 0.0, 0.0
    for bound, value in buckets:
        least += (value - before) * below
        most += (value - before) * bound if value > before else 0.0
        before, below = value, bound
    assert least <= total + 1e-5, where
    assert total <= most + max(1.0, below if below < float("inf") else 0.0), where


class Metrics(Case):
    def metrics(self):
        answer = self.server.get("/metrics")
        self.assertTrue(answer.headers["Content-Type"].startswith("application/openmetrics-text"))
        return read(answer.text)

    def test_transactions_and_calls(self):
        self.submit({"branches": [self.part.tcc()], "wait": "ended"})
        self.submit({"branches": [self.part.tcc("b"), self.part.saga("t")], "wait": "ended"})
        self.part.rules["/s/action"] = lambda headers, body: (409, b"")
        self.submit({"branches": [self.part.saga()], "wait": "ended"})
        self.server.get("/v1/nothing")
        m = self.metrics()
        decided = {labels: value for (name, labels), value in m.items()
                   if name == "etx_transactions_total" and value > 0}
        self.assertEqual(decided, {'kind="tcc",outcome="committed"': 1,
                                   'kind="mixed",outcome="committed"': 1,
                                   'kind="saga",outcome="aborted"': 1})
        self.assertEqual(m["etx_begun_total", ""], 3)
        self.assertEqual(m["etx_calls_total", 'result="refused"'], 1)
        target = f'target="{self.part.url}",result='
        self.assertEqual(m["etxd_target_calls_total", target + '"done"'], 6)
        self.assertEqual(m["etxd_target_calls_total", target + '"refused"'], 1)
        self.assertEqual(m["etxd_reached_seconds_count", 'wait="ended"'], 3)
        self.assertEqual(
            m["etxd_answers_total", 'method="POST",route="/v1/transactions",class="2xx"'], 3)

    def test_latencies(self):
        self.part.rules["/a/try"] = self.slow
        self.submit({"branches": [self.part.tcc()], "wait": "ended"})
        # its END is in no hurry to be durable, but it was told already
        m = self.metrics()
        self.assertEqual(m["etx_decided_seconds_count", ""], 1)
        self.assertEqual(m["etx_ended_seconds_count", ""], 1)
        self.assertGreaterEqual(m["etx_decided_seconds_sum", ""], 0.05)
        self.assertGreaterEqual(m["etx_ended_seconds_sum", ""], m["etx_decided_seconds_sum", ""])
        self.assertGreaterEqual(m["etx_put_seconds_count", ""], 2)
        self.assertEqual(m["etx_put_seconds_count", ""], m["etx_put_records_count", ""])
        self.assertGreaterEqual(m["etx_put_records_sum", ""], 2)
        self.assertEqual(m["etx_decided_seconds_bucket", 'le="0.032768"'], 0)

    @staticmethod
    def slow(_headers, _body):
        etxd_common.time.sleep(0.05)
        return 200, b""

    def test_what_is_in_flight(self):
        m = self.metrics()
        self.assertEqual((m["etx_in_flight", ""], m["etx_oldest_age_seconds", ""]), (0, 0))
        self.part.rules["/a/try"] = lambda headers, body: (202, b"")
        self.submit({"gid": "old", "branches": [self.part.tcc()], "wait": "begun"})
        self.server.post("/v1/transactions/old/park", {"who": "me", "why": "a test"})
        self.eventually(lambda: self.metrics()["etx_oldest_age_seconds", ""] >= 0.5)
        m = self.metrics()
        self.assertEqual([m["etxd_reached_seconds_count", f'wait="{wait}"']
                          for wait in ("begun", "decided", "ended")], [1, 0, 0])
        self.assertGreater(m["etx_calls_total", 'result="working"'], 0)
        self.assertEqual(m["etx_calls_total", 'result="unknown"'], 0)
        self.assertEqual((m["etx_in_flight", ""], m["etx_parked", ""]), (1, 1))
        self.assertEqual(m["etx_home_in_flight", 'place="0"'], 1)
        self.assertEqual((m["etx_home_usable", 'place="0"'], m["etx_home_in_use", 'place="0"']),
                         (1, 1))
        self.server.post("/v1/transactions/old/resume", {"who": "me", "why": "a test"})
        self.server.post("/v1/transactions/old/abort")
        self.eventually(lambda: self.metrics()["etx_in_flight", ""] == 0)
        m = self.metrics()
        self.assertEqual((m["etx_oldest_age_seconds", ""], m["etx_queue_depth", ""]), (0, 0))

    def test_what_is_decided_and_not_ended(self):
        self.part.rules["/a/confirm"] = lambda headers, body: (500, b"")
        self.submit({"gid": "half", "branches": [self.part.tcc()], "wait": "decided"})
        self.eventually(lambda: self.metrics()["etx_calls_total", 'result="unknown"'] > 0)
        m = self.metrics()
        self.assertEqual(m["etx_calls_total", 'result="working"'], 0)
        self.assertEqual([m["etxd_reached_seconds_count", f'wait="{wait}"']
                          for wait in ("begun", "decided", "ended")], [0, 1, 0])
        self.assertEqual(m["etx_decided_seconds_count", ""], 1)
        self.assertEqual(m["etx_ended_seconds_count", ""], 0)
        del self.part.rules["/a/confirm"]
        self.server.post("/v1/transactions/half/retry")
        self.eventually(lambda: self.metrics()["etx_ended_seconds_count", ""] == 1)

    def test_what_is_no_http(self):
        self.server.raw(b"nonsense\r\n\r\n")
        m = self.metrics()
        self.assertEqual((m["etxd_malformed_total", ""], m["etxd_timed_out_total", ""]), (1, 0))

    def test_the_next_home(self):
        self.server.end()
        self.server.homes.append("memory:")
        self.server.flags = ("--allow-volatile",)
        self.server.start()
        m = self.metrics()
        self.assertEqual([m["etx_home_usable", f'place="{place}"'] for place in (0, 1)], [1, 1])
        self.assertEqual([m["etx_home_in_use", f'place="{place}"'] for place in (0, 1)], [1, 0])

    def test_labels_are_bounded(self):
        sizes = []
        for round_number in range(3):
            for number in range(20):
                self.server.get(f"/v1/transactions/g{round_number}-{number}")
                self.server.get(f"/nothing/{round_number}-{number}")
            sizes.append(len(self.metrics()))
        self.assertEqual(sizes[1], sizes[2])


if __name__ == "__main__":
    etxd_common.main()
