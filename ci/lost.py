#!/usr/bin/env python3
"""Breaks runs of Fencepost at random moments, each in another way, and looks at what is left. Prints a line for each moment,
`ok WHAT: ...`, `skipped: ...` or `not ok WHAT: ...`; exit status 1 if one is not ok.

    lost.py FENCEPOST KERNEL INITRD COMMAND_LINE SCENARIOS FOLDER MOMENTS SEED

FOLDER is empty, on a disk with 2 GiB. A moment is a share of the processor time that the same run takes when it is left alone, so that a
busy host breaks it about where an idle one does. What runs and what happens to it is in lost_runs.py; this is what must hold afterwards."""

import os
import pathlib
import random
import shutil
import sys
import traceback

sys.dont_write_bytecode = True
import lost_runs as runs

FAILED = False


def say(good, what, how):
    global FAILED
    FAILED |= not good
    print(f"{'ok' if good else 'not ok'} {what}: {how}".replace("\n", " | "), flush=True)


class Wrong(Exception):
    """What was promised and does not hold."""


def must(holds, what):
    if not holds:
        raise Wrong(what)


def named(ended, *words):
    """Whether a line on standard error has all of these words."""
    return any(all(word in line for word in words) for line in ended.errors.splitlines())


def check_trace(work, whole, ended):
    """What is in the file can be read, is in the undisturbed run's, and says whether it is all."""
    path = work / "trace"
    if not path.exists() or path.stat().st_size == 0:
        must(ended.cut, "there is no trace, and the run was not cut short")
        return "no trace"
    events, complete = runs.events(path)
    if events is None:
        must(path.stat().st_size < 4096 and ended.cut, f"a trace of {path.stat().st_size} bytes is not read: {complete}")
        return "a trace's head"
    # In the order of their cycles. The guest tells of its own some time after they happened, so that those of the last moments lack.
    rest = iter(whole.events)
    must(all(event in rest for event in events), f"the trace's {len(events)} events are not among the whole one's {len(whole.events)}")
    must(complete or ended.cut or named(ended, "trace"), "the trace is not complete, and nothing says so")
    must(not complete or len(events) == len(whole.events) or ended.stopped, "a trace that lacks events says that it is complete")
    return f"trace {len(events)} of {len(whole.events)} events"


def check_frames(work, whole, ended):
    """Each picture is there whole or not at all."""
    folder, count = work / "frames", 0
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.name.endswith(".part"):
            must(ended.killed, f"{path.name} is left by a run that was not killed")
            continue
        must(path.name in whole.frames, f"{path.name} is a picture that the whole run has not")
        must(path.read_bytes() == whole.frames[path.name], f"{path.name} is not the whole run's")
        count += 1
    told = ended.cut or ended.stopped or named(ended, "frames") or named(ended, "flip-")
    must(count == len(whole.frames) or told, f"{len(whole.frames) - count} pictures are not there, and nothing says so")
    return f"{count} of {len(whole.frames)} pictures"


def check_snapshot(work, whole, ended):
    """It is one of those that the whole run saved, or it is not there."""
    for path in work.glob("*.part"):
        must(ended.killed, f"{path.name} is left by a run that was not killed")
    path = work / "snapshot"
    if not path.exists():
        must(ended.cut or ended.stopped or named(ended, "snapshot"), "there is no snapshot, and nothing says so")
        return "no snapshot"
    number = next((number for number, saved in enumerate(whole.snapshots, 1) if runs.same(path, saved)), None)
    must(number, "the snapshot is none of those that the whole run saved")
    last = number == len(whole.snapshots)
    must(last or ended.cut or ended.stopped or named(ended, "snapshot"), "the last snapshot was not saved, and nothing says so")
    return f"snapshot {number} of {len(whole.snapshots)}"


def check_console(work, whole, ended):
    path = work / "console"
    text = path.read_bytes() if path.exists() else b""
    must(whole.console.startswith(text), "the console's log is not the beginning of the whole one")
    complete = text == whole.console
    must(complete or ended.cut or ended.stopped or named(ended, "console"), "the console's log is cut, and nothing says so")
    return f"{len(text)} of {len(whole.console)} bytes of console"


def check_reports(work, whole, ended):
    """Each report is there whole or not at all, and says of each scenario what the undisturbed suite says, or that it was not played."""
    there = []
    for name in ("report.json", "report.xml", "report.ktap"):
        path = work / name
        if not path.exists():
            must(ended.cut or ended.stopped or named(ended, name), f"there is no {name}, and nothing says so")
            continue
        verdicts, alone = runs.verdicts(path), whole.verdicts[name]
        for scenario, verdict in verdicts.items():
            must(scenario in alone, f"{name} has {scenario}, which is not of the suite")
            broken = ended.status == 3 and verdict in ("broken", "error", "not ok")
            must(broken or verdict == alone[scenario], f"{name} says of {scenario}: {verdict}; left alone it is: {alone[scenario]}")
        must(set(verdicts) == set(alone) or ended.stopped, f"{name} lacks {set(alone) - set(verdicts)}")
        there.append(name.split(".")[1])
    left = [path.name for path in work.glob("*.part")]
    must(not left or ended.killed, f"{left} are left by a run that was not killed")
    for path in (work / "results").rglob("trace.fptrace"):
        # That of a scenario which could not begin is empty.
        if ".running-" not in str(path) and not (ended.status == 3 and path.stat().st_size == 0):
            found, why = runs.events(path)
            must(found is not None, f"{path.relative_to(work)} of {path.stat().st_size} bytes is not read: {why}")
    return f"reports {' '.join(there) or 'none'}"


def check_again(work, whole, ended):
    """The next command with the same folder has nothing of this one in its way, and leaves nothing of it."""
    again = runs.Scenarios(work).alone()
    must(again.status == whole.status, f"the next command ends with {again.status}: {again.errors[-300:]}")
    left = [path.name for path in (work / "results").rglob(".running-*")]
    must(not left, f"the next command leaves {left}")
    return "the next command is as the first"


def check(kind, work, whole, ended):
    allowed = ended.allowed(whole.status)
    must(ended.status in allowed, f"status {ended.status}, not one of {sorted(allowed)}: {ended.errors[-400:]}")
    must(ended.status == whole.status or ended.killed or not ended.listened or ended.errors.strip(), "it failed without a word")
    if kind is not runs.Scenarios:
        return [one(work, whole, ended) for one in (check_trace, check_frames, check_snapshot, check_console)]
    found = [check_reports(work, whole, ended)]
    return found + ([check_again(work, whole, ended)] if ended.killed else [])


def moment(number, kind, cause, share, whole, folder):
    name = f"{number}: {cause.__name__.replace('_', ' ')} at {share:.0%} of {kind.__name__.lower()}"
    work = folder / "work"
    work.mkdir()
    mounted = cause is runs.full_disk
    try:
        if mounted:
            runs.mount("-o", "size=900m", "tmpfs", work)
        ended = kind(work).broken(cause, share, whole)
        told = ", ".join(check(kind, work, whole, ended))
        say(True, name, f"status {ended.status}, {told}")
    except Wrong as wrong:
        say(False, name, f"{wrong}; status {ended.status}, it said: {ended.errors.strip() or 'nothing'}")
    except Exception:
        say(False, name, traceback.format_exc())
    finally:
        if mounted:
            runs.unmount(work)
        shutil.rmtree(work)


def main():
    runs.set_up(*sys.argv[1:6])
    folder, moments, seed = pathlib.Path(sys.argv[6]), int(sys.argv[7]), int(sys.argv[8])
    chosen = [int(number) for number in sys.argv[9:]]
    causes = list(runs.CAUSES)
    if not runs.may_mount():
        without = [cause for cause in causes if cause in runs.MOUNTS]
        print(f"skipped: {', '.join(cause.__name__.replace('_', ' ') for cause in without)} (this user may not mount)")
        causes = [cause for cause in causes if cause not in without]
    os.chdir(folder)
    wholes = {}
    for kind in (runs.Boot, runs.Restored, runs.Scenarios):
        whole = wholes[kind] = kind.reference(folder)
        say(True, f"{kind.__name__.lower()}, left alone", f"status {whole.status}, {whole.seconds:.2f} s of processor time")
    random_of = random.Random(seed)
    for number in range(1, moments + 1):
        # Every cause comes as often as the others; what it meets, and when, is drawn.
        kind = random_of.choices([runs.Boot, runs.Restored, runs.Scenarios], [1, 3, 1])[0]
        share = random_of.random() * 1.05
        if not chosen or number in chosen:
            moment(number, kind, causes[number % len(causes)], share, wholes[kind], folder)
    sys.exit(FAILED)


if __name__ == "__main__":
    main()
