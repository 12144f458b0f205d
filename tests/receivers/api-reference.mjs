// "Verify the signature" of the API reference (seed 002, section 06), as printed.
import crypto from 'node:crypto';

// Done ONCE on startup — your plaintext secret never leaves your server.
const HASHED_SECRET = crypto
  .createHash('sha256')
  .update(process.env.NEXO_WEBHOOK_SECRET, 'utf8')
  .digest('hex');

export function verify(rawBody, signatureHeader) {
  const provided = signatureHeader.replace(/^sha256=/, '');
  const expected = crypto
    .createHmac('sha256', HASHED_SECRET)
    .update(rawBody, 'utf8')
    .digest('hex');
  return crypto.timingSafeEqual(
    Buffer.from(provided, 'hex'),
    Buffer.from(expected, 'hex')
  );
}
