#!/bin/sh
# Tells the senders of failed messages: mails each a notice with the reason and the original, then deletes the message.
# Messages without a sender, notices among them, are deleted too.
#
#   emailrelay-notify.sh [<spool-dir>]
set -u

spool=${1:-/var/spool/emailrelay}
sendmail=${SENDMAIL:-/usr/sbin/sendmail}
from=${EMAILRELAY_NOTIFY_FROM:-postmaster}

if [ ! -d "$spool" ]; then
  echo "$(basename "$0"): invalid spool directory: $spool" >&2
  exit 1
fi

# field <name> <envelope>: all its values, one a line
field() {
  tr -d '\r' < "$2" | sed -n "s/^X-MailRelay-$1: *//p"
}

notice() { # <envelope> <content>
  boundary=notice.$$.$(date +%s)
  cat << TEXT
From: Mail delivery <$from>
To: $sender
Subject: Your message could not be delivered
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="$boundary"

--$boundary
Content-Type: text/plain; charset=UTF-8

Your message could not be delivered to

$(field To-Remote "$1" | sed 's/^/    /')

The reason given was

$(field Reason "$1" | tail -n 1 | sed 's/^/    /')

The message is attached.

--$boundary
Content-Type: message/rfc822

TEXT
  tr -d '\r' < "$2"
  printf '\n--%s--\n' "$boundary"
}

status=0
for bad in "$spool"/emailrelay.*.envelope.bad; do
  if [ ! -f "$bad" ] || [ -L "$bad" ]; then continue; fi
  content=${bad%.envelope.bad}.content
  [ -f "$content" ] || continue
  sender=$(field From "$bad" | head -n 1)
  if [ -z "$sender" ] || notice "$bad" "$content" | "$sendmail" -i -f '<>' -- "$sender"; then
    rm -f "$bad" "$content"
  else
    echo "$(basename "$0"): cannot send a notice about $bad" >&2
    status=1
  fi
done
exit $status
