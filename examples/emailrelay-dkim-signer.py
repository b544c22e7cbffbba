#!/usr/bin/python3
"""Filter: signs messages with DKIM (RFC 6376). Needs python3-dkim, and a key that the relay's user can read.

Edit the settings, or put them into /etc/emailrelay-dkim.conf as lines "name value".

    openssl genrsa -out /etc/emailrelay-dkim.key 2048
    openssl rsa -in /etc/emailrelay-dkim.key -pubout    # for the TXT record <selector>._domainkey.<domain>
"""
import os

import dkim

from emailrelay_message import Content, paths, refuse, replace

settings = {
    'selector': 'mail',
    'domain': 'example.com',
    'key': '/etc/emailrelay-dkim.key',
    'headers': 'from to cc subject date message-id reply-to mime-version content-type content-transfer-encoding in-reply-to references',
}
configuration = os.environ.get('EMAILRELAY_DKIM_CONF', '/etc/emailrelay-dkim.conf')
if os.path.exists(configuration):
    with open(configuration) as f:
        settings.update(line.split(maxsplit=1) for line in map(str.strip, f) if line and not line.startswith('#'))

content = Content(paths()[0])
present = {content.name(field) for field in content.fields}
signed = [name.encode() for name in settings['headers'].split() if name in present]
message = content.bytes() if content.body else content.bytes() + b'\r\n'
try:
    with open(settings['key'], 'rb') as f:
        key = f.read()
    signature = dkim.sign(message, settings['selector'].encode(), settings['domain'].encode(), key,
                          canonicalize=(b'relaxed', b'relaxed'), include_headers=signed)
except (OSError, dkim.DKIMException) as e:
    refuse('cannot sign', f'dkim: {e}')
replace(content.path, signature + message)
