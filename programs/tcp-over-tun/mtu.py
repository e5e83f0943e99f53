"""The search for the largest segment of a path (RFC 4821)."""

from peer import *


def fill(sock):
    try:
        while True:
            sock.send(b"x" * 50000)
    except BlockingIOError:
        pass


@script
def mtup2(peer):
    """tcp_mtu_probing 2 on a path of 1500, peer mss 1460, base 1024"""
    sysctl("ipv4.tcp_mtu_probing", 2)
    for name in ("tcp_base_mss", "tcp_probe_threshold", "tcp_probe_interval", "tcp_mtu_probe_floor"):
        peer.log(f"{name} {sysctl('ipv4.' + name)}")
    sock, end = peer.server(opts=(("mss", 1460), ("sackok", 0), ("ws", 7)), ackwin=2000, after=20)
    peer.info(sock, "snd_mss", "pmtu", "cwnd", "advmss")
    fill(sock)
    last = 0
    for _ in range(25):
        peer.run(20)
        sent = [what.split()[2].split(":") for _, what in peer.seen if what.startswith("> ")]
        end_of_all = max(int(edges[1]) for edges in sent)
        if end_of_all > last:
            last = end_of_all
            peer.inject(end, "A", 1, last, 2000)
            peer.info(sock, "snd_mss", "cwnd", "unacked")
        fill(sock)


@script
def mtup2_client(peer):
    sysctl("ipv4.tcp_mtu_probing", 2)
    sock, end = peer.client(opts=(("mss", 1460), ("sackok", 0), ("ws", 7)))
    peer.info(sock, "snd_mss", "pmtu")
    peer.call("send", sock.send, b"x" * 4000)
    peer.run(30)


@script
def mtup2_app(peer):
    """not enough data to probe"""
    sysctl("ipv4.tcp_mtu_probing", 2)
    sock, end = peer.server(opts=(("mss", 1460), ("sackok", 0), ("ws", 7)), ackwin=2000, after=20)
    q = 1
    for i in range(6):
        peer.call("send", sock.send, b"x" * 1500)
        q += 1500
        peer.run(15)
        peer.inject(end, "A", 1, q, 2000)
    peer.info(sock, "snd_mss")


@script
def probe_win(peer):
    sysctl("ipv4.tcp_mtu_probing", 2)
    sysctl("ipv4.tcp_timestamps", 0)
    sock, end = peer.server(opts=(("mss", 1460), ("sackok", 0), ("ws", 7)), ackwin=2000, after=20)
    peer.info(sock, "snd_mss")
    peer.call("send", sock.send, b"x" * 60000)
    peer.run(20)
    peer.inject(end, "A", 1, 14601, 2000)
    peer.run(2)
    peer.info(sock, "snd_mss", "cwnd", "unacked")
    peer.run(28)
    peer.inject(end, "A", 1, 42123, 2000)
    peer.run(2)
    peer.info(sock, "snd_mss", "cwnd", "unacked")


if __name__ == "__main__":
    main()
