#!/usr/bin/python3
"""Address verifier: a recipient is accepted when an LDAP directory has an entry with that mail address. Needs ldapsearch
(package ldap-utils).

    emailrelay --address-verifier=/usr/libexec/emailrelay/examples/emailrelay-ldap-verify.py ...

Edit the settings. The relay's user sends the message on; nobody gets a mailbox here.
"""
import os
import subprocess
import sys

uri = os.environ.get('EMAILRELAY_LDAP_URI', 'ldap://localhost')
base = os.environ.get('EMAILRELAY_LDAP_BASE', 'dc=example,dc=com')
attribute = 'mail'


def escaped(text):
    """A value in a search filter (RFC 4515 section 3)."""
    return ''.join(f'\\{octet:02x}' if octet in b'*()\\\0' or octet >= 0x80 else chr(octet) for octet in os.fsencode(text))


address = sys.argv[1] if len(sys.argv) > 1 else ''
try:
    found = subprocess.run(['ldapsearch', '-x', '-LLL', '-o', 'nettimeout=5', '-l', '5', '-z', '1', '-H', uri, '-b', base,
                            f'({attribute}={escaped(address)})', '1.1'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, timeout=20)
    answered = found.returncode in (0, 4)  # 4: there were more than one
except (OSError, subprocess.TimeoutExpired):
    answered = False
if not answered:
    print('directory not available')
    print('ldapsearch failed')
    sys.exit(3)  # a temporary failure: to be tried again
if b'dn:' not in found.stdout:
    print('mailbox unavailable')
    print('not in the directory')
    sys.exit(2)
print()
print(address)
sys.exit(1)  # valid, not local
