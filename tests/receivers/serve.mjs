// Puts a verifier behind HTTP: 200 if it accepts a POST, 401 if it refuses or throws.
//
//   NEXO_WEBHOOK_SECRET=… PORT=… node serve.mjs api-reference | curl-guide | library
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const secret = process.env.NEXO_WEBHOOK_SECRET;

const verifiers = {
  'api-reference': async () => {
    const { verify } = await import('./api-reference.mjs');
    return (body, headers) => verify(body, headers['x-nexo-signature'] ?? '');
  },
  // The two lines of the guide that compute the signature, over the body that came.
  'curl-guide': async () => {
    const guide = readFileSync(new URL('curl-guide.sh', import.meta.url), 'utf8').split('\n');
    const lines = guide.filter((line) => /^(KEY|SIG)=/.test(line));
    if (lines.length !== 2) throw new Error('the guide has a KEY and a SIG line');
    const script = [...lines, 'printf %s "$SIG"'].join('\n');
    return (body, headers) => {
      const env = { PATH: process.env.PATH, SECRET: secret, BODY: body.toString() };
      const { status, stdout } = spawnSync('bash', ['-e', '-c', script], { env, encoding: 'utf8' });
      return status === 0 && stdout === headers['x-nexo-signature'];
    };
  },
  library: async () => {
    const { Webhook } = await import('standardwebhooks');
    const webhook = new Webhook(secret);
    return (body, headers) => {
      webhook.verify(body.toString(), headers);
      return true;
    };
  },
};

const accepts = await verifiers[process.argv[2]]();

const server = createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  let status = 401;
  try {
    if (accepts(Buffer.concat(parts), request.headers)) status = 200;
  } catch {
    // Refused.
  }
  response.writeHead(status).end(status === 200 ? 'ok' : 'bad signature');
});
server.listen(Number(process.env.PORT), '127.0.0.1');
