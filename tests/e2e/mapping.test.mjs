// Parameter mapping, stage variables and what HTTP back ends see: sections 3.5, 4.1, 4.2, rows C80 and C84.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { startBackend } from './lib/backend.mjs';
import { dial, join, refused } from './lib/client.mjs';
import { appApi, httpProxy, lambda, lambdaUri, route, twoWay, wsApi } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { echo, startLambda } from './lib/lambda.mjs';
import { connectRaw, upgradeRequest } from './lib/raw.mjs';
import { fileScope } from './lib/scope.mjs';

const file = fileScope();
let fn;
let backend;

before(async () => {
  fn = await startLambda(file, { app: echo });
  backend = await startBackend(file);
});

const to = (kind, name) => `integration.request.${kind}.${name}`;

// Starts a gateway whose integration "be" has the given mapping.
function withMapping(t, requestParameters, { uri = '/{seg}/end', declared = {}, api = {}, integration = {}, stage = {} } = {}) {
  const integrations = [httpProxy('be', uri.startsWith('http') ? uri : `${backend.url}${uri}`, { requestParameters, ...integration })];
  const connect = route('$connect', 'be', { requestParameters: Object.fromEntries(Object.keys(declared).map((key) => [key, { required: declared[key] }])) });
  return startGateway(t, { apis: [wsApi({ integrations, routes: [connect, route('$disconnect', 'be'), twoWay('$default', 'be')], stages: [{ stageName: 'prod', ...stage }], ...api })] });
}

async function handshake(t, gw, { path, headers = [] }) {
  const seen = backend.requests.length;
  const peer = await connectRaw(t, { port: gw.port });
  peer.write(upgradeRequest({ host: gw.host, path, headers }));
  const answer = await peer.response();
  return { answer, peer, request: backend.requests[seen] };
}

describe('C80', () => {
  const declared = {
    'route.request.querystring.q': false,
    'route.request.querystring.m': false,
    'route.request.header.X-Client': false,
    'route.request.header.X-Many': false,
    'route.request.querystring.missing': false,
  };

  test('C80 every source into a header at $connect', async (t) => {
    const gw = await withMapping(
      t,
      {
        [to('header', 'To-Query')]: 'route.request.querystring.q',
        [to('header', 'To-Header')]: 'route.request.header.x-client',
        [to('header', 'To-Queries')]: 'route.request.multivaluequerystring.m',
        [to('header', 'To-Headers')]: 'route.request.multivalueheader.X-Many',
        [to('header', 'To-Stage')]: 'stageVariables.tier',
        [to('header', 'To-Context')]: 'context.connectionId',
        [to('header', 'To-Ip')]: 'context.identity.sourceIp',
        [to('header', 'To-Route')]: 'context.routeKey',
        [to('header', 'To-Literal')]: "'fixed text'",
        [to('header', 'To-Alias')]: 'method.request.querystring.q',
        [to('header', 'To-Missing')]: 'route.request.querystring.missing',
        [to('header', 'To-Nothing')]: 'context.authorizer.nobody',
      },
      { uri: '/ws', declared, stage: { stageVariables: { tier: 'gold' } } },
    );
    const { request, answer } = await handshake(t, gw, { path: '/prod?q=a%20b&m=1&m=2', headers: [['X-Client', 'hello'], ['X-Many', 'x'], ['X-Many', 'y']] });
    assert.equal(answer.status, 101);
    const h = request.headers;
    assert.equal(h['to-query'], 'a b');
    assert.equal(h['to-header'], 'hello');
    assert.match(h['to-queries'], /^1, ?2$/);
    assert.match(h['to-headers'], /^x, ?y$/);
    assert.equal(h['to-stage'], 'gold');
    assert.match(h['to-context'], /^[A-Za-z0-9_-]+={0,2}$/);
    assert.equal(h['to-ip'], '127.0.0.1');
    assert.equal(h['to-route'], '$connect');
    assert.equal(h['to-literal'], 'fixed text');
    assert.equal(h['to-alias'], 'a b');
    assert.ok(!('to-missing' in h));
    assert.ok(!('to-nothing' in h));
  });

  test('C80 sources into query and path, encoded', async (t) => {
    const gw = await withMapping(
      t,
      {
        [to('querystring', 'one')]: 'route.request.querystring.q',
        [to('querystring', 'many')]: 'route.request.multivaluequerystring.m',
        [to('querystring', 'who')]: 'route.request.header.X-Client',
        [to('querystring', 'gone')]: 'route.request.querystring.missing',
        [to('querystring', 'id')]: 'context.connectionId',
        [to('path', 'seg')]: 'route.request.querystring.q',
        [to('path', 'stage')]: 'context.stage',
      },
      { uri: '/{stage}/{seg}/end?own=1', declared },
    );
    const { request } = await handshake(t, gw, { path: '/prod?q=a%26b%2Fc%20d&m=1&m=2%3D', headers: [['X-Client', 'ä&']] });
    const url = new URL(request.url, 'http://x');
    assert.ok(request.url.startsWith('/prod/a'), request.url);
    assert.equal(url.pathname.split('/').length, 4, `a mapped value stays one segment: ${request.url}`);
    assert.equal(decodeURIComponent(url.pathname.split('/')[2]), 'a&b/c d');
    assert.equal(url.searchParams.get('own'), '1');
    assert.equal(url.searchParams.get('one'), 'a&b/c d');
    assert.deepEqual(url.searchParams.getAll('many'), ['1', '2=']);
    assert.equal(url.searchParams.get('gone'), null);
    assert.match(url.searchParams.get('id'), /^[A-Za-z0-9_-]+={0,2}$/);
  });

  test('C80 body members at a message; the literal and context sources in all phases', async (t) => {
    const gw = await withMapping(
      t,
      {
        [to('header', 'To-Room')]: 'route.request.body.data.room',
        [to('header', 'To-Number')]: 'route.request.body.n',
        [to('header', 'To-Event')]: 'context.eventType',
        [to('header', 'To-Message')]: 'context.messageId',
        [to('header', 'To-Literal')]: "'x'",
        [to('querystring', 'room')]: 'route.request.body.data.room',
        [to('path', 'seg')]: 'route.request.body.data.room',
      },
      { uri: '/r/{seg}' },
    );
    const from = backend.requests.length;
    const client = await dial(t, gw.url());
    await client.ask({ data: { room: 'r1' }, n: 12 });
    await client.close();
    await backend.request((r) => r.headers['to-event'] === 'DISCONNECT');
    const [connect, message, end] = backend.requests.slice(from);
    assert.equal(message.headers['to-room'], 'r1');
    assert.equal(message.headers['to-number'], '12');
    assert.equal(message.headers['to-event'], 'MESSAGE');
    assert.match(message.headers['to-message'], /^[A-Za-z0-9_-]+={0,2}$/);
    assert.equal(message.url, '/r/r1?room=r1');
    assert.ok(!('to-room' in connect.headers));
    assert.ok(!('to-message' in connect.headers));
    assert.equal(connect.headers['to-event'], 'CONNECT');
    for (const r of [connect, message, end]) assert.equal(r.headers['to-literal'], 'x');
  });

  test('C80 line breaks in a mapped value are removed: nothing is injected', async (t) => {
    const gw = await withMapping(t, { [to('header', 'To-Query')]: 'route.request.querystring.q', [to('header', 'To-Body')]: 'route.request.body.v' }, { uri: '/ws', declared });
    const { request } = await handshake(t, gw, { path: '/prod?q=a%0D%0AX-Injected:%201%00b' });
    assert.equal(request.headers['to-query'], 'aX-Injected: 1b');
    assert.ok(!('x-injected' in request.headers));
    const client = await dial(t, gw.url());
    await client.ask({ v: 'v\r\nX-Injected: 2\r\n\r\nGET / HTTP/1.1' });
    const message = backend.requests.at(-1);
    assert.equal(message.headers['to-body'], 'vX-Injected: 2GET / HTTP/1.1');
    assert.ok(!('x-injected' in message.headers));
    assert.equal(message.text.length > 0, true);
  });

  test('C80 a mapped path or query value cannot change the request line', async (t) => {
    const gw = await withMapping(t, { [to('path', 'seg')]: 'route.request.querystring.q', [to('querystring', 'x')]: 'route.request.querystring.q' }, { declared });
    const { request } = await handshake(t, gw, { path: '/prod?q=..%2F..%2Fadmin%3Fy%3D1%23z%20HTTP%2F1.1%0D%0AX-Injected:1' });
    assert.ok(request.url.endsWith(`x=${request.url.split('x=')[1]}`));
    assert.equal(new URL(request.url, 'http://x').pathname.split('/').length, 3, request.url);
    assert.ok(!('x-injected' in request.headers));
  });

  test('C80 a mapped header replaces the gateway-made one, Host included', async (t) => {
    const gw = await withMapping(t, { [to('header', 'Host')]: "'inner.test'", [to('header', 'User-Agent')]: "'mine/1'", [to('header', 'content-type')]: "'text/plain'" }, { uri: '/ws' });
    const client = await dial(t, gw.url());
    await client.ask('x');
    const { headers, rawHeaders } = backend.requests.at(-1);
    assert.equal(headers.host, 'inner.test');
    assert.equal(headers['user-agent'], 'mine/1');
    assert.equal(headers['content-type'], 'text/plain');
    for (const name of ['host', 'user-agent', 'content-type']) assert.equal(rawHeaders.filter((n, i) => i % 2 === 0 && n.toLowerCase() === name).length, 1, name);
  });

  test('C80 the authoriser context can be mapped', async (t) => {
    fn.on('auth', () => ({ principalId: 'p1', policyDocument: { Version: '2012-10-17', Statement: [{ Action: '*', Effect: 'Allow', Resource: '*' }] }, context: { tenant: 'acme' } }));
    const gw = await startGateway(t, {
      functions: fn.table('auth'),
      apis: [
        wsApi({
          integrations: [httpProxy('be', `${backend.url}/ws`, { requestParameters: { [to('header', 'To-Tenant')]: 'context.authorizer.tenant', [to('header', 'To-Principal')]: 'context.authorizer.principalId' } })],
          routes: [route('$connect', 'be', { authorizationType: 'CUSTOM', authorizerId: 'a' }), twoWay('$default', 'be')],
          authorizers: [{ authorizerId: 'a', name: 'a', authorizerType: 'REQUEST', authorizerUri: lambdaUri('auth'), identitySource: [] }],
        }),
      ],
    });
    const client = await dial(t, gw.url());
    const connect = backend.requests.at(-1);
    await client.ask('x');
    for (const r of [connect, backend.requests.at(-1)]) assert.deepEqual([r.headers['to-tenant'], r.headers['to-principal']], ['acme', 'p1']);
  });
});

describe('3.5 requests to HTTP back ends', () => {
  test('C80 methods, headers and bodies by phase', async (t) => {
    const gw = await withMapping(t, undefined, { uri: '/ws?own=1', integration: { integrationMethod: 'PUT' } });
    const from = backend.requests.length;
    const client = await dial(t, gw.url('/prod?q=1'), { headers: { 'X-Client': 'c', Cookie: 'a=b', Authorization: 'secret', 'User-Agent': 'agent/7' } });
    await client.ask('hello');
    await client.close();
    const [connect, message] = backend.requests.slice(from);
    const end = await backend.request((r) => backend.requests.indexOf(r) === from + 2);
    for (const r of [connect, message, end]) {
      assert.equal(r.method, 'PUT');
      assert.equal(r.url, '/ws?own=1', 'nothing of the client is appended');
      assert.equal(r.headers['x-amzn-apigateway-api-id'], 'chat');
      assert.match(r.headers['x-amzn-trace-id'], /^Root=1-/);
      assert.equal(r.headers['x-forwarded-for'], '127.0.0.1');
      assert.equal(r.headers.host, `127.0.0.1:${backend.port}`);
      assert.equal(r.headers.accept, 'application/json');
      assert.ok(!('connectionid' in r.headers));
    }
    assert.equal(connect.headers['x-client'], 'c');
    assert.equal(connect.headers.cookie, 'a=b');
    for (const gone of ['upgrade', 'sec-websocket-accept']) assert.ok(!(gone in connect.headers), gone);
    assert.ok(!/upgrade/i.test(connect.headers.connection ?? ''));
    for (const r of [message, end]) {
      assert.equal(r.headers['user-agent'], 'AmazonAPIGateway_chat');
      for (const gone of ['x-client', 'cookie', 'authorization', 'sec-websocket-key', 'sec-websocket-version']) assert.ok(!(gone in r.headers), gone);
    }
    assert.equal(connect.text, '');
    assert.equal(message.text, 'hello');
    assert.equal(message.headers['content-type'], 'application/json');
    assert.equal(end.text, '');
  });

  test('C80 header names reach the back end in the case of the client', async (t) => {
    const gw = await withMapping(t, undefined, { uri: '/ws' });
    const { request } = await handshake(t, gw, { path: '/prod', headers: [['x-CuStOm', 'one']] });
    assert.ok(request.rawHeaders.includes('x-CuStOm'));
  });

  test('C80 contextHeaders adds the context of the connection', async (t) => {
    const gw = await withMapping(t, undefined, { uri: '/ws', api: { settings: { contextHeaders: true } } });
    const from = backend.requests.length;
    const client = await dial(t, gw.url(), { headers: { 'X-Websocket-Connection-Id': 'forged' } });
    await client.ask('hello');
    await client.close(4001, 'bye ä');
    const end = await backend.request((r) => backend.requests.indexOf(r) === from + 2);
    const [connect, message] = backend.requests.slice(from);
    const id = connect.headers['x-websocket-connection-id'];
    assert.match(id, /^[A-Za-z0-9_-]+={0,2}$/);
    for (const [r, type, key] of [[connect, 'CONNECT', '$connect'], [message, 'MESSAGE', '$default'], [end, 'DISCONNECT', '$disconnect']]) {
      assert.equal(r.headers['x-websocket-connection-id'], id);
      assert.equal(r.headers['x-websocket-event-type'], type);
      assert.equal(r.headers['x-websocket-route-key'], key);
    }
    assert.ok(message.headers['x-websocket-message-id']);
    assert.equal(end.headers['x-websocket-disconnect-code'], '4001');
    assert.match(end.headers['x-websocket-disconnect-reason'], /^bye/);
  });

  test('C80 back-end connections are kept and used again', async (t) => {
    const ports = new Set();
    const own = await startBackend(t);
    const gw = await startGateway(t, { workers: 1, apis: [wsApi({ integrations: [httpProxy('be', own.url)], routes: [twoWay('$default', 'be')] })] });
    own.answer((req) => ({ body: req.text }));
    const client = await dial(t, gw.url());
    for (let i = 0; i < 20; i++) {
      await client.ask(String(i));
      ports.add(own.requests.at(-1).port);
    }
    assert.equal(own.requests.length, 20);
    assert.equal(ports.size, 1, `${ports.size} connections for 20 requests in a row`);
  });
});

describe('C84', () => {
  test('C84 stage variables in host, path and query of integrationUri, each stage its own', async (t) => {
    const stages = [
      { stageName: 'prod', stageVariables: { backend: `127.0.0.1:${backend.port}`, where: 'green' } },
      { stageName: 'dev', stageVariables: { backend: `localhost:${backend.port}`, where: 'blue' } },
    ];
    const gw = await startGateway(t, { apis: [wsApi({ integrations: [httpProxy('be', 'http://${stageVariables.backend}/${stageVariables.where}?w=${stageVariables.where}')], routes: [route('$connect', 'be')], stages })] });
    await dial(t, gw.url('/prod'));
    assert.equal(backend.requests.at(-1).url, '/green?w=green');
    assert.equal(backend.requests.at(-1).headers.host, `127.0.0.1:${backend.port}`);
    await dial(t, gw.url('/dev'));
    assert.equal(backend.requests.at(-1).url, '/blue?w=blue');
    assert.equal(backend.requests.at(-1).headers.host, `localhost:${backend.port}`);
  });

  test('C84 a stage variable may be the whole address', async (t) => {
    const gw = await startGateway(t, { apis: [wsApi({ integrations: [httpProxy('be', '${stageVariables.all}')], routes: [route('$connect', 'be')], stages: [{ stageName: 'prod', stageVariables: { all: `${backend.url}/whole` } }] })] });
    await dial(t, gw.url());
    assert.equal(backend.requests.at(-1).url, '/whole');
  });

  test('C84 a stage variable in the name of a function', async (t) => {
    fn.on('blue', () => ({ statusCode: 200, body: 'blue' })).on('green', () => ({ statusCode: 200, body: 'green' }));
    const api = wsApi({ integrations: [lambda('v', { integrationUri: lambdaUri('${stageVariables.colour}') })], routes: [twoWay('$default', 'v')], stages: ['blue', 'green'].map((colour) => ({ stageName: colour, stageVariables: { colour } })) });
    const gw = await startGateway(t, { functions: fn.table('blue', 'green'), apis: [api] });
    for (const colour of ['blue', 'green']) assert.equal(await (await dial(t, gw.url(`/${colour}`))).ask('x'), colour);
  });

  test('C84 a function that is not in the table: 500 at $connect, error frame on messages', async (t) => {
    const integrations = [lambda('v', { integrationUri: lambdaUri('${stageVariables.name}') })];
    const api = (apiId, routes) => wsApi({ apiId, integrations, routes, stages: [{ stageName: 'prod', stageVariables: { name: 'nobody' } }] });
    const gw = await startGateway(t, { functions: fn.table('app'), apis: [api('one', [route('$connect', 'v')]), api('two', [route('$default', 'v')])] });
    assert.equal((await refused(t, gw.url(), { headers: { Host: 'one.test' } })).status, 500);
    const client = await dial(t, gw.url(), { headers: { Host: 'two.test' } });
    assert.match(await client.ask('x'), /^\{"message": "Internal server error"/);
  });

  test('C84 stage variables in mapping', async (t) => {
    const gw = await withMapping(t, { [to('header', 'To-Tier')]: 'stageVariables.tier', [to('path', 'seg')]: 'stageVariables.tier', [to('querystring', 't')]: 'stageVariables.tier' }, { stage: { stageVariables: { tier: 'gold' } } });
    const client = await dial(t, gw.url());
    assert.equal(backend.requests.at(-1).url, '/gold/end?t=gold');
    assert.equal(backend.requests.at(-1).headers['to-tier'], 'gold');
    client.cut();
  });

  test('C84 stage variables reach the events of the stage they belong to', async (t) => {
    const stages = [{ stageName: 'prod', stageVariables: { a: '1' } }, { stageName: 'dev' }];
    const gw = await startGateway(t, { functions: fn.table('app'), apis: [appApi({ stages })] });
    assert.deepEqual((await join(t, gw, fn)).connectEvent.stageVariables, { a: '1' });
    assert.equal((await join(t, gw, fn, { stage: 'dev' })).connectEvent.stageVariables, undefined);
  });
});
