// 1,000 OTPs at one instant, on a daemon that was idle: every one is accepted, quickly.

import { sendOtp } from './otp.js';

export const options = {
  scenarios: {
    burst: { executor: 'per-vu-iterations', vus: 1000, iterations: 1, maxDuration: '30s' },
  },
  summaryTrendStats: ['avg', 'min', 'med', 'max', 'p(95)', 'p(99)'],
  thresholds: {
    checks: ['rate==1'],
    shed_answers: ['count==0'],
    unexpected_answers: ['count==0'],
    http_req_duration: ['p(99)<1000'],
  },
};

export default sendOtp;
