// An express application, behind two adapters as their users deploy them.
import codegenieExpress from '@codegenie/serverless-express';
import express from 'express';
import serverless from 'serverless-http';

const BINARY = ['application/octet-stream', 'image/png'];
const app = express();
app.use(express.json());
app.use(express.urlencoded({ extended: false }));
app.use(express.raw({ type: 'application/octet-stream' }));
app.get('/pets/:id', (req, res) => res.json({ id: req.params.id, tag: req.query.tag, agent: req.get('user-agent'), cookies: req.get('cookie') ?? null, host: req.get('host') }));
app.post('/pets', (req, res) => res.status(201).location('/pets/17').json(req.body));
app.post('/bytes', (req, res) => res.type('application/octet-stream').send(Buffer.from(req.body).reverse()));
app.get('/login', (req, res) => res.cookie('session', 'a b', { httpOnly: true }).cookie('theme', 'dark').redirect('/pets/1'));
app.get('/image', (req, res) => res.type('png').send(Buffer.from([0x89, 0x50, 0x4e, 0x47, 0, 255])));
app.get('/broken', () => {
  throw new Error('a fault of the application');
});
app.use((error, req, res, next) => (res.headersSent ? next(error) : res.status(500).json({ error: error.message })));

export const codegenie = codegenieExpress({ app, binarySettings: { contentTypes: BINARY } });
export const serverlessHttp = serverless(app, { binary: BINARY });
