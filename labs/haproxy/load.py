"""Asks the proxy again and again, each time over a new connection, and counts who answers."""

import collections
import sys
import urllib.request

count = int(sys.argv[1])
answers, failed = collections.Counter(), 0
for n in range(count):
    try:
        with urllib.request.urlopen("http://proxy:8080/", timeout=10) as answer:
            answers[answer.read().decode().strip()] += 1
    except OSError as error:
        failed += 1
        print("request", n, "failed:", error)
    if n == 20:
        print("under load")
print(count - failed, "of", count, "answered:", dict(answers))
sys.exit(not 0 < answers["web1"] < answers["web2"])
