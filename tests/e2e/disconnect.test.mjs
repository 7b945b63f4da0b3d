// The end of a connection: sections 1.9 and 3.4, rows C40 to C43.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { startBackend } from './lib/backend.mjs';
import { dial, join } from './lib/client.mjs';
import { appApi, httpProxy, lambda, route, twoWay, wsApi } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { CUT, echo, functionError, startLambda } from './lib/lambda.mjs';
import { closeFrame, frame, openRaw } from './lib/raw.mjs';
import { fileScope } from './lib/scope.mjs';
import { freePort } from './lib/ports.mjs';
import { waitFor } from './lib/wait.mjs';

const file = fileScope();
let fn;
let gw;
let onDisconnect = () => ({ statusCode: 200 });

before(async () => {
  fn = await startLambda(file, { app: (event, call) => (event.requestContext.eventType === 'DISCONNECT' ? onDisconnect(event, call) : echo(event)) });
  gw = await startGateway(file, { functions: fn.table('app'), apis: [appApi()] });
});

const disconnected = (id) => fn.event({ eventType: 'DISCONNECT', connectionId: id });

async function open(t, gateway = gw) {
  const tag = `raw${Math.random()}`;
  const peer = await openRaw(t, gateway, { path: `/prod?tag=${tag}` });
  assert.equal(peer.handshake.status, 101);
  peer.id = (await fn.event((c) => c.event?.queryStringParameters?.tag === tag)).requestContext.connectionId;
  return peer;
}

async function assertEnd(id, code, reason) {
  const rc = (await disconnected(id)).requestContext;
  assert.equal(rc.disconnectStatusCode, code);
  assert.equal(rc.disconnectReason, reason);
}

describe('C40', () => {
  test('C40 close frame with no code: 1005, answered with an empty close', async (t) => {
    const peer = await open(t);
    peer.write(closeFrame());
    const got = await peer.frame();
    assert.deepEqual([got.opcode, got.payload.length], [8, 0]);
    await peer.ended();
    await assertEnd(peer.id, 1005, 'Client-side close frame status not set');
  });

  test('C40 browser tab closed: 1001 with an empty reason', async (t) => {
    const peer = await open(t);
    peer.write(closeFrame(1001));
    const got = await peer.frame();
    assert.deepEqual([got.code, got.reason], [1001, '']);
    await assertEnd(peer.id, 1001, '');
  });

  test('C40 idle time-out: 1001 Going away', async (t) => {
    const g = await startGateway(t, { functions: fn.table('app'), apis: [appApi({ settings: { idleTimeoutSeconds: 0.3 } })] });
    const client = await join(t, g, fn);
    assert.deepEqual(await client.ended(), { code: 1001, reason: 'Going away' });
    await assertEnd(client.id, 1001, 'Going away');
  });

  test('C40 maximum duration: 1001 Going away', async (t) => {
    const g = await startGateway(t, { functions: fn.table('app'), apis: [appApi({ settings: { maxConnectionDurationSeconds: 0.3 } })] });
    const client = await join(t, g, fn);
    assert.deepEqual(await client.ended(), { code: 1001, reason: 'Going away' });
    await assertEnd(client.id, 1001, 'Going away');
  });

  test('C40 DELETE: 1000 Connection Closed Normally', async (t) => {
    const client = await join(t, gw, fn);
    assert.equal((await gw.remove(client.id)).status, 204);
    assert.deepEqual(await client.ended(), { code: 1000, reason: 'Connection Closed Normally' });
    await assertEnd(client.id, 1000, 'Connection Closed Normally');
  });

  test('C40 TCP lost by FIN without close frame: 1006', async (t) => {
    const peer = await open(t);
    peer.socket.end();
    await assertEnd(peer.id, 1006, 'Connection closed abnormally');
  });

  test('C40 TCP lost by reset: 1006', async (t) => {
    const peer = await open(t);
    peer.socket.resetAndDestroy();
    await assertEnd(peer.id, 1006, 'Connection closed abnormally');
  });

  test('C40 TCP lost within a message: 1006', async (t) => {
    const peer = await open(t);
    peer.write(frame({ payload: 'x'.repeat(100) }).subarray(0, 50));
    peer.socket.end();
    await assertEnd(peer.id, 1006, 'Connection closed abnormally');
  });

  test('C40 binary frame: 1003', async (t) => {
    const peer = await open(t);
    peer.write(frame({ opcode: 2, payload: 'x' }));
    const got = await peer.frame();
    assert.deepEqual([got.code, got.reason], [1003, 'Binary is not supported']);
    peer.write(closeFrame(1003));
    await assertEnd(peer.id, 1003, 'Binary is not supported');
  });

  test('C40 message too big: 1009', async (t) => {
    const peer = await open(t);
    peer.write(frame({ payload: 'x'.repeat(32769) }));
    const got = await peer.frame();
    assert.deepEqual([got.code, got.reason], [1009, 'Message too big']);
    peer.write(closeFrame(1009));
    await assertEnd(peer.id, 1009, 'Message too big');
  });

  test('C40 a client that does not answer the close frame is cut after closeTimeoutSeconds', async (t) => {
    const g = await startGateway(t, { functions: fn.table('app'), apis: [appApi({ settings: { closeTimeoutSeconds: 0.2 } })] });
    const peer = await open(t, g);
    assert.equal((await g.remove(peer.id)).status, 204);
    assert.equal((await peer.frame()).code, 1000);
    await peer.ended();
    await assertEnd(peer.id, 1000, 'Connection Closed Normally');
  });

  test('C40 exactly one $disconnect, whatever races', async (t) => {
    const clients = await Promise.all(Array.from({ length: 30 }, () => join(t, gw, fn)));
    await Promise.all(
      clients.map(async (client, i) => {
        const remove = gw.remove(client.id);
        if (i % 3 === 0) client.ws.close(4000, 'mine');
        if (i % 3 === 1) client.cut();
        assert.ok([204, 410].includes((await remove).status));
        await client.ended();
      }),
    );
    for (const client of clients) await disconnected(client.id);
    const last = await join(t, gw, fn);
    await last.close();
    await disconnected(last.id);
    for (const client of clients) assert.equal(fn.count({ eventType: 'DISCONNECT', connectionId: client.id }), 1);
  });
});

describe('C41', () => {
  const cases = [
    [1000, ''],
    [1000, 'done'],
    [3000, 'library'],
    [4999, 'r'.repeat(123)],
    [4001, 'grüße'],
    [1011, 'oops'],
  ];
  for (const [code, reason] of cases) {
    test(`C41 code ${code} and reason of ${Buffer.byteLength(reason)} bytes are echoed and told`, async (t) => {
      const peer = await open(t);
      peer.write(closeFrame(code, reason));
      const got = await peer.frame();
      assert.deepEqual([got.opcode, got.code, got.reason], [8, code, reason]);
      await peer.ended();
      await assertEnd(peer.id, code, reason);
    });
  }

  test('C41 what arrives after the close frame is not routed', async (t) => {
    const peer = await open(t);
    peer.write(Buffer.concat([closeFrame(4000), frame({ payload: '{"action":"echo"}' })]));
    assert.equal((await peer.frame()).code, 4000);
    await peer.ended();
    await disconnected(peer.id);
    assert.equal(fn.count({ eventType: 'MESSAGE', connectionId: peer.id }), 0);
  });
});

describe('C42', () => {
  test('C42 a failing $disconnect changes nothing for others', async (t) => {
    const other = await join(t, gw, fn);
    t.after(() => (onDisconnect = () => ({ statusCode: 200 })));
    for (const failure of [() => functionError('boom'), () => ({ nonsense: true }), () => ({ statusCode: 500 }), () => CUT]) {
      onDisconnect = failure;
      const client = await join(t, gw, fn);
      await client.close();
      await disconnected(client.id);
      assert.equal(await other.ask({ action: 'echo' }), '{"action":"echo"}');
    }
    const late = await join(t, gw, fn);
    assert.equal(await late.ask({ action: 'echo' }), '{"action":"echo"}');
  });

  test('C42 without a $disconnect route a connection just ends', async (t) => {
    const g = await startGateway(t, { functions: fn.table('app'), apis: [appApi({ without: ['$disconnect'] })] });
    const client = await join(t, g, fn);
    await client.close(4000, 'x');
    await waitFor(async () => (await g.post(client.id, 'x')).status === 410, { what: 'the connection to be gone' });
  });

  test('C42 the answer of a function to $disconnect is not retried, whatever it is', async (t) => {
    t.after(() => (onDisconnect = () => ({ statusCode: 200 })));
    onDisconnect = () => functionError('boom');
    const g = await startGateway(t, { functions: fn.table('app'), apis: [appApi({ settings: { disconnectRetryMillis: 50 } })] });
    const client = await join(t, g, fn);
    await client.close();
    await disconnected(client.id);
    onDisconnect = () => ({ statusCode: 200 });
    const other = await join(t, g, fn);
    await other.close();
    await disconnected(other.id);
    await g.stop();
    assert.equal(fn.count({ eventType: 'DISCONNECT', connectionId: client.id }), 1);
  });

  test('C42 a back end that cannot be reached gets $disconnect once more after disconnectRetryMillis', async (t) => {
    const port = await freePort();
    const functions = { ...fn.table('app'), late: { endpoint: `http://127.0.0.1:${port}` } };
    const api = appApi({ integrations: [lambda('late')], routes: [route('$disconnect', 'late')], settings: { disconnectRetryMillis: 700 } });
    const g = await startGateway(t, { functions, apis: [api] });
    const client = await join(t, g, fn);
    const id = client.id;
    await client.close(4000, 'retry me');
    await waitFor(async () => (await g.post(id, 'x')).status === 410, { what: 'the connection to be gone' });
    const late = await startLambda(t, {}, { port });
    const event = await late.event({ eventType: 'DISCONNECT', connectionId: id });
    assert.equal(event.requestContext.disconnectStatusCode, 4000);
    assert.equal(late.count('DISCONNECT'), 1);
  });
});

describe('C43', () => {
  test('C43 the DISCONNECT event: four headers, no body, exact member set', async (t) => {
    const client = await join(t, gw, fn, { headers: { 'User-Agent': 'agent/3', 'X-Custom': 'x' }, query: 'a=b' });
    await client.close(4001, 'bye');
    const event = await disconnected(client.id);
    assert.deepEqual(Object.keys(event).sort(), ['headers', 'isBase64Encoded', 'multiValueHeaders', 'requestContext']);
    const host = client.connectEvent.requestContext.domainName;
    assert.deepEqual(event.headers, { Host: host, 'x-api-key': '', 'X-Forwarded-For': '', 'x-restapi': '' });
    assert.deepEqual(event.multiValueHeaders, { Host: [host], 'x-api-key': [''], 'X-Forwarded-For': [''], 'x-restapi': [''] });
    assert.equal(event.isBase64Encoded, false);
    const rc = event.requestContext;
    const connect = client.connectEvent.requestContext;
    assert.deepEqual(Object.keys(rc), ['routeKey', 'disconnectStatusCode', 'eventType', 'extendedRequestId', 'requestTime', 'messageDirection', 'disconnectReason', 'stage', 'connectedAt', 'requestTimeEpoch', 'identity', 'requestId', 'domainName', 'connectionId', 'apiId']);
    assert.equal(rc.routeKey, '$disconnect');
    assert.equal(rc.eventType, 'DISCONNECT');
    assert.equal(rc.messageDirection, 'IN');
    assert.equal(rc.extendedRequestId, rc.requestId);
    assert.notEqual(rc.requestId, connect.requestId);
    for (const same of ['connectedAt', 'domainName', 'connectionId', 'apiId', 'stage']) assert.equal(rc[same], connect[same], same);
    assert.deepEqual(rc.identity, { userAgent: 'agent/3', sourceIp: '127.0.0.1' });
  });

  test('C43 HTTP_PROXY at $disconnect: no body', async (t) => {
    const backend = await startBackend(t);
    const headers = { 'integration.request.header.X-Id': 'context.connectionId', 'integration.request.header.X-Event': 'context.eventType' };
    const g = await startGateway(t, { apis: [wsApi({ integrations: [httpProxy('be', `${backend.url}/ws`, { requestParameters: headers })], routes: [route('$connect', 'be'), route('$disconnect', 'be'), twoWay('$default', 'be')] })] });
    const client = await dial(t, g.url());
    await client.close();
    const seen = await backend.request((r) => r.headers['x-event'] === 'DISCONNECT');
    assert.equal(seen.text, '');
    assert.equal(seen.headers['x-id'], backend.requests[0].headers['x-id']);
  });

  test('C43 a management call from within $disconnect gets 410', async (t) => {
    t.after(() => (onDisconnect = () => ({ statusCode: 200 })));
    const statuses = [];
    onDisconnect = async (event) => {
      const id = event.requestContext.connectionId;
      statuses.push([id, (await gw.post(id, 'x')).status]);
      return { statusCode: 200 };
    };
    const client = await join(t, gw, fn);
    await client.close();
    const own = () => statuses.filter(([id]) => id === client.id); // a retry of an earlier test may come now
    await waitFor(() => own().length, { what: 'the call' });
    assert.deepEqual(own(), [[client.id, 410]]);
  });
});
