// http_llhttp.js - what Node's parser (llhttp) reads of the cases that http_codec_driver.c reads, in the same form.
//
// The bytes are fed one at a time, so that the end of each message is known exactly.
'use strict';
const fs = require('fs');
const { HTTPParser } = process.binding('http_parser');

const kOnHeaders = HTTPParser.kOnHeaders | 0;
const kOnHeadersComplete = HTTPParser.kOnHeadersComplete | 0;
const kOnBody = HTTPParser.kOnBody | 0;
const kOnMessageComplete = HTTPParser.kOnMessageComplete | 0;
const METHODS = process.binding('http_parser').allMethods || process.binding('http_parser').methods;

const pairs = (flat) => {
  const out = [];
  for (let i = 0; i + 1 < flat.length; i += 2) out.push([flat[i], flat[i + 1]]);
  return out;
};

function read(kind, bytes) {
  const request = kind === 'Q';
  const parser = new HTTPParser();
  const messages = [];
  let message = null, early = [], at = 0, over = false;

  parser.initialize(request ? HTTPParser.REQUEST : HTTPParser.RESPONSE, {}, 65536, 0);
  // Fields that overflow the parser's table, and trailers.
  parser[kOnHeaders] = (headers, url) => {
    if (message) return void message.trailers.push(...pairs(headers));
    early.push(...pairs(headers));
    if (url) early.url = (early.url || '') + url;
  };
  parser[kOnHeadersComplete] = (major, minor, headers, method, url, status, reason, upgrade, keepAlive) => {
    message = {
      minor, keep_alive: keepAlive, upgrade, headers: early.concat(pairs(headers || [])), trailers: [], body: '',
      complete: false, end: at,
    };
    if (request) Object.assign(message, { method: METHODS[method], target: (early.url || '') + (url || '') });
    else message.status = status;
    early = [];
    messages.push(message);
    if (kind === 'H') return 1;
    if (kind === 'C' && status >= 200 && status < 300) return 2;
    return 0;
  };
  parser[kOnBody] = (b, offset, length) => {
    message.body += (offset === undefined ? b : b.slice(offset, offset + length)).toString('latin1');
    message.end = at;
  };
  parser[kOnMessageComplete] = () => {
    message.complete = true;
    message.end = at;
    over = request ? message.upgrade || !message.keep_alive : message.status >= 200 || message.status === 101;
    message = null;
  };
  let end = 'complete', why = '';
  for (; at < bytes.length && !over;) {
    const r = parser.execute(bytes.subarray(at, ++at));
    if (r instanceof Error) {
      end = 'refused';
      why = r.code + ': ' + r.reason;
      break;
    }
  }
  if (end === 'complete' && !request && message) {
    const r = parser.finish();
    if (r instanceof Error) why = r.code;
  }
  if (end === 'complete' && messages.length && !messages[messages.length - 1].complete) end = 'incomplete';
  parser.free();
  return { messages, end, why };
}

const input = fs.readFileSync(0);
const out = [];
for (let at = 0; at < input.length;) {
  const n = input.readUInt32LE(at);
  out.push(JSON.stringify(read(String.fromCharCode(input[at + 4]), input.subarray(at + 5, at + 5 + n))), '\n');
  at += 5 + n;
}
fs.writeFileSync(1, out.join(''));
