"""Sends five million bytes to whoever connects, behind the address that it sees him at."""

import socket

server = socket.create_server(("10.9.0.2", 8000))
data = bytes(n * n % 251 for n in range(5000)) * 1000
while True:
    client, peer = server.accept()
    client.sendall(peer[0].encode() + b"\n" + data)
    client.close()
