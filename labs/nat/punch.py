"""Punches a hole through two translations: `punch.py meeting` on a host that both reach, `punch.py NAME` on the two."""

import socket
import sys
import time

PORT = 7000


def text(addr):
    return "%s:%d" % addr


def meeting():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("0.0.0.0", PORT))
    print("listening")
    known = {}
    while True:
        name, addr = sock.recvfrom(100)
        known[name] = addr
        others = [where for who, where in known.items() if who != name]
        sock.sendto(" ".join(map(text, [addr, *others])).encode(), addr)


def peer():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(0.1)
    server = (socket.gethostbyname("meeting"), PORT)
    peer, heard = None, False
    end = time.monotonic() + 15
    while time.monotonic() < end:
        if peer is None:
            sock.sendto(sys.argv[1].encode(), server)
        else:
            # Once the other one has been heard it still has to hear.
            sock.sendto(b"heard" if heard else b"hello", peer)
        try:
            data, addr = sock.recvfrom(100)
        except TimeoutError:
            continue
        if addr == server:
            seen, *others = data.decode().split()
            if others and peer is None:
                print("seen as", seen, "and the other one as", others[0])
                host, port = others[0].split(":")
                peer = (host, int(port))
        elif addr == peer:
            if not heard:
                print("heard from", text(addr))
            heard = True
            if data == b"heard":
                sock.sendto(b"heard", peer)
                return 0
    print("nothing heard")
    return 1


sys.exit(meeting() if sys.argv[1] == "meeting" else peer())
