#!/usr/bin/env python3
"""Times workloads in a guest, on `soft` and on QEMU's TCG in turns, for ci/bench --workloads.

workloads.py --program FILE --fencepost FILE --kernel FILE --initrd FILE [--qemu FILE [--qemu-cpu CPU]] [--runs N] [--small]
             [NAME...] [-- OPTION...]
workloads.py --program FILE --check ...      only looks at the arguments

Both boot the same kernel with the same initramfs, memory and command line; a guest runs all workloads, one after the other. The line
that each prints before and after it is stamped here when it comes out of the console, with the wall clock and with the processor
time of the whole process. `boot` is from the start of the process until the guest has had nothing to do for 50 ms. Without --qemu `soft`
runs alone.
The exit status is 1 when a result was wrong or a guest failed, 2 for a wrong name. OPTIONs are for fencepost.
"""

import argparse
import collections
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time

MEMORY_MIB = 256
LONGEST_SECONDS = 900
STARTS = re.compile(rb"workload (\S+) starts")
ENDS = re.compile(rb"workload (\S+) is (done|wrong), (\d+) cycles")
# What a guest writes to the exit port ends QEMU with twice that and one.
QEMU_EXIT = ["-device", "isa-debug-exit,iobase=0xf4,iosize=1"]
# What `soft` announces and TCG has: both guests then choose the same code. Neither has to mitigate what it does not speculate.
QEMU_CPU = ("qemu64,-svm,+ssse3,+sse4.1,+sse4.2,+popcnt,+aes,+pclmulqdq,+movbe,+rdrand,+rdseed,+rdtscp,+pdpe1gb,+fsgsbase,+smep,+smap,"
            "+umip,+rdpid,+erms,+arat")

# Seconds of wall clock, of processor time, and cycles of the guest's.
Took = collections.namedtuple("Took", "wall processor cycles")


def fail(text, status=1):
    """Ends with one line."""
    print(f"ci/workloads.py: {text}", file=sys.stderr)
    sys.exit(status)


def stamp(process):
    """The moment, and the processor time of all threads of the process until then (clock_getcpuclockid(3))."""
    return time.monotonic(), time.clock_gettime(~process.pid << 3 | 2)


def lines(process):
    """The lines that come out of the process, each with its stamp."""
    left = b""
    while True:
        some = os.read(process.stdout.fileno(), 65536)
        if not some:
            return
        *whole, left = (left + some).split(b"\n")
        if whole:
            at = stamp(process)
            for line in whole:
                yield line, at


def run(what, command, environment, good_status):
    """Runs a guest to its end: what each workload took, by name."""
    took, began = {}, {}
    with tempfile.TemporaryFile() as said:
        start = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, env=environment)
        limit = threading.Timer(LONGEST_SECONDS, process.kill)
        limit.daemon = True
        limit.start()
        last = b""
        for line, at in lines(process):
            last = line.strip() or last
            if found := STARTS.search(line):
                # The boot starts with the process.
                began[found[1]] = (start, 0.0) if found[1] == b"boot" else at
            elif found := ENDS.search(line):
                name = found[1].decode()
                if found[2] == b"wrong":
                    process.kill()
                    fail(f"{what}: the result of {name} is wrong")
                before = began[found[1]]
                cycles = None if name == "boot" else int(found[3])
                took[name] = Took(at[0] - before[0], at[1] - before[1], cycles)
        status = process.wait()
        limit.cancel()
        if status != good_status:
            said.seek(0)
            last = said.read().strip().splitlines()[-1:] or [last]
            fail(f"{what} ended with status {status}: {last[0].decode(errors='replace')}")
    return took


class Sides:
    """The commands of both."""

    def __init__(self, options, folder):
        self.options = options
        workloads = [name for name in options.names if name != "boot"]
        small = ["--small"] if options.small else []
        # What is timed begins behind the boot, whether that is asked for or not.
        self.line = f'console=ttyS0 fencepost.run="{" ".join(["workloads", "--alone", *small, "boot", *workloads])}"'
        # A cache of its own: the kernel that is unpacked in it is this one.
        self.environment = dict(os.environ, FENCEPOST_CACHE=folder)
        self.vmlinux = self.unpacked()

    def fencepost(self, *more):
        """The command of `soft`."""
        options = self.options
        return [options.fencepost, "run", "--kernel", options.kernel, "--initrd", options.initrd, "--accel", "soft", "--iommu", "off",
                "--memory", f"{MEMORY_MIB}M", "--append", self.line, *options.more, *more]

    def unpacked(self):
        """The kernel as fencepost unpacks it, which it does before the guest starts."""
        subprocess.run(self.fencepost("--timeout", "0.01"), env=self.environment, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        folder = os.path.join(self.environment["FENCEPOST_CACHE"], "kernels")
        kernels = os.listdir(folder) if os.path.isdir(folder) else []
        # A kernel that was never packed is itself.
        return os.path.join(folder, kernels[0]) if kernels else self.options.kernel

    def soft(self):
        """A run of fencepost."""
        return run("soft", self.fencepost(), self.environment, 0)

    def tcg(self):
        """A run of QEMU: by the kernel's PVH entry, as `soft` starts it, so that neither guest unpacks the kernel."""
        options = self.options
        return run("TCG", [options.qemu, "-accel", "tcg", "-cpu", options.qemu_cpu, "-m", str(MEMORY_MIB), "-kernel", self.vmlinux,
                           "-initrd", options.initrd, "-append", self.line, "-nodefaults", "-display", "none", "-serial", "stdio",
                           "-no-reboot", *QEMU_EXIT], None, 1)


def arguments():
    """What the command line says; names are checked."""
    words = sys.argv[1:]
    more = []
    if "--" in words:
        more = words[words.index("--") + 1:]
        words = words[:words.index("--")]
    parser = argparse.ArgumentParser(prog="ci/workloads.py")
    for name in ("--fencepost", "--kernel", "--initrd", "--qemu"):
        parser.add_argument(name)
    parser.add_argument("--program", required=True)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--qemu-cpu", default=QEMU_CPU)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args(words)
    options.more = more
    if options.runs < 1:
        fail("--runs: name a number from 1 up", 2)
    known = subprocess.run([options.program, "--list"], check=True, capture_output=True, text=True).stdout.split()
    for name in options.names:
        if name not in known:
            fail(f"there is no workload {name}; there are {', '.join(known)}", 2)
    options.names = options.names or known
    return options


def middle(runs, name, field):
    """The median of a figure of some runs."""
    return statistics.median(getattr(took[name], field) for took in runs)


def geometric_mean(ratios):
    """As its name says."""
    return math.exp(sum(math.log(ratio) for ratio in ratios) / len(ratios))


def print_table(names, soft, tcg):
    """A row for each; without TCG its columns are empty. A cycle of `soft` is an instruction, or a nanosecond in which the CPU waited."""
    print(f"{'':10} {'wall, s':^24}   {'processor, s':^24}   {'million':>8}")
    print(f"{'':10} {'soft':>8}{'TCG':>8}{'ratio':>8}   {'soft':>8}{'TCG':>8}{'ratio':>8}   {'cycles':>8}")
    ratios = {"wall": [], "processor": []}
    for name in names:
        cells = []
        for field, list_ in ratios.items():
            ours = middle(soft, name, field)
            cell = f"{ours:8.3f}{'-':>8}{'-':>8}"
            if tcg:
                theirs = middle(tcg, name, field)
                list_.append(ours / theirs)
                cell = f"{ours:8.3f}{theirs:8.3f}{ours / theirs:8.2f}"
            cells.append(cell)
        cycles = soft[0][name].cycles
        print(f"{name:10} {cells[0]}   {cells[1]}   {'-' if cycles is None else f'{cycles / 1e6:.0f}':>8}")
    if tcg:
        print(f"{'geometric mean':26} {geometric_mean(ratios['wall']):8.2f}   {'':16}{geometric_mean(ratios['processor']):8.2f}")


def main():
    """Runs both in turns, and prints."""
    options = arguments()
    if options.check:
        return
    soft, tcg = [], []
    with tempfile.TemporaryDirectory() as folder:
        sides = Sides(options, folder)
        for _ in range(options.runs):
            soft.append(sides.soft())
            if options.qemu:
                tcg.append(sides.tcg())
    for name in options.names:
        for what, took in (*(("soft", it) for it in soft), *(("TCG", it) for it in tcg)):
            if name not in took:
                fail(f"{what}: {name} did not come to its end")
    print(f"soft: {' '.join([*options.more, f'medians of {options.runs}'])}")
    if options.qemu:
        version = subprocess.run([options.qemu, "--version"], check=True, capture_output=True, text=True).stdout.split("\n")[0]
        print(f"TCG: {version}; machine pc, no virtio, -cpu {options.qemu_cpu}")
    print_table(options.names, soft, tcg)


main()
