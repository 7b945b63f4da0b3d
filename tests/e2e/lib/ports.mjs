// Free loopback ports below the ephemeral range, so that outgoing connections of parallel tests cannot take them.
import net from 'node:net';

const FIRST = 12000;
const LAST = 31000;
const given = new Set();

function tryBind(port, host) {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

export async function freePort(host = '127.0.0.1') {
  for (let attempt = 0; attempt < 1000; attempt++) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST));
    if (given.has(port)) continue;
    if (await tryBind(port, host)) {
      given.add(port);
      return port;
    }
  }
  throw new Error('no free port');
}
