// The receiver of the guide "Send OTP from Node.js" (seed 003, section 3), as printed.
// webhook-receiver.ts (Express)
import crypto from 'node:crypto';
import express from 'express';

const app = express();
const WEBHOOK_SECRET = process.env.NEXO_WEBHOOK_SECRET!;

// SHA-256 of your plaintext secret (we only store the hash on our side)
const secretKey = crypto.createHash('sha256').update(WEBHOOK_SECRET).digest();

app.post('/webhooks/nexo', express.raw({ type: 'application/json' }), (req, res) => {
  const sig = req.header('X-NEXO-Signature') ?? '';
  const expected = 'sha256=' + crypto
    .createHmac('sha256', secretKey)
    .update(req.body)
    .digest('hex');

  // Timing-safe comparison
  if (sig.length !== expected.length ||
      !crypto.timingSafeEqual(Buffer.from(sig), Buffer.from(expected))) {
    return res.status(401).send('bad signature');
  }

  const event = JSON.parse(req.body.toString());
  console.log(`OTP ${event.id} → ${event.status}`);
  // event = { type, id, phone, carrier, status, cost, error_code, created_at, completed_at }
  res.status(200).send('ok');
});

app.listen(3000);
