"""cases.py [ID...]: Go's tests, each package a program; a case is a test or a test within one, as PACKAGE:NAME."""
import os
import re
import subprocess
import sys
import time

LIMIT = 300  # seconds for a package
TESTS = os.path.join(os.environ["SOURCES"], "go")
# -short leaves out what looks for hosts of the Internet. These join groups on the machine's own interfaces.
LEFT_OUT = re.compile("Multicast|GroupListener|IGMP|MLD|^TestInterfaceArrival")
KINDS = {"PASS": "ok", "FAIL": "fail", "SKIP": "skip"}


def where(package):
    """A package's tests read files beside their sources."""
    for prefix, root in (("x_net_", "/usr/share/gocode/src/golang.org/x/net"), ("x_sys_", "/usr/share/gocode/src/golang.org/x/sys")):
        if package.startswith(prefix):
            return os.path.join(root, package[len(prefix):].replace("_", "/"))
    return os.path.join("/usr/lib/go/src", package.replace("_", "/"))


def run(package, tests):
    program = os.path.join(TESTS, f"{package}.test")
    if not tests:
        listed = subprocess.run([program, "-test.list", "."], cwd=where(package), stdout=subprocess.PIPE, check=True).stdout
        tests = [test for test in listed.decode().split() if test.startswith(("Test", "Example")) and not LEFT_OUT.search(test)]
    names = "|".join(sorted({re.escape(test.split("/")[0]) for test in tests}))
    command = [program, f"-test.run=^({names})$", "-test.v", "-test.short", f"-test.timeout={LIMIT}s"]
    begin = time.monotonic()
    out = subprocess.run(command, cwd=where(package), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                         timeout=LIMIT + 30, check=False)
    for line in out.stdout.decode(errors="replace").splitlines():
        found = re.match(r"\s*--- (PASS|FAIL|SKIP): (\S+)", line)
        if found:
            print(KINDS[found[1]], f"{package}:{found[2]}")
    # Of the whole: a test that panics takes all others with it, and so does the end of the time.
    if out.returncode in (0, 1):
        print("ok", package, flush=True)
    else:
        print("cut" if time.monotonic() - begin >= LIMIT else "fail", package, flush=True)


wanted = {}
for case in sys.argv[1:]:
    name, _, test = case.partition(":")
    wanted.setdefault(name, []).append(test)
for name in sorted(wanted or (f[:-5] for f in os.listdir(TESTS) if f.endswith(".test"))):
    tests = wanted.get(name, [])
    run(name, [] if "" in tests else tests)
