"""ICMP errors, narrower paths."""

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
def icmp_unreach(peer):
    sock, end = sent(peer, n=1)
    peer.icmp(end, 3, 1, 1)
    peer.run(50)
    peer.so_error(sock)
    peer.poll(sock)
    peer.run(600)
    peer.inject(end, "A", 1, 1001, WINDOW)
    peer.run(20)


@script
def icmp_unreach_recverr(peer):
    sock, end = sent(peer, n=1)
    sock.setsockopt(0, 11, 1)
    peer.icmp(end, 3, 1, 1)
    peer.run(50)
    peer.so_error(sock)
    peer.poll(sock)


@script
def icmp_port_synsent(peer):
    sock = socket.socket()
    sock.setblocking(False)
    peer.call("connect", sock.connect, (THERE, 9000))
    peer.run(20)
    end = peer.last
    peer.icmp(end, 3, 3, 0)
    peer.run(50)
    peer.so_error(sock)
    peer.poll(sock)
    peer.info(sock, "state")


@script
def icmp_net_synsent(peer):
    sock = socket.socket()
    sock.setblocking(False)
    peer.call("connect", sock.connect, (THERE, 9000))
    peer.run(20)
    end = peer.last
    peer.icmp(end, 3, 0, 0)
    peer.run(50)
    peer.so_error(sock)
    peer.poll(sock)


@script
def icmp_badseq(peer):
    sock = socket.socket()
    sock.setblocking(False)
    peer.call("connect", sock.connect, (THERE, 9000))
    peer.run(20)
    end = peer.last
    peer.icmp(end, 3, 3, 500)
    peer.run(50)
    peer.so_error(sock)
    peer.poll(sock)


@script
def pmtu_frag(peer):
    sock, end = sent(peer, n=5, opts=(("mss", 1460), ("sackok", 0), ("ws", 7)))
    peer.icmp(end, 3, 4, 1, 1000)
    peer.run(30)
    peer.info(sock, "snd_mss", "pmtu", *RECOVERY)
    peer.inject(end, "A", 1, 5001, WINDOW)
    peer.run(20)
    peer.call("send", sock.send, b"x" * 3000)
    peer.run(20)


@script
def pmtu_low(peer):
    sock, end = sent(peer, n=3)
    peer.icmp(end, 3, 4, 1, 68)
    peer.run(30)
    peer.info(sock, "snd_mss", "pmtu")


@script
def pmtu_zero(peer):
    sock, end = sent(peer, n=3, opts=(("mss", 1460), ("sackok", 0), ("ws", 7)))
    peer.icmp(end, 3, 4, 1, 0)
    peer.run(30)
    peer.info(sock, "snd_mss", "pmtu")


@script
def icmp_quench(peer):
    sock, end = sent(peer, n=3)
    peer.icmp(end, 4, 0, 1)
    peer.run(30)
    peer.so_error(sock)
    peer.icmp(end, 11, 0, 1)
    peer.run(30)
    peer.so_error(sock)
    peer.icmp(end, 12, 0, 1)
    peer.run(30)
    peer.so_error(sock)
    peer.icmp(end, 3, 9, 1)
    peer.run(10)
    peer.so_error(sock)


if __name__ == "__main__":
    main()
