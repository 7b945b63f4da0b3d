// Certificate authorities and servers' certificates for one run, made by the openssl command.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { tempDir } from './gateway.mjs';

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

function selfSigned(args) {
  execFileSync('openssl', ['req', '-x509', ...NEW_KEY, '-days', '2', ...args], { stdio: 'pipe' });
}

class Authority {
  constructor(dir) {
    this.dir = dir;
    this.file = path.join(dir, 'ca.pem'); // for caFile
    this.key = path.join(dir, 'ca.key');
    this.serial = 0;
    selfSigned(['-subj', '/CN=throw-away authority', '-addext', 'basicConstraints=critical,CA:TRUE', '-keyout', this.key, '-out', this.file]);
  }

  // {key, cert} and their files {keyFile, certFile} of a server with these names, as OpenSSL writes them: DNS:localhost,
  // IP:127.0.0.1.
  issue(...names) {
    const base = path.join(this.dir, `server${++this.serial}`);
    const extensions = ['-addext', 'basicConstraints=critical,CA:FALSE', '-addext', `subjectAltName=${names.join(',')}`];
    selfSigned(['-subj', '/CN=server', ...extensions, '-CA', this.file, '-CAkey', this.key, '-keyout', `${base}.key`, '-out', `${base}.pem`]);
    return { key: fs.readFileSync(`${base}.key`), cert: fs.readFileSync(`${base}.pem`), keyFile: `${base}.key`, certFile: `${base}.pem` };
  }

  // The same certificate, over since yesterday.
  expired(pair) {
    const certFile = pair.certFile.replace('.pem', '-expired.pem');
    execFileSync('openssl', ['x509', '-in', pair.certFile, '-days', '-1', '-signkey', pair.keyFile, '-out', certFile], { stdio: 'pipe' });
    return { ...pair, certFile };
  }
}

export function makeAuthority(owner) {
  return new Authority(tempDir(owner));
}
