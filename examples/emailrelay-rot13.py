#!/usr/bin/python3
"""Filter: masks the text of messages by turning each letter by thirteen places; the headers stay.

A pattern for filters that change the body.
"""
from emailrelay_message import Content, paths

plain = bytes(range(ord('a'), ord('z') + 1))
turned = plain[13:] + plain[:13]
table = bytes.maketrans(plain + plain.upper(), turned + turned.upper())

content = Content(paths()[0])
content.body = content.body.translate(table)
content.save()
