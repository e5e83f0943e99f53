"""cases.py [ID...]: Node's tests of its sockets by the packaged node; a case is a file."""
import concurrent.futures
import glob
import os
import re
import subprocess
import sys

LIMIT = 120  # seconds
KINDS = ("net", "dgram", "tcp", "pipe", "socket")

os.chdir(os.path.join(os.environ["SOURCES"], "node", "test"))


def run(file):
    """The line for a case."""
    with open(file, encoding="utf-8") as source:
        flags = " ".join(re.findall(r"^// Flags:(.*)$", source.read(), re.M)).split()
    env = dict(os.environ, NODE_TEST_DIR=os.environ["TMPDIR"], TEST_THREAD_ID=f"{os.getpid()}{FILES.index(file)}")
    try:
        status = subprocess.run(["node", *flags, file], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL, timeout=LIMIT, start_new_session=True, check=False).returncode
    except subprocess.TimeoutExpired:
        return f"cut {file}"
    return f"{'ok' if status == 0 else 'fail'} {file}"


FILES = sys.argv[1:] or sorted(f for kind in KINDS for d in ("parallel", "sequential") for f in glob.glob(f"{d}/test-{kind}-*.js"))
with concurrent.futures.ThreadPoolExecutor(os.cpu_count() + 1) as pool:
    for line in pool.map(run, [f for f in FILES if f.startswith("parallel")]):
        print(line, flush=True)
for each in FILES:
    if each.startswith("sequential"):
        print(run(each), flush=True)
