"""What comes in each synchronized state: resets, SYNs, segments that do not belong there, data."""

from peer import *

# Where the peer's next segment belongs, in each state.
NEXT = {"estab": (1, 1), "fw1": (1, 2), "fw2": (1, 2), "cw": (2, 1), "la": (2, 2), "closing": (2, 2), "tw": (2, 2)}


def reach(peer, state):
    sock, end = peer.server()
    if state in ("cw", "la"):
        peer.inject(end, "FA", 1, 1)
    if state == "la":
        peer.run(60)
    if state not in ("estab", "cw"):
        sock.shutdown(socket.SHUT_WR)
        peer.run(5)
    if state == "fw2":
        peer.inject(end, "A", 1, 2)
    if state == "closing":
        peer.inject(end, "FA", 1, 1)
    if state == "tw":
        peer.inject(end, "FA", 1, 2)
    peer.run(60)
    return sock, end


def in_each_state(function):
    for state in NEXT:

        def whole(peer, state=state):
            sock, end = reach(peer, state)
            function(peer, sock, end, *NEXT[state])

        SCRIPTS[f"{function.__name__}_{state}"] = whole


@in_each_state
def rst(peer, sock, end, seq, ack):
    peer.inject(end, "R", seq)
    peer.run(30)
    peer.info(sock, "state")
    peer.so_error(sock)
    peer.poll(sock)
    peer.call("recv", sock.recv, 10)
    peer.call("send", sock.send, b"x")
    peer.inject(end, "A", seq, ack)
    peer.run(30)


@in_each_state
def rst_window(peer, sock, end, seq, ack):
    for flags, at in (("R", seq + 100), ("R", seq + 100000), ("R", seq - 1), ("RA", seq)):
        peer.inject(end, flags, at, ack + 5000 if flags == "RA" else None)
        peer.run(30)
        peer.info(sock, "state")


@in_each_state
def syn(peer, sock, end, seq, ack):
    for flags, at in (("S", seq), ("S", seq + 5000), ("SA", seq), ("S", seq - 500)):
        peer.inject(end, flags, at, ack if flags == "SA" else None)
        # Answers are limited to two in a second (tcp_invalid_ratelimit).
        peer.run(520)
    peer.info(sock, "state")


@in_each_state
def odd(peer, sock, end, seq, ack):
    peer.inject(end, "A", seq, ack + 100)
    peer.run(700)
    peer.inject(end, "A", seq, ack - 100000)
    peer.run(700)
    peer.inject(end, "", seq, None, data=5)
    peer.run(50)
    peer.inject(end, "A", seq + 200000, ack, data=5)
    peer.run(700)
    peer.inject(end, "A", seq - 3, ack, data=2)
    peer.run(700)
    peer.inject(end, "FA", seq, ack)
    peer.run(50)
    peer.info(sock, "state")
    peer.poll(sock)


@in_each_state
def data(peer, sock, end, seq, ack):
    peer.inject(end, "PA", seq, ack, data=5)
    peer.run(60)
    peer.inject(end, "PA", seq + 5, ack, data=5)
    peer.run(100)
    peer.info(sock, "state")
    peer.poll(sock)
    peer.so_error(sock)


@in_each_state
def data_closed(peer, sock, end, seq, ack):
    sock.close()
    peer.run(20)
    peer.inject(end, "PA", seq, ack, data=5)
    peer.run(60)
    peer.inject(end, "PA", seq + 5, ack, data=5)
    peer.run(100)


if __name__ == "__main__":
    main()
