// Bodies and connections of proxied requests (http-api.md 1.9): framing both ways, 100-continue, early answers, cuts, time.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { forward, httpApi, route } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { connectRaw } from './lib/raw.mjs';
import { fileScope } from './lib/scope.mjs';
import { answer, replying, startTcpBackend } from './lib/tcpbackend.mjs';
import { waitFor, within } from './lib/wait.mjs';

const file = fileScope();
const MAX = 300000; // http.maxBodyBytes
const TIMEOUT = 400; // timeoutInMillis of what is below /quick
const BIG = randomBytes(MAX);
const handlers = new Map();
let backend;
let gw;

// A path whose requests handler(connection, head) serves: {path, calls}.
function on(handler, prefix = '') {
  const calls = [];
  const where = `${prefix}/${handlers.size}`;
  handlers.set(where, async (connection, head) => {
    calls.push(head);
    await handler(connection, head);
  });
  return { path: where, calls, called: (n = 0) => waitFor(() => calls[n], { what: `call ${n} of ${where}` }) };
}

before(async () => {
  backend = await startTcpBackend(file, async (connection) => {
    for (;;) {
      const head = await connection.head({ timeout: 600000 });
      await handlers.get(head.target)(connection, head);
    }
  });
  gw = await startGateway(file, {
    http: { maxBodyBytes: MAX },
    apis: [
      httpApi({
        integrations: [forward('all', backend.url), forward('quick', `${backend.url}/quick/{proxy}`, { timeoutInMillis: TIMEOUT })],
        routes: [route('$default', 'all'), route('ANY /quick/{proxy+}', 'quick')],
      }),
    ],
  });
});

const client = (t) => connectRaw(t, { port: gw.port });
const head = (method, path, ...fields) => `${method} ${path} HTTP/1.1\r\nHost: web\r\n${fields.map((f) => `${f}\r\n`).join('')}\r\n`;
const chunk = (data) => Buffer.concat([Buffer.from(`${Buffer.byteLength(data).toString(16)}\r\n`), Buffer.from(data), Buffer.from('\r\n')]);
const LAST = '0\r\n\r\n';

async function ask(t, bytes, options) {
  const peer = await client(t);
  peer.write(bytes);
  const got = await peer.response(options);
  got.peer = peer;
  return got;
}

const UNAVAILABLE = [503, '{"message":"Service Unavailable"}', '33'];
const summary = (got) => [got.status, got.text, got.headers['content-length']];

describe('1.9 the request\'s body', () => {
  // Answers with what came, in a header how.
  const echo = async (connection, h) => {
    const body = await connection.body(h);
    const how = h.headers['transfer-encoding'] ?? h.headers['content-length'];
    connection.write(Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nX-How: ${how}\r\nContent-Length: ${body.length}\r\n\r\n`), body]));
  };

  test('1.9 with a length it goes on with that length', async (t) => {
    const { path } = on(echo);
    const got = await ask(t, Buffer.concat([Buffer.from(head('POST', path, `Content-Length: ${BIG.length}`)), BIG]));
    assert.equal(got.headers['x-how'], String(BIG.length));
    assert.ok(got.body.equals(BIG));
  });

  test('1.9 chunked it goes on chunked, extensions end here', async (t) => {
    const { path } = on(echo);
    const parts = [Buffer.from(head('POST', path, 'Transfer-Encoding: chunked'))];
    for (let at = 0; at < BIG.length; at += 7777) parts.push(chunk(BIG.subarray(at, at + 7777)));
    const got = await ask(t, Buffer.concat([...parts, Buffer.from(LAST)]));
    assert.equal(got.headers['x-how'], 'chunked');
    assert.ok(got.body.equals(BIG));
    const extended = await ask(t, `${head('POST', path, 'Transfer-Encoding: chunked')}3;a=b\r\nabc\r\n0;c\r\n\r\n`);
    assert.equal(extended.text, 'abc');
  });

  test('1.9 each part goes on as it comes', async (t) => {
    const parts = [];
    const { path } = on(async (connection) => {
      for (let part = await connection.chunk(); part.length; part = await connection.chunk()) parts.push(String(part));
      connection.write(answer(parts.join()));
    });
    const peer = await client(t);
    peer.write(head('PUT', path, 'Transfer-Encoding: chunked'));
    for (const part of ['one', 'two', 'three']) {
      peer.write(chunk(part));
      await waitFor(() => parts.at(-1) === part, { what: part });
    }
    peer.write(LAST);
    assert.equal((await peer.response()).text, 'one,two,three');
  });

  test('1.9 empty bodies: a length of 0, and no chunks', async (t) => {
    const { path } = on(echo);
    assert.equal((await ask(t, head('POST', path, 'Content-Length: 0'))).headers['x-how'], '0');
    const chunked = await ask(t, head('POST', path, 'Transfer-Encoding: chunked') + LAST);
    assert.deepEqual([chunked.status, chunked.text], [200, '']);
  });

  test('1.9 a GET and a DELETE with a body', async (t) => {
    const { path } = on(echo);
    assert.equal((await ask(t, `${head('GET', path, 'Content-Length: 3')}abc`)).text, 'abc');
    assert.equal((await ask(t, `${head('DELETE', path, 'Transfer-Encoding: chunked')}3\r\nabc\r\n${LAST}`)).text, 'abc');
  });

  test('1.9 trailers of the client are dropped', async (t) => {
    const { path, calls } = on(echo);
    const got = await ask(t, `${head('POST', path, 'Transfer-Encoding: chunked', 'Trailer: X-Sum')}3\r\nabc\r\n0\r\nX-Sum: 1\r\nHost: evil\r\n\r\n`);
    assert.equal(got.text, 'abc');
    assert.deepEqual(calls[0].connection.trailers, []);
    assert.deepEqual(calls[0].all('trailer'), []);
  });

  test('1.9 an HTTP/1.0 client with a body', async (t) => {
    const { path, calls } = on(echo);
    const got = await ask(t, `POST ${path} HTTP/1.0\r\nHost: web\r\nContent-Length: 3\r\n\r\nabc`);
    assert.equal(got.text, 'abc');
    assert.equal(calls[0].version, 'HTTP/1.1');
    await got.peer.ended();
  });

  test('1.9 chunks that break the framing: the back end never sees an end of the body', async (t) => {
    const { path, called } = on(async (connection, h) => connection.body(h));
    const peer = await client(t);
    peer.write(`${head('POST', path, 'Transfer-Encoding: chunked')}3\r\nabc\r\n`);
    const { connection } = await called();
    peer.write('zz\r\n');
    assert.equal((await peer.response()).status, 400);
    await connection.ended();
    await peer.ended();
    assert.equal(connection.trailers, undefined);
  });
});

describe('1.9 Expect: 100-continue', () => {
  const echo = async (connection, h) => connection.write(answer(`${(await connection.body(h)).length}`, `X-Expect: ${h.headers.expect}\r\n`));

  test('1.9 the client gets its 100, the back end no Expect', async (t) => {
    const { path } = on(echo);
    const peer = await client(t);
    peer.write(head('POST', path, 'Content-Length: 5', 'Expect: 100-continue'));
    await peer.upTo('HTTP/1.1 100 Continue\r\n\r\n');
    peer.write('hello');
    const got = await peer.response();
    assert.deepEqual([got.status, got.text, got.headers['x-expect']], [200, '5', 'undefined']);
  });

  test('1.9 a client that does not wait gets no 100', async (t) => {
    const { path } = on(echo);
    const got = await ask(t, `${head('POST', path, 'Content-Length: 5', 'Expect: 100-continue')}hello`);
    assert.deepEqual([got.status, got.text], [200, '5']);
  });

  test('1.9 a body that is too long: 413 and no 100, nobody is called', async (t) => {
    const { path, calls } = on(echo);
    const got = await ask(t, head('POST', path, `Content-Length: ${MAX + 1}`, 'Expect: 100-continue'));
    assert.equal(got.status, 413);
    await got.peer.ended();
    assert.equal(calls.length, 0);
  });

  test('1.9 interim answers of the back end do not pass', async (t) => {
    const { path } = on(async (connection, h) => {
      connection.write('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n');
      await connection.body(h);
      connection.write(answer('final'));
    });
    const got = await ask(t, `${head('POST', path, 'Content-Length: 5')}hello`);
    assert.deepEqual([got.status, got.text], [200, 'final']);
  });
});

describe('1.9 the answer\'s body', () => {
  const raw = (bytes) => async (connection, h) => {
    await connection.body(h);
    connection.write(bytes);
  };

  test('1.9 with a length; chunked; the client\'s connection stays', async (t) => {
    const length = on(raw(Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${BIG.length}\r\n\r\n`), BIG])));
    const chunked = on(raw(Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'), chunk(BIG.subarray(0, 100000)), chunk(BIG.subarray(100000)), Buffer.from(LAST)])));
    const got = await ask(t, head('GET', length.path));
    assert.equal(got.headers['content-length'], String(BIG.length));
    assert.ok(got.body.equals(BIG));
    got.peer.write(head('GET', chunked.path));
    const second = await got.peer.response();
    assert.equal(second.headers['transfer-encoding'], 'chunked');
    assert.equal(second.headers['content-length'], undefined);
    assert.ok(second.body.equals(BIG));
    got.peer.write(head('GET', length.path));
    assert.ok((await got.peer.response()).body.equals(BIG));
  });

  test('1.9 trailers of the back end are dropped', async (t) => {
    const { path } = on(raw('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\nSet-Cookie: a=b\r\n\r\n'));
    const got = await ask(t, head('GET', path));
    assert.equal(got.text, 'abc');
    assert.equal(got.headers.trailer, undefined);
    got.peer.write(head('GET', path)); // a response parser of the test would choke on trailers left over
    assert.equal((await got.peer.response()).text, 'abc');
  });

  for (const version of ['1.0', '1.1']) {
    test(`1.9 an HTTP/${version} back end that ends its answer by closing: chunked to the client, whose connection stays`, async (t) => {
      const { path } = on(async (connection, h) => {
        await connection.body(h);
        connection.write(`HTTP/${version} 200 OK\r\n${version === '1.1' ? 'Connection: close\r\n' : ''}\r\nabc`);
        connection.shut();
      });
      const got = await ask(t, head('GET', path));
      assert.deepEqual([got.text, got.headers['transfer-encoding'], got.headers.connection], ['abc', 'chunked', 'keep-alive']);
      got.peer.write(head('GET', path));
      assert.equal((await got.peer.response()).text, 'abc');
    });
  }

  test('1.9 an HTTP/1.0 client gets no chunks: the close is the end', async (t) => {
    const { path } = on(raw(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n${LAST}`));
    const got = await ask(t, `GET ${path} HTTP/1.0\r\nHost: web\r\nConnection: keep-alive\r\n\r\n`);
    assert.deepEqual([got.text, got.headers['transfer-encoding'], got.headers['content-length']], ['abcde', undefined, undefined]);
    await got.peer.ended();
  });

  test('1.9 an HTTP/1.0 client that keeps its connection', async (t) => {
    const { path } = on(raw(answer('abc')));
    const ten = `GET ${path} HTTP/1.0\r\nHost: web\r\nConnection: keep-alive\r\n\r\n`;
    const got = await ask(t, ten);
    assert.deepEqual([got.text, got.headers.connection], ['abc', 'keep-alive']);
    got.peer.write(ten);
    assert.equal((await got.peer.response()).text, 'abc');
    got.peer.write(`GET ${path} HTTP/1.0\r\nHost: web\r\n\r\n`);
    assert.equal((await got.peer.response()).text, 'abc');
    await got.peer.ended();
  });

  test('1.9 HEAD: the head of the answer with its length, no body, and the connections stay', async (t) => {
    const { path, calls } = on(async (connection, h) => connection.write(`HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nETag: "x"\r\n\r\n${h.method === 'HEAD' ? '' : 'x'.repeat(1234)}`));
    const peer = await client(t);
    peer.write(head('HEAD', path));
    const got = await peer.response({ bodyless: true });
    assert.deepEqual([got.status, got.headers['content-length'], got.headers.etag], [200, '1234', '"x"']);
    peer.write(head('GET', path));
    assert.equal((await peer.response()).body.length, 1234);
    assert.equal(calls.length, 2);
  });

  test('1.9 HEAD answered with Transfer-Encoding: no body, the connection stays', async (t) => {
    const { path } = on(async (connection) => connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'));
    const peer = await client(t);
    for (let i = 0; i < 2; i++) {
      peer.write(head('HEAD', path));
      assert.equal((await peer.response({ bodyless: true })).status, 200);
    }
    assert.equal(peer.buffer.length, 0);
  });

  for (const [status, field] of [[204, ''], [304, 'Content-Length: 99\r\nETag: "y"\r\n'], [304, '']]) {
    test(`1.9 ${status}${field && ' with a Content-Length'}: no body, the connection stays`, async (t) => {
      const { path } = on(raw(`HTTP/1.1 ${status} X\r\n${field}\r\n`));
      const peer = await client(t);
      for (let i = 0; i < 2; i++) {
        peer.write(head('GET', path));
        const got = await peer.response();
        assert.deepEqual([got.status, got.headers['content-length'], got.headers['transfer-encoding']], [status, field ? '99' : undefined, undefined]);
      }
      assert.equal(peer.buffer.length, 0);
    });
  }

  test('1.9 a body of length 0, and an answer without length that is empty', async (t) => {
    const zero = on(raw('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'));
    const none = on(raw(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${LAST}`));
    assert.deepEqual(summary(await ask(t, head('GET', zero.path))), [200, '', '0']);
    assert.equal((await ask(t, head('GET', none.path))).text, '');
  });

  test('1.9 server-sent events and other streams arrive as they come', async (t) => {
    const { path, called } = on(async (connection) => connection.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n'), '/quick');
    const peer = await client(t);
    peer.write(head('GET', path, 'Accept: text/event-stream'));
    const { connection } = await called();
    await peer.upTo('\r\n\r\n'); // the head, before any event
    for (let i = 0; i < 20; i++) {
      connection.write(chunk(`data: ${i}\n\n`));
      await peer.upTo(`data: ${i}\n\n`);
    }
    connection.write(LAST);
    await peer.upTo(`\r\n${LAST}`);
  });
});

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
