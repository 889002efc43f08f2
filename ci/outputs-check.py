"""Looks at what `fencepost trace convert` made, with decoders that are not Fencepost's.

  outputs-check.py perfetto TRACE.pftrace TRACE.jsonl     Perfetto's own message classes decode it
  outputs-check.py page DOM.html SCREENSHOT.png REPORT.json COLOURS   what a browser made of the page

Prints one line of what it saw; the exit status is 1 and the line says what is wrong if something is.
"""

import collections
import json
import re
import sys
from html.parser import HTMLParser

from pictures import png


# Of the timeline so many pixels can be seen without scrolling, and a little more.
VISIBLE = 700


def need(condition, what):
    if not condition:
        sys.exit(f"wrong: {what}")


def records(path):
    """The records of a JSON lines file."""
    with open(path, encoding="utf-8") as lines:
        return [one for one in map(json.loads, lines) if "cycles" in one]


def perfetto(trace_path, jsonl_path):
    from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as pb

    trace = pb.Trace()
    with open(trace_path, "rb") as file:
        trace.ParseFromString(file.read())
    # Whatever the public definitions do not know would be kept as unknown: written again it must be the same size.
    need(not unknown_fields(trace), "fields that Perfetto's definitions do not have")
    truth = collections.defaultdict(set)
    events = collections.Counter()
    for one in records(jsonl_path):
        truth[one["cycles"]].add(one["ns"])
        events[next(iter(one.get("event", {"guest": 0})))] += 1
    tracks, open_slices, names = {}, collections.Counter(), collections.Counter()
    begun, ended, before, stamped = {}, {}, 0, 0
    for packet in trace.packet:
        if packet.HasField("track_descriptor"):
            track = packet.track_descriptor
            need(track.uuid not in tracks, f"track {track.uuid} twice")
            need(not track.parent_uuid or track.parent_uuid in tracks, f"{track.name} before its parent")
            tracks[track.uuid] = track
        if not packet.HasField("track_event"):
            continue
        event, now = packet.track_event, packet.timestamp
        need(event.track_uuid in tracks, f"an event on no track: {event}")
        need(now >= before, f"time runs backwards at {now}")
        before = now
        kind = event.type
        if kind == pb.TrackEvent.TYPE_SLICE_BEGIN:
            open_slices[event.track_uuid] += 1
            need(open_slices[event.track_uuid] == 1, f"overlapping slices on {tracks[event.track_uuid].name}")
        elif kind == pb.TrackEvent.TYPE_SLICE_END:
            open_slices[event.track_uuid] -= 1
            need(open_slices[event.track_uuid] == 0, f"an end without begin on {tracks[event.track_uuid].name}")
        names[(tracks[event.track_uuid].name, event.name)] += 1
        for flow in event.flow_ids:
            need(flow not in begun, f"arrow {flow} begins twice")
            begun[flow] = now
        for flow in event.terminating_flow_ids:
            need(flow in begun and flow not in ended, f"arrow {flow} ends before it begins")
            ended[flow] = now
        for note in event.debug_annotations:
            if note.name == "cycles":
                need(now in truth[note.uint_value], f"{event.name}: {note.uint_value} cycles at {now} ns")
                stamped += 1
    need(begun.keys() == ended.keys() and begun, "arrows without an end")
    need(not any(open_slices.values()), "slices without an end")
    count = lambda track, name: sum(n for (t, e), n in names.items() if t.startswith(track) and name in e)
    # What the trace has of each, by Fencepost's other output.
    need(count("camera", "frame ") >= events["FrameEnd"] > 0, "frames on the camera's track")
    need(count("gpu ring", "fence written") == events["FenceWrite"] > 0, "fences on the rings' tracks")
    need(count("display", "commit ") == events["Latch"] > 0, "commits on the display's track")
    roots = [uuid for uuid, track in tracks.items() if not track.parent_uuid]
    need(len(roots) == 1, f"{len(roots)} roots")
    groups = {track.name for track in tracks.values() if track.parent_uuid == roots[0]}
    need({"Engines", "Buffers", "Interrupts", "Hand-offs", "CPU", "About this trace"} <= groups, f"groups: {groups}")
    lanes = {track.name for track in tracks.values() if track.parent_uuid not in (0, roots[0])}
    print(f"{len(lanes)} tracks, {len(begun)} arrows, {stamped} stamps as in the trace")


def unknown_fields(message):
    """Whether a message or one inside it has fields of unknown numbers."""
    from google.protobuf.unknown_fields import UnknownFieldSet

    if len(UnknownFieldSet(message)):
        return True
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        repeated = not hasattr(value, "ListFields")
        for one in value if repeated else [value]:
            if unknown_fields(one):
                return True
    return False


class Page(HTMLParser):
    """The cells of the page's tables by the table's id, and what body says of the layout."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.tables, self.table, self.cell, self.layout, self.scripts, self.images = {}, None, None, None, 0, 0
        self.text = []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.scripts += tag == "script"
        self.images += tag in ("img", "iframe", "link", "object")
        if tag == "body":
            self.layout = attributes.get("data-layout")
        if tag == "table":
            self.table = self.tables.setdefault(attributes.get("id"), [])
        if tag == "tr" and self.table is not None:
            self.table.append([])
        if tag in ("td", "th") and self.table:
            self.cell = []

    def handle_endtag(self, tag):
        if tag in ("td", "th") and self.cell is not None:
            self.table[-1].append("".join(self.cell))
            self.cell = None
        if tag == "table":
            self.table = None

    def handle_data(self, text):
        self.text.append(text)
        if self.cell is not None:
            self.cell.append(text)


def number(text):
    return int(re.sub(r"\s", "", text))


def page(dom_path, picture_path, report_path, theme):
    with open(dom_path, encoding="utf-8") as file:
        source = file.read()
    with open(report_path, encoding="utf-8") as file:
        report = json.load(file)
    dom = Page()
    dom.feed(source)
    need(dom.scripts == 2 and dom.images == 0, "elements that the page does not have")
    need(dom.layout, "the script did not come to its end")
    rows = {row[0]: row[1:] for row in dom.tables["handoffs"] if len(row) > 8}
    need(len(report["handoffs"]) > 4, "hand-offs in the report")
    for one in report["handoffs"]:
        row = rows.get(one["name"])
        need(row, f"no row {one['name']}")
        values = [one["count"], one["p50"]["cycles"], one["p99"]["cycles"], one["worst"]["cycles"], one["worst_frame"]]
        need([number(row[at]) for at in (0, 1, 3, 5, 7)] == values, f"{one['name']}: {row} is not {values}")
    waits = [[number(cell) for cell in (row[2], row[3], row[5])] for row in dom.tables.get("waits", [])[1:]]
    need(waits == [[one["count"], one["total"]["cycles"], one["worst"]["cycles"]] for one in report["waits"]][:100], f"waits: {waits}")
    steps = [row[0] for row in dom.tables["worst-frame"]][1:]
    need(steps == [step["name"] for step in report["worst_frame"]["steps"]], "the worst frame's steps")
    need(report["stamps"] in "".join(dom.text), "which stamps they are")
    said = re.search(r"(\d+) slices, (\d+) marks, (\d+) arrows", "".join(dom.text))
    need(said and all(int(n) > 0 for n in said.groups()), "slices, marks and arrows are drawn")
    seen = picture(dom, json.loads(dom.layout), picture_path, theme)
    print(f"{len(report['handoffs'])} hand-offs, {len(waits)} waits, {len(steps)} steps, {said[0]} drawn, {seen} slices in their colours")


def picture(dom, layout, path, theme):
    """Every slice that is wide enough and in view has its colour where it must be. Gives their number."""
    _, _, pixel = png(path)
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', open(
        sys.argv[2], encoding="utf-8").read(), re.S)[1])
    background = pixel(3, 3)
    need(sum(background) > 600 if theme == "light" else sum(background) < 120, f"a {theme} page, not {background}")
    span, room = layout["to"] - layout["from"], layout["width"] - layout["label"]
    frame, seen, tones = data["worst"], 0, set()
    for lane, top in zip(data["lanes"], layout["lanes"]):
        for row, slices in enumerate(lane["rows"]):
            for begin, long, _, _, _, tone, of, *_ in slices:
                left = layout["label"] + (begin - layout["from"]) / span * room
                right = left + long / span * room
                # Above and below a slice's name; an arrow may cross some of the places.
                y = layout["top"] + top + row * layout["row"] + 4
                if of != frame or right - left < 4 or right > layout["width"] or y > layout["top"] + VISIBLE:
                    continue
                want = tuple(bytes.fromhex(data["tones"][tone][1:]))
                steps = [left + 1 + (right - left - 2) * part / 8 for part in range(9)]
                near = [pixel(round(layout["left"] + x), round(y + dy)) for x in steps for dy in (1, 11)]
                need(any(distance(want, one) < 24 for one in near), f"{want} at {left},{y}: {near}")
                seen += 1
                tones.add(tone)
    need(seen >= 4 and len(tones) >= 3, f"only {seen} slices of {len(tones)} colours can be seen")
    return seen


def distance(one, other):
    return max(abs(a - b) for a, b in zip(one, other))


{"perfetto": perfetto, "page": page}[sys.argv[1]](*sys.argv[2:])
