#!/bin/sh
# Stores a message from the standard input in the sub-directories of the spool that the table below gives for its To
# addresses, for POP users (--pop-by-name); in "postmaster" where it gives none.
#
#   emailrelay-submit.sh < message
set -eu

spool=${EMAILRELAY_SPOOL:-/var/spool/emailrelay}
submit=${EMAILRELAY_SUBMIT:-/usr/sbin/emailrelay-submit}

# Edit this: an address (small letters) and the sub-directories for it.
table() {
  case $1 in
    info@example.com) echo alice bob ;;
    alice@*) echo alice ;;
    bob@*) echo bob ;;
  esac
}

message=$(mktemp)
trap 'rm -f "$message"' EXIT
cat > "$message"

# The To header with its continuation lines, one address a line.
addresses=$(sed -e '/^\r*$/q' "$message" | tr -d '\r' |
  awk 'tolower($0) ~ /^to:/ { on = 1; sub(/^[^:]*:/, ""); print; next } /^[ \t]/ && on { print; next } { on = 0 }' |
  tr -s ',;<>" \t' '[\n*]' | grep @ | tr '[:upper:]' '[:lower:]' || true)

mailboxes=$(for address in $addresses; do table "$address"; done | tr ' ' '\n' | sort -u)
for mailbox in ${mailboxes:-postmaster}; do
  # shellcheck disable=SC2086 # the addresses are words
  "$submit" --spool-dir="$spool/$mailbox" --input-file="$message" -- ${addresses:-postmaster}
done
