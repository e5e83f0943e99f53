"""compare.py SWITCHBOARD EXPECTED MODULE...: CPython's own tests on the host's kernel and under the runner, compared.

Every case of the modules runs natively and by `SWITCHBOARD run`. A case whose outcome differs fails, unless the file of
expectations has a line for it; a line whose cases pass on both sides, or do not exist, is stale and fails too. A line is

    ID  expect_failure  REASON     passes natively, does not under the runner
    ID  skip            REASON     run in neither

where ID may be a pattern (fnmatch) and REASON says why. A difference counts when it is there three times in a row.
SWITCHBOARD=native runs both sides on the host's kernel.
"""
import concurrent.futures
import fnmatch
import os
import pkgutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, "..", "lib"))
from expectations import expectations  # noqa: E402

WORK = os.environ["WORK"]
CASE_LIMIT = 30  # seconds
MODULE_LIMIT = 300
TRIES = 3


def parts(module):
    """The test modules of a package, so that each has its own time; or the module itself."""
    directory = os.path.join(os.path.dirname(os.__file__), *module.split("."))
    if not os.path.isdir(directory):
        return [module]
    return [f"{module}.{name}" for _, name, _ in pkgutil.iter_modules([directory]) if name.startswith("test_")]


def arm(name, prefix, module, only=None, without=()):
    """Runs the cases; returns outcome by ID, and what was left out. Starts again behind a case that hangs or takes the process down."""
    outcomes = {}
    omitted = set()
    results = os.path.join(WORK, f"results-{name}")
    log = open(os.path.join(WORK, f"{name}.log"), "a")
    end = time.monotonic() + MODULE_LIMIT
    for attempt in range(100):
        open(results, "w").close()
        command = [*prefix, sys.executable, os.path.join(HERE, "cases.py"), module, results, str(CASE_LIMIT)]
        for option, names in (("--only", only), ("--without", [*without, *outcomes])):
            if names is not None:
                path = os.path.join(WORK, f"{name}{option}")
                with open(path, "w") as file:
                    file.write("".join(n.replace("[", "[[]") + "\n" for n in names))
                command += [option, path]
        directory = os.path.join(WORK, "tmp", f"{name}-{attempt}")
        os.mkdir(directory)
        left = end - time.monotonic()
        if left <= 0:
            print(f"{module} {name}: no time left")
            return outcomes, omitted
        status = None
        process = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            status = process.wait(left)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        subprocess.run(["rm", "-rf", directory])
        running, whole = None, False
        with open(results) as file:
            for line in file:
                word, _, case = line.rstrip("\n").partition(" ")
                if word == "start":
                    running = case
                elif word == "omitted":
                    omitted.add(case)
                elif word == "end":
                    whole = True
                else:
                    outcomes[case] = word
                    running = None
        if whole:
            return outcomes, omitted
        if running is None:
            print(f"{module} {name}: ended with status {status} outside of a case")
            return outcomes, omitted
        outcomes[running] = "hang" if status in (1, None) else f"crash({status})"
    return outcomes, omitted


def both(prefix, module, only=None, without=()):
    """Both arms at once: most of their time they wait."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        native = pool.submit(arm, "native", [], module, only, without)
        trial = pool.submit(arm, "trial", prefix, module, only, without)
        return native.result(), trial.result()


def main():
    switchboard, expected_path, *modules = sys.argv[1:]
    prefix = [] if switchboard == "native" else [switchboard, "run", "--"]
    expected = expectations(expected_path)
    skipped = [pattern for pattern, kind, _ in expected if kind == "skip"]
    used = set()
    everywhere = {}
    bad = total = 0
    for module in [part for module in modules for part in parts(module)]:
        begin = time.monotonic()
        (native, omitted), (trial, _) = both(prefix, module, without=skipped)
        if not native and not omitted and not trial:
            print(f"{module}: no case ran")
        else:
            print(f"{module}: {len(native)} cases, {time.monotonic() - begin:.0f} s", flush=True)
        total += len(native)
        everywhere.update(native)
        for pattern, kind, number in expected:
            if kind == "skip" and any(fnmatch.fnmatchcase(name, pattern) for name in omitted):
                used.add(number)
        different = sorted(name for name in native.keys() | trial.keys() if native.get(name) != trial.get(name))
        surprising = []
        for name in different:
            lines = [number for pattern, kind, number in expected if kind == "expect_failure" and fnmatch.fnmatchcase(name, pattern)]
            if lines and native.get(name) == "ok":
                used.update(lines)
                print(f"expected {name}: {trial.get(name)}")
            else:
                surprising.append(name)
        for _ in range(TRIES - 1):
            # What could not be set up has no name to be called by again.
            again = [name for name in surprising if "(" not in name]
            if not again:
                break
            (one, _), (two, _) = both(prefix, module, only=again)
            for name in again:
                if one.get(name) == two.get(name):
                    print(f"unsteady {name}: {native.get(name)} natively, {trial.get(name)} under the runner, once")
                    surprising.remove(name)
        for name in surprising:
            print(f"DIFFERS {name}: {native.get(name)} natively, {trial.get(name)} under the runner")
        bad += len(surprising)
    for pattern, kind, number in expected:
        if number in used or ".".join(pattern.split(".")[:2]) not in modules:
            continue
        named = [outcome for name, outcome in everywhere.items() if fnmatch.fnmatchcase(name, pattern)]
        # Where the host itself cannot run them (a kernel without the protocol) nothing is known.
        if not named or "ok" in named:
            why = "does not differ any more" if named else "names no case"
            print(f"STALE {os.path.basename(expected_path)}:{number}: {pattern} {why}")
            bad += 1
    print(f"{total} cases, {bad} not as expected")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
