"""cases.py [ID...]: Ruby's tests by the packaged ruby, each file on a host of its own; a case is a test, as FILE:CLASS#TEST, or the
file itself, which is ok when all of it ran."""
import concurrent.futures
import glob
import os
import re
import shlex
import subprocess
import sys

LIMIT = 180  # seconds for a file
# Natively too: some tests talk to each address of the machine.
RUN = shlex.split(os.environ["RUN"]) or ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "-"]
RUBY = os.path.join(os.environ["SOURCES"], "ruby")
PATTERNS = ("socket/test_*.rb", "net/*/test_*.rb", "io/nonblock/test_*.rb", "io/wait/test_*.rb", "fiber/test_*.rb", "openssl/test_ssl*.rb")


def run(file):
    """The outcomes of a file."""
    command = [*RUN, "ruby", *(f"-I{RUBY}/{each}" for each in ("tool/lib", "test/lib")), f"{RUBY}/tool/test/runner.rb",
               f"{RUBY}/test/{file}", "-v", "--seed=1"]
    directory = os.path.join(os.environ["TMPDIR"], file.replace("/", "-"))
    os.makedirs(directory)
    env = dict(os.environ, TMPDIR=directory)
    try:
        out = subprocess.run(command, cwd=directory, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return [("cut", file)]
    finally:
        subprocess.run(["rm", "-rf", directory], check=True)
    said = out.stdout.decode(errors="replace")
    found = {case: "ok" for case in re.findall(r"^\[ *\d+/\d+\] (\S+#\S+) = ", said, re.M)}
    for kind, case in re.findall(r"^ +\d+\) (Failure|Error|Skipped):\n(\S+#\S+?):?(?: |$)", said, re.M):
        found[case] = "skip" if kind == "Skipped" else "fail"
    # The last line but one has the counts.
    counted = re.search(r"^(\d+) tests, ", said, re.M)
    if counted and int(counted[1]) == len(found):
        outcomes = [("ok", file)]
    else:
        outcomes = [("fail", file)]
        print(f"{file}: status {out.returncode}: {said[-2000:]}", file=sys.stderr)
    return outcomes + [(outcome, f"{file}:{case}") for case, outcome in found.items()]


files = sorted({case.partition(":")[0] for case in sys.argv[1:]} or
               {os.path.relpath(path, f"{RUBY}/test") for pattern in PATTERNS for path in glob.glob(f"{RUBY}/test/{pattern}")})
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    for outcomes in pool.map(run, files):
        for outcome in outcomes:
            print(*outcome, flush=True)
