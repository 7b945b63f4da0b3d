// The chat example as a newcomer runs it: two browser windows, a message typed in one appears in the other, Ctrl-C ends it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { openBrowser } from './lib/browser.mjs';
import { binary } from './lib/gateway.mjs';
import { freePort } from './lib/ports.mjs';
import { onEnd } from './lib/scope.mjs';
import { waitFor, within } from './lib/wait.mjs';

const START = fileURLToPath(new URL('../../examples/chat/start.js', import.meta.url));

async function startChat(t) {
  const ports = { GATEWAY_PORT: await freePort(), BACKEND_PORT: await freePort() };
  const env = Object.fromEntries(Object.entries(ports).map(([name, port]) => [name, String(port)]));
  const child = spawn(process.execPath, [START, binary()], { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const chat = { child, output: '', ...ports };
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (chat.output += data));
  chat.exited = new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal })));
  chat.exited.then((exit) => (chat.exit = exit));
  onEnd(t, async () => {
    if (!chat.exit) child.kill('SIGINT');
    await within(chat.exited, 'the example to end', 15000);
  });
  const address = await waitFor(
    () => {
      if (chat.exit) throw new Error(`the example ended: ${chat.output}`);
      return /Open (http:\S+) /.exec(chat.output)?.[1];
    },
    { what: 'the address to open', timeout: 20000 },
  );
  return Object.assign(chat, { address });
}

async function enter(browser, address, name) {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(15000);
  page.problems = [];
  page.on('pageerror', (error) => page.problems.push(String(error)));
  await page.goto(address);
  await page.fill('#name', name);
  await page.press('#name', 'Enter');
  await page.waitForSelector('#state.online');
  return page;
}

async function say(page, text) {
  await page.fill('#text', text);
  await page.click('#send');
}

const heard = (page, text) => page.locator('#messages li', { hasText: text }).waitFor();

test('browser: two windows of the chat example talk to each other', { timeout: 120000 }, async (t) => {
  const chat = await startChat(t);
  const browser = await openBrowser(t);
  const ann = await enter(browser, chat.address, 'Ann');
  const bob = await enter(browser, chat.address, 'Bob');
  await ann.locator('#people li', { hasText: 'Bob' }).waitFor();
  await say(ann, 'Hello from Ann: grüße <b>');
  await heard(bob, 'Hello from Ann: grüße <b>');
  await say(bob, 'And from Bob');
  await heard(ann, 'And from Bob');
  // Who comes later sees what was said.
  const cleo = await enter(browser, chat.address, 'Cleo');
  await heard(cleo, 'Hello from Ann');
  await bob.context().close();
  await ann.locator('#people li', { hasText: 'Bob' }).waitFor({ state: 'detached' });
  assert.deepEqual([ann.problems, cleo.problems], [[], []]);
});

test('browser: Ctrl-C ends the example with status 0', { timeout: 60000 }, async (t) => {
  const chat = await startChat(t);
  const page = await fetch(chat.address);
  assert.equal(page.status, 200);
  await page.text();
  chat.child.kill('SIGINT');
  assert.deepEqual(await within(chat.exited, 'the example to end', 15000), { code: 0, signal: null });
  assert.ok(!/Error|Sanitizer/.test(chat.output), chat.output);
});
