"""TCP and ICMP over IPv4, by hand: what the peer at the other end of the device writes and reads."""

import socket
import struct

HERE, THERE = "10.200.0.1", "10.200.0.2"
FLAGS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16, "U": 32, "E": 64, "W": 128}
TCP, ICMP = 6, 1


def checksum(data):
    """RFC 1071."""
    if len(data) & 1:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip(protocol, body, source=THERE, target=HERE, tos=0, length=None):
    """A whole packet, or with `length` the header of one that was as long as that."""
    total = 20 + len(body) if length is None else length
    source, target = socket.inet_aton(source), socket.inet_aton(target)
    head = struct.pack("!BBHHHBBH4s4s", 0x45, tos, total, 1, 0x4000, 64, protocol, 0, source, target)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def options(wanted):
    """`(("mss", 1000), ("ts", (1, 0)), ...)` as the header has them."""
    out = b""
    for kind, value in wanted:
        if kind == "mss":
            out += struct.pack("!BBH", 2, 4, value)
        elif kind == "ws":
            out += struct.pack("!BBBB", 1, 3, 3, value)
        elif kind == "sackok":
            out += b"\1\1\4\2"
        elif kind == "ts":
            out += struct.pack("!BBBBII", 1, 1, 8, 10, value[0] & 0xFFFFFFFF, value[1] & 0xFFFFFFFF)
        elif kind == "sack":
            out += struct.pack("!BBBB", 1, 1, 5, 2 + 8 * len(value))
            out += b"".join(struct.pack("!II", left & 0xFFFFFFFF, right & 0xFFFFFFFF) for left, right in value)
        elif kind == "fo":
            out += struct.pack("!BB", 34, 2 + len(value)) + value
        else:
            raise ValueError(kind)
    return out + b"\1" * (-len(out) % 4)


def segment(ports, seq, ack, flags, window, opts, data, urgent=0, bad=False):
    """A segment from the peer; `bad`: with a wrong checksum."""
    bits = sum(FLAGS[flag] for flag in flags)
    offset = (5 + len(opts) // 4) << 4
    head = struct.pack("!HHIIBBHHH", *ports, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, offset, bits, window, 0, urgent)
    whole = head + opts + data
    pseudo = socket.inet_aton(THERE) + socket.inet_aton(HERE) + struct.pack("!BBH", 0, TCP, len(whole))
    right = checksum(pseudo + whole) ^ (0x55 if bad else 0)
    return whole[:16] + struct.pack("!H", right) + whole[18:]


def icmp_error(kind, code, ports, seq, mtu):
    """An ICMP error about a segment of the host's."""
    quoted = struct.pack("!HHIIBBHHH", *ports, seq & 0xFFFFFFFF, 0, 0x50, 16, 0, 0, 0)
    body = struct.pack("!BBHHH", kind, code, 0, 0, mtu) + ip(TCP, quoted, HERE, THERE, length=1500)
    return body[:2] + struct.pack("!H", checksum(body)) + body[4:]


def signed(value):
    """The distance of two sequence numbers."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value > 1 << 31 else value


class Segment:
    """A segment of the host's, taken apart."""

    def __init__(self, packet):
        start = (packet[0] & 15) * 4
        self.tos = packet[1]
        tcp = packet[start : struct.unpack("!H", packet[2:4])[0]]
        fields = struct.unpack("!HHIIBBHHH", tcp[:20])
        self.source, self.target, self.seq, self.ack, self.offset, self.bits, self.window, _, self.urgent = fields
        end = (self.offset >> 4) * 4
        self.data = tcp[end:]
        self.options = list(self.split(tcp[20:end]))

    @staticmethod
    def split(raw):
        at = 0
        while at < len(raw) and raw[at]:
            if raw[at] == 1:
                at += 1
                continue
            yield raw[at], raw[at + 2 : at + raw[at + 1]]
            at += raw[at + 1]

    def has(self, flag):
        return bool(self.bits & FLAGS[flag])

    def flags(self):
        return "".join(flag for flag in "SFRPAUEW" if self.has(flag)) + ("N" if self.offset & 1 else "")
