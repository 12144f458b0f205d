# "Receive delivery webhooks" of the guide "Send OTP from cURL" (seed 004, section 3), as printed.
SECRET="your_plaintext_webhook_secret"
KEY=$(printf '%s' "$SECRET" | openssl dgst -sha256 -binary | xxd -p -c 256)

BODY='{"type":"otp.delivered","id":"test","phone":"+84981234567","carrier":"viettel","status":"delivered","cost":0.022,"error_code":null,"created_at":"2026-05-26T10:00:00Z","completed_at":"2026-05-26T10:00:25Z"}'

SIG="sha256=$(printf '%s' "$BODY" | openssl dgst -sha256 -mac HMAC -macopt hexkey:$KEY | sed 's/^.* //')"

curl -X POST https://your-server.example.com/webhooks/nexo \
  -H "Content-Type: application/json" \
  -H "X-NEXO-Signature: $SIG" \
  -H "X-NEXO-Event-Type: otp.delivered" \
  -d "$BODY"
