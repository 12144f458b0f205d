// Steady load, open loop: everything is accepted, and latency stays where it was.

import { sendOtp } from './otp.js';

export const options = {
  scenarios: {
    steady: {
      executor: 'constant-arrival-rate',
      rate: Number(__ENV.RATE || 1000),
      timeUnit: '1s',
      duration: __ENV.DURATION || '60s',
      preAllocatedVUs: 200,
      maxVUs: 2000,
    },
  },
  summaryTrendStats: ['avg', 'min', 'med', 'max', 'p(95)', 'p(99)'],
  thresholds: {
    checks: ['rate==1'],
    shed_answers: ['count==0'],
    unexpected_answers: ['count==0'],
    dropped_iterations: ['count==0'],
    http_req_duration: ['p(95)<100', 'p(99)<200'],
  },
};

export default sendOtp;
