"""Options, ECN, window sizes, TCP_INFO."""

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
def ecn_off_syn(peer):
    end = peer.new_end()
    listener = peer.listener()
    peer.inject(end, "SEW", 0, None, 32792, MODERN)
    peer.run(20)
    peer.inject(end, "A", 1, 1, WINDOW)
    sock, _ = listener.accept()
    peer.call("send", sock.send, b"x" * 2000)
    peer.run(30)
    peer.inject(end, "AE", 1, 2001, WINDOW)
    peer.run(5)
    peer.info(sock, "cwnd", "ssthresh", "ca_state", "options")
    peer.call("send", sock.send, b"x" * 2000)
    peer.run(20)
    peer.inject(end, "AP", 1, 4001, WINDOW, data=100, tos=3)
    peer.run(100)
    peer.inject(end, "AP", 101, 4001, WINDOW, data=100, tos=2)
    peer.run(100)
    peer.inject(end, "APW", 201, 4001, WINDOW, data=100, tos=2)
    peer.run(100)


@script
def ecn_client(peer):
    sysctl("ipv4.tcp_ecn", 1)
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(TCP, socket.TCP_CONGESTION, b"cubic")
    peer.call("connect", sock.connect, (THERE, 9000))
    peer.run(20)
    end = peer.last
    peer.inject(end, "SAE", 0, 1, 32792, MODERN)
    peer.run(20)
    peer.info(sock, "options")
    peer.call("send", sock.send, b"x" * 500)
    peer.run(20)
    peer.inject(end, "A", 1, 501, WINDOW, tos=3)
    peer.run(20)


@script
def ecn_client_no(peer):
    sysctl("ipv4.tcp_ecn", 1)
    sock = socket.socket()
    sock.setblocking(False)
    peer.call("connect", sock.connect, (THERE, 9000))
    peer.run(20)
    end = peer.last
    peer.inject(end, "SAEW", 0, 1, 32792, MODERN)
    peer.run(20)
    peer.info(sock, "options")
    peer.call("send", sock.send, b"x" * 500)
    peer.run(20)


@script
def mss_tiny(peer):
    sock, end = server(peer, opts=(("mss", 10),))
    peer.info(sock, "snd_mss")
    peer.call("send", sock.send, b"x" * 200)
    peer.run(20)


@script
def mss_none(peer):
    sock, end = server(peer, opts=())
    peer.info(sock, "snd_mss", "rcv_mss", "advmss")
    peer.call("send", sock.send, b"x" * 1200)
    peer.run(20)


@script
def mss_user(peer):
    sock, end = server(peer, before=lambda sock: sock.setsockopt(TCP, socket.TCP_MAXSEG, 500))
    peer.info(sock, "snd_mss", "advmss")
    peer.call("send", sock.send, b"x" * 1200)
    peer.run(15)
    peer.log(str(sock.getsockopt(TCP, socket.TCP_MAXSEG)))


@script
def win_half(peer):
    sock, end = server(peer, opts=(("mss", 1460),), win=1000, ackwin=1000)
    peer.info(sock, "snd_mss")
    peer.call("send", sock.send, b"x" * 2500)
    peer.run(20)


@script
def win_clamp(peer):
    peer.show_win = True
    sock, end = server(peer)
    sock.setsockopt(TCP, socket.TCP_WINDOW_CLAMP, 5000)
    peer.inject(end, "PA", 1, 1, data=10)
    peer.run(60)
    peer.log(str(sock.getsockopt(TCP, socket.TCP_WINDOW_CLAMP)))


@script
def synack_ts_old(peer):
    sock = socket.socket()
    sock.setblocking(False)
    peer.call("connect", sock.connect, (THERE, 9000))
    peer.run(20)
    end = peer.last
    peer.inject(end, "SA", 0, 1, 32792, (("mss", 1000), ("ts", (1, end.stamp - 5000))))
    peer.run(50)
    peer.info(sock, "state")


@script
def synack_again(peer):
    """our last ACK was lost"""
    sock = socket.socket()
    sock.setblocking(False)
    peer.call("connect", sock.connect, (THERE, 9000))
    peer.run(20)
    end = peer.last
    peer.inject(end, "SA", 0, 1, 32792, MODERN)
    peer.run(50)
    peer.inject(end, "SA", 0, 1, 32792, MODERN)
    peer.run(700)
    peer.call("send", sock.send, b"x" * 10)
    peer.run(10)
    peer.inject(end, "SA", 0, 1, 32792, MODERN)
    peer.run(50)


@script
def info_basic(peer):
    sock, end = sent(peer, n=4)
    peer.inject(end, "A", 1, 2001, WINDOW)
    peer.run(5)
    peer.inject(end, "PA", 1, 4001, WINDOW, data=300)
    peer.run(60)
    peer.info(
        sock,
        "bytes_acked",
        "bytes_received",
        "segs_out",
        "segs_in",
        "data_segs_in",
        "data_segs_out",
        "delivered",
        "bytes_sent",
        "bytes_retrans",
        "snd_wnd",
        "options",
        "scale",
        "total_rto",
        "total_rto_rec",
    )


@script
def info_synsent(peer):
    sock = socket.socket()
    sock.setblocking(False)
    peer.call("connect", sock.connect, (THERE, 9000))
    peer.run(20)
    peer.info(
        sock,
        "state",
        "rto",
        "snd_mss",
        "rcv_mss",
        "unacked",
        "cwnd",
        "ssthresh",
        "rtt",
        "rttvar",
        "pmtu",
        "advmss",
        "segs_out",
        "reordering",
        "rcv_space",
        "rcv_ssthresh",
        "snd_wnd",
        "rcv_wnd",
        "options",
    )


@script
def info_close(peer):
    sock = socket.socket()
    peer.info(
        sock,
        "state",
        "rto",
        "snd_mss",
        "rcv_mss",
        "cwnd",
        "ssthresh",
        "rttvar",
        "reordering",
        "ato",
        "pmtu",
        "advmss",
        "rcv_space",
    )
    sock.bind((HERE, 999))
    sock.listen(7)
    peer.info(sock, "state", "unacked", "sacked", "cwnd", "ssthresh")


@script
def simul_nows(peer):
    sock = socket.socket()
    sock.setblocking(False)
    peer.call("connect", sock.connect, (THERE, 9000))
    peer.run(20)
    end = peer.last
    peer.inject(end, "S", 0, None, 32792, (("mss", 1000),))
    peer.run(50)
    peer.inject(end, "SA", 0, 1, opts=(("mss", 1000),))
    peer.run(50)
    peer.show_win = True
    peer.call("send", sock.send, b"x" * 10)
    peer.run(50)


if __name__ == "__main__":
    main()
