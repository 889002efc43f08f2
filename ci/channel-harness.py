#!/usr/bin/env python3
"""The program at the other end of the guest's channel in the test virtio_console.

    ci/channel-harness.py SOCKET

Says "ping N" a hundred times and expects "pong N" each time, says "bye now", and expects 200,000 bytes and the end. Exits with
status 1 and a line if anything else comes, or nobody opens the socket within a minute.
"""

import socket
import sys
import time


def connect(path):
    for _ in range(600):
        end = socket.socket(socket.AF_UNIX)
        try:
            end.connect(path)
            return end
        except OSError:
            end.close()
            time.sleep(0.1)
    sys.exit(f"{path}: nobody listens")


def main():
    words = connect(sys.argv[1]).makefile("rw")
    for number in range(100):
        words.write(f"ping {number}\n")
        words.flush()
        answer = words.readline()
        if answer != f"pong {number}\n":
            sys.exit(f"ping {number} was answered by {answer!r}")
    words.write("bye now\n")
    words.flush()
    rest = words.read()
    if rest != "x" * 200_000:
        sys.exit(f"the rest is {len(rest)} characters: {rest[:40]!r}...")


main()
