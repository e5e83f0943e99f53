"""Talks to outside.py: every byte, every error."""
import errno
import os
import socket
import sys
import threading

ports = dict(line.strip().split("=") for line in open(sys.argv[1]))
where = {"4": (socket.AF_INET, sys.argv[2]), "6": (socket.AF_INET6, sys.argv[3])}


def to(name, suffix):
    return where[suffix][1], int(ports[name + suffix])


def fails(code, work):
    try:
        work()
    except OSError as error:
        assert error.errno == code, error
    else:
        raise AssertionError(f"no {errno.errorcode[code]}")


def connected(name, suffix):
    sock = socket.socket(where[suffix][0])
    sock.connect(to(name, suffix))
    assert sock.getpeername()[:2] == to(name, suffix)
    return sock


def there_and_back(suffix, size):
    data = os.urandom(size)
    with connected("echo", suffix) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        back = b"".join(iter(lambda: sock.recv(1 << 16), b""))
    assert back == data, len(back)


for suffix, (family, _) in where.items():
    there_and_back(suffix, 5_000_000)
    many = [threading.Thread(target=there_and_back, args=(suffix, 200_000)) for _ in range(20)]
    for thread in many:
        thread.start()
    for thread in many:
        thread.join()

    fails(errno.ECONNREFUSED, lambda: connected("closed", suffix))
    sock = connected("reset", suffix)
    sock.send(b"x")
    fails(errno.ECONNRESET, lambda: sock.recv(1))
    # Without waiting: EINPROGRESS, and the outcome in SO_ERROR.
    sock = socket.socket(family)
    sock.setblocking(False)
    assert sock.connect_ex(to("closed", suffix)) in (errno.EINPROGRESS, errno.ECONNREFUSED)

    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.settimeout(10)
    for size in 0, 1, 1400, 9000, 65_000:
        data = os.urandom(size)
        sock.sendto(data, to("udp", suffix))
        back, peer = sock.recvfrom(1 << 16)
        assert back == data and peer[:2] == to("udp", suffix), (size, len(back), peer)
    sock.connect(to("closed", suffix))
    sock.send(b"x")
    fails(errno.ECONNREFUSED, lambda: sock.recv(1))
print("all of it")
