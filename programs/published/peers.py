"""Tells each client by which address and port it is seen: TCP at port 7090, UDP at port 7091."""
import socket
import threading


def streams():
    listener = socket.create_server(("", 7090))
    print("ready")
    while True:
        connection, peer = listener.accept()
        with connection:
            assert connection.getpeername() == peer
            connection.sendall("{} {}".format(*peer).encode())


datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("", 7091))
threading.Thread(target=streams, daemon=True).start()
while True:
    data, peer = datagrams.recvfrom(1 << 16)
    datagrams.sendto(data + " {} {}".format(*peer).encode(), peer)
