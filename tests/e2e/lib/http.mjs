// One HTTP request on a connection of its own, nothing normalised: the path and the header names go out as given.
import http from 'node:http';
import { DEADLINE } from './wait.mjs';

// Options: method, host, port | socketPath, path, headers, body, timeout. Resolves with {status, headers, rawHeaders, body, text}.
export function request({ method = 'GET', host = '127.0.0.1', port, socketPath, path = '/', headers = {}, body, timeout = DEADLINE, agent = false }) {
  return new Promise((resolve, reject) => {
    const target = socketPath ? { socketPath } : { host, port };
    const req = http.request({ ...target, method, path, headers, agent, timeout, setHost: !hasHost(headers) });
    const began = Date.now();
    let come = 'nothing had come';
    const fail = (error) => {
      error.message += ` (${method} ${port ?? socketPath}${path}, after ${Date.now() - began} ms; ${come})`;
      reject(error);
    };
    req.on('timeout', () => req.destroy(new Error(`no answer in ${timeout} ms: ${method} ${path}`)));
    req.on('error', fail);
    req.on('response', (res) => {
      const chunks = [];
      come = `a ${res.statusCode} had come`;
      res.on('data', (chunk) => chunks.push(chunk));
      res.on('error', fail);
      res.on('end', () => {
        const bytes = Buffer.concat(chunks);
        resolve({ status: res.statusCode, reason: res.statusMessage, headers: res.headers, rawHeaders: res.rawHeaders, body: bytes, text: bytes.toString() });
      });
    });
    req.end(body);
  });
}

function hasHost(headers) {
  return Object.keys(headers).some((name) => name.toLowerCase() === 'host');
}
