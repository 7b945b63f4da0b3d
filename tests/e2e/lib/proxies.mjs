// nginx and HAProxy as neighbours of the gateway, in the foreground, with files in a directory of their own.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { tempDir } from './gateway.mjs';
import { freePort } from './ports.mjs';
import { onEnd } from './scope.mjs';
import { waitFor } from './wait.mjs';

// The distribution keeps them where only root looks.
function program(name) {
  return [`/usr/sbin/${name}`, `/usr/local/sbin/${name}`].find((file) => fs.existsSync(file)) ?? name;
}

function listens(port) {
  return new Promise((resolve) => {
    const socket = net.connect({ host: '127.0.0.1', port });
    socket.on('connect', () => resolve(socket.destroy()));
    socket.on('error', () => resolve(undefined));
  }).then((socket) => socket !== undefined);
}

// Ports taken for every entry of `to` (name -> port behind it): {name: port}.
async function run(owner, name, to, text, args) {
  const dir = tempDir(owner);
  const ports = {};
  for (const key of Object.keys(to)) ports[key] = await freePort();
  const file = path.join(dir, `${name}.conf`);
  fs.writeFileSync(file, text(dir, ports));
  const child = spawn(program(name), args(dir, file), { cwd: dir, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  const exited = new Promise((resolve) => {
    child.on('error', (error) => resolve((output += error)));
    child.on('close', resolve);
  });
  let ended = false;
  exited.then(() => (ended = true));
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += data));
  onEnd(owner, () => {
    if (!ended) child.kill('SIGTERM');
    return exited;
  });
  const all = async () => {
    if (ended) throw new Error(`${name} ended: ${output}`);
    return (await Promise.all(Object.values(ports).map(listens))).every(Boolean);
  };
  await waitFor(all, { what: `${name} to listen` });
  return ports;
}

// HAProxy as a load balancer that passes TCP on. `to` is {name: {send, servers, options}}: how the servers are told of the client
// (send-proxy, send-proxy-v2, or nothing), which these are ({port or path, check: port of /readyz}), and lines of its own.
export function startBalancer(owner, to) {
  const server = ({ port, path: where, check }, send, i) => `  server s${i} ${where ? `unix@${where}` : `127.0.0.1:${port}`} ${send}${check ? ` check port ${check} inter 100ms fall 2 rise 2` : ''}`;
  const listen = ([key, { send = '', servers, options = [] }], port) => `listen ${key}
  bind 127.0.0.1:${port}
${options.map((line) => `  ${line}\n`).join('')}${servers.some(({ check }) => check) ? '  option httpchk GET /readyz\n' : ''}${servers.map((one, i) => server(one, send, i)).join('\n')}`;
  const text = (dir, ports) => `global
  maxconn 8000
  nbthread 1
defaults
  mode tcp
  balance leastconn
  retries 3
  option redispatch 1
  timeout connect 5s
  timeout client 120s
  timeout server 120s
  timeout check 2s
${Object.entries(to).map((entry) => listen(entry, ports[entry[0]])).join('\n')}
`;
  return run(owner, 'haproxy', to, text, (dir, file) => ['-db', '-f', file]);
}

// Both: `to` is {name: port behind it}; the result has the port in front of it by the same name. Each request that the proxy
// reads goes on with a field `mark`, whose value no other request has. As permissive as the proxy can be told to be.
export function startNginx(owner, to, mark) {
  const upstream = (key) => `upstream ${key} { server 127.0.0.1:${to[key]}; keepalive 4; }`;
  const server = (key, port) => `server { listen 127.0.0.1:${port}; location / { proxy_pass http://${key}; } }`;
  const text = (dir, ports) => `daemon off; master_process off; pid ${dir}/pid; error_log stderr warn;
    events { worker_connections 1000; }
    http {
      access_log off; client_header_timeout 2s; client_body_timeout 2s; send_timeout 5s; keepalive_timeout 2s;
      ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${dir}/${kind};`).join(' ')}
      underscores_in_headers on; ignore_invalid_headers off; merge_slashes off;
      proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host; proxy_set_header ${mark} $request_id;
      proxy_request_buffering off; proxy_buffering off; proxy_next_upstream off;
      ${Object.keys(to).map(upstream).join('\n')}
      ${Object.keys(to).map((key) => server(key, ports[key])).join('\n')}
    }`;
  return run(owner, 'nginx', to, text, (dir, file) => ['-e', 'stderr', '-p', dir, '-c', file]);
}

export function startHaproxy(owner, to, mark) {
  const proxy = (key, port) => `listen ${key}
  bind 127.0.0.1:${port}
  http-request set-header ${mark} %[uuid()]
  server one 127.0.0.1:${to[key]}`;
  const text = (dir, ports) => `global
  maxconn 500
  nbthread 1
defaults
  mode http
  option accept-invalid-http-request
  option accept-invalid-http-response
  option http-keep-alive
  http-reuse always
  retries 0
  timeout connect 5s
  timeout client 2s
  timeout server 5s
  timeout http-request 2s
  timeout http-keep-alive 2s
${Object.keys(to).map((key) => proxy(key, ports[key])).join('\n')}
`;
  return run(owner, 'haproxy', to, text, (dir, file) => ['-db', '-f', file]);
}
