#!/usr/bin/python3
"""Filter: gives every message the same originator, in the headers and in the envelope.

Edit `address` and `name`. The author's own address is kept in a Reply-To header if there is none.
"""
from email.utils import formataddr, getaddresses

from emailrelay_message import Content, Envelope, paths

address = 'office@example.com'
name = ''

content_path, envelope_path = paths()
content = Content(content_path)
author = [a for _, a in getaddresses(content.values('From')) if a]
if author and author != [address] and not content.values('Reply-To'):
    content.add('Reply-To', author[0])
content.remove('From', 'Sender', 'Return-Path')
content.add('From', formataddr((name, address)))
content.save()
envelope = Envelope(envelope_path)
envelope.set('From', address)
envelope.save()
