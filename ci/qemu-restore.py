#!/usr/bin/env python3
"""Times QEMU's way to save Linux in a file and to go on from it, for ci/bench --snapshot.

qemu-restore.py KERNEL INITRD MEMORY FOLDER RUNS: boots under tcg, stops the machine after some seconds, migrates it into a file,
and starts it from that file RUNS times, each from the start of the process to QEMU's word that the guest runs.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import time

# By then Linux has found no init, as it is told to, and waits.
BOOT_SECONDS = 4
LONGEST_SECONDS = 60


class Qemu:
    """A QEMU with its machine protocol."""

    def __init__(self, kernel, initrd, memory, folder, more):
        path = os.path.join(folder, "qmp")
        if os.path.exists(path):
            os.unlink(path)
        command = ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "qemu64", "-m", memory, "-kernel", kernel,
                   "-initrd", initrd, "-append", "quiet rdinit=/none panic=0", "-nodefaults", "-display", "none", "-no-reboot",
                   "-no-shutdown", "-qmp", f"unix:{path},server=on,wait=off", *more]
        self.begun = time.monotonic()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.socket = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self.socket.connect(path)
                break
            except OSError:
                if time.monotonic() - self.begun > LONGEST_SECONDS or self.process.poll() is not None:
                    sys.exit("qemu-restore.py: QEMU does not listen")
                time.sleep(0.0005)
        self.lines = self.socket.makefile("r", encoding="utf-8")
        self.lines.readline()
        self.call("qmp_capabilities")

    def call(self, name, **arguments):
        """What the command gives."""
        text = json.dumps({"execute": name, "arguments": arguments})
        self.socket.sendall(text.encode() + b"\n")
        while True:
            answer = json.loads(self.lines.readline())
            if "error" in answer:
                sys.exit(f"qemu-restore.py: {name}: {answer['error']}")
            if "return" in answer:
                return answer["return"]

    def until(self, command, wanted):
        """Waits until a command says that its status is one of those; when it was."""
        while self.call(command).get("status") not in wanted:
            if time.monotonic() - self.begun > LONGEST_SECONDS:
                sys.exit(f"qemu-restore.py: {command} never says {wanted}")
            time.sleep(0.0005)
        return time.monotonic()

    def quit(self):
        """Ends it."""
        self.socket.sendall(b'{"execute": "quit"}\n')
        self.process.wait()


def main():
    """Saves, restores, prints."""
    kernel, initrd, memory, folder, runs = sys.argv[1:]
    file = os.path.join(folder, "qemu")
    qemu = Qemu(kernel, initrd, memory, folder, [])
    time.sleep(BOOT_SECONDS)
    qemu.call("stop")
    qemu.call("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
    begun = time.monotonic()
    qemu.call("migrate", uri=f"exec:cat > {file}")
    saved = qemu.until("query-migrate", ["completed"]) - begun
    qemu.quit()
    times = []
    for _ in range(int(runs)):
        qemu = Qemu(kernel, initrd, memory, folder, ["-incoming", f"exec:cat {file}"])
        # It was stopped when it was saved, and is so again.
        qemu.until("query-status", ["paused"])
        qemu.call("cont")
        times.append((qemu.until("query-status", ["running"]) - qemu.begun) * 1000)
        qemu.quit()
    low, middle, high = statistics.quantiles(times, n=4)
    print(f"QEMU, tcg, {memory}: saved in {saved * 1000:.0f} ms, {os.path.getsize(file) >> 20} MiB; from process start to a "
          f"running guest {middle:.0f} ms (median of {len(times)}; quartiles {low:.0f} and {high:.0f})")


main()
