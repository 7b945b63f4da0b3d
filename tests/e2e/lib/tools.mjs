// Programs of the distribution that tests drive: Python with its packages, the AWS command line, Chromium.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { ADMIN_KEY, REGION } from './config.mjs';
import { onEnd } from './scope.mjs';
import { deferred, within } from './wait.mjs';

// The distribution's program where there is one: its packages belong to it.
function program(name) {
  return fs.existsSync(`/usr/bin/${name}`) ? `/usr/bin/${name}` : name;
}

export const PYTHON = program('python3');
export const AWS = program('aws');
export const CHROMIUM = program('chromium');

export const script = (name) => fileURLToPath(new URL(`../py/${name}`, import.meta.url));

export const awsEnv = {
  AWS_ACCESS_KEY_ID: ADMIN_KEY.accessKeyId,
  AWS_SECRET_ACCESS_KEY: ADMIN_KEY.secretAccessKey,
  AWS_DEFAULT_REGION: REGION,
  AWS_MAX_ATTEMPTS: '1',
  AWS_EC2_METADATA_DISABLED: 'true',
  AWS_PAGER: '',
  AWS_CONFIG_FILE: '/nonexistent',
  AWS_SHARED_CREDENTIALS_FILE: '/nonexistent',
};

// Runs a program to its end: {code, stdout, stderr}.
export function exec(command, args, { env = {}, timeout = 60000, input } = {}) {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'] });
  const done = new Promise((resolve, reject) => {
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (data) => (stdout += data));
    child.stderr.on('data', (data) => (stderr += data));
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
    if (input !== undefined) child.stdin.end(input);
  });
  return within(done, `${command} ${args.join(' ')}`, timeout).catch((error) => {
    child.kill('SIGKILL');
    throw error;
  });
}

// A program that answers one JSON line for each JSON line it gets.
export function startLines(owner, command, args, { env = {} } = {}) {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
  const waiting = [];
  let errors = '';
  child.stderr.on('data', (data) => (errors += data));
  createInterface({ input: child.stdout }).on('line', (line) => waiting.shift()?.resolve(JSON.parse(line)));
  const over = new Promise((resolve) => {
    child.on('error', (error) => {
      errors += error;
      resolve();
    });
    child.on('close', (code) => {
      for (const waiter of waiting.splice(0)) waiter.reject(new Error(`${command} ended with ${code}: ${errors}`));
      resolve();
    });
  });
  onEnd(owner, () => {
    child.stdin.end();
    child.kill();
    return over;
  });
  return (command_) => {
    const waiter = deferred();
    waiting.push(waiter);
    child.stdin.write(`${JSON.stringify(command_)}\n`);
    return within(waiter.promise, `an answer to ${JSON.stringify(command_)}`, 30000);
  };
}
