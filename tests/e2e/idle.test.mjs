// As many idle connections as the descriptor limit allows, from several loopback addresses, held and then closed.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import net from 'node:net';
import { test } from 'node:test';
import { UNTHROTTLED, appApi } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { startLambda } from './lib/lambda.mjs';
import { closeFrame, upgradeRequest } from './lib/raw.mjs';
import { pool, waitFor, within } from './lib/wait.mjs';

const limit = Number(execFileSync('sh', ['-c', 'ulimit -n'], { encoding: 'utf8' }).replace('unlimited', '1000000'));
const COUNT = Math.min(Number(process.env.TIDEGATE_E2E_IDLE ?? 18000), limit - 1500);

// A connection as small as it can be on this side: no parser stays behind.
function open(gw, localAddress, request) {
  const socket = net.connect({ port: gw.port, host: '127.0.0.1', localAddress });
  const opened = new Promise((resolve, reject) => {
    let head = '';
    socket.on('data', function take(data) {
      head += data.toString('latin1');
      if (!head.includes('\r\n\r\n')) return;
      socket.off('data', take);
      if (/^HTTP\/1\.1 101 /.test(head)) resolve(socket);
      else reject(new Error(`refused: ${head.slice(0, 200)}`));
    });
    socket.on('error', reject);
    socket.on('connect', () => socket.write(request));
    socket.on('close', () => reject(new Error(`closed before the 101: ${head.slice(0, 100)}`)));
  });
  return within(opened, 'a handshake', 60000);
}

test(`idle: ${COUNT} connections, memory of each, and every $disconnect`, { timeout: 580000 }, async (t) => {
  const opened = new Set();
  const ended = new Map();
  let held; // $disconnects wait for it
  const fn = await startLambda(t, {
    app: async (event) => {
      const { eventType, connectionId } = event.requestContext;
      if (eventType === 'CONNECT') opened.add(connectionId);
      if (eventType === 'DISCONNECT') ended.set(connectionId, (ended.get(connectionId) ?? 0) + 1);
      fn.reset();
      if (eventType === 'DISCONNECT') await held;
      return { statusCode: 200 };
    },
  });
  const gw = await startGateway(t, { functions: fn.table('app'), throttling: UNTHROTTLED, apis: [appApi()] }, process.env.TIDEGATE_RELEASE ? { binary: process.env.TIDEGATE_RELEASE } : {});
  const request = upgradeRequest({ host: gw.host });

  // Warm the pools, so that what is measured are connections.
  const warm = [];
  await pool(200, 50, async () => warm.push(await open(gw, '127.0.0.1', request)));
  const start = gw.memory();

  const sockets = [...warm];
  const began = Date.now();
  await pool(COUNT - warm.length, 100, async (i) => sockets.push(await open(gw, `127.0.0.${2 + (i % 8)}`, request)));
  const took = Date.now() - began;
  assert.equal(opened.size, COUNT);
  const full = gw.memory();
  const each = (full - start) / (COUNT - warm.length);
  t.diagnostic(`${COUNT} connections open after ${took} ms; resident ${start} KiB -> ${full} KiB: ${each.toFixed(2)} KiB a connection`);

  // All are alive and addressable.
  const ids = [...opened];
  for (let i = 0; i < ids.length; i += Math.ceil(ids.length / 200)) assert.equal((await gw.info(ids[i])).status, 200);
  assert.ok(sockets.every((socket) => !socket.destroyed));
  assert.equal(ended.size, 0, 'nobody was dropped');

  const closing = Date.now();
  const all = sockets.map((socket, i) => {
    const over = new Promise((resolve) => socket.once('close', resolve));
    socket.removeAllListeners('error');
    socket.on('error', () => {});
    socket.resume();
    if (i % 3 === 0) socket.write(closeFrame(1000));
    else if (i % 3 === 1) socket.end();
    else socket.resetAndDestroy();
    return over;
  });
  await within(Promise.all(all), 'all sockets to close', 120000);
  await waitFor(() => ended.size >= COUNT, { what: 'every $disconnect', timeout: 60000, interval: 50 }).catch((error) => {
    throw new Error(`${error.message}: ${ended.size} of ${COUNT} came`);
  });
  t.diagnostic(`all closed and told after ${Date.now() - closing} ms`);
  for (const [id, times] of ended) {
    assert.equal(times, 1, id);
    assert.ok(opened.has(id));
  }
  assert.equal(ended.size, COUNT);

  // Memory returns: a second flood of the same size needs no more.
  const again = [];
  await pool(COUNT, 100, async (i) => again.push(await open(gw, `127.0.0.${2 + (i % 8)}`, request)));
  const second = gw.memory();
  t.diagnostic(`second time: ${second} KiB resident`);
  assert.ok(second < full * 1.15 + 4096, `${full} KiB at first, ${second} KiB the second time`);
  // Also where back ends are slow to be told, so that what is left of connections goes long after them.
  held = new Promise((resolve) => { setTimeout(resolve, 3500); });
  for (const socket of again) {
    socket.removeAllListeners('error');
    socket.on('error', () => {});
    socket.destroy();
  }
  await waitFor(() => ended.size >= 2 * COUNT, { what: 'every $disconnect', timeout: 120000, interval: 50 });
  await waitFor(() => gw.memory() < start + (full - start) * 0.6, { what: `memory to return from ${second} KiB towards ${start} KiB`, timeout: 20000, interval: 200 });
  t.diagnostic(`after all closed: ${gw.memory()} KiB resident`);
});
