"""foreign.py SWITCHBOARD EXPECTED DRIVER...: a foreign test suite on the host's kernel and under the runner, compared.

DRIVER is a command that runs the suite, or only the cases that it is given as arguments, and prints a line for each:
`ok ID`, `fail ID` or `skip ID`, and `cut ID` for what was ended before its own end, so that nothing is known of the rest of it;
its status is 0 when it went to its end, whatever the outcomes. It runs natively and by `SWITCHBOARD run`. A case whose
outcome differs, or that is cut natively, three times in a row fails, unless the file of expectations has a line for it:

    ID  expect_failure  REASON     differs
    ID  skip            REASON     is not looked at: its outcome changes on the host's kernel too

A line whose case is the same on both sides, or does not exist, is stale and fails too. SWITCHBOARD=native runs both sides on
the host's kernel. RUN_OPTIONS are the run's. With RUN_EACH=1 the driver makes the runs itself: RUN is what to put before a command,
nothing natively.
"""
import os
import shlex
import subprocess
import sys

from expectations import expectations

TRIES = 3
KINDS = ("ok", "fail", "skip", "cut")


def arm(prefix, driver, only=()):
    """Outcome by case."""
    name = "runner" if prefix else "native"
    env = dict(os.environ, RUN=shlex.join(prefix))
    before = [] if "RUN_EACH" in env else prefix
    done = subprocess.run([*before, *driver, *only], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        sys.exit(f"the driver ended with status {done.returncode} ({name}): not all cases ran")
    found = {}
    for line in done.stdout.decode(errors="replace").splitlines():
        words = line.split(None, 1)
        if len(words) == 2 and words[0] in KINDS:
            found[words[1]] = words[0]
    if not found and not only:
        sys.exit(f"no case ran ({name})")
    return found


def main():
    switchboard, expected_path, *driver = sys.argv[1:]
    expected = {case: kind for case, kind, _ in expectations(expected_path)}
    options = shlex.split(os.environ.get("RUN_OPTIONS", ""))
    prefix = [] if switchboard == "native" else [switchboard, "run", *options, "--"]
    native, trial = arm([], driver), arm(prefix, driver)

    def surprising():
        return [case for case in sorted(native.keys() | trial.keys())
                if (native.get(case) != trial.get(case) or native[case] == "cut") and case not in expected]

    for _ in range(TRIES - 1):
        again = surprising()
        if not again:
            break
        native.update(arm([], driver, again))
        trial.update(arm(prefix, driver, again))
    bad = 0
    for case in surprising():
        print(f"DIFFERS {case}: {native.get(case)} natively, {trial.get(case)} under the runner")
        bad += 1
    for case, kind in expected.items():
        if case not in native or (kind == "expect_failure" and prefix and native[case] == trial.get(case)):
            print(f"STALE {os.path.basename(expected_path)}: {case} does not differ")
            bad += 1
    counts = ", ".join(f"{sum(o == kind for o in native.values())} {kind}" for kind in KINDS)
    print(f"{len(native)} cases ({counts} natively), {bad} not as expected")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
