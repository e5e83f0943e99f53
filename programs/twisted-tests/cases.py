"""cases.py [ID...]: the tests of Twisted and Tornado that Debian packages, each module on a host of its own; a case is a test, by its
dotted name, or the module itself, which is ok when all of it ran."""
import concurrent.futures
import os
import re
import shlex
import subprocess
import sys

LIMIT = 240  # seconds for a module
# Natively too: some tests look for what the machine has.
RUN = shlex.split(os.environ["RUN"]) or ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "-"]
INTERNET = ("abstract address base core default endpoints epollreactor fdset filedescriptor iocp main newtls posixbase protocol serialport "
            "sigchld socket stdio tcp tls udp unix")
CLASSIC = "adbapi ftp internet pb policies protocols socks ssl stdio tcp tcp_internals udp unix"
TORNADO = "asyncio httpserver ioloop iostream netutil process simple_httpclient tcpclient tcpserver web websocket"
MODULES = [*(f"twisted.internet.test.test_{name}" for name in INTERNET.split()), *(f"twisted.test.test_{name}" for name in CLASSIC.split()),
           "twisted.names.test.test_names", "twisted.names.test.test_server", "twisted.web.test.test_http", "twisted.web.test.test_web",
           *(f"tornado.test.{name}_test" for name in TORNADO.split())]
TRIAL = {"OK": "ok", "FAIL": "fail", "ERROR": "fail", "SKIPPED": "skip", "TODO": "skip", "SUCCESS!?!": "ok"}


def trial(module, said):
    """Outcomes as trial's verbose reporter tells them, by case: class and test stand on lines of their own."""
    found = {}
    at = name = ""
    for line in said.splitlines():
        if re.fullmatch(r"  \w+", line):
            at = line.strip()
        elif started := re.match(r"    (\w+) \.\.\. ", line):
            name = started[1]
        # A test may print something before.
        if name and (ended := re.search(r" \[(\S+)\]$", line)) and ended[1] in TRIAL:
            found[f"{module}.{at}.{name}"] = TRIAL[ended[1]]
            name = ""
    return found


def unittest(said):
    """Outcomes as unittest tells them, by case."""
    kinds = {"ok": "ok", "FAIL": "fail", "ERROR": "fail", "skipped": "skip", "expected": "skip"}
    return {case: kinds[kind] for case, kind in
            re.findall(r"^\w+ \((\S+)\)(?:\n.*?)? \.\.\. (?:.*\n)*?(ok|FAIL|ERROR|skipped|expected)\b", said, re.M)}


def run(work):
    """The outcomes of a module, or of cases of it."""
    module, cases = work
    directory = os.path.join(os.environ["TMPDIR"], module)
    os.makedirs(directory)
    if module.startswith("twisted"):
        command = ["-m", "twisted.trial", "--reporter=verbose", "--temp-directory", os.path.join(directory, "trial"), *(cases or [module])]
    else:
        command = ["-m", "tornado.testing", "--verbose", *(cases or [module])]
    try:
        out = subprocess.run([*RUN, "/usr/bin/python3", *command], cwd=directory, env=dict(os.environ, TMPDIR=directory),
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return [("cut", module)]
    finally:
        subprocess.run(["rm", "-rf", directory], check=True)
    said = out.stdout.decode(errors="replace")
    found = trial(module, said) if module.startswith("twisted") else unittest(said)
    counted = re.search(r"^Ran (\d+) tests? in ", said, re.M)
    whole = counted and int(counted[1]) == len(found)
    if not whole:
        print(f"{module}: status {out.returncode}, {len(found)} cases: {said[-1500:]}", file=sys.stderr)
    return [("ok" if whole else "fail", module), *((outcome, case) for case, outcome in found.items())]


wanted = {}
for case in sys.argv[1:]:
    of = next(module for module in MODULES if f"{case}.".startswith(f"{module}."))
    wanted.setdefault(of, []).append(case)
works = [(module, [] if module in cases else cases) for module, cases in wanted.items()] or [(module, []) for module in MODULES]
with concurrent.futures.ThreadPoolExecutor(3) as pool:
    for outcomes in pool.map(run, works):
        for outcome in outcomes:
            print(*outcome, flush=True)
