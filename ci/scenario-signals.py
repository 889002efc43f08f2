#!/usr/bin/env python3
"""Ends `fencepost test` in its middle, as a person or a machine does, and looks at what is left. Prints a line for each check,
`ok WHAT: ...` or `not ok WHAT: ...`; exit status 1 if one is not ok.

    scenario-signals.py FENCEPOST SCENARIOS CACHE FOLDER

SCENARIOS is the folder with the scenarios, CACHE the cache folder in use, FOLDER an empty one for results."""

import fcntl
import json
import os
import pathlib
import pty
import select
import signal
import subprocess
import sys
import termios
import time

FENCEPOST, SCENARIOS, CACHE, FOLDER = sys.argv[1], *(pathlib.Path(word) for word in sys.argv[2:5])
PATIENCE = 300
FAILED = False


def left_in_cache():
    return set(CACHE.glob("booted/.fencepost-*")) | set(CACHE.glob("booted/*.console"))


BEFORE = left_in_cache()


def say(good, what, how=""):
    global FAILED
    FAILED |= not good
    print(f"{'ok' if good else 'not ok'} {what}: {how}", flush=True)


def processes():
    """Every process: its parent, its session, and what it was called with."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        try:
            words = entry.joinpath("cmdline").read_bytes().split(b"\0")
            fields = entry.joinpath("stat").read_text().rpartition(") ")[2].split()
        except (OSError, NotADirectoryError):
            continue
        if entry.name.isdigit():
            found[int(entry.name)] = (int(fields[1]), int(fields[3]), words)
    return found


def below(process):
    """The descendants of a process."""
    found, all_of_them = {process}, processes()
    while more := {pid for pid, (parent, _, _) in all_of_them.items() if parent in found} - found:
        found |= more
    return found - {process}


def workers(process):
    all_of_them = processes()
    return [pid for pid in below(process) if b"test-worker" in all_of_them.get(pid, (0, 0, []))[2]]


def plays(process):
    """The workers of a command that plays scenarios, and does not boot machines for them."""
    return workers(process) if list(FOLDER.rglob(".running-*")) else []


def alive(pids):
    return sorted(pid for pid in pids if pathlib.Path(f"/proc/{pid}").exists() and
                  " Z " not in pathlib.Path(f"/proc/{pid}/stat").read_text())


def until(what):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if got := what():
            return got
        time.sleep(0.02)
    raise TimeoutError


def abandoned():
    """Folders of scenarios that nobody holds."""
    left = []
    for path in list(CACHE.glob("stages/stage-*")) + list(FOLDER.rglob(".running-*")):
        try:
            folder = os.open(path, os.O_RDONLY)
        except OSError:
            continue
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.append(path)
        except BlockingIOError:
            pass
        finally:
            os.close(folder)
    return left


def half_written():
    """What a command has left; the cache's files from before, such as consoles of boots that failed, are others'."""
    names = sorted(left_in_cache() - BEFORE) + list(FOLDER.glob("*.part"))
    return names + [path for path in FOLDER.glob("report.*")] + abandoned()


def command(*names, results="results"):
    words = [FENCEPOST, "test", str(SCENARIOS), "--results", str(FOLDER / results), "--json", str(FOLDER / "report.json")]
    return words + [word for name in names for word in ("--filter", name)]


class Terminal:
    """A command in the foreground of a terminal of its own."""

    def __init__(self, words):
        self.child, self.end = pty.fork()
        if self.child == 0:
            os.execv(words[0], words)
        self.settings = termios.tcgetattr(self.end)
        self.came = b""

    def read(self, seconds):
        if select.select([self.end], [], [], seconds)[0]:
            try:
                data = os.read(self.end, 65536)
            except OSError:
                data = b""
            self.came += data
            return bool(data)
        return None

    def wait_for(self, what):
        def look():
            self.read(0)
            return what()
        return until(look)

    def finish(self):
        """The exit status, when all that it wrote is read."""
        until(lambda: self.read(0.1) is False)
        return os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])


def ctrl_c(what, names, middle):
    terminal = Terminal(command(*names))
    terminal.wait_for(lambda: middle(terminal))
    ours = below(terminal.child)
    os.write(terminal.end, b"\x03")
    settings = lambda: termios.tcgetattr(terminal.end)
    until(lambda: terminal.read(0.1) is False or not alive([terminal.child]))
    after = settings()
    status = terminal.finish()
    say(status == 130, f"{what}: the exit status", status)
    say(not alive(ours), f"{what}: no child is left", f"of {len(ours)}: {alive(ours)}")
    say(not half_written(), f"{what}: no half-written file", half_written())
    same = after == terminal.settings
    shown = terminal.came.rfind(b"\x1b[?25h") >= terminal.came.rfind(b"\x1b[?25l")
    say(same and shown, f"{what}: the terminal", "as it was" if same and shown else f"settings {same}, cursor {shown}")
    last = terminal.came.decode(errors="replace").replace("\r", "\n").strip().splitlines()[-1]
    say("stopped by a signal" in last and len(last) < 300, f"{what}: a line", last)


def terminated(number):
    run = subprocess.Popen(command("hang[6.12]"), stderr=subprocess.PIPE)
    until(lambda: plays(run.pid))
    ours = below(run.pid)
    run.send_signal(number)
    run.communicate()
    say(run.returncode == 128 + number and not alive(ours), f"{number.name}: the exit status", run.returncode)


def killed_worker():
    run = subprocess.Popen(command("hang[6.12]", "pass[6.12]") + ["--jobs", "1"], stderr=subprocess.PIPE)
    # One after the other, in the order of their names.
    until(lambda: plays(run.pid))
    os.kill(plays(run.pid)[0], signal.SIGKILL)
    errors = run.communicate()[1].decode()
    outcomes = {it["name"]: it for it in json.loads((FOLDER / "report.json").read_text())["outcomes"]}
    verdicts = {name: it["verdict"] for name, it in outcomes.items()}
    say(verdicts == {"hang[6.12]": "broken", "pass[6.12]": "passed"}, "a killed worker: the verdicts", verdicts)
    came = outcomes["hang[6.12]"]["failures"][0]["came"]
    say("SIGKILL" in came, "a killed worker: its reason", came)
    say(run.returncode == 3, "a killed worker: the exit status", f"{run.returncode} {errors[-200:] if run.returncode != 3 else ''}")
    (FOLDER / "report.json").unlink()


def killed_parent():
    run = subprocess.Popen(command("hang[6.12]"), stderr=subprocess.DEVNULL)
    until(lambda: plays(run.pid))
    ours = below(run.pid)
    run.kill()
    run.wait()
    until(lambda: not alive(ours))
    say(True, "a killed command: no child is left", len(ours))
    say(bool(abandoned()), "a killed command: what it leaves", len(abandoned()))
    again = subprocess.run(command("pass[6.12]"), stderr=subprocess.PIPE)
    say(again.returncode == 0 and not abandoned(), "a killed command: the next one removes it", again.stderr[-100:] if again.returncode else "all")
    (FOLDER / "report.json").unlink()


def shell():
    terminal = Terminal([FENCEPOST, "test", str(SCENARIOS / "status.toml"), "--shell", "--results", str(FOLDER / "shell")])
    terminal.wait_for(lambda: b"exit ends the scenario" in terminal.came)
    terminal.wait_for(lambda: b"# " in terminal.came.rpartition(b"exit ends the scenario")[2])
    os.write(terminal.end, b"echo sum $((40 + 2)) in $PWD\r")
    terminal.wait_for(lambda: b"sum 42 in /work" in terminal.came)
    os.write(terminal.end, b"exit\r")
    until(lambda: terminal.read(0.1) is False or not alive([terminal.child]))
    after = termios.tcgetattr(terminal.end)
    status = terminal.finish()
    say(status == 1 and after == terminal.settings, "a shell at the failed step", f"status {status}")


def main():
    ctrl_c("Ctrl-C in a scenario", ["hang[6.12]", "scenario-time"], lambda it: plays(it.child))
    terminated(signal.SIGTERM)
    terminated(signal.SIGHUP)
    killed_worker()
    killed_parent()
    shell()
    sys.exit(FAILED)


main()
