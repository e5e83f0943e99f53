"""Clients on the real host of ports that a run has published."""
import errno
import socket
import sys

tcp, udp, closed = map(int, sys.argv[1:])

# By the gateway's address, and with their own ports.
with socket.create_connection(("127.0.0.1", tcp)) as sock:
    own = sock.getsockname()[1]
    address, port = sock.makefile().read().split()
assert address.endswith(".2") and int(port) == own, (address, port, own)

clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(20)]
for n, sock in enumerate(clients):
    sock.settimeout(20)
    sock.connect(("127.0.0.1", udp))
    sock.send(b"client%d" % n)
for n, sock in enumerate(clients):
    name, address, port = sock.recv(99).decode().split()
    assert name == f"client{n}", name
    assert int(port) == sock.getsockname()[1], port

# Nobody listens inside: a reset, since the real host has accepted.
with socket.create_connection(("127.0.0.1", closed)) as sock:
    sock.settimeout(20)
    try:
        sock.recv(1)
    except ConnectionResetError as error:
        assert error.errno == errno.ECONNRESET
    else:
        raise AssertionError("no reset")
print("all of it")
