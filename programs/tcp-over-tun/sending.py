"""Nagle, TCP_CORK, MSG_MORE, MSG_EOR, delayed acknowledgments."""

from peer import *

WINDOW = 257


def server(peer, **wanted):
    return peer.server(after=20, **wanted)


def sent(peer, n=10, **wanted):
    """A connection with a round trip of 20 ms, on which n segments have been sent for 30 ms."""
    sock, end = server(peer, **wanted)
    peer.call("send", sock.send, b"x" * 1000 * n)
    peer.run(30)
    return sock, end


@script
def nagle(peer):
    sock, end = server(peer)
    peer.call("send", sock.send, b"x" * 10)
    peer.call("send", sock.send, b"x" * 10)
    peer.call("send", sock.send, b"x" * 10)
    peer.run(20)
    peer.inject(end, "A", 1, 11, WINDOW)
    peer.run(20)
    peer.call("send", sock.send, b"x" * 1500)
    peer.run(20)
    sock.setsockopt(TCP, socket.TCP_NODELAY, 1)
    peer.run(20)
    peer.call("send", sock.send, b"x" * 10)
    peer.run(20)


@script
def cork(peer):
    sock, end = server(peer)
    sock.setsockopt(TCP, socket.TCP_CORK, 1)
    peer.call("send", sock.send, b"x" * 10)
    peer.call("send", sock.send, b"x" * 1500)
    peer.run(150)
    peer.run(150)
    peer.call("send", sock.send, b"x" * 5)
    sock.setsockopt(TCP, socket.TCP_CORK, 0)
    peer.run(20)


@script
def more(peer):
    sock, end = server(peer)
    peer.call("send", sock.send, b"x" * 10, socket.MSG_MORE)
    peer.run(50)
    peer.call("send", sock.send, b"x" * 10)
    peer.run(20)
    peer.inject(end, "A", 1, 21, WINDOW)
    peer.call("send", sock.send, b"x" * 10, socket.MSG_MORE)
    peer.run(600)


@script
def cork_nodelay(peer):
    sock, end = server(peer)
    sock.setsockopt(TCP, socket.TCP_CORK, 1)
    peer.call("send", sock.send, b"x" * 10)
    peer.run(30)
    sock.setsockopt(TCP, socket.TCP_NODELAY, 1)
    peer.run(30)
    peer.call("send", sock.send, b"x" * 10)
    peer.run(30)
    sock.setsockopt(TCP, socket.TCP_CORK, 0)
    peer.run(30)


@script
def cork_fin(peer):
    sock, end = server(peer)
    sock.setsockopt(TCP, socket.TCP_CORK, 1)
    peer.call("send", sock.send, b"x" * 10)
    peer.run(30)
    sock.shutdown(socket.SHUT_WR)
    peer.run(30)


@script
def eor(peer):
    sock, end = server(peer)
    peer.call("s", sock.send, b"x" * 400, socket.MSG_EOR)
    peer.call("s", sock.send, b"x" * 400, socket.MSG_EOR)
    peer.call("s", sock.send, b"x" * 400)
    peer.run(30)
    peer.inject(end, "A", 1, 1201, WINDOW)
    peer.run(20)
    peer.call("s", sock.send, b"x" * 1500, socket.MSG_EOR)
    peer.call("s", sock.send, b"x" * 700, socket.MSG_EOR)
    peer.run(20)


@script
def eor_nodelay(peer):
    sock, end = server(peer)
    sock.setsockopt(TCP, socket.TCP_NODELAY, 1)
    peer.call("s", sock.send, b"x" * 400, socket.MSG_EOR)
    peer.call("s", sock.send, b"x" * 400)
    peer.run(10)
    peer.run(400)


@script
def eor_cwnd(peer):
    sock, end = server(peer)
    peer.call("s", sock.send, b"x" * 10000)
    peer.call("s", sock.send, b"x" * 300, socket.MSG_EOR)
    peer.call("s", sock.send, b"x" * 300)
    peer.call("s", sock.send, b"x" * 300, socket.MSG_EOR)
    peer.run(20)
    peer.inject(end, "A", 1, 10001, WINDOW)
    peer.run(20)


@script
def eor_rtx(peer):
    sock, end = server(peer, opts=(("mss", 1000),))
    peer.call("s", sock.send, b"x" * 400, socket.MSG_EOR)
    peer.call("s", sock.send, b"x" * 400)
    peer.run(30)
    peer.run(400)


@script
def delack(peer):
    sock, end = server(peer)
    for i in range(20):
        peer.inject(end, "PA", 1 + i * 10, 1, data=10)
        peer.run(2)
    peer.run(200)
    sock.recv(1000)
    peer.inject(end, "PA", 201, 1, data=10)
    peer.run(200)
    peer.inject(end, "PA", 211, 1, data=10)
    peer.run(100)


@script
def delack_full(peer):
    sock, end = server(peer)
    for i in range(30):
        peer.inject(end, "PA", 1 + i * 1000, 1, data=1000)
        peer.run(1)
        sock.recv(100000)
    peer.run(200)


@script
def delack_pingpong(peer):
    sock, end = server(peer)
    q = 1
    for i in range(4):
        peer.inject(end, "PA", q, 1 + i * 5, data=10)
        q += 10
        peer.run(3)
        sock.recv(100)
        peer.call("send", sock.send, b"y" * 5)
        peer.run(10)
    peer.inject(end, "PA", q, 21, data=10)
    peer.run(300)


@script
def quickack(peer):
    sock, end = server(peer)
    sock.setsockopt(TCP, socket.TCP_QUICKACK, 0)
    peer.inject(end, "PA", 1, 1, data=10)
    peer.run(200)
    peer.log(str(sock.getsockopt(TCP, socket.TCP_QUICKACK)))
    peer.inject(end, "PA", 11, 1, data=10)
    peer.run(5)
    sock.setsockopt(TCP, socket.TCP_QUICKACK, 1)
    peer.run(100)
    peer.log(str(sock.getsockopt(TCP, socket.TCP_QUICKACK)))
    sock.setsockopt(TCP, socket.TCP_QUICKACK, 2)
    peer.inject(end, "PA", 21, 1, data=10)
    peer.run(100)


@script
def notsent(peer):
    sock, end = server(peer, ackwin=8)
    sock.setsockopt(TCP, socket.TCP_NOTSENT_LOWAT, 1000)
    peer.call("s", sock.send, b"x" * 3000)
    peer.poll(sock)
    peer.call("s", sock.send, b"x" * 3000)
    peer.run(10)
    peer.inject(end, "A", 1, 1025, 8)
    peer.run(10)
    peer.poll(sock)
    peer.inject(end, "A", 1, 2049, 8)
    peer.run(10)
    peer.poll(sock)
    peer.info(sock, "notsent")


@script
def inq(peer):
    sock, end = server(peer)
    sock.setsockopt(TCP, 36, 1)
    peer.inject(end, "PA", 1, 1, data=100)
    peer.run(50)

    def rm(n):
        d, a, f, _ = sock.recvmsg(n, 100)
        peer.log("%d bytes %s" % (len(d), [(x, y, struct.unpack("i", z)[0]) for x, y, z in a]))

    rm(30)
    rm(70)
    peer.inject(end, "FA", 101, 1)
    peer.run(50)
    rm(10)


if __name__ == "__main__":
    main()
