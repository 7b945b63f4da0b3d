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
    const extensions = ['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign'];
    selfSigned(['-subj', '/CN=throw-away authority', ...extensions, '-keyout', this.key, '-out', this.file]);
  }

  // {key, cert} and their files {keyFile, certFile} of a server with these names, as OpenSSL writes them: DNS:localhost,
  // IP:127.0.0.1.
  issue(...names) {
    const base = path.join(this.dir, `server${++this.serial}`);
    const extensions = ['-addext', 'basicConstraints=critical,CA:FALSE', '-addext', `subjectAltName=${names.join(',')}`];
    selfSigned(['-subj', '/CN=server', ...extensions, '-CA', this.file, '-CAkey', this.key, '-keyout', `${base}.key`, '-out', `${base}.pem`]);
    return { key: fs.readFileSync(`${base}.key`), cert: fs.readFileSync(`${base}.pem`), keyFile: `${base}.key`, certFile: `${base}.pem` };
  }

  // A certificate of the same name and key that ended long ago. (`openssl x509` of OpenSSL 3.5 makes none, that of 3.0 takes no date.)
  expired(pair) {
    const base = pair.certFile.replace('.pem', '-expired');
    const openssl = (...args) => execFileSync('openssl', args, { stdio: 'pipe' });
    fs.writeFileSync(`${base}.index`, '');
    fs.writeFileSync(`${base}.cnf`, `[ca]\ndefault_ca = a\n[a]\ndatabase = ${base}.index\nnew_certs_dir = ${this.dir}\nrand_serial = yes\n` +
      'default_md = sha256\npolicy = p\n[p]\ncommonName = supplied\n');
    openssl('x509', '-x509toreq', '-in', pair.certFile, '-signkey', pair.keyFile, '-out', `${base}.csr`);
    openssl('ca', '-batch', '-selfsign', '-notext', '-config', `${base}.cnf`, '-keyfile', pair.keyFile, '-in', `${base}.csr`,
      '-startdate', '20200101000000Z', '-enddate', '20200102000000Z', '-out', `${base}.pem`);
    return { ...pair, certFile: `${base}.pem` };
  }
}

export function makeAuthority(owner) {
  return new Authority(tempDir(owner));
}
