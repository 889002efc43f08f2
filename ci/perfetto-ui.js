// Opens a trace in Perfetto's own UI, in a Chromium without a window that may talk to this computer alone.
//
//   node perfetto-ui.js FOLDER TRACE PICTURE.png NAME...     FOLDER has the UI's index.html
//
// The UI must come to rest without an error, with each NAME on a line of its own, in this order. Keeps a picture of it, and beside it what
// Chromium logged; prints one line of what it saw. The exit status is 1, and the line says what is wrong, if something is.
'use strict';
const fs = require('fs');
const http = require('http');
const path = require('path');
const { end, open } = require('./browser.js');

const LIMIT_MS = 60000;
const [folder, trace, picture, ...names] = process.argv.slice(2);
let doing = 'starting';
setTimeout(() => end(1, `wrong: not done within ${LIMIT_MS / 1000} s: ${doing}`), LIMIT_MS);

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.wasm': 'application/wasm' };
function serve(request, response) {
  const { pathname } = new URL(request.url, 'http://localhost');
  const file = pathname === '/trace' ? trace : path.join(folder, pathname === '/' ? 'index.html' : pathname);
  fs.readFile(file, (error, content) => {
    response.writeHead(error ? 404 : 200, { 'Content-Type': TYPES[path.extname(file)] || 'application/octet-stream' });
    response.end(content);
  });
}

// What is run in the page: gives its text and what dialogs say, and opens the groups if they are there and closed.
function look(first) {
  const lines = document.body.innerText.split('\n').map((line) => line.trim());
  const closed = document.querySelector('.pf-timeline-toolbar [title="Expand all"]');
  if (closed && lines.includes(first)) closed.click();
  const dialogs = [...document.querySelectorAll('.pf-modal-dialog, .pf-error, #app_load_failure')];
  const seen = dialogs.filter((one) => one.checkVisibility({ checkOpacity: true }));
  return { lines, error: seen.map((one) => one.innerText || 'an empty dialog').join(' ').slice(0, 500) };
}

async function main() {
  const server = http.createServer(serve);
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${server.address().port}`;
  const { page, evaluate, errors } = await open(`${picture}.log`, '1600,1700');
  const began = Date.now();
  await page('Page.navigate', { url: `${origin}/#!/?url=${encodeURIComponent(`${origin}/trace`)}` });
  const find = async () => {
    const { lines, error } = await evaluate(`(${look})(${JSON.stringify(names[0])})`);
    if (error || errors.length) end(1, `wrong: Perfetto's UI says: ${error} ${errors.join(' ').slice(0, 500)}`);
    const places = names.map((name) => lines.indexOf(name));
    doing = `waiting for ${names.filter((_, at) => places[at] < 0)}`;
    return places;
  };
  let places;
  do {
    await new Promise((resolve) => setTimeout(resolve, 100));
    places = await find();
  } while (places.includes(-1));
  doing = 'waiting for the page to come to rest';
  await evaluate('window.waitForPerfettoIdle && window.waitForPerfettoIdle()');
  places = await find();
  if (places.includes(-1)) end(1, `wrong: not there any more: ${doing}`);
  if (places.some((place, at) => at > 0 && place <= places[at - 1])) end(1, `wrong: ${names} stand at lines ${places}`);
  const { data } = await page('Page.captureScreenshot');
  fs.writeFileSync(picture, Buffer.from(data, 'base64'));
  end(0, `${names.length} groups in their order, no error, after ${((Date.now() - began) / 1000).toFixed(1)} s`);
}
main();
