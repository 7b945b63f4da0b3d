// Long bodies through the proxy with the gateway's memory flat, however slow either side is. With TIDEGATE_RELEASE, or a build
// without sanitizers, an answer of 1 GB; with a sanitizer a shorter one.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import { before, describe, test } from 'node:test';
import { forward, httpApi, route } from './lib/config.mjs';
import { binary, isSanitized, MEASURED, startGateway } from './lib/gateway.mjs';
import { fileScope, onEnd } from './lib/scope.mjs';
import { deferred, waitFor, within } from './lib/wait.mjs';

const file = fileScope();
const RELEASE = process.env.TIDEGATE_RELEASE || undefined;
const SANITIZED = isSanitized(RELEASE ?? binary());
const MB = 1024 * 1024;
const LONG = (SANITIZED ? 64 : 1024) * MB;
const UPLOAD = 10 * MB;
// What the resident memory may grow by, in KiB: buffers of a stream are of some 100 KB. A sanitizer keeps freed blocks.
const FLAT = SANITIZED ? 8 * 1024 : 4 * 1024;
const BLOCK = randomBytes(MB);
const TIME = 300000;
let back;
let gw;

// Whether `data`, found at `at` of the stream, is that of the stream of blocks.
function isStream(data, at) {
  for (let done = 0; done < data.length; ) {
    const from = (at + done) % BLOCK.length;
    const len = Math.min(data.length - done, BLOCK.length - from);
    if (BLOCK.compare(data, done, done + len, from, from + len) !== 0) return false;
    done += len;
  }
  return true;
}

// Writes `size` bytes of the stream; `pace(sent)` may wait before each block. progress.sent tells how far it is.
async function pour(out, size, progress = {}, pace) {
  progress.sent = 0;
  while (progress.sent < size && !out.destroyed) {
    await pace?.(progress.sent);
    const len = Math.min(BLOCK.length, size - progress.sent);
    const room = out.write(BLOCK.subarray(0, len));
    progress.sent += len;
    if (!room) await Promise.race([new Promise((resolve) => out.once('drain', resolve)), new Promise((resolve) => out.once('close', resolve))]);
  }
  out.end();
}

// Takes a stream in and checks it: {got, whole (a promise), hold(), go()}.
function drink(stream) {
  const taken = { got: 0 };
  const done = deferred();
  stream.on('data', (data) => {
    if (!isStream(data, taken.got)) done.reject(new Error(`other bytes at ${taken.got}`));
    taken.got += data.length;
  });
  stream.on('end', () => done.resolve(taken.got));
  stream.on('error', done.reject);
  stream.on('aborted', () => done.reject(new Error(`cut after ${taken.got} bytes`)));
  taken.whole = done.promise;
  taken.hold = () => stream.pause();
  taken.go = () => stream.resume();
  return taken;
}

// GET /SIZE pours so many bytes, /SIZE/chunked without a length; POST drinks, and answers with the count. `hold` (set by a
// test) is called with what is drunk.
async function startStore(owner) {
  const store = { pours: [], drinks: [] };
  const server = http.createServer((req, res) => {
    if (req.method === 'GET') {
      const [, size, chunked] = req.url.split('/');
      res.writeHead(200, chunked ? {} : { 'Content-Length': size });
      const progress = {};
      store.pours.push(progress);
      pour(res, Number(size), progress, store.pace);
      return;
    }
    const taken = drink(req);
    store.drinks.push(taken);
    store.hold?.(taken);
    taken.whole.then((count) => res.end(String(count)), () => res.destroy());
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', 4096, resolve));
  store.url = `http://127.0.0.1:${server.address().port}`;
  onEnd(owner, () => {
    server.close();
    server.closeAllConnections();
  });
  return store;
}

const open = (options) => http.request({ port: gw.port, host: '127.0.0.1', agent: false, ...options });

function answerOf(req) {
  return new Promise((resolve, reject) => {
    req.on('response', resolve);
    req.on('error', reject);
  });
}

// Runs `work` and answers by how much the resident memory had grown at most meanwhile, in KiB.
async function growth(work) {
  const start = gw.memory();
  let most = start;
  const timer = setInterval(() => (most = Math.max(most, gw.memory())), 20);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  return Math.max(most, gw.memory()) - start;
}

// Until a figure has stood still for a while: whoever moves it is held.
function standstill(figure, what) {
  let before = -1;
  let since = Date.now();
  return waitFor(
    () => {
      if (figure() !== before) {
        before = figure();
        since = Date.now();
      }
      return Date.now() - since > 500;
    },
    { what, timeout: 60000, interval: 20 },
  );
}

async function download(where, { slow } = {}) {
  const req = open({ path: where });
  req.end();
  const res = await answerOf(req);
  const taken = drink(res);
  await slow?.(taken, back.pours.at(-1));
  return within(taken.whole, 'the whole answer', TIME);
}

async function upload({ chunked, pace, size = UPLOAD } = {}) {
  const req = open({ method: 'POST', path: '/', headers: chunked ? { 'Transfer-Encoding': 'chunked' } : { 'Content-Length': size } });
  const answered = answerOf(req);
  answered.catch(() => {});
  await pour(req, size, {}, pace);
  const res = await within(answered, 'an answer', TIME);
  let text = '';
  for await (const part of res) text += part;
  return [res.statusCode, text];
}

before(async () => {
  back = await startStore(file);
  gw = await startGateway(file, { workers: 1, apis: [httpApi({ integrations: [forward('s', back.url)], routes: [route('$default', 's')] })] }, { ...MEASURED, ...(RELEASE ? { binary: RELEASE } : {}) });
  // Warm: what is measured is not the first use of anything.
  for (const where of [`/${16 * MB}`, `/${16 * MB}/chunked`]) assert.equal(await download(where), 16 * MB);
  for (const chunked of [false, true]) assert.deepEqual(await upload({ chunked }), [200, String(UPLOAD)]);
});

function assertFlat(t, grown, what) {
  t.diagnostic(`${what}: resident memory ${grown} KiB more at most`);
  assert.ok(grown < FLAT, `${grown} KiB more, ${FLAT} allowed`);
}

describe(`stream: an answer of ${LONG / MB} MB`, () => {
  for (const chunked of [false, true]) {
    const where = `/${LONG}${chunked ? '/chunked' : ''}`;
    const how = chunked ? 'chunked' : 'with a length';

    test(`stream: 1.9 a long answer ${how}: whole, memory flat`, { timeout: TIME }, async (t) => {
      const began = Date.now();
      const grown = await growth(async () => assert.equal(await download(where), LONG));
      t.diagnostic(`${(LONG / MB / ((Date.now() - began) / 1000)).toFixed(0)} MB/s`);
      assertFlat(t, grown, how);
    });
  }

  test('stream: 1.9 a slow reader: the back end is held, nothing is lost, memory flat', { timeout: TIME }, async (t) => {
    let heldAt = 0;
    const grown = await growth(async () => {
      const got = await download(`/${LONG}`, {
        slow: async (taken, progress) => {
          for (let pause = 0; pause < 3; pause++) {
            taken.hold();
            await standstill(() => progress.sent, 'the back end to be held');
            heldAt = progress.sent;
            const from = taken.got;
            taken.go();
            await waitFor(() => taken.got > from + MB, { what: 'more' });
          }
        },
      });
      assert.equal(got, LONG);
    });
    assert.ok(heldAt < LONG, 'the back end could send all of it');
    assertFlat(t, grown, `held at ${(heldAt / MB).toFixed(0)} MB`);
  });

  test('stream: 1.9 a reader that goes in the middle: the back end stops, memory flat', { timeout: TIME }, async (t) => {
    const grown = await growth(async () => {
      const req = open({ path: `/${LONG}` });
      req.end();
      const res = await answerOf(req);
      const taken = drink(res);
      taken.whole.catch(() => {});
      await waitFor(() => taken.got > MB, { what: 'a beginning' });
      req.on('error', () => {});
      taken.hold();
      req.destroy();
      await standstill(() => back.pours.at(-1).sent, 'the back end to stop');
      assert.ok(back.pours.at(-1).sent < LONG);
    });
    assertFlat(t, grown, 'gone');
  });

  test('stream: 1.9 a slow back end: an answer in many small pieces', { timeout: TIME }, async (t) => {
    const size = SANITIZED ? 20 * MB : 40 * MB;
    back.pace = () => new Promise((resolve) => setTimeout(resolve, 20));
    try {
      const grown = await growth(async () => assert.equal(await download(`/${size}`), size));
      assertFlat(t, grown, 'slow back end');
    } finally {
      back.pace = undefined;
    }
  });
});

describe('stream: 10 MB up', () => {
  for (const chunked of [false, true]) {
    const how = chunked ? 'chunked' : 'with a length';
    test(`stream: 1.9 an upload ${how}: whole, memory flat`, { timeout: TIME }, async (t) => {
      const grown = await growth(async () => {
        for (let i = 0; i < 5; i++) assert.deepEqual(await upload({ chunked }), [200, String(UPLOAD)]);
      });
      assertFlat(t, grown, how);
    });

    test(`stream: 1.9 a slow sender ${how}: what has come goes on, memory flat`, { timeout: TIME }, async (t) => {
      const count = back.drinks.length;
      const grown = await growth(async () => {
        // Each block only when the back end has the one before.
        const pace = (sent) => waitFor(() => sent === 0 || back.drinks[count]?.got === sent, { what: `${sent} bytes at the back end`, interval: 5 });
        assert.deepEqual(await upload({ chunked, pace }), [200, String(UPLOAD)]);
      });
      assertFlat(t, grown, how);
    });

    test(`stream: 1.9 a back end that reads slowly (${how}): the client is held, memory flat`, { timeout: TIME }, async (t) => {
      const held = deferred();
      back.hold = (taken) => {
        taken.hold();
        held.resolve(taken);
      };
      try {
        const grown = await growth(async () => {
          const sent = upload({ chunked });
          const taken = await within(held.promise, 'the upload to begin');
          await standstill(() => taken.got, 'nothing to come');
          taken.go();
          assert.deepEqual(await sent, [200, String(UPLOAD)]);
        });
        assertFlat(t, grown, how);
      } finally {
        back.hold = undefined;
      }
    });
  }

  // Buffers: one read of the client's and 64 KB towards the back end each, beside the connections themselves.
  test('stream: 1.9 100 slow senders to a back end that does not read: bounded, then all whole', { timeout: TIME }, async (t) => {
    const count = 100;
    const holding = [];
    back.hold = (taken) => {
      taken.hold();
      holding.push(taken);
    };
    const run = async () => {
      holding.length = 0;
      const uploads = Array.from({ length: count }, (_, i) => upload({ chunked: i % 2 === 0, size: 4 * MB, pace: () => new Promise((resolve) => setTimeout(resolve, 10)) }));
      await waitFor(() => holding.length === count, { what: 'all uploads', timeout: 60000 });
      await standstill(() => gw.memory(), 'memory to settle');
      const full = gw.memory();
      for (const taken of holding) taken.go();
      for (const got of await Promise.all(uploads)) assert.deepEqual(got, [200, String(4 * MB)]);
      return full;
    };
    try {
      const start = gw.memory();
      const full = await run();
      const each = (full - start) / count;
      const again = (await run()) - full;
      t.diagnostic(`resident: ${each.toFixed(0)} KiB for each of ${count} uploads that stand still, ${again} KiB more the second time`);
      assert.ok(each < (SANITIZED ? 1024 : 256), `${each} KiB each`);
      assert.ok(again < FLAT, `${again} KiB more the second time`);
    } finally {
      back.hold = undefined;
    }
  });

  test('stream: 1.9 100 senders who each wait long between their bytes', { timeout: TIME }, async (t) => {
    const size = 64 * 1024;
    const piece = 4096;
    const start = gw.memory();
    const base = back.drinks.length;
    const senders = await Promise.all(
      Array.from({ length: 100 }, async () => {
        const req = open({ method: 'POST', path: '/', headers: { 'Content-Length': size } });
        const answered = answerOf(req);
        answered.catch(() => {});
        req.flushHeaders();
        return { req, answered };
      }),
    );
    await waitFor(() => back.drinks.length === base + 100, { what: 'all senders' });
    for (let sent = 0; sent < size; sent += piece) {
      for (const { req } of senders) req.write(BLOCK.subarray(sent, sent + piece));
      await waitFor(() => back.drinks.slice(-100).every((taken) => taken.got >= sent + piece), { what: `${sent + piece} bytes of each`, timeout: 30000 });
    }
    const full = gw.memory();
    for (const { req, answered } of senders) {
      req.end();
      const res = await answered;
      assert.equal(res.statusCode, 200);
      res.resume();
    }
    const each = (full - start) / senders.length;
    t.diagnostic(`resident: ${each.toFixed(0)} KiB for each slow sender`);
    assert.ok(each < (SANITIZED ? 512 : 128), `${each} KiB each`);
  });
});
