"""Writes a lab of many hosts: each but the first has connections to the first, and keeps them busy for a while."""

import sys

hosts, connections, seconds = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
each = -(-connections // (hosts - 1))
total = each * (hosts - 1)
# docs/lab.md, `subnet`
server = "10.0.1.1" if hosts <= 254 else "10.128.0.1"
print(f"""time_limit = "{seconds + 50}s"
[host.server]
[program.server]
host = "server"
run = ["python3", "-u", "-S", "-E", "-c", '''
import select, socket, time
start = time.monotonic()
listener = socket.create_server(("0.0.0.0", 8000), backlog=4096)
listener.setblocking(False)
poll = select.epoll()
poll.register(listener.fileno(), select.EPOLLIN)
held, most, echoed = dict(), 0, 0
print("listening", flush=True)
while most < {total} or held:
    for fd, event in poll.poll():
        if fd == listener.fileno():
            try:
                while True:
                    c, peer = listener.accept()
                    c.setblocking(False)
                    held[c.fileno()] = c
                    poll.register(c.fileno(), select.EPOLLIN)
            except BlockingIOError:
                pass
            if len(held) > most:
                most = len(held)
                if most == {total}:
                    print(f"{total} connections after %.3f s" % (time.monotonic() - start), flush=True)
        else:
            data = held[fd].recv(4096)
            if data:
                echoed += held[fd].send(data)
            else:
                held.pop(fd).close()
print("echoed", echoed)
''']
ready.port = 8000
expect.output = "^{total} connections"
""")
for n in range(1, hosts):
    print(f"""[host.h{n}]
[program.h{n}]
after = "server"
run = ["bash", "-c", '''
for i in {{1..{each}}}; do exec {{fd}}<>/dev/tcp/{server}/8000; fds+=($fd); done
for s in {{1..{seconds}}}; do
    sleep 1
    for fd in ${{fds[@]}}; do echo hello >&$fd; read -t 5 -u $fd line; [ "$line" = hello ] || exit 1; done
done
''']
""")
