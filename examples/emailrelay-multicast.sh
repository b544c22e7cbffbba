#!/bin/sh
# Filter: a copy of each message for every sub-directory of the spool, for POP users (--pop-by-name). The message itself is
# deleted when all copies worked (exit code 100); else it stays. (The relay's own filter copy: does the same.)
set -eu

content=$1
envelope=${2:-${content%.content}.envelope.new}
spool=$(dirname "$content")
name=$(basename "$content" .content)
umask 007

# Content first, the envelope under its final name last: nobody sees half a message.
copy_into() {
  ln "$content" "$1/$name.content" 2> /dev/null || cp "$content" "$1/$name.content" 2> /dev/null || return 1
  cp "$envelope" "$1/$name.envelope.new" 2> /dev/null && mv "$1/$name.envelope.new" "$1/$name.envelope" && return 0
  rm -f "$1/$name.content" "$1/$name.envelope.new" 2> /dev/null
  return 1
}

copied=no
for directory in "$spool"/*/; do
  directory=${directory%/}
  if [ ! -d "$directory" ] || [ -L "$directory" ]; then continue; fi
  if ! copy_into "$directory"; then
    echo "<<multicast failed>>"
    echo "<<cannot copy into $directory>>"
    exit 1
  fi
  copied=yes
done
[ $copied = yes ] || exit 0
rm -f "$envelope" "$content"
exit 100
