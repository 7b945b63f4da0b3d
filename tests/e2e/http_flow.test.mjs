// Bodies of proxied requests (http-api.md 1.9): framing both ways, 100-continue.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { BIG, LAST, MAX, chunk, flowWorld, head, summary } from './lib/flow.mjs';
import { fileScope } from './lib/scope.mjs';
import { answer } from './lib/tcpbackend.mjs';
import { waitFor } from './lib/wait.mjs';

const file = fileScope();
const { on, client, ask } = flowWorld(file);

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
