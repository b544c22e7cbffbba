"""A milter made with libmilter (python3-milter). Used by tests: milter_program.py <socket> <file with the plan>

The plan, read anew for each connection, is JSON: {"at": step, "say": verdict, "reply": [code, enhanced, text], "changes": [[method, arguments...], ...],
"sleep": seconds}. The verdict is given at that step, changes are made at the end of the message. What is heard is printed, one
JSON list a line."""
import json
import sys
import time

import Milter

plan = {}
verdicts = {'accept': Milter.ACCEPT, 'reject': Milter.REJECT, 'tempfail': Milter.TEMPFAIL, 'discard': Milter.DISCARD,
            'continue': Milter.CONTINUE, 'skip': Milter.SKIP}


class Heard(Milter.Base):
    def hear(self, step, *what):
        print(json.dumps([step, *what]), flush=True)
        if plan.get('at') != step:
            return Milter.CONTINUE
        time.sleep(plan.get('sleep', 0))
        if 'reply' in plan:
            self.setreply(*plan['reply'])
        return verdicts[plan.get('say', 'continue')]

    def macros(self, *names):
        return {name: self.getsymval(name) for name in names}

    def connect(self, name, family, address):
        with open(sys.argv[2]) as f:
            plan.clear()
            plan.update(json.load(f))
        return self.hear('connect', name, str(address), self.macros('j', '_', '{daemon_name}', '{client_addr}', '{client_name}'))

    def hello(self, name):
        return self.hear('helo', name)

    def envfrom(self, sender, *parameters):
        return self.hear('mail', sender, list(parameters), self.macros('i', '{auth_authen}', '{auth_type}', '{mail_addr}'))

    def envrcpt(self, recipient, *parameters):
        return self.hear('rcpt', recipient, self.macros('{rcpt_addr}'))

    def data(self):
        return self.hear('data')

    def header(self, name, value):
        return self.hear('header', name, value)

    def eoh(self):
        return self.hear('eoh')

    def body(self, piece):
        return self.hear('body', len(piece), piece[:200].decode('latin-1'))

    def eom(self):
        for method, *arguments in plan.get('changes', []):
            if method == 'progress':
                self.progress()
            elif method == 'replacebody':
                self.replacebody(arguments[0] if isinstance(arguments[0], str) else 'x' * arguments[0])
            else:
                getattr(self, method)(*arguments)
        return self.hear('eom', self.macros('i'))

    def abort(self):
        print(json.dumps(['abort']), flush=True)
        return Milter.CONTINUE

    def close(self):
        print(json.dumps(['close']), flush=True)
        return Milter.CONTINUE


Milter.factory = Heard
Milter.set_flags(Milter.CHGBODY + Milter.CHGHDRS + Milter.ADDHDRS + Milter.ADDRCPT + Milter.DELRCPT + Milter.QUARANTINE + Milter.CHGFROM)
Milter.runmilter('test', sys.argv[1], 60)
