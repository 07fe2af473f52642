"""A reader of records, written from docs/record-format.md alone: a batch becomes what the JSON
codec says of its records (`etx log show --json` prints the same)."""
import base64
import struct

RECORDS = ("own", "begin", "enlist", "held", "result", "decide", "force", "move", "end", "loss")
MODES = (None, "submitted", "interactive", "resumed")
KINDS = (None, "tcc", "saga", "xa", "message", "notification")
OPERATIONS = ("forward", "commit", "undo")
REPLIES = (None, "done", "refused")
STATES = (None, "ACTIVE", "COMMITTING", "COMMITTED", "ABORTING", "ABORTED")
DURABILITIES = (None, "volatile", "local", "replicated")
MARKS = ("forced", "parked", "held", "never-begun", "chosen")
FLAGS = ("by-initiator", "keeps-refusals", "wants-results")
ACTIONS = (None, "park", "resume", "settle")
BRANCH_OPTIONS = ("attempts_max", "call_timeout_ms", "retry_first_ms", "retry_cap_ms")
BRANCHES_MAX = 1024
CODEC_BINARY = 1


class Corrupt(Exception):
    """These bytes no writer wrote."""


class Newer(Exception):
    """These bytes are of a version that this reader does not know."""


def insist(condition, text):
    if not condition:
        raise Corrupt(text)


def known(bits):
    """Bits that must be 0 in this version."""
    if bits != 0:
        raise Newer("a bit that is 0 in this version")


class Bytes:
    """What is left to be read."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        insist(count <= len(self.data) - self.at, "a length beyond the bytes that are there")
        self.at += count
        return self.data[self.at - count:self.at]

    def byte(self):
        return self.take(1)[0]

    def fixed64(self):
        return struct.unpack("<Q", self.take(8))[0]

    def varint(self, limit=1 << 64):
        number = 0
        for place in range(10):
            byte = self.byte()
            number |= (byte & 127) << 7 * place
            if byte < 128:
                insist(byte != 0 or place == 0, "a varint not in its shortest form")
                insist(number < limit, "a number beyond its limit")
                return number
        raise Corrupt("a varint that is too long")

    def bytes(self):
        return self.take(self.varint())

    def word(self, longest, shortest=1):
        """A name or gid."""
        data = self.bytes()
        insist(shortest <= len(data) <= longest, "a name of another length")
        insist(all(0x21 <= byte <= 0x7e for byte in data), "a name with other bytes")
        return data.decode("ascii")

    def announced(self, value):
        """What a bit announced is neither 0 nor empty."""
        insist(value, "announced, and 0 or empty")
        return value


# ---- what the JSON codec makes of values

def number(value):
    return value if value < 1 << 53 else str(value)


def digits(value):
    return f"{value:016x}"


def put(fields, key, value):
    """A field that is left out where it is 0 or empty."""
    if value:
        fields[key] = value


def put_number(fields, key, value):
    put(fields, key, value and number(value))


def put_bytes(fields, key, data):
    """Text where it is some, or else base64 under another name."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if any((c < " " and c not in "\t\n\r") or "\x7f" <= c <= "\x9f" for c in text):
        put(fields, key + "_base64", base64.b64encode(data).decode("ascii"))
    else:
        put(fields, key, text)


def name_of(names, value):
    insist(value < len(names) and names[value] is not None, "a number outside its list")
    return names[value]


def names_of(names, bits):
    return [name for place, name in enumerate(names) if bits >> place & 1]


# ---- parts of records

def read_depends_on(data, own, count):
    places = [data.varint(BRANCHES_MAX)
              for _ in range(data.announced(data.varint(BRANCHES_MAX + 1)))]
    insist(own not in places and max(places) < count, "a place that no other branch has")
    return places


def read_branch(data, own, count):
    """`own` is its place, None where it has none; `count`: how many branches there are."""
    head = data.byte()
    fields = {"name": data.word(64), "participant": data.word(64),
              "kind": name_of(KINDS, head & 7)}
    put(fields, "flags", names_of(FLAGS, head >> 3))
    put_bytes(fields, "payload", data.bytes())
    if head & 64:
        fields["depends_on"] = read_depends_on(data, own, count)
    if head & 128:
        bits = data.announced(data.byte())
        known(bits >> 4)
        for key in names_of(BRANCH_OPTIONS, bits):
            fields[key] = data.announced(data.varint(1 << 32))
    return fields


def read_progress(data, fields):
    head = data.byte()
    put(fields, "forward", (head & 3) and name_of(REPLIES, head & 3))
    put(fields, "finish", (head >> 2 & 3) and name_of(REPLIES, head >> 2 & 3))
    put(fields, "settled", names_of(OPERATIONS, head >> 4))
    if head & 128:
        more = data.announced(data.byte())
        known(more >> 2)
        if more & 1:
            fields["digest"] = digits(data.announced(data.fixed64()))
        if more & 2:
            put_bytes(fields, "result", data.announced(data.bytes()))


def read_begin(data, progress=False):
    head = data.byte()
    begun = data.varint()
    fields = {"time_ms": number(begun), "digest": digits(data.fixed64())}
    put(fields, "mode", MODES[head & 3])
    put(fields, "marks", ["chosen"] if head & 4 else [])
    put(fields, "durability", DURABILITIES[head >> 6])
    if head & 8:
        deadline = begun + data.announced(data.varint())
        fields["deadline_ms"] = number(data.announced(deadline % (1 << 64)))
    if head & 16:
        name, given, payload = data.announced(data.bytes()).partition(b"\0")
        insist(bool(payload) == bool(given), "announced, and empty")
        fields["initiator"] = Bytes(bytes([len(name)]) + name).word(64)
        put_bytes(fields, "initiator_payload", payload)
    if head & 32:
        fields["resume_ms"] = data.announced(data.varint(1 << 32))
    count = data.varint(BRANCHES_MAX + 1)
    insist(head & 3 or (progress and count == 0), "a mode of 0")
    fields["branches"] = []
    for place in range(count):
        fields["branches"].append(read_branch(data, place, count))
        if progress:
            read_progress(data, fields["branches"][-1])
    return fields


# ---- records: each reads what stands behind the gid

def read_own(data):
    fields = {"nonce": digits(data.fixed64()), "time_ms": number(data.varint())}
    put(fields, "node", data.word(64, 0))
    put(fields, "chosen_home", data.word(64, 0))
    return fields


def read_enlist(data):
    branch = read_branch(data, None, BRANCHES_MAX)
    return {"branch": branch, "digest": digits(data.fixed64())}


def read_held(_):
    return {}


def read_result(data):
    head = data.byte()
    known(head >> 4)
    fields = {"operation": name_of(OPERATIONS, head & 3),
              "reply": "refused" if head & 4 else "done", "branch": data.varint(BRANCHES_MAX)}
    if head & 8:
        put_bytes(fields, "bytes", data.announced(data.bytes()))
    return fields


def read_decide(data):
    head = data.byte()
    fields = {"decision": "commit" if head & 1 else "abort", "time_ms": number(data.varint())}
    put(fields, "marks", names_of(MARKS, head >> 3))
    if head & 2:
        put_bytes(fields, "reason", data.announced(data.bytes()))
    if head & 4:
        put_bytes(fields, "who", data.announced(data.bytes()))
    return fields


def read_force(data):
    head = data.byte()
    known(head >> 4)
    fields = {"action": name_of(ACTIONS, head & 3), "operation": name_of(OPERATIONS, head >> 2 & 3),
              "time_ms": number(data.varint()), "branch": data.varint(BRANCHES_MAX)}
    put_bytes(fields, "who", data.bytes())
    put_bytes(fields, "why", data.bytes())
    return fields


def read_move(data):
    head, marks = data.byte(), data.byte()
    known(head >> 7)
    known(marks >> 5)
    fields = {"state": name_of(STATES, head & 7)}
    put(fields, "marks", names_of(MARKS, marks))
    for bit, key in ((8, "decided_ms"), (16, "ended_ms"), (32, "ended_no")):
        if head & bit:
            fields[key] = number(data.announced(data.varint()))
    if head & 64:
        put_bytes(fields, "reason", data.announced(data.bytes()))
    fields["begin"] = read_begin(data, progress=True)
    return fields


def read_end(data):
    return {"time_ms": number(data.varint()), "ended_no": number(data.varint())}


def read_loss(data):
    fields = {"time_ms": number(data.varint())}
    put_bytes(fields, "who", data.bytes())
    put_bytes(fields, "why", data.bytes())
    return fields


READERS = (read_own, read_begin, read_enlist, read_held, read_result, read_decide, read_force,
           read_move, read_end, read_loss)


def read_record(batch):
    length, kind = batch.varint(), batch.byte()
    data = Bytes(batch.take(length))
    insist(kind != 0, "a record of type 0")
    if kind > len(RECORDS):
        raise Newer(f"a record of type {kind}")
    fields = {"record": RECORDS[kind - 1]}
    if fields["record"] not in ("own", "loss"):
        fields["gid"] = data.word(128)
    fields.update(READERS[kind - 1](data))
    if data.at < length:
        raise Newer("bytes behind the last field")
    return fields


def read_batch(batch):
    """The records of a slot, one dictionary each."""
    data = Bytes(batch)
    codec = data.byte()
    if codec != CODEC_BINARY:
        raise Newer(f"codec {codec}")
    records = []
    while data.at < len(batch):
        records.append(read_record(data))
    return records
