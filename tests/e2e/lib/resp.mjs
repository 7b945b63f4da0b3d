// One command to a Redis, over a connection of its own.
import net from 'node:net';
import { within } from './wait.mjs';

// The reply's raw text.
export function ask(port, words, timeout = 5000) {
  return within(
    new Promise((resolve, reject) => {
      const socket = net.connect(port, '127.0.0.1', () => {
        socket.write(`*${words.length}\r\n${words.map((w) => `$${Buffer.byteLength(w)}\r\n${w}\r\n`).join('')}`);
      });
      socket.once('data', (data) => {
        socket.destroy();
        resolve(data.toString());
      });
      socket.once('error', reject);
      socket.once('close', () => reject(new Error('closed')));
    }),
    `redis ${words[0]}`,
    timeout,
  );
}
