// The ends of proxied requests (http-api.md 1.9): early answers, clients that go, back ends that cut, time, limits, connections.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { forward, httpApi, route } from './lib/config.mjs';
import { BIG, LAST, MAX, TIMEOUT, UNAVAILABLE, chunk, flowWorld, head, summary } from './lib/flow.mjs';
import { startGateway } from './lib/gateway.mjs';
import { connectRaw } from './lib/raw.mjs';
import { fileScope } from './lib/scope.mjs';
import { answer, replying, startTcpBackend } from './lib/tcpbackend.mjs';
import { waitFor, within } from './lib/wait.mjs';

const file = fileScope();
const { on, client, ask } = flowWorld(file);

describe('1.9 early answers', () => {
  test('1.9 the back end answers while the client still sends: the answer arrives at once', async (t) => {
    const { path } = on(async (connection) => connection.write('HTTP/1.1 401 Unauthorized\r\nContent-Length: 5\r\nConnection: close\r\n\r\nearly'));
    const peer = await client(t);
    peer.write(`${head('POST', path, 'Content-Length: 1000')}some`);
    const got = await peer.response();
    assert.deepEqual([got.status, got.text], [401, 'early']);
  });

  test('1.9 after an early answer the rest of the body is no request', async (t) => {
    const smuggled = on(async (connection) => connection.write(answer('smuggled')));
    const { path } = on(async (connection) => {
      connection.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly');
      await connection.ended();
    });
    const inner = head('GET', smuggled.path);
    const peer = await client(t);
    peer.write(head('POST', path, `Content-Length: ${inner.length}`));
    assert.equal((await peer.response()).text, 'early');
    peer.write(inner);
    await peer.ended();
    assert.equal(peer.buffer.length, 0);
    assert.equal(smuggled.calls.length, 0);
  });

  test('1.9 the back end answers early and goes on reading: a duplex exchange', async (t) => {
    const { path, called } = on(async (connection) => {
      connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
      for (let part = await connection.chunk(); part.length; part = await connection.chunk()) connection.write(chunk(`<${part}>`));
      connection.write(LAST);
    });
    const peer = await client(t);
    peer.write(head('POST', path, 'Transfer-Encoding: chunked'));
    await called();
    await peer.upTo('\r\n\r\n');
    for (const word of ['one', 'two', 'three']) {
      peer.write(chunk(word));
      await peer.upTo(`<${word}>`);
    }
    peer.write(LAST);
    await peer.upTo(LAST);
  });

  test('1.9 the back end answers early and resets: the answer still arrives', async (t) => {
    const { path } = on(async (connection) => {
      connection.write('HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nsmall');
      connection.socket.end();
      connection.socket.once('finish', () => connection.socket.destroySoon());
    });
    const peer = await client(t);
    peer.write(Buffer.concat([Buffer.from(head('POST', path, `Content-Length: ${BIG.length}`)), BIG.subarray(0, BIG.length / 2)]));
    const got = await peer.response();
    assert.deepEqual([got.status, got.text], [413, 'small']);
  });
});

describe('1.9 client gone', () => {
  test('1.9 client gone before the answer: the back end sees its call cancelled', async (t) => {
    const { path, called } = on(async (connection) => connection.end);
    const peer = await client(t);
    peer.write(head('GET', path));
    const { connection } = await called();
    peer.destroy();
    await connection.ended();
  });

  test('1.9 client gone in its body: cancelled, without an end of the body', async (t) => {
    const { path, called } = on(async (connection, h) => connection.body(h));
    const peer = await client(t);
    peer.write(`${head('POST', path, 'Transfer-Encoding: chunked')}3\r\nabc\r\n`);
    const { connection } = await called();
    peer.destroy();
    await connection.ended();
    assert.equal(connection.trailers, undefined);
  });

  test('1.9 client gone in the answer: cancelled', async (t) => {
    const { path, called } = on(async (connection) => {
      connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n');
      await connection.end;
    });
    const peer = await client(t);
    peer.write(head('GET', path));
    const { connection } = await called();
    await peer.upTo('abc');
    peer.destroy();
    await connection.ended();
  });

  test('1.9 client gone in a long poll, after its body: cancelled', async (t) => {
    const { path, called } = on(async (connection, h) => connection.body(h));
    const peer = await client(t);
    peer.write(`${head('POST', path, 'Content-Length: 2')}ab`);
    const { connection } = await called();
    peer.socket.resetAndDestroy();
    await connection.ended();
  });
});

describe('1.9 back end cut', () => {
  const begun = {
    'with a length': ['HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart', 100],
    'chunked': ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n'],
    'in a chunk': ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\npart'],
  };
  for (const [name, [bytes, length]] of Object.entries(begun)) {
    for (const how of ['shut', 'reset']) {
      test(`1.9 an answer ${name} that is cut (${how}): the client can tell`, async (t) => {
        const { path, called } = on(async (connection) => {
          connection.write(bytes);
          await connection.end;
        });
        const peer = await client(t);
        peer.write(head('GET', path));
        const { connection } = await called();
        await peer.upTo('part');
        connection[how]();
        await peer.ended();
        const rest = peer.buffer.toString('latin1');
        assert.ok(length ? rest.length === 0 : !rest.includes(LAST), rest);
      });
    }
  }

  test('1.9 an answer until the close that is reset: chunked without an end', async (t) => {
    const { path, called } = on(async (connection) => connection.write('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\npart'));
    const peer = await client(t);
    peer.write(head('GET', path));
    const { connection } = await called();
    await peer.upTo('part');
    connection.reset();
    await peer.ended();
    assert.ok(!peer.buffer.includes(LAST));
  });

  test('1.9 an HTTP/1.0 client can tell by a reset', async (t) => {
    const { path, called } = on(async (connection) => connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n'));
    const peer = await client(t);
    peer.write(`GET ${path} HTTP/1.0\r\nHost: web\r\n\r\n`);
    const { connection } = await called();
    await peer.upTo('part');
    connection.reset();
    await peer.ended();
    await waitFor(() => peer.error, { what: 'a reset' });
    assert.equal(peer.error.code, 'ECONNRESET');
  });

  for (const bytes of ['', 'HTTP/1.1 200 OK\r\nContent-Le']) {
    test(`1.9 cut ${bytes ? 'in' : 'before'} the head, of a POST: 503, and it is not sent again`, async (t) => {
      const { path, calls } = on(async (connection, h) => {
        await connection.body(h);
        connection.write(bytes);
        connection.shut();
      });
      const got = await ask(t, `${head('POST', path, 'Content-Length: 2')}ab`);
      assert.deepEqual(summary(got), UNAVAILABLE);
      assert.equal(calls.length, 1);
      got.peer.write(head('GET', on(async (c) => c.write(answer('next'))).path));
      assert.equal((await got.peer.response()).text, 'next');
    });
  }
});

describe('1.9 time', () => {
  test('vector 42, 1.12: a back end slower than timeoutInMillis: 503, and its call is cancelled', async (t) => {
    const { path, called } = on(async (connection) => connection.end, '/quick');
    const before = Date.now();
    const got = await ask(t, head('GET', path));
    assert.ok(Date.now() - before >= TIMEOUT - 20);
    assert.deepEqual(summary(got), UNAVAILABLE);
    await (await called()).connection.ended();
    got.peer.write(head('GET', on(async (c) => c.write(answer('next'))).path));
    assert.equal((await got.peer.response()).text, 'next');
  });

  test('1.9 a body slower than timeoutInMillis is fine, a long poll as well', async (t) => {
    const { path, called } = on(async (connection) => connection.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n'), '/quick');
    const peer = await client(t);
    peer.write(head('GET', path));
    const { connection } = await called();
    await peer.upTo('\r\n\r\n');
    for (const byte of 'slow') {
      await new Promise((resolve) => setTimeout(resolve, TIMEOUT / 2));
      connection.write(byte);
      await peer.upTo(byte);
    }
  });

  test('1.9 a client that sends slowly does not use up timeoutInMillis', async (t) => {
    const { path } = on(async (connection, h) => connection.write(answer(`${await connection.body(h)}`)), '/quick');
    const peer = await client(t);
    peer.write(head('POST', path, 'Content-Length: 4'));
    for (const byte of 'slow') {
      await new Promise((resolve) => setTimeout(resolve, TIMEOUT / 2));
      peer.write(byte);
    }
    const got = await peer.response();
    assert.deepEqual([got.status, got.text], [200, 'slow']);
  });

  test('1.9 the body is there, the answer is not: 503', async (t) => {
    const { path } = on(async (connection, h) => connection.body(h), '/quick');
    assert.deepEqual(summary(await ask(t, `${head('POST', path, 'Content-Length: 4')}slow`)), UNAVAILABLE);
  });

  test('answerIdleTimeoutSeconds: an answer that stands still is cut; http.bodyTimeoutSeconds: a body that does', async (t) => {
    const still = await startTcpBackend(t, async (connection) => {
      const h = await connection.head();
      if (h.method === 'GET') connection.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart');
      await connection.end;
    });
    const g = await startGateway(t, { http: { bodyTimeoutSeconds: 0.3 }, apis: [httpApi({ settings: { answerIdleTimeoutSeconds: 0.3 }, integrations: [forward('s', still.url)], routes: [route('$default', 's')] })] });
    const peer = await connectRaw(t, { port: g.port });
    peer.write(head('GET', '/'));
    await peer.upTo('part');
    await peer.ended();
    await (await still.connection(0)).ended();
    const sender = await connectRaw(t, { port: g.port });
    sender.write(`${head('POST', '/', 'Content-Length: 9')}part`);
    assert.equal((await sender.response()).status, 408);
    await sender.ended();
    await (await still.connection(1)).ended();
  });
});

describe('1.12, 1.13 maxBodyBytes', () => {
  const TOO_LARGE = [413, '{"message":"Request Entity Too Large"}', '38'];
  const count = async (connection, h) => connection.write(answer(String((await connection.body(h)).length)));

  test('1.12 as long as may be: passes, with a length and chunked', async (t) => {
    const { path } = on(count);
    assert.equal((await ask(t, Buffer.concat([Buffer.from(head('POST', path, `Content-Length: ${MAX}`)), BIG]))).text, String(MAX));
    assert.equal((await ask(t, Buffer.concat([Buffer.from(head('POST', path, 'Transfer-Encoding: chunked')), chunk(BIG), Buffer.from(LAST)]))).text, String(MAX));
  });

  test('1.12 one byte more by its length: 413, nobody is called', async (t) => {
    const { path, calls } = on(count);
    const got = await ask(t, head('POST', path, `Content-Length: ${MAX + 1}`));
    assert.deepEqual(summary(got), TOO_LARGE);
    assert.equal(got.headers['content-type'], 'application/json');
    assert.equal(calls.length, 0);
    await got.peer.ended();
  });

  test('1.12 one byte more, chunked: 413, and the call is cut without an end of the body', async (t) => {
    const { path, called } = on(count);
    const peer = await client(t);
    peer.write(Buffer.concat([Buffer.from(head('POST', path, 'Transfer-Encoding: chunked')), chunk(BIG)]));
    const { connection } = await called();
    peer.write(chunk('!'));
    assert.deepEqual(summary(await peer.response()), TOO_LARGE);
    await connection.ended();
    assert.equal(connection.trailers, undefined);
    await peer.ended();
  });

  test('1.12 the client sends its 12 MB all the same: it can read the 413', async (t) => {
    const { path } = on(count);
    const peer = await client(t);
    peer.write(head('POST', path, `Content-Length: ${40 * MAX}`));
    for (let i = 0; i < 40; i++) peer.write(BIG);
    assert.deepEqual(summary(await peer.response()), TOO_LARGE);
  });
});

describe('1.9 connections', () => {
  test('1.9 pipelined requests are answered in order, bodies between them', async (t) => {
    const slow = on(async (connection) => {
      await new Promise((resolve) => setTimeout(resolve, 100));
      connection.write(answer('slow'));
    });
    const fast = on(async (connection, h) => connection.write(answer(`fast ${await connection.body(h)}`)));
    const peer = await client(t);
    peer.write(head('GET', slow.path) + Array.from({ length: 30 }, (_, i) => (i % 2 ? `${head('POST', fast.path, 'Content-Length: 2')}${10 + i}` : `${head('POST', fast.path, 'Transfer-Encoding: chunked')}2\r\n${10 + i}\r\n${LAST}`)).join(''));
    assert.equal((await peer.response()).text, 'slow');
    for (let i = 0; i < 30; i++) assert.equal((await peer.response()).text, `fast ${10 + i}`);
  });

  test('1.9 connections to the back end are kept and used again', async (t) => {
    const own = await startTcpBackend(t, replying((r) => answer(r.method === 'HEAD' ? '' : r.target)));
    const g = await startGateway(t, { workers: 1, apis: [httpApi({ integrations: [forward('o', own.url)], routes: [route('$default', 'o')] })] });
    for (let i = 0; i < 20; i++) {
      const method = ['GET', 'POST', 'HEAD', 'PUT'][i % 4];
      const peer = await connectRaw(t, { port: g.port });
      peer.write(i % 2 ? `${head(method, `/${i}`, 'Content-Length: 3')}abc` : head(method, `/${i}`));
      assert.equal((await peer.response({ bodyless: method === 'HEAD' })).status, 200);
      peer.destroy();
    }
    assert.deepEqual([own.requests.length, own.connections.length], [20, 1]);
  });

  test('1.9 a kept connection that ends under a call: a GET is sent again, a POST is not', async (t) => {
    const own = await startTcpBackend(t, async (connection, all) => {
      const first = await connection.request();
      all.requests.push(first);
      connection.write(answer('kept'));
      all.requests.push(await connection.request({ timeout: 60000 }));
      connection.shut();
    });
    const g = await startGateway(t, { workers: 1, apis: [httpApi({ integrations: [forward('o', own.url)], routes: [route('$default', 'o')] })] });
    const peer = await connectRaw(t, { port: g.port });
    const say = async (bytes) => {
      peer.write(bytes);
      return peer.response();
    };
    assert.equal((await say(head('GET', '/1'))).text, 'kept');
    assert.equal((await say(head('GET', '/2'))).text, 'kept'); // on a second connection, which is kept
    assert.deepEqual(own.requests.map((r) => r.target), ['/1', '/2', '/2']);
    assert.deepEqual(summary(await say(`${head('POST', '/3', 'Content-Length: 1')}x`)), UNAVAILABLE);
    assert.deepEqual(own.requests.map((r) => r.target), ['/1', '/2', '/2', '/3']);
  });

  test('1.9 a kept connection that ends under an upload: the body is not sent in part', async (t) => {
    const own = await startTcpBackend(t, async (connection, all) => {
      all.requests.push(await connection.request());
      connection.write(answer('kept'));
      await connection.head({ timeout: 60000 });
      connection.reset();
    });
    const g = await startGateway(t, { workers: 1, apis: [httpApi({ integrations: [forward('o', own.url)], routes: [route('$default', 'o')] })] });
    for (const framing of [`Content-Length: ${BIG.length}`, 'Transfer-Encoding: chunked']) {
      const peer = await connectRaw(t, { port: g.port }); // an early 503 may have ended the one before
      peer.write(head('GET', '/'));
      assert.equal((await peer.response()).text, 'kept');
      peer.write(Buffer.concat([Buffer.from(head('PUT', '/', framing)), ...(framing.startsWith('C') ? [BIG] : [chunk(BIG), Buffer.from(LAST)])]));
      const got = await peer.response();
      assert.ok([200, 503].includes(got.status), String(got.status));
      for (const request of own.requests.filter((r) => r.method === 'PUT')) assert.ok(request.body.equals(BIG));
    }
  });

  test('1.9 a kept connection that ends while nobody uses it: nobody notices', async (t) => {
    const own = await startTcpBackend(t, async (connection, all) => {
      all.requests.push(await connection.request());
      connection.write(answer('once'));
      await waitFor(() => connection.idle, { what: 'to be told to close', timeout: 60000 });
      connection.shut();
    });
    const g = await startGateway(t, { workers: 1, apis: [httpApi({ integrations: [forward('o', own.url)], routes: [route('$default', 'o')] })] });
    const peer = await connectRaw(t, { port: g.port });
    for (let i = 0; i < 5; i++) {
      peer.write(`${head('POST', '/', 'Content-Length: 1')}x`);
      assert.equal((await peer.response()).text, 'once');
      own.connections[i].idle = true;
      await own.connections[i].ended();
    }
    assert.equal(own.requests.length, 5);
  });

  test('1.9 what a back end closes, or wants closed, is not used again', async (t) => {
    const own = await startTcpBackend(t, async (connection, all) => {
      all.requests.push(await connection.request());
      connection.write(answer('once', 'Connection: close\r\n'));
    });
    const g = await startGateway(t, { workers: 1, apis: [httpApi({ integrations: [forward('o', own.url)], routes: [route('$default', 'o')] })] });
    for (let i = 0; i < 3; i++) {
      const peer = await connectRaw(t, { port: g.port });
      peer.write(`${head('POST', '/', 'Content-Length: 1')}x`);
      const got = await peer.response();
      assert.deepEqual([got.text, got.headers.connection], ['once', 'keep-alive']);
    }
    assert.equal(own.connections.length, 3);
  });

  test('1.9 many clients at once, each gets its own answer', async (t) => {
    const { path } = on(async (connection, h) => connection.write(answer(`${await connection.body(h)}`)));
    const clients = Array.from({ length: 100 }, async (_, i) => {
      const peer = await client(t);
      for (let n = 0; n < 5; n++) {
        const body = `${i}.${n}.${'x'.repeat(i * 50)}`;
        peer.write(`${head('POST', path, `Content-Length: ${body.length}`)}${body}`);
        assert.equal((await peer.response()).text, body);
      }
      peer.destroy();
    });
    await within(Promise.all(clients), 'all answers', 20000);
  });
});
