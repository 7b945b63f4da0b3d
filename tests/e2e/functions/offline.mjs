// serverless-offline's Lambda endpoint, POST /2015-03-31/functions/NAME/invocations, for the handlers of this folder.
// Arguments: the port. Says "ready" on standard output when it listens; SIGTERM ends it.
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import ServerlessOffline from 'serverless-offline';

// name: handler. What a serverless.yml would say under `functions`.
const HANDLERS = {
  event: 'handlers.event',
  answer: 'handlers.answer',
  'event-blue': 'handlers.blue',
  express: 'express.codegenie',
  'express-http': 'express.serverlessHttp',
};

const functions = Object.fromEntries(Object.entries(HANDLERS).map(([name, handler]) => [name, { name, handler, events: [] }]));
const serverless = {
  config: { serverlessPath: '', servicePath: path.dirname(fileURLToPath(import.meta.url)) },
  service: {
    service: 'e2e',
    provider: { name: 'aws', runtime: 'nodejs18.x', region: 'us-east-1', stage: 'dev' },
    custom: {},
    getAllFunctions: () => Object.keys(functions),
    getFunction: (name) => functions[name],
    getAllEventsInFunction: () => [],
  },
};
const quiet = () => {};
const say = (...words) => console.error(...words);
const log = { debug: quiet, info: quiet, notice: quiet, verbose: quiet, warning: say, error: say };

const options = { host: '127.0.0.1', lambdaPort: Number(process.argv[2]), useInProcess: true, noSponsor: true };
await new ServerlessOffline(serverless, options, { log, progress: {} }).start();
console.log('ready');
