"""Urgent data."""

from peer import *


@script
def urg_recv(peer):
    sock, end = peer.server()
    peer.inject(end, "PAU", 1, 1, data=10, urg=5)
    peer.run(60)
    peer.poll(sock)
    peer.call("oob", sock.recv, 1, socket.MSG_OOB)
    peer.call("r", sock.recv, 100)
    peer.call("r", sock.recv, 100)
    peer.poll(sock)


@script
def urg_zero(peer):
    sock, end = peer.server()
    peer.inject(end, "PAU", 1, 1, data=10, urg=0)
    peer.run(60)
    peer.poll(sock)
    peer.call("oob", sock.recv, 1, socket.MSG_OOB)
    peer.call("r", sock.recv, 100)
    peer.call("r", sock.recv, 100)


@script
def urg_ahead(peer):
    sock, end = peer.server()
    peer.inject(end, "AU", 1, 1, urg=20)
    peer.run(30)
    peer.poll(sock)
    peer.call("oob", sock.recv, 1, socket.MSG_OOB)
    peer.inject(end, "PA", 1, 1, data=30)
    peer.run(60)
    peer.poll(sock)
    peer.call("oob", sock.recv, 1, socket.MSG_OOB)
    peer.call("r", sock.recv, 100)
    peer.call("r", sock.recv, 100)


@script
def urg_stdurg(peer):
    sysctl("ipv4.tcp_stdurg", 1)
    sock, end = peer.server()
    peer.inject(end, "PAU", 1, 1, data=10, urg=5)
    peer.run(60)
    peer.poll(sock)
    peer.call("oob", sock.recv, 1, socket.MSG_OOB)
    peer.call("r", sock.recv, 100)
    peer.call("r", sock.recv, 100)


@script
def urg_send(peer):
    sock, end = peer.server()
    peer.call("oob", sock.send, b"abc", socket.MSG_OOB)
    peer.run(10)
    peer.call("s", sock.send, b"y" * 10)
    peer.run(5)
    peer.inject(end, "A", 1, 14)
    peer.run(20)
    peer.call("s", sock.send, b"y" * 10)
    peer.run(20)


@script
def urg_two(peer):
    sock, end = peer.server()
    peer.inject(end, "PAU", 1, 1, data=10, urg=3)
    peer.run(10)
    peer.inject(end, "PAU", 11, 1, data=10, urg=3)
    peer.run(60)
    peer.poll(sock)
    peer.call("oob", sock.recv, 1, socket.MSG_OOB)
    peer.call("r", sock.recv, 100)
    peer.call("r", sock.recv, 100)
    peer.call("r", sock.recv, 100)


@script
def urg_inline(peer):
    sock, end = peer.server()
    sock.setsockopt(SOCKET, socket.SO_OOBINLINE, 1)
    peer.inject(end, "PAU", 1, 1, data=10, urg=5)
    peer.run(60)
    peer.poll(sock)
    peer.call("oob", sock.recv, 1, socket.MSG_OOB)
    peer.call("r", sock.recv, 100)
    peer.call("r", sock.recv, 100)
    peer.poll(sock)


@script
def urg_fin(peer):
    sock, end = peer.server()
    peer.inject(end, "FPAU", 1, 1, data=3, urg=9)
    peer.run(60)
    peer.poll(sock)
    peer.call("oob", sock.recv, 1, socket.MSG_OOB)
    peer.call("r", sock.recv, 100)
    peer.call("r", sock.recv, 100)


if __name__ == "__main__":
    main()
