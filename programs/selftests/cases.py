"""cases.py [ID...]: Linux's selftests of sockets, each line of cases.txt on a host of its own. A case is a line, ok when its
program ends well, or a case of it, as LINE:NAME."""
import concurrent.futures
import os
import re
import shlex
import signal
import subprocess
import sys

LIMIT = 60  # seconds for a line
HERE = os.path.dirname(os.path.abspath(__file__))
RUN = shlex.split(os.environ["RUN"])
MTU = "ip link set dev lo mtu 1500 && ip addr add dev lo 10.0.0.1/32 && ip addr add dev lo fd00::1/128 nodad noprefixroute && "
# KSFT_SKIP
STATUS = {0: "ok", 4: "skip"}


def lines():
    """Name, whether it has cases of its own, tunables and command."""
    with open(os.path.join(HERE, "cases.txt"), encoding="utf-8") as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                name, tunables, command = (word.strip() for word in line.split("|", 2))
                yield name.rstrip("*"), name.endswith("*"), [each for each in tunables.split(";") if each], command


def whole(tunables, command):
    """The command on a host of its own: a run, or natively a network namespace."""
    before = ""
    if command.startswith("MTU "):
        before, command = MTU, command[4:]
    script = f"{before}exec {command}"
    if RUN:
        return [*RUN[:-1], *(word for each in tunables for word in ("--sysctl", each)), RUN[-1], "sh", "-c", script]
    settings = "".join(f"sysctl -q -w '{each}' && " for each in tunables)
    return ["unshare", "-n", "sh", "-c", f"ip link set lo up && {settings}{script}"]


def run(line):
    """The outcomes of a line."""
    name, tap, tunables, command = line
    directory = os.path.join(os.environ["TMPDIR"], name)
    os.makedirs(directory)
    env = dict(os.environ, PATH=os.path.join(os.environ["SOURCES"], "selftests") + ":" + os.environ["PATH"])
    with open(os.path.join(directory, "out"), "w+", encoding="utf-8", errors="replace") as out:
        process = subprocess.Popen(whole(tunables, command), env=env, cwd=directory, stdin=subprocess.DEVNULL, stdout=out,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        try:
            status = process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            status = None
        out.seek(0)
        said = out.read()
    if status != 0:
        print(f"{name} {'under the runner' if RUN else 'natively'}: {status}: {' / '.join(said.splitlines()[-4:])}", file=sys.stderr)
    subprocess.run(["rm", "-rf", directory], check=True)
    found = []
    if tap:
        for good, case, skipped in re.findall(r"^(ok|not ok) \d+ (?:- )?(.*?)( # SKIP.*)?$", said, re.M):
            found.append((("skip" if skipped else "ok") if good == "ok" else "fail", f"{name}:{case.strip().replace(' ', '_')}"))
    found.append(("cut" if status is None else STATUS.get(status, "fail"), name))
    return found


wanted = {case.partition(":")[0] for case in sys.argv[1:]}
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    for outcomes in pool.map(run, [line for line in lines() if not wanted or line[0] in wanted]):
        for outcome in outcomes:
            print(*outcome, flush=True)
