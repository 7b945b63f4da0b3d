// Waiting with a deadline: no test sleeps blindly, every wait ends with a condition or an error that names it.
import { onEnd } from './scope.mjs';

export const DEADLINE = Number(process.env.TIDEGATE_E2E_DEADLINE_MS ?? 10000);

// Polls `condition` until it returns something truthy, which becomes the result.
export async function waitFor(condition, { timeout = DEADLINE, interval = 10, what = 'condition' } = {}) {
  const end = Date.now() + timeout;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() >= end) throw new Error(`timed out after ${timeout} ms waiting for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, interval));
  }
}

// Rejects when `promise` is not settled in time.
export function within(promise, what, timeout = DEADLINE) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`timed out after ${timeout} ms waiting for ${what}`)), timeout);
  });
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}

// A promise with its resolve and reject outside (Node 18 has no Promise.withResolvers).
export function deferred() {
  const d = {};
  d.promise = new Promise((resolve, reject) => Object.assign(d, { resolve, reject }));
  d.promise.catch(() => {});
  return d;
}

// Runs `task(i)` for i in 0..count-1, at most `width` at a time.
export async function pool(count, width, task) {
  let next = 0;
  const lane = async () => {
    while (next < count) await task(next++);
  };
  await Promise.all(Array.from({ length: Math.min(width, count) }, lane));
}

// How long this process was kept from its own timers at worst, in seconds: what happened meanwhile it sees at once.
export function watchStalls(owner) {
  const watch = { worst: 0 };
  let last = performance.now();
  const timer = setInterval(() => {
    watch.worst = Math.max(watch.worst, (performance.now() - last - 20) / 1000);
    last = performance.now();
  }, 20);
  onEnd(owner, () => clearInterval(timer));
  return watch;
}
