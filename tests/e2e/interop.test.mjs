// Clients of other families: Python websockets, Chromium, libwebsockets; and ws with its defaults.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { dial } from './lib/client.mjs';
import { openBrowser } from './lib/browser.mjs';
import { appApi } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { echo, startLambda } from './lib/lambda.mjs';
import { fileScope } from './lib/scope.mjs';
import { PYTHON, exec, script } from './lib/tools.mjs';

const file = fileScope();
let fn;
let gw;

before(async () => {
  fn = await startLambda(file, {
    app: (event) => {
      const { eventType } = event.requestContext;
      const offered = event.headers?.['Sec-WebSocket-Protocol'];
      if (eventType === 'CONNECT' && offered) return { statusCode: 200, headers: { 'Sec-WebSocket-Protocol': offered.split(',')[0].trim() } };
      return echo(event);
    },
  });
  gw = await startGateway(file, { functions: fn.table('app'), apis: [appApi()] });
});

const MESSAGES = ['{"action":"echo"}', '{"action":"echo","text":"grüße \u{1f600}"}', `{"action":"echo","x":"${'y'.repeat(20000)}"}`];

const lastEnd = async (tag) => {
  const connect = await fn.event((c) => c.event?.queryStringParameters?.tag === tag);
  return (await fn.event({ eventType: 'DISCONNECT', connectionId: connect.requestContext.connectionId })).requestContext;
};

describe('interop', () => {
  test('interop: ws with its defaults (it offers permessage-deflate)', async (t) => {
    const client = await dial(t, gw.url(), { perMessageDeflate: true });
    for (const message of MESSAGES) assert.equal(await client.ask(message), message);
    await client.close();
  });

  test('interop: Python websockets', async () => {
    const result = await exec(PYTHON, [script('websocket_client.py'), gw.url('/prod?tag=python'), ...MESSAGES]);
    assert.equal(result.code, 0, result.stderr);
    assert.deepEqual(result.stdout.trim().split('\n').map((line) => JSON.parse(line)), [...MESSAGES, '{"action":"echo","parts":2}']);
    const end = await lastEnd('python');
    assert.deepEqual([end.disconnectStatusCode, end.disconnectReason], [4000, 'from python']);
  });

  test('interop: libwebsockets', { skip: process.env.LWS_CLIENT ? false : 'LWS_CLIENT is not set' }, async () => {
    const result = await exec(process.env.LWS_CLIENT, ['127.0.0.1', String(gw.port), '/prod?tag=lws', ...MESSAGES]);
    assert.equal(result.code, 0, result.stderr);
    assert.equal(result.stdout, `${MESSAGES.join('\n')}\n`);
    assert.equal((await lastEnd('lws')).disconnectStatusCode, 1000);
  });

  test('interop: Chromium', { timeout: 120000 }, async (t) => {
    const browser = await openBrowser(t);
    const page = await browser.newPage();
    const result = await page.evaluate(
      async ({ url, messages }) => {
        const ws = new WebSocket(url, ['chat.v1', 'chat.v2']);
        const queue = [];
        let wake = () => {};
        ws.onmessage = (event) => {
          queue.push(event.data);
          wake();
        };
        const opened = new Promise((resolve, reject) => {
          ws.onopen = resolve;
          ws.onerror = () => reject(new Error('refused'));
        });
        await opened;
        const replies = [];
        for (const message of messages) {
          ws.send(message);
          while (!queue.length) await new Promise((resolve) => (wake = resolve));
          replies.push(queue.shift());
        }
        const closed = new Promise((resolve) => (ws.onclose = (event) => resolve({ code: event.code, reason: event.reason, clean: event.wasClean })));
        ws.close(4001, 'page done');
        return { protocol: ws.protocol, extensions: ws.extensions, replies, closed: await closed };
      },
      { url: gw.url('/prod?tag=chromium'), messages: MESSAGES },
    );
    assert.deepEqual(result, { protocol: 'chat.v1', extensions: '', replies: MESSAGES, closed: { code: 4001, reason: 'page done', clean: true } });
    const end = await lastEnd('chromium');
    assert.deepEqual([end.disconnectStatusCode, end.disconnectReason], [4001, 'page done']);
  });

  test('interop: a browser page that is closed ends with 1001 and an empty reason', { timeout: 120000 }, async (t) => {
    const browser = await openBrowser(t);
    const page = await browser.newPage();
    await page.evaluate((url) => new Promise((resolve, reject) => {
      window.ws = new WebSocket(url);
      window.ws.onopen = resolve;
      window.ws.onerror = reject;
    }), gw.url('/prod?tag=tab'));
    await page.close();
    const end = await lastEnd('tab');
    assert.deepEqual([end.disconnectStatusCode, end.disconnectReason], [1001, '']);
  });
});
