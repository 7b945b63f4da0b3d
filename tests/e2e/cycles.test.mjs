// Connect, route, push, close, ten thousand times: nothing leaks, nothing is lost, every $connect has one $disconnect.
import assert from 'node:assert/strict';
import http from 'node:http';
import { test } from 'node:test';
import { dial } from './lib/client.mjs';
import { UNTHROTTLED, appApi } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { echo, startLambda } from './lib/lambda.mjs';
import { onEnd } from './lib/scope.mjs';
import { pool, waitFor } from './lib/wait.mjs';

const CYCLES = Number(process.env.TIDEGATE_E2E_CYCLES ?? 10000);

test(`cycles: ${CYCLES} times connect, route, push, close`, { timeout: 580000 }, async (t) => {
  const ids = new Map(); // tag -> id
  const opened = new Set();
  const ended = new Map();
  const fn = await startLambda(t, {
    app: (event) => {
      const { eventType, connectionId } = event.requestContext;
      if (eventType === 'CONNECT') {
        ids.set(event.queryStringParameters.tag, connectionId);
        opened.add(connectionId);
      }
      if (eventType === 'DISCONNECT') ended.set(connectionId, (ended.get(connectionId) ?? 0) + 1);
      return echo(event);
    },
  });
  const gw = await startGateway(t, { functions: fn.table('app'), throttling: UNTHROTTLED, apis: [appApi()] });
  const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
  onEnd(t, () => agent.destroy());

  const cycle = async (n) => {
    const owner = { stack: [] };
    const client = await dial(owner, gw.url(`/prod?tag=${n}`));
    const id = ids.get(String(n));
    assert.equal(await client.ask(`{"action":"echo","n":${n}}`), `{"action":"echo","n":${n}}`);
    assert.equal((await gw.post(id, `push ${n}`, { agent })).status, 200);
    assert.equal(await client.next(), `push ${n}`);
    switch (n % 4) {
      case 0:
        await client.close();
        break;
      case 1:
        await client.close(4000, 'done');
        break;
      case 2:
        assert.equal((await gw.remove(id, { agent })).status, 204);
        await client.ended();
        break;
      default:
        client.cut();
        await client.ended();
    }
    ids.delete(String(n));
    if (n % 500 === 0) fn.reset();
  };

  await pool(Math.min(1000, CYCLES), 25, cycle);
  const early = gw.memory();
  await pool(Math.max(0, CYCLES - 1000), 25, (n) => cycle(n + 1000));
  await waitFor(() => ended.size >= CYCLES, { what: 'every $disconnect', timeout: 30000 });
  const late = gw.memory();
  t.diagnostic(`resident: ${early} KiB after the first thousand, ${late} KiB after ${CYCLES}`);
  assert.equal(opened.size, CYCLES);
  assert.equal(ended.size, CYCLES);
  for (const [id, times] of ended) {
    assert.equal(times, 1, id);
    assert.ok(opened.has(id));
  }
  await gw.stop(); // a leak report of the sanitizer fails the test here
});
