"""Whether 10.6.0.1 or fd06::1 can be reached with a mark, and from which address."""
import socket
import sys

family, kind, mark = getattr(socket, sys.argv[1]), getattr(socket, sys.argv[2]), int(sys.argv[3])
to = ("10.6.0.1" if family == socket.AF_INET else "fd06::1", 80)
SO_MARK = 36


def tried(what, call):
    try:
        print(what, call())
    except OSError as error:
        print(what, error)


def fresh():
    s = socket.socket(family, kind)
    s.settimeout(1)
    s.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
    return s


if kind == socket.SOCK_STREAM:
    tried("connect", lambda: fresh().connect(to))
else:
    s = fresh()
    tried("connect", lambda: s.connect(to) or s.getsockname()[0])
    tried("sendto", lambda: fresh().sendto(b"x", to))
    other = [(socket.SOL_SOCKET, SO_MARK, (7).to_bytes(4, "little"))]
    tried("sendmsg with mark 7", lambda: fresh().sendmsg([b"x"], other, 0, to))
