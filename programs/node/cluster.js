// cluster.js PORT: the master listens and hands each connection to one of two workers (SCM_RIGHTS); a third child gets
// a listening server sent. Prints "ok".
'use strict';
const assert = require('assert');
const cluster = require('cluster');
const http = require('http');
const net = require('net');
const { fork } = require('child_process');
const { once } = require('events');

const port = Number(process.argv[2]);

function get(port) {
  return new Promise((resolve, reject) => {
    http.get({ port, host: '127.0.0.1', agent: false }, (response) => {
      let text = '';
      response.on('data', (chunk) => { text += chunk; });
      response.on('end', () => resolve(text));
    }).on('error', reject);
  });
}

async function master() {
  const workers = [cluster.fork(), cluster.fork()];
  await Promise.all(workers.map((worker) => once(worker, 'listening')));
  const seen = new Set();
  for (let i = 0; i < 40; i++) seen.add(await get(port));
  assert.deepStrictEqual([...seen].sort(), workers.map((worker) => String(worker.process.pid)).sort());
  const ends = workers.map((worker) => once(worker, 'exit'));
  cluster.disconnect();
  for (const [code] of await Promise.all(ends)) assert.strictEqual(code, 0);

  const child = fork(__filename, [String(port), 'child']);
  const server = net.createServer();
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  child.send('server', server);
  await once(child, 'message');
  server.close();
  const socket = net.connect(port, '127.0.0.1');
  const [data] = await once(socket, 'data');
  assert.strictEqual(String(data), `child ${child.pid}`);
  socket.destroy();
  const [code] = await once(child, 'exit');
  assert.strictEqual(code, 0);
  console.log('ok');
}

if (process.argv[3] === 'child') {
  process.on('message', (message, server) => {
    server.on('connection', (socket) => {
      socket.end(`child ${process.pid}`);
      server.close();
      process.disconnect();
    });
    process.send('have it');
  });
} else if (cluster.isPrimary) {
  master().catch((error) => { console.error(error); process.exit(1); });
} else {
  http.createServer((request, response) => response.end(String(process.pid))).listen(port, '127.0.0.1');
}
