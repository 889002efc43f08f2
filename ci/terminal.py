#!/usr/bin/env python3
"""Runs a command on a pseudo-terminal, as a person would use it.

    terminal.py LOG STEP... -- COMMAND...

A step is `wait:TEXT` (until TEXT, a regular expression, stands in what came since the step before), `type:TEXT` (with Python's
escapes), or `size:ROWSxCOLUMNS` (of the terminal, which first has 24x80). What comes is written to LOG. Ends with the command's
status, or with 99 if what is waited for does not come."""

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios


def resize(terminal, size):
    rows, columns = map(int, size.split("x"))
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))


def read(terminal, log, seconds=120):
    """What comes next; nothing at the end."""
    if not select.select([terminal], [], [], seconds)[0]:
        return b""
    try:
        data = os.read(terminal, 65536)
    except OSError:
        return b""
    log.write(data)
    log.flush()
    return data


def wait(terminal, log, text, came):
    """Reads until `text` is found, and gives what stands behind it; none if it does not come."""
    while not (found := re.search(text.encode(), came)):
        data = read(terminal, log)
        if not data:
            print(f"terminal.py: '{text}' has not come", file=sys.stderr)
            return None
        came += data
    return came[found.end():]


def main():
    log_name, *rest = sys.argv[1:]
    end = rest.index("--")
    steps, command = rest[:end], rest[end + 1:]
    child, terminal = pty.fork()
    if child == 0:
        # The size is to be there before the program looks.
        resize(0, "24x80")
        os.execvp(command[0], command)
    came, failed = b"", False
    with open(log_name, "wb") as log:
        for step in steps:
            kind, _, what = step.partition(":")
            if kind == "wait":
                came = wait(terminal, log, what, came)
                if came is None:
                    failed = True
                    break
            elif kind == "type":
                os.write(terminal, what.encode().decode("unicode_escape").encode("latin-1"))
            elif kind == "size":
                resize(terminal, what)
            else:
                sys.exit(f"terminal.py: no step: {step}")
        if failed:
            os.kill(child, 15)
        while read(terminal, log):
            pass
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    sys.exit(99 if failed else status % 256)


main()
