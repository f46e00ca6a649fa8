'use strict';
// The Node.js runtime: connects to its agent, loads the handler, runs it for every invocation.
//
// It speaks the frames of proto/frames.md on the Unix socket $ROUSE_RUNTIME_SOCKET. One thread, as Node
// has it: invocations above concurrency 1 interleave at their awaits. A cold start waits for this file:
// it requires `net` and nothing else before the handler's own module.
//
// With $ROUSE_PARKED it is started before there is a function for it: what functions are likely to need is
// loaded, and then it waits in HELLO for the answer, which brings the function's environment.

const HELLO = 1, INVOKE = 2, BODY = 3, END = 4, RESPONSE = 5, ERROR = 6, CREDIT = 7, HOOK = 9, LOG = 10, METRIC = 12;
const FIN = 1, TEXT = 2, BYTES = 4, ANSWER = 8, FATAL = 16;
const HEADER = 16, INVOKE_FIXED = 16, HOOK_FIXED = 16;
const PAYLOAD_MAX = 1 << 20, LOG_LINE_MAX = 64 << 10, ERROR_TEXT_MAX = 64 << 10;
const METRICS_MAX = 16, METRIC_VALUE_MAX = 1e18;

// ---------------------------------------------------------------- frames

class ProtocolError extends Error {}

function encode(type, flags, id, payload) {
  const length = payload ? payload.length : 0;
  const frame = Buffer.allocUnsafe(HEADER + length);
  frame.writeUInt32LE(length, 0);
  frame[4] = type;
  frame[5] = flags;
  frame.writeUInt16LE(0, 6);
  frame.writeBigUInt64LE(BigInt(id), 8);
  if (length) frame.set(payload, HEADER);
  return frame;
}

/** {length, type, flags, id: BigInt} of the 16 bytes. */
function decodeHeader(bytes) {
  const length = bytes.readUInt32LE(0);
  if (!bytes[4] || bytes.readUInt16LE(6)) throw new ProtocolError('not a frame');
  if (length > PAYLOAD_MAX) throw new ProtocolError('a frame over 1 MiB');
  return { length, type: bytes[4], flags: bytes[5], id: bytes.readBigUInt64LE(8) };
}

/** {deadline: epoch ms as BigInt, requestId, trace, event: the first bytes}. */
function decodeInvoke(payload) {
  if (payload.length < INVOKE_FIXED) throw new ProtocolError('a short INVOKE');
  const texts = INVOKE_FIXED + payload.readUInt16LE(8);
  const event = texts + payload.readUInt16LE(10);
  if (payload.readUInt32LE(12) || event > payload.length) throw new ProtocolError('a malformed INVOKE');
  return {
    deadline: payload.readBigUInt64LE(0),
    requestId: payload.toString('utf8', INVOKE_FIXED, texts),
    trace: payload.toString('utf8', texts, event),
    event: payload.subarray(event),
  };
}

/** {deadline: epoch ms as BigInt, hook: which one, name: as the spec has it}. */
function decodeHook(payload) {
  if (payload.length <= HOOK_FIXED) throw new ProtocolError('a short HOOK');
  if (payload.readUIntLE(9, 6) || payload[15]) throw new ProtocolError('a malformed HOOK');
  return { deadline: payload.readBigUInt64LE(0), hook: payload[8], name: payload.toString('utf8', HOOK_FIXED) };
}

/** Cuts a stream into frames. Bytes are joined once a frame, however many pieces it came in. */
class Parser {
  constructor(onFrame) {
    this.onFrame = onFrame;
    this.chunks = [];
    this.size = 0;
    this.wanted = HEADER;
  }

  feed(chunk) {
    this.chunks.push(chunk);
    this.size += chunk.length;
    if (this.size < this.wanted) return;
    let bytes = this.chunks.length === 1 ? chunk : Buffer.concat(this.chunks, this.size);
    while (bytes.length >= HEADER) {
      const frame = decodeHeader(bytes);
      this.wanted = HEADER + frame.length;
      if (bytes.length < this.wanted) break;
      frame.payload = bytes.subarray(HEADER, this.wanted);
      bytes = bytes.subarray(this.wanted);
      this.wanted = HEADER;
      this.onFrame(frame);
    }
    if (bytes.length < HEADER) this.wanted = HEADER;
    this.chunks = bytes.length ? [bytes] : [];
    this.size = bytes.length;
  }
}

// ---------------------------------------------------------------- errors

class RuntimeError extends Error {
  constructor(type, message) {
    super(message);
    this.name = type;
    this.stack = '';
  }
}

/** ERROR's JSON for whatever was thrown, kept well inside one frame. */
function errorPayload(error, type) {
  let kind, message, stack;
  try {
    const isError = error instanceof Error || (error && typeof error.stack === 'string');
    kind = isError ? error.name : typeof error;
    message = isError ? error.message : typeof error === 'object' ? JSON.stringify(error) : String(error);
    stack = isError ? error.stack : '';
  } catch {
    message = '(no message: it cannot be turned into a string)'; // getters and toString are the function's own
  }
  const trace = String(stack || '').slice(0, ERROR_TEXT_MAX).split('\n')
    .filter((line) => /^\s+at /.test(line) && !line.includes(__filename)).map((line) => line.trim());
  return Buffer.from(JSON.stringify({
    errorType: type || String(kind || 'Error').slice(0, 256),
    errorMessage: String(message).slice(0, ERROR_TEXT_MAX),
    stackTrace: trace,
  }));
}

// ---------------------------------------------------------------- results

function isOctets(result) {
  return result instanceof Uint8Array || result instanceof ArrayBuffer;
}

/** [flags, body] of what a handler returned. */
function encodeResult(result) {
  if (typeof result === 'string') return [TEXT, Buffer.from(result)];
  if (isOctets(result)) return [BYTES, Buffer.from(result)];
  const json = JSON.stringify(result === undefined ? null : result);
  if (json === undefined) throw new TypeError(`a ${typeof result} is not JSON serializable`);
  const answer = result !== null && typeof result === 'object' && 'statusCode' in result;
  return [answer ? ANSWER : 0, Buffer.from(json)];
}

// ---------------------------------------------------------------- the handler

function isFile(path) {
  const stat = require('fs').statSync(path, { throwIfNoEntry: false });
  return stat !== undefined && stat.isFile();
}

/** The function that `full` names, a handler's or a hook's; CommonJS and ES modules. */
async function load(what, full, taskRoot) {
  const dot = full.lastIndexOf('.');
  const [name, member] = [full.slice(0, dot), full.slice(dot + 1)];
  if (dot < 1 || !member)
    throw new RuntimeError('Runtime.MalformedHandlerName', `${what} '${full}' is not of the form module.function`);
  const path = ['.js', '.mjs', '.cjs'].map((suffix) => `${taskRoot}/${name}${suffix}`).find(isFile);
  if (!path) throw new RuntimeError('Runtime.ImportModuleError', `cannot find module '${name}' (.js, .mjs or .cjs)`);
  let module;
  if (path.endsWith('.mjs')) {
    module = await import(require('url').pathToFileURL(path));
  } else {
    try {
      module = require(path);
    } catch (e) {
      if (!e || (e.code !== 'ERR_REQUIRE_ESM' && e.code !== 'ERR_REQUIRE_ASYNC_MODULE')) throw e;
      module = await import(require('url').pathToFileURL(path));
    }
  }
  const fn = module[member] || (module.default && module.default[member]);
  if (typeof fn !== 'function')
    throw new RuntimeError('Runtime.HandlerNotFound', `module '${name}' exports no function '${member}'`);
  return fn;
}

function loadErrorType(error) {
  if (error instanceof RuntimeError) return error.name;
  if (error instanceof SyntaxError) return 'Runtime.UserCodeSyntaxError';
  if (error && (error.code === 'MODULE_NOT_FOUND' || error.code === 'ERR_MODULE_NOT_FOUND'))
    return 'Runtime.ImportModuleError';
  return undefined;
}

// ---------------------------------------------------------------- the runtime

/** The second argument of a handler. */
class Context {
  #log;
  #metric;
  constructor(hello, invoke, log, metric) {
    this.#log = log;
    this.#metric = metric;
    this.requestId = this.awsRequestId = invoke.requestId;
    this.traceId = invoke.trace;
    this.deadline = Number(invoke.deadline); // epoch milliseconds
    this.functionName = hello.function;
    this.namespace = hello.namespace;
    this.functionVersion = this.revision = hello.revision;
    this.memoryLimitInMB = Math.floor((hello.memory || 0) / 1048576);
  }

  getRemainingTimeInMillis() {
    return Math.max(0, this.deadline - Date.now());
  }

  /** Writes to the log under this invocation's request id. */
  log(...words) {
    this.#log(require('util').format(...words));
  }

  /** Sets a gauge of this instance, at any time: the last value wins. RangeError names the limit that it is over:
   * at most 16 names of the form [a-z_][a-z0-9_]{0,62}, values from 0 to 1e18. */
  metric(name, value) {
    this.#metric(name, value);
  }
}

// Of a parked interpreter nobody waits for its start. All of Node's own modules are loaded by their names alone.
const AHEAD = ['async_hooks', 'crypto', 'events', 'fs', 'http', 'https', 'os', 'path', 'stream', 'url', 'util', 'zlib'];

/** Makes of this process what a start with that environment, in that directory, would have made. */
function unpark(environment, taskRoot) {
  for (const name of Object.keys(process.env)) delete process.env[name];
  for (const [name, value] of Object.entries(environment)) process.env[name] = value; // TZ takes effect by that
  process.chdir(taskRoot); // what was there when the process started is covered by the code
}

class Runtime {
  constructor(socket, parked) {
    this.socket = socket;
    this.parked = parked;
    this.taskRoot = null;
    this.hello = null;
    this.handler = null;
    this.bodies = new Map(); // id -> {invoke, chunks}: the event is not complete yet
    this.active = new Set(); // ids whose answer is owed
    this.metrics = new Map(); // as the agent has them
    this.setMetric = (name, value) => this.metric(name, value);
    this.local = null; // above concurrency 1: whose console line is it?
    this.ended = false;
  }

  send(type, flags, id, payload) {
    if (!this.ended) this.socket.write(encode(type, flags, id, payload));
  }

  onFrame(frame) {
    if (!this.hello) {
      if (frame.type !== HELLO) throw new ProtocolError('the first frame is not HELLO');
      const { environment, ...hello } = JSON.parse(frame.payload.toString());
      if (this.parked && !environment) throw new ProtocolError('a HELLO without an environment for a parked interpreter');
      this.hello = hello;
      this.start(environment || process.env);
    } else if (frame.type === INVOKE) {
      this.onInvoke(frame);
    } else if (frame.type === BODY || frame.type === END) {
      const body = this.bodies.get(frame.id);
      if (!body) return;
      body.chunks.push(frame.payload);
      if (frame.type === END || frame.flags & FIN) {
        this.bodies.delete(frame.id);
        this.run(frame.id, body.invoke, Buffer.concat(body.chunks));
      }
    } else if (frame.type === HOOK) {
      this.onHook(frame);
    }
  }

  onInvoke(frame) {
    const invoke = decodeInvoke(frame.payload);
    if (frame.id === 0n || this.active.has(frame.id)) throw new ProtocolError('an INVOKE with an id that is taken');
    if (this.active.size >= this.concurrency) throw new ProtocolError('more invocations than were credited');
    this.active.add(frame.id);
    if (frame.flags & FIN) this.run(frame.id, invoke, invoke.event);
    else this.bodies.set(frame.id, { invoke, chunks: [invoke.event] });
  }

  onHook(frame) {
    const hook = decodeHook(frame.payload);
    this.active.add(frame.id); // an answer is owed, whatever becomes of the process
    if (!this.local) return this.runHook(frame.id, hook, null);
    const current = { id: frame.id, partial: '' };
    return this.local.run(current, () => this.runHook(frame.id, hook, current));
  }

  async runHook(id, { deadline, name }, current) {
    let stage = 'Runtime.NoSuchHook';
    let failure;
    try {
      const hook = await load('hook', name, this.taskRoot);
      stage = undefined;
      await hook(new Context(this.hello, { requestId: '', trace: '', deadline }, (line) => this.log(id, line),
        this.setMetric));
    } catch (e) {
      failure = errorPayload(e, stage);
    }
    if (current && current.partial) this.log(id, current.partial);
    if (!this.active.delete(id)) return;
    this.send(failure ? ERROR : END, 0, id, failure);
  }

  async start(environment) {
    this.taskRoot = environment.ROUSE_TASK_ROOT || '/var/task';
    this.concurrency = Math.max(1, this.hello.concurrency || 1);
    if (this.concurrency > 1) this.captureConsole();
    try {
      if (this.parked) unpark(environment, this.taskRoot);
      this.handler = await load('handler', String(this.hello.handler), this.taskRoot);
    } catch (e) {
      this.fail(0n, e, loadErrorType(e));
      return;
    }
    const credit = Buffer.alloc(4);
    credit.writeUInt32LE(this.concurrency);
    this.send(CREDIT, 0, 0, credit);
  }

  /** What is printed while several run becomes LOG frames, so that each line carries its own request id. */
  captureConsole() {
    const { AsyncLocalStorage } = require('async_hooks');
    this.local = new AsyncLocalStorage();
    for (const stream of [process.stdout, process.stderr]) {
      const write = stream.write;
      stream.write = (chunk, encoding, callback) => {
        const current = this.local.getStore();
        if (!current || !this.active.has(current.id)) return write.call(stream, chunk, encoding, callback);
        const done = typeof encoding === 'function' ? encoding : callback;
        const lines = (current.partial + (typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString())).split('\n');
        current.partial = lines.pop();
        for (const line of lines) this.log(current.id, line);
        if (done) process.nextTick(done);
        return true;
      };
    }
  }

  log(id, line) {
    const data = Buffer.from(line);
    for (let at = 0; at === 0 || at < data.length; at += LOG_LINE_MAX)
      this.send(LOG, 0, id, data.subarray(at, at + LOG_LINE_MAX));
  }

  metric(name, value) {
    if (typeof name !== 'string' || !/^[a-z_][a-z0-9_]{0,62}$/.test(name))
      throw new RangeError(`a metric's name is [a-z_][a-z0-9_]{0,62}, not ${name}`);
    if (name === 'concurrency' || name === 'requests_per_second')
      throw new RangeError(`${name} is the platform's own`);
    if (typeof value !== 'number' || !(value >= 0 && value <= METRIC_VALUE_MAX))
      throw new RangeError(`a metric's value is a number from 0 to 1e18, not ${value}`);
    if (!this.metrics.has(name) && this.metrics.size >= METRICS_MAX)
      throw new RangeError('an instance has at most 16 metrics');
    if (this.metrics.get(name) === value) return;
    this.metrics.set(name, value);
    const number = Buffer.alloc(8);
    number.writeDoubleLE(value);
    this.send(METRIC, 0, 0, Buffer.concat([number, Buffer.from(name)]));
  }

  run(id, invoke, body) {
    if (!this.local) return this.invoke(id, invoke, body, null);
    const current = { id, partial: '' };
    return this.local.run(current, () => this.invoke(id, invoke, body, current));
  }

  async invoke(id, invoke, body, current) {
    let stage = 'Runtime.UnmarshalError';
    let flags, result, failure;
    try {
      const event = body.length ? JSON.parse(body.toString()) : null;
      stage = undefined;
      result = await this.handler(event, new Context(this.hello, invoke, (line) => this.log(id, line), this.setMetric));
      stage = 'Runtime.MarshalError';
      [flags, result] = encodeResult(result);
    } catch (e) {
      failure = errorPayload(e, stage);
    }
    if (current && current.partial) this.log(id, current.partial);
    if (!this.active.delete(id)) return;
    if (failure) this.send(ERROR, 0, id, failure);
    else this.sendResult(id, flags, result);
  }

  sendResult(id, flags, body) {
    let type = RESPONSE;
    let at = 0;
    do {
      const part = body.subarray(at, at + PAYLOAD_MAX);
      at += part.length;
      this.send(type, (type === RESPONSE ? flags : 0) | (at === body.length ? FIN : 0), id, part);
      type = BODY;
    } while (at < body.length);
  }

  /** The same ERROR for each of them; FATAL is the last, since no frame behind it counts. */
  lastWords(ids, payload) {
    const frames = ids.map((id, at) => encode(ERROR, at === ids.length - 1 ? FATAL : 0, id, payload));
    if (!this.ended && ids.length) this.socket.write(Buffer.concat(frames));
  }

  /** The process ends: `error` is the answer to `id`, or (null) to everyone who still waits. */
  fail(id, error, type, status = 1) {
    const payload = errorPayload(error, type);
    const ids = id === null ? [...this.active] : [id];
    this.lastWords(ids, payload);
    this.active.clear();
    this.ended = true;
    this.socket.end(() => process.exit(status));
  }
}

/** What the answer and a first event will make this process do, while nobody waits: a function that V8 has not
 * compiled yet costs as much as its work. */
function rehearse() {
  const runtime = new Runtime({ write() {} }, true);
  const event = Buffer.from('{"a":[1,"b"]}');
  const fixed = Buffer.alloc(INVOKE_FIXED);
  const cached = require.cache[__filename];
  delete require.cache[__filename];
  require(__filename); // a module like any other: looked for, read, compiled
  require.cache[__filename] = cached;
  module.children.pop();
  load('handler', 'no-module-of-this-name.handler', __dirname).catch(() => {});
  runtime.hello = JSON.parse(JSON.stringify({ environment: { ...process.env } }));
  for (const [name, value] of Object.entries(process.env)) process.env[name] = value;
  runtime.concurrency = 1;
  runtime.handler = async (e) => ({ e });
  new Parser((frame) => runtime.onFrame(frame)).feed(encode(INVOKE, FIN, 1, Buffer.concat([fixed, event])));
}

function main() {
  const parked = process.env.ROUSE_PARKED !== undefined;
  if (parked) {
    AHEAD.forEach((name) => require(name));
    rehearse();
  }
  const socket = require('net').connect(process.env.ROUSE_RUNTIME_SOCKET);
  const runtime = new Runtime(socket, parked);
  const parser = new Parser((frame) => runtime.onFrame(frame));
  const broken = (e) => {
    process.stderr.write(`rouse: the connection to the agent broke: ${e.message}\n`);
    runtime.ended = true;
    process.exit(1);
  };

  const hello = { protocol: 1, runtime: 'nodejs', pid: process.pid };
  runtime.send(HELLO, 0, 0, Buffer.from(JSON.stringify(parked ? { ...hello, parked } : hello)));
  socket.on('data', (chunk) => {
    try {
      parser.feed(chunk);
    } catch (e) {
      broken(e);
    }
  });
  socket.on('error', broken);
  socket.on('end', () => {
    if (runtime.ended) return; // fail() exits with a status of its own
    runtime.ended = true;
    process.exit(0);
  });

  process.on('uncaughtException', (e, origin) => {
    process.stderr.write(`${(e && e.stack) || e}\n`);
    const rejected = origin === 'unhandledRejection';
    if (!runtime.ended)
      runtime.fail(runtime.handler ? null : 0n, e, rejected ? 'Runtime.UnhandledPromiseRejection' : undefined);
  });
  // process.exit() in the function. The write goes out at once: a socket that is writable is written to directly.
  process.on('exit', (status) => {
    if (runtime.ended || !runtime.hello) return;
    const error = new RuntimeError('Runtime.ExitError', `the function ended the process with exit status ${status}`);
    const payload = errorPayload(error);
    runtime.lastWords(runtime.handler ? [...runtime.active] : [0n], payload);
  });
}

if (require.main === module) main();
else module.exports = { encode, decodeHeader, decodeInvoke, decodeHook, Parser, encodeResult, errorPayload };
