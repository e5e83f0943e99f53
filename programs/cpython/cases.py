"""cases.py MODULE RESULTS LIMIT [--only FILE] [--without FILE]: run the cases of one of CPython's test modules.

Appends a line for each case to RESULTS: "start ID", then "OUTCOME ID", where the outcome is ok, fail, skip or xfail;
"omitted ID" for those left out; "end -" at the end.
A case that takes longer than LIMIT seconds ends the whole process: whoever started it finds "start" without an outcome.
The files hold IDs, a pattern of fnmatch(3) in each line: what to run, what to leave out.
"""
import argparse
import faulthandler
import fnmatch
import os
import re
import sys
import unittest

from test import support


def patterns(path):
    """One regular expression for all lines of the file."""
    if not path:
        return None
    with open(path) as file:
        lines = [fnmatch.translate(line.strip()) for line in file if line.strip()]
    return re.compile("|".join(lines)) if lines else re.compile(r"(?!)")


def cases(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from cases(test)
        else:
            yield test


class Result(unittest.TestResult):
    def __init__(self, out, limit):
        super().__init__()
        self.out, self.limit = out, limit
        self.outcome = None

    def write(self, word, test):
        self.out.write(f"{word} {test.id()}\n")
        self.out.flush()

    def startTest(self, test):
        super().startTest(test)
        self.outcome = "ok"
        self.write("start", test)
        faulthandler.dump_traceback_later(self.limit, exit=True)

    def stopTest(self, test):
        super().stopTest(test)
        faulthandler.cancel_dump_traceback_later()
        self.write(self.outcome, test)
        self.outcome = None

    def note(self, outcome, test, error=None):
        if error:
            sys.stderr.write(f"{outcome} {test.id()}\n{self._exc_info_to_string(error, test)}\n")
        if self.outcome is None:  # a class or module that could not be set up
            self.write(outcome, test)
        elif self.outcome != "fail":
            self.outcome = outcome

    def addError(self, test, error):
        self.note("fail", test, error)

    def addFailure(self, test, error):
        self.note("fail", test, error)

    def addSubTest(self, test, subtest, error):
        if error is not None:
            self.note("fail", test, error)

    def addSkip(self, test, reason):
        self.note("skip", test)

    def addExpectedFailure(self, test, error):
        self.note("xfail", test)

    def addUnexpectedSuccess(self, test):
        self.note("fail", test)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("module")
    parser.add_argument("results")
    parser.add_argument("limit", type=float)
    parser.add_argument("--only")
    parser.add_argument("--without")
    args = parser.parse_args()
    only, without = patterns(args.only), patterns(args.without)
    # test_socketserver asks for "network", though it stays on this host; others would leave it.
    support.use_resources = {"network": None} if args.module == "test.test_socketserver" else {}
    support.verbose = False
    faulthandler.enable()
    out = open(args.results, "a")
    result = Result(out, args.limit)
    try:
        everything = unittest.defaultTestLoader.loadTestsFromName(args.module)
    except unittest.SkipTest:
        everything = unittest.TestSuite()
    chosen = unittest.TestSuite()
    for case in cases(everything):
        name = case.id()
        if without is not None and without.match(name):
            out.write(f"omitted {name}\n")
        elif only is None or only.match(name):
            chosen.addTest(case)
    chosen.run(result)
    out.write("end -\n")
    out.flush()
    # Threads that a failed case left behind must not keep the process.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
