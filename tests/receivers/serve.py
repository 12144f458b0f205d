"""The Standard Webhooks library of PyPI behind HTTP: 200 if it accepts a POST, 401 if it refuses.

    NEXO_WEBHOOK_SECRET=whsec_… PORT=… python serve.py
"""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

WEBHOOK = Webhook(os.environ["NEXO_WEBHOOK_SECRET"])


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            WEBHOOK.verify(body, dict(self.headers))
            status, text = 200, b"ok"
        except WebhookVerificationError:
            status, text = 401, b"bad signature"
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Receiver).serve_forever()
