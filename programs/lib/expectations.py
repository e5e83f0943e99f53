"""What differs from the host's kernel, each line with its reason: `ID expect_failure|skip REASON`."""
import sys

KINDS = ("expect_failure", "skip")


def expectations(path):
    """ID, kind and line number of each."""
    found = []
    with open(path) as file:
        for number, line in enumerate(file, 1):
            words = line.split(None, 2)
            if not words or words[0].startswith("#"):
                continue
            if len(words) < 3 or words[1] not in KINDS:
                sys.exit(f"{path}:{number}: wants: ID {'|'.join(KINDS)} REASON")
            found.append((words[0], words[1], number))
    return found
