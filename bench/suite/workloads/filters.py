"""Messages through filters and address verifiers, beside none: 100 of each, 10 sessions."""
import helper_servers  # tests/e2e
from ..clients import smtp_source


def filters(run):
    program = run.file('filter', '#!/bin/sh\nexit 0\n')
    program.chmod(0o755)
    verifier = run.file('verifier', '#!/bin/sh\nprintf "\\n%s\\n" "$1"\nexit 1\n')
    verifier.chmod(0o755)
    # Messages: the path of the content; verifiers: address and facts, to be answered with 1|<remote address>.
    filtering = helper_servers.LineServer(run, lambda line, _: 'ok\n')
    verifying = helper_servers.LineServer(run, lambda line, _: f'1|{line.split("|")[0]}\n')
    servers = {
        'none': run.emailrelay(),
        '--filter=<program>': run.emailrelay(f'--filter={program}'),
        '--filter=net:': run.emailrelay(f'--filter=net:{filtering.address}'),
        '--address-verifier=<program>': run.emailrelay(f'--address-verifier={verifier}'),
        '--address-verifier=net:': run.emailrelay(f'--address-verifier=net:{verifying.address}'),
    }
    count = run.count(100)

    def measure(server):
        rate = smtp_source(server.port, count, 10)
        if server.count() != count:
            raise RuntimeError(f'{server.count()} of {count} messages are in the spool')
        server.settle()
        return rate

    for name, server in servers.items():
        measure(server)
        run.report.add('parts', f'accept, 10 sessions, {name}', 'msg/s', {'emailrelay': [measure(server) for _ in range(run.rounds)]},
                       note='programs are shell scripts, helpers in Python' if name == 'none' else '')
