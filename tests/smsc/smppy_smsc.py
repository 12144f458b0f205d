"""An SMSC on smppy: it accepts every message without an id, and its receipts can only be told by their text.

Tells on its standard output what it sees, a JSON object a line. Ends when it is killed.
"""

import asyncio
import json
import logging

import smppy
import smppy.server


def say(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)


def text(value):
    return value.decode() if isinstance(value, bytes) else value


class Smsc(smppy.Application):
    async def handle_bound_client(self, client):
        say("bind", system_id=text(client.system_id))
        return client if text(client.password) == "secret" else None

    async def handle_unbound_client(self, client):
        say("unbind")

    # smppy calls it with exactly these names.
    async def handle_sms_received(self, client, source_number, dest_number, text):
        say("submit_sm", to=globals()["text"](dest_number))
        # Of a message that it never named.
        await client.send_sms(source=dest_number, dest=source_number, text="id:77 sub:001 dlvrd:001 stat:DELIVRD err:000")


async def on_deliver_sm_resp(_protocol, response):
    say("deliver_sm_resp", status=str(response.status))


smppy.server.SmppProtocol.on_deliver_sm_resp = on_deliver_sm_resp

loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
server = Smsc(name="smppy", logger=None).create_server(loop=loop, host="127.0.0.1", port=0)
logging.disable(logging.CRITICAL)
say("listening", port=server.sockets[0].getsockname()[1])
loop.run_forever()
