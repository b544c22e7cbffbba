"""Makes calls of a relay fail (tests/support/fault_injection.cpp): which, the n-th of them, how, and for how long."""
import mmap
import os
import struct

import harness

library = harness.bin_dir / 'fault_injection.so'
nothing, count, fail_it, kill, fall_short, interrupt = range(6)
files, sockets, memory, library_memory, exchanges = range(5)
places, place_size, head = 4096, 64, 48
for_good = 2 ** 62


class Faults:
    """The page that the library reads (its layout is there)."""

    def __init__(self, t, spool, name='faults'):
        if not library.exists():
            raise harness.Skip(f'{library.name} is not built')
        path = t.dir / name
        path.write_bytes(bytes(head + places * place_size))
        os.chmod(path, 0o666)
        with open(path, 'r+b') as f:
            self.page = mmap.mmap(f.fileno(), 0)
        self.env = {'LD_PRELOAD': str(library), 'EMAILRELAY_FAULTS': str(path),
                    'EMAILRELAY_FAULTS_UNDER': str(spool.path),
                    'ASAN_OPTIONS': t.environment()['ASAN_OPTIONS'] + ':verify_asan_link_order=0:detect_leaks=0'}

    def arm(self, todo, when=0, error=0, how_many=1, which=files):
        """From the `when`-th call on, `how_many` of them."""
        self.page[:4] = struct.pack('<I', nothing)
        self.page[4:head] = struct.pack('<iIIQQQQ', error, which, 0, when, how_many, 0, 0)
        self.page[:4] = struct.pack('<I', todo)

    def disarm(self):
        self.page[:4] = struct.pack('<I', nothing)

    @property
    def calls(self):
        return struct.unpack('<Q', self.page[32:40])[0]

    @property
    def hits(self):
        return struct.unpack('<Q', self.page[40:48])[0]

    def call(self, n):
        """What the n-th was, as "fdatasync .emailrelay-journal.1.2.3"."""
        at = head + n * place_size
        return self.page[at:at + place_size].split(b'\0')[0].decode(errors='replace')

    def kinds(self):
        return {self.call(n).split(' ')[0] for n in range(min(self.calls, places))}
