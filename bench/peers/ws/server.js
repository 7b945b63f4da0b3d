// A server made of npm's ws with what the scenarios need: node server.js PORT [BACKEND_PORT [echo|app [CERTIFICATE KEY]]]
'use strict';
const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const { WebSocketServer } = require('ws');

const [port, backend] = process.argv.slice(2, 4).map(Number);
const isApp = process.argv[4] === 'app';
const [certificate, key] = process.argv.slice(5, 7);
const clients = new Map();
const agent = new http.Agent({ keepAlive: true, maxSockets: 256 });
const PUSH = '/prod/@connections/';

function ask(body, done) {
  const call = http.request({ port: backend, path: '/app', method: 'POST', agent, headers: { 'content-length': body.length } }, (answer) => {
    const parts = [];
    answer.on('data', (part) => parts.push(part));
    answer.on('end', () => done(Buffer.concat(parts).toString()));
  });
  call.end(body);
}

function serve(request, response) {
  const client = clients.get(request.url.slice(PUSH.length));
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    client.send(Buffer.concat(parts), { binary: false });
    response.writeHead(200, { 'content-length': 0 });
    response.end();
  });
}

const server = certificate
  ? https.createServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key) }, serve)
  : http.createServer(serve);
server.keepAliveTimeout = 600000;

let last = 0;
const sockets = new WebSocketServer({ server, perMessageDeflate: false });
sockets.on('connection', (client) => {
  const id = String(++last);
  clients.set(id, client);
  client.on('error', () => {});
  client.on('close', () => clients.delete(id));
  client.on('message', (data, binary) => {
    const start = data.toString('latin1', 0, 16);
    if (start.startsWith('{"action":"id"')) client.send(id);
    else if (isApp) ask(data, (answer) => client.send(answer));
    else client.send(data, { binary });
  });
});
server.listen(port, '127.0.0.1', 4096, () => console.log('ready'));
