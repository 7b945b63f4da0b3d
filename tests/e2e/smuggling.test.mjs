// Ambiguous requests and answers: never two readings of one message. Each request goes over five chains: to the gateway alone,
// through nginx and HAProxy in front of it, and through each of them behind it. Whoever reads a request first marks it; what
// comes out at the back end without a mark of its own is a request that somebody else made of the bytes.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import cases, { fill, PATH_LEN } from './lib/ambiguous.mjs';
import { httpProxy, UNTHROTTLED } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { request } from './lib/http.mjs';
import { startHaproxy, startNginx } from './lib/proxies.mjs';
import { connectRaw } from './lib/raw.mjs';
import { fileScope } from './lib/scope.mjs';
import { within } from './lib/wait.mjs';
import { answer, startWire } from './lib/wire.mjs';

const file = fileScope();

function config(port, extra = {}) {
  const integration = httpProxy('p', `http://127.0.0.1:${port}`, { integrationMethod: 'ANY', requestParameters: { 'overwrite:header.x-mark': '$context.requestId' } });
  return {
    workers: 1,
    log: { level: 'warn' },
    http: { headerTimeoutSeconds: 2, bodyTimeoutSeconds: 2, keepAliveTimeoutSeconds: 2 },
    throttling: UNTHROTTLED,
    backends: { maxConnectionsPerOrigin: 4 },
    apis: [{ apiId: 'web', name: 'web', protocolType: 'HTTP', integrations: [integration], routes: [{ routeKey: '$default', target: 'integrations/p' }], stages: [{ stageName: '$default' }] }],
    ...extra,
  };
}

describe('ambiguous requests', () => {
  let wire;
  let chains; // {letter, name, port, marks: fields of which each request has one of its own}

  before(async () => {
    wire = await startWire(file, (r) => answer(`<<${r.method} ${r.target}>>`));
    const alone = await startGateway(file, config(wire.port));
    const nginx = await startNginx(file, { us: alone.port, back: wire.port }, 'X-Other');
    const haproxy = await startHaproxy(file, { us: alone.port, back: wire.port }, 'X-Other');
    const beforeNginx = await startGateway(file, config(nginx.back));
    const beforeHaproxy = await startGateway(file, config(haproxy.back));
    chains = [
      { letter: 'd', name: 'alone', port: alone.port, marks: ['x-mark'] },
      { letter: 'n', name: 'behind nginx', port: nginx.us, marks: ['x-mark', 'x-other'] },
      { letter: 'h', name: 'behind HAProxy', port: haproxy.us, marks: ['x-mark', 'x-other'] },
      { letter: 'N', name: 'before nginx', port: beforeNginx.port, marks: ['x-mark', 'x-other'] },
      { letter: 'H', name: 'before HAProxy', port: beforeHaproxy.port, marks: ['x-mark', 'x-other'] },
    ];
  });

  const of = (path) => wire.requests.filter((r) => r.target.startsWith(`${path}/`));

  // One mark of each proxy on each request, and no mark on two.
  function assertMarked(chain, requests) {
    for (const mark of chain.marks) {
      const values = requests.map((r) => r.all(mark));
      const odd = requests.filter((r, i) => values[i].length !== 1);
      assert.deepEqual(odd.map((r) => r.target), [], `${chain.name}: not one ${mark} on these: somebody read more requests than were written`);
      assert.equal(new Set(values.flat()).size, requests.length, `${chain.name}: one ${mark} on two requests`);
    }
  }

  // The bytes over one chain, to the end of the connection, then a request of somebody else: [answers as text, requests seen].
  async function attack(t, chain, number, { bytes }) {
    const path = `/${chain.letter}${String(number).padStart(3, '0')}x`;
    assert.equal(path.length, PATH_LEN);
    const peer = await connectRaw(t, { port: chain.port });
    peer.write(Buffer.from(fill(bytes, path), 'latin1'));
    await peer.ended();
    const text = peer.buffer.toString('latin1');
    for (const victim of [`${path}/victim1`, `${path}/victim2`]) {
      const got = await request({ port: chain.port, path: victim });
      assert.equal(`${got.status} ${got.text}`, `200 <<GET ${victim}>>`, `${chain.name}: somebody else's answer`);
    }
    const requests = of(path);
    assertMarked(chain, requests);
    const own = requests.filter((r) => !r.target.includes('/victim'));
    const told = [...text.matchAll(/<<(.*?)>>/g)].map((found) => found[1]);
    const answered = own.filter((r) => r.method !== 'HEAD').map((r) => `${r.method} ${r.target}`);
    assert.deepEqual(told, answered.slice(0, told.length), `${chain.name}: answers in another order than requests`);
    return { path, text, requests: own };
  }

  const lines = (requests) => requests.map((r) => `${r.method} ${r.target}${r.body && ` ${r.body}`}`);

  function assertReading({ path, text, requests }, { us, gone = [] }) {
    const status = Number(/^HTTP\/1\.1 (?!1)(\d{3})/m.exec(text)?.[1]);
    assert.ok(us.status.includes(status), `answered ${status}, not ${us.status}: ${JSON.stringify(text.slice(0, 300))}`);
    assert.deepEqual(lines(requests), us.seen.map((line) => fill(line, path)));
    for (const name of gone) for (const r of requests) assert.deepEqual(r.all(name), [], `${name} arrived`);
  }

  // A proxy behind the gateway may refuse what it gets (methods and escapes that it does not like), but reads nothing else.
  function assertNoOther({ path, requests }, { us }) {
    const expected = us.seen.map((line) => fill(line, path));
    assert.deepEqual(lines(requests).filter((line) => !expected.includes(line)), []);
    assert.ok(requests.length <= expected.length, `more requests than the gateway read: ${lines(requests)}`);
  }

  describe('each over five chains', { concurrency: 8 }, () => {
    cases.forEach((one, number) =>
      test(one.name, async (t) => {
        const results = await Promise.all(chains.map((chain) => attack(t, chain, number, one)));
        assertReading(results[0], one);
        assertNoOther(results[3], one);
        assertNoOther(results[4], one);
      }),
    );
  });

  test('nothing came to a back end that it could not read', () => {
    assert.deepEqual(wire.unreadable, []);
  });

  test('requests that arrived later had their marks too', () => {
    for (const chain of chains) assertMarked(chain, wire.requests.filter((r) => r.target.startsWith(`/${chain.letter}`)));
  });
});

// ---- answers of back ends ----

const OK = 'HTTP/1.1 200 OK\r\n';
const POISON = answer('POISONED');
const CUT = 'cut'; // the answer had begun
const BAD = 503;

// [bytes, what the client gets: a status (and a body), or CUT; method].
const ANSWERS = {
  'Content-Length and Transfer-Encoding': [`${OK}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${POISON}`, BAD],
  'Transfer-Encoding and Content-Length': [`${OK}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n${POISON}`, BAD],
  'two equal Content-Lengths': [`${OK}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello${POISON}`, BAD],
  'two different Content-Lengths': [`${OK}Content-Length: 5\r\nContent-Length: ${5 + POISON.length}\r\n\r\nhello${POISON}`, BAD],
  ...Object.fromEntries(['5, 5', '+5', '-5', '0x5', '', '5;', '5\x0b', '18446744073709551621'].map((value) => [`Content-Length: ${JSON.stringify(value)}`, [`${OK}Content-Length: ${value}\r\n\r\nhello${POISON}`, BAD]])),
  ...Object.fromEntries(
    ['xchunked', 'chunked, chunked', 'gzip, chunked', 'identity', 'chunked, identity', '', 'chunked\r\nTransfer-Encoding: cow', 'chunked\x0b'].map((value) => [`Transfer-Encoding: ${JSON.stringify(value)}`, [`${OK}Transfer-Encoding: ${value}\r\n\r\n0\r\n\r\n${POISON}`, BAD]]),
  ),
  'Transfer-Encoding in HTTP/1.0': [`HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${POISON}`, BAD],
  'bare LF': [`HTTP/1.1 200 OK\nContent-Length: 5\n\nhello${POISON}`, BAD],
  'a folded field': [`${OK}X: y\r\n Content-Length: 5\r\nContent-Length: 0\r\n\r\n${POISON}`, BAD],
  'a blank before the colon': [`${OK}Content-Length : 5\r\n\r\nhello${POISON}`, BAD],
  'NUL in a value': [`${OK}X: \x00\r\nContent-Length: 5\r\n\r\nhello${POISON}`, BAD],
  'a bare CR in a value': [`${OK}X: y\rContent-Length: 0\r\nContent-Length: 5\r\n\r\nhello${POISON}`, BAD],
  'a line without a colon': [`${OK}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello${POISON}`, BAD],
  'an empty line first': [`\r\n${answer('hello')}${POISON}`, BAD],
  ...Object.fromEntries(['HTTP/1.1 20 OK', 'HTTP/1.1 2000 OK', 'HTTP/2 200', 'HTTP/2.0 200 OK', 'HTTP/1.1  200 OK', 'ICY 200 OK', 'HTTP/1.1 200OK', 'HTTP/1.1 099 OK', 'http/1.1 200 OK'].map((line) => [`status line ${line}`, [`${line}\r\nContent-Length: 5\r\n\r\nhello${POISON}`, BAD]])),
  '100 with a body': [`HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello${POISON}`, BAD],
  '100 with chunks': [`HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${POISON}`, BAD],
  '103 with an answer as its body': [`HTTP/1.1 103 Early Hints\r\nContent-Length: ${answer('hello').length}\r\n\r\n${answer('hello')}${POISON}`, 200, 'hello'],
  '100 and 103 before the answer': [`HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n${answer('hello')}${POISON}`, 200, 'hello'],
  '101 that nobody asked for': [`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n${POISON}`, BAD],
  '204 with a body': [`HTTP/1.1 204 No Content\r\nContent-Length: ${POISON.length}\r\n\r\n${POISON}`, 204, ''],
  '204 with chunks': [`HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${POISON}`, 204, ''],
  '304 with a body': [`HTTP/1.1 304 Not Modified\r\nContent-Length: ${POISON.length}\r\n\r\n${POISON}`, 304, ''],
  'a body for HEAD': [`${OK}Content-Length: ${POISON.length}\r\n\r\n${POISON}`, 200, '', 'HEAD'],
  'chunks for HEAD': [`${OK}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n${POISON}`, 200, '', 'HEAD'],
  'an answer behind the answer': [`${answer('hello')}${POISON}`, 200, 'hello'],
  'bytes behind the answer': [`${answer('hello')}HTT`, 200, 'hello'],
  'an empty line behind the answer': [`${answer('hello')}\r\n`, 200, 'hello'],
  'an answer behind an empty one': [`${OK}Content-Length: 0\r\n\r\n${POISON}`, 200, ''],
  'an answer behind the last chunk': [`${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n${POISON}`, 200, 'hello'],
  'Content-Length among the trailers': [`${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: ${POISON.length}\r\n\r\n${POISON}`, 200, 'hello'],
  'an answer as data': [answer(POISON), 200, POISON],
  ...Object.fromEntries(['0x5', '+5', ' 5', '', 'g', '10000000000000005', '5\r', '5;\x01', '-1'].map((size) => [`chunk size ${JSON.stringify(size)}`, [`${OK}Transfer-Encoding: chunked\r\n\r\n${size}\r\nhello\r\n0\r\n\r\n${POISON}`, CUT]])),
  'a chunk before a bare LF': [`${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n${POISON}`, CUT],
  'a chunk size before a bare LF': [`${OK}Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n${POISON}`, CUT],
  'a chunk without a line end': [`${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n${POISON}`, CUT],
  'a trailer without a colon': [`${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n${POISON}`, CUT],
};

describe('ambiguous answers', () => {
  let evil;
  let chains; // name -> port
  let number = 0;

  before(async () => {
    const scripted = new Map(); // target -> bytes
    evil = await startWire(file, (r) => scripted.get(r.target) ?? answer(`<<${r.target}>>`));
    evil.scripted = scripted;
    const gateway = await startGateway(file, config(evil.port, { backends: { maxConnectionsPerOrigin: 1 } }));
    const nginx = await startNginx(file, { us: gateway.port }, 'X-Other');
    const haproxy = await startHaproxy(file, { us: gateway.port }, 'X-Other');
    chains = { alone: gateway.port, 'behind nginx': nginx.us, 'behind HAProxy': haproxy.us };
  });

  async function assertUnharmed(port, what) {
    for (let i = 0; i < 2; i++) {
      const path = `/good/${++number}`;
      const got = await request({ port, path });
      assert.equal(`${got.status} ${got.text}`, `200 <<${path}>>`, `${what}: somebody else's answer`);
    }
  }

  async function ask(port, bytes, method = 'GET') {
    const path = `/evil/${++number}`;
    evil.scripted.set(path, bytes);
    return request({ port, path, method }).then((got) => ({ status: got.status, text: got.text }), () => ({ status: CUT }));
  }

  for (const [name, [bytes, status, text, method]] of Object.entries(ANSWERS)) {
    test(name, async () => {
      const got = await ask(chains.alone, bytes, method);
      assert.equal(got.status, status);
      if (text !== undefined) assert.equal(got.text, text);
      await assertUnharmed(chains.alone, 'alone');
      for (const proxy of ['behind nginx', 'behind HAProxy']) {
        await ask(chains[proxy], bytes, method);
        await assertUnharmed(chains[proxy], proxy);
      }
    });
  }

  // The connection is kept, and idle: what comes on it then is nobody's answer.
  for (const [name, late] of Object.entries({ 'an answer': POISON, 'a byte': 'H', 'an empty line': '\r\n' })) {
    test(`${name} on the idle connection: it is closed`, async () => {
      const path = `/good/${++number}`;
      let socket;
      const script = evil.script;
      evil.script = (r, s) => {
        socket = s;
        return answer(`<<${r.target}>>`);
      };
      const got = await request({ port: chains.alone, path });
      evil.script = script;
      assert.equal(got.text, `<<${path}>>`);
      const closed = new Promise((resolve) => socket.once('close', resolve));
      socket.write(late);
      await within(closed, 'the gateway to close the connection');
      await assertUnharmed(chains.alone, 'alone');
    });
  }
});
