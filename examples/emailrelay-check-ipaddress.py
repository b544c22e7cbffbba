#!/usr/bin/python3
"""Filter: silently discards messages from client addresses that are not listed here.

Edit `allowed`: addresses and networks.
"""
import ipaddress
import os
import sys

from emailrelay_message import Envelope, paths

allowed = ['127.0.0.0/8', '::1', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7', 'fe80::/10']

content_path, envelope_path = paths()
client = Envelope(envelope_path).value('Client') or ''
try:
    address = ipaddress.ip_address(client.split('%')[0])
    address = getattr(address, 'ipv4_mapped', None) or address
    good = any(address in ipaddress.ip_network(network) for network in allowed)
except ValueError:
    good = client.startswith('/')  # a unix-domain client
if not good:
    os.unlink(envelope_path)
    os.unlink(content_path)
    sys.exit(100)
