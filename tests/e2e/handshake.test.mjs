// Handshakes: sections 1.1 to 1.6, checklist rows C01 to C06.
import assert from 'node:assert/strict';
import { describe, before, test } from 'node:test';
import { startBackend } from './lib/backend.mjs';
import { dial, join, refused } from './lib/client.mjs';
import { appApi, httpProxy, lambda, mock, route, wsApi } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { CUT, echo, functionError, raw, startLambda } from './lib/lambda.mjs';
import { acceptFor, closeFrame, connectRaw, frame, openRaw, upgradeRequest } from './lib/raw.mjs';
import { fileScope } from './lib/scope.mjs';
import { deferred, waitFor } from './lib/wait.mjs';

const file = fileScope();
let fn;
let gw;
let onConnect = () => ({ statusCode: 200 });

before(async () => {
  fn = await startLambda(file, {
    app: (event, call) => (event.requestContext.eventType === 'CONNECT' ? onConnect(event, call) : echo(event)),
  });
  gw = await startGateway(file, { functions: fn.table('app'), apis: [appApi()] });
});

// Runs `body` with the given answer to $connect.
async function connecting(handler, body) {
  const previous = onConnect;
  onConnect = handler;
  try {
    return await body();
  } finally {
    onConnect = previous;
  }
}

// A complete round trip through the gateway on another connection: whatever was to happen before has happened.
async function fence(t) {
  const peer = await connectRaw(t, { port: gw.port });
  peer.write(upgradeRequest({ path: '/nowhere' }));
  assert.equal((await peer.response()).status, 403);
}

function bodyA(answer) {
  const body = JSON.parse(answer.text);
  assert.deepEqual(Object.keys(body).sort(), ['connectionId', 'message', 'requestId']);
  assert.match(body.connectionId, /^[A-Za-z0-9_-]+={0,2}$/);
  assert.match(body.requestId, /^[A-Za-z0-9_-]+={0,2}$/);
  assert.equal(answer.headers['x-amz-apigw-id'], body.requestId);
  assert.equal(answer.headers['x-amzn-errortype'], undefined);
  assert.equal(answer.headers['x-amzn-requestid'], undefined);
  assert.equal(answer.headers['content-type'], 'application/json; charset=UTF-8');
  return body;
}

describe('C01', () => {
  test('C01 no $connect route: 101, and the connection works', async (t) => {
    const g = await startGateway(t, { functions: fn.table('app'), apis: [appApi({ without: ['$connect'] })] });
    const client = await dial(t, g.url());
    assert.equal(await client.ask({ action: 'echo', n: 1 }), '{"action":"echo","n":1}');
  });

  test('C01 $connect route without target: 101', async (t) => {
    const g = await startGateway(t, { functions: fn.table('app'), apis: [appApi({ routes: [route('$connect')] })] });
    const client = await dial(t, g.url());
    assert.equal(await client.ask({ action: 'echo' }), '{"action":"echo"}');
  });

  test('C01 a trailing slash after the stage is accepted', async (t) => {
    await join(t, gw, fn, { stage: 'prod/' });
  });

  test('C01 the 101 carries the standard headers and no extension', async (t) => {
    const peer = await openRaw(t, gw, { headers: [['Sec-WebSocket-Extensions', 'permessage-deflate; client_max_window_bits']] });
    assert.equal(peer.handshake.status, 101);
    assert.match(peer.handshake.headers.upgrade, /^websocket$/i);
    assert.match(peer.handshake.headers.connection, /^upgrade$/i);
    assert.equal(peer.handshake.headers['sec-websocket-accept'], acceptFor(peer.key));
    assert.equal(peer.handshake.headers['sec-websocket-extensions'], undefined);
    assert.equal(peer.handshake.headers['content-length'], undefined);
  });
});

describe('C02', () => {
  for (const status of [200, 201, 204, 299]) {
    test(`C02 $connect returns ${status}: 101`, (t) =>
      connecting(
        () => ({ statusCode: status }),
        async () => {
          const client = await join(t, gw, fn);
          assert.equal(await client.ask({ action: 'echo' }), '{"action":"echo"}');
        },
      ));
  }

  for (const status of [301, 400, 401, 403, 404, 500, 501]) {
    test(`C02 $connect returns ${status}: the same status, headers and body`, (t) =>
      connecting(
        () => ({ statusCode: status, headers: { 'X-Why': 'because', 'Content-Type': 'text/plain' }, multiValueHeaders: { 'X-Many': ['a', 'b'] }, body: 'refused: ä' }),
        async () => {
          const answer = await refused(t, gw.url());
          assert.equal(answer.status, status);
          assert.equal(answer.text, 'refused: ä');
          assert.equal(answer.headers['x-why'], 'because');
          assert.equal(answer.headers['content-type'], 'text/plain');
          assert.match(answer.headers['x-many'], /^a, ?b$/);
        },
      ));
  }

  test('C02 a refusal with isBase64Encoded sends the decoded body', (t) =>
    connecting(
      () => ({ statusCode: 403, isBase64Encoded: true, body: Buffer.from([0, 255, 10]).toString('base64') }),
      async () => {
        const answer = await refused(t, gw.url());
        assert.deepEqual([...answer.body], [0, 255, 10]);
      },
    ));

  test('C02 statusCode as a numeric string is accepted', (t) =>
    connecting(
      () => ({ statusCode: '200' }),
      () => join(t, gw, fn),
    ));

  test('C02 a refused connection gets no $disconnect', (t) =>
    connecting(
      () => ({ statusCode: 403 }),
      async () => {
        await refused(t, gw.url());
        const id = fn.filter('CONNECT').at(-1).event.requestContext.connectionId;
        onConnect = () => ({ statusCode: 200 });
        const other = await join(t, gw, fn);
        await other.close();
        await fn.call({ eventType: 'DISCONNECT', connectionId: other.id });
        assert.equal(fn.count({ eventType: 'DISCONNECT', connectionId: id }), 0);
      },
    ));

  test('C02 HTTP_PROXY at $connect: 2xx accepts, others pass status, headers and body', async (t) => {
    const backend = await startBackend(t);
    const api = wsApi({ integrations: [httpProxy('be', `${backend.url}/ws`)], routes: [route('$connect', 'be')] });
    const g = await startGateway(t, { apis: [api] });
    for (const status of [200, 202, 204]) {
      backend.answer({ status });
      await dial(t, g.url());
    }
    for (const status of [302, 401, 418, 500, 503]) {
      backend.answer({ status, headers: { Location: 'http://x/', 'X-Why': 'w' }, body: `no ${status}` });
      const answer = await refused(t, g.url(), { followRedirects: false });
      assert.equal(answer.status, status);
      assert.equal(answer.text, `no ${status}`);
      assert.equal(answer.headers['x-why'], 'w');
    }
  });

  test('C02 MOCK at $connect: 200 accepts, another status refuses', async (t) => {
    const api = (apiId, status) => wsApi({ apiId, integrations: [mock('m', { status })], routes: [route('$connect', 'm')] });
    const g = await startGateway(t, { apis: [api('yes', 200), api('no', 403)] });
    await dial(t, g.url(), { headers: { Host: 'yes.test' } });
    assert.equal((await refused(t, g.url(), { headers: { Host: 'no.test' } })).status, 403);
  });
});

describe('C03', () => {
  const failures = {
    'an exception': () => functionError('boom'),
    'no statusCode': () => ({ body: 'x' }),
    'a statusCode that is no integer': () => ({ statusCode: 'abc' }),
    'a string result': () => 'hello',
    'an array result': () => [200],
    'a null result': () => null,
    'not JSON': () => raw({ body: '{"statusCode":' }),
    'an HTTP error of the runtime': () => raw({ status: 500, body: '{}' }),
    'a cut connection': () => CUT,
    'a body that is no string': () => ({ statusCode: 200, body: 7 }),
  };
  for (const [name, handler] of Object.entries(failures)) {
    test(`C03 $connect fails by ${name}: 502 and body A`, (t) =>
      connecting(handler, async () => {
        const answer = await refused(t, gw.url());
        assert.equal(answer.status, 502);
        assert.equal(bodyA(answer).message, 'Internal server error');
      }));
  }

  test('C03 an HTTP back end that is unreachable or unparsable: 502 and body A', async (t) => {
    const backend = await startBackend(t, { raw: 'nonsense\r\n\r\n' });
    const api = (apiId, uri) => wsApi({ apiId, integrations: [httpProxy('be', uri)], routes: [route('$connect', 'be')] });
    const g = await startGateway(t, { apis: [api('closed', 'http://127.0.0.1:9/ws'), api('junk', backend.url), api('nohost', 'http://does-not-exist.invalid/')] });
    for (const host of ['closed', 'junk', 'nohost']) {
      const answer = await refused(t, g.url(), { headers: { Host: `${host}.test` } });
      assert.equal(answer.status, 502, host);
      assert.equal(bodyA(answer).message, 'Internal server error');
    }
  });

  test('C03 a stage variable that does not exist in the address: 500 and body A', async (t) => {
    const api = wsApi({ integrations: [httpProxy('be', 'http://127.0.0.1:9/${stageVariables.nope}')], routes: [route('$connect', 'be')] });
    const g = await startGateway(t, { apis: [api] });
    const answer = await refused(t, g.url());
    assert.equal(answer.status, 500);
    assert.equal(bodyA(answer).message, 'Internal server error');
  });
});

describe('C04', () => {
  test('C04 no byte reaches the client before $connect returns', (t) => {
    const gate = deferred();
    return connecting(
      () => gate.promise,
      async () => {
        const peer = await connectRaw(t, { port: gw.port });
        const before = fn.count('CONNECT');
        peer.write(upgradeRequest({ host: gw.host }));
        await waitFor(() => fn.count('CONNECT') > before, { what: 'the $connect call' });
        await fence(t);
        await fence(t);
        assert.equal(peer.received, 0);
        gate.resolve({ statusCode: 200 });
        assert.equal((await peer.response()).status, 101);
      },
    );
  });

  test('C04 a $connect that takes too long: 504', async (t) => {
    const hung = deferred();
    const g = await startGateway(t, { functions: fn.table('app'), apis: [appApi({ integrations: [], routes: [] })].map((api) => ({ ...api, integrations: [lambda('app', { timeoutInMillis: 100 })] })) });
    await connecting(
      () => hung.promise,
      async () => {
        const start = Date.now();
        const answer = await refused(t, g.url());
        assert.ok(Date.now() - start >= 95, 'waited for the time-out');
        assert.equal(answer.status, 504);
        assert.equal(bodyA(answer).message, 'Endpoint request timed out');
      },
    );
    hung.resolve({ statusCode: 200 });
  });

  test('C04 a client that drops while $connect is pending gets a $disconnect with 1006', (t) => {
    const gate = deferred();
    return connecting(
      () => gate.promise,
      async () => {
        const peer = await connectRaw(t, { port: gw.port });
        const seen = fn.count('CONNECT');
        peer.write(upgradeRequest({ host: gw.host }));
        await waitFor(() => fn.count('CONNECT') > seen, { what: 'the $connect call' });
        const id = fn.filter('CONNECT').at(-1).event.requestContext.connectionId;
        peer.socket.resetAndDestroy();
        await fence(t);
        await fence(t);
        gate.resolve({ statusCode: 200 });
        const event = await fn.event({ eventType: 'DISCONNECT', connectionId: id });
        assert.equal(event.requestContext.disconnectStatusCode, 1006);
      },
    );
  });

  test('C04 a client that drops while $connect is pending and is then refused gets no $disconnect', (t) => {
    const gate = deferred();
    return connecting(
      () => gate.promise,
      async () => {
        const peer = await connectRaw(t, { port: gw.port });
        const seen = fn.count('CONNECT');
        peer.write(upgradeRequest({ host: gw.host }));
        await waitFor(() => fn.count('CONNECT') > seen, { what: 'the $connect call' });
        const id = fn.filter('CONNECT').at(-1).event.requestContext.connectionId;
        peer.socket.resetAndDestroy();
        await fence(t);
        gate.resolve({ statusCode: 403 });
        onConnect = () => ({ statusCode: 200 });
        const other = await join(t, gw, fn);
        await other.close();
        await fn.call({ eventType: 'DISCONNECT', connectionId: other.id });
        assert.equal(fn.count({ eventType: 'DISCONNECT', connectionId: id }), 0);
      },
    );
  });

  test('C04 frames sent right behind the request are held until the 101', (t) => {
    const gate = deferred();
    return connecting(
      () => gate.promise,
      async () => {
        const peer = await connectRaw(t, { port: gw.port });
        const seen = fn.count('CONNECT');
        const messages = fn.count('MESSAGE');
        peer.write(Buffer.concat([Buffer.from(upgradeRequest({ host: gw.host })), frame({ payload: '{"action":"echo","early":1}' })]));
        await waitFor(() => fn.count('CONNECT') > seen, { what: 'the $connect call' });
        peer.write(frame({ payload: '{"action":"echo","early":2}' }));
        await fence(t);
        await fence(t);
        assert.equal(fn.count('MESSAGE'), messages, 'a message ran before $connect returned');
        gate.resolve({ statusCode: 200 });
        assert.equal((await peer.response()).status, 101);
        const got = [(await peer.message()).text, (await peer.message()).text].sort();
        assert.deepEqual(got, ['{"action":"echo","early":1}', '{"action":"echo","early":2}']);
      },
    );
  });

  test('C04 a close frame sent before the 101 ends the connection after it', (t) => {
    const gate = deferred();
    return connecting(
      () => gate.promise,
      async () => {
        const peer = await connectRaw(t, { port: gw.port });
        const seen = fn.count('CONNECT');
        peer.write(Buffer.concat([Buffer.from(upgradeRequest({ host: gw.host })), closeFrame(4002, 'early')]));
        await waitFor(() => fn.count('CONNECT') > seen, { what: 'the $connect call' });
        const id = fn.filter('CONNECT').at(-1).event.requestContext.connectionId;
        gate.resolve({ statusCode: 200 });
        assert.equal((await peer.response()).status, 101);
        assert.equal((await peer.frame()).code, 4002);
        const event = await fn.event({ eventType: 'DISCONNECT', connectionId: id });
        assert.equal(event.requestContext.disconnectStatusCode, 4002);
        assert.equal(event.requestContext.disconnectReason, 'early');
      },
    );
  });
});

describe('C05', () => {
  test('C05 a management POST during $connect: 410; right after the 101: 200 and delivered', (t) => {
    const answers = [];
    return connecting(
      async (event) => {
        const id = event.requestContext.connectionId;
        answers.push(await gw.post(id, 'early'), await gw.info(id), await gw.remove(id));
        return { statusCode: 200 };
      },
      async () => {
        const client = await join(t, gw, fn);
        assert.deepEqual(answers.map((a) => a.status), [410, 410, 410]);
        assert.equal(answers[0].headers['x-amzn-errortype'], 'GoneException');
        const late = await gw.post(client.id, 'late');
        assert.equal(late.status, 200);
        assert.equal(await client.next(), 'late');
      },
    );
  });
});

describe('C06', () => {
  for (const name of ['Sec-WebSocket-Protocol', 'sec-websocket-protocol', 'SEC-WEBSOCKET-PROTOCOL']) {
    test(`C06 a subprotocol returned as ${name} is in the 101`, (t) =>
      connecting(
        () => ({ statusCode: 200, headers: { [name]: 'chat.v2' } }),
        async () => {
          const client = await join(t, gw, fn, { protocols: ['chat.v1', 'chat.v2'] });
          assert.equal(client.ws.protocol, 'chat.v2');
          assert.equal(client.connectEvent.headers['Sec-WebSocket-Protocol'].replace(/ /g, ''), 'chat.v1,chat.v2');
        },
      ));
  }

  test('C06 a subprotocol returned in multiValueHeaders is in the 101', (t) =>
    connecting(
      () => ({ statusCode: 200, multiValueHeaders: { 'Sec-WebSocket-Protocol': ['chat.v1'] } }),
      async () => assert.equal((await join(t, gw, fn, { protocols: ['chat.v1'] })).ws.protocol, 'chat.v1'),
    ));

  test('C06 offered but not returned: the 101 has no such header', async (t) => {
    const peer = await openRaw(t, gw, { headers: [['Sec-WebSocket-Protocol', 'chat.v1, chat.v2']] });
    assert.equal(peer.handshake.status, 101);
    assert.equal(peer.handshake.headers['sec-websocket-protocol'], undefined);
  });

  test('C06 a value that was not offered is forwarded as it is', (t) =>
    connecting(
      () => ({ statusCode: 200, headers: { 'Sec-WebSocket-Protocol': 'other' } }),
      async () => {
        const peer = await openRaw(t, gw, { headers: [['Sec-WebSocket-Protocol', 'chat.v1']] });
        assert.equal(peer.handshake.headers['sec-websocket-protocol'], 'other');
      },
    ));

  test('C06 other headers of $connect reach the 101, hop-by-hop ones do not', (t) =>
    connecting(
      () => ({
        statusCode: 200,
        headers: { 'X-Extra': 'yes', Connection: 'close', Upgrade: 'h2c', 'Content-Length': '5', 'Transfer-Encoding': 'chunked', 'Sec-WebSocket-Accept': 'forged' },
        multiValueHeaders: { 'Set-Cookie': ['a=1', 'b=2'] },
      }),
      async () => {
        const peer = await openRaw(t, gw);
        const { handshake } = peer;
        assert.equal(handshake.status, 101);
        assert.equal(handshake.headers['x-extra'], 'yes');
        assert.deepEqual(handshake.rawHeaders.filter(([n]) => n.toLowerCase() === 'set-cookie').map(([, v]) => v), ['a=1', 'b=2']);
        assert.match(handshake.headers.connection, /^upgrade$/i);
        assert.match(handshake.headers.upgrade, /^websocket$/i);
        assert.equal(handshake.headers['sec-websocket-accept'], acceptFor(peer.key));
        assert.equal(handshake.headers['content-length'], undefined);
        assert.equal(handshake.headers['transfer-encoding'], undefined);
        peer.write(frame({ payload: '{"action":"echo"}' }));
        assert.equal((await peer.message()).text, '{"action":"echo"}');
      },
    ));

  test('C06 line breaks in a returned header cannot split the response', (t) =>
    connecting(
      () => ({ statusCode: 200, headers: { 'X-Extra': 'a\r\nX-Injected: 1', 'X-Bad\r\nX-Also: 1': 'v' } }),
      async () => {
        const peer = await openRaw(t, gw);
        assert.equal(peer.handshake.headers['x-injected'], undefined);
        assert.equal(peer.handshake.headers['x-also'], undefined);
      },
    ));

  test('C06 the setting subprotocols chooses when $connect returns none', async (t) => {
    const g = await startGateway(t, { functions: fn.table('app'), apis: [appApi({ settings: { subprotocols: ['b', 'a'] } })] });
    const client = await dial(t, g.url(), { protocols: ['a', 'c'] });
    assert.equal(client.ws.protocol, 'a');
    const peer = await openRaw(t, g, { headers: [['Sec-WebSocket-Protocol', 'x']] });
    assert.equal(peer.handshake.headers['sec-websocket-protocol'], undefined);
  });
});
