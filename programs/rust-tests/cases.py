"""cases.py [ID...]: the tests of crates by their own test programs; a case is a test, as CRATE.PROGRAM:NAME."""
import os
import re
import subprocess
import sys

LIMIT = 300  # seconds for a program
TESTS = os.path.join(os.environ["SOURCES"], "rust", "bin")
# Of nix what has to do with sockets: others change the machine.
ONLY = {"nix.test": ["sys::test_socket::", "sys::test_sockopt::", "sys::test_uio::", "sys::test_select::", "sys::test_epoll::",
                     "test_net::", "test_poll::", "test_sendfile::"]}
KINDS = {"ok": "ok", "FAILED": "fail", "ignored": "skip"}


def run(program, tests):
    command = [os.path.join(TESTS, program), *(["--exact", *tests] if tests else ONLY.get(program, []))]
    try:
        out = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=LIMIT,
                             check=False)
    except subprocess.TimeoutExpired:
        print("cut", program, flush=True)
        return
    for line in out.stdout.decode(errors="replace").splitlines():
        found = re.match(r"test (\S+).* \.\.\. (ok|FAILED|ignored)", line)
        if found:
            print(KINDS[found[2]], f"{program}:{found[1]}")
    # Of the whole: a test that aborts takes all others with it. 101: some test failed.
    print("ok" if out.returncode in (0, 101) else "fail", program, flush=True)


wanted = {}
for case in sys.argv[1:]:
    name, _, test = case.partition(":")
    wanted.setdefault(name, []).append(test)
for name in sorted(wanted or os.listdir(TESTS)):
    tests = wanted.get(name, [])
    run(name, [] if "" in tests else tests)
