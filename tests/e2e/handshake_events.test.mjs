// What $connect is told, and handshakes that do not reach it: sections 1.1 to 1.6, checklist rows C07 to C09.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { dial, join, refused } from './lib/client.mjs';
import { appApi, lambda, route, twoWay, wsApi } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { echo, startLambda } from './lib/lambda.mjs';
import { connectRaw, openRaw, upgradeRequest } from './lib/raw.mjs';
import { fileScope } from './lib/scope.mjs';
import { waitFor } from './lib/wait.mjs';

const file = fileScope();
let fn;
let gw;

before(async () => {
  fn = await startLambda(file, { app: echo });
  gw = await startGateway(file, { functions: fn.table('app'), apis: [appApi()] });
});

describe('C07', () => {
  test('C07 the CONNECT event: headers, multi-values, query, no body', async (t) => {
    const peer = await connectRaw(t, { port: gw.port });
    const key = 'q4xkcO32u266gldTuKaSOw==';
    const path = '/prod?room=a&room=b&user=ann%20b&tag=c07&plus=1%2B1&empty=';
    const headers = [
      ['x-CuStOm', 'one'],
      ['X-Twice', 'first'],
      ['X-Twice', 'second'],
      ['Cookie', 'sid=42'],
      ['Origin', 'https://app.example.com'],
      ['User-Agent', 'agent/1'],
      ['X-Forwarded-For', '203.0.113.9'],
      ['Sec-WebSocket-Protocol', 'chat.v1, chat.v2'],
    ];
    peer.write(upgradeRequest({ host: gw.host, path, key, headers }));
    const start = Date.now();
    assert.equal((await peer.response()).status, 101);
    const call = await fn.call((c) => c.event?.queryStringParameters?.tag === 'c07');
    const { event } = call;
    assert.deepEqual(Object.keys(event).sort(), ['headers', 'isBase64Encoded', 'multiValueHeaders', 'multiValueQueryStringParameters', 'queryStringParameters', 'requestContext']);
    assert.equal(event.isBase64Encoded, false);
    assert.deepEqual(event.queryStringParameters, { room: 'b', user: 'ann b', tag: 'c07', plus: '1+1', empty: '' });
    assert.deepEqual(event.multiValueQueryStringParameters, { room: ['a', 'b'], user: ['ann b'], tag: ['c07'], plus: ['1+1'], empty: [''] });
    assert.equal(event.headers['x-CuStOm'], 'one');
    assert.equal(event.headers['X-Twice'], 'second');
    assert.deepEqual(event.multiValueHeaders['X-Twice'], ['first', 'second']);
    assert.deepEqual(event.multiValueHeaders['x-CuStOm'], ['one']);
    assert.equal(event.headers.Cookie, 'sid=42');
    assert.equal(event.headers.Host, gw.host);
    assert.equal(event.headers['Sec-WebSocket-Key'], key);
    assert.equal(event.headers['Sec-WebSocket-Version'], '13');
    assert.equal(event.headers['Sec-WebSocket-Protocol'], 'chat.v1, chat.v2');
    assert.match(event.headers['X-Amzn-Trace-Id'], /^Root=1-[0-9a-f]{8}-[0-9a-f]{24}/);
    assert.equal(event.headers['X-Forwarded-For'], '203.0.113.9, 127.0.0.1');
    assert.equal(event.headers['X-Forwarded-Port'], String(gw.port));
    assert.equal(event.headers['X-Forwarded-Proto'], 'http');
    const lower = Object.keys(event.headers).map((n) => n.toLowerCase());
    for (const absent of ['connection', 'upgrade', 'content-length']) assert.ok(!lower.includes(absent), absent);
    assert.deepEqual(Object.keys(event.headers).sort(), Object.keys(event.multiValueHeaders).sort());
    const rc = event.requestContext;
    assert.deepEqual(Object.keys(rc), ['routeKey', 'eventType', 'extendedRequestId', 'requestTime', 'messageDirection', 'stage', 'connectedAt', 'requestTimeEpoch', 'identity', 'requestId', 'domainName', 'connectionId', 'apiId']);
    assert.equal(rc.routeKey, '$connect');
    assert.equal(rc.eventType, 'CONNECT');
    assert.equal(rc.messageDirection, 'IN');
    assert.equal(rc.stage, 'prod');
    assert.equal(rc.apiId, 'chat');
    assert.equal(rc.extendedRequestId, rc.requestId);
    assert.match(rc.requestTime, /^\d{2}\/[A-Z][a-z]{2}\/\d{4}:\d{2}:\d{2}:\d{2} \+0000$/);
    assert.ok(Math.abs(rc.requestTimeEpoch - start) < 10000);
    assert.ok(Math.abs(rc.connectedAt - start) < 10000);
    assert.deepEqual(rc.identity, { userAgent: 'agent/1', sourceIp: '127.0.0.1' });
    assert.equal(rc.domainName, gw.host);
    assert.match(rc.connectionId, /^[A-Za-z0-9_-]{8,126}={0,2}$/);
  });

  test('C07 without query, user agent and stage variables their members are absent', async (t) => {
    const before = fn.count('CONNECT');
    await openRaw(t, gw);
    await waitFor(() => fn.count('CONNECT') > before, { what: 'the $connect call' });
    const { event } = fn.filter('CONNECT').at(-1);
    assert.deepEqual(Object.keys(event).sort(), ['headers', 'isBase64Encoded', 'multiValueHeaders', 'requestContext']);
    assert.deepEqual(event.requestContext.identity, { sourceIp: '127.0.0.1' });
  });

  test('C07 stage variables are in the event', async (t) => {
    const g = await startGateway(t, { functions: fn.table('app'), apis: [appApi({ stages: [{ stageName: 'prod', stageVariables: { tier: 'gold' } }] })] });
    const client = await join(t, g, fn);
    assert.deepEqual(client.connectEvent.stageVariables, { tier: 'gold' });
  });

  test('C07 the invocation carries the headers of section 3.5', async (t) => {
    const client = await join(t, gw, fn);
    const { headers, url } = client.connectCall;
    assert.equal(url.split('?')[0], '/2015-03-31/functions/app/invocations');
    assert.equal(headers['user-agent'], 'AmazonAPIGateway_chat');
    assert.equal(headers['x-amzn-apigateway-api-id'], 'chat');
    assert.equal(headers['x-amz-source-arn'], 'arn:aws:execute-api:us-east-1:000000000000:chat/prod/$connect');
    assert.equal(headers['x-amz-invocation-type'], 'RequestResponse');
    assert.match(headers['x-amzn-trace-id'], /^Root=1-/);
    assert.equal(headers['x-amzn-lambda-integration-tag'], client.connectEvent.requestContext.requestId);
  });

  test('C07 every connection has an id and a request id of its own', async (t) => {
    const clients = await Promise.all(Array.from({ length: 20 }, () => join(t, gw, fn)));
    assert.equal(new Set(clients.map((c) => c.id)).size, 20);
    assert.equal(new Set(clients.map((c) => c.connectEvent.requestContext.requestId)).size, 20);
  });
});

describe('C08', () => {
  async function handshake(t, options) {
    const peer = await connectRaw(t, { port: gw.port });
    peer.write(upgradeRequest({ host: gw.host, ...options }));
    return peer.response();
  }

  test('C08 an unknown stage: 403 ForbiddenException', async (t) => {
    const answer = await handshake(t, { path: '/nostage' });
    assert.equal(answer.status, 403);
    assert.equal(answer.headers['x-amzn-errortype'], 'ForbiddenException');
    assert.deepEqual(JSON.parse(answer.text), { message: 'Forbidden' });
  });

  for (const path of ['/', '/prod/extra', '/prod//', '/PROD']) {
    test(`C08 path ${path}: 403`, async (t) => {
      const answer = await handshake(t, { path });
      assert.equal(answer.status, 403);
      assert.deepEqual(JSON.parse(answer.text), { message: 'Forbidden' });
    });
  }

  test('C08 GET without upgrade on a stage: 426 Upgrade Required', async () => {
    const answer = await gw.get('/prod');
    assert.equal(answer.status, 426);
    assert.deepEqual(JSON.parse(answer.text), { message: 'Upgrade Required' });
  });

  test('C08 no Sec-WebSocket-Key, or one of the wrong length: 400', async (t) => {
    assert.equal((await handshake(t, { without: ['Sec-WebSocket-Key'] })).status, 400);
    assert.equal((await handshake(t, { key: 'short' })).status, 400);
    assert.equal((await handshake(t, { key: 'q4xkcO32u266gldTuKaSOwAAAAAA' })).status, 400);
  });

  test('C08 a wrong or missing version: 426 (or 400) with Sec-WebSocket-Version: 13', async (t) => {
    const answer = await handshake(t, { version: '8' });
    assert.equal(answer.status, 426);
    assert.equal(answer.headers['sec-websocket-version'], '13');
    assert.ok([400, 426].includes((await handshake(t, { without: ['Sec-WebSocket-Version'] })).status));
  });

  test('C08 an upgrade by POST or in HTTP/1.0 is refused', async (t) => {
    const post = await handshake(t, { method: 'POST', headers: [['Content-Length', '0']] });
    assert.ok(post.status >= 400 && post.status < 500, String(post.status));
    const old = await handshake(t, { httpVersion: '1.0' });
    assert.ok(old.status >= 400 && old.status < 600, String(old.status));
  });

  test('C08 Connection as a list with upgrade in any case is accepted', async (t) => {
    const answer = await handshake(t, { without: ['Connection', 'Upgrade'], headers: [['Connection', 'keep-alive, UPGRADE'], ['Upgrade', 'WebSocket']] });
    assert.equal(answer.status, 101);
  });

  test('C08 nothing of a refused handshake reached the back end', async (t) => {
    const before = fn.count('CONNECT');
    await handshake(t, { path: '/nostage' });
    await handshake(t, { key: 'short' });
    const client = await join(t, gw, fn);
    assert.ok(client.id);
    assert.equal(fn.count('CONNECT'), before + 1);
  });

  test('C08 several APIs on one listener: the first label of Host or the list of hosts decides', async (t) => {
    const api = (apiId, hosts) => wsApi({ apiId, ...(hosts ? { hosts } : {}), integrations: [lambda('app')], routes: [route('$connect', 'app'), twoWay('echo', 'app')] });
    const g = await startGateway(t, { functions: fn.table('app'), apis: [api('one'), api('two'), api('three', ['chat.example.com'])] });
    for (const [host, apiId] of [['one.anything.test', 'one'], ['two.execute-api.us-east-1.amazonaws.com', 'two'], ['chat.example.com', 'three'], [`chat.example.com:${g.port}`, 'three'], ['CHAT.Example.com', 'three']]) {
      const client = await join(t, g, fn, { headers: { Host: host } });
      assert.equal(client.connectEvent.requestContext.apiId, apiId, host);
    }
    assert.equal((await refused(t, g.url(), { headers: { Host: 'four.test' } })).status, 403);
  });

  test('C08 disableExecuteApiEndpoint: the default host name refuses, the own one works', async (t) => {
    const api = wsApi({ apiId: 'one', hosts: ['chat.example.com'], disableExecuteApiEndpoint: true });
    const g = await startGateway(t, { apis: [api, wsApi({ apiId: 'two' })] });
    const answer = await refused(t, g.url(), { headers: { Host: 'one.execute-api.us-east-1.amazonaws.com' } });
    assert.equal(answer.status, 403);
    assert.deepEqual(answer.json(), { message: 'Forbidden' });
    await dial(t, g.url(), { headers: { Host: 'chat.example.com' } });
  });
});

describe('C09', () => {
  test('C09 a required query parameter or header that is missing: 400, $connect is not called', async (t) => {
    const connect = route('$connect', 'app', {
      requestParameters: { 'route.request.querystring.token': { required: true }, 'route.request.header.X-Need': { required: true }, 'route.request.querystring.optional': { required: false } },
    });
    const g = await startGateway(t, { functions: fn.table('app'), apis: [appApi({ routes: [connect] })] });
    const before = fn.count('CONNECT');
    const headers = { 'x-need': '1' };
    assert.equal((await refused(t, g.url(), { headers })).status, 400);
    assert.equal((await refused(t, g.url('/prod?token=1'))).status, 400);
    assert.equal((await refused(t, g.url('/prod?TOKEN=1'), { headers })).status, 400);
    assert.equal(fn.count('CONNECT'), before);
    await dial(t, g.url('/prod?token=1'), { headers });
  });

  test('C09 a connect rate that is used up: 429', async (t) => {
    const stages = [{ stageName: 'prod', routeSettings: { $connect: { throttlingBurstLimit: 2, throttlingRateLimit: 0.001 } } }];
    const g = await startGateway(t, { functions: fn.table('app'), apis: [appApi({ stages })], workers: 1 });
    await dial(t, g.url());
    await dial(t, g.url());
    assert.equal((await refused(t, g.url())).status, 429);
  });

  test('C09 the account-wide connection rate: 429', async (t) => {
    const g = await startGateway(t, { apis: [wsApi({})], workers: 1, throttling: { connectionRateLimit: 0.001, connectionBurstLimit: 3 } });
    for (let i = 0; i < 3; i++) await dial(t, g.url());
    assert.equal((await refused(t, g.url())).status, 429);
  });
});
