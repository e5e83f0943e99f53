"""TCP Fast Open (RFC 7413)."""

from peer import *

WINDOW = 257


def fosrv(peer, n=5, sysc=2):
    sysctl("ipv4.tcp_fastopen", sysc)
    return peer.listener(before=lambda sock: sock.setsockopt(TCP, socket.TCP_FASTOPEN, n))


def fast(peer):
    """A listener that takes data of SYNs without a cookie."""
    sysctl("ipv4.tcp_fastopen", 3 | 0x200)
    listener = peer.listener(before=lambda sock: sock.setsockopt(TCP, socket.TCP_FASTOPEN, 5))
    return listener, peer.new_end()


@script
def fo_connect(peer):
    """TCP_FASTOPEN_CONNECT"""
    sysctl("ipv4.tcp_fastopen", 3)

    def go():
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(TCP, 30, 1)
        peer.keep.append(sock)
        peer.call("connect", sock.connect, (THERE, 9000))
        peer.run(30)
        return sock

    sock = go()
    end = peer.last
    peer.inject(end, "SA", 0, 1, 32792, (("mss", 1000), ("sackok", 0), ("ws", 7), ("fo", b"12345678")))
    peer.run(30)
    peer.poll(sock)
    peer.inject(end, "R", 1)
    sock = go()
    peer.poll(sock)
    peer.call("send", sock.send, b"abc")
    peer.run(30)
    end = peer.last
    peer.inject(end, "SA", 0, 4, 32792, (("mss", 1000), ("sackok", 0), ("ws", 7)))
    peer.run(30)
    peer.poll(sock)
    peer.info(sock, "options")
    peer.inject(end, "PA", 1, 4, data=5)
    peer.run(60)
    peer.call("r", sock.recv, 10)


@script
def fo_nocookie(peer):
    sysctl("ipv4.tcp_fastopen", 3)
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(TCP, 34, 1)
    peer.keep.append(sock)
    peer.call("sendto", lambda: sock.sendto(b"abc", 536870912, (THERE, 9000)))
    peer.run(30)
    end = peer.last
    peer.inject(end, "SA", 0, 4, 32792, (("mss", 1000), ("sackok", 0), ("ws", 7)))
    peer.run(30)
    peer.info(sock, "options")


@script
def fo_blocked(peer):
    sysctl("ipv4.tcp_fastopen", 0)
    sock = socket.socket()
    sock.setblocking(False)
    peer.keep.append(sock)
    peer.call("sendto", lambda: sock.sendto(b"abc", 536870912, (THERE, 9000)))
    peer.run(30)


@script
def fo_server_exp(peer):
    listener = fosrv(peer)
    listener.setblocking(False)
    end = peer.new_end()
    peer.inject(end, "S", 0, None, 32792, MODERN + (("foexp", b""),))
    peer.run(20)


@script
def fo_server_nocookie(peer):
    listener = fosrv(peer, 5, 514)
    listener.setblocking(False)
    end = peer.new_end()
    peer.inject(end, "S", 0, None, 32792, MODERN, data=100)
    peer.run(20)
    peer.call("accept", listener.accept)


@script
def fo_server_limit(peer):
    listener = fosrv(peer, 1, 514)
    listener.setblocking(False)
    for i in range(3):
        end = peer.new_end()
        peer.inject(end, "S", 0, None, 32792, MODERN, data=100)
        peer.run(20)
    peer.call("accept", listener.accept)
    peer.call("accept", listener.accept)


@script
def fo_fin(peer):
    listener, end = fast(peer)
    peer.inject(end, "S", 0, None, 32792, (("mss", 1000),), data=100)
    peer.run(1)
    sock, _ = listener.accept()
    peer.keep.append(sock)
    peer.call("recv", sock.recv, 200)
    peer.call("send", sock.send, b"x" * 1500)
    peer.call("shutdown", sock.shutdown, socket.SHUT_WR)
    peer.run(10)
    peer.info(sock, "state")
    peer.poll(sock)
    peer.inject(end, "A", 101, 1)
    peer.run(20)
    peer.info(sock, "state")
    peer.inject(end, "A", 101, 1501)
    peer.run(20)
    peer.info(sock, "state")
    peer.inject(end, "A", 101, 1502)
    peer.run(20)
    peer.info(sock, "state")


@script
def fo_close(peer):
    listener, end = fast(peer)
    peer.inject(end, "S", 0, None, 32792, (("mss", 1000),), data=100)
    peer.run(1)
    sock, _ = listener.accept()
    peer.call("recv", sock.recv, 200)
    peer.call("send", sock.send, b"x" * 1500)
    sock.close()
    peer.run(10)
    peer.inject(end, "A", 101, 1502)
    peer.run(20)
    peer.inject(end, "FA", 101, 1502)
    peer.run(20)


@script
def fo_rst(peer):
    listener, end = fast(peer)
    peer.inject(end, "S", 0, None, 32792, (("mss", 1000),), data=100)
    peer.run(1)
    sock, _ = listener.accept()
    peer.keep.append(sock)
    peer.call("send", sock.send, b"x" * 1500)
    peer.run(20)
    peer.inject(end, "R", 101)
    peer.run(20)
    peer.so_error(sock)
    peer.poll(sock)
    peer.info(sock, "state")


@script
def fo_data(peer):
    """data with the last ACK, before, old, and FIN in the SYN"""
    listener, end = fast(peer)
    peer.inject(end, "S", 0, None, 32792, (("mss", 1000),), data=100)
    peer.run(1)
    sock, _ = listener.accept()
    peer.keep.append(sock)
    peer.call("send", sock.send, b"x" * 1500)
    peer.run(20)
    peer.inject(end, "PA", 101, 1, data=50)
    peer.run(60)
    peer.info(sock, "state")
    peer.call("recv", sock.recv, 1000)
    pass


@script
def fo_opts(peer):
    """timestamps and window scale; more data than the SYN's window"""
    listener, end = fast(peer)
    peer.inject(end, "S", 0, None, 5000, (("mss", 1000), ("sackok", 0), ("ts", (1, 0)), ("ws", 7)), data=100)
    peer.run(1)
    sock, _ = listener.accept()
    peer.keep.append(sock)
    peer.info(sock, "state", "snd_mss", "cwnd", "snd_wnd", "rcv_wnd", "options")
    peer.call("send", sock.send, b"x" * 9000)
    peer.run(20)
    peer.inject(end, "A", 101, 1, 257, opts=(("ts", (2, "=")),))
    peer.run(20)
    peer.info(sock, "state", "cwnd")
    peer.run(300)
    peer.inject(end, "A", 101, 9001, 257, opts=(("ts", (3, "=")),))
    peer.run(60)
    peer.info(sock, "rto", "cwnd")


if __name__ == "__main__":
    main()
