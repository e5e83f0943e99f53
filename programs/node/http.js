// http.js PORT PATH: servers and clients in one process. Prints "ok".
'use strict';
const assert = require('assert');
const crypto = require('crypto');
const dgram = require('dgram');
const fs = require('fs');
const http = require('http');
const net = require('net');
const { once } = require('events');

const [port, path] = [Number(process.argv[2]), process.argv[3]];
const sha = (data) => crypto.createHash('sha256').update(data).digest('hex');

function serve(where) {
  const server = http.createServer((request, response) => {
    const hash = crypto.createHash('sha256');
    let length = 0;
    request.on('data', (chunk) => { hash.update(chunk); length += chunk.length; });
    request.on('end', () => {
      response.setHeader('x-length', length);
      if (request.url === '/echo-hash') response.end(hash.digest('hex'));
      else response.end(`${request.method} ${request.url}`);
    });
  });
  return new Promise((resolve, reject) => {
    server.on('error', reject);
    server.listen(where, () => resolve(server));
  });
}

function fetchIt(options, body) {
  return new Promise((resolve, reject) => {
    const request = http.request(options, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => { text += chunk; });
      response.on('end', () => resolve({ text, headers: response.headers, socket: response.socket }));
    });
    request.on('error', reject);
    request.end(body);
  });
}

async function main() {
  const body = crypto.randomBytes(2000000);
  const places = [
    [{ port, host: '127.0.0.1' }, { port, host: '127.0.0.1' }],
    [{ port, host: '::1', ipv6Only: true }, { port, host: '::1' }],
    [{ path }, { socketPath: path }],
  ];
  for (const [listen, connect] of places) {
    const server = await serve(listen);
    const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
    assert.strictEqual((await fetchIt({ ...connect, path: '/plain', agent })).text, 'GET /plain');
    const answer = await fetchIt({ ...connect, path: '/echo-hash', method: 'POST', agent }, body);
    assert.strictEqual(answer.text, sha(body));
    assert.strictEqual(answer.headers['x-length'], String(body.length));
    const many = await Promise.all([...Array(100).keys()].map((n) => fetchIt({ ...connect, path: `/${n}`, agent })));
    many.forEach((one, n) => assert.strictEqual(one.text, `GET /${n}`));
    agent.destroy();
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
    await assert.rejects(fetchIt({ ...connect, path: '/', agent: false }), /ECONNREFUSED|ENOENT/);
  }
  assert(!fs.existsSync(path), 'the socket file is still there');

  // A half-closed connection: the server answers after the client's end.
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    let count = 0;
    socket.on('data', (chunk) => { count += chunk.length; });
    socket.on('end', () => socket.end(String(count)));
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const client = net.connect(port, '127.0.0.1');
  client.setNoDelay(true);
  client.setKeepAlive(true, 5000);
  client.end(body);
  let said = '';
  client.on('data', (chunk) => { said += chunk; });
  await once(client, 'close');
  assert.strictEqual(said, String(body.length));
  assert.strictEqual(client.remotePort, undefined);
  server.close();

  // Datagrams there and back.
  for (const [type, address] of [['udp4', '127.0.0.1'], ['udp6', '::1']]) {
    const a = dgram.createSocket(type);
    const b = dgram.createSocket(type);
    a.on('message', (message, from) => a.send(message, from.port, from.address));
    a.bind(0, address);
    await once(a, 'listening');
    b.send('datagram', a.address().port, address);
    const [message, from] = await once(b, 'message');
    assert.strictEqual(String(message), 'datagram');
    assert.deepStrictEqual([from.address, from.port], [address, a.address().port]);
    a.close();
    b.close();
  }
  console.log('ok');
}
main().catch((error) => { console.error(error); process.exit(1); });
