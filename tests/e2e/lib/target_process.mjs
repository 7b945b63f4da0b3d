// A target in a process of its own, so that it can be killed and stopped: `node target_process.mjs PORT FILE`. It writes
// "METHOD PATH" of each request to FILE when it has the whole of it, before it answers: what a killed process did stays known.
import fs from 'node:fs';
import http from 'node:http';

const [port, file] = process.argv.slice(2);
const fd = fs.openSync(file, 'a');

const server = http.createServer({ keepAliveTimeout: 60000 }, (req, res) => {
  req.resume().on('end', () => {
    if (req.url === '/health') {
      res.end();
      return;
    }
    fs.writeSync(fd, `${req.method} ${req.url}\n`);
    setTimeout(() => res.end(req.url), Math.random() * 5);
  });
});
server.listen(Number(port), '127.0.0.1', () => process.stdout.write('ready\n'));
