// A Chromium without a window that may talk to this computer alone, driven by its DevTools protocol.
'use strict';
const { spawn } = require('child_process');
const fs = require('fs');
const os = require('os');
const path = require('path');

const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'browser-'));
// Processes that must not outlive this one, each with its children.
const groups = [];

// Nothing is left behind, however this ends.
process.on('exit', () => {
  for (const child of groups) {
    try {
      if (child.pid) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It has ended.
    }
  }
  fs.rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
});

// Ends this process with a line that says why.
function end(status, text) {
  console.log(text);
  process.exit(status);
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => end(1, `wrong: ${signal}`));
process.on('unhandledRejection', (error) => end(1, `wrong: ${error.message || error}`));

// Starts a program that ends with this one.
function start(command, options, settings) {
  const child = spawn(command, options, { ...settings, detached: true });
  groups.push(child);
  child.on('error', (error) => end(1, `wrong: ${command}: ${error.message}`));
  return child;
}

// Opens an empty page in a new Chromium, which logs to `log`. Gives what drives it: `page` calls a method of the protocol, `evaluate` runs
// an expression in the page, and `errors` has what the page threw and what its console called an error.
async function open(log, size) {
  const options = ['--headless', '--no-sandbox', '--disable-gpu', '--hide-scrollbars', '--force-device-scale-factor=1',
    `--window-size=${size}`, '--remote-debugging-pipe', `--user-data-dir=${profile}`,
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1', 'about:blank'];
  const file = fs.openSync(log, 'w');
  // The protocol over a pipe: JSON that ends with a zero.
  const chromium = start('chromium', options, { stdio: ['ignore', file, file, 'pipe', 'pipe'] });
  chromium.on('exit', (status) => end(1, `wrong: chromium ended with status ${status}`));
  const [, , , to, from] = chromium.stdio;
  to.on('error', () => {});
  const waiting = new Map();
  const errors = [];
  let rest = Buffer.alloc(0);
  from.on('data', (data) => {
    rest = Buffer.concat([rest, data]);
    for (let at; (at = rest.indexOf(0)) >= 0; rest = rest.subarray(at + 1)) {
      const { id, method, params, result, error } = JSON.parse(rest.subarray(0, at).toString());
      if (id) waiting.get(id)(error ? Promise.reject(new Error(error.message)) : result);
      if (method === 'Runtime.exceptionThrown') errors.push(JSON.stringify(params.exceptionDetails));
      if (method === 'Log.entryAdded' && params.entry.level === 'error') errors.push(params.entry.text);
    }
  });
  const call = (method, params = {}, sessionId) => new Promise((resolve) => {
    const id = waiting.size + 1;
    waiting.set(id, resolve);
    to.write(JSON.stringify({ id, method, params, sessionId }) + '\0');
  });
  const { targetId } = await call('Target.createTarget', { url: 'about:blank' });
  const { sessionId } = await call('Target.attachToTarget', { targetId, flatten: true });
  const page = (method, params) => call(method, params, sessionId);
  const evaluate = async (expression) => {
    const { result, exceptionDetails } = await page('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails).slice(0, 500));
    return result.value;
  };
  await page('Runtime.enable');
  return { page, evaluate, errors };
}

module.exports = { end, open, start };
