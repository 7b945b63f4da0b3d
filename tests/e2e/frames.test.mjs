// Frames: section 1.10, rows C30 to C32.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { join } from './lib/client.mjs';
import { appApi } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { echo, startLambda } from './lib/lambda.mjs';
import { closeFrame, frame, openRaw } from './lib/raw.mjs';
import { fileScope } from './lib/scope.mjs';

const file = fileScope();
let fn;
let gw;

before(async () => {
  fn = await startLambda(file, { app: echo });
  // A connection that failed is cut soon: what its client still sends is not understood any more.
  gw = await startGateway(file, { functions: fn.table('app'), apis: [appApi({ settings: { closeTimeoutSeconds: 0.5 } })] });
});

// A raw connection and its id.
async function open(t, gateway = gw) {
  const tag = `raw${Math.random()}`;
  const peer = await openRaw(t, gateway, { path: `/prod?tag=${tag}` });
  assert.equal(peer.handshake.status, 101);
  const call = await fn.call((c) => c.event?.queryStringParameters?.tag === tag);
  peer.id = call.event.requestContext.connectionId;
  return peer;
}

// The gateway closes with `code` (and `reason`), runs no route, and tells $disconnect the same.
async function assertClosed(peer, code, reason, { event = true } = {}) {
  let got;
  do got = await peer.frame();
  while (got.opcode === 9 || got.opcode === 10);
  assert.equal(got.opcode, 8, `a close frame, not ${got.opcode} ${got.text.slice(0, 100)}`);
  assert.equal(got.code, code);
  if (reason !== undefined) assert.equal(got.reason, reason);
  peer.write(closeFrame(code));
  await peer.ended();
  if (!event) return;
  const rc = (await fn.event({ eventType: 'DISCONNECT', connectionId: peer.id })).requestContext;
  assert.equal(rc.disconnectStatusCode, code);
  if (reason !== undefined) assert.equal(rc.disconnectReason, reason);
  assert.equal(fn.count({ eventType: 'MESSAGE', connectionId: peer.id }), 0, 'no route ran');
}

// A message of exactly `size` bytes that the route echo answers.
function sized(size) {
  const head = '{"action":"echo","x":"';
  return `${head}${'m'.repeat(size - head.length - 2)}"}`;
}

describe('C30', () => {
  test('C30 a fragmented message is reassembled, control frames in between are answered', async (t) => {
    const peer = await open(t);
    const text = '{"action":"echo","t":"grüße"}';
    const bytes = Buffer.from(text);
    peer.write(frame({ payload: bytes.subarray(0, 10), fin: false }));
    peer.write(frame({ opcode: 9, payload: 'mid' }));
    const at = bytes.indexOf(0xc3) + 1; // within the two bytes of ü
    peer.write(frame({ opcode: 0, payload: bytes.subarray(10, at), fin: false }));
    peer.write(frame({ opcode: 0, payload: '', fin: false }));
    peer.write(frame({ opcode: 0, payload: bytes.subarray(at), fin: true }));
    const pong = await peer.frame();
    assert.deepEqual([pong.opcode, pong.text], [10, 'mid']);
    assert.equal((await peer.message()).text, text);
    assert.equal(fn.count({ eventType: 'MESSAGE', connectionId: peer.id }), 1);
  });

  test('C30 a message that arrives byte by byte', async (t) => {
    const peer = await open(t);
    for (const byte of frame({ payload: '{"action":"echo","slow":1}' })) {
      peer.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal((await peer.message()).text, '{"action":"echo","slow":1}');
  });

  test('C30 many messages in one write are all routed', async (t) => {
    const peer = await open(t);
    const texts = Array.from({ length: 50 }, (_, i) => `{"action":"echo","i":${i}}`);
    peer.write(Buffer.concat(texts.map((payload) => frame({ payload }))));
    const got = [];
    while (got.length < texts.length) got.push((await peer.message()).text);
    assert.deepEqual(got.sort(), texts.sort());
  });

  test('C30 a frame of 32 KB is accepted', async (t) => {
    const peer = await open(t);
    const text = sized(32768);
    peer.write(frame({ payload: text }));
    assert.equal((await peer.message()).text, text);
  });

  test('C30 a frame of 32 KB and a byte: 1009 Message too big', async (t) => {
    const peer = await open(t);
    peer.write(frame({ payload: sized(32769) }));
    await assertClosed(peer, 1009, 'Message too big');
  });

  test('C30 a frame that claims to be too long is refused as soon as its payload begins', async (t) => {
    for (const length of [32769, 0x7fffffff]) {
      const peer = await open(t);
      peer.write(frame({ payload: 'x'.repeat(1000), length }));
      await assertClosed(peer, 1009, 'Message too big');
    }
  });

  test('C30 a message of 128 KB in frames of 32 KB is accepted', async (t) => {
    const peer = await open(t);
    const text = sized(131072);
    for (let i = 0; i < 4; i++) peer.write(frame({ opcode: i ? 0 : 1, fin: i === 3, payload: text.slice(i * 32768, (i + 1) * 32768) }));
    assert.equal((await peer.message()).text, text);
  });

  test('C30 a message of 128 KB and a byte: 1009', async (t) => {
    const peer = await open(t);
    const text = sized(131073);
    for (let i = 0; i < 5; i++) peer.write(frame({ opcode: i ? 0 : 1, fin: i === 4, payload: text.slice(i * 32768, (i + 1) * 32768) }));
    await assertClosed(peer, 1009, 'Message too big');
  });

  test('C30 maxFrameBytes and maxMessageBytes move the limits', async (t) => {
    const g = await startGateway(t, { functions: fn.table('app'), apis: [appApi({ settings: { maxFrameBytes: 100, maxMessageBytes: 150 } })] });
    const ok = await open(t, g);
    ok.write(frame({ payload: sized(100) }));
    assert.equal((await ok.message()).text, sized(100));
    const text = sized(150);
    ok.write(frame({ payload: text.slice(0, 100), fin: false }));
    ok.write(frame({ opcode: 0, payload: text.slice(100) }));
    assert.equal((await ok.message()).text, text);
    const longFrame = await open(t, g);
    longFrame.write(frame({ payload: sized(101) }));
    await assertClosed(longFrame, 1009, 'Message too big');
    const longMessage = await open(t, g);
    longMessage.write(frame({ payload: sized(151).slice(0, 100), fin: false }));
    longMessage.write(frame({ opcode: 0, payload: sized(151).slice(100) }));
    await assertClosed(longMessage, 1009, 'Message too big');
  });

  test('C30 larger limits than the native ones', async (t) => {
    const g = await startGateway(t, { functions: fn.table('app'), apis: [appApi({ settings: { maxFrameBytes: 1048576, maxMessageBytes: 1048576 } })] });
    const client = await join(t, g, fn);
    const text = sized(1000000);
    client.send(text);
    const call = await fn.call({ eventType: 'MESSAGE', connectionId: client.id });
    assert.equal(call.event.body.length, 1000000);
  });
});

describe('C31', () => {
  test('C31 a binary frame: 1003 Binary is not supported', async (t) => {
    const peer = await open(t);
    peer.write(frame({ opcode: 2, payload: 'x' }));
    await assertClosed(peer, 1003, 'Binary is not supported');
  });

  test('C31 an empty and a fragmented binary frame: 1003', async (t) => {
    for (const options of [{ payload: '' }, { payload: 'x', fin: false }]) {
      const peer = await open(t);
      peer.write(frame({ opcode: 2, ...options }));
      await assertClosed(peer, 1003, 'Binary is not supported');
    }
  });

  const invalid = { 'a lone byte': [0xff], 'a cut sequence': [0x61, 0xc3], 'an overlong form': [0xc0, 0xaf], 'a surrogate': [0xed, 0xa0, 0x80], 'beyond U+10FFFF': [0xf4, 0x90, 0x80, 0x80] };
  for (const [name, bytes] of Object.entries(invalid)) {
    test(`C31 text that is no UTF-8 (${name}): 1007`, async (t) => {
      const peer = await open(t);
      peer.write(frame({ payload: Buffer.from(bytes) }));
      await assertClosed(peer, 1007);
    });
  }

  test('C31 invalid UTF-8 across fragments: 1007', async (t) => {
    const peer = await open(t);
    peer.write(frame({ payload: Buffer.from([0x61, 0xc3]), fin: false }));
    peer.write(frame({ opcode: 0, payload: Buffer.from([0x41]) }));
    await assertClosed(peer, 1007);
  });

  const protocolErrors = {
    'an unmasked frame': frame({ payload: 'x', mask: false }),
    'a reserved bit': frame({ payload: 'x', rsv: 4 }),
    'a reserved data opcode': frame({ opcode: 3, payload: 'x' }),
    'a reserved control opcode': frame({ opcode: 11, payload: '' }),
    'a fragmented ping': frame({ opcode: 9, payload: 'x', fin: false }),
    'a ping of 126 bytes': frame({ opcode: 9, payload: 'x'.repeat(126) }),
    'a continuation of nothing': frame({ opcode: 0, payload: 'x' }),
    'a new message within a message': Buffer.concat([frame({ payload: 'x', fin: false }), frame({ payload: 'y' })]),
    'a close frame of one byte': frame({ opcode: 8, payload: 'x' }),
    'a close frame with a code that may not be sent': closeFrame(1005),
  };
  for (const [name, bytes] of Object.entries(protocolErrors)) {
    test(`C31 ${name}: 1002`, async (t) => {
      const peer = await open(t);
      peer.write(bytes);
      await assertClosed(peer, 1002);
    });
  }

  test('C31 a close reason that is no UTF-8: 1007 or 1002', async (t) => {
    const peer = await open(t);
    peer.write(frame({ opcode: 8, payload: Buffer.from([0x03, 0xe8, 0xff]) }));
    const got = await peer.frame();
    assert.equal(got.opcode, 8);
    assert.ok([1002, 1007].includes(got.code), String(got.code));
    await peer.ended();
  });

  test('C31 with binaryFrames a binary message goes to $default as base64', async (t) => {
    const g = await startGateway(t, { functions: fn.table('app'), apis: [appApi({ settings: { binaryFrames: true } })] });
    const client = await join(t, g, fn);
    client.send(Buffer.from([0, 1, 255]));
    const event = await fn.event({ eventType: 'MESSAGE', connectionId: client.id });
    assert.equal(event.requestContext.routeKey, '$default');
    assert.equal(event.isBase64Encoded, true);
    assert.equal(event.body, 'AAH/');
    assert.equal((await g.post(client.id, Buffer.from([7, 255]), { headers: { 'content-type': 'application/octet-stream' } })).status, 200);
    assert.deepEqual([...(await client.next())], [7, 255]);
  });
});

describe('C32', () => {
  test('C32 a ping gets a pong with the same payload, and no event', async (t) => {
    const client = await join(t, gw, fn);
    for (const payload of ['', 'ping', 'p'.repeat(125)]) assert.equal((await client.ping(payload)).toString(), payload);
    assert.equal(await client.ask({ action: 'echo' }), '{"action":"echo"}');
    assert.equal(fn.count({ eventType: 'MESSAGE', connectionId: client.id }), 1);
  });

  test('C32 an unsolicited pong is ignored', async (t) => {
    const peer = await open(t);
    peer.write(frame({ opcode: 10, payload: 'hello?' }));
    peer.write(frame({ payload: '{"action":"echo"}' }));
    assert.equal((await peer.message()).text, '{"action":"echo"}');
  });

  test('C32 the gateway sends no pings unless told to', async (t) => {
    const client = await join(t, gw, fn);
    assert.equal(await client.ask({ action: 'echo' }), '{"action":"echo"}');
    assert.equal(client.pings.length, 0);
  });

  test('C32 permessage-deflate is negotiated when the setting is on', async (t) => {
    const g = await startGateway(t, { functions: fn.table('app'), apis: [appApi({ settings: { permessageDeflate: true } })] });
    const client = await join(t, g, fn, { perMessageDeflate: { threshold: 0 } });
    assert.match(client.response.headers['sec-websocket-extensions'] ?? '', /permessage-deflate/);
    for (let i = 0; i < 20; i++) {
      const text = sized(100 + i * 1500);
      assert.equal(await client.ask(text), text);
    }
    assert.equal((await g.post(client.id, 'pushed')).status, 200);
    assert.equal(await client.next(), 'pushed');
    const plain = await join(t, g, fn);
    assert.equal(plain.response.headers['sec-websocket-extensions'], undefined);
    assert.equal(await plain.ask({ action: 'echo' }), '{"action":"echo"}');
  });
});
