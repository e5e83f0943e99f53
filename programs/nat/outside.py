"""The outside: servers on the host's own loopback, at ports that it writes into a file."""
import os
import socket
import struct
import sys
import threading


def forever(work, *args):
    threading.Thread(target=work, args=args, daemon=True).start()


def serve(listener, work):
    while True:
        connection, _ = listener.accept()
        forever(work, connection)


def echo(connection):
    """All of it comes back, after its end."""
    with connection:
        data = b"".join(iter(lambda: connection.recv(1 << 16), b""))
        connection.sendall(data)


def reset(connection):
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def datagrams(sock):
    while True:
        data, peer = sock.recvfrom(1 << 16)
        sock.sendto(data, peer)


ports = {}
for family, address, suffix in (socket.AF_INET, "127.0.0.1", "4"), (socket.AF_INET6, "::1", "6"):
    for name, work in ("echo", echo), ("reset", reset):
        listener = socket.create_server((address, 0), family=family)
        ports[name + suffix] = listener.getsockname()[1]
        forever(serve, listener, work)
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind((address, 0))
    ports["udp" + suffix] = sock.getsockname()[1]
    forever(datagrams, sock)
    # Bound, so that nobody else gets it, and nobody listens.
    held = socket.socket(family)
    held.bind((address, 0))
    ports["closed" + suffix] = held.getsockname()[1]
    ports.setdefault("held", []).append(held.detach())

with open(sys.argv[1] + ".new", "w") as file:
    for name, port in ports.items():
        if name != "held":
            print(f"{name}={port}", file=file)
os.rename(sys.argv[1] + ".new", sys.argv[1])
threading.Event().wait()
