"""Punches a hole through two translations: `punch.py meeting` on a host that both reach, `punch.py NAME [tcp]` on the two."""

import socket
import sys
import threading
import time

PORT = 7000


def text(addr):
    return "%s:%d" % addr


def address(text):
    host, port = text.split(":")
    return (host, int(port))


def introduce(listener):
    """Tells each of two connections where it and the other one come from."""
    pair = [listener.accept() for _ in range(2)]
    for (connection, own), (_, other) in zip(pair, reversed(pair)):
        connection.sendall(f"{text(own)} {text(other)}".encode())
        connection.close()


def meeting():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("0.0.0.0", PORT))
    listener = socket.create_server(("0.0.0.0", PORT))
    threading.Thread(target=introduce, args=(listener,), daemon=True).start()
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
                peer = address(others[0])
        elif addr == peer:
            if not heard:
                print("heard from", text(addr))
            heard = True
            if data == b"heard":
                sock.sendto(b"heard", peer)
                return 0
    print("nothing heard")
    return 1


def from_one_port(port=0):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("0.0.0.0", port))
    sock.settimeout(5)
    return sock


def tcp_peer():
    """Simultaneous open (RFC 9293, 3.5): both connect to each other, from the port that the meeting was spoken to from."""
    sock = from_one_port()
    port = sock.getsockname()[1]
    sock.connect((socket.gethostbyname("meeting"), PORT))
    seen, other = sock.recv(100).decode().split()
    print("TCP seen as", seen, "and the other one as", other)
    end = time.monotonic() + 10
    while time.monotonic() < end:
        sock = from_one_port(port)
        try:
            sock.connect(address(other))
        except OSError as error:
            # Who comes first is refused by the other's router, which has not been passed yet.
            print(error)
            time.sleep(0.1)
            continue
        sock.sendall(sys.argv[1].encode())
        print("TCP heard", sock.recv(100).decode(), "from", text(sock.getpeername()))
        return 0
    return 1


if sys.argv[1] == "meeting":
    meeting()
sys.exit(tcp_peer() if sys.argv[2:] == ["tcp"] else peer())
