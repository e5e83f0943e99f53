"""Handshakes: simultaneous ones, and what may come in SYN_SENT and SYN_RECV."""

from peer import *


@script
def simul_open(peer):
    sock = socket.socket()
    sock.setblocking(False)
    peer.call("connect", sock.connect, (THERE, 9000))
    peer.run(20)
    end = peer.last
    peer.inject(end, "S", 0, None, 32792, MODERN)
    peer.run(50)
    peer.info(sock, "state")
    peer.inject(end, "SA", 0, 1)
    peer.run(50)
    peer.info(sock, "state")
    peer.poll(sock)
    peer.call("send", sock.send, b"x" * 10)
    peer.run(50)


@script
def simul_open_ack(peer):
    sock = socket.socket()
    sock.setblocking(False)
    peer.call("connect", sock.connect, (THERE, 9000))
    peer.run(20)
    end = peer.last
    peer.inject(end, "S", 0, None, 32792, MODERN)
    peer.run(50)
    peer.inject(end, "A", 1, 1)
    peer.run(50)
    peer.info(sock, "state")
    peer.poll(sock)
    peer.so_error(sock)


@script
def simul_open_data(peer):
    sock = socket.socket()
    sock.setblocking(False)
    peer.call("connect", sock.connect, (THERE, 9000))
    peer.run(20)
    end = peer.last
    peer.inject(end, "S", 0, None, 32792, MODERN)
    peer.run(50)
    peer.inject(end, "PA", 1, 1, data=10)
    peer.run(50)
    peer.info(sock, "state")
    peer.poll(sock)
    peer.call("recv", sock.recv, 100)


@script
def simul_close(peer):
    sock, end = peer.server()
    sock.close()
    peer.run(20)
    peer.inject(end, "FA", 1, 1)
    peer.run(50)
    peer.inject(end, "A", 2, 2)
    peer.run(50)
    peer.inject(end, "FA", 1, 2)
    peer.run(50)


@script
def syn_sent_bad(peer):
    sock = socket.socket()
    sock.setblocking(False)
    peer.call("connect", sock.connect, (THERE, 9000))
    peer.run(20)
    end = peer.last
    peer.inject(end, "A", 0, 1)
    peer.run(30)
    peer.inject(end, "SA", 0, 2)
    peer.run(30)
    peer.inject(end, "SA", 0, 0)
    peer.run(30)
    peer.inject(end, "R", 0)
    peer.run(30)
    peer.info(sock, "state")
    peer.inject(end, "RA", 0, 5)
    peer.run(30)
    peer.info(sock, "state")
    peer.inject(end, "FA", 0, 1)
    peer.run(30)
    peer.info(sock, "state")
    peer.inject(end, "RA", 0, 1)
    peer.run(30)
    peer.so_error(sock)
    peer.poll(sock)
    peer.info(sock, "state")


@script
def syn_sent_shut(peer):
    sock = socket.socket()
    sock.setblocking(False)
    peer.call("connect", sock.connect, (THERE, 9000))
    peer.run(20)
    peer.call("shutdown", sock.shutdown, socket.SHUT_WR)
    peer.run(1200)
    peer.poll(sock)
    peer.info(sock, "state")
    end = peer.last
    peer.inject(end, "SA", 0, 1)
    peer.run(50)
    peer.so_error(sock)


@script
def syn_sent_shut_rd(peer):
    sock = socket.socket()
    sock.setblocking(False)
    peer.call("connect", sock.connect, (THERE, 9000))
    peer.run(20)
    peer.call("shutdown", sock.shutdown, socket.SHUT_RD)
    peer.run(1200)
    peer.poll(sock)
    peer.info(sock, "state")
    end = peer.last
    peer.inject(end, "SA", 0, 1)
    peer.run(50)
    peer.so_error(sock)
    peer.poll(sock)


@script
def syn_sent_close(peer):
    sock = socket.socket()
    sock.setblocking(False)
    peer.call("connect", sock.connect, (THERE, 9000))
    peer.run(20)
    sock.close()
    peer.run(1200)
    end = peer.last
    peer.inject(end, "SA", 0, 1)
    peer.run(50)


@script
def syn_recv_bad(peer):
    listener = peer.listener()
    end = peer.new_end()
    peer.inject(end, "S", 0, None, 32792, MODERN)
    peer.run(20)
    peer.inject(end, "A", 1, 2)
    peer.run(30)
    peer.inject(end, "A", 2, 1)
    peer.run(30)
    peer.inject(end, "A", 100000, 1)
    peer.run(30)
    peer.inject(end, "S", 5)
    peer.run(30)
    peer.inject(end, "SA", 0, 1)
    peer.run(30)
    peer.inject(end, "R", 5)
    peer.run(30)
    peer.inject(end, "RA", 100000, 1)
    peer.run(30)
    peer.poll(listener)
    peer.inject(end, "A", 1, 1)
    peer.run(30)
    peer.poll(listener)


@script
def syn_recv_rst(peer):
    listener = peer.listener()
    end = peer.new_end()
    peer.inject(end, "S", 0, None, 32792, MODERN)
    peer.run(20)
    peer.inject(end, "R", 1)
    peer.run(1500)
    peer.inject(end, "A", 1, 1)
    peer.run(30)
    peer.poll(listener)


@script
def syn_recv_fin(peer):
    listener = peer.listener()
    listener.setblocking(False)
    end = peer.new_end()
    peer.inject(end, "S", 0, None, 32792, MODERN)
    peer.run(20)
    peer.inject(end, "FA", 1, 1)
    peer.run(50)
    peer.poll(listener)
    sock, _ = listener.accept()
    peer.info(sock, "state")
    peer.poll(sock)


@script
def syn_recv_data(peer):
    listener = peer.listener()
    listener.setblocking(False)
    end = peer.new_end()
    peer.inject(end, "S", 0, None, 32792, MODERN)
    peer.run(20)
    peer.inject(end, "PA", 1, 1, data=100)
    peer.run(80)
    peer.poll(listener)
    sock, _ = listener.accept()
    peer.info(sock, "state")
    peer.call("recv", sock.recv, 1000)


@script
def syn_recv_ooo(peer):
    """data that overtook the last ACK, beyond"""
    listener = peer.listener()
    listener.setblocking(False)
    end = peer.new_end()
    peer.inject(end, "S", 0, None, 32792, MODERN)
    peer.run(20)
    peer.inject(end, "PA", 101, 1, data=100)
    peer.run(80)
    peer.poll(listener)
    sock, _ = listener.accept()
    peer.info(sock, "state")
    peer.inject(end, "PA", 1, 1, data=100)
    peer.run(80)
    peer.call("recv", sock.recv, 1000)


if __name__ == "__main__":
    main()
