"""Addresses that mean something on one link only, and the interface that they bind a socket to; fe80::1 is on lo."""
import socket

A = socket.AF_INET6
SO_BINDTOIFINDEX = 62
ECHO = b"\x80\0\0\0\0\0\0\0"


def tried(what, call):
    try:
        print(what, call())
    except OSError as error:
        print(what, error)


def device(s):
    return s.getsockopt(socket.SOL_SOCKET, SO_BINDTOIFINDEX)


def fresh(kind, protocol=0, on=None):
    s = socket.socket(A, kind, protocol)
    s.settimeout(5)
    if on:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, on)
    return s


for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    stream = kind == socket.SOCK_STREAM
    print(kind.name)
    s, wild = fresh(kind), fresh(kind)
    tried("bind without a scope", lambda: s.bind(("fe80::1", 7000)))
    tried("bind with one that is not there", lambda: s.bind(("fe80::1", 7000, 0, 99)))
    tried("bind", lambda: s.bind(("fe80::1", 7000, 0, 1)))
    print(s.getsockname(), device(s))
    wild.bind(("::", 7002))
    for server, port in ((s, 7000), (wild, 7002)):
        if stream:
            server.listen()
        tried("connect without a scope", lambda: fresh(kind).connect(("fe80::1", port)))
        c = fresh(kind)
        tried("connect", lambda: c.connect(("fe80::1", port, 0, 1)))
        print(c.getsockname()[::3], c.getpeername(), device(c))
        if stream:
            a, peer = server.accept()
            print("accept", peer[::3], a.getsockname(), a.getpeername()[::3], device(a), device(server))
        else:
            c.send(b"x")
            print("recvfrom", server.recvfrom(9)[1][::3])
        c = fresh(kind, on=b"lo")
        tried("connect, bound to a device", lambda: c.connect(("fe80::1", port)))
        print(c.getpeername(), device(c))
        c = fresh(kind, on=b"lo")
        tried("connect, bound to another", lambda: c.connect(("fe80::1", port, 0, 7)))
        c = fresh(kind)
        tried("connect by one that is not there", lambda: c.connect(("fe80::1", port, 0, 7)))
        print(device(c))
    if stream:
        continue
    c = fresh(kind)
    for to in (("fe80::1", 7002), ("fe80::1", 7002, 0, 1), ("fe80::1", 7002, 0, 9)):
        tried(f"sendto {to}", lambda: c.sendto(b"a", to))
    for _ in range(2):
        print("recvfrom", wild.recvfrom(9)[1][::3])
    for to in (("ff02::5", 7002), ("ff02::5", 7002, 0, 1), ("ff05::5", 7002, 0, 1), ("::1", 7002, 0, 1)):
        c = fresh(kind)
        tried(f"connect {to}", lambda: c.connect(to))
        print(device(c))
    c = fresh(kind)
    c.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, 1)
    tried("connect to a group by IPV6_MULTICAST_IF", lambda: c.connect(("ff02::5", 7002)))
    print(device(c), c.getpeername())
    tried("bind to a group", lambda: c.bind(("ff02::5", 7009, 0, 1)))
    c = fresh(kind)
    tried("bind to a group", lambda: c.bind(("ff02::5", 7009, 0, 1)))
    print(device(c), c.getsockname())

print("SOCK_RAW")
r, q = (fresh(socket.SOCK_RAW, socket.IPPROTO_ICMPV6) for _ in range(2))
tried("bind without a scope", lambda: r.bind(("fe80::1", 0)))
tried("bind", lambda: r.bind(("fe80::1", 0, 0, 1)))
print(device(r), r.getsockname())
tried("sendto", lambda: q.sendto(ECHO, ("fe80::1", 0, 0, 1)))
print("recvfrom", r.recvfrom(99)[1][::3])
tried("connect", lambda: q.connect(("fe80::1", 0, 0, 1)))
print(device(q), q.getpeername())
tried("connect without a scope", lambda: fresh(socket.SOCK_RAW, socket.IPPROTO_ICMPV6).connect(("fe80::1", 0)))
