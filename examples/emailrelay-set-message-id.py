#!/usr/bin/python3
"""Filter: adds a Message-ID header to messages that have none. (The relay's own filter msgid: does the same.)"""
from email.utils import make_msgid

from emailrelay_message import Content, Envelope, paths

content_path, envelope_path = paths()
content = Content(content_path)
if not content.values('Message-ID'):
    domain = (Envelope(envelope_path).value('From') or '').rpartition('@')[2]
    content.add('Message-ID', make_msgid(domain=domain) if domain.isascii() and domain else make_msgid())
    content.save()
