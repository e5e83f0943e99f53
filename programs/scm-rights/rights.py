"""rights.py PORT: what a process sends, another one (exec'd, so that nothing is shared) uses. Prints ok."""
import array
import errno
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
import threading

TYPES = {"stream": socket.SOCK_STREAM, "dgram": socket.SOCK_DGRAM, "seqpacket": socket.SOCK_SEQPACKET}
INT = struct.calcsize("i")


def receive(connection, count, flags=0):
    text, control, got_flags, _ = connection.recvmsg(4096, socket.CMSG_SPACE(count * INT), flags)
    fds = array.array("i")
    for level, kind, data in control:
        assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS), (level, kind)
        fds.frombytes(data[: len(data) - len(data) % INT])
    return text, list(fds), got_flags


def worker(fd):
    """Takes descriptors with an instruction and says what came of it."""
    connection = socket.socket(fileno=fd)
    while True:
        text, fds, _ = receive(connection, 16)
        if text in (b"", b"end"):
            return
        if text == b"accept":
            with socket.socket(fileno=fds[0]) as listener:
                assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
                peer, _ = listener.accept()
                with peer:
                    peer.sendall(b"accepted elsewhere")
        elif text == b"talk":
            with socket.socket(fileno=fds[0]) as peer:
                peer.sendall(peer.recv(100)[::-1])
        elif text == b"read":
            os.write(fds[1], os.read(fds[0], 100).upper())
            os.close(fds[0])
            os.close(fds[1])
        elif text == b"offset":
            os.lseek(fds[0], 3, os.SEEK_CUR)
            os.close(fds[0])
        connection.send(b"done " + text)


class Worker:
    def __init__(self, kind):
        self.socket, there = socket.socketpair(socket.AF_UNIX, TYPES[kind])
        self.socket.settimeout(20)
        with there:
            self.process = subprocess.Popen([sys.executable, __file__, "worker", str(there.fileno())], pass_fds=[there.fileno()])

    def give(self, text, *fds):
        socket.send_fds(self.socket, [text], [fd if isinstance(fd, int) else fd.fileno() for fd in fds])

    def done(self, text):
        got = self.socket.recv(100)
        assert got == b"done " + text, got

    def end(self):
        self.socket.send(b"end")
        self.socket.close()
        assert self.process.wait(20) == 0


def between_processes(kind, port):
    other = Worker(kind)

    # A listener: closed here before it is used there.
    listener = socket.create_server(("127.0.0.1", port))
    other.give(b"accept", listener)
    listener.close()
    with socket.create_connection(("127.0.0.1", port), 20) as client:
        assert client.makefile("rb").read() == b"accepted elsewhere"
    other.done(b"accept")
    try:
        socket.create_connection(("127.0.0.1", port), 20)
        raise AssertionError("somebody listens")
    except ConnectionRefusedError:
        pass

    # Connections of every family and type; what is in the queue goes along.
    tcp_listener = socket.create_server(("127.0.0.1", port))
    pairs = [socket.socketpair(socket.AF_UNIX, socktype) for socktype in TYPES.values()]
    client = socket.create_connection(("127.0.0.1", port), 20)
    pairs.append((client, tcp_listener.accept()[0]))
    tcp_listener.close()
    udp = [socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(2)]
    for one in udp:
        one.bind(("::1", 0))
    udp[0].connect(udp[1].getsockname())
    udp[1].connect(udp[0].getsockname())
    pairs.append(udp)
    for ours, theirs in pairs:
        ours.settimeout(20)
        ours.send(b"waiting")
        other.give(b"talk", theirs)
        theirs.close()
        assert ours.recv(100) == b"gnitiaw", ours
        other.done(b"talk")
        ours.close()

    # Pipes and files: descriptors that are not sockets.
    (source, write), (read, sink) = os.pipe(), os.pipe()
    other.give(b"read", source, sink)
    os.close(source)
    os.close(sink)
    os.write(write, b"through two pipes")
    assert os.read(read, 100) == b"THROUGH TWO PIPES"
    os.close(read)
    os.close(write)
    other.done(b"read")
    with tempfile.TemporaryFile() as file:
        file.write(b"0123456789")
        file.flush()
        os.lseek(file.fileno(), 1, os.SEEK_SET)
        other.give(b"offset", file)
        other.done(b"offset")
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == 4, "the offset is shared"
    other.end()


def details():
    a, b = socket.socketpair()
    extra = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    # A read may go over from plain bytes into those with descriptors, but ends with them.
    a.send(b"plain ")
    socket.send_fds(a, [b"one"], [extra.fileno()])
    a.send(b"more")
    text, fds, _ = receive(b, 4)
    assert (text, len(fds)) == (b"plain one", 1), (text, fds)
    os.close(fds[0])
    assert receive(b, 4)[:2] == (b"more", [])

    # MSG_CMSG_CLOEXEC.
    for flags, inheritable in ((0, True), (socket.MSG_CMSG_CLOEXEC, False)):
        socket.send_fds(a, [b"x"], [extra.fileno()])
        _, control, _, _ = b.recvmsg(10, socket.CMSG_SPACE(INT), flags)
        fd = struct.unpack("i", control[0][2])[0]
        # Python's recvmsg leaves the flag as the kernel set it.
        assert os.get_inheritable(fd) == inheritable, (flags, inheritable)
        os.close(fd)

    # Two descriptors, room for one: the other is dropped, and told. No room: all dropped.
    for space, count in ((socket.CMSG_LEN(INT), 1), (4, 0), (0, 0)):
        socket.send_fds(a, [b"x"], [extra.fileno()] * 2)
        before = len(os.listdir("/proc/self/fd"))
        _, control, flags, _ = b.recvmsg(10, space)
        assert flags & socket.MSG_CTRUNC, space
        assert len(os.listdir("/proc/self/fd")) == before + count, space
        for _, _, data in control:
            for fd in struct.unpack("i", data[:INT]):
                os.close(fd)

    # A plain read throws them away; MSG_PEEK gives copies, the receive after it others.
    socket.send_fds(a, [b"x"], [extra.fileno()])
    assert b.recv(10) == b"x"
    socket.send_fds(a, [b"x"], [extra.fileno()])
    peeked = receive(b, 1, socket.MSG_PEEK)[1]
    taken = receive(b, 1)[1]
    assert len(peeked) == 1 and len(taken) == 1 and peeked != taken
    for fd in peeked + taken:
        assert os.fstat(fd).st_ino == os.fstat(extra.fileno()).st_ino
        os.close(fd)

    # 253 in one message, not 254; a bad one among good ones: none.
    socket.send_fds(a, [b"x"], [extra.fileno()] * 253)
    fds = receive(b, 253)[1]
    assert len(fds) == 253
    for fd in fds:
        os.close(fd)
    for wrong, error in (([extra.fileno()] * 254, errno.EINVAL), ([extra.fileno(), 9999], errno.EBADF)):
        try:
            socket.send_fds(a, [b"x"], wrong)
            raise AssertionError(f"sent, wanted {error}")
        except OSError as e:
            assert e.errno == error, e
    b.setblocking(False)
    try:
        b.recv(10)
        raise AssertionError("something was sent")
    except BlockingIOError:
        pass
    b.setblocking(True)

    # In flight counts as open: the peer of a socket that lies in a queue sees no end, until the queue goes.
    c, d = socket.socketpair()
    socket.send_fds(a, [b"x"], [d.fileno()])
    d.close()
    poll = select.poll()
    poll.register(c, select.POLLIN)
    assert poll.poll(50) == []
    a.close()
    b.close()
    assert poll.poll(5000) == [(c.fileno(), select.POLLIN | select.POLLHUP)], "the queue's end closes what lay in it"
    assert c.recv(1) == b""
    c.close()

    # A socket in its own queue, closed: no error, and the next check of the supervisor's table finds it gone.
    a, b = socket.socketpair()
    socket.send_fds(a, [b"x"], [b.fileno()])
    socket.send_fds(b, [b"x"], [a.fileno()])
    a.close()
    b.close()
    extra.close()


def credentials():
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    there.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    pid = os.fork()
    if pid == 0:
        here.send(b"from the child")
        os._exit(0)
    text, control, _, _ = there.recvmsg(100, socket.CMSG_SPACE(12))
    os.waitpid(pid, 0)
    assert text == b"from the child"
    assert control == [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("iII", pid, os.getuid(), os.getgid()))], control
    # Who connects and who listens, seen from each other.
    path = os.path.join(os.environ["TMPDIR"], "listener")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    pid = os.fork()
    if pid == 0:
        client = socket.socket(socket.AF_UNIX)
        client.connect(path)
        peer = struct.unpack("iII", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        assert peer == (os.getppid(), os.getuid(), os.getgid()), peer
        client.recv(1)
        os._exit(0)
    server, _ = listener.accept()
    peer = struct.unpack("iII", server.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    assert peer == (pid, os.getuid(), os.getgid()), peer
    server.close()
    assert os.waitpid(pid, 0)[1] == 0
    listener.close()
    os.unlink(path)
    # A process id that is not one's own may not be claimed by an ordinary user.
    claim = [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("iII", 1, os.getuid(), os.getgid()))]
    try:
        here.sendmsg([b"x"], claim)
        assert os.getuid() == 0, "claimed another's process id"
    except PermissionError:
        assert os.getuid() != 0
    here.close()
    there.close()


def between_threads():
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def sender():
        for n in range(300):
            read, write = os.pipe()
            os.write(write, b"%d" % n)
            os.close(write)
            socket.send_fds(a, [b"%d" % n], [read])
            os.close(read)
        a.close()

    thread = threading.Thread(target=sender)
    thread.start()
    for n in range(300):
        text, fds, _ = receive(b, 1)
        assert text == b"%d" % n and os.read(fds[0], 10) == text
        os.close(fds[0])
    assert receive(b, 1)[0] == b""
    thread.join()
    b.close()


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        worker(int(sys.argv[2]))
    else:
        for kind in TYPES:
            between_processes(kind, int(sys.argv[1]))
        details()
        credentials()
        between_threads()
        print("ok")
