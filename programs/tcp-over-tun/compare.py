#!/usr/bin/env python3
"""compare.py SWITCHBOARD EXPECT [ID...]: each script in a network namespace of the kernel's and under the runner; what it saw has
to be the same. One that differs is tried again, alone: a busy machine comes late. EXPECT names what differs, with a reason in each line."""

import concurrent.futures
import difflib
import importlib
import json
import os
import re
import subprocess
import sys

import peer

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from expectations import expectations  # noqa: E402

FILES = (
    "timers",
    "handshake",
    "listen",
    "states",
    "sending",
    "receiving",
    "recovery",
    "options",
    "icmp",
    "urgent",
    "fastopen",
    "mtu",
)
# A script sleeps, mostly.
AT_ONCE = 20
LIMIT = 60


def names(file):
    peer.SCRIPTS.clear()
    importlib.import_module(file)
    return list(peer.SCRIPTS)


def seen(ident, prefix):
    file, name = ident.split("/")
    command = [*prefix, sys.executable, os.path.join(HERE, file + ".py"), name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, stdin=subprocess.DEVNULL)
        return normal(json.loads(done.stdout.splitlines()[-1]))
    except subprocess.TimeoutExpired:
        return [(0, "it did not end")]
    except (IndexError, ValueError):
        return [(0, "it failed: " + done.stdout[-300:] + done.stderr[-600:])]


def normal(events):
    """Left out: which segments of a burst have the PSH, and how the kernel's clock of 4 ms rounds timeouts."""
    out = []
    for at, what in events:
        what = re.sub(r"^(\[\d+\] )?> (F?)P(A\S*) ", r"\1> \2\3 ", what)
        what = re.sub(r"\brto (\d+)", lambda m: "rto %.1f s" % (int(m[1]) / 1e6), what)
        out.append((at, what))
    return out


def late(ours, kernels):
    return abs(ours - kernels) > 60 + 0.06 * max(ours, kernels)


def same(ours, kernels):
    return len(ours) == len(kernels) and all(x[1] == y[1] and not late(x[0], y[0]) for x, y in zip(ours, kernels))


def show(ours, kernels):
    match = difflib.SequenceMatcher(None, [x[1] for x in kernels], [x[1] for x in ours], autojunk=False)
    for tag, a, b, c, d in match.get_opcodes():
        if tag == "equal":
            for (at, what), (our, _) in zip(kernels[a:b], ours[c:d]):
                print(f"  {'T' if late(at, our) else ' '} {at:8.1f} {our:8.1f}  {what}")
            continue
        for at, what in kernels[a:b]:
            print(f"  K {at:8.1f}           {what}")
        for at, what in ours[c:d]:
            print(f"  O          {at:8.1f}  {what}")


def main():
    switchboard, expect, *wanted = sys.argv[1:]
    kernel = ["unshare", "-n"]
    runner = [switchboard, "run", "--cap", "net_admin", "--linger", "--"]
    expected = {ident: kind for ident, kind, _ in expectations(expect)}
    idents = [f"{file}/{name}" for file in FILES for name in names(file)]
    unknown = set(expected) - set(idents)
    chosen = [i for i in idents if not wanted or i in wanted or i.split("/")[0] in wanted]
    chosen = [i for i in chosen if expected.get(i) != "skip"]
    failures = [f"{ident}: no such script" for ident in sorted(unknown)]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        both = {i: (pool.submit(seen, i, runner), pool.submit(seen, i, kernel)) for i in chosen}
        found = {i: (ours.result(), kernels.result()) for i, (ours, kernels) in both.items()}
    count = 0
    for ident, pair in found.items():
        wants = ident not in expected
        for _ in range(4):
            if same(*pair) == wants:
                break
            pair = (seen(ident, runner), seen(ident, kernel))
        if same(*pair) == wants:
            count += 1
        elif wants:
            failures.append(f"{ident}: differs")
            print(f"{ident} (K the kernel's, O ours, T another time)")
            show(*pair)
        else:
            failures.append(f"{ident}: is as the kernel's now: take it out of {os.path.basename(expect)}")
    print(f"{count} of {len(found)} as expected, {len(expected)} of them differ as said")
    for failure in failures:
        print(f"FAIL {failure}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
