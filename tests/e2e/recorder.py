"""What a process wrote and flushed, as strace saw it; and what a power cut would have left of it.

`prefix(folder)` goes in front of the relay's words. When it has ended, `Record(folder, spool)` holds its file
operations under `spool` and the replies it sent. A record answers what was certainly on disk at a moment, and builds
the folder as it may look after a power cut then, by this rule: octets count once a flush of their file began after they were
written and has ended; a name counts once a flush of its folder did. Anything else may be there, in part or not at all.
"""
import os
import pathlib
import re

import harness

calls = ('open,openat,creat,close,write,writev,pwrite64,pwritev,pwritev2,ftruncate,truncate,fallocate,rename,renameat,renameat2,'
         'unlink,unlinkat,link,linkat,mkdir,mkdirat,fsync,fdatasync,syncfs,sync,sendto,sendmsg,copy_file_range,sendfile,'
         'io_uring_setup')


def prefix(folder, *more):
    os.makedirs(folder, exist_ok=True)
    os.chmod(folder, 0o777)
    return [harness.find('strace'), '-D', '-q', '-f', '-ff', '-o', f'{folder}/t', '-ttt', '-T', '-yy', '-xx', '-s', '4000000',
            '-e', f'trace={calls}', '-e', 'signal=none', *more]


class Event:
    def __init__(self, start, end, call, arguments, result, tail):
        self.start, self.end, self.call, self.arguments, self.result, self.tail = start, end, call, arguments, result, tail


class File:
    """One inode: what was done to its content, in order, and when it was flushed."""

    def __init__(self, path, folder=False):
        self.path = path  # first name
        self.folder = folder
        self.operations = []  # (end, kind, offset, data or length)
        self.flushes = []  # (start, end)
        self.position = 0

    def flushed_before(self, moment):
        """Operations that ended before this time are on disk at `moment`."""
        return max((s for s, e in self.flushes if e <= moment), default=-1.0)

    def content(self, upto):
        """Octets as of the operations that ended at `upto` or before."""
        data = bytearray()
        for end, kind, offset, what in self.operations:
            if end > upto:
                continue
            if kind == 'write':
                if len(data) < offset:
                    data.extend(bytes(offset - len(data)))
                data[offset:offset + len(what)] = what
            elif kind == 'size':
                if what < len(data):
                    del data[what:]
                else:
                    data.extend(bytes(what - len(data)))
            elif kind == 'grow':
                if offset + what > len(data):
                    data.extend(bytes(offset + what - len(data)))
            elif kind == 'zero':
                end_of_it = min(len(data), offset + what)
                if end_of_it > offset:
                    data[offset:end_of_it] = bytes(end_of_it - offset)
        return bytes(data)


line_form = re.compile(r'^(\d+\.\d+) (\w+)\((.*)\)\s+= (-?\d+|\?)(.*?)(?: <(\d+\.\d+)>)?$')
string_form = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
path_form = re.compile(r'^(?:AT_FDCWD|(-?\d+))(?:<([^>]*)>)?, "((?:\\x[0-9a-f]{2})*)"')


def octets(hex_text):
    return bytes.fromhex(hex_text.replace('\\x', ''))


class Record:
    def __init__(self, folder, spool):
        self.spool = str(spool)
        self.events = []
        self.files = []  # every inode under the spool
        self.names = []  # (end, kind, path, inode or new path)
        self.replies = []  # (start of the call, peer port, octets)
        self.flush_calls = []  # (start, end, path)
        self._opened = {}  # descriptor -> [(end of open, File or None)]
        self._cwd = ''  # as last seen
        self._live = {}  # path -> File, as of the last event
        for path in sorted(pathlib.Path(folder).iterdir()):
            self._read(path)
        self.events.sort(key=lambda e: e.end)
        root = File(self.spool, folder=True)
        self._live[self.spool] = root
        self.files.append(root)
        for event in self.events:
            self._apply(event)

    def _read(self, path):
        with open(path, encoding='latin-1') as lines:
            for line in lines:
                found = line_form.match(line.rstrip('\n'))
                if not found:
                    if '<unfinished' in line or '+++' in line or '---' in line or ' = ?' in line or '???(' in line:  # the last: cut off between entry and name
                        continue
                    raise ValueError(f'strace line not understood: {line[:300]}')
                start, call, arguments, result, tail, took = found.groups()
                if result == '?':
                    continue
                start = float(start)
                self.events.append(Event(start, start + float(took or 0), call, arguments, int(result), tail))

    # -- one event

    def _inside(self, path):
        return path == self.spool or path.startswith(self.spool + '/')

    def _paths(self, arguments, count):
        """The first `count` paths of *at() or plain calls, absolute."""
        found = []
        rest = arguments
        while len(found) < count:
            match = path_form.match(rest)
            if match:
                base, text = (octets(x or '').decode('utf-8', 'surrogateescape') for x in match.group(2, 3))
                if rest.startswith('AT_FDCWD') and base:
                    self._cwd = base
                rest = rest[match.end():].lstrip(', ')
            else:
                match = string_form.match(rest)
                if not match:
                    return None
                base, text = self._cwd, octets(match.group(1)).decode('utf-8', 'surrogateescape')
                rest = rest[match.end():].lstrip(', ')
            found.append(os.path.normpath(os.path.join(base, text)))
        return found

    def _file(self, event):
        number = int(re.match(r'(-?\d+)', event.arguments).group(1))
        best = None
        for end, file in self._opened.get(number, ()):
            if end <= event.start:
                best = file
        return best

    def _apply(self, event):
        call = event.call
        if call in ('sendto', 'sendmsg', 'write', 'writev'):
            peer = re.match(r'\d+<(?:TCP|TCPv6):\[.*->.*?:(\d+)\]>', event.arguments)
            if peer:
                data = b''.join(octets(s) for s in string_form.findall(event.arguments))
                self.replies.append((event.start, int(peer.group(1)), data))
                return
        if event.result < 0:
            return
        if call == 'io_uring_setup':
            raise ValueError('io_uring is used: this recorder cannot see through it')
        if call in ('open', 'openat', 'creat'):
            self._open(event)
        elif call in ('write', 'writev', 'pwrite64', 'pwritev', 'pwritev2'):
            self._write(event)
        elif call == 'ftruncate':
            file = self._file(event)
            if file:
                file.operations.append((event.end, 'size', 0, int(event.arguments.rsplit(',', 1)[1])))
        elif call == 'fallocate':
            file = self._file(event)
            if file:
                _, mode, offset, length = event.arguments.rsplit(', ', 3)
                if 'ZERO_RANGE' in mode:
                    file.operations.append((event.end, 'zero', int(offset), int(length)))
                if 'KEEP_SIZE' not in mode and 'PUNCH' not in mode:
                    file.operations.append((event.end, 'grow', int(offset), int(length)))
        elif call in ('rename', 'renameat', 'renameat2'):
            self._name(event, 'rename', self._paths(event.arguments, 2))
        elif call in ('link', 'linkat'):
            self._name(event, 'link', self._paths(event.arguments, 2))
        elif call in ('unlink', 'unlinkat'):
            self._name(event, 'unlink', self._paths(event.arguments, 1))
        elif call in ('mkdir', 'mkdirat'):
            paths = self._paths(event.arguments, 1)
            if paths and self._inside(paths[0]):
                file = File(paths[0], folder=True)
                self._live[paths[0]] = file
                self.files.append(file)
                self.names.append((event.end, 'create', paths[0], file))
        elif call in ('fsync', 'fdatasync'):
            file = self._file(event)
            if file:
                file.flushes.append((event.start, event.end))
                self.flush_calls.append((event.start, event.end, file.path))
        elif call in ('syncfs', 'sync'):
            for file in self.files:
                file.flushes.append((event.start, event.end))
            self.flush_calls.append((event.start, event.end, 'everything'))
        elif call in ('copy_file_range', 'sendfile'):
            file = self._file(event)
            if file:
                raise ValueError(f'{call} into {file.path}: not followed')

    def _open(self, event):
        paths = self._paths(event.arguments, 1)
        file = None
        if paths and self._inside(paths[0]):
            path = paths[0]
            file = self._live.get(path)
            if file is None:
                file = File(path, folder='O_DIRECTORY' in event.arguments)
                self.files.append(file)
                self._live[path] = file
                if 'O_CREAT' in event.arguments or event.call == 'creat':
                    self.names.append((event.end, 'create', path, file))
            if 'O_TRUNC' in event.arguments or event.call == 'creat':
                file.operations.append((event.end, 'size', 0, 0))
            if 'SYNC' in event.arguments:
                file.always_flushed = True
        self._opened.setdefault(event.result, []).append((event.end, file))
        if file:
            file.position = 0
            file.append = 'O_APPEND' in event.arguments

    def _write(self, event):
        file = self._file(event)
        if not file:
            return
        data = b''.join(octets(s) for s in string_form.findall(event.arguments))[:event.result]
        if event.call in ('write', 'writev'):
            offset = len(file.content(event.end)) if file.append else file.position
            file.position = offset + len(data)
        else:
            parts = event.arguments.split('"' if event.call == 'pwrite64' else ']')
            numbers = re.findall(r', (\d+)', parts[-1])
            offset = int(numbers[1])
        file.operations.append((event.end, 'write', offset, data))
        if getattr(file, 'always_flushed', False) or 'DSYNC' in event.arguments.rsplit(']', 1)[-1]:
            file.flushes.append((event.end, event.end))

    def _name(self, event, kind, paths):
        if not paths or not any(self._inside(p) for p in paths):
            return
        if kind == 'unlink':
            self._live.pop(paths[0], None)
            self.names.append((event.end, kind, paths[0], None))
        else:
            file = self._live.get(paths[0])
            if kind == 'rename':
                self._live.pop(paths[0], None)
            if file:
                self._live[paths[1]] = file
            self.names.append((event.end, kind, paths[0], paths[1]))

    # -- questions

    def reply_time(self, port, text, nth=1):
        """When the call began that sent the nth reply with `text` to the peer's port."""
        seen = 0
        for start, peer, data in sorted(self.replies, key=lambda r: r[0]):
            if peer == port:
                seen += data.count(text)
                if seen >= nth:
                    return start
        harness.fail(f'no reply {text!r} number {nth} to port {port} on record')

    def flushes_between(self, start, end):
        return [f for f in self.flush_calls if start <= f[0] and f[0] <= end]

    def _folder_flushed(self, path, moment):
        parent = os.path.dirname(path)
        for file in self.files:
            if file.folder and file.path == parent:
                return file.flushed_before(moment)
        return -1.0

    def tree(self, moment, durable):
        """path -> File at `moment`: every name that then was there, or only the durable ones."""
        tree = {}
        for end, kind, path, other in self.names:
            if end > moment:
                break
            paths = [path] if kind in ('create', 'unlink') else [path, other]
            if durable and any(end > self._folder_flushed(p, moment) for p in paths):
                continue
            if kind == 'create':
                tree[path] = other
            elif kind == 'unlink':
                tree.pop(path, None)
            elif kind == 'rename':
                # A name that itself was never made durable moves without leaving a trace.
                file = tree.pop(path, None)
                if file:
                    tree[other] = file
            elif kind == 'link' and path in tree:
                tree[other] = tree[path]
        return tree

    def durable_octets(self, moment):
        """Everything certainly on disk at `moment` that can be reached by a name, joined: to look for marks in."""
        return b''.join(f.content(f.flushed_before(moment)) for f in self.tree(moment, True).values() if not f.folder)

    def file_of(self, path, moment):
        return self.tree(moment, False).get(str(path))

    def build(self, moment, target, choose):
        """Lays out the spool as a power cut at `moment` may have left it.

        For each file whose name or octets were not all flushed, choose(name) says what became of it: 'absent', 'empty', 'short' or
        'whole', as far as flushes allow: what was flushed is there in any case. Returns {name: (what was chosen, could it vary)}."""
        sure, seen = self.tree(moment, True), self.tree(moment, False)
        outcome = {}
        os.makedirs(target, exist_ok=True)
        for path in sorted(set(sure) | set(seen), key=lambda p: (p.count('/'), p)):
            name = os.path.relpath(path, self.spool)
            file = seen.get(path) or sure[path]
            place = os.path.join(target, name)
            if file.folder:
                os.makedirs(place, exist_ok=True)
                continue
            flushed = file.content(file.flushed_before(moment))
            latest = file.content(moment)
            certain = path in sure and flushed == latest
            what = 'whole' if certain else choose(name)
            outcome[name] = (what, not certain)
            if what == 'absent' and path not in sure:
                continue
            if path in sure and sure[path] is not file:
                # The old file under this name is what is sure.
                file = sure[path] if what != 'whole' else file
                flushed = file.content(file.flushed_before(moment))
                latest = file.content(moment)
            if what == 'whole':
                data = latest
            elif what == 'short' and len(latest) > len(flushed):
                data = flushed + latest[len(flushed):len(flushed) + (len(latest) - len(flushed)) // 2]
            elif what == 'short' and len(latest) == len(flushed):
                # written in place: the first half of what changed has reached the disk
                at = [i for i in range(0, len(latest), 512) if latest[i:i + 512] != flushed[i:i + 512]]
                cut = at[len(at) // 2] if at else 0
                data = latest[:cut] + flushed[cut:]
            else:
                data = flushed
            with open(place, 'wb') as f:
                # leave holes: a journal is mostly zeros
                for start in range(0, len(data), 1 << 16):
                    block = data[start:start + (1 << 16)]
                    if block.count(0) != len(block):
                        f.seek(start)
                        f.write(block)
                f.truncate(len(data))
            os.chmod(place, 0o660)
        return outcome
