"""What ci/lost.py breaks, and how: runs of the flow from its boot and from a snapshot, and a suite of scenarios."""

import functools
import json
import os
import pathlib
import pty
import random
import re
import resource
import signal
import subprocess
import time
import xml.etree.ElementTree as tree

# Of a run that hangs, so that the harness ends.
PATIENCE = 600
TICKS = os.sysconf("SC_CLK_TCK")
FENCEPOST = KERNEL = INITRD = COMMAND_LINE = SCENARIOS = None


def set_up(*words):
    global FENCEPOST, KERNEL, INITRD, COMMAND_LINE, SCENARIOS
    FENCEPOST, KERNEL, INITRD, COMMAND_LINE, SCENARIOS = words


def quietly(*words):
    return subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def mount(*words):
    done = quietly("mount", "-t", "tmpfs", *words)
    if done.returncode != 0:
        raise OSError(done.stdout)


def unmount(folder):
    quietly("umount", folder)


@functools.cache
def may_mount():
    """ci/lost starts this in a mount namespace of its own, where it can."""
    return quietly("sh", "-c", "mount -t tmpfs tmpfs /mnt && umount /mnt").returncode == 0


def fields(pid):
    """Of /proc/PID/stat, behind the name; none of a process that is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None


def below(pid):
    """A process with all that it has started and that still run."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (found := fields(entry)):
            parents.setdefault(int(found[1]), []).append(int(entry))
    family = [pid]
    for one in family:
        family += parents.get(one, [])
    return family


def worked(pid):
    """Processor seconds of a process with its children."""
    times = [found for one in below(pid) if (found := fields(one))]
    # utime and stime of each, and of the first what its children took that have ended (proc(5)).
    ended = sum(map(int, times[0][13:15])) if times else 0
    return (ended + sum(int(found[11]) + int(found[12]) for found in times)) / TICKS


def same(one, other):
    return quietly("cmp", "-s", one, other).returncode == 0


def events(path):
    """The events in a trace, and whether it says that it is complete; None and why of a file that is not read."""
    lines = subprocess.run([FENCEPOST, "trace", "convert", path, "--to", "jsonl", "-o", "-"], capture_output=True, text=True)
    report = subprocess.run([FENCEPOST, "trace", "report", "--json", path], capture_output=True, text=True)
    if lines.returncode != 0 or report.returncode != 0:
        return None, lines.stderr + report.stderr
    # The guest tells its threads' names after what they did: a file that is cut lacks some.
    nameless = re.sub(r'"task":(null|"[^"]*"),', "", lines.stdout)
    return [line for line in nameless.splitlines() if '"cycles":' in line], json.loads(report.stdout)["lost"]["complete"]


def verdicts(path):
    """What a report says became of each scenario, in the words of its format."""
    text = path.read_text()
    if path.suffix == ".json":
        return {one["name"]: one["verdict"] for one in json.loads(text)["outcomes"]}
    if path.suffix == ".xml":
        suites = tree.fromstring(text).iter("testsuite")
        worst = lambda one: "error" if one.get("errors") != "0" else "failure" if one.get("failures") != "0" else "ok"
        return {one.get("name"): worst(one) for one in suites}
    found = dict(reversed(pair) for pair in re.findall(r"^(ok|not ok) \d+ (\S+)", text, re.MULTILINE))
    plan = int(re.search(r"^1\.\.(\d+)$", text, re.MULTILINE)[1])
    if plan != len(found):
        raise ValueError(f"{path.name} has {len(found)} of {plan} lines")
    return found


class Ended:
    """How a run ended."""

    def __init__(self, status, errors, cause, listened=True):
        self.status, self.errors, self.cause, self.listened = status, errors, cause, listened
        self.killed = status < 0
        # Without memory it can say no more than that, and that its files end there.
        self.cut = self.killed or "and it ends here, with the files that it was writing" in errors
        self.stopped = status > 128

    def must_be(self, status):
        """Of a run that nothing happens to."""
        if self.status != status:
            raise SystemExit(f"left alone, it ends with {self.status} and not {status}: {self.errors[-800:]}")

    def allowed(self, whole):
        """The exit statuses that README and docs/scenarios.md give for what happened."""
        return {whole} | STATUSES.get(self.cause, set())


class Child:
    """A command that runs: its standard output is a pipe that is read, or with its standard error a terminal; its errors go to a file or there."""

    def __init__(self, words, errors, terminal=False):
        words = [str(word) for word in words]
        if may_mount():
            # Mounts of its own: what is put above its /proc is not above this program's.
            words = ["unshare", "--mount", "--propagation", "private"] + words
        self.errors, self.terminal, self.status, self.came = errors, terminal, None, b""
        if terminal:
            self.pid, self.end = pty.fork()
        else:
            self.end, other = os.pipe()
            self.pid = os.fork()
        if self.pid == 0:
            os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
            if not terminal:
                os.dup2(other, 1)
                os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
            os.execvp(words[0], words)
        if not terminal:
            os.close(other)
        os.set_blocking(self.end, False)

    def look(self):
        """Takes what it says; whether it still runs."""
        try:
            while self.end is not None and (data := os.read(self.end, 65536)):
                self.came += data
        except OSError:
            # Nothing is there now; or the last of a terminal's other side has gone.
            pass
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status is None

    def hang_up(self):
        if self.end is not None:
            os.close(self.end)
        self.end = None

    def until(self, holds):
        end = time.monotonic() + PATIENCE
        while self.look() and not holds():
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
                raise TimeoutError("it neither came to its moment nor ended")
            time.sleep(0.02)

    def ended(self, cause=None, listened=True):
        self.until(lambda: False)
        self.look()
        self.hang_up()
        errors = self.came.decode(errors="replace") if self.terminal else self.errors.read_text(errors="replace")
        return Ended(self.status, errors, cause, listened)


# What happens: each gets the child, its run, and a number of its own to draw with.


def killed(child, run, draw):
    """SIGKILL, to the command or to one of those that it started."""
    os.kill(draw.choice(below(child.pid)), signal.SIGKILL)


def full_disk(child, run, draw):
    """From now on there is no room beyond a few pages."""
    there = os.statvfs(run.work)
    used = (there.f_blocks - there.f_bfree) * there.f_bsize
    quietly("mount", "-o", f"remount,size={used + draw.choice([4096, 20480, 1 << 20])}", run.work)


def closed_pipe(child, run, draw):
    """Nobody reads standard output any more."""
    child.hang_up()


def gone_terminal(child, run, draw):
    """Its terminal hangs up."""
    child.hang_up()


def little_memory(child, run, draw):
    """The address space may hardly grow."""
    pid = draw.choice(below(child.pid))
    try:
        pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + draw.randrange(64 << 20)
        resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))
    except (OSError, ProcessLookupError):
        pass


def covered(child, folder, *options):
    for pid in below(child.pid):
        quietly("nsenter", "-t", str(pid), "-m", "mount", "-t", "tmpfs", *options, "tmpfs", folder)
        # Whatever it started shares its mounts.
        break


def no_proc(child, run, draw):
    """There is nothing in /proc."""
    covered(child, "/proc", "-o", "ro,mode=000")


def no_shm(child, run, draw):
    """Nothing can be made in /dev/shm."""
    covered(child, "/dev/shm", "-o", "ro,mode=000")


MOUNTS = [full_disk, no_proc, no_shm]
CAUSES = [killed, full_disk, closed_pipe, gone_terminal, little_memory, no_proc, no_shm]
# The exit statuses that README and docs/scenarios.md give for what happened, beside that of the whole run.
STATUSES = {
    killed: {-signal.SIGKILL, 3},
    full_disk: {1, 3},
    gone_terminal: {128 + signal.SIGHUP},
    little_memory: {1, 3},
    no_proc: {1, 3},
}


class Run:
    """A command that is played in the folder `work`."""

    def __init__(self, work):
        self.work = work
        self.errors = work.parent / "errors"

    def start(self, terminal=False):
        return Child(self.words(), self.errors, terminal)

    def alone(self):
        return self.start().ended()

    def broken(self, cause, share, whole):
        child = self.start(terminal=cause is gone_terminal)
        moment = share * whole.seconds
        child.until(lambda: worked(child.pid) >= moment)
        happens = child.look()
        if happens:
            cause(child, self, random.Random(share))
        return child.ended(cause, listened=not (happens and cause is gone_terminal))

    @classmethod
    def whole(cls, work):
        """A run that nothing happens to."""
        run = cls(work)
        child = run.start()
        latest = 0

        def look():
            nonlocal latest
            latest = max(latest, worked(child.pid))

        child.until(look)
        ended = child.ended()
        ended.seconds = latest
        return ended


def kept(work, path):
    """The snapshot of a whole run, kept to compare with."""
    (work / "snapshot").rename(path)
    return path


class Boot(Run):
    """The flow from its boot, with a trace, its pictures, the console's log and two snapshots."""

    marks = (1, 2)

    def start_of(self):
        line = f'{COMMAND_LINE} fencepost.run="flow --frames 10"'
        return ["--kernel", KERNEL, "--initrd", INITRD, "--memory", "256M", "--append", line,
                "--camera", "width=320,height=240", "--display", "width=320,height=240"]

    def words(self):
        work = self.work
        saved = [word for mark in self.marks for word in ("--snapshot-at", f"mark:{mark}")]
        return [FENCEPOST, "run", "--accel", "soft", "--realtime=off", "--timeout", "500", *self.start_of(), "--trace", work / "trace", "--frames",
                work / "frames", "--console-log", work / "console", "--snapshot", work / "snapshot", *saved]

    @classmethod
    def reference(cls, folder):
        work = folder / "work"
        snapshots = []
        # Each snapshot before the last by a run that saves no other.
        for mark in cls.marks[:-1]:
            work.mkdir()
            run = cls(work)
            run.marks = [mark]
            run.alone().must_be(0)
            snapshots.append(kept(work, folder / f"mark-{mark}"))
            subprocess.run(["rm", "-r", work], check=True)
        work.mkdir()
        whole = cls.whole(work)
        whole.must_be(0)
        whole.snapshots = snapshots + [kept(work, folder / f"{cls.__name__}-mark-{cls.marks[-1]}")]
        whole.events, complete = events(work / "trace")
        whole.frames = {path.name: path.read_bytes() for path in (work / "frames").iterdir()}
        whole.console = (work / "console").read_bytes()
        if not (complete and whole.events and whole.frames and whole.console):
            raise SystemExit("the flow left nothing to compare with")
        subprocess.run(["rm", "-r", work], check=True)
        return whole


class Restored(Boot):
    """The same from the first of the snapshots on, which saves the second."""

    marks = (2,)

    def start_of(self):
        return ["--restore", self.work.parent / "mark-1"]


class Scenarios(Run):
    """Scenarios on two processes, with all reports."""

    def words(self):
        work = self.work
        names = [word for name in ("seeded", "=status", "=output") for word in ("--filter", name)]
        return [FENCEPOST, "test", SCENARIOS, *names, "--jobs", "2", "--keep", "--results", work / "results",
                "--json", work / "report.json", "--junit", work / "report.xml", "--ktap", work / "report.ktap"]

    @classmethod
    def reference(cls, folder):
        work = folder / "work"
        # The first boots the kernel, the others start from that.
        for _ in range(2):
            work.mkdir(exist_ok=True)
            whole = cls.whole(work)
        whole.verdicts = {path.name: verdicts(path) for path in work.glob("report.*")}
        whole.must_be(1)
        subprocess.run(["rm", "-r", work], check=True)
        return whole
