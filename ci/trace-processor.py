"""Looks at what Perfetto's own trace_processor makes of Fencepost's Perfetto file.

  trace-processor.py FOLDER TRACE.perfetto TRACE.jsonl REPORT.json NAMES     FOLDER as for trace-processor.js

It must read all that is in the file, by Perfetto's message classes, and what it reads must be what Fencepost's other outputs say.
Writes the names of the groups and of their parent into the file NAMES, in their order.
Prints one line of what it saw; the exit status is 1 and the line says what is wrong if something is.
"""

import collections
import json
import os
import re
import subprocess
import sys

from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as pb

GROUPS = ["About this trace", "Engines", "Buffers", "Fence timelines", "Hand-offs", "Interrupts", "CPU", "Guest threads", "Counters"]
WHOLE = "whole journey"
# Where arrows begin and end (docs/trace-outputs.md), as the report calls its steps.
HANDS = ("frame-start", "capture-delivered", "dequeued", "submitted", "job-start", "fence-delivered", "fence-signaled", "latch",
         "flip-delivered", "flip-event")

QUERIES = {
    "wrong": "select name, value from stats where severity in ('error', 'data_loss') and value > 0",
    "slices": "select ts, dur, depth, category, name, track_id, arg_set_id, id from slice order by id",
    "args": "select arg_set_id, key, value_type, display_value from args where key glob 'debug.*'",
    "flows": "select slice_out, slice_in from flow",
    "counters": "select ts, value, track_id from counter order by id",
    "tracks": """select id, parent_id, name, extract_arg(source_arg_set_id, 'child_ordering'),
        extract_arg(source_arg_set_id, 'sibling_order_rank') from track order by id""",
}

Slice = collections.namedtuple("Slice", "ts dur category name lane notes")


def need(condition, what):
    if not condition:
        sys.exit(f"wrong: {what}")


def same(what, one, other):
    """Two lists or counters must be the same; says where they are not."""
    if one != other:
        if isinstance(one, list):
            differ = [pair for pair in zip(one, other) if pair[0] != pair[1]][:1] or (len(one), len(other))
        else:
            differ = list((one - other).items())[:2], list((other - one).items())[:2]
        sys.exit(f"wrong: {what}: {str(differ)[:800]}")


class Read:
    """What trace_processor read, in the words of `Written`."""

    def __init__(self, folder, trace):
        command = ["node", os.path.join(os.path.dirname(__file__), "trace-processor.js"), folder, trace]
        sql = "".join(f"{one};\n" for one in QUERIES.values())
        ran = subprocess.run(command, input=sql, capture_output=True, text=True, timeout=300)
        need(ran.returncode == 0, f"trace-processor.js: {ran.stderr[-500:]}")
        rows = {name: one["rows"] for name, one in zip(QUERIES, json.loads(ran.stdout))}
        need(not rows["wrong"], f"trace_processor's own counts of errors: {rows['wrong']}")
        self.tracks = {row[0]: row[1:] for row in rows["tracks"]}
        notes = collections.defaultdict(dict)
        for of, key, kind, text in rows["args"]:
            need(key not in notes[of], f"{key} twice")
            notes[of][key.removeprefix("debug.")] = (kind, text)
        self.slices = []
        for number, (ts, dur, depth, category, name, track, of, identity) in enumerate(rows["slices"]):
            need(identity == number, "slices are not counted from 0")
            need(dur >= 0, f"{name} at {ts} has no end")
            need(dur == 0 or depth == 0, f"{name} at {ts} is inside another: an end was lost")
            self.slices.append(Slice(ts, dur, category, name, self.lane(track), notes[of]))
        self.flows = collections.Counter(map(tuple, rows["flows"]))
        self.counters = [(ts, value, self.lane(track)) for ts, value, track in rows["counters"]]
        self.lanes = collections.Counter(map(self.lane, self.tracks))

    def lane(self, track):
        parent, name, *_ = self.tracks[track]
        return (name,) if parent is None else (*self.lane(parent), name)


class Written:
    """What is in the file."""

    def __init__(self, trace):
        file = pb.Trace()
        with open(trace, "rb") as source:
            file.ParseFromString(source.read())
        tracks = {one.track_descriptor.uuid: one.track_descriptor for one in file.packet if one.HasField("track_descriptor")}

        def lane(uuid):
            need(not uuid or uuid in tracks, f"no track {uuid}")
            return (*lane(tracks[uuid].parent_uuid), tracks[uuid].name) if uuid else ()

        self.lanes = collections.Counter(map(lane, tracks))
        self.slices, self.counters, pending, begins, ends = [], [], {}, {}, {}
        for packet in file.packet:
            if not packet.HasField("track_event"):
                continue
            event, now = packet.track_event, packet.timestamp
            number = len(self.slices)
            begins.update((flow, number) for flow in event.flow_ids)
            ends.update((flow, number) for flow in event.terminating_flow_ids)
            if event.type == pb.TrackEvent.TYPE_COUNTER:
                self.counters.append((now, event.counter_value, lane(event.track_uuid)))
            elif event.type == pb.TrackEvent.TYPE_SLICE_END:
                need(event.track_uuid in pending, f"an end without a begin at {now}")
                begun = pending.pop(event.track_uuid)
                self.slices[begun] = self.slices[begun]._replace(dur=now - self.slices[begun].ts)
            else:
                if event.type == pb.TrackEvent.TYPE_SLICE_BEGIN:
                    pending[event.track_uuid] = number
                notes = list(flat(event.debug_annotations, lambda one: one.name))
                need(len(notes) == len(dict(notes)), f"{event.name} at {now} says something twice: {notes}")
                self.slices.append(Slice(now, 0, event.categories[0], event.name, lane(event.track_uuid), dict(notes)))
        need(begins.keys() == ends.keys(), "arrows without an end")
        self.flows = collections.Counter((begins[flow], ends[flow]) for flow in begins)


def flat(notes, name, before=""):
    """Annotations as trace_processor's arguments: key, kind and text."""
    for at, note in enumerate(notes):
        key = before + (name(note) if name else f"[{at}]")
        kind = note.WhichOneof("value")
        if kind:
            value = getattr(note, kind)
            text = {"bool_value": str(value).lower(), "pointer_value": f"0x{value:x}" if kind == "pointer_value" else ""}
            yield key, (kind.removesuffix("_value"), text.get(kind, str(value)))
        yield from flat(note.dict_entries, lambda one: one.name, f"{key}.")
        yield from flat(note.array_values, None, key)


def value(slice, name):
    found = slice.notes.get(name)
    return found and int(found[1], 0)


def order(read):
    """The groups stand in their order, by the ranks that Perfetto's UI goes by. Gives their parent's name and theirs."""
    roots = [track for track, (parent, *_) in read.tracks.items() if parent is None]
    need(len(roots) == 1, f"{len(roots)} roots")
    children = [(rank, name, how) for parent, name, how, rank in read.tracks.values() if parent == roots[0]]
    names = [name for _, name, _ in sorted(children)]
    need(read.tracks[roots[0]][2] == "explicit", "the root does not ask for an order")
    same("the groups' order", names, [name for name in GROUPS if name in names])
    need(all(how == "explicit" for _, name, how in children if name != GROUPS[0]), "a group that does not ask for an order")
    return [read.tracks[roots[0]][1], *names]


def events(read, records):
    """Everything is at the nanosecond at which the trace has its cycle, and there is as much as in the trace."""
    times, counts, guest = collections.defaultdict(set), collections.Counter(), collections.Counter()
    for one in records:
        times[one["cycles"]].add(one["ns"])
        if "event" in one:
            counts[next(iter(one["event"]))] += 1
        else:
            counts[one["name"]] += 1
            text = lambda value: bytes(value).hex() if isinstance(value, list) else str(value)
            guest[(one["ns"], one["name"], tuple(sorted((key, text(value)) for key, value in one["fields"].items())))] += 1
    for one in read.slices:
        if one.lane[1] != GROUPS[0]:
            need(one.ts in times[value(one, "cycles")], f"{one} is not where its cycle is")
            end = value(one, "end cycles")
            need(end is None or one.ts + one.dur in times[end], f"{one} does not end where its cycle is")
    count = lambda group, lane, name: sum(
        bool(len(one.lane) > 2 and one.lane[1] == group and re.match(lane, one.lane[2]) and re.match(name, one.name))
        for one in read.slices)
    for event, *where in [
        ("FrameStart", "Engines", "camera", "frame \\d"),
        ("JobStart", "Engines", ".* ring \\d", "(?!doorbell|fence written)"),
        ("FenceWrite", "Engines", ".* ring \\d", "fence written"),
        ("Doorbell", "Engines", "", "doorbell"),
        ("Latch", "Engines", "display", "commit "),
        ("ScanOut", "Engines", "display", "scan-out"),
        ("InterruptDelivered", "CPU", ".*interrupts", ""),
        ("irq_handler_entry", "CPU", ".*handlers", ""),
    ]:
        need(count(*where) == counts[event], f"{count(*where)} of {where}, and {counts[event]} of {event}")
    need(counts["FrameStart"] and counts["Latch"], "frames and commits in the trace")
    fields = lambda one: sorted((key[6:], str(int(text, 16)) if kind == "pointer" else text)
                                for key, (kind, text) in one.notes.items() if key.startswith("guest."))
    threads = [one for one in read.slices if one.lane[1] == "Guest threads" and not is_wait(one)]
    same("the guest's events", guest, collections.Counter((one.ts, one.name, tuple(fields(one))) for one in threads))


def is_wait(one):
    """Whether a slice is a thread's wait for a fence."""
    return one.lane[1] == "Guest threads" and one.name.startswith("waits for ")


def waits(read, report):
    """Who waited for whose fences is what the report says."""
    durations = [one.dur for one in read.slices if is_wait(one)]
    ended, left = (sum(one[what] for one in report["waits"]) for what in ("count", "open"))
    need(len(durations) == ended + left, f"{len(durations)} waits, and {ended + left} in the report")
    total = sum(one["total"]["ns"] for one in report["waits"])
    need(left or sum(durations) == total, f"waits of {sum(durations)} ns, and {total} in the report")


def journeys(read, report):
    """Hand-offs and arrows are those of the report."""
    found = collections.defaultdict(list)
    for one in read.slices:
        if one.lane[1] == "Hand-offs":
            found[one.lane[2]].append((one.dur, value(one, "frame")))
    wanted = {one["name"]: one for one in report["handoffs"] if not one["name"].startswith(WHOLE)}
    need(found.keys() == wanted.keys(), f"hand-offs {list(found)}, and in the report {list(wanted)}")
    for name, one in wanted.items():
        durations = [dur for dur, _ in found[name]]
        saw = len(durations), sum(durations), max(durations)
        need(saw == (one["count"], one["total"]["ns"], one["worst"]["ns"]), f"{name}: {saw}, and in the report {one}")
        need((saw[2], one["worst_frame"]) in found[name], f"{name}: the worst is not frame {one['worst_frame']}'s")
    arrows = collections.Counter(value(read.slices[out], "frame") for out, _ in read.flows.elements())
    worst, complete = report["worst_frame"], report["frames"]["complete"]
    # Another way has other hands: those are counted that went as the worst one did, and those that went further.
    if worst:
        way = " -> ".join(worst["engines"])
        complete = min(complete, sum(n for name, n in report["frames"]["ways"].items() if name.endswith(way)))
    need(worst or not report["frames"]["complete"], "no worst frame")
    if worst:
        needed = sum(step["stage"] in HANDS for step in worst["steps"]) - 1
        need(arrows[worst["number"]] == needed, f"frame {worst['number']} changes hands {needed} times: {arrows}")
        whole = sum(count >= needed for count in arrows.values())
        need(whole >= complete, f"{whole} frames with all their arrows, and {complete} are complete")


def main(folder, trace, jsonl, report, names):
    read, written = Read(folder, trace), Written(trace)
    for what in ("lanes", "slices", "flows", "counters"):
        same(what, getattr(read, what), getattr(written, what))
    groups = order(read)
    with open(jsonl, encoding="utf-8") as lines:
        events(read, [one for one in map(json.loads, lines) if "cycles" in one])
    with open(report, encoding="utf-8") as file:
        said = json.load(file)
    journeys(read, said)
    waits(read, said)
    with open(names, "w", encoding="utf-8") as file:
        file.writelines(f"{name}\n" for name in groups)
    notes = sum(len(one.notes) for one in read.slices)
    print(f"{len(read.slices)} slices and marks, {notes} annotations, {sum(read.flows.values())} arrows, {len(read.counters)} points"
          f" and {len(read.tracks)} tracks as in the file; events, hand-offs, waits and arrows as in the trace")


main(*sys.argv[1:])
