"""foreign.py SWITCHBOARD EXPECTED DRIVER...: a foreign test suite on the host's kernel and under the runner, compared.

DRIVER is a command that runs the suite, or only the cases that it is given as arguments, and prints a line for each:
`ok ID`, `fail ID` or `skip ID`. It runs natively and by `SWITCHBOARD run`. A case whose outcome differs three times in a
row fails, unless the file of expectations has a line for it:

    ID  expect_failure  REASON     differs
    ID  skip            REASON     is not looked at: its outcome changes on the host's kernel too

A line whose case is the same on both sides, or does not exist, is stale and fails too. SWITCHBOARD=native runs both sides on
the host's kernel.
"""
import os
import subprocess
import sys

TRIES = 3
KINDS = ("ok", "fail", "skip")


def expectations(path):
    found = {}
    with open(path) as file:
        for number, line in enumerate(file, 1):
            words = line.split(None, 2)
            if not words or words[0].startswith("#"):
                continue
            if len(words) < 3 or words[1] not in ("expect_failure", "skip"):
                sys.exit(f"{path}:{number}: wants: ID expect_failure|skip REASON")
            found[words[0]] = words[1]
    return found


def arm(prefix, driver, only=()):
    """Outcome by case."""
    name = "runner" if prefix else "native"
    out = subprocess.run([*prefix, *driver, *only], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False).stdout
    found = {}
    for line in out.decode(errors="replace").splitlines():
        words = line.split(None, 1)
        if len(words) == 2 and words[0] in KINDS:
            found[words[1]] = words[0]
    if not found and not only:
        sys.exit(f"no case ran ({name})")
    return found


def main():
    switchboard, expected_path, *driver = sys.argv[1:]
    expected = expectations(expected_path)
    prefix = [] if switchboard == "native" else [switchboard, "run", "--"]
    native, trial = arm([], driver), arm(prefix, driver)
    for _ in range(TRIES - 1):
        again = [case for case in native.keys() | trial.keys()
                 if native.get(case) != trial.get(case) and expected.get(case) is None]
        if not again:
            break
        native.update(arm([], driver, again))
        trial.update(arm(prefix, driver, again))
    bad = 0
    for case in sorted(native.keys() | trial.keys()):
        if native.get(case) != trial.get(case) and case not in expected:
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
