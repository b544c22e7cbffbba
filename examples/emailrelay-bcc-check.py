#!/usr/bin/python3
"""Filter: refuses messages that still have a Bcc header, which would show the hidden recipients to all.

    emailrelay --filter=/usr/libexec/emailrelay/examples/emailrelay-bcc-check.py ...

One kind is expected and passes: "Bcc: <address>" of a message to that recipient alone (see emailrelay-submit --bcc-split).
"""
from email.utils import getaddresses

from emailrelay_message import Content, Envelope, paths, refuse

content_path, envelope_path = paths()
hidden = [address.lower() for _, address in getaddresses(Content(content_path).values('Bcc')) if address]
recipients = [address.lower() for address in Envelope(envelope_path).values('To-Remote')]
if hidden and hidden != recipients:
    refuse('unexpected Bcc header', f'Bcc header with {len(hidden)} recipients')
