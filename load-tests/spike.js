// A tenfold spike and back: nothing but 202 and honest refusals, and the latency of before when it is over.

import { sendOtp } from './otp.js';

const RATE = Number(__ENV.RATE || 200);

const stage = (rate, duration, startTime) => ({
  executor: 'constant-arrival-rate',
  rate,
  timeUnit: '1s',
  duration,
  startTime,
  preAllocatedVUs: 200,
  maxVUs: 2000,
});

export const options = {
  scenarios: { before: stage(RATE, '10s', '0s'), spike: stage(10 * RATE, '10s', '10s'), after: stage(RATE, '20s', '20s') },
  summaryTrendStats: ['avg', 'min', 'med', 'max', 'p(95)', 'p(99)'],
  thresholds: {
    checks: ['rate==1'],
    unexpected_answers: ['count==0'],
    dropped_iterations: ['count==0'],
    'http_req_duration{scenario:before}': ['p(99)<200'],
    'http_req_duration{scenario:after}': ['p(99)<200'],
  },
};

export default sendOtp;
