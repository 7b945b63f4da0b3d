// Runs the gateway with the chat, and stops both together: node start.js PATH/OF/tidegate
'use strict';
const { spawn } = require('node:child_process');
const net = require('node:net');
const path = require('node:path');
const chat = require('./chat');

const binary = process.argv[2];
const port = Number(process.env.GATEWAY_PORT || 8080);
const GRACE_MS = 5000; // for the gateway to stop after it was asked to

let gateway = null;
let stopping = false;

// Whether something accepts connections there.
function answers() {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => { socket.destroy(); resolve(true); });
    socket.once('error', () => resolve(false));
  });
}

const gone = () => gateway === null || gateway.exitCode !== null || gateway.signalCode !== null;
const pause = (millis) => new Promise((resolve) => { setTimeout(resolve, millis); });

async function stop(status) {
  if (stopping) return;
  stopping = true;
  chat.stop();
  // Ctrl-C at a terminal has reached the gateway as well: ask only one that is still there after a moment.
  const asked = Date.now();
  for (let signalled = false; !gone(); await pause(20)) {
    const waited = Date.now() - asked;
    if (!signalled && waited > 300) signalled = gateway.kill('SIGINT');
    if (waited > GRACE_MS) gateway.kill('SIGKILL');
  }
  process.exit(status);
}

async function main() {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => stop(0));
  if (await answers()) {
    throw new Error(`Port ${port}, for the gateway, is taken: end what has it, or choose another with GATEWAY_PORT=PORT.`);
  }
  await chat.start();
  process.env.CHAT_PAGE ||= path.join(__dirname, 'page');
  gateway = spawn(binary, ['serve', '--config', path.join(__dirname, 'tidegate.yaml')], { stdio: 'inherit' });
  gateway.once('error', (error) => { console.error(`Cannot start ${binary}: ${error.message}`); gateway = null; stop(1); });
  gateway.once('exit', async (code, signal) => {
    await pause(100); // a signal to both of us may have reached it first
    if (!stopping) console.error(`The gateway has ended by itself (${signal || `status ${code}`}).`);
    stop(1);
  });
  while (!stopping && !(await answers())) await pause(20);
  if (!stopping) console.log(`\nOpen http://127.0.0.1:${port}/ in two windows. Ctrl-C stops.\n`);
}

main().catch((error) => { console.error(error.message); stop(1); });
