'use strict';
// What the server says and what is said to it: vmm/src/view/messages.rs.
const $ = (id) => document.getElementById(id);
const canvas = $('screen');
const draw = canvas.getContext('2d', { alpha: false, willReadFrequently: true });
const socket = new WebSocket(`ws://${location.host}/socket${location.search}`);
socket.binaryType = 'arraybuffer';

function say(message) {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

let devices = { keyboard: false, pointer: false };

function showScreens({ screens, keyboard, pointer }) {
  devices = { keyboard, pointer };
  const takes = [keyboard && 'keys', pointer && 'the pointer'].filter(Boolean).join(' and ');
  $('input').textContent = takes ? `Click the picture: the guest gets ${takes}.` : 'The guest has no input device here.';
  $('screens').replaceChildren(...screens.map((name) => {
    const tab = document.createElement('button');
    tab.textContent = name;
    tab.onclick = () => {
      say({ type: 'screen', name });
    };
    return tab;
  }));
}

function showCount({ screen, frame, flip, crc }) {
  $('frame').textContent = frame;
  $('flip').textContent = flip;
  $('crc').textContent = crc;
  for (const tab of $('screens').children) tab.setAttribute('aria-current', tab.textContent === screen);
}

async function showPicture(data) {
  const length = new DataView(data).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  const png = new Blob([new Uint8Array(data, 4 + length)], { type: 'image/png' });
  const part = await createImageBitmap(png, { colorSpaceConversion: 'none', premultiplyAlpha: 'none' });
  const { width, height, x, y } = header;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  draw.drawImage(part, x, y);
  part.close();
  $('size').textContent = `${width}x${height}`;
  showCount(header);
}

// One after the other, though drawing takes a while; the next picture comes when this one is on the page.
let last = Promise.resolve();
function shown() {
  requestAnimationFrame(() => say({ type: 'shown' }));
}
function hear({ data }) {
  if (typeof data !== 'string') {
    last = last.then(() => showPicture(data)).then(shown);
    return;
  }
  const message = JSON.parse(data);
  last = last.then(() => {
    if (message.type === 'screens') showScreens(message);
    if (message.type === 'ended') $('state').textContent = 'the machine has ended';
    if (message.type === 'frame') {
      showCount(message);
      shown();
    }
  });
}
socket.onopen = () => { $('state').textContent = 'live'; };
socket.onmessage = hear;
socket.onclose = () => {
  last.then(() => {
    if ($('state').textContent !== 'the machine has ended') $('state').textContent = 'the connection is gone: reload the page';
  });
};

function key(event, pressed) {
  if (!devices.keyboard || !event.code) return;
  event.preventDefault();
  if (!event.repeat) say({ type: 'key', code: event.code, pressed });
}
canvas.addEventListener('keydown', (event) => key(event, true));
canvas.addEventListener('keyup', (event) => key(event, false));
canvas.addEventListener('blur', () => say({ type: 'released' }));

// Where the pointer is, at most once for each time the page is drawn.
let place = null;
function move(event) {
  const box = canvas.getBoundingClientRect();
  const scaled = (at, side) => Math.round(Math.min(Math.max(at / Math.max(side - 1, 1), 0), 1) * 32767);
  const first = place === null;
  place = { x: scaled(event.clientX - box.left, box.width), y: scaled(event.clientY - box.top, box.height) };
  if (first) requestAnimationFrame(sendPlace);
}
function sendPlace() {
  if (place !== null && devices.pointer) say({ type: 'pointer', ...place });
  place = null;
}
function button(event, pressed) {
  if (pressed) canvas.focus();
  if (!devices.pointer || event.button > 2) return;
  event.preventDefault();
  move(event);
  sendPlace();
  say({ type: 'button', button: event.button, pressed });
}
canvas.addEventListener('pointermove', move);
// Captured, the pointer is followed beyond the picture while a button is down; "mouse" events tell of each button.
canvas.addEventListener('pointerdown', (event) => canvas.setPointerCapture(event.pointerId));
canvas.addEventListener('mousedown', (event) => button(event, true));
canvas.addEventListener('mouseup', (event) => button(event, false));
canvas.addEventListener('contextmenu', (event) => event.preventDefault());
canvas.addEventListener('wheel', (event) => {
  if (!devices.pointer || event.deltaY === 0) return;
  event.preventDefault();
  say({ type: 'wheel', notches: event.deltaY < 0 ? 1 : -1 });
}, { passive: false });
canvas.focus();
