// STATIC integrations: files of a directory, through routes of HTTP APIs (beyond the reference; RFC 9110).
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import zlib from 'node:zlib';
import { httpApi, route } from './lib/config.mjs';
import { run, startGateway, tempDir } from './lib/gateway.mjs';
import { connectRaw } from './lib/raw.mjs';
import { fileScope } from './lib/scope.mjs';
import { waitFor } from './lib/wait.mjs';

const file = fileScope();
const OLD = new Date('2024-05-06T07:08:09Z'); // files that have rested have strong ETags
const BIG = Buffer.alloc(3 << 20, (() => Buffer.from(Array.from({ length: 9973 }, (_, i) => (i * 31) & 255)))());

let root; // what is served
let outside; // what must never be
let gw;

function put(name, content, when = OLD) {
  const full = path.join(root, name);
  fs.mkdirSync(path.dirname(full), { recursive: true });
  fs.writeFileSync(full, content);
  fs.utimesSync(full, when, when);
  return full;
}

const files = (integrationId, settings = {}) => ({ integrationId, integrationType: 'STATIC', static: { directory: root, ...settings } });

function api(apiId, settings, { routes, ...more } = {}) {
  return httpApi({
    apiId,
    integrations: [files('files', settings), ...(more.integrations ?? [])],
    routes: routes ?? [route('ANY /', 'files'), route('ANY /{file+}', 'files')],
    ...(more.cors ? { corsConfiguration: more.cors } : {}),
    stages: [{ stageName: '$default', accessLogSettings: { destinationArn: 'stdout', format: `{"api":"${apiId}","status":"$context.status","length":"$context.responseLength","error":"$context.error.responseType","id":"$context.requestId"}` } }],
  });
}

const config = () => ({
  apis: [
    api('plain', {}),
    api('below', {}, { routes: [route('GET /assets/{file+}', 'files'), route('GET /assets', 'files')] }),
    api('fallback', { fallbackDocument: 'app.html', cacheControl: 'public, max-age=60' }),
    api('notfound', { fallbackDocument: 'errors/404.html', fallbackStatus: 404 }),
    api('coded', { precompressed: true, mediaTypes: { '.TIDE': 'application/x-tide', html: 'text/html' }, dotFiles: true, indexDocument: 'start.html', allowSniffing: true }),
    api('mapped', {}, { cors: { allowOrigins: ['https://app.test'] }, integrations: [{ ...files('mapping'), responseParameters: { 200: { 'overwrite:header.x-served-by': 'tide', 'remove:header.etag': "''" } } }], routes: [route('GET /{file+}', 'mapping')] }),
    api('default', {}, { routes: [route('$default', 'files')] }),
  ],
});

before(async () => {
  outside = tempDir(file);
  fs.writeFileSync(path.join(outside, 'secret.txt'), 'secret');
  root = path.join(tempDir(file), 'root');
  fs.mkdirSync(root);
  fs.writeFileSync(path.join(root, '..', 'secret.txt'), 'secret');
  put('index.html', '<h1>front</h1>');
  put('start.html', '<h1>start</h1>');
  put('app.html', '<h1>app</h1>');
  put('errors/404.html', '<h1>no such page</h1>');
  put('docs/index.html', '<h1>docs</h1>');
  put('bare/leaf.txt', 'leaf');
  put('a b/ü.txt', 'umlaut');
  put('style.css', 'p{}');
  put('script.mjs', 'export {}');
  put('pixel.PNG', Buffer.from([0x89, 0x50]));
  put('data.json', '{}');
  put('odd.tide', 'tide');
  put('unknown', '?');
  put('empty.txt', '');
  put('digits.txt', '0123456789');
  put('big.bin', BIG);
  put('.hidden', 'hidden');
  put('.git/config', 'hidden');
  put('plain.txt', 'plain text '.repeat(100));
  put('plain.txt.gz', zlib.gzipSync('plain text '.repeat(100)));
  put('plain.txt.br', zlib.brotliCompressSync('plain text '.repeat(100)));
  fs.symlinkSync('docs/index.html', path.join(root, 'inner-link.html'));
  fs.symlinkSync(path.join(outside, 'secret.txt'), path.join(root, 'link-out.txt'));
  fs.symlinkSync('../secret.txt', path.join(root, 'link-up.txt'));
  fs.symlinkSync(outside, path.join(root, 'dir-out'));
  gw = await startGateway(file, config());
});

const on = (apiId, where, options = {}) => gw.get(where, { ...options, headers: { Host: `${apiId}.test`, ...options.headers } });
const get = (where, headers = {}, more = {}) => on('plain', where, { headers, ...more });

describe('files', () => {
  const types = {
    'index.html': 'text/html; charset=utf-8',
    'style.css': 'text/css; charset=utf-8',
    'script.mjs': 'text/javascript; charset=utf-8',
    'digits.txt': 'text/plain; charset=utf-8',
    'pixel.PNG': 'image/png',
    'data.json': 'application/json',
    unknown: 'application/octet-stream',
    'odd.tide': 'application/octet-stream',
  };
  for (const [name, type] of Object.entries(types)) {
    test(`${name} is ${type}`, async () => {
      const answer = await get(`/${name}`);
      assert.deepEqual([answer.status, answer.headers['content-type']], [200, type]);
      assert.deepEqual(answer.body, fs.readFileSync(path.join(root, name)));
      assert.equal(answer.headers['content-length'], String(answer.body.length));
      assert.equal(answer.headers['last-modified'], OLD.toUTCString());
      assert.match(answer.headers.etag, /^"[0-9a-f]+-[0-9a-f]{16}"$/);
      assert.equal(answer.headers['accept-ranges'], 'bytes');
      assert.equal(answer.headers['x-content-type-options'], 'nosniff');
      assert.match(answer.headers['apigw-requestid'], /^[A-Za-z0-9_-]{15}=$/);
      assert.ok(!('cache-control' in answer.headers));
    });
  }

  test('an empty file, a name with blanks and umlauts, a query that is not part of the name', async () => {
    const empty = await get('/empty.txt');
    assert.deepEqual([empty.status, empty.text, empty.headers['content-length']], [200, '', '0']);
    assert.equal((await get('/a%20b/%C3%BC.txt?v=1&x=/../')).text, 'umlaut');
    assert.equal((await get('/./docs/./index.html')).text, '<h1>docs</h1>');
  });

  test('a file of three megabytes, whole', async () => {
    const answer = await get('/big.bin');
    assert.equal(answer.headers['content-length'], String(BIG.length));
    assert.ok(answer.body.equals(BIG));
  });

  test('HEAD: the head of GET and nothing behind it', async () => {
    const peer = await connectRaw(file, { port: gw.port });
    for (const name of ['digits.txt', 'big.bin']) {
      peer.write(`HEAD /${name} HTTP/1.1\r\nHost: plain.test\r\n\r\n`);
      const head = await peer.response({ bodyless: true });
      const whole = await get(`/${name}`);
      assert.equal(head.status, 200);
      for (const field of ['content-length', 'content-type', 'etag', 'last-modified', 'accept-ranges']) assert.equal(head.headers[field], whole.headers[field], field);
    }
    peer.write('GET /digits.txt HTTP/1.1\r\nHost: plain.test\r\n\r\n');
    assert.equal((await peer.response()).text, '0123456789');
    peer.destroy();
  });

  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
    test(`${method} is 405`, async () => {
      const body = method === 'POST' || method === 'PUT' ? 'x' : undefined;
      const answer = await get('/digits.txt', body ? { 'Content-Length': 1 } : {}, { method, body });
      assert.deepEqual([answer.status, answer.headers.allow, answer.text], [405, 'GET, HEAD', '{"message":"Method Not Allowed"}']);
    });
  }
});

describe('directories', () => {
  test('index.html of the root and of a directory', async () => {
    assert.equal((await get('/')).text, '<h1>front</h1>');
    assert.equal((await get('/docs/')).text, '<h1>docs</h1>');
  });

  test('without its slash a directory is redirected, relative to what was asked for', async () => {
    const answer = await get('/docs?a=b');
    assert.deepEqual([answer.status, answer.headers.location], [301, './docs/?a=b']);
    const odd = await get('//docs');
    assert.ok(odd.status === 404 || new URL(odd.headers.location, 'http://plain.test//docs').host === 'plain.test', odd.text);
  });

  test('no listing: a directory without index document is not there', async () => {
    for (const where of ['/bare/', '/bare', '/errors/']) assert.equal((await get(where)).status, 404, where);
    assert.equal((await get('/bare/leaf.txt')).text, 'leaf');
  });

  test('a file is no directory', async () => {
    for (const where of ['/digits.txt/', '/digits.txt/x']) assert.equal((await get(where)).status, 404, where);
  });

  test('the greedy part of a route is the name; another route is the directory itself', async () => {
    assert.equal((await on('below', '/assets/digits.txt')).text, '0123456789');
    assert.equal((await on('below', '/assets/docs/')).text, '<h1>docs</h1>');
    assert.equal((await on('below', '/assets/assets/digits.txt')).status, 404);
    assert.deepEqual([(await on('below', '/assets')).status, (await on('below', '/assets')).headers.location], [301, './assets/']);
  });

  test('of $default the whole path is the name', async () => {
    assert.equal((await on('default', '/docs/index.html')).text, '<h1>docs</h1>');
    assert.equal((await on('default', '/')).text, '<h1>front</h1>');
  });

  test('what does not exist is 404, in the form of the API', async () => {
    const answer = await get('/no/such.txt');
    assert.deepEqual([answer.status, answer.text, answer.headers['content-type']], [404, '{"message":"Not Found"}', 'application/json']);
    assert.ok('apigw-requestid' in answer.headers);
  });
});

describe('no way out', () => {
  const ways = [
    '/../secret.txt',
    '/%2e%2e/secret.txt',
    '/%2E%2E%2Fsecret.txt',
    '/..%2fsecret.txt',
    '/docs/../../secret.txt',
    '/docs/%2e%2e/%2e%2e/secret.txt',
    '/docs/..%2F..%2Fsecret.txt',
    '/..%5csecret.txt',
    '/..\\secret.txt',
    '/%252e%252e/secret.txt',
    '/.%2e/secret.txt',
    '/./../secret.txt',
    '//../secret.txt',
    '/..;/secret.txt',
    '/%c0%ae%c0%ae/secret.txt',
    '/docs/%00/../secret.txt',
    '/secret.txt%00.html',
    '/link-out.txt',
    '/link-up.txt',
    '/dir-out/secret.txt',
    '/dir-out/',
    '/etc/passwd',
    '//etc/passwd',
    '/%2fetc/passwd',
    '/file:///etc/passwd',
    '/...//secret.txt',
    '/digits.txt/../../secret.txt',
  ];
  for (const where of ways) {
    test(where, async () => {
      for (const [apiId, prefix] of [['plain', ''], ['below', '/assets'], ['default', ''], ['coded', '']]) {
        const answer = await on(apiId, prefix + where);
        assert.ok([400, 403, 404].includes(answer.status), `${apiId}: ${answer.status} ${answer.text}`);
        assert.ok(!answer.text.includes('secret') && !answer.text.includes('root:'), answer.text);
      }
    });
  }

  test('a request in absolute form is no way out either', async () => {
    const peer = await connectRaw(file, { port: gw.port });
    peer.write('GET http://plain.test/../secret.txt HTTP/1.1\r\nHost: plain.test\r\n\r\n');
    assert.ok([400, 404].includes((await peer.response()).status));
    peer.destroy();
  });

  test('links inside the directory are followed', async () => {
    assert.equal((await get('/inner-link.html')).text, '<h1>docs</h1>');
  });

  test('names that begin with a dot are there only where dotFiles says so', async () => {
    for (const where of ['/.hidden', '/.git/config', '/%2ehidden']) assert.equal((await get(where)).status, 404, where);
    assert.equal((await on('coded', '/.hidden')).text, 'hidden');
  });

  test('a file that may not be read is not sent', async (t) => {
    if (process.getuid() === 0) return t.skip('root reads everything');
    fs.chmodSync(put('locked.txt', 'locked'), 0);
    assert.equal((await get('/locked.txt')).status, 403);
  });
});

describe('conditional requests', () => {
  let etag;
  const since = (delta) => new Date(OLD.getTime() + delta * 1000).toUTCString();
  before(async () => (etag = (await get('/digits.txt')).headers.etag));

  const rows = [
    ['If-None-Match of the ETag', () => ({ 'If-None-Match': etag }), 304],
    ['If-None-Match in a list, weak', () => ({ 'If-None-Match': `"x", W/${etag}` }), 304],
    ['If-None-Match *', () => ({ 'If-None-Match': '*' }), 304],
    ['If-None-Match of another', () => ({ 'If-None-Match': '"x"' }), 200],
    ['If-None-Match of another before If-Modified-Since', () => ({ 'If-None-Match': '"x"', 'If-Modified-Since': since(0) }), 200],
    ['If-Modified-Since the same second', () => ({ 'If-Modified-Since': since(0) }), 304],
    ['If-Modified-Since a second before', () => ({ 'If-Modified-Since': since(-1) }), 200],
    ['If-Modified-Since that is no date', () => ({ 'If-Modified-Since': 'yesterday' }), 200],
    ['If-Match of the ETag', () => ({ 'If-Match': etag }), 200],
    ['If-Match of another', () => ({ 'If-Match': '"x"' }), 412],
    ['If-Match weak', () => ({ 'If-Match': `W/${etag}` }), 412],
    ['If-Unmodified-Since the same second', () => ({ 'If-Unmodified-Since': since(0) }), 200],
    ['If-Unmodified-Since a second before', () => ({ 'If-Unmodified-Since': since(-1) }), 412],
  ];
  for (const [what, headers, status] of rows) {
    test(`${what}: ${status}`, async () => {
      const answer = await get('/digits.txt', headers());
      assert.equal(answer.status, status, answer.text);
      assert.equal(answer.text, { 200: '0123456789', 304: '', 412: '{"message":"Precondition Failed"}' }[status]);
      if (status === 304) assert.deepEqual([answer.headers.etag, answer.headers['last-modified']], [etag, OLD.toUTCString()]);
    });
  }

  test('a file that has just changed has a weak ETag, which changes with it', async () => {
    const full = put('fresh.txt', 'one', new Date());
    const first = await get('/fresh.txt');
    assert.match(first.headers.etag, /^W\//);
    assert.equal((await get('/fresh.txt', { 'If-None-Match': first.headers.etag })).status, 304);
    fs.writeFileSync(full, 'other');
    const second = await get('/fresh.txt', { 'If-None-Match': first.headers.etag });
    assert.deepEqual([second.status, second.text], [200, 'other']);
  });
});

describe('ranges', () => {
  const rows = [
    ['bytes=0-0', 206, '0', 'bytes 0-0/10'],
    ['bytes=2-4', 206, '234', 'bytes 2-4/10'],
    ['bytes=7-', 206, '789', 'bytes 7-9/10'],
    ['bytes=-3', 206, '789', 'bytes 7-9/10'],
    ['bytes=-100', 206, '0123456789', 'bytes 0-9/10'],
    ['bytes=5-100', 206, '56789', 'bytes 5-9/10'],
    ['BYTES=1-1', 206, '1', 'bytes 1-1/10'],
    ['bytes=10-', 416, '{"message":"Range Not Satisfiable"}', 'bytes */10'],
    ['bytes=-0', 416, '{"message":"Range Not Satisfiable"}', 'bytes */10'],
    ['bytes=4-2', 200, '0123456789', undefined],
    ['lines=1-2', 200, '0123456789', undefined],
    ['bytes=x', 200, '0123456789', undefined],
    ['bytes=0-5,3-8', 200, '0123456789', undefined],
    [`bytes=${Array.from({ length: 17 }, () => '0-0').join(',')}`, 200, '0123456789', undefined],
    ['bytes=0-1,99-', 206, '01', 'bytes 0-1/10'],
  ];
  for (const [range, status, body, contentRange] of rows) {
    test(`${range.slice(0, 30)}: ${status}`, async () => {
      const answer = await get('/digits.txt', { Range: range });
      assert.deepEqual([answer.status, answer.text, answer.headers['content-range']], [status, body, contentRange]);
      assert.equal(answer.headers['content-length'], String(body.length));
    });
  }

  test('several ranges: multipart/byteranges', async () => {
    const answer = await get('/digits.txt', { Range: 'bytes=0-1, 8-' });
    assert.equal(answer.status, 206);
    const boundary = /^multipart\/byteranges; boundary=(\S+)$/.exec(answer.headers['content-type'])[1];
    const part = (range, text) => `--${boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes ${range}/10\r\n\r\n${text}\r\n`;
    assert.equal(answer.text, `${part('0-1', '01')}${part('8-9', '89')}--${boundary}--\r\n`);
    assert.equal(answer.headers['content-length'], String(answer.body.length));
  });

  test('If-Range: the range only while the ETag or the date holds', async () => {
    const { etag } = (await get('/digits.txt')).headers;
    const statuses = [];
    for (const value of [etag, `W/${etag}`, '"x"', OLD.toUTCString(), new Date(OLD.getTime() + 1000).toUTCString()]) {
      statuses.push((await get('/digits.txt', { Range: 'bytes=0-1', 'If-Range': value })).status);
    }
    assert.deepEqual(statuses, [206, 200, 200, 206, 200]);
  });

  test('HEAD ignores Range', async () => {
    const answer = await get('/digits.txt', { Range: 'bytes=0-1' }, { method: 'HEAD' });
    assert.deepEqual([answer.status, answer.headers['content-length']], [200, '10']);
  });

  test('a range in the middle of a large file, and a download that is resumed', async () => {
    const middle = await get('/big.bin', { Range: 'bytes=1000000-2999999' });
    assert.ok(middle.body.equals(BIG.subarray(1000000, 3000000)));
    const { etag } = (await get('/big.bin', {}, { method: 'HEAD' })).headers;
    const rest = await get('/big.bin', { Range: 'bytes=3000000-', 'If-Range': etag });
    assert.deepEqual([rest.status, rest.body.equals(BIG.subarray(3000000))], [206, true]);
  });
});

describe('settings', () => {
  test('fallbackDocument answers for what does not exist, with its status', async () => {
    const app = await on('fallback', '/users/17');
    assert.deepEqual([app.status, app.text, app.headers['content-type'], app.headers['cache-control']], [200, '<h1>app</h1>', 'text/html; charset=utf-8', 'public, max-age=60']);
    assert.equal((await on('fallback', '/users/17', { headers: { 'If-None-Match': app.headers.etag } })).status, 304);
    const page = await on('notfound', '/users/17', { headers: { Range: 'bytes=0-1' } });
    assert.deepEqual([page.status, page.text], [404, '<h1>no such page</h1>']);
    assert.equal((await on('notfound', '/digits.txt')).text, '0123456789');
    assert.equal((await on('fallback', '/..%2fsecret.txt')).status, 400);
  });

  test('cacheControl stands on files, not on errors', async () => {
    assert.equal((await on('fallback', '/digits.txt')).headers['cache-control'], 'public, max-age=60');
    assert.ok(!('cache-control' in (await on('fallback', '/digits.txt', { method: 'POST' })).headers));
  });

  test('precompressed: the coded file beside, to who accepts it', async () => {
    const text = 'plain text '.repeat(100);
    const rows = [
      ['gzip, br', 'br', zlib.brotliDecompressSync],
      ['gzip', 'gzip', zlib.gunzipSync],
      ['br;q=0.5, gzip', 'gzip', zlib.gunzipSync],
      ['br;q=0, identity', undefined, (b) => b],
      [undefined, undefined, (b) => b],
    ];
    for (const [accept, coding, decode] of rows) {
      const answer = await on('coded', '/plain.txt', { headers: accept ? { 'Accept-Encoding': accept } : {} });
      assert.deepEqual([answer.headers['content-encoding'], answer.headers.vary, answer.headers['content-type']], [coding, 'Accept-Encoding', 'text/plain; charset=utf-8'], accept);
      assert.equal(decode(answer.body).toString(), text, accept);
    }
    assert.ok(!('content-encoding' in (await get('/plain.txt', { 'Accept-Encoding': 'gzip, br' })).headers));
    assert.ok(!('content-encoding' in (await on('coded', '/digits.txt', { headers: { 'Accept-Encoding': 'gzip' } })).headers));
  });

  test('mediaTypes, indexDocument, allowSniffing', async () => {
    assert.equal((await on('coded', '/odd.tide')).headers['content-type'], 'application/x-tide');
    const start = await on('coded', '/');
    assert.deepEqual([start.text, start.headers['content-type'], start.headers['x-content-type-options']], ['<h1>start</h1>', 'text/html', undefined]);
  });

  test('response mapping and CORS apply to files', async () => {
    const answer = await on('mapped', '/digits.txt', { headers: { Origin: 'https://app.test' } });
    assert.deepEqual([answer.headers['x-served-by'], answer.headers.etag, answer.headers['access-control-allow-origin']], ['tide', undefined, 'https://app.test']);
    const none = await on('mapped', '/none', { headers: { Origin: 'https://app.test' } });
    assert.deepEqual([none.status, none.headers['x-served-by'], none.headers['access-control-allow-origin']], [404, undefined, 'https://app.test']);
  });

  test('a directory that is not there, or an odd setting, is refused when the file is checked', async () => {
    const wrong = path.join(tempDir(file), 'wrong.json');
    for (const [settings, says] of [[{ directory: path.join(root, 'none') }, /there is no such directory/], [{ fallbackStatus: 301, fallbackDocument: 'x' }, /the fallback's status must be 200 or 400 to 599/], [{ indexDocument: '../x' }, /the index document/]]) {
      fs.writeFileSync(wrong, JSON.stringify({ listeners: [{ address: '127.0.0.1:0' }], apis: [api('x', settings)] }));
      const { code, output } = await run(['check', wrong]);
      assert.notEqual(code, 0);
      assert.match(output, says);
    }
  });
});

describe('while it runs', () => {
  test('a file that is replaced, added, removed is so at once', async () => {
    put('live.txt', 'one');
    assert.equal((await get('/live.txt')).text, 'one');
    put('next.txt', 'two');
    fs.renameSync(path.join(root, 'next.txt'), path.join(root, 'live.txt'));
    assert.equal((await get('/live.txt')).text, 'two');
    fs.rmSync(path.join(root, 'live.txt'));
    assert.equal((await get('/live.txt')).status, 404);
  });

  test('a download that its client leaves is no fault of the integration', async () => {
    fs.truncateSync(put('sparse.bin', ''), 64 << 20);
    const peer = await connectRaw(file, { port: gw.port });
    peer.write('GET /sparse.bin HTTP/1.1\r\nHost: plain.test\r\n\r\n');
    await waitFor(() => peer.received > 1000, { what: 'the begin of the file' });
    peer.pause();
    const before_ = gw.log().length;
    peer.socket.resetAndDestroy();
    const line = await waitFor(() => gw.log().slice(before_).split('\n').find((l) => l.startsWith('{"api":"plain"')), { what: 'its line in the access log' });
    const { status, length, error } = JSON.parse(line);
    assert.ok(Number(length) < 64 << 20, line);
    assert.deepEqual([status, error], ['200', 'DEFAULT_4XX'], line);
  });

  test('reload: a replaced directory and new settings, while a download on the old ones ends whole', async () => {
    const peer = await connectRaw(file, { port: gw.port });
    peer.pause();
    peer.write('GET /big.bin HTTP/1.1\r\nHost: plain.test\r\n\r\n');
    await waitFor(() => peer.socket.bytesWritten > 0, { what: 'the request' });
    assert.equal((await get('/digits.txt')).text, '0123456789');
    const old = root;
    fs.renameSync(root, `${root}.old`);
    fs.mkdirSync(root);
    put('index.html', '<h1>new</h1>');
    const next = config();
    next.apis[0] = api('plain', { cacheControl: 'no-store' });
    for (const a of next.apis) for (const i of a.integrations) i.static.fallbackDocument = undefined;
    await gw.reload(next, async () => (await get('/')).headers['cache-control'] === 'no-store');
    assert.equal((await get('/')).text, '<h1>new</h1>');
    assert.equal((await get('/digits.txt')).status, 404);
    fs.rmSync(`${old}.old`, { recursive: true });
    peer.resume();
    const whole = await peer.response({ timeout: 20000 });
    assert.ok(whole.body.equals(BIG), `${whole.body.length} bytes`);
    peer.destroy();
  });
});
