"""Listeners and closed ports, a full backlog, TIME_WAIT."""

from peer import *


def time_wait(peer):
    sock, end = peer.server()
    sock.shutdown(socket.SHUT_WR)
    peer.run(5)
    peer.inject(end, "FA", 1, 2)
    peer.run(60)
    return sock, end


def again(peer, sock):
    """A connection of the same four numbers."""
    second = socket.socket()
    second.setblocking(False)
    second.setsockopt(SOCKET, socket.SO_REUSEADDR, 1)
    peer.call("bind", second.bind, sock.getsockname())
    peer.call("connect", second.connect, (THERE, 9000))
    peer.run(50)
    peer.keep.append(second)
    return second


def reuse(peer, value, stamps):
    """tcp_tw_reuse: connecting over one in TIME_WAIT, at once and when it is a second old."""
    sysctl("ipv4.tcp_tw_reuse", value)
    opts = MODERN + ((("ts", (1, 0)),) if stamps else ())
    sock, end = peer.client(opts=opts, before=lambda sock: sock.setsockopt(SOCKET, socket.SO_REUSEADDR, 1))
    sock.shutdown(socket.SHUT_WR)
    peer.run(10)
    peer.inject(end, "FA", 1, 2, opts=(("ts", (5, "=")),) if stamps else ())
    peer.run(50)
    second = again(peer, sock)
    peer.run(1200)
    second.close()
    again(peer, sock)


for reused in (0, 1, 2):
    for stamped in (0, 1):
        SCRIPTS[f"twreuse_{reused}_ts{stamped}"] = lambda peer, value=reused, ts=stamped: reuse(peer, value, ts)


@script
def listen_odd(peer):
    peer.listener()
    end = peer.new_end()
    peer.inject(end, "A", 1, 77)
    peer.run(30)
    peer.inject(end, "R", 1)
    peer.inject(end, "RA", 1, 1)
    peer.inject(end, "SA", 0, 1)
    peer.run(30)
    peer.inject(end, "FA", 0, 1)
    peer.run(30)
    peer.inject(end, "SF", 0)
    peer.run(30)
    peer.inject(end, "SR", 0)
    peer.run(30)
    peer.inject(end, "", 5)
    peer.inject(end, "F", 5)
    peer.inject(end, "U", 5)
    peer.run(50)


@script
def closed_odd(peer):
    end = peer.new_end(7777)
    peer.inject(end, "S", 0)
    peer.run(20)
    peer.inject(end, "A", 5, 77, data=10)
    peer.run(20)
    peer.inject(end, "", 5, data=10)
    peer.run(20)
    peer.inject(end, "F", 5)
    peer.run(20)
    peer.inject(end, "R", 5)
    peer.inject(end, "SFPU", 5)
    peer.run(20)
    peer.inject(end, "SA", 5, 9)
    peer.run(20)
    peer.inject(end, "FA", 5, 9, data=3)
    peer.run(20)
    peer.inject(end, "S", 0, data=5)
    peer.run(20)
    peer.inject(end, "S", 0, bad=True)
    peer.run(20)


@script
def listen_syndata(peer):
    listener = peer.listener()
    listener.setblocking(False)
    end = peer.new_end()
    peer.inject(end, "S", 0, None, 32792, MODERN, data=20)
    peer.run(30)
    peer.inject(end, "A", 1, 1)
    peer.run(50)
    sock, _ = listener.accept()
    peer.poll(sock)


@script
def backlog_abort(peer):
    sysctl("ipv4.tcp_abort_on_overflow", 1)
    listener = peer.listener(backlog=0)
    es = []
    for i in range(3):
        end = peer.new_end()
        es.append(end)
    for end in es:
        peer.inject(end, "S", 0, None, 32792, MODERN)
        peer.run(10)
    for end in es:
        peer.inject(end, "A", 1, 1)
        peer.run(30)
    peer.run(500)
    peer.poll(listener)


@script
def tw_syn(peer):
    """a new SYN in TIME_WAIT"""
    sock, end = time_wait(peer)
    peer.inject(end, "S", 5000, None, 32792, MODERN)
    peer.run(30)
    peer.inject(end, "S", 1, None, 32792, MODERN)
    peer.run(30)


@script
def tw_rfc1337(peer):
    sysctl("ipv4.tcp_rfc1337", 1)
    sock, end = time_wait(peer)
    peer.inject(end, "R", 2)
    peer.run(30)
    peer.inject(end, "FA", 1, 2)
    peer.run(30)


if __name__ == "__main__":
    main()
