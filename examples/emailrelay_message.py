"""The two files of a message in the spool, for filters and other scripts in Python.

A filter is run with the path of the content file and that of the envelope file. It ends with 0 when the message may
go on, with 1 to 99 when it is refused, with 100 when it has dealt with the message itself. See emailrelay-envelope(5).
"""
import os
import sys
import tempfile


def refuse(response, reason=None):
    """Ends the filter: the first text is for the sender, the second for the log."""
    print(f'<<{response}>>')
    if reason:
        print(f'<<{reason}>>')
    sys.exit(1)


def paths():
    """The content file and the envelope file that the filter is for."""
    if len(sys.argv) < 2:
        sys.exit(f'usage: {os.path.basename(sys.argv[0])} <content-file> [<envelope-file>]')
    content = sys.argv[1]
    if len(sys.argv) > 2:
        return content, sys.argv[2]
    for ending in ('.envelope.new', '.envelope.busy', '.envelope'):
        path = content.removesuffix('.content') + ending
        if os.path.exists(path):
            return content, path
    refuse('no envelope', f'no envelope for {content}')


def replace(path, data):
    """Puts new bytes into a file: at no time is there half of it. Mode and group stay."""
    before = os.stat(path)
    descriptor, temporary = tempfile.mkstemp(prefix=os.path.basename(path) + '.', suffix='.tmp', dir=os.path.dirname(path) or '.')
    try:
        with os.fdopen(descriptor, 'wb') as f:
            f.write(data)
            os.fchmod(f.fileno(), before.st_mode & 0o7777)
            try:
                os.fchown(f.fileno(), -1, before.st_gid)
            except PermissionError:
                pass
            f.flush()
            os.fsync(f.fileno())
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


class Envelope:
    """The lines of an envelope; field names without X-MailRelay-."""

    prefix = b'X-MailRelay-'

    def __init__(self, path):
        self.path = path
        with open(path, 'rb') as f:
            self.lines = f.read().splitlines(keepends=True)

    def values(self, name):
        start = self.prefix + name.encode() + b':'
        return [line[len(start):].strip().decode('utf-8', 'surrogateescape') for line in self.lines if line.startswith(start)]

    def value(self, name):
        """The first one, None if there is none."""
        return next(iter(self.values(name)), None)

    def set(self, name, value):
        """Changes the first line of that name."""
        if '\n' in value or '\r' in value:
            raise ValueError(f'line end in {name}')
        start = self.prefix + name.encode() + b':'
        for i, line in enumerate(self.lines):
            if line.startswith(start):
                self.lines[i] = start + b' ' + value.encode('utf-8', 'surrogateescape') + (b'\r\n' if line.endswith(b'\r\n') else b'\n')
                return
        raise KeyError(name)

    def save(self):
        replace(self.path, b''.join(self.lines))


class Content:
    """Header fields, each with its continuation lines and line ends, and the body with the empty line in front."""

    def __init__(self, path):
        self.path = path
        self.fields = []
        with open(path, 'rb') as f:
            for line in f:
                if line in (b'\r\n', b'\n'):
                    self.body = line + f.read()
                    return
                if line[:1] in (b' ', b'\t') and self.fields:
                    self.fields[-1] += line
                else:
                    self.fields.append(line)
        self.body = b''

    @staticmethod
    def name(field):
        return field.split(b':', 1)[0].strip().lower().decode('latin-1') if b':' in field else ''

    def values(self, name):
        """Of all fields of that name, folded as they are, without blanks around them."""
        return [f.split(b':', 1)[1].strip().decode('utf-8', 'surrogateescape') for f in self.fields if self.name(f) == name.lower()]

    def remove(self, *names):
        wanted = {name.lower() for name in names}
        self.fields = [f for f in self.fields if self.name(f) not in wanted]

    def add(self, name, value):
        """In front of the others."""
        self.fields.insert(0, f'{name}: {value}\r\n'.encode('utf-8', 'surrogateescape'))

    def bytes(self):
        return b''.join(self.fields) + self.body

    def save(self):
        replace(self.path, self.bytes())
