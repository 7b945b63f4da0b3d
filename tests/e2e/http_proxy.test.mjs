// HTTP_PROXY of HTTP APIs (http-api.md 1.9): what arrives at a back end, read from its socket, and what comes back.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { before, describe, test } from 'node:test';
import express from 'express';
import { startBackend } from './lib/backend.mjs';
import { makeAuthority } from './lib/certificates.mjs';
import { ADMIN_KEY, forward, httpApi, route } from './lib/config.mjs';
import { run, startGateway, tempDir } from './lib/gateway.mjs';
import { request } from './lib/http.mjs';
import { freePort } from './lib/ports.mjs';
import { connectRaw } from './lib/raw.mjs';
import { fileScope, onEnd } from './lib/scope.mjs';
import { sign } from './lib/sigv4.mjs';
import { answer, replying, startTcpBackend } from './lib/tcpbackend.mjs';
import { PYTHON } from './lib/tools.mjs';
import { within } from './lib/wait.mjs';

const file = fileScope();
const MODES = { rfc7239: 'rfc.test', 'x-forwarded': 'x.test', both: 'both.test' };
let backend;
let reply; // the back end's next answers
let gw;

before(async () => {
  backend = await startTcpBackend(file, replying((r) => (reply ? reply(r) : answer(r.target))));
  const stages = [
    { stageName: '$default', stageVariables: { host: '127.0.0.1', port: String(backend.port), root: 'v1', q: 'a=b' } },
    { stageName: 'blue', stageVariables: { host: 'localhost', port: String(backend.port), root: 'v2', q: 'a=c' } },
  ];
  const integrations = [
    forward('all', `${backend.url}/{proxy}`),
    forward('bare', backend.url),
    forward('base', `${backend.url}/base/`),
    forward('fixed', `${backend.url}/fixed?own=1`),
    forward('item', `${backend.url}/items/{id}/of/{name}.json`),
    forward('query', `${backend.url}/q?id={id}`),
    forward('vars', 'http://${stageVariables.host}:${stageVariables.port}/${stageVariables.root}/x?${stageVariables.q}'),
    forward('put', `${backend.url}/method`, { integrationMethod: 'PUT' }),
    forward('head', `${backend.url}/method`, { integrationMethod: 'HEAD' }),
    forward('changed', `${backend.url}/changed`, { responseParameters: { 304: { 'overwrite:statuscode': '200' }, 200: { 'overwrite:statuscode': '204' } } }),
  ];
  const routes = [
    route('ANY /all/{proxy+}', 'all'),
    route('ANY /unused/{proxy+}', 'fixed'),
    route('GET /items/{id}/{name}', 'item'),
    route('GET /query/{id}', 'query'),
    route('GET /vars', 'vars'),
    route('ANY /method', 'put'),
    route('ANY /head', 'head'),
    route('ANY /changed', 'changed'),
    route('ANY /iam', 'fixed', { authorizationType: 'AWS_IAM' }),
    route('$default', 'bare'),
  ];
  const apis = Object.entries(MODES).map(([mode, host]) => httpApi({ apiId: `api-${mode}`, hosts: [host], settings: { forwardedHeaders: mode }, integrations, routes, stages }));
  apis.push(httpApi({ apiId: 'based', hosts: ['based.test'], integrations, routes: [route('$default', 'base')], stages }));
  gw = await startGateway(file, { apis });
});

// Sends a request as it is written and answers what arrived for it, and the answer.
async function send(t, lines, { host = MODES.rfc7239, body = '' } = {}) {
  const peer = await connectRaw(t, { port: gw.port });
  const count = backend.requests.length;
  const [first, ...fields] = [].concat(lines);
  peer.write(`${first} HTTP/1.1\r\nHost: ${host}\r\n${fields.map((f) => `${f}\r\n`).join('')}\r\n${body}`);
  const got = await peer.response({ bodyless: first.startsWith('HEAD ') });
  peer.destroy();
  return { got, seen: backend.requests[count], count: backend.requests.length - count };
}

async function withReply(script, work) {
  reply = script;
  try {
    return await work();
  } finally {
    reply = undefined;
  }
}

// All that arrived, but for the trace: [name in lower case, value], sorted.
const fields = (seen) => seen.rawHeaders.map(([n, v]) => [n.toLowerCase(), v]).filter(([n]) => n !== 'x-amzn-trace-id').sort();
const target = async (t, line, options) => (await send(t, line, options)).seen.target;

describe('1.9 headers of the request', () => {
  // What the client says of itself and the hops before; what the gateway makes of it, by forwardedHeaders.
  const own = { rfc7239: 'for=127.0.0.1;host=rfc.test;proto=http', both: 'for=127.0.0.1;host=both.test;proto=http' };
  const xOwn = (host) => [['x-forwarded-for', '127.0.0.1'], ['x-forwarded-host', host], ['x-forwarded-proto', 'http']];
  const xPort = () => ['x-forwarded-port', String(gw.port)];
  const always = () => [['content-length', '0'], ['host', `127.0.0.1:${backend.port}`], ['via', 'HTTP/1.1 AmazonAPIGateway']];

  test('1.9 Host, Forwarded, Via, Content-Length of a plain request (rfc7239): these and no others', async (t) => {
    const { seen } = await send(t, 'GET /plain');
    assert.deepEqual(fields(seen), [...always(), ['forwarded', own.rfc7239]].sort());
  });

  test('1.9 X-Forwarded-* of a plain request (x-forwarded): these and no others', async (t) => {
    const { seen } = await send(t, 'GET /plain', { host: MODES['x-forwarded'] });
    assert.deepEqual(fields(seen), [...always(), ...xOwn('x.test'), xPort()].sort());
  });

  test('1.9 Forwarded and X-Forwarded-* of a plain request (both)', async (t) => {
    const { seen } = await send(t, 'GET /plain', { host: MODES.both });
    assert.deepEqual(fields(seen), [...always(), ...xOwn('both.test'), xPort(), ['forwarded', own.both]].sort());
  });

  const hops = ['X-Forwarded-For: 203.0.113.7, 198.51.100.2', 'X-Forwarded-Proto: https', 'X-Forwarded-Host: shop.example', 'X-Forwarded-Port: 443'];

  test('1.9 X-Forwarded-* of the client are folded into Forwarded, and do not pass (rfc7239)', async (t) => {
    const { seen } = await send(t, ['GET /plain', ...hops]);
    assert.equal(seen.headers.forwarded, `for=203.0.113.7;host=shop.example;proto=https, for=198.51.100.2, ${own.rfc7239}`);
    assert.deepEqual(seen.rawHeaders.filter(([n]) => /^x-forwarded/i.test(n)), []);
  });

  test('1.9 Forwarded of the client is appended to (rfc7239)', async (t) => {
    const { seen } = await send(t, ['GET /plain', 'Forwarded: for=192.0.2.1;proto=https', 'Forwarded: for="[2001:db8::1]:4711"']);
    assert.deepEqual(seen.all('forwarded'), [`for=192.0.2.1;proto=https, for="[2001:db8::1]:4711", ${own.rfc7239}`]);
  });

  test('1.9 Forwarded: a Host with a port is quoted', async (t) => {
    const { seen } = await send(t, 'GET /plain', { host: 'rfc.test:8443' });
    assert.equal(seen.headers.forwarded, 'for=127.0.0.1;host="rfc.test:8443";proto=http');
  });

  test('1.9 X-Forwarded-For of the client is extended, -Proto, -Host, -Port are ours, Forwarded ends here (x-forwarded)', async (t) => {
    const { seen } = await send(t, ['GET /plain', ...hops, 'Forwarded: for=192.0.2.1'], { host: MODES['x-forwarded'] });
    assert.deepEqual(seen.all('x-forwarded-for'), ['203.0.113.7, 198.51.100.2, 127.0.0.1']);
    assert.deepEqual(seen.all('x-forwarded-proto'), ['http']);
    assert.deepEqual(seen.all('x-forwarded-host'), ['x.test']);
    assert.deepEqual(seen.all('x-forwarded-port'), [String(gw.port)]);
    assert.deepEqual(seen.all('forwarded'), []);
  });

  test('1.9 both: Forwarded tells the hops, X-Forwarded-For as well', async (t) => {
    const { seen } = await send(t, ['GET /plain', ...hops, 'Forwarded: for=192.0.2.1'], { host: MODES.both });
    assert.deepEqual(seen.all('x-forwarded-for'), ['203.0.113.7, 198.51.100.2, 127.0.0.1']);
    assert.deepEqual(seen.all('forwarded'), [`for=192.0.2.1, for=203.0.113.7;host=shop.example;proto=https, for=198.51.100.2, ${own.both}`]);
  });

  test('1.9 Via of the client is appended to', async (t) => {
    const { seen } = await send(t, ['GET /plain', 'Via: 1.0 fred, 1.1 p.example']);
    assert.deepEqual(seen.all('via'), ['1.0 fred, 1.1 p.example, HTTP/1.1 AmazonAPIGateway']);
  });

  test('1.9 X-Amzn-Trace-Id: Self and Root are made; the Root of the client is kept', async (t) => {
    const made = (await send(t, 'GET /plain')).seen;
    assert.match(made.headers['x-amzn-trace-id'], /^Self=1-[0-9a-f]{8}-[0-9a-f]{24};Root=1-[0-9a-f]{8}-[0-9a-f]{24}$/);
    const root = 'Root=1-67fd88a4-127eb8e773d2bb6f7df47ab6';
    const rest = 'Parent=463ac35c9f6413ad;Sampled=1;Lineage=1:a87bd80c:0';
    for (const given of [`${root};${rest}`, `Self=1-00000000-000000000000000000000000;${root};${rest}`, `${root}; Self=1-0-0; ${rest}`]) {
      const kept = (await send(t, ['GET /plain', `X-Amzn-Trace-Id: ${given}`])).seen;
      assert.equal(kept.all('x-amzn-trace-id').length, 1);
      const [self, ...others] = kept.headers['x-amzn-trace-id'].split(';');
      assert.match(self, /^Self=1-[0-9a-f]{8}-[0-9a-f]{24}$/);
      assert.doesNotMatch(self, /0{24}/);
      assert.equal(others.join(';'), `${root};${rest}`);
    }
  });

  for (const method of ['GET', 'HEAD', 'DELETE', 'OPTIONS', 'POST', 'PUT', 'PATCH']) {
    test(`1.9 Content-Length: 0 is added to a ${method} without body`, async (t) => {
      const { seen } = await send(t, `${method} /plain`);
      assert.equal(seen.method, method);
      assert.deepEqual(seen.all('content-length'), ['0']);
      assert.deepEqual(seen.all('transfer-encoding'), []);
    });
  }

  test('1.9 everything else passes: Cookie, User-Agent, Accept, Accept-Encoding, Origin, repeated and odd names', async (t) => {
    const passed = [
      'Cookie: a=b; c="d e"',
      'User-Agent: curl/8.0 (x; y)',
      'Accept: text/html,*/*;q=0.1',
      'Accept-Encoding: gzip, br',
      'Accept-Language: de',
      'Cache-Control: no-cache',
      'Content-Type: application/json',
      'If-None-Match: "x"',
      'Origin: https://a.example',
      'Range: bytes=0-9',
      'Referer: https://a.example/b?c',
      'X-Twice: one',
      'X-TWICE: two, three',
      'x!#$%&\'*+.^`|~: odd',
      'X-Empty:',
      'X-Bytes: \u00e9\u00ff',
    ];
    const peer = await connectRaw(t, { port: gw.port });
    const count = backend.requests.length;
    peer.write(Buffer.from(`GET /plain HTTP/1.1\r\nHost: rfc.test\r\n${passed.join('\r\n')}\r\n\r\n`, 'latin1'));
    await peer.response();
    const seen = backend.requests[count].rawHeaders.map(([n, v]) => `${n}:${v && ` ${v}`}`);
    assert.deepEqual(seen.filter((line) => passed.includes(line)), passed, 'in their order, as they were');
    assert.equal(seen.length, passed.length + 5, seen.join('\n'));
  });

  test('1.9 hop-by-hop fields do not pass, nor do those that Connection names', async (t) => {
    const hop = ['Connection: keep-alive, X-Hop, x-other', 'Keep-Alive: timeout=5', 'TE: trailers', 'Trailer: X-T', 'Upgrade: h2c', 'Proxy-Authorization: Basic eA==', 'Proxy-Connection: keep-alive', 'Proxy-Anything: x', 'X-Hop: 1', 'X-OTHER: 2', 'X-Stays: 3'];
    const { seen } = await send(t, ['GET /plain', ...hop]);
    assert.deepEqual(fields(seen), [...always(), ['forwarded', own.rfc7239], ['x-stays', '3']].sort());
  });

  test('1.9 a hop-by-hop Connection cannot take the gateway\'s own fields away', async (t) => {
    const { seen } = await send(t, ['GET /plain', 'Connection: Forwarded, Via, Host, Content-Length, X-Amzn-Trace-Id', 'Content-Length: 2'], { body: 'ab' });
    assert.deepEqual(fields(seen), [['content-length', '2'], ['forwarded', own.rfc7239], ['host', `127.0.0.1:${backend.port}`], ['via', 'HTTP/1.1 AmazonAPIGateway']].sort());
    assert.equal(seen.all('x-amzn-trace-id').length, 1);
    assert.equal(seen.text, 'ab');
  });

  test('1.9 names with _ that CGI would take for another do not pass', async (t) => {
    const { seen } = await send(t, ['GET /plain', 'X_Forwarded_For: 6.6.6.6', 'Content_Length: 9', 'Authorization_: x', 'X_Free: y']);
    assert.deepEqual(fields(seen), [...always(), ['forwarded', own.rfc7239], ['authorization_', 'x'], ['x_free', 'y']].sort());
  });

  for (const value of ['Bearer abc.def', 'Basic dXNlcjpwYXNz', 'AWS4-HMAC-SHA512 x', 'AWS4-HMAC-SHA256x']) {
    test(`1.9 Authorization passes: ${value.split(' ')[0]}`, async (t) => {
      const { seen } = await send(t, ['GET /plain', `Authorization: ${value}`]);
      assert.deepEqual(seen.all('authorization'), [value]);
    });
  }

  test('1.9 Authorization: a SigV4 signature is removed, its session token as well', async (t) => {
    const signature = 'AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/execute-api/aws4_request, SignedHeaders=host, Signature=00';
    const { seen } = await send(t, ['GET /plain', `Authorization: ${signature}`, 'X-Amz-Security-Token: tok', 'X-Amz-Date: 20260101T000000Z']);
    assert.deepEqual(fields(seen), [...always(), ['forwarded', own.rfc7239], ['x-amz-date', '20260101T000000Z']].sort());
  });

  test('1.9 Authorization is removed on a route of AWS_IAM', async (t) => {
    const signed = sign({ method: 'POST', path: '/iam', host: 'rfc.test', body: 'x', credentials: ADMIN_KEY });
    const lines = Object.entries(signed).filter(([n]) => n.toLowerCase() !== 'host').map(([n, v]) => `${n}: ${v}`);
    const { seen, got } = await send(t, ['POST /iam', ...lines, 'Content-Length: 1'], { body: 'x' });
    assert.equal(got.status, 200);
    assert.deepEqual(seen.all('authorization'), []);
    assert.equal(seen.text, 'x');
  });
});

describe('1.9 the URI', () => {
  const cases = [
    ['{param} in the path', 'GET /items/7/red', '/items/7/of/red.json'],
    ['{param} keeps its escapes', 'GET /items/a%2Fb/%E2%98%95%20x', '/items/a%2Fb/of/%E2%98%95%20x.json'],
    ['{proxy+} takes what is left, as it is', 'GET /all/a/b%2Fc//d/', '/a/b%2Fc//d/'],
    ['the query is forwarded byte for byte', 'GET /all/x?b=2&a=1&a=%31&=&&c+d=%zz&e', '/x?b=2&a=1&a=%31&=&&c+d=%zz&e'],
    ['a question mark alone', 'GET /all/x?', '/x?'],
    ['a greedy variable that the URI does not use: the URI as written', 'GET /unused/a/b', '/fixed?own=1'],
    ['the query goes behind the URI\'s own', 'GET /unused/a?x=1&own=2', '/fixed?own=1&x=1&own=2'],
    ['{param} in the query is encoded', 'GET /query/a%26b%3D%20%E2%98%95?x=y', '/q?id=a%26b%3D%20%E2%98%95&x=y'],
    ['stage variables of $default: host, port, path, query', 'GET /vars', '/v1/x?a=b'],
    ['stage variables of a named stage', 'GET /blue/vars?z=1', '/v2/x?a=c&z=1'],
    ['$default sends the whole path', 'GET /some/where%2Felse/?q=1', '/some/where%2Felse/?q=1'],
    ['$default sends / as /', 'GET /', '/'],
    ['$default in a named stage sends the path below it', 'GET /blue/some/where', '/some/where'],
    ['a path with all that may stand in it', "GET /all/-._~!$&'()*+,;=:@%41", "/-._~!$&'()*+,;=:@%41"],
    ['an absolute target', 'GET http://rfc.test/all/x?y', '/x?y'],
  ];
  for (const [name, line, expected] of cases) {
    test(`1.9 ${name}`, async (t) => assert.equal(await target(t, line), expected));
  }

  test('1.9 $default behind a URI with a path', async (t) => {
    assert.equal(await target(t, 'GET /a/b?c', { host: 'based.test' }), '/base/a/b?c');
    assert.equal(await target(t, 'GET /', { host: 'based.test' }), '/base/');
  });

  test('1.9 Host is that of the stage\'s back end', async (t) => {
    assert.equal((await send(t, 'GET /blue/vars')).seen.headers.host, `localhost:${backend.port}`);
  });

  test('6.1 a stage variable that the URI names and a stage has not: refused when the file is checked', async (t) => {
    const where = path.join(tempDir(t), 'bad.json');
    fs.writeFileSync(where, JSON.stringify({ listeners: [{ address: '127.0.0.1:0' }], apis: [httpApi({ integrations: [forward('v', 'http://127.0.0.1/${stageVariables.nowhere}')], routes: [route('$default', 'v')] })] }));
    const { code, output } = await run(['check', where]);
    assert.equal(code, 1);
    assert.match(output, /integrations\[0\]\.integrationUri: in stage \$default: the stage has no variable "nowhere"/);
  });

  test('1.5 integrationMethod is the back end\'s method; without it the client\'s', async (t) => {
    assert.equal((await send(t, 'GET /method')).seen.method, 'PUT');
    assert.equal((await send(t, ['POST /method', 'Content-Length: 2'], { body: 'hi' })).seen.text, 'hi');
    assert.equal((await send(t, 'PROPFIND /dav')).seen.method, 'PROPFIND');
  });
});

describe('1.9 the answer', () => {
  test('1.9 status, headers and body pass; apigw-requestid is added', async (t) => {
    const lines = ['Content-Type: application/x-thing', 'Set-Cookie: a=b; Path=/', 'Set-Cookie: c=d', 'Server: thing/1', 'Date: Tue, 01 Jan 2030 00:00:00 GMT', 'Via: 1.1 inner', 'X-Odd_Name: x', 'ETag: "e"', 'Cache-Control: no-store', 'Vary: Accept', 'WWW-Authenticate: Basic realm="x"', 'Content-Encoding: gzip', 'Location: /else', 'X-Amzn-Trace-Id: Root=1-0-0'];
    const { got } = await withReply(() => `HTTP/1.1 299 Odd Reason\r\n${lines.join('\r\n')}\r\nContent-Length: 3\r\n\r\nabc`, () => send(t, 'GET /x'));
    assert.equal(got.status, 299);
    assert.equal(got.text, 'abc');
    const seen = got.rawHeaders.map(([n, v]) => `${n}: ${v}`);
    assert.deepEqual(seen.filter((line) => lines.includes(line)), lines);
    assert.match(got.headers['apigw-requestid'], /^\S{10,}$/);
    assert.equal(got.headers['content-length'], '3');
    assert.equal(seen.length, lines.length + 3, seen.join('\n')); // Apigw-Requestid, Content-Length, Connection
  });

  test('1.9 an Apigw-Requestid of the back end is replaced, once', async (t) => {
    const { got } = await withReply(() => answer('', 'apigw-RequestId: theirs\r\n'), () => send(t, 'GET /x'));
    assert.equal(got.rawHeaders.filter(([n]) => n.toLowerCase() === 'apigw-requestid').length, 1);
    assert.notEqual(got.headers['apigw-requestid'], 'theirs');
  });

  test('1.9 hop-by-hop fields of the answer do not pass, nor do those that Connection names', async (t) => {
    const head = 'Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nProxy-Status: x\r\nTE: x\r\nTrailer: X-T\r\nUpgrade: h2c\r\nX-Stays: 2\r\n';
    const { got } = await withReply(() => answer('ok', head), () => send(t, 'GET /x'));
    assert.deepEqual(Object.keys(got.headers).sort(), ['apigw-requestid', 'connection', 'content-length', 'date', 'x-stays']);
    assert.equal(got.headers.connection, 'keep-alive');
  });

  for (const status of [200, 201, 202, 206, 400, 401, 404, 409, 418, 429, 500, 502, 503, 504, 599]) {
    test(`1.9 status ${status} of the back end passes with its body`, async (t) => {
      const { got } = await withReply(() => `HTTP/1.1 ${status} X\r\nContent-Length: 6\r\n\r\ntheirs`, () => send(t, 'GET /x'));
      assert.deepEqual([got.status, got.text], [status, 'theirs']);
    });
  }

  // What has no body at the back end has none for the client, whatever length is told and whatever is made of the status.
  const bodyless = {
    'a GET that is a HEAD at the back end': ['/head', 'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n', 200],
    'such a GET, chunked': ['/head', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', 200],
    'a 304 that becomes a 200': ['/changed', 'HTTP/1.1 304 X\r\nContent-Length: 99\r\n\r\n', 200],
    'a 200 that becomes a 204': ['/changed', 'HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\nab', 204],
  };
  for (const [name, [where, bytes, status]] of Object.entries(bodyless)) {
    test(`1.9 ${name}: an empty body, and the connection stays`, async (t) => {
      await withReply(() => bytes, async () => {
        const peer = await connectRaw(t, { port: gw.port });
        for (let i = 0; i < 2; i++) {
          peer.write(`GET ${where} HTTP/1.1\r\nHost: rfc.test\r\n\r\n`);
          const got = await peer.response();
          assert.deepEqual([got.status, got.text], [status, '']);
        }
      });
    });
  }

  for (const status of [301, 302, 303, 307, 308]) {
    test(`1.9 redirect ${status} is not followed`, async (t) => {
      const { got, count } = await withReply(() => `HTTP/1.1 ${status} Moved\r\nLocation: ${backend.url}/next\r\nContent-Length: 0\r\n\r\n`, () => send(t, 'GET /first'));
      assert.deepEqual([got.status, got.headers.location, count], [status, `${backend.url}/next`, 1]);
    });
  }

  const garbage = {
    'no HTTP': 'nonsense\r\n\r\n',
    'two lengths': 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
    'a length and chunks': 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'a bare LF': 'HTTP/1.1 200 OK\r\nX: a\nY: b\r\nContent-Length: 0\r\n\r\n',
    'a 101 that nobody asked for': 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
  };
  for (const [name, bytes] of Object.entries(garbage)) {
    test(`1.9 an answer that cannot be read (${name}): 503`, async (t) => {
      const { got } = await withReply(() => bytes, () => send(t, 'POST /x'));
      assert.deepEqual([got.status, got.text, got.headers['content-length']], [503, '{"message":"Service Unavailable"}', '33']);
    });
  }
});

describe('1.9 a back end that is not there', () => {
  let away;
  let tls;
  before(async () => {
    const authority = makeAuthority(file);
    const strange = await startBackend(file, () => ({ body: 'x' }), { tls: authority.issue('DNS:localhost') });
    tls = await startBackend(file, (r) => ({ body: r.headers.host }), { tls: authority.issue('DNS:localhost') });
    const integrations = [forward('closed', `http://127.0.0.1:${await freePort()}/`), forward('name', 'http://does-not-exist.invalid/'), forward('tls', `${strange.url}/`), forward('trusted', `${tls.url}/`, { tlsConfig: { caFile: authority.file } })];
    const routes = ['closed', 'name', 'tls', 'trusted'].map((id) => route(`GET /${id}`, id));
    away = await startGateway(file, { apis: [httpApi({ integrations, routes })] });
  });

  for (const [id, what] of [['closed', 'unreachable'], ['name', 'a name without address'], ['tls', 'TLS failure']]) {
    test(`1.9 ${what}: 503 {"message":"Service Unavailable"}`, async () => {
      const got = await away.get(`/${id}`);
      assert.deepEqual([got.status, got.text, got.headers['content-length'], got.headers['content-type']], [503, '{"message":"Service Unavailable"}', '33', 'application/json']);
      assert.ok(got.headers['apigw-requestid']);
    });
  }

  test('1.9 https with a certificate that is trusted; Host is the back end\'s', async () => {
    const got = await away.get('/trusted');
    assert.deepEqual([got.status, got.text], [200, `localhost:${tls.port}`]);
  });
});

describe('1.9 express behind the gateway', () => {
  let front;
  let port;
  before(async () => {
    const app = express();
    app.set('trust proxy', 'loopback');
    app.use(express.json(), express.urlencoded({ extended: true }), express.text({ limit: '20mb' }));
    app.all('/echo/*', (req, res) => res.json({ method: req.method, url: req.originalUrl, query: req.query, body: req.body, host: req.hostname, ip: req.ip, ips: req.ips, protocol: req.protocol, cookie: req.get('cookie') ?? null }));
    app.get('/to', (req, res) => res.redirect('/echo/there'));
    app.get('/cookies', (req, res) => res.cookie('a', '1').cookie('b', '2', { httpOnly: true }).send('set'));
    app.get('/lines', (req, res) => {
      res.type('text/plain');
      for (let i = 0; i < 1000; i++) res.write(`line ${i}\n`);
      res.end();
    });
    app.get('/throws', () => {
      throw new Error('on purpose');
    });
    app.set('env', 'test');
    const server = app.listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    port = server.address().port;
    onEnd(file, () => new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    }));
    front = await startGateway(file, { apis: [httpApi({ settings: { forwardedHeaders: 'both' }, integrations: [forward('app', `http://127.0.0.1:${port}`)], routes: [route('$default', 'app')] })] });
  });

  const json = async (options) => {
    const got = await request({ port: front.port, ...options });
    assert.equal(got.status, 200, got.text);
    return JSON.parse(got.text);
  };

  test('1.9 express: path, query, host, address and scheme of the client', async () => {
    const got = await json({ path: '/echo/a%2Fb?x=1&y[]=2&y[]=3', headers: { Host: 'shop.example', 'X-Forwarded-For': '203.0.113.7' } });
    assert.deepEqual(got, { method: 'GET', url: '/echo/a%2Fb?x=1&y[]=2&y[]=3', query: { x: '1', y: ['2', '3'] }, body: {}, host: 'shop.example', ip: '203.0.113.7', ips: ['203.0.113.7', '127.0.0.1'], protocol: 'http', cookie: null });
  });

  test('1.9 express: JSON, forms and text; with a length and chunked', async () => {
    for (const framing of [{}, { 'Transfer-Encoding': 'chunked' }]) {
      const post = (type, body) => json({ method: 'POST', path: '/echo/x', headers: { 'Content-Type': type, ...(framing['Transfer-Encoding'] ? framing : { 'Content-Length': Buffer.byteLength(body) }) }, body });
      assert.deepEqual((await post('application/json', '{"a":[1,"ü"]}')).body, { a: [1, 'ü'] });
      assert.deepEqual((await post('application/x-www-form-urlencoded', 'a=b&c[d]=e+f')).body, { a: 'b', c: { d: 'e f' } });
      const long = 'x'.repeat(3 * 1024 * 1024);
      assert.equal((await post('text/plain', long)).body.length, long.length);
    }
  });

  test('1.9 express: cookies both ways, redirects, its own errors', async () => {
    assert.equal((await json({ path: '/echo/x', headers: { Cookie: 'a=b; c=d' } })).cookie, 'a=b; c=d');
    const cookies = await front.get('/cookies');
    assert.deepEqual(cookies.headers['set-cookie'], ['a=1; Path=/', 'b=2; Path=/; HttpOnly']);
    const redirect = await front.get('/to');
    assert.deepEqual([redirect.status, redirect.headers.location], [302, '/echo/there']);
    assert.equal((await front.get('/nothing')).status, 404);
    assert.match((await front.get('/nothing')).text, /Cannot GET \/nothing/);
    assert.equal((await front.get('/throws')).status, 500);
  });

  test('1.9 express: an answer written in pieces', async () => {
    const got = await front.get('/lines');
    assert.equal(got.text, Array.from({ length: 1000 }, (_, i) => `line ${i}\n`).join(''));
  });

  test('1.9 express: If-None-Match gets its 304, HEAD the head of GET', async () => {
    const first = await front.get('/lines');
    const whole = await front.get('/cookies');
    const again = await request({ port: front.port, path: '/cookies', headers: { 'If-None-Match': whole.headers.etag } });
    assert.deepEqual([again.status, again.text], [304, '']);
    const head = await request({ port: front.port, method: 'HEAD', path: '/cookies' });
    assert.deepEqual([head.status, head.headers['content-length'], head.text], [200, '3', '']);
    assert.equal(first.status, 200);
  });
});

// Python's server speaks HTTP/1.0 unless told otherwise: each answer ends with its connection.
async function startPython(owner, ...args) {
  const dir = tempDir(owner);
  fs.mkdirSync(path.join(dir, 'sub'));
  fs.writeFileSync(path.join(dir, 'hello.txt'), 'hello from python\n');
  fs.writeFileSync(path.join(dir, 'big.bin'), Buffer.alloc(2 * 1024 * 1024, 7));
  fs.writeFileSync(path.join(dir, 'sub', 'a b.txt'), 'spaced');
  const child = spawn(PYTHON, ['-u', '-m', 'http.server', '--bind', '127.0.0.1', '--directory', dir, ...args, '0'], { stdio: ['ignore', 'pipe', 'pipe'] });
  const closed = new Promise((resolve) => child.on('close', resolve));
  onEnd(owner, () => {
    child.kill();
    return closed;
  });
  const line = await within(new Promise((resolve) => createInterface({ input: child.stdout }).once('line', resolve)), 'python to listen');
  return Number(/port (\d+)/.exec(line)[1]);
}

describe('1.9 a Python http.server behind the gateway', () => {
  for (const version of ['HTTP/1.0', 'HTTP/1.1']) {
    test(`1.9 python ${version}: files, HEAD, 304, 404, a directory's redirect, encoded names`, async (t) => {
      const port = await startPython(t, '--protocol', version);
      const g = await startGateway(t, { apis: [httpApi({ integrations: [forward('p', `http://127.0.0.1:${port}/{proxy}`)], routes: [route('ANY /{proxy+}', 'p')] })] });
      const hello = await g.get('/hello.txt');
      assert.deepEqual([hello.status, hello.text, hello.headers['content-type']], [200, 'hello from python\n', 'text/plain']);
      assert.match(hello.headers.server, /^SimpleHTTP/);
      const big = await g.get('/big.bin');
      assert.ok(big.body.equals(Buffer.alloc(2 * 1024 * 1024, 7)));
      const head = await request({ port: g.port, method: 'HEAD', path: '/big.bin' });
      assert.deepEqual([head.status, head.headers['content-length'], head.body.length], [200, String(2 * 1024 * 1024), 0]);
      const cached = await request({ port: g.port, path: '/hello.txt', headers: { 'If-Modified-Since': hello.headers['last-modified'] } });
      assert.deepEqual([cached.status, cached.text], [304, '']);
      assert.equal((await g.get('/none')).status, 404);
      assert.deepEqual([(await g.get('/sub')).status, (await g.get('/sub')).headers.location], [301, '/sub/']);
      assert.equal((await g.get('/sub/a%20b.txt')).text, 'spaced');
      assert.equal((await request({ port: g.port, method: 'POST', path: '/hello.txt', headers: { 'Content-Length': 3 }, body: 'abc' })).status, 501);
    });
  }
});
