#!/usr/bin/python3
"""Filter: puts messages for local recipients (To-Local lines, from an address verifier) into the sub-directories of the
spool that have their names. (The relay's own filter deliver: does the same.)

A message with local recipients only is taken out of the spool (exit code 100); else the rest goes on.
"""
import os
import shutil
import sys

from emailrelay_message import paths, refuse, Envelope

content_path, envelope_path = paths()
envelope = Envelope(envelope_path)
spool = os.path.dirname(content_path) or '.'
base = os.path.basename(content_path).removesuffix('.content')
local = list(dict.fromkeys(envelope.values('To-Local')))
made = []
try:
    for mailbox in local:
        if '/' in mailbox or mailbox in ('', '.', '..'):
            raise OSError(f'not a mailbox name: {mailbox}')
        folder = os.path.join(spool, mailbox)
        os.makedirs(folder, mode=0o770, exist_ok=True)
        for source, ending in ((content_path, '.content'), (envelope_path, '.envelope.new')):
            made.append(os.path.join(folder, base + ending))
            shutil.copyfile(source, made[-1])
            os.chmod(made[-1], 0o660)
        os.rename(made[-1], made[-1].removesuffix('.new'))
        made[-1] = made[-1].removesuffix('.new')
except OSError as e:
    for path in made:
        if os.path.exists(path):
            os.unlink(path)
    refuse('local delivery failed', str(e))
if local and not envelope.values('To-Remote'):
    os.unlink(envelope_path)
    os.unlink(content_path)
    sys.exit(100)
