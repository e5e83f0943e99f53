"""The other end of a TUN device: scripts send segments to the TCP below them, whichever it is, make calls, and write down all
that they see. Times are in milliseconds; sequence numbers count from each side's own."""

import errno
import fcntl
import json
import os
import select
import socket
import struct
import sys
import threading
import time

import packets
from packets import HERE, THERE, TCP

SOCKET = socket.SOL_SOCKET
# Near the end of the numbers, so that they wrap.
ISN = 0xFFFF_0000
MODERN = (("mss", 1000), ("sackok", 0), ("ws", 7))
SCRIPTS = {}
# Of struct tcp_info: where a field is and of what kind.
INFO = {
    "state": (0, "B"), "ca_state": (1, "B"), "retransmits": (2, "B"), "probes": (3, "B"), "backoff": (4, "B"),
    "options": (5, "B"), "scale": (6, "B"), "rto": (8, "I"), "ato": (12, "I"), "snd_mss": (16, "I"), "rcv_mss": (20, "I"),
    "unacked": (24, "I"), "sacked": (28, "I"), "lost": (32, "I"), "retrans": (36, "I"), "pmtu": (60, "I"), "rcv_ssthresh": (64, "I"),
    "rtt": (68, "I"), "rttvar": (72, "I"), "ssthresh": (76, "I"), "cwnd": (80, "I"), "advmss": (84, "I"), "reordering": (88, "I"),
    "rcv_space": (96, "I"), "total_retrans": (100, "I"), "bytes_acked": (120, "Q"), "bytes_received": (128, "Q"),
    "segs_out": (136, "I"), "segs_in": (140, "I"), "notsent": (144, "I"), "data_segs_in": (152, "I"), "data_segs_out": (156, "I"),
    "busy": (168, "Q"), "rwnd_limited": (176, "Q"), "sndbuf_limited": (184, "Q"), "delivered": (192, "I"), "delivered_ce": (196, "I"),
    "bytes_sent": (200, "Q"), "bytes_retrans": (208, "Q"), "dsack_dups": (216, "I"), "reord_seen": (220, "I"),
    "rcv_ooopack": (224, "I"), "snd_wnd": (228, "I"), "rcv_wnd": (232, "I"),
    "total_rto": (240, "H"), "total_rto_rec": (242, "H"), "total_rto_time": (244, "I"),
}  # fmt: skip


def script(function):
    """Marks what is run in a network of its own."""
    SCRIPTS[function.__name__] = function
    return function


def sysctl(name, value=None):
    path = "/proc/sys/net/" + name.replace(".", "/")
    with open(path, "r" if value is None else "w") as file:
        return file.read().strip() if value is None else file.write(f"{value}\n")


class End:
    """A connection as the peer sees it."""

    def __init__(self, port, peer_port):
        self.port, self.peer_port = port, peer_port
        self.isn = None
        self.stamp = 0
        self.cookie = b""


class Peer:
    def __init__(self, mtu=1500):
        self.device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.device, 0x400454CA, struct.pack("16sH22x", b"tun0", 0x1001))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, 0x8922, struct.pack("16si20x", b"tun0", mtu))
            for request, address in ((0x8916, HERE), (0x891C, "255.255.255.0")):
                bits = socket.inet_aton(address)
                fcntl.ioctl(control, request, struct.pack("16sHH4s8x8x", b"tun0", socket.AF_INET, 0, bits))
            for name in (b"tun0", b"lo"):
                fcntl.ioctl(control, 0x8914, struct.pack("16sh22x", name, 0x41))
        self.seen = []
        self.ends = {}
        self.last = None
        self.keep = []
        self.next_port = 4321
        self.show_win = False
        self.lock = threading.RLock()
        self.zero()

    def zero(self):
        self.start = time.monotonic()

    def log(self, what):
        self.seen.append(((time.monotonic() - self.start) * 1000, what))

    # Packets.

    def inject(self, end, flags, seq=0, ack=None, win=32792, opts=(), data=b"", urg=0, tos=0, bad=False):
        """`data`: bytes, or how many. A timestamp's echo of "=" is the last value that the host sent."""
        self.drain()
        if isinstance(data, int):
            data = bytes((seq + i) & 0xFF for i in range(data))
        base = end.isn or 0
        whole = []
        for kind, value in opts:
            if kind == "sack":
                value = [(base + left, base + right) for left, right in value]
            if kind == "ts" and value[1] == "=":
                value = (value[0], end.stamp)
            whole.append((kind, value))
        ports = (end.peer_port, end.port)
        ack = 0 if ack is None else base + ack
        body = packets.segment(ports, ISN + seq, ack, flags, win, packets.options(whole), data, urg, bad)
        os.write(self.device, packets.ip(TCP, body, tos=tos))

    def icmp(self, end, kind, code, seq, mtu=0):
        """An ICMP error about the segment with that number."""
        body = packets.icmp_error(kind, code, (end.port, end.peer_port), end.isn + seq, mtu)
        os.write(self.device, packets.ip(packets.ICMP, body))

    def read(self, packet):
        if packet[0] >> 4 != 4:
            return
        if packet[9] != TCP:
            start = (packet[0] & 15) * 4
            if packet[9] == packets.ICMP:
                self.log(f"icmp {packet[start]}/{packet[start + 1]}")
            return
        if socket.inet_ntoa(packet[16:20]) != THERE:
            return
        segment = packets.Segment(packet)
        key = (segment.source, segment.target)
        if key not in self.ends:
            self.last = self.ends[key] = End(*key)
        end = self.ends[key]
        if end.isn is None or segment.has("S"):
            end.isn = 0 if segment.has("R") else segment.seq
        self.log(self.describe(end, segment))

    def describe(self, end, segment):
        names = []
        for kind, value in segment.options:
            if kind == 2:
                names.append("mss %d" % struct.unpack("!H", value))
            elif kind == 3:
                names.append("ws %d" % value[0])
            elif kind == 4:
                names.append("sackok")
            elif kind == 8:
                end.stamp, echo = struct.unpack("!II", value)
                names.append("ts ecr %d" % echo)
            elif kind == 5:
                edges = [packets.signed(x - ISN) for x in struct.unpack(f"!{len(value) // 4}I", value)]
                names.append("sack " + ",".join("%d:%d" % pair for pair in zip(edges[::2], edges[1::2])))
            elif kind == 34:
                end.cookie = value
                names.append("fo %d" % len(value))
            else:
                names.append("option %d" % kind)
        seq = packets.signed(segment.seq - end.isn)
        ack = packets.signed(segment.ack - ISN) if segment.has("A") else 0
        text = f"> {segment.flags()} {seq}:{seq + len(segment.data)} ack {ack}"
        if self.show_win or (segment.window == 0 and not segment.has("R")):
            text += f" win {segment.window}"
        if segment.has("U"):
            text += f" urg {segment.urgent}"
        if names:
            text += f" <{','.join(names)}>"
        if segment.tos & 3:
            text += f" tos {segment.tos}"
        if len(set(map(id, self.ends.values()))) > 1:
            text = f"[{segment.target}] {text}"
        return text

    def drain(self):
        with self.lock:
            while True:
                try:
                    packet = os.read(self.device, 70000)
                except BlockingIOError:
                    return
                self.read(packet)

    def run(self, ms):
        """Until that much time has passed, what comes is written down."""
        end = time.monotonic() + ms / 1000
        poll = select.poll()
        poll.register(self.device, select.POLLIN)
        while True:
            self.drain()
            left = end - time.monotonic()
            if left <= 0:
                return
            poll.poll(left * 1000)

    # Calls.

    def call(self, name, function, *args):
        result = self.outcome(function, *args)
        if isinstance(result, socket.socket):
            self.keep.append(result)
            self.log(f"{name} = fd")
        else:
            self.log(f"{name} = {result}")
        self.drain()
        return result

    @staticmethod
    def outcome(function, *args):
        try:
            result = function(*args)
        except OSError as error:
            return errno.errorcode.get(error.errno, str(error.errno))
        return f"{len(result)} bytes" if isinstance(result, bytes) else result

    def in_background(self, name, function, *args):
        def work():
            self.log(f"{name} = {self.outcome(function, *args)}")

        threading.Thread(target=work, daemon=True).start()

    def poll(self, sock):
        poll = select.poll()
        poll.register(sock.fileno(), 0x2007)
        found = poll.poll(0)
        bits = found[0][1] if found else 0
        names = ((0x1, "IN"), (0x2, "PRI"), (0x4, "OUT"), (0x8, "ERR"), (0x10, "HUP"), (0x2000, "RDHUP"))
        self.log("poll " + "|".join(name for bit, name in names if bits & bit))

    def so_error(self, sock):
        error = sock.getsockopt(SOCKET, socket.SO_ERROR)
        self.log(f"SO_ERROR {errno.errorcode.get(error, error)}")

    def wait_error(self, sock, ms):
        end = time.monotonic() + ms / 1000
        poll = select.poll()
        poll.register(self.device, select.POLLIN)
        poll.register(sock.fileno(), select.POLLERR)
        while True:
            self.drain()
            left = end - time.monotonic()
            if left <= 0:
                self.log("alive")
                return
            if any(fd == sock.fileno() for fd, _ in poll.poll(left * 1000)):
                self.so_error(sock)
                return

    def info(self, sock, *names):
        raw = sock.getsockopt(TCP, socket.TCP_INFO, 256)
        self.drain()
        raw += bytes(300 - len(raw))
        self.log(
            "info " + " ".join("%s %d" % (n, struct.unpack_from("=" + INFO[n][1], raw, INFO[n][0])[0]) for n in names)
        )

    # Connections.

    def listener(self, port=8080, backlog=5, before=None):
        sock = socket.socket()
        sock.setsockopt(SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(TCP, socket.TCP_CONGESTION, b"cubic")
        if before:
            before(sock)
        sock.bind(("0.0.0.0", port))
        sock.listen(backlog)
        self.keep.append(sock)
        return sock

    def new_end(self, port=8080):
        end = End(port, self.next_port)
        self.next_port += 1
        self.ends[(end.port, end.peer_port)] = end
        return end

    def server(self, opts=MODERN, win=32792, before=None, ackwin=257, after=5, listener=None):
        """A passive connection, accepted; the handshake takes `after`."""
        listener = listener or self.listener(before=before)
        end = self.new_end()
        stamps = (("ts", (2, "=")),) if any(kind == "ts" for kind, _ in opts) else ()
        self.inject(end, "S", 0, None, win, opts)
        self.run(after)
        self.inject(end, "A", 1, 1, ackwin, stamps)
        self.run(2)
        listener.setblocking(True)
        sock, _ = listener.accept()
        sock.setblocking(False)
        self.keep.append(sock)
        self.l = listener
        self.zero()
        return sock, end

    def client(self, opts=MODERN, win=32792, before=None, after=5):
        """An active one."""
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(TCP, socket.TCP_CONGESTION, b"cubic")
        self.keep.append(sock)
        if before:
            before(sock)
        sock.connect_ex((THERE, 9000))
        self.run(after)
        end = self.last
        opts = [(kind, (1, "=") if kind == "ts" else value) for kind, value in opts]
        self.inject(end, "SA", 0, 1, win, opts)
        self.run(3)
        self.zero()
        return sock, end


def main():
    peer = Peer()
    SCRIPTS[sys.argv[1]](peer)
    peer.drain()
    print(json.dumps(peer.seen), flush=True)
    # Threads may be in a call that does not end.
    os._exit(0)
