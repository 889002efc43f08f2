#!/usr/bin/env python3
"""Runs the flow, a hostile guest and scenarios for a long time, and holds that nothing of the command grows: memory beyond the guest's RAM,
descriptors, threads, and what it leaves in its folders. Prints a line for each part, `ok WHAT: ...` or `not ok WHAT: ...`.

    soak.py FENCEPOST KERNEL INITRD SHELL COMMAND_LINE SCENARIOS FOLDER MINUTES

Flat is: after the first quarter, which warms up, the median of the last quarter is at most 2 % and 1 MiB above that of the second, and the
median of descriptors, threads and files in the last quarter is no more than there were at the most in the second."""

import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import time

FENCEPOST, KERNEL, INITRD, SHELL, COMMAND_LINE, SCENARIOS = sys.argv[1:7]
FOLDER, MINUTES = pathlib.Path(sys.argv[7]), float(sys.argv[8])
GUEST_MEMORY = 256 << 20
# Samples of a part; of a short one there are as many, closer together.
SAMPLES = 120
FAILED = False

# What a root shell does that means the machine no good, for ever: registers of every device and of the IOMMU get random words (PCI commands and
# BARs among them), the console is flooded, kernel messages and files come and go. Its kernel may die of it, and is then started again.
HOSTILE = r"""
mount -t proc none /proc; mount -t sysfs none /sys; mount -t tmpfs none /tmp
n=0
while :; do
    n=$((n + 1))
    for r in $(od -An -N64 -tu4 /dev/urandom); do
        set -- 0xfed90000 0xfec00000 $(sed -n 's/^\(0x[0-9a-f]*\) .*/\1/p' /sys/bus/pci/devices/*/resource | grep -v '^0x0000000000000000$')
        shift $((r % $#))
        devmem $(($1 + (r / 7 % 1024) * 4)) 32 $(((r * 2654435761) & 0xffffffff)) 2>/dev/null
    done
    [ $((n % 50)) != 0 ] || { dmesg | head -c 20000; head -c 4000 /dev/urandom | od -x; }
    head -c 100000 /dev/urandom >/tmp/f$((n % 9)); rm -f /tmp/f$(((n + 4) % 9))
    echo "round $n"
done
"""


def say(good, what, how):
    global FAILED
    FAILED |= not good
    print(f"{'ok' if good else 'not ok'} {what}: {how}", flush=True)


def memory_kib(pid):
    """Resident memory of a process, without the mappings as large as its guest's RAM and above."""
    kib, outside = 0, True
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if found := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            outside = int(found[2], 16) - int(found[1], 16) < GUEST_MEMORY
        elif outside and line.startswith("Rss:"):
            kib += int(line.split()[1])
    return kib


def files_below(*folders):
    return sum(len(names) + len(folders) for top in folders for _, folders, names in os.walk(top))


class Sampled:
    """What a process had over time: (KiB, descriptors, threads, files)."""

    def __init__(self):
        self.rows = []

    def take(self, pid, folders):
        try:
            row = (memory_kib(pid), len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task")), files_below(*folders))
        except OSError:
            return
        # One that ends just now has no memory any more.
        if row[0]:
            self.rows.append(row)

    def verdict(self, what):
        if len(self.rows) < 16:
            return say(False, what, f"only {len(self.rows)} samples")
        quarter = len(self.rows) // 4
        early, late = self.rows[quarter : 2 * quarter], self.rows[-quarter:]
        first, last = (statistics.median(row[0] for row in rows) for rows in (early, late))
        grown = [max(row[at] for row in early) < statistics.median(row[at] for row in late) for at in (1, 2, 3)]
        flat = last <= first * 1.02 + 1024
        how = f"{len(self.rows)} samples, {first / 1024:.1f} then {last / 1024:.1f} MiB"
        names = ("descriptors", "threads", "files")
        how += "".join(f", {name} {max(row[at] for row in early)} then {late[-1][at]}" for at, name in enumerate(names, 1))
        say(flat and not any(grown), what, how)


def play(what, command, seconds, folders, stdin=None, again=False, allowed=(124,)):
    """Runs a command for so long, or again and again where it ends, and samples it."""
    sampled, end, runs, log = Sampled(), time.monotonic() + seconds, 0, FOLDER / "said"
    while time.monotonic() < end:
        runs += 1
        with open(log, "wb") as said:
            words = [str(word) for word in command(max(1, end - time.monotonic()))]
            child = subprocess.Popen(words, stdin=subprocess.PIPE if stdin else subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said)
        if stdin:
            child.stdin.write(stdin.encode())
            child.stdin.flush()
        while child.poll() is None:
            time.sleep(min(30, max(0.5, seconds / SAMPLES)))
            sampled.take(child.pid, folders)
            if time.monotonic() > end + 300:
                child.send_signal(signal.SIGTERM)
        if child.returncode not in allowed:
            say(False, what, f"it ended with {child.returncode}: {log.read_text(errors='replace')[-400:]}")
            return
        if not again:
            break
    sampled.verdict(f"{what}, {runs} times" if again else what)


def main():
    seconds = MINUTES * 60 / 3
    base = [FENCEPOST, "run", "--accel", "soft", "--memory", "256M"]
    cache, results = pathlib.Path(os.environ["CACHE"]), FOLDER / "results"

    def flow(left):
        return base + ["--kernel", KERNEL, "--initrd", INITRD, "--timeout", str(left), "--append",
                       f'{COMMAND_LINE} fencepost.run="flow --frames 1000000"', "--camera", "width=320,height=240", "--display",
                       "width=320,height=240", "--trace", FOLDER / "trace", "--trace-limit", "64M", "--frames", FOLDER / "frames",
                       "--max-frames", "100"]

    def hostile(left):
        return base + ["--kernel", KERNEL, "--initrd", SHELL, "--timeout", str(left), "--append", f"{COMMAND_LINE} fencepost.run=sh",
                       "--trace", FOLDER / "trace", "--trace-limit", "64M", "--watchdog", "60"]

    def churn(_left):
        names = [word for name in ("=status", "output", "flood-console", "scribble", "seeded", "pass[6.12]") for word in ("--filter", name)]
        # Short commands with one folder: each repetition that fails keeps its evidence.
        return [FENCEPOST, "test", SCENARIOS, *names, "--repeat", "4", "--results", results]

    folders = [FOLDER, pathlib.Path("/dev/shm"), cache / "stages"]
    play("the flow", flow, seconds, folders)
    play("a hostile guest", hostile, seconds, folders, stdin=HOSTILE, again=True, allowed=(0, 3, 4, 5, 124))
    play("scenarios", churn, seconds, folders, again=True, allowed=(0, 1))
    sys.exit(FAILED)


main()
