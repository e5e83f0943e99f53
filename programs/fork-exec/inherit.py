"""inherit.py PORT: sockets over Python's ways to start a process. Prints ok."""
import multiprocessing
import os
import socket
import subprocess
import sys


def serve(listener, count):
    for _ in range(count):
        connection, _ = listener.accept()
        with connection:
            connection.sendall(connection.recv(100).upper())


def ask(port, text):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        return connection.makefile("rb").read()


def main():
    port = int(sys.argv[1])
    listener = socket.create_server(("127.0.0.1", port))

    # A file descriptor named in the arguments, made into a socket again: family, type and name are found out.
    code = (
        "import socket, sys; l = socket.socket(fileno=int(sys.argv[1])); assert l.family == socket.AF_INET, l;"
        "assert l.type == socket.SOCK_STREAM, l; c, _ = l.accept(); c.sendall(c.recv(100)[::-1])"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(listener.fileno())], pass_fds=[listener.fileno()])
    assert ask(port, b"abc") == b"cba"
    assert child.wait(20) == 0

    # Not passed: closed at exec.
    check = f"import os, errno\ntry: os.fstat({listener.fileno()})\nexcept OSError as e: raise SystemExit(e.errno)"
    assert subprocess.run([sys.executable, "-c", check], close_fds=False).returncode == 9, "close-on-exec"

    # inetd: the connection is the program's standard input and output.
    here, there = socket.socketpair()
    child = subprocess.Popen(["tr", "a-z", "A-Z"], stdin=there, stdout=there)
    there.close()
    here.sendall(b"shout")
    here.shutdown(socket.SHUT_WR)
    assert here.makefile("rb").read() == b"SHOUT"
    assert child.wait(20) == 0

    # multiprocessing: fork inherits, spawn and forkserver send the descriptor.
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        workers = [context.Process(target=serve, args=(listener, 5)) for _ in range(3)]
        for worker in workers:
            worker.start()
        for n in range(15):
            assert ask(port, b"message %d" % n) == b"MESSAGE %d" % n
        for worker in workers:
            worker.join(20)
            assert worker.exitcode == 0, (method, worker.exitcode)
        if method == "forkserver":
            # It serves until this process ends; end it now, so that nothing outlives the test.
            from multiprocessing import forkserver, resource_tracker

            forkserver._forkserver._stop()
            resource_tracker._resource_tracker._stop()

    # A child that ends takes nothing away from its parent.
    pid = os.fork()
    if pid == 0:
        listener.close()
        os._exit(0)
    os.waitpid(pid, 0)
    pid = os.fork()
    if pid == 0:
        serve(listener, 1)
        os._exit(0)
    assert ask(port, b"still") == b"STILL"
    assert os.waitpid(pid, 0)[1] == 0
    listener.close()
    try:
        ask(port, b"gone")
    except ConnectionRefusedError:
        print("ok")


if __name__ == "__main__":
    main()
