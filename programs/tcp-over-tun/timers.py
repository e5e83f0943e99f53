"""Keepalive, TCP_USER_TIMEOUT, retries, lingering, TCP_DEFER_ACCEPT: what happens when nothing comes."""

from peer import *


def ka(sock, idle=1, intvl=1, cnt=3):
    sock.setsockopt(SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(TCP, socket.TCP_KEEPIDLE, idle)
    sock.setsockopt(TCP, socket.TCP_KEEPINTVL, intvl)
    sock.setsockopt(TCP, socket.TCP_KEEPCNT, cnt)


def uto(sock, ms):
    sock.setsockopt(TCP, socket.TCP_USER_TIMEOUT, ms)


@script
def ka_inherit(peer):
    sock, end = peer.server(before=ka)
    peer.run(1200)


@script
def uto_short(peer):
    sock, end = peer.server()
    uto(sock, 300)
    peer.call("send", sock.send, b"x" * 10)
    peer.run(1500)
    peer.so_error(sock)


@script
def retries2_1(peer):
    sysctl("ipv4.tcp_retries2", 1)
    sock, end = peer.server()
    peer.call("send", sock.send, b"x" * 10)
    peer.run(2500)
    peer.so_error(sock)


@script
def retries2_0(peer):
    sysctl("ipv4.tcp_retries2", 0)
    sock, end = peer.server()
    peer.call("send", sock.send, b"x" * 10)
    peer.run(1500)
    peer.so_error(sock)


@script
def zwp_tiny(peer):
    """window smaller than a segment: SWS avoidance"""
    sock, end = peer.server(ackwin=8)
    peer.inject(end, "A", 1, 1, 1)
    peer.call("send", sock.send, b"x" * 500)
    peer.run(2500)


@script
def fin_timeout_data(peer):
    sock, end = peer.server()
    sock.close()
    peer.run(10)
    peer.inject(end, "A", 1, 2)
    peer.run(500)
    peer.inject(end, "PA", 1, 2, data=10)
    peer.run(100)
    peer.inject(end, "PA", 1, 2, data=10)
    peer.run(50)


@script
def close_data_fw1(peer):
    sock, end = peer.server()
    sock.close()
    peer.run(10)
    peer.inject(end, "PA", 1, 1, data=10)
    peer.run(100)
    peer.inject(end, "A", 11, 2)
    peer.run(50)


@script
def linger2_1(peer):
    sock, end = peer.server()
    sock.setsockopt(TCP, socket.TCP_LINGER2, 1)
    sock.close()
    peer.run(10)
    peer.inject(end, "A", 1, 2)
    peer.run(700)
    peer.inject(end, "A", 1, 2)
    peer.run(700)
    peer.inject(end, "A", 1, 2)
    peer.run(50)


@script
def linger2_neg(peer):
    sock, end = peer.server()
    sock.setsockopt(TCP, socket.TCP_LINGER2, -1)
    sock.close()
    peer.run(10)
    peer.inject(end, "A", 1, 2)
    peer.run(700)
    peer.inject(end, "A", 1, 2)
    peer.run(50)


@script
def linger2_big(peer):
    sock, end = peer.server()
    peer.call("set", sock.setsockopt, TCP, socket.TCP_LINGER2, 200)
    peer.log(str(sock.getsockopt(TCP, socket.TCP_LINGER2)))


@script
def fw2_fin(peer):
    sock, end = peer.server()
    sock.close()
    peer.run(10)
    peer.inject(end, "A", 1, 2)
    peer.run(50)
    peer.inject(end, "FA", 1, 2)
    peer.run(500)
    peer.inject(end, "FA", 1, 2)
    peer.run(600)
    peer.inject(end, "FA", 1, 2)
    peer.run(50)
    peer.inject(end, "A", 2, 2)
    peer.run(50)
    peer.inject(end, "PA", 2, 2, data=5)
    peer.run(1000)


@script
def defer_data(peer):
    listener = peer.listener(before=lambda sock: sock.setsockopt(TCP, socket.TCP_DEFER_ACCEPT, 5))
    listener.setblocking(False)
    end = peer.new_end()
    peer.inject(end, "S", 0, None, 32792, MODERN)
    peer.run(100)
    peer.inject(end, "A", 1, 1)
    peer.run(100)
    peer.poll(listener)
    peer.inject(end, "PA", 1, 1, data=10)
    peer.run(100)
    peer.poll(listener)
    sock, _ = listener.accept()
    peer.call("recv", sock.recv, 100)


@script
def defer_fin(peer):
    listener = peer.listener(before=lambda sock: sock.setsockopt(TCP, socket.TCP_DEFER_ACCEPT, 5))
    listener.setblocking(False)
    end = peer.new_end()
    peer.inject(end, "S", 0, None, 32792, MODERN)
    peer.run(100)
    peer.inject(end, "A", 1, 1)
    peer.run(100)
    peer.poll(listener)
    peer.inject(end, "FA", 1, 1)
    peer.run(100)
    peer.poll(listener)


@script
def defer_vals(peer):
    sock = socket.socket()
    for v in (0, 1, 2, 3, 5, 7, 8, 15, 30, 100, 1000):
        sock.setsockopt(TCP, socket.TCP_DEFER_ACCEPT, v)
        peer.log("%d %d" % (v, sock.getsockopt(TCP, socket.TCP_DEFER_ACCEPT)))


@script
def defer_conn(peer):
    """on a client: data sent along with the last ACK"""
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(TCP, socket.TCP_DEFER_ACCEPT, 1)
    peer.call("connect", sock.connect, (THERE, 9000))
    peer.run(20)
    end = peer.last
    peer.inject(end, "SA", 0, 1, 32792, MODERN)
    peer.run(100)
    peer.call("send", sock.send, b"x" * 5)
    peer.run(200)


@script
def quickack_conn(peer):
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(TCP, socket.TCP_QUICKACK, 0)
    peer.call("connect", sock.connect, (THERE, 9000))
    peer.run(20)
    end = peer.last
    peer.inject(end, "SA", 0, 1, 32792, MODERN)
    peer.run(400)


@script
def quickack_conn_data(peer):
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(TCP, socket.TCP_QUICKACK, 0)
    peer.call("connect", sock.connect, (THERE, 9000))
    peer.run(20)
    end = peer.last
    peer.inject(end, "SA", 0, 1, 32792, MODERN)
    peer.run(20)
    peer.call("send", sock.send, b"x" * 5)
    peer.run(100)


@script
def we_uto300(peer):
    sock, end = peer.server()
    uto(sock, 300)
    peer.call("send", sock.send, b"x" * 10)
    peer.wait_error(sock, 6000)


@script
def we_uto_nosack(peer):
    sock, end = peer.server(opts=(("mss", 1000),))
    uto(sock, 1500)
    peer.call("send", sock.send, b"x" * 10)
    peer.wait_error(sock, 6000)


@script
def we_uto_syn(peer):
    sock = socket.socket()
    sock.setblocking(False)
    uto(sock, 500)
    peer.call("connect", sock.connect, (THERE, 9000))
    peer.wait_error(sock, 6000)


@script
def we_uto_syn2(peer):
    sock = socket.socket()
    sock.setblocking(False)
    uto(sock, 2500)
    peer.call("connect", sock.connect, (THERE, 9000))
    peer.wait_error(sock, 6000)


@script
def we_uto_zwp(peer):
    sock, end = peer.server()
    uto(sock, 2000)
    peer.inject(end, "A", 1, 1, 0)
    peer.call("send", sock.send, b"x" * 10)
    peer.wait_error(sock, 6000)


if __name__ == "__main__":
    main()
