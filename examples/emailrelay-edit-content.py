#!/usr/bin/python3
"""Filter: a pattern for editing content. It marks the subject, adds a header and removes others."""
from emailrelay_message import Content, paths

content = Content(paths()[0])
subject = ' '.join(content.values('Subject')[:1])
content.remove('Subject', 'X-Mailer', 'User-Agent')
content.add('Subject', subject if subject.startswith('[relayed]') else f'[relayed] {subject}'.rstrip())
content.add('X-Relayed', 'yes')
content.save()
