"""What is lost, and taken for lost: fast retransmit, RACK, probes of the tail, timeouts, windows."""

from peer import *

RECOVERY = ("ca_state", "cwnd", "ssthresh", "unacked", "sacked", "lost", "retrans", "total_retrans")
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
def fr_sack(peer):
    sock, end = sent(peer)
    for i in range(2, 6):
        peer.inject(end, "A", 1, 1, WINDOW, opts=(("sack", ((1001, 1000 * i + 1),)),))
        peer.run(3)
        peer.info(sock, *RECOVERY)
    peer.run(20)
    peer.inject(end, "A", 1, 5001, WINDOW)
    peer.run(20)
    peer.info(sock, *RECOVERY)
    peer.inject(end, "A", 1, 10001, WINDOW)
    peer.run(10)
    peer.info(sock, *RECOVERY)


@script
def fr_sack_3rd(peer):
    """dup acks one by one: when the retransmission comes"""
    sock, end = sent(peer)
    for i in (3, 5, 7):
        peer.inject(
            end,
            "A",
            1,
            1,
            WINDOW,
            opts=(("sack", tuple(((1000 * j + 1, 1000 * (j + 1) + 1) for j in range(i - 1, 1, -2)))),),
        )
        peer.run(4)
        peer.info(sock, *RECOVERY)
    peer.run(60)


@script
def fr_nosack(peer):
    sock, end = sent(peer, opts=(("mss", 1000), ("ws", 7)))
    for i in range(5):
        peer.inject(end, "A", 1, 1, WINDOW)
        peer.run(3)
        peer.info(sock, *RECOVERY)
    peer.inject(end, "A", 1, 10001, WINDOW)
    peer.run(20)
    peer.info(sock, *RECOVERY)


@script
def fr_nosack_partial(peer):
    sock, end = sent(peer, opts=(("mss", 1000), ("ws", 7)))
    for i in range(4):
        peer.inject(end, "A", 1, 1, WINDOW)
        peer.run(3)
    peer.inject(end, "A", 1, 3001, WINDOW)
    peer.run(10)
    peer.info(sock, *RECOVERY)
    peer.inject(end, "A", 1, 3001, WINDOW)
    peer.run(10)
    peer.inject(end, "A", 1, 10001, WINDOW)
    peer.run(20)
    peer.info(sock, *RECOVERY)


@script
def fr_lim(peer):
    """limited transmit: new data on the first duplicates"""
    sock, end = sent(peer, n=14)
    peer.inject(end, "A", 1, 1, WINDOW, opts=(("sack", ((1001, 2001),)),))
    peer.run(3)
    peer.info(sock, *RECOVERY)
    peer.inject(end, "A", 1, 1, WINDOW, opts=(("sack", ((1001, 3001),)),))
    peer.run(3)
    peer.info(sock, *RECOVERY)
    peer.inject(end, "A", 1, 1, WINDOW, opts=(("sack", ((1001, 4001),)),))
    peer.run(3)
    peer.info(sock, *RECOVERY)


@script
def fr_lim_nosack(peer):
    sock, end = sent(peer, n=14, opts=(("mss", 1000), ("ws", 7)))
    for i in range(4):
        peer.inject(end, "A", 1, 1, WINDOW)
        peer.run(3)
        peer.info(sock, *RECOVERY)


@script
def fr_early(peer):
    """early retransmit: few segments out"""
    sock, end = sent(peer, n=3)
    peer.inject(end, "A", 1, 1, WINDOW, opts=(("sack", ((1001, 3001),)),))
    peer.run(60)
    peer.info(sock, *RECOVERY)


@script
def fr_early2(peer):
    sock, end = sent(peer, n=2)
    peer.inject(end, "A", 1, 1, WINDOW, opts=(("sack", ((1001, 2001),)),))
    peer.run(60)
    peer.info(sock, *RECOVERY)


@script
def fr_dsack_undo(peer):
    sock, end = sent(peer)
    peer.inject(end, "A", 1, 1, WINDOW, opts=(("sack", ((1001, 4001),)),))
    peer.run(15)
    peer.info(sock, *RECOVERY)
    peer.inject(end, "A", 1, 4001, WINDOW)
    peer.run(4)
    peer.inject(end, "A", 1, 5001, WINDOW, opts=(("sack", ((1, 1001),)),))
    peer.run(5)
    peer.info(sock, *RECOVERY, "dsack_dups", "reord_seen")
    peer.inject(end, "A", 1, 10001, WINDOW)
    peer.run(10)
    peer.info(sock, *RECOVERY)


@script
def fr_ts_undo(peer):
    o = MODERN + (("ts", (1, 0)),)
    sock, end = sent(peer, opts=o)
    ts0 = end.stamp
    tso = ("ts", (30, ts0))
    peer.inject(end, "A", 1, 1, WINDOW, opts=(tso, ("sack", ((1001 - 12 * 0, 3001),))))
    peer.run(15)
    peer.info(sock, *RECOVERY)
    peer.inject(end, "A", 1, 5941, WINDOW, opts=(("ts", (40, ts0)),))
    peer.run(10)
    peer.info(sock, *RECOVERY)


@script
def rto_frto(peer):
    """all original acks come after the timeout"""
    sock, end = sent(peer)
    peer.run(320)
    peer.info(sock, *RECOVERY)
    peer.inject(end, "A", 1, 2001, WINDOW)
    peer.run(3)
    peer.info(sock, *RECOVERY)
    peer.inject(end, "A", 1, 4001, WINDOW)
    peer.run(3)
    peer.info(sock, *RECOVERY)
    peer.inject(end, "A", 1, 10001, WINDOW)
    peer.run(3)
    peer.info(sock, *RECOVERY)


@script
def rto_frto_new(peer):
    sock, end = sent(peer, n=14)
    peer.run(280)
    peer.info(sock, *RECOVERY)
    peer.inject(end, "A", 1, 1001, WINDOW)
    peer.run(10)
    peer.info(sock, *RECOVERY)
    peer.inject(end, "A", 1, 1001, WINDOW, opts=(("sack", ((10001, 11001),)),))
    peer.run(10)
    peer.info(sock, *RECOVERY)


@script
def rto_nosack(peer):
    sock, end = sent(peer, opts=(("mss", 1000), ("ws", 7)))
    peer.run(300)
    peer.info(sock, *RECOVERY)
    peer.inject(end, "A", 1, 1001, WINDOW)
    peer.run(10)
    peer.info(sock, *RECOVERY)
    peer.inject(end, "A", 1, 2001, WINDOW)
    peer.run(10)
    peer.info(sock, *RECOVERY)
    peer.inject(end, "A", 1, 10001, WINDOW)
    peer.run(10)
    peer.info(sock, *RECOVERY)


@script
def tlp_new(peer):
    """TLP sends new data"""
    sock, end = sent(peer, n=14)
    peer.run(60)
    peer.info(sock, *RECOVERY)
    peer.inject(end, "A", 1, 10001, WINDOW)
    peer.run(10)
    peer.info(sock, *RECOVERY)


@script
def tlp_dsack(peer):
    sock, end = sent(peer, n=3)
    peer.run(60)
    peer.inject(end, "A", 1, 3001, WINDOW)
    peer.run(5)
    peer.inject(end, "A", 1, 3001, WINDOW, opts=(("sack", ((2001, 3001),)),))
    peer.run(10)
    peer.info(sock, *RECOVERY, "dsack_dups")


@script
def tlp_loss(peer):
    sock, end = sent(peer, n=3)
    peer.run(60)
    peer.inject(end, "A", 1, 1, WINDOW, opts=(("sack", ((2001, 3001),)),))
    peer.run(20)
    peer.info(sock, *RECOVERY)


@script
def tlp_one(peer):
    sock, end = sent(peer, n=1)
    peer.run(500)
    peer.inject(end, "A", 1, 1001, WINDOW)
    peer.run(10)
    peer.info(sock, *RECOVERY, "rto", "backoff")


@script
def tlp_fin(peer):
    sock, end = server(peer)
    peer.call("send", sock.send, b"x" * 100)
    sock.shutdown(socket.SHUT_WR)
    peer.run(400)


@script
def reneg(peer):
    sock, end = sent(peer)
    peer.inject(end, "A", 1, 1, WINDOW, opts=(("sack", ((1001, 10001),)),))
    peer.run(10)
    peer.inject(end, "A", 1, 1001, WINDOW)
    peer.run(500)
    peer.info(sock, *RECOVERY)


@script
def cwnd_mod(peer):
    """big ack after reordering"""
    sock, end = sent(peer)
    peer.inject(end, "A", 1, 1, WINDOW, opts=(("sack", ((1001, 3001),)),))
    peer.run(2)
    peer.inject(end, "A", 1, 10001, WINDOW)
    peer.run(10)
    peer.info(sock, *RECOVERY, "reordering", "reord_seen")
    peer.call("send", sock.send, b"x" * 20000)
    peer.run(10)


@script
def ss_perack(peer):
    sock, end = sent(peer, n=40)
    for i in range(1, 11):
        peer.inject(end, "A", 1, i * 1000 + 1, WINDOW)
        peer.run(2)
    peer.info(sock, *RECOVERY)
    peer.run(20)


@script
def ss_2mss(peer):
    sock, end = sent(peer, n=40)
    for i in range(2, 11, 2):
        peer.inject(end, "A", 1, i * 1000 + 1, WINDOW)
        peer.run(2)
    peer.info(sock, *RECOVERY)
    peer.run(20)


@script
def ss_half(peer):
    """acks of half a segment (ABC)"""
    sock, end = sent(peer, n=40)
    for i in range(1, 7):
        peer.inject(end, "A", 1, i * 500 + 1, WINDOW)
        peer.run(2)
        peer.info(sock, "cwnd", "unacked")
    peer.run(20)


@script
def ss_idle(peer):
    sock, end = sent(peer, n=10)
    peer.inject(end, "A", 1, 10001, WINDOW)
    peer.run(10)
    peer.info(sock, "cwnd")
    peer.run(700)
    peer.call("send", sock.send, b"x" * 20000)
    peer.run(5)
    peer.info(sock, "cwnd")


@script
def ca_grow(peer):
    """congestion avoidance with reno"""
    sock, end = server(peer, before=lambda sock: sock.setsockopt(TCP, socket.TCP_CONGESTION, b"reno"))
    peer.call("send", sock.send, b"x" * 60000)
    peer.run(25)
    peer.inject(end, "A", 1, 1, WINDOW, opts=(("sack", ((1001, 4001),)),))
    peer.run(10)
    peer.info(sock, *RECOVERY)
    peer.inject(end, "A", 1, 10001, WINDOW)
    peer.run(20)
    peer.info(sock, *RECOVERY)
    a = 10001
    for i in range(12):
        a += 1000
        peer.inject(end, "A", 1, a, WINDOW)
        peer.run(3)
        peer.info(sock, "cwnd", "unacked")


@script
def ack_old(peer):
    sock, end = sent(peer)
    peer.inject(end, "A", 1, 5001, WINDOW)
    peer.run(10)
    peer.inject(end, "A", 1, 3001, WINDOW)
    peer.run(10)
    peer.info(sock, *RECOVERY)


@script
def sack_retrans_lost(peer):
    """the retransmission is lost too"""
    sock, end = sent(peer, n=10)
    peer.inject(end, "A", 1, 1, WINDOW, opts=(("sack", ((1001, 5001),)),))
    peer.run(10)
    peer.info(sock, *RECOVERY)
    peer.call("send", sock.send, b"x" * 5000)
    peer.run(25)
    peer.info(sock, *RECOVERY)
    peer.inject(end, "A", 1, 1, WINDOW, opts=(("sack", ((1001, 12001),)),))
    peer.run(40)
    peer.info(sock, *RECOVERY)


@script
def rack_reo(peer):
    sock, end = sent(peer, n=10)
    peer.inject(end, "A", 1, 1, WINDOW, opts=(("sack", ((2001, 3001),)),))
    peer.run(60)
    peer.info(sock, *RECOVERY)


@script
def collapse(peer):
    sock, end = server(peer, opts=(("mss", 1000),))
    sock.setsockopt(TCP, socket.TCP_NODELAY, 1)
    for i in range(4):
        peer.call("s", sock.send, b"x" * 300)
    peer.run(400)
    peer.inject(end, "A", 1, 1201, WINDOW)
    peer.run(10)


@script
def frto14(peer):
    sock, end = peer.client(after=20, opts=(("mss", 1000), ("sackok", 0), ("ws", 7)), win=32792)
    peer.call("send", sock.send, b"x" * 14000)
    peer.run(350)
    peer.info(sock, "ca_state", "rto")
    peer.inject(end, "A", 1, 1001, WINDOW)
    peer.run(20)
    peer.inject(end, "A", 1, 1001, WINDOW, opts=(("sack", ((10001, 11001),)),))
    peer.run(10)
    peer.info(sock, "ca_state")


@script
def frto14s(peer):
    sock, end = peer.server(after=20)
    peer.call("send", sock.send, b"x" * 14000)
    peer.run(350)
    peer.info(sock, "ca_state", "rto")
    peer.inject(end, "A", 1, 1001, WINDOW)
    peer.run(20)
    peer.inject(end, "A", 1, 1001, WINDOW, opts=(("sack", ((10001, 11001),)),))
    peer.run(10)
    peer.info(sock, "ca_state")


if __name__ == "__main__":
    main()
