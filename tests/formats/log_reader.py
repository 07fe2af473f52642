"""A reader of file logs, written from docs/log-format.md alone, in Python's standard library."""
import collections
import os
import re
import struct

BLOCK, SECTOR = 4096, 512
ZEROS = bytes(SECTOR)
VERSION = 1
GROUP_BLOCKS_MAX = 1024
STAMP = struct.Struct("<IIQII")          # check, segment, slot, index, sectors
HEAD = struct.Struct("<4sI8sIIQQIIII")   # of a group
STATE = struct.Struct("<8sII8sQQQQIII")  # of pNN.state, up to its flags
REPAIRED = 2                             # a flag of the state

Slot = collections.namedtuple("Slot", "partition slot nonce predecessor checksum batch")
Group = collections.namedtuple("Group", "slot sectors")


class Damage(Exception):
    """The log is not what a crash can leave."""


class NewerLog(Exception):
    """It is of a format version that this reader does not know."""


def crc_table():
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82f63b78 if byte & 1 else 0)
        yield byte


TABLE = tuple(crc_table())


def crc32c(seed, data):
    crc = seed ^ 0xffffffff
    table = TABLE
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 255]
    return crc ^ 0xffffffff


def insist(condition, place):
    if not condition:
        raise Damage(place)


def read_file(path, offset, count):
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(count)


def open_sealed(sector, magic, place):
    """Head and foot of a sector that is the same in every version."""
    insist(len(sector) == SECTOR and sector[:8] == magic, place)
    insist(struct.unpack_from("<I", sector, 508)[0] == crc32c(0, sector[:508]), place)
    if struct.unpack_from("<I", sector, 8)[0] > VERSION:
        raise NewerLog(place)


class Log:
    """A directory. `torn`: a group at the end of a partition is there in part."""

    def __init__(self, directory):
        self.directory, self.torn = directory, False
        home = read_file(os.path.join(directory, "home"), 0, SECTOR)
        open_sealed(home, b"ETXHOME\n", "home")
        self.partitions, self.home_id, self.size = struct.unpack_from("<I8sQ", home, 12)

    def slots(self):
        """Every Slot from each partition's mark on."""
        for partition in range(self.partitions):
            yield from Partition(self, partition).slots()


class Segment:
    """A file of a partition; `first` is the slot at which it begins, None if it does not."""

    def __init__(self, partition, name, number):
        self.path = os.path.join(partition.log.directory, name)
        self.number, self.seed, self.log = number, partition.seed, partition.log
        insist(os.path.getsize(self.path) == self.log.size, self.path)
        header = read_file(self.path, 0, SECTOR)
        open_sealed(header, b"ETXSEG\n\0", self.path)
        told = struct.unpack_from("<I8sQII", header, 12)
        insist(told == (self.log.partitions, self.log.home_id, self.log.size, partition.number,
                        number), self.path)
        self.first = None

    def stamp(self, sector):
        """A sound sector's stamp; None where it is empty; damage is neither."""
        if sector == ZEROS:
            return None
        insist(len(sector) == SECTOR, self.path)
        stamp = STAMP.unpack_from(sector)
        insist(stamp[0] == crc32c(self.seed, sector[4:]) and stamp[1] <= self.number, self.path)
        return stamp if stamp[1] == self.number else None

    def group(self, offset):
        """The Group that stands there whole, or None."""
        sector = read_file(self.path, offset, SECTOR)
        try:
            stamp = self.stamp(sector)
            if stamp is None or stamp[4] % 8 != 0 or not 8 <= stamp[4] <= GROUP_BLOCKS_MAX * 8:
                return None
            data = read_file(self.path, offset, stamp[4] * SECTOR)
            sectors = [data[at:at + SECTOR] for at in range(0, len(data), SECTOR)]
            wanted = [(self.number, stamp[2], index, stamp[4]) for index in range(stamp[4])]
            whole = [found and found[1:] for found in map(self.stamp, sectors)] == wanted
        except Damage:
            return None
        return Group(stamp[2], sectors) if whole else None


class Partition:
    """One partition, read step by step as docs/log-format.md says."""

    def __init__(self, log, number):
        self.log, self.number = log, number
        self.seed = crc32c(0, log.home_id + struct.pack("<I", number))
        self.read_state()
        pattern = re.compile(r"p%02d-(\d{8,})\.seg" % number)
        found = [pattern.fullmatch(name) for name in os.listdir(log.directory)]
        self.segments = [Segment(self, match.group(0), int(match.group(1)))
                         for match in found if match]
        self.segments.sort(key=lambda segment: segment.number)
        for segment in self.segments:
            group = segment.group(BLOCK)
            segment.first = group.slot if group else None

    def read_state(self):
        path = os.path.join(self.log.directory, f"p{self.number:02d}.state")
        copies = []
        for block in (0, 1):
            sector = read_file(path, block * BLOCK, SECTOR)
            open_sealed(sector, b"ETXMARK\n", path)
            state = STATE.unpack_from(sector)
            insist(state[2:4] == (self.number, self.log.home_id) and state[4] % 2 == block, path)
            copies.append(state)
        newest = max(copies, key=lambda state: state[4])
        self.mark, self.settled, self.flags = newest[5], newest[6], newest[10]
        self.settled_checksum = newest[8]
        self.path = path

    def counting(self):
        """(segment, its limit) for those that count, in their order."""
        begun = [segment for segment in self.segments if segment.first is not None]
        for place, segment in enumerate(begun):
            limit = min((later.first for later in begun[place + 1:]), default=1 << 64)
            if segment.first < limit:
                yield segment, limit

    def open_group(self, segment, group):
        """The Slot that a whole group holds, or None if head or checksum do not agree."""
        bodies = b"".join(sector[STAMP.size:] for sector in group.sectors)
        (magic, version, home_id, partition, length, slot, nonce, predecessor, checksum, number,
         zero) = HEAD.unpack_from(bodies)
        if version > VERSION:
            raise NewerLog(segment.path)
        blocks = -(-(HEAD.size + length) // (BLOCK // SECTOR * (SECTOR - STAMP.size)))
        if ((magic, home_id, partition, slot, number, zero) !=
                (b"ETXG", self.log.home_id, self.number, group.slot, segment.number, 0) or
                length == 0 or blocks * BLOCK != len(group.sectors) * SECTOR):
            return None
        batch = bodies[HEAD.size:HEAD.size + length]
        counted = struct.pack("<IQQI", partition, slot, nonce, predecessor) + batch
        if checksum != crc32c(0, counted):
            return None
        return Slot(partition, slot, nonce, predecessor, checksum, batch)

    def slots(self):
        counting = list(self.counting())
        last, end = None, BLOCK
        if counting:
            insist(counting[0][0].first <= self.mark, self.path)
            numbers = [segment.number for segment in self.segments
                       if counting[0][0].number <= segment.number <= counting[-1][0].number]
            insist(numbers == list(range(numbers[0], numbers[-1] + 1)), self.path)
        for segment, limit in counting:
            end, wanted = BLOCK, segment.first
            while wanted < limit:
                group = segment.group(end)
                slot = group and group.slot == wanted and self.open_group(segment, group)
                if not slot or (last and (last.slot + 1, last.checksum) !=
                                (slot.slot, slot.predecessor)):
                    break
                last, wanted, end = slot, wanted + 1, end + len(group.sectors) * SECTOR
                if slot.slot + 1 == self.settled:
                    insist(slot.checksum == self.settled_checksum, segment.path)
                if slot.slot >= self.mark:
                    yield slot
            insist(limit in (wanted, 1 << 64), segment.path)
        self.check_end(counting, last, end)

    def check_end(self, counting, last, end):
        """Behind the last group there is nothing, or what is left of one torn group."""
        following = last.slot + 1 if last else self.mark
        if last:
            insist(following >= max(self.settled, self.mark), self.path)
            self.check_rest(counting[-1][0], end, [following])
        else:
            made_by_repair = self.flags & REPAIRED and self.settled <= self.mark
            begins_anew = (self.mark, self.settled) == (0, 0) and any(
                segment.number == 1 for segment in self.segments)
            insist(made_by_repair or begins_anew, self.path)
        for segment in self.segments:
            if not counting or segment.number > counting[-1][0].number:
                self.check_rest(segment, BLOCK, range(following - 2, following + 1))

    def check_rest(self, segment, offset, slots):
        largest = min(GROUP_BLOCKS_MAX * BLOCK, self.log.size - BLOCK)
        data = read_file(segment.path, offset, largest + BLOCK)
        torn = set()
        count = 0
        for index in range(len(data) // SECTOR):
            stamp = segment.stamp(data[index * SECTOR:(index + 1) * SECTOR])
            if stamp:
                torn.add((stamp[2], stamp[4]))
                count += 1
                insist(stamp[2] in slots and stamp[3] == index and len(torn) == 1, segment.path)
        if torn:
            insist(count < torn.pop()[1], segment.path)
            self.log.torn = True
