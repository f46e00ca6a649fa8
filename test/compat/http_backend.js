// http_backend.js - an HTTP server that answers each request with what it read of it, and tells it to stdout.
//
// The first line is its port. It ends with its stdin, when the last connection is closed.
'use strict';
const fs = require('fs');
const http = require('http');

const tell = (o) => fs.writeSync(1, JSON.stringify(o) + '\n');
const sum = (r, body, complete) => ({
  case: r.headers['rouse-case'], method: r.method, target: r.url, headers: pairs(r.rawHeaders), trailers: pairs(r.rawTrailers), body, complete,
});
const pairs = (flat) => {
  const out = [];
  for (let i = 0; i + 1 < flat.length; i += 2) out.push([flat[i], flat[i + 1]]);
  return out;
};
let number = 0;

const server = http.createServer({ insecureHTTPParser: false, maxHeaderSize: 65536, requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: 60000 },
  (request, response) => {
    const id = String(number++);
    let body = '', told = false;
    const end = (complete) => {
      if (!told) tell({ id, ...sum(request, body, complete) });
      told = true;
    };
    request.setEncoding('latin1');
    request.on('data', (data) => { body += data; });
    request.on('aborted', () => end(false));
    request.on('error', () => end(false));
    request.on('end', () => {
      end(true);
      // By turns with a length and in chunks.
      const headers = { 'x-id': id, ...(number % 2 ? { 'content-length': Buffer.byteLength(id) } : {}) };
      response.writeHead(200, headers);
      response.end(id);
    });
  });
// Every other tunnel is granted, and what comes through it told in the end.
const tunnel = (name, agree, refuse) => (request, socket, head) => {
  const granted = number++ % 2 === 0;
  let bytes = head.toString('latin1');
  tell({ id: name, granted, ...sum(request, '', true) });
  socket.on('error', () => socket.destroy());
  if (!granted) return void socket.end(refuse);
  socket.write(agree);
  socket.on('data', (data) => { bytes += data.toString('latin1'); });
  socket.on('end', () => socket.end());
  socket.on('close', () => tell({ case: request.headers['rouse-case'], tunnelled: bytes }));
};
server.on('connect', tunnel('connect', 'HTTP/1.1 200 OK\r\n\r\n', 'HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n'));
server.on('upgrade', tunnel('upgrade', 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n',
  'HTTP/1.1 426 Upgrade Required\r\nConnection: close, Upgrade\r\nUpgrade: x\r\nContent-Length: 0\r\n\r\n'));
server.on('clientError', (error, socket) => {
  // The proxy cuts a request whose client has left.
  if (error.code !== 'ECONNRESET' && error.code !== 'HPE_INVALID_EOF_STATE') tell({ refused: `${error.code} ${error.reason || ''}`, bytes: (error.rawPacket || '').toString('latin1') });
  socket.destroy();
});
server.listen(0, '127.0.0.1', () => tell({ port: server.address().port }));
process.stdin.resume();
process.stdin.on('end', () => server.close());
