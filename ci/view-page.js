// Runs a guest with a live view and looks at it in a Chromium without a window.
//
//   node view-page.js FOLDER PICTURES INPUT SCRIPT COMMAND...     COMMAND is `fencepost run` with a shell on the console, which runs SCRIPT
//
// The pictures of so many flips must come to the page, each with the CRC of the canvas's own pixels, and of those of the file that `--frames` wrote of the
// flip. Unless INPUT is empty, "a" is pressed and the middle of the picture clicked when the guest has said "ready for input" on its console, and the guest must
// then say what each line of INPUT, a regular expression, matches. FOLDER gets a picture of the page, the frames, and what the guest and Chromium said.
// Prints one line of what was seen; the exit status is 1, and the line says what is wrong, if something is.
'use strict';
const fs = require('fs');
const path = require('path');
const zlib = require('zlib');
const { end, open, start } = require('./browser.js');

const LIMIT_MS = 240000;
const [folder, pictures, input, script, program, ...options] = process.argv.slice(2);
let doing = 'starting';
setTimeout(() => end(1, `wrong: not done within ${LIMIT_MS / 1000} s: ${doing}`), LIMIT_MS);

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
async function until(what, look) {
  doing = `waiting for ${what}`;
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    await pause(50);
  }
}

// In the page, before its own script: keeps, of each flip that is shown, the CRC that the page says and that of the canvas.
function watch() {
  window.seen = [];
  const table = Uint32Array.from({ length: 256 }, (_, byte) => {
    for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? (byte >>> 1) ^ 0xedb88320 : byte >>> 1;
    return byte;
  });
  const note = () => {
    const text = (id) => document.getElementById(id).textContent;
    const canvas = document.getElementById('screen');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let crc = ~0;
    let light = 0;
    for (let at = 0; at < data.length; at += 4) {
      for (const byte of [data[at + 2], data[at + 1], data[at], 0]) {
        light |= byte;
        crc = table[(crc ^ byte) & 255] ^ (crc >>> 8);
      }
    }
    const drawn = (~crc >>> 0).toString(16).padStart(8, '0');
    window.seen.push({ flip: Number(text('flip')), frame: Number(text('frame')), crc: text('crc'), drawn, black: !light });
  };
  document.addEventListener('DOMContentLoaded', () => {
    new MutationObserver(note).observe(document.getElementById('crc'), { childList: true });
  });
}

// In the page: where the middle of the picture is.
function middle() {
  const { left, top, width, height } = document.getElementById('screen').getBoundingClientRect();
  return { x: left + width / 2, y: top + height / 2 };
}

// CRC of a PNG's pixels as XRGB8888 words. It must be RGB of 8 bits, as --frames writes (PNG specification, 9.2: filters).
function crcOf(file) {
  const png = fs.readFileSync(file);
  const chunks = [];
  for (let at = 8; at < png.length; at += 12 + png.readUInt32BE(at)) {
    if (png.toString('latin1', at + 4, at + 8) === 'IDAT') chunks.push(png.subarray(at + 8, at + 8 + png.readUInt32BE(at)));
  }
  const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)];
  const data = zlib.inflateSync(Buffer.concat(chunks));
  const size = width * 3;
  const words = Buffer.alloc(width * height * 4);
  let above = Buffer.alloc(size);
  for (let y = 0; y < height; y++) {
    const filter = data[y * (size + 1)];
    const row = Buffer.from(data.subarray(y * (size + 1) + 1, (y + 1) * (size + 1)));
    for (let at = 0; at < size; at++) {
      const [left, up, corner] = [at < 3 ? 0 : row[at - 3], above[at], at < 3 ? 0 : above[at - 3]];
      const guess = left + up - corner;
      const [a, b, c] = [left, up, corner].map((byte) => Math.abs(guess - byte));
      const paeth = a <= b && a <= c ? left : b <= c ? up : corner;
      row[at] += [0, left, up, (left + up) >> 1, paeth][filter];
    }
    for (let x = 0; x < width; x++) {
      for (let byte = 0; byte < 3; byte++) words[(y * width + x) * 4 + byte] = row[x * 3 + 2 - byte];
    }
    above = row;
  }
  return zlib.crc32 ? zlib.crc32(words).toString(16).padStart(8, '0') : slowCrc(words);
}
function slowCrc(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return (~crc >>> 0).toString(16).padStart(8, '0');
}

// Types "a" and clicks the middle of the picture, as a person would.
async function act(page, middle) {
  const a = { key: 'a', code: 'KeyA', windowsVirtualKeyCode: 65 };
  await page('Input.dispatchKeyEvent', { type: 'keyDown', text: 'a', ...a });
  await page('Input.dispatchKeyEvent', { type: 'keyUp', ...a });
  await page('Input.dispatchMouseEvent', { type: 'mouseMoved', ...middle });
  const left = { button: 'left', clickCount: 1, ...middle };
  await page('Input.dispatchMouseEvent', { type: 'mousePressed', buttons: 1, ...left });
  await page('Input.dispatchMouseEvent', { type: 'mouseReleased', buttons: 0, ...left });
}

async function main() {
  fs.mkdirSync(folder, { recursive: true });
  const frames = path.join(folder, 'frames');
  const guest = start(program, [...options, '--view', '--frames', frames], { stdio: 'pipe' });
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) guest[name].on('data', (data) => { said[name] += data; });
  const over = new Promise((resolve) => guest.on('exit', (status, signal) => resolve(status ?? signal)));
  process.on('exit', () => fs.writeFileSync(path.join(folder, 'guest.log'), said.stderr + said.stdout));
  over.then((status) => doing.includes('its end') || end(1, `wrong: the guest ended with ${status} while ${doing}: ${said.stderr}`));
  guest.stdin.write(`${script}\n`);
  const [, url] = await until('the address', () => /^fencepost: view: (\S+)$/m.exec(said.stderr));

  const { page, evaluate, errors } = await open(path.join(folder, 'chromium.log'), '1000,800');
  await page('Log.enable');
  await page('Page.enable');
  await page('Page.addScriptToEvaluateOnNewDocument', { source: `(${watch})()` });
  await page('Page.navigate', { url });
  const flips = (all) => new Set(all.filter((one) => !one.black).map((one) => one.flip)).size;
  await until('the page', () => evaluate("document.getElementById('state')?.textContent === 'live'"));
  await until('pictures', async () => flips(await evaluate('window.seen')) >= Number(pictures));
  if (input) {
    await until('the guest to listen', () => said.stdout.includes('ready for input'));
    await act(page, await evaluate(`(${middle})()`));
    for (const line of input.split('\n')) await until(`the guest to say ${line}`, () => new RegExp(line).test(said.stdout));
  }
  const { data } = await page('Page.captureScreenshot');
  fs.writeFileSync(path.join(folder, 'page.png'), Buffer.from(data, 'base64'));

  doing = 'waiting for its end';
  guest.kill('SIGTERM');
  const status = await over;
  if (status !== 143) end(1, `wrong: the guest ended with ${status}: ${said.stderr}`);
  await until('the word that its end has come', () => evaluate("document.getElementById('state').textContent === 'the machine has ended'"));
  if (errors.length) end(1, `wrong: the page says: ${errors.join(' ').slice(0, 500)}`);
  const seen = await evaluate('window.seen');
  for (const { flip, crc, drawn } of seen) {
    const file = path.join(frames, `flip-${String(flip).padStart(6, '0')}.png`);
    const kept = crcOf(file);
    if (crc !== drawn || crc !== kept) end(1, `wrong: flip ${flip}: the page says ${crc}, shows ${drawn}, and ${file} has ${kept}`);
  }
  end(0, `${seen.length} pictures of ${flips(seen)} flips on the page, as in the files${input ? '; a key and a click reached the guest' : ''}`);
}
main();
