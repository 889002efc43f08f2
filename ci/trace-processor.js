// Runs Perfetto's trace_processor, built for browsers as WebAssembly, under Node.
//
//   node trace-processor.js FOLDER TRACE < SQL     FOLDER has engine_bundle.js and trace_processor.wasm of Perfetto's UI
//
// Statements end with a semicolon at a line's end. Prints one JSON array: for each statement {"columns": [...], "rows": [...]}.
// The exit status is 1, and standard error says why, if the trace cannot be read or a statement is wrong.
'use strict';
const fs = require('fs');
const path = require('path');

const [folder, trace] = process.argv.slice(2);

// The bundle is a worker's script: it finds these in place of a browser's.
const worker = { location: { href: 'file:///engine_bundle.js' } };
class FileRequest {
  open(_method, url) {
    this.file = path.join(folder, path.basename(url));
  }
  send() {
    this.response = new Uint8Array(fs.readFileSync(this.file)).buffer;
  }
}
const log = (...words) => process.stderr.write(words.join(' ') + '\n');
const bundle = fs.readFileSync(path.join(folder, 'engine_bundle.js'), 'utf8');
const names = ['self', 'location', 'XMLHttpRequest', 'WorkerGlobalScope', 'console', 'process', 'require', 'module', 'exports'];
new Function(...names, bundle)(worker, worker.location, FileRequest, class {}, { log, warn: log, error: log });

// Protobuf's wire format: numbers, and bytes with their length.
function varint(value) {
  const bytes = [];
  for (value = BigInt(value); value > 127n; value >>= 7n) bytes.push(Number(value & 127n) | 128);
  return Buffer.from([...bytes, Number(value)]);
}
const number = (field, value) => Buffer.concat([varint(field << 3), varint(value)]);
const bytes = (field, value) => Buffer.concat([varint((field << 3) | 2), varint(value.length), value]);

// The numbers that are at `at` and behind it, one at each call.
function reader(buffer, at = 0) {
  return {
    left: () => at < buffer.length,
    varint() {
      for (let value = 0n, shift = 0n; ; shift += 7n) {
        const byte = buffer[at++];
        value |= BigInt(byte & 127) << shift;
        if (byte < 128) return BigInt.asIntN(64, value);
      }
    },
    take(length) {
      return buffer.subarray(at, (at += length));
    },
  };
}

function* fields(message) {
  const read = reader(message);
  while (read.left()) {
    const tag = Number(read.varint());
    const kind = tag & 7;
    if (kind === 0) yield [tag >> 3, read.varint()];
    else if (kind === 2) yield [tag >> 3, read.take(Number(read.varint()))];
    else yield [tag >> 3, read.take(kind === 1 ? 8 : 4)];
  }
}

// protos/perfetto/trace_processor/trace_processor.proto: TraceProcessorRpc, of which a stream has many as its field 1.
const APPEND = 1, FINALIZE = 2, QUERY = 3;
let replies = [];
let sequence = 0;
const port = { postMessage: (stream) => { for (const [, rpc] of fields(Buffer.from(stream))) replies.push(rpc); } };

// Gives the results, by their fields, of one call.
function* call(method, argument = Buffer.alloc(0)) {
  replies = [];
  const rpc = Buffer.concat([number(1, sequence++), number(2, method), argument]);
  port.onmessage({ data: new Uint8Array(bytes(1, rpc)) });
  for (const reply of replies) {
    for (const [field, value] of fields(reply)) {
      if (field === 5) throw new Error(`trace_processor: ${value}`);
      if (field > 200) yield value;
    }
  }
}

function refuse(message, field) {
  for (const [at, text] of fields(message)) if (at === field && text.length) throw new Error(`trace_processor: ${text}`);
}

// QueryResult.CellsBatch: the kinds of all cells, then the values of each kind.
function* cells(batch) {
  const kinds = [], integers = [], reals = [], texts = [];
  for (const [field, value] of fields(batch)) {
    const read = field < 3 && reader(value);
    while (read && read.left()) (field === 1 ? kinds : integers).push(read.varint());
    if (field === 3) for (let at = 0; at < value.length; at += 8) reals.push(value.readDoubleLE(at));
    if (field === 5) texts.push(...value.toString().split('\0'));
  }
  const take = { 1: () => null, 2: () => integers.shift(), 3: () => reals.shift(), 4: () => texts.shift() };
  for (const kind of kinds) yield take[kind]();
}

function query(sql) {
  const columns = [], all = [];
  for (const result of call(QUERY, bytes(103, bytes(1, Buffer.from(sql))))) {
    refuse(result, 2);
    for (const [field, value] of fields(result)) {
      if (field === 1) columns.push(value.toString());
      if (field === 3) for (const cell of cells(value)) all.push(cell);
    }
  }
  const rows = [];
  for (let at = 0; at < all.length; at += columns.length) rows.push(all.slice(at, at + columns.length));
  return { columns, rows };
}

// JSON, whose numbers are as long as they are.
function json(value) {
  if (Array.isArray(value)) return `[${value.map(json).join(',')}]`;
  return typeof value === 'bigint' ? String(value) : JSON.stringify(value);
}

function run() {
  worker.onmessage({ data: port });
  const file = fs.readFileSync(trace);
  for (let at = 0; at < file.length; at += 1 << 23) {
    for (const result of call(APPEND, bytes(101, file.subarray(at, at + (1 << 23))))) refuse(result, 2);
  }
  for (const result of call(FINALIZE)) refuse(result, 1);
  const statements = fs.readFileSync(0, 'utf8').split(/;\s*\n/).map((one) => one.trim()).filter(Boolean);
  const results = statements.map(query).map((one) => `{"columns":${json(one.columns)},"rows":${json(one.rows)}}`);
  process.stdout.write(`[${results.join(',\n')}]\n`);
}

// The engine is ready when its promises have run.
setImmediate(() => {
  try {
    run();
  } catch (error) {
    log(error.message);
    process.exitCode = 1;
  }
});
