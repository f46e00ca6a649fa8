// A WebSocket server by hand (RFC 6455): what one sends, all get.
'use strict';
const crypto = require('node:crypto');
const http = require('node:http');

const TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10;
const MESSAGE_MAX = 1 << 20;
const everybody = new Set();

const page = `<!doctype html><title>chat</title><input id=i autofocus><ul id=l></ul><script>
const s = new WebSocket(location.href.replace(/^http/, 'ws'));
s.onmessage = e => l.prepend(Object.assign(document.createElement('li'), {textContent: e.data}));
i.onchange = () => { s.send(i.value); i.value = ''; };
</script>
`;

function frame(type, data) {
  const n = data.length;
  const head = n < 126 ? Buffer.from([0x80 | type, n])
    : n < 65536 ? Buffer.from([0x80 | type, 126, n >> 8, n & 255])
      : Buffer.concat([Buffer.from([0x80 | type, 127]), Buffer.alloc(8)]);
  if (n >= 65536) head.writeBigUInt64BE(BigInt(n), 2);
  return Buffer.concat([head, data]);
}

// The next whole frame of `bytes`: {type, last, data, size}; null: more must come.
function parse(bytes) {
  if (bytes.length < 2) return null;
  let n = bytes[1] & 127, at = 2;
  if (n === 126 && bytes.length >= 4) n = bytes.readUInt16BE(2), at = 4;
  else if (n === 127 && bytes.length >= 10) n = Number(bytes.readBigUInt64BE(2)), at = 10;
  else if (n > 125) return null;
  if (n > MESSAGE_MAX || !(bytes[1] & 128)) throw new Error('too long, or not masked');
  if (bytes.length < at + 4 + n) return null;
  const mask = bytes.subarray(at, at + 4), data = Buffer.from(bytes.subarray(at + 4, at + 4 + n));
  for (let i = 0; i < n; i++) data[i] ^= mask[i & 3];
  return {type: bytes[0] & 15, last: !!(bytes[0] & 128), data, size: at + 4 + n};
}

function converse(socket, first) {
  let bytes = first, parts = [], type = TEXT;
  const end = () => { everybody.delete(socket); socket.end(); };
  const take = f => {
    if (f.type === PING) return socket.write(frame(PONG, f.data));
    if (f.type === PONG) return true;
    if (f.type === CLOSE) { socket.write(frame(CLOSE, f.data)); return end(); }
    if (f.type) type = f.type;
    parts.push(f.data);
    if (f.last) {
      const message = frame(type === BINARY ? BINARY : TEXT, Buffer.concat(parts));
      parts = [];
      for (const other of everybody) other.write(message);
    }
  };
  const more = data => {
    bytes = Buffer.concat([bytes, data]);
    try {
      for (let f; everybody.has(socket) && (f = parse(bytes)); bytes = bytes.subarray(f.size)) take(f);
    } catch {
      end();
    }
  };
  everybody.add(socket);
  socket.setNoDelay();
  socket.on('data', more).on('end', end).on('error', end);
  more(Buffer.alloc(0));
}

const server = http.createServer((request, response) => {
  response.setHeader('Content-Type', 'text/html; charset=utf-8');
  response.end(page);
});
server.on('upgrade', (request, socket, head) => {
  const key = request.headers['sec-websocket-key'];
  if (!key || request.headers.upgrade.toLowerCase() !== 'websocket')
    return socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
  const accept = crypto.createHash('sha1').update(key + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
    `Sec-WebSocket-Accept: ${accept}\r\n\r\n`);
  converse(socket, head);
});
// The platform stops an instance by SIGTERM: say goodbye (1001, going away).
process.on('SIGTERM', () => {
  for (const socket of everybody) socket.end(frame(CLOSE, Buffer.from([3, 233])));
  server.close();
});
server.listen(process.env.PORT);
