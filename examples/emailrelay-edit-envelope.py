#!/usr/bin/python3
"""Filter: a pattern for editing envelopes. It sets MailFromAuthOut, the AUTH parameter that the relay sends with MAIL: the
authentication name of the client, or "<>" where there is none. (As --client-filter or --filter.)"""
from emailrelay_message import Envelope, paths

envelope = Envelope(paths()[1])
envelope.set('MailFromAuthOut', envelope.value('Authentication') or '<>')
envelope.save()
