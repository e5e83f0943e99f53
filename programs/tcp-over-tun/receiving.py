"""Reassembly, windows, closing and lingering."""

import ctypes

from peer import *


def server(peer, **wanted):
    return peer.server(after=20, **wanted)


@script
def ooo(peer):
    sock, end = server(peer)
    for q in (1001, 3001, 5001, 7001, 9001):
        peer.inject(end, "PA", q, 1, data=1000)
        peer.run(3)
    peer.info(sock, "rcv_ooopack")
    peer.inject(end, "PA", 1, 1, data=1000)
    peer.run(3)
    peer.inject(end, "PA", 2001, 1, data=1000)
    peer.run(3)
    peer.inject(end, "PA", 2001, 1, data=1000)
    peer.run(3)
    peer.inject(end, "PA", 9001, 1, data=1000)
    peer.run(3)
    peer.inject(end, "PA", 4001, 1, data=5000)
    peer.run(3)
    peer.call("r", sock.recv, 100000)


@script
def ooo_overlap(peer):
    sock, end = server(peer)
    peer.inject(end, "PA", 501, 1, data=500)
    peer.run(3)
    peer.inject(end, "PA", 301, 1, data=400)
    peer.run(3)
    peer.inject(end, "PA", 901, 1, data=400)
    peer.run(3)
    peer.inject(end, "PA", 1, 1, data=1500)
    peer.run(3)
    peer.call("r", sock.recv, 100000)


@script
def ooo_fin(peer):
    sock, end = server(peer)
    peer.inject(end, "FPA", 11, 1, data=10)
    peer.run(30)
    peer.poll(sock)
    peer.inject(end, "PA", 1, 1, data=10)
    peer.run(60)
    peer.poll(sock)
    peer.call("r", sock.recv, 100)
    peer.call("r", sock.recv, 100)


@script
def rcv_zero(peer):
    peer.show_win = True
    sock, end = server(peer, before=lambda sock: sock.setsockopt(SOCKET, socket.SO_RCVBUF, 4096), opts=(("mss", 1000),))
    for i in range(12):
        peer.inject(end, "PA", 1 + i * 1000, 1, data=1000)
        peer.run(3)
    peer.run(50)
    peer.call("r", sock.recv, 500)
    peer.run(30)
    peer.call("r", sock.recv, 100000)
    peer.run(50)


@script
def rcv_low(peer):
    sock, end = server(peer)
    sock.setsockopt(SOCKET, socket.SO_RCVLOWAT, 500)
    peer.inject(end, "PA", 1, 1, data=100)
    peer.run(60)
    peer.poll(sock)
    peer.inject(end, "PA", 101, 1, data=400)
    peer.run(60)
    peer.poll(sock)


@script
def shut_rd(peer):
    sock, end = server(peer)
    sock.shutdown(socket.SHUT_RD)
    peer.inject(end, "PA", 1, 1, data=10)
    peer.run(60)
    peer.poll(sock)
    peer.call("r", sock.recv, 100)
    peer.call("r", sock.recv, 100)
    peer.inject(end, "PA", 11, 1, data=10)
    peer.run(60)
    peer.call("r", sock.recv, 100)


@script
def shut_wr(peer):
    sock, end = server(peer)
    sock.shutdown(socket.SHUT_WR)
    peer.run(20)
    peer.call("send", sock.send, b"x")
    peer.poll(sock)
    peer.inject(end, "A", 1, 2)
    peer.run(5)
    peer.inject(end, "PA", 1, 2, data=10)
    peer.run(60)
    peer.poll(sock)
    peer.call("r", sock.recv, 100)
    peer.inject(end, "FA", 11, 2)
    peer.run(30)
    peer.poll(sock)
    peer.info(sock, "state")


@script
def shut_rdwr_rst(peer):
    sock, end = server(peer)
    sock.shutdown(socket.SHUT_RDWR)
    peer.run(20)
    peer.inject(end, "PA", 1, 2, data=10)
    peer.run(30)
    peer.so_error(sock)
    peer.poll(sock)


@script
def close_unread(peer):
    sock, end = server(peer)
    peer.inject(end, "PA", 1, 1, data=10)
    peer.run(60)
    sock.close()
    peer.run(20)
    peer.inject(end, "PA", 11, 1, data=10)
    peer.run(20)


@script
def linger0(peer):
    sock, end = server(peer)
    peer.call("send", sock.send, b"x" * 10)
    sock.setsockopt(SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    peer.run(20)


@script
def linger_block(peer):
    sock, end = server(peer)
    sock.setblocking(True)
    peer.call("send", sock.send, b"x" * 10)
    sock.setsockopt(SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 1))
    peer.in_background("close", sock.close)
    peer.run(600)
    peer.inject(end, "A", 1, 12)
    peer.run(100)


@script
def disconnect(peer):
    sock, end = server(peer)
    peer.call("send", sock.send, b"x" * 10)
    peer.run(10)
    libc = ctypes.CDLL(None, use_errno=True)
    r = libc.connect(sock.fileno(), struct.pack("H14x", 0), 16)
    peer.log("disconnect %d" % r)
    peer.run(20)
    peer.poll(sock)
    peer.so_error(sock)
    peer.call("send", sock.send, b"x")


@script
def beyond(peer):
    sock = socket.socket()
    sock.setsockopt(SOCKET, socket.SO_RCVBUF, 2048)
    sock.setblocking(False)
    peer.call("connect", sock.connect, (THERE, 9000))
    peer.run(20)
    end = peer.last
    peer.inject(end, "SA", 0, 1, 32792, (("mss", 1000),))
    peer.run(10)
    peer.show_win = True
    peer.inject(end, "A", 1, 1, data=1000)
    peer.run(10)
    peer.inject(end, "A", 1001, 1, data=8000)
    peer.run(10)
    peer.call("r", sock.recv, 10000)
    peer.run(5)
    peer.inject(end, "A", 1001, 1, data=8000)
    peer.run(100)
    peer.call("r", sock.recv, 10000)


if __name__ == "__main__":
    main()
