// An express application as its users deploy it: behind @codegenie/serverless-express and serverless-http, in a
// Lambda-compatible runtime (serverless-offline), by payload formats 1.0 and 2.0. None of it knows of the gateway.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { httpApi, lambda, route } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { startOffline } from './lib/offline.mjs';
import { fileScope } from './lib/scope.mjs';

const file = fileScope();
const ADAPTERS = { '@codegenie/serverless-express': 'express', 'serverless-http': 'express-http' };
const hostOf = (name, format) => `${name}-${format === '1.0' ? 'one' : 'two'}.execute-api.us-east-1.amazonaws.com`;

let gw;

before(async () => {
  const runtime = await startOffline(file);
  const apis = Object.values(ADAPTERS).flatMap((name) =>
    ['1.0', '2.0'].map((payloadFormatVersion) =>
      httpApi({ apiId: hostOf(name, payloadFormatVersion).split('.')[0], integrations: [lambda(name, { payloadFormatVersion })], routes: [route('ANY /{proxy+}', name)] }),
    ),
  );
  gw = await startGateway(file, { functions: Object.fromEntries(Object.values(ADAPTERS).map((name) => [name, { endpoint: runtime.endpoint }])), apis });
});

for (const [adapter, name] of Object.entries(ADAPTERS)) {
  for (const format of ['1.0', '2.0']) {
    describe(`${adapter}, format ${format}`, () => {
      const ask = (path, { method = 'GET', headers = {}, body } = {}) => {
        const length = body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) };
        return gw.get(path, { method, headers: { Host: hostOf(name, format), ...length, ...headers }, body });
      };

      test('1.6 path, query, headers and cookies reach the application', async () => {
        const answer = await ask('/pets/caf%C3%A9?tag=a%20b', { headers: { 'User-Agent': 'TestAgent', Cookie: 'a=1; b=2' } });
        assert.equal(answer.status, 200, answer.text);
        assert.equal(answer.headers['content-type'], 'application/json; charset=utf-8');
        const got = JSON.parse(answer.text);
        assert.deepEqual(got, { id: 'café', tag: 'a b', agent: 'TestAgent', cookies: got.cookies, host: hostOf(name, format) });
        assert.deepEqual(got.cookies.split(/; ?/), ['a=1', 'b=2']);
      });

      test('1.6.2 JSON and forms', async () => {
        const json = await ask('/pets', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"name":"Rex","ß":"☕"}' });
        assert.deepEqual([json.status, json.headers.location, JSON.parse(json.text)], [201, '/pets/17', { name: 'Rex', ß: '☕' }]);
        const form = await ask('/pets', { method: 'POST', headers: { 'Content-Type': 'application/x-www-form-urlencoded' }, body: 'name=Rex&age=3%2B1' });
        assert.deepEqual([form.status, JSON.parse(form.text)], [201, { name: 'Rex', age: '3+1' }]);
      });

      test('1.8 bytes both ways', async () => {
        const bytes = Buffer.from([0, 255, 0x80, 10, 13, 1]);
        const answer = await ask('/bytes', { method: 'POST', headers: { 'Content-Type': 'application/octet-stream' }, body: bytes });
        assert.equal(answer.status, 200, answer.text);
        assert.deepEqual(answer.body, Buffer.from(bytes).reverse());
        const image = await ask('/image');
        assert.deepEqual([image.headers['content-type'], image.body], ['image/png', Buffer.from([0x89, 0x50, 0x4e, 0x47, 0, 255])]);
      });

      test('1.8 several cookies and a redirect', async () => {
        const answer = await ask('/login');
        assert.deepEqual([answer.status, answer.headers.location], [302, '/pets/1']);
        assert.deepEqual(answer.headers['set-cookie'], ['session=a%20b; Path=/; HttpOnly', 'theme=dark; Path=/']);
      });

      test('conditional requests: the 304 of the application', async () => {
        const first = await ask('/pets/1');
        const again = await ask('/pets/1', { headers: { 'If-None-Match': first.headers.etag } });
        assert.deepEqual([again.status, again.text, again.headers.etag], [304, '', first.headers.etag]);
      });

      test('errors of the application are its own', async () => {
        const broken = await ask('/broken');
        assert.deepEqual([broken.status, broken.text], [500, '{"error":"a fault of the application"}']);
        const missing = await ask('/no/such/page');
        assert.equal(missing.status, 404);
        assert.match(missing.text, /Cannot GET \/no\/such\/page/);
      });
    });
  }
}
