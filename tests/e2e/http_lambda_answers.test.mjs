// What becomes of the answers of functions of HTTP APIs (http-api.md 1.8, 1.12): handlers behind serverless-offline, and
// results to the byte, errors and dead runtimes by a scripted one.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { httpApi, lambda, route } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { CUT, functionError, raw, startLambda } from './lib/lambda.mjs';
import { startOffline } from './lib/offline.mjs';
import { freePort } from './lib/ports.mjs';
import { connectRaw } from './lib/raw.mjs';
import { fileScope } from './lib/scope.mjs';
import { deferred, within } from './lib/wait.mjs';

const file = fileScope();
const ERROR = '{"message":"Internal Server Error"}';
const UNAVAILABLE = '{"message":"Service Unavailable"}';

let gw;
let fn;
let result; // what the scripted runtime answers: (event, call) -> as a handler of lib/lambda.mjs

function api(apiId, payloadFormatVersion) {
  const of = (name, extra) => lambda(name, { payloadFormatVersion, ...extra });
  const routes = ['answer', 'scripted', 'none', 'dead'].map((name) => route(`ANY /${name}`, name));
  return httpApi({
    apiId,
    integrations: [of('answer'), of('scripted'), of('none'), of('dead'), of('scripted', { integrationId: 'hurried', timeoutInMillis: 150 })],
    routes: [...routes, route('GET /hurried', 'hurried')],
  });
}

before(async () => {
  fn = await startLambda(file, { scripted: (event, call) => result(event, call) });
  const runtime = await startOffline(file);
  gw = await startGateway(file, {
    functions: {
      scripted: { endpoint: fn.endpoint },
      answer: { endpoint: runtime.endpoint },
      none: { endpoint: runtime.endpoint },
      dead: { endpoint: `http://127.0.0.1:${await freePort()}` },
    },
    backends: { maxResponseBytes: 1048576 },
    apis: [api('two', '2.0'), api('one', '1.0')],
  });
});

const on = (apiId, path, options = {}) => gw.get(path, { ...options, headers: { Host: `${apiId}.test`, ...options.headers } });

// The answer to a request whose function returns exactly these bytes.
async function returned(apiId, bytes, options) {
  result = () => raw({ headers: { 'Content-Type': 'application/json' }, body: bytes });
  return on(apiId, '/scripted', options);
}

// The answer of the handler that returns `returns`.
function handled(apiId, returns) {
  const body = JSON.stringify({ returns });
  return on(apiId, '/answer', { method: 'POST', headers: { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) }, body });
}

// The values of a field, in the order of the wire.
function values(answer, name) {
  return answer.rawHeaders.filter((_, i) => i % 2 === 1 && answer.rawHeaders[i - 1].toLowerCase() === name.toLowerCase());
}

function isError(answer, status = 500, body = ERROR) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.text, body);
  assert.equal(answer.headers['content-length'], String(body.length));
  assert.equal(answer.headers['content-type'], 'application/json');
  assert.match(answer.headers['apigw-requestid'], /^[A-Za-z0-9_-]{15}=$/);
}

describe('format 2.0', () => {
  // [what, what the function returns, status, Content-Type, body; undefined: as returned]
  const rows = [
    ['vector 14: a number', '42', 200, 'application/json', '42'],
    ['vector 14: a string, unquoted', '"test"', 200, 'application/json', 'test'],
    ['vector 14: an array, inner spacing kept', '[1, 2]', 200, 'application/json', '[1, 2]'],
    ['vector 14: an object without statusCode', '{"a": 1}', 200, 'application/json', '{"a": 1}'],
    ['an object of many lines', '{\n  "a" : [ 1 ,2 ]\n}', 200, 'application/json', '{\n  "a" : [ 1 ,2 ]\n}'],
    ['a string with quotes, unescaped', '"Special \\"quoted\\" text\\n\\u2615"', 200, 'application/json', 'Special "quoted" text\n☕'],
    ['a string that looks like broken JSON', '"{\\"a\\": "', 200, 'application/json', '{"a": '],
    ['a boolean', 'true', 200, 'application/json', 'true'],
    ['an empty string', '""', 200, 'application/json', ''],
    ['null', 'null', 200, 'application/json', 'null'],
    ['no output', '', 200, 'application/json', 'null'],
    ['vector 15: statusCode and a body', '{"statusCode":201,"body":"x"}', 201, 'text/plain; charset=utf-8', 'x'],
    ['a body that is JSON has no other default type', '{"statusCode":200,"body":"{}"}', 200, 'text/plain; charset=utf-8', '{}'],
    ['unknown keys are ignored', '{"statusCode":200,"wrongValue":1,"body":"y"}', 200, 'text/plain; charset=utf-8', 'y'],
    ['a body of null', '{"statusCode":404,"body":null}', 404, 'text/plain; charset=utf-8', ''],
    ['a type of its own', '{"statusCode":200,"headers":{"CONTENT-type":"text/html"},"body":"<p>"}', 200, 'text/html', '<p>'],
  ];
  for (const [what, bytes, status, type, body] of rows) {
    test(`1.8.2 ${what}`, async () => {
      const answer = await returned('two', bytes);
      assert.equal(answer.status, status, answer.text);
      assert.equal(answer.headers['content-type'], type);
      assert.equal(answer.text, body);
      assert.equal(answer.headers['content-length'], String(Buffer.byteLength(body)));
    });
  }

  const bad = [
    ['vector 16: statusCode 0', '{"statusCode":0}'],
    ['statusCode 200.5', '{"statusCode":200.5,"body":"x"}'],
    ['statusCode in quotes', '{"statusCode":"200","body":"x"}'],
    ['a header of two lines', '{"statusCode":200,"headers":{"x-a":"1\\r\\nSet-Cookie: a=b"}}'],
    ['a name that is none', '{"statusCode":200,"headers":{"x a":"1"}}'],
    ['a body that is not base64', '{"statusCode":200,"isBase64Encoded":true,"body":"%%%"}'],
    ['an object that is cut', '{"statusCode":200,'],
  ];
  for (const [what, bytes] of bad) test(`1.8.2 ${what}: 500`, async () => isError(await returned('two', bytes)));

  test('1.8.2 cookies: a line each, in place of Set-Cookie among the headers', async () => {
    const answer = await returned('two', '{"statusCode":200,"cookies":["a=1; Secure","b=2"],"headers":{"set-cookie":"c=3","x":"y"}}');
    assert.deepEqual(values(answer, 'set-cookie'), ['a=1; Secure', 'b=2']);
    assert.deepEqual(values(await returned('two', '{"statusCode":200,"headers":{"set-cookie":"c=3"}}'), 'set-cookie'), ['c=3']);
  });

  test('1.8.2 isBase64Encoded is decoded, whatever Accept says', async () => {
    const bytes = Buffer.from([0, 1, 0xff, 0x89, 0x50]);
    for (const headers of [{}, { Accept: 'text/html' }]) {
      const answer = await returned('two', JSON.stringify({ statusCode: 200, isBase64Encoded: true, body: bytes.toString('base64'), headers: { 'content-type': 'image/png' } }), { headers });
      assert.deepEqual(answer.body, bytes);
      assert.equal(answer.headers['content-type'], 'image/png');
    }
  });

  test('1.8.2 header values that are numbers or booleans, and names as HTTP/1.1 answers write them', async () => {
    const answer = await returned('two', '{"statusCode":200,"headers":{"myheader":1,"X-UPPER-case":true,"etag":"\\"x\\""},"body":"b"}');
    const names = answer.rawHeaders.filter((_, i) => i % 2 === 0);
    for (const name of ['Myheader', 'X-Upper-Case', 'Etag', 'Apigw-Requestid', 'Content-Type', 'Content-Length', 'Date']) assert.ok(names.includes(name), `${name} of ${names}`);
    assert.deepEqual([answer.headers.myheader, answer.headers['x-upper-case'], answer.headers.etag], ['1', 'true', '"x"']);
  });

  test('1.8.2 headers that every answer carries, and no other of ours', async () => {
    const peer = await connectRaw(file, { port: gw.port });
    result = () => ({ statusCode: 200, body: 'x' });
    for (let i = 0; i < 2; i++) {
      peer.write('GET /scripted HTTP/1.1\r\nHost: two.test\r\n\r\n');
      const { headers } = await peer.response();
      assert.deepEqual(Object.keys(headers).sort(), ['apigw-requestid', 'connection', 'content-length', 'content-type', 'date'].sort());
      assert.equal(headers.connection, 'keep-alive');
    }
    peer.destroy();
  });

  test('1.8.2 a function may not frame the answer: Content-Length, Transfer-Encoding, Connection, Apigw-Requestid', async () => {
    const answer = await returned('two', '{"statusCode":200,"headers":{"content-length":"100","transfer-encoding":"chunked","connection":"close","apigw-requestid":"mine"},"body":"abc"}');
    assert.equal(answer.text, 'abc');
    assert.equal(answer.headers['content-length'], '3');
    assert.ok(!('transfer-encoding' in answer.headers));
    assert.match(answer.headers['apigw-requestid'], /^[A-Za-z0-9_-]{15}=$/);
  });

  test('statuses without a body: 204, 304, and the answer to HEAD', async () => {
    const peer = await connectRaw(file, { port: gw.port });
    for (const [method, statusCode] of [['GET', 204], ['GET', 304], ['HEAD', 200]]) {
      result = () => ({ statusCode, headers: { 'x-mark': 'm' }, body: 'not to be seen' });
      peer.write(`${method} /scripted HTTP/1.1\r\nHost: two.test\r\n\r\n`);
      const answer = await peer.response({ bodyless: true });
      assert.equal(answer.status, statusCode);
      assert.equal(answer.headers['x-mark'], 'm');
      if (method === 'HEAD') assert.equal(answer.headers['content-length'], '14');
    }
    result = () => ({ statusCode: 200, body: 'after' });
    peer.write('GET /scripted HTTP/1.1\r\nHost: two.test\r\n\r\n');
    assert.equal((await peer.response()).text, 'after');
    peer.destroy();
  });
});

describe('format 1.0', () => {
  test('1.8.1 status, headers, body, and the default type', async () => {
    const answer = await returned('one', '{"statusCode":201,"headers":{"x-a":"1"},"body":"x","isBase64Encoded":false,"unknown":1}');
    assert.deepEqual([answer.status, answer.headers['x-a'], answer.text, answer.headers['content-type']], [201, '1', 'x', 'text/plain; charset=utf-8']);
  });

  test('vector 13: the single value first, then the others', async () => {
    const answer = await returned('one', '{"statusCode":200,"multiValueHeaders":{"combined-header":["m1","m2"]},"headers":{"Combined-Header":"s"}}');
    assert.deepEqual(values(answer, 'combined-header').join(', ').split(', '), ['s', 'm1', 'm2']);
  });

  test('1.8.1 several cookies by multiValueHeaders', async () => {
    const answer = await returned('one', '{"statusCode":200,"multiValueHeaders":{"Set-Cookie":["a=1","b=2"]}}');
    assert.deepEqual(values(answer, 'set-cookie'), ['a=1', 'b=2']);
  });

  test('1.8.1 base64 is decoded', async () => {
    const answer = await returned('one', '{"statusCode":200,"isBase64Encoded":true,"body":"AP8="}');
    assert.deepEqual(answer.body, Buffer.from([0, 255]));
  });

  for (const bytes of ['{"body":"x"}', '{"statusCode":0}', '{"statusCode":"200"}', '{"statusCode":200.5}', '{"statusCode":null}', '42', '"test"', '[1]', 'null', '', 'true', '{']) {
    test(`1.8.1 ${bytes || 'nothing'}: 500`, async () => isError(await returned('one', bytes)));
  }
});

describe('handlers behind serverless-offline', () => {
  test('1.8.2 what a handler returns in format 2.0', async () => {
    assert.equal((await handled('two', { statusCode: 201, cookies: ['a=1', 'b=2'], body: 'made' })).status, 201);
    const object = await handled('two', { hello: 'world' });
    assert.deepEqual([object.status, object.text, object.headers['content-type']], [200, '{"hello":"world"}', 'application/json']);
    assert.equal((await handled('two', [1, 2])).text, '[1,2]');
    assert.equal((await handled('two', 42)).text, '42');
    assert.equal((await handled('two', 'text')).text, 'text');
    assert.equal((await handled('two', undefined)).text, 'null');
  });

  test('1.8.1 what a handler returns in format 1.0', async () => {
    const answer = await handled('one', { statusCode: 200, multiValueHeaders: { 'X-A': ['1', '2'] }, body: 'b' });
    assert.deepEqual([answer.status, answer.text, values(answer, 'x-a')], [200, 'b', ['1', '2']]);
    isError(await handled('one', { hello: 'world' }));
  });

  test('1.8.2 an exception in the handler: 500', async () => {
    const body = '{"throws":"a fault of the function"}';
    for (const apiId of ['two', 'one']) {
      isError(await on(apiId, '/answer', { method: 'POST', headers: { 'Content-Type': 'application/json', 'Content-Length': body.length }, body }));
    }
  });

  test('1.12 a function that the runtime does not know: 500', async () => isError(await on('two', '/none')));
});

describe('runtimes that fail', () => {
  test('1.8.2 a function error: 500, nothing of it is told', async () => {
    result = () => functionError('secret detail');
    isError(await on('two', '/scripted'));
    result = () => raw({ headers: { 'X-Amz-Function-Error': 'Handled', 'Content-Type': 'application/json' }, body: '{"statusCode":200,"body":"no"}' });
    isError(await on('two', '/scripted'));
  });

  test('1.12 a throttled function: 503', async () => {
    result = () => raw({ status: 429, headers: { 'Content-Type': 'application/json', 'x-amzn-ErrorType': 'TooManyRequestsException' }, body: '{"Reason":"ConcurrentInvocationLimitExceeded","Type":"User","message":"Rate Exceeded."}' });
    isError(await on('two', '/scripted'), 503, UNAVAILABLE);
    isError(await on('one', '/scripted'), 503, UNAVAILABLE);
  });

  test('1.12 a runtime that says 403 (no permission) is 500, one that says 5xx is 503', async () => {
    result = () => raw({ status: 403, body: '{"Message":"AccessDenied"}' });
    isError(await on('two', '/scripted'));
    result = () => raw({ status: 500, body: '{}' });
    isError(await on('two', '/scripted'), 503, UNAVAILABLE);
  });

  test('1.12 nobody listens: 503', async () => isError(await on('two', '/dead'), 503, UNAVAILABLE));

  test('1.12 the connection is cut: 503', async () => {
    result = () => CUT;
    isError(await on('two', '/scripted'), 503, UNAVAILABLE);
  });

  test('vector 42: a function slower than timeoutInMillis: 503', async () => {
    const over = deferred();
    result = () => over.promise;
    const started = Date.now();
    isError(await on('two', '/hurried'), 503, UNAVAILABLE);
    assert.ok(Date.now() - started >= 140, `after ${Date.now() - started} ms`);
    over.resolve({ statusCode: 200 });
  });

  test('a result longer than backends.maxResponseBytes is refused, and the next one is served', async () => {
    const answer = await returned('two', JSON.stringify({ statusCode: 200, body: 'x'.repeat(1100000) }));
    assert.ok(answer.status === 500 || answer.status === 503, String(answer.status));
    assert.equal((await returned('two', '{"statusCode":200,"body":"fine"}')).text, 'fine');
  });

  for (const [how, leave] of [['cuts', (socket) => socket.resetAndDestroy()], ['closes', (socket) => socket.destroy()]]) {
    test(`a client that ${how} its connection: the call is cancelled`, async () => {
      const called = deferred();
      result = (event, call) => {
        called.resolve(call);
        return new Promise(() => {});
      };
      const peer = await connectRaw(file, { port: gw.port });
      peer.write('GET /scripted HTTP/1.1\r\nHost: two.test\r\n\r\n');
      const call = await within(called.promise, 'the call');
      leave(peer.socket);
      await within(call.closed, 'the end of the call', 5000);
    });
  }
});

describe('the call itself', () => {
  test('1.5 always POST, with the headers of an invocation', async () => {
    result = () => ({ statusCode: 200 });
    const from = fn.calls.length;
    await on('two', '/scripted', { method: 'PUT', headers: { 'Content-Length': 1, 'Content-Type': 'text/plain' }, body: 'x' });
    const call = fn.calls[from];
    assert.equal(call.url, '/2015-03-31/functions/scripted/invocations');
    assert.equal(call.event.requestContext.http.method, 'PUT');
    assert.equal(call.headers['x-amz-invocation-type'], 'RequestResponse');
    assert.match(call.headers['x-amz-source-arn'], /^arn:aws:execute-api:us-east-1:000000000000:two\//);
    assert.equal(fn.bad.length, 0);
  });

  test('a body of a megabyte, in base64 both ways', async () => {
    const bytes = Buffer.alloc(700000, 'äß\u0000');
    result = (event) => ({ statusCode: 200, isBase64Encoded: true, headers: { 'content-type': 'application/octet-stream' }, body: event.body });
    const answer = await on('two', '/scripted', { method: 'POST', headers: { 'Content-Type': 'application/octet-stream', 'Content-Length': bytes.length }, body: bytes });
    assert.equal(answer.status, 200, answer.text.slice(0, 200));
    assert.ok(answer.body.equals(bytes));
  });
});
