import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from ara import Ara, AraError

ara = Ara(
    url=os.environ.get("ARA_URL", "http://localhost:8081"),
    api_key=os.environ.get("API_KEY", ""),
    secret=os.environ["JWT_SECRET"],
)


def signed_in_user():
    """Replace this by the user of your session."""
    return "alice"


def ship(order):
    # The key stands for the event: however often this runs, the user gets one notification.
    message = {"target_user_id": signed_in_user(), "event_type": "order.shipped", "payload": {"order": order}}
    return ara.send("send", message, key=f"order-{order}-shipped")


class Backend(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/token":
            self.answer(200, ara.token(signed_in_user()))
        else:
            self.answer(404, "")

    def do_POST(self):
        url = urlsplit(self.path)
        order = parse_qs(url.query).get("order", [""])[0]
        if url.path != "/ship" or not order.isdecimal():
            self.answer(404, "")
            return
        try:
            self.answer(200, json.dumps(ship(int(order))))
        except AraError as error:
            self.log_error("%s", error)
            self.answer(502, error.code)

    def answer(self, status, text):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())


port = int(os.environ.get("PORT", "3000"))
print(f"backend: http://localhost:{port}", flush=True)
ThreadingHTTPServer(("127.0.0.1", port), Backend).serve_forever()
