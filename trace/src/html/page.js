'use strict';
// Draws the timeline from the data in the page. Whatever the guest named is set as text, never as markup.
const data = JSON.parse(document.getElementById('data').textContent);
const byId = (id) => document.getElementById(id);
const [view, axis, canvas, tip, said] = ['view', 'axis', 'lanes', 'tip', 'said'].map(byId);
const LABEL = 230, ROW = 20, BAR = 14, GROUP = 24, AXIS = 26, TICKS = 9;
// Fields of a slice; a mark has the first four of FROM, FROM_NS, then NAME...
const FROM = 0, LONG = 1, FROM_NS = 2, LONG_NS = 3, NAME = 4, TONE = 5, FRAME = 6, TEXT = 7, OPEN = 8;
const places = [];
let bottom = 0;
let group = -1;
for (const [at, lane] of data.lanes.entries()) {
  if (lane.group !== group) { group = lane.group; places.push({ title: data.groups[group], y: bottom }); bottom += GROUP; }
  lane.y = bottom;
  const rows = Math.max(1, lane.rows.length);
  places.push({ lane, at, y: bottom });
  bottom += rows * ROW;
}
let from = 0, to = Math.max(1, data.end), chosen = -1, hover = null, width = 0;

const style = getComputedStyle(document.documentElement);
const colour = (name) => style.getPropertyValue(name).trim();
const digits = (n) => Math.round(n).toString().replace(/\B(?=(\d{3})+$)/g, '\u202f');
const time = (ns) => ns < 1e4 ? `${Math.round(ns)} ns` : ns < 1e7 ? `${(ns / 1e3).toFixed(1)} µs`
  : ns < 1e10 ? `${(ns / 1e6).toFixed(2)} ms` : `${(ns / 1e9).toFixed(2)} s`;
const x = (cycles) => LABEL + (cycles - from) / (to - from) * (width - LABEL);
const cycles = (px) => from + (px - LABEL) / (width - LABEL) * (to - from);

// The first slice of a row that ends after `when`: slices of a row follow each other.
function first(row, when) {
  let low = 0, high = row.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (row[middle][FROM] + row[middle][LONG] < when) low = middle + 1; else high = middle;
  }
  return low;
}

function size(element, height) {
  const scale = window.devicePixelRatio || 1;
  element.style.width = `${width}px`;
  element.style.height = `${height}px`;
  element.width = Math.round(width * scale);
  element.height = Math.round(height * scale);
  const pen = element.getContext('2d');
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = '12px system-ui, "DejaVu Sans", sans-serif';
  pen.textBaseline = 'middle';
  return pen;
}

function drawAxis() {
  const pen = size(axis, AXIS);
  pen.fillStyle = colour('--page');
  pen.fillRect(0, 0, width, AXIS);
  pen.fillStyle = colour('--dim');
  pen.fillText('cycles since the first event', 8, AXIS / 2);
  const rough = (to - from) / Math.max(1, (width - LABEL) / 150);
  const power = 10 ** Math.floor(Math.log10(Math.max(1, rough)));
  const step = Math.max(1, [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough));
  for (let tick = Math.ceil(from / step) * step; tick <= to; tick += step) {
    pen.fillRect(x(tick), AXIS - 6, 1, 6);
    pen.fillText(digits(tick), x(tick) + 4, AXIS / 2);
  }
  return step;
}

// Text cut to a width.
function fitted(pen, text, room) {
  if (room < 18) return '';
  if (pen.measureText(text).width <= room) return text;
  let end = Math.floor(text.length * room / pen.measureText(text).width);
  while (end > 1 && pen.measureText(`${text.slice(0, end)}…`).width > room) end -= 1;
  return end > 1 ? `${text.slice(0, end)}…` : '';
}

// Slices; those that fall on one pixel column are drawn as one.
function drawRow(pen, row, y) {
  let drawn = 0, filled = -1;
  for (let at = first(row, from); at < row.length && row[at][FROM] <= to; at += 1) {
    const slice = row[at];
    const left = Math.max(LABEL, x(slice[FROM])), right = Math.min(width, x(slice[FROM] + slice[LONG]));
    const wide = Math.max(1, right - left);
    if (left + wide <= filled) continue;
    filled = left + (wide < 2 ? 1 : wide);
    pen.globalAlpha = chosen >= 0 && slice[FRAME] !== chosen ? 0.32 : 1;
    pen.fillStyle = data.tones[slice[TONE]];
    pen.fillRect(left, y + (ROW - BAR) / 2, wide, BAR);
    drawn += 1;
    if (wide > 26) {
      pen.fillStyle = '#fff';
      pen.fillText(fitted(pen, data.strings[slice[NAME]], wide - 8), left + 4, y + ROW / 2);
    }
  }
  pen.globalAlpha = 1;
  return drawn;
}

function drawMarks(pen, lane) {
  let drawn = 0, last = -1;
  for (let at = first(lane.marks, from); at < lane.marks.length && lane.marks[at][FROM] <= to; at += 1) {
    const mark = lane.marks[at], left = Math.round(x(mark[FROM]));
    if (left === last || left < LABEL) continue;
    last = left;
    drawn += 1;
    const strong = chosen >= 0 && mark[FRAME] === chosen;
    pen.globalAlpha = chosen >= 0 && !strong ? 0.4 : 1;
    pen.fillStyle = data.tones[mark[TONE]];
    pen.fillRect(left - (strong ? 1 : 0), lane.y + (ROW - TICKS) / 2 - 2, strong ? 3 : 1.5, TICKS + 4);
  }
  pen.globalAlpha = 1;
  return drawn;
}

const spot = ([lane, row, item]) => {
  const one = data.lanes[lane], slice = row < 0 ? one.marks[item] : one.rows[row][item];
  return { slice, y: one.y + Math.max(0, row) * ROW + ROW / 2 };
};

// The arrows of the chosen frame, or all where few are in view.
function drawArrows(pen) {
  const seen = data.arrows.filter((arrow) => {
    const a = spot(arrow[1]).slice, b = spot(arrow[2]).slice;
    return (chosen < 0 || arrow[0] === chosen) && b[FROM] >= from && a[FROM] <= to;
  });
  if (chosen < 0 && seen.length > 400) return 0;
  pen.strokeStyle = pen.fillStyle = colour('--ink');
  pen.globalAlpha = chosen < 0 ? 0.35 : 0.85;
  pen.lineWidth = 1.2;
  pen.save();
  pen.beginPath();
  pen.rect(LABEL, 0, width - LABEL, bottom);
  pen.clip();
  for (const arrow of seen) {
    const a = spot(arrow[1]), b = spot(arrow[2]);
    const begin = x(Math.min(a.slice[FROM] + a.slice[LONG], b.slice[FROM])), end = x(b.slice[FROM]);
    const bend = Math.max(12, (end - begin) / 2);
    pen.beginPath();
    pen.moveTo(begin, a.y);
    pen.bezierCurveTo(begin + bend, a.y, end - bend, b.y, end - 2, b.y);
    pen.stroke();
    pen.beginPath();
    pen.moveTo(end, b.y);
    pen.lineTo(end - 7, b.y - 4);
    pen.lineTo(end - 7, b.y + 4);
    pen.fill();
  }
  pen.restore();
  pen.globalAlpha = 1;
  return seen.length;
}

function draw() {
  width = view.clientWidth;
  const step = drawAxis();
  const pen = size(canvas, Math.max(1, bottom));
  let slices = 0, marks = 0;
  for (const [at, place] of places.entries()) {
    if (place.title) {
      pen.fillStyle = colour('--dim');
      pen.fillText(place.title.toUpperCase(), 8, place.y + GROUP / 2 + 2);
      continue;
    }
    const { lane } = place, high = Math.max(1, lane.rows.length) * ROW;
    if (at % 2) { pen.fillStyle = colour('--band'); pen.fillRect(0, place.y, width, high); }
    pen.fillStyle = colour('--ink');
    pen.fillText(fitted(pen, data.strings[lane.name], LABEL - 22), 14, place.y + ROW / 2);
    for (const [row, items] of lane.rows.entries()) slices += drawRow(pen, items, lane.y + row * ROW);
    marks += drawMarks(pen, lane);
  }
  pen.fillStyle = colour('--rule');
  pen.fillRect(LABEL - 1, 0, 1, bottom);
  const arrows = drawArrows(pen);
  const whose = chosen < 0 ? 'all frames' : `frame ${chosen}`;
  said.textContent = `In view: ${digits(from)} to ${digits(to)} cycles; ${slices} slices, ${marks} marks, ${arrows} arrows of ${whose}; one mark of the axis is ${digits(step)} cycles`;
}

// One drawing for any number of changes.
let waiting = false;
const redraw = () => {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(); });
};

function show(begin, end) {
  const least = 20, all = data.end;
  let long = Math.min(Math.max(end - begin, least), all * 1.02 + least);
  const start = Math.min(Math.max(begin, -long * 0.02), Math.max(0, all * 1.02 - long));
  [from, to] = [start, start + long];
  redraw();
}
const zoom = (factor, about = (from + to) / 2) => show(about - (about - from) * factor, about + (to - about) * factor);
const pan = (share) => show(from + (to - from) * share, to + (to - from) * share);

function choose(frame, move) {
  chosen = frame >= 0 && frame < data.frames.length ? frame : -1;
  byId('frame').value = chosen < 0 ? '' : chosen;
  const span = data.frames[chosen];
  if (move && span && span[1] >= span[0]) {
    const room = Math.max(40, (span[1] - span[0]) * 0.06);
    show(span[0] - room, span[1] + room);
  }
  redraw();
}

// What is under the pointer: a slice, or the nearest mark within a few pixels.
function under(event) {
  const box = canvas.getBoundingClientRect(), px = event.clientX - box.left, py = event.clientY - box.top;
  const place = places.findLast((one) => one.lane && one.y <= py);
  if (!place || py > place.y + Math.max(1, place.lane.rows.length) * ROW) return null;
  const { lane } = place, when = cycles(px);
  if (px < LABEL) return { lane };
  const reach = 4 * (to - from) / (width - LABEL);
  let near = null;
  for (let at = first(lane.marks, when - reach); at < lane.marks.length && lane.marks[at][FROM] <= when + reach; at += 1) {
    if (!near || Math.abs(lane.marks[at][FROM] - when) < Math.abs(near[FROM] - when)) near = lane.marks[at];
  }
  if (near && py < lane.y + ROW) return { lane, slice: near, mark: true };
  const row = lane.rows[Math.floor((py - lane.y) / ROW)] || [];
  const slice = row[first(row, when - reach / 2)];
  return slice && slice[FROM] <= when + reach / 2 ? { lane, slice } : null;
}

function tell(found, event) {
  tip.style.display = found ? 'block' : 'none';
  if (!found) return;
  const { lane, slice } = found;
  const lines = [data.strings[lane.name]];
  if (slice) {
    lines[0] = `${data.strings[slice[NAME]]}  ·  ${lines[0]}`;
    lines.push(`at ${digits(slice[FROM] + data.begin[0])} cycles, ${digits(slice[FROM_NS] + data.begin[1])} ns`);
    if (!found.mark) {
      lines.push(slice[OPEN] ? "not ended at the trace's end" : `took ${digits(slice[LONG])} cycles, ${time(slice[LONG_NS])}`);
    }
    if (slice[FRAME] >= 0) lines.push(`frame ${slice[FRAME]}: ${data.strings[data.frames[slice[FRAME]][2]]}`);
    if (data.strings[slice[TEXT]]) lines.push(data.strings[slice[TEXT]]);
  } else {
    lines.push(data.strings[lane.about]);
  }
  tip.textContent = lines.join('\n');
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${Math.max(4, Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8))}px`;
}

let grip = null;
canvas.addEventListener('pointerdown', (event) => {
  grip = { x: event.clientX, from, to, moved: false };
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener('pointermove', (event) => {
  if (!grip) { tell(under(event), event); return; }
  const by = (grip.x - event.clientX) / (width - LABEL) * (grip.to - grip.from);
  grip.moved = grip.moved || Math.abs(grip.x - event.clientX) > 3;
  if (grip.moved) { tell(null); show(grip.from + by, grip.to + by); }
});
canvas.addEventListener('pointerup', (event) => {
  if (grip && !grip.moved) {
    const found = under(event);
    choose(found && found.slice ? found.slice[FRAME] : -1, false);
  }
  grip = null;
});
canvas.addEventListener('pointerleave', () => tell(null));
view.addEventListener('wheel', (event) => {
  if (event.ctrlKey || event.metaKey) {
    event.preventDefault();
    const about = cycles(event.clientX - canvas.getBoundingClientRect().left);
    zoom(Math.exp(Math.max(-120, Math.min(120, event.deltaY)) / 200), about);
  } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
    event.preventDefault();
    pan((event.deltaX || event.deltaY) / 800);
  }
}, { passive: false });

const whole = () => { choose(-1, false); show(0, data.end); };
const next = (by) => choose(Math.min(data.frames.length - 1, Math.max(0, chosen < 0 ? 0 : chosen + by)), true);
const worst = () => choose(data.worst, true);
const keys = {
  '+': () => zoom(0.7), '=': () => zoom(0.7), w: () => zoom(0.7), '-': () => zoom(1.4), s: () => zoom(1.4),
  ArrowLeft: () => pan(-0.15), a: () => pan(-0.15), ArrowRight: () => pan(0.15), d: () => pan(0.15),
  n: () => next(1), p: () => next(-1), x: worst, 0: whole, Escape: () => choose(-1, false),
};
view.addEventListener('keydown', (event) => {
  const act = keys[event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  act();
});
for (const [id, act] of [['in', keys['+']], ['out', keys['-']], ['all', whole], ['next', keys.n], ['previous', keys.p], ['worst', worst]]) {
  byId(id).addEventListener('click', act);
}
byId('frame').addEventListener('change', (event) => choose(event.target.value === '' ? -1 : Number(event.target.value), true));
window.addEventListener('resize', redraw);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);

if (data.worst >= 0) choose(data.worst, true); else show(0, data.end);
draw();
// Where each lane was drawn, for who tests the page.
document.body.dataset.layout = JSON.stringify({
  label: LABEL, row: ROW, from, to, width, top: canvas.getBoundingClientRect().top,
  left: canvas.getBoundingClientRect().left, lanes: data.lanes.map((lane) => lane.y),
});
