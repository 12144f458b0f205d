// An SMSC on node-smpp that does what the last two digits of a number say, and what it is told on its standard input.
//
//   PORT=… [KEY=… CERT=…] node smsc.js
//
// Tells on its standard output what it sees, a JSON object a line. Commands, one a line: password WORD · mute · delay MS ·
// early (what was kept goes out before the bind is answered) · refuse STATUS [TIMES] · unbind · drop · poison · deliver JSON (to the last session that receives) · raw HEX.
'use strict';
const { readFileSync } = require('node:fs');
const { createInterface } = require('node:readline');
const smpp = require('smpp');

const say = (event, more) => process.stdout.write(JSON.stringify({ event, at: Date.now(), ...more }) + '\n');
const state = { password: 'secret', mute: false, delay: 0, refuse: null, early: false };
const thrownBack = new Map();
// Receipts of messages whose connection was cut: they come on the next one.
const kept = [];
let nextId = 0xbc614e;
let sessions = [];
let born = 0;

const receiver = () => sessions.filter((session) => session.receives).at(-1);

const text = (id, stat, err = '000') => {
  const delivered = stat === 'DELIVRD' ? '001' : '000';
  const times = 'submit date:2611201530 done date:2611201530';
  return `id:${id} sub:001 dlvrd:${delivered} ${times} stat:${stat} err:${err} text:nothing`;
};

// A receipt, its addresses the other way round.
const deliver = (pdu, message, more = {}) => {
  const fields = { source_addr: pdu.destination_addr, destination_addr: pdu.source_addr, esm_class: 4, ...more };
  receiver()?.deliver_sm({ ...fields, short_message: { message: Buffer.from(message) } });
};

const cstring = (value) => Buffer.concat([Buffer.from(value, 'latin1'), Buffer.from([0])]);

const frame = (command, sequence, body, status = 0) => {
  const head = Buffer.alloc(16);
  [16 + body.length, command, status, sequence].forEach((word, at) => head.writeUInt32BE(word, at * 4));
  return Buffer.concat([head, body]);
};

// The body of a deliver_sm whose last parts are free.
const body = (source, message, tail) => {
  const before = [cstring(''), Buffer.from([1, 1]), cstring(source), Buffer.from([5, 0]), cstring('NEXO'), Buffer.from([4, 0, 0])];
  const between = [cstring(''), cstring(''), Buffer.from([0, 0, 0, 0, message.length])];
  return Buffer.concat([...before, ...between, message, tail]);
};

// Every PDU that some SMSC has sent and that is not as it should be.
const poison = () => {
  const message = Buffer.from('id:none stat:DELIVRD err:000');
  const of = (source, ...tail) => [5, body(source, message, Buffer.from(tail))];
  return [
    of('84901', 0x04, 0x27, 0x00, 0x05, 0x02), // a TLV that leads past the end
    of('84901', 0x14, 0x01, 0x00, 0x02, 0x41, 0x42), // a vendor's TLV
    of('8'.repeat(30)), // an address that is too long
    of('84\xe9901'), // one that is not ASCII
    of('84901', 0x00, 0x1e, 0x00, 0x03, 0x61, 0x62, 0x63), // receipted_message_id without its NUL
    of('84901', 0x04, 0x27, 0x00, 0x00), // an empty TLV
    of('84901', 0x04, 0x27, 0x00, 0x01, 0x63), // a state that nobody knows
    of('84901', 0x04, 0x23, 0x00, 0x04, 0x03, 0, 0, 1), // an error code of four bytes
    of('84901', 0x00), // a byte too many
    [5, body('84901', message, Buffer.concat([Buffer.from([0x04, 0x24, 0x13, 0x88]), Buffer.alloc(5000, 0x41)]))],
    [5, Buffer.from([0, 1])], // hardly a body
    [0x00010203, Buffer.from([1, 2, 3])], // a command that nobody knows
    [0x80010203, Buffer.alloc(0)], // an answer to nothing
    [0x80000004, Buffer.alloc(0)], // another
  ];
};

const accept = (session, pdu, id, more = {}) => session.send(pdu.response({ message_id: id, ...more }));

// Sends bytes one at a time, each a segment of its own.
const drip = (socket, bytes) => {
  if (bytes.length === 0) return;
  socket.write(bytes.subarray(0, 1), () => setTimeout(() => drip(socket, bytes.subarray(1)), 1));
};

const answer = (session, pdu) => {
  const number = nextId++;
  const hex = number.toString(16);
  const soon = (act) => setTimeout(act, 50);
  const throwBack = (status, times) => {
    const so_far = (thrownBack.get(pdu.destination_addr) ?? 0) + 1;
    thrownBack.set(pdu.destination_addr, so_far);
    if (so_far <= times) return session.send(pdu.response({ command_status: status }));
    accept(session, pdu, hex);
    soon(() => deliver(pdu, text(hex, 'DELIVRD')));
  };
  const delivered = () => soon(() => deliver(pdu, text(hex, 'DELIVRD')));
  const raw = (bytes) => session.socket.write(frame(0x80000004, pdu.sequence_number, bytes));
  const acts = {
    '01': () => { deliver(pdu, text(hex, 'DELIVRD')); setTimeout(() => accept(session, pdu, hex), 150); },
    '02': () => { accept(session, pdu, hex); soon(() => deliver(pdu, text(`00${number}`, 'DELIVRD'))); },
    '03': () => { accept(session, pdu, `0000${hex.toUpperCase()}`); delivered(); },
    '04': () => {
      accept(session, pdu, hex);
      soon(() => ['ENROUTE', 'DELIVRD', 'DELIVRD', 'EXPIRED'].forEach((stat) => deliver(pdu, text(hex, stat))));
    },
    '05': () => throwBack(0x58, 2),
    '06': () => throwBack(0x14, 1),
    '07': () => throwBack(0x08, 1),
    '08': () => throwBack(0x64, 1),
    '10': () => setTimeout(() => { accept(session, pdu, hex); deliver(pdu, text(hex, 'DELIVRD')); }, 1500),
    '11': () => setTimeout(() => session.send(pdu.response({ command_status: 0x0b })), 1500),
    '20': () => session.destroy(),
    '21': () => { kept.push([pdu, text(hex, 'DELIVRD')]); session.destroy(); },
    '22': () => { accept(session, pdu, hex); kept.push([pdu, text(hex, 'DELIVRD')]); soon(() => session.destroy()); },
    '23': () => accept(session, pdu, hex),
    '30': () => {
      accept(session, pdu, hex);
      const tlvs = { receipted_message_id: hex, message_state: 2, network_error_code: Buffer.from([3, 0, 0]) };
      soon(() => deliver(pdu, '', tlvs));
    },
    '31': () => { accept(session, pdu, hex); soon(() => deliver(pdu, `stat:UNDELIV err:0B2 id:${hex}`, { esm_class: 0 })); },
    '32': () => {
      accept(session, pdu, hex);
      const addresses = { source_addr: pdu.destination_addr, destination_addr: pdu.source_addr, esm_class: 4 };
      soon(() => receiver()?.data_sm({ ...addresses, receipted_message_id: hex, message_state: 2 }));
    },
    '40': () => accept(session, pdu, ''),
    '41': () => raw(Buffer.alloc(0)),
    '42': () => { raw(Buffer.from(hex)); delivered(); },
    '43': () => { raw(cstring('a'.repeat(70))); soon(() => deliver(pdu, text('A'.repeat(70), 'DELIVRD'))); },
    '50': () => { accept(session, pdu, hex); soon(() => deliver(pdu, text(hex, 'EXPIRED', '001'))); },
    '60': () => session.send(pdu.response({ command_status: 0x0b })),
    '70': () => session.socket.write(frame(0x80000000, pdu.sequence_number, Buffer.alloc(0), 0x03)),
    '71': () => drip(session.socket, frame(0x80000004, pdu.sequence_number, cstring(hex))),
    '72': () => {
      const receipts = ['ENROUTE', 'ACCEPTD', 'DELIVRD'].map((stat, at) =>
        frame(5, 9000 + at, body(pdu.destination_addr, Buffer.from(text(hex, stat)), Buffer.alloc(0))));
      session.socket.write(Buffer.concat([frame(0x80000004, pdu.sequence_number, cstring(hex)), ...receipts]));
    },
    '99': () => {},
  };
  (acts[pdu.destination_addr.slice(-2)] ?? (() => { accept(session, pdu, hex); delivered(); }))();
};

const serve = (session) => {
  const name = ++born;
  let waiting = 0;
  sessions.push(session);
  session.on('error', (error) => say('error', { session: name, message: error.message }));
  session.on('close', () => {
    sessions = sessions.filter((other) => other !== session);
    say('closed', { session: name });
  });
  const bind = (pdu) => {
    const status = pdu.password === state.password ? 0 : smpp.ESME_RINVPASWD;
    say('bind', { session: name, command: pdu.command, system_id: pdu.system_id, version: pdu.interface_version, status });
    if (status) return session.send(pdu.response({ command_status: status }));
    if (state.refuse?.bind) return session.send(pdu.response({ command_status: state.refuse.bind }));
    session.receives = pdu.command !== 'bind_transmitter';
    const answer = () => session.send(pdu.response({ system_id: 'SMSC', sc_interface_version: 0x34 }));
    const repeat = () => { if (session.receives) for (const [message, receipt] of kept.splice(0)) deliver(message, receipt); };
    if (!state.early) { answer(); return repeat(); }
    repeat();
    setTimeout(answer, 200);
  };
  ['bind_transceiver', 'bind_transmitter', 'bind_receiver'].forEach((command) => session.on(command, bind));
  session.on('enquire_link', (pdu) => {
    say('enquire_link', { session: name });
    if (!state.mute) session.send(pdu.response());
  });
  session.on('unbind', (pdu) => {
    say('unbind', { session: name });
    session.send(pdu.response());
    session.close();
  });
  session.on('unbind_resp', () => {
    say('unbind_resp', { session: name });
    const leave = () => { if (waiting === 0) session.close(); else setTimeout(leave, 20); };
    leave();
  });
  for (const command of ['deliver_sm_resp', 'data_sm_resp', 'generic_nack']) {
    session.on(command, (pdu) => {
      say(command, { session: name, sequence: pdu.sequence_number, status: pdu.command_status });
    });
  }
  session.on('submit_sm', (pdu) => {
    waiting += 1;
    const { message } = pdu.short_message;
    say('submit', {
      session: name,
      waiting,
      sequence: pdu.sequence_number,
      to: pdu.destination_addr,
      from: pdu.source_addr,
      message: Buffer.isBuffer(message) ? message.toString('hex') : message,
      data_coding: pdu.data_coding,
      registered_delivery: pdu.registered_delivery,
      // Relative or absolute, node-smpp makes a date of it.
      validity_seconds: pdu.validity_period instanceof Date ? (pdu.validity_period - Date.now()) / 1000 : null,
      source_ton: pdu.source_addr_ton,
    });
    setTimeout(() => { waiting -= 1; if (!state.mute) answer(session, pdu); }, state.delay);
  });
};

const commands = {
  password: (word) => { state.password = word; },
  mute: () => { state.mute = true; },
  speak: () => { state.mute = false; },
  early: () => { state.early = true; },
  delay: (ms) => { state.delay = Number(ms); },
  refuse: (status) => { state.refuse = { bind: Number(status) }; },
  welcome: () => { state.refuse = null; },
  unbind: () => { for (const session of sessions) session.unbind(); },
  drop: () => { for (const session of sessions) session.destroy(); },
  poison: () => {
    const { socket } = receiver();
    poison().forEach(([command, bytes], at) => socket.write(frame(command, 7000 + at, bytes)));
  },
  deliver: (json) => {
    const { message, ...fields } = JSON.parse(json);
    receiver().deliver_sm({ esm_class: 4, ...fields, short_message: { message: Buffer.from(message) } });
  },
  raw: (hex) => receiver().socket.write(Buffer.from(hex, 'hex')),
};

createInterface({ input: process.stdin }).on('line', (line) => {
  const [, command, argument] = /^(\S+) ?(.*)$/.exec(line);
  commands[command](argument);
  say('told', { command });
}).on('close', () => process.exit(0));

const tls = process.env.KEY ? { key: readFileSync(process.env.KEY), cert: readFileSync(process.env.CERT) } : {};
const server = smpp.createServer(tls, serve);
server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => say('listening', { port: server.address().port }));
