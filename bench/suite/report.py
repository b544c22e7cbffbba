"""Rows of figures with their goals, as text while the run goes on, as JSON and as Markdown at its end."""
import dataclasses
import json
import pathlib
import statistics

columns = ('emailrelay', 'postfix', 'smtp-sink')
begin_mark, end_mark = '<!-- figures: begin -->', '<!-- figures: end -->'
sections = {
    'speed': 'Speed',
    'costs': 'Costs of each message',
    'profile': 'Profile: parts of the processor time (perf)',
    'memory': 'Memory and handshakes',
    'parts': 'Other parts',
    'instructions': 'Instructions of the engines (callgrind)',
}


@dataclasses.dataclass
class Goal:
    """Ours is at least (`least`) or at most `bound`: times the figure of `other`, or as it stands."""
    bound: float
    other: str = ''
    least: bool = True

    def text(self):
        return f'{"≥" if self.least else "≤"} {self.bound:g}' + (f' × {self.other}' if self.other else '')

    def judge(self, row):
        """What was found, and whether it will do; None without the other's figure."""
        if not self.other:
            found = row.median('emailrelay')
        elif self.other in row.figures:
            found = row.ratio(self.other)
        else:
            return None
        return found, found >= self.bound if self.least else found <= self.bound


def at_least(bound, other=''):
    return Goal(bound, other)


def at_most(bound, other=''):
    return Goal(bound, other, False)


@dataclasses.dataclass
class Row:
    """One thing measured: for each server a figure from each round. Ratios are medians of the rounds' own ratios."""
    section: str
    title: str
    unit: str
    figures: dict
    goals: list = dataclasses.field(default_factory=list)
    note: str = ''

    def median(self, name):
        return statistics.median(self.figures[name])

    def ratio(self, other):
        ours, theirs = self.figures['emailrelay'], self.figures[other]
        if len(ours) == len(theirs):
            return statistics.median(a / b if b else float('inf') for a, b in zip(ours, theirs))
        return self.median('emailrelay') / self.median(other)

    def cells(self):
        known = [number(self.median(c)) if c in self.figures else '' for c in columns]
        beside = [f'{name} {number(self.median(name))}' for name in self.figures if name not in columns]
        goals, found = [], []
        for goal in self.goals:
            judged = goal.judge(self)
            goals.append(goal.text())
            found.append('not measured' if judged is None else f'{number(judged[0])} {"met" if judged[1] else "MISSED"}')
        return [self.title, self.unit, *known, ', '.join(beside), '; '.join(goals), '; '.join(found)]

    def missed(self):
        return [g for g in self.goals if (g.judge(self) or (0, True))[1] is False]


def number(value):
    if value == 0:
        return '0'
    if abs(value) >= 100:
        return f'{value:,.0f}'
    return f'{value:.1f}' if abs(value) >= 10 else f'{value:.2f}'


class Report:
    """Collects the rows and prints each as it comes."""
    widths = (44, 10, 11, 9, 10, 32, 36, 0)
    head = ('', 'unit', 'emailrelay', 'Postfix', 'smtp-sink', 'beside', 'goal', 'found')

    def __init__(self):
        self.rows, self.facts, self.remarks = [], {}, []

    def describe(self, facts):
        self.facts = facts
        print('\n'.join(f'{name}: {value}' for name, value in facts.items()))
        print(self._line(self.head), flush=True)

    def add(self, *row, **more):
        one = Row(*row, **more)
        self.rows.append(one)
        print(self._line(one.cells()), flush=True)
        if one.note:
            print(f'    {one.note}', flush=True)

    def remark(self, text):
        """Why something was not measured."""
        self.remarks.append(text)
        print(f'    {text}', flush=True)

    def _line(self, cells):
        """Texts to the left, figures of the known servers to the right of their columns."""
        return ' '.join(c.rjust(w) if i in (2, 3, 4) else c.ljust(w) for i, (c, w) in enumerate(zip(cells, self.widths))).rstrip()

    def summary(self):
        goals = sum(1 for r in self.rows for g in r.goals if g.judge(r) is not None)
        missed = [(r.title, g.text()) for r in self.rows for g in r.missed()]
        lines = [f'{goals - len(missed)} of {goals} goals met']
        return lines + [f'missed: {title}: {text}' for title, text in missed]

    def as_json(self):
        return json.dumps({
            'facts': self.facts, 'remarks': self.remarks, 'summary': self.summary(),
            'rows': [{**dataclasses.asdict(r), 'found': [j and {'value': j[0], 'met': j[1]} for j in (g.judge(r) for g in r.goals)]}
                     for r in self.rows]}, indent=2) + '\n'

    def as_markdown(self):
        lines = ['', '; '.join(f'{name}: {value}' for name, value in self.facts.items()) + '.', '', f'**{self.summary()[0]}.**', '']
        for key, title in sections.items():
            rows = [r for r in self.rows if r.section == key]
            if not rows:
                continue
            lines += [f'### {title}', '', '| ' + ' | '.join(self.head) + ' |', '|---|---|--:|--:|--:|---|---|---|']
            lines += ['| ' + ' | '.join(c.replace('MISSED', '**missed**') for c in r.cells()) + ' |' for r in rows]
            lines += ['', *(f'- {r.title}: {r.note}' for r in rows if r.note), '']
        lines += [f'- {text}' for text in self.remarks]
        return '\n'.join(lines).replace('\n\n\n', '\n\n').rstrip() + '\n\n'

    def write_markdown(self, path):
        """Puts the tables between the two marks of a page."""
        path = pathlib.Path(path)
        text = path.read_text()
        before, rest = text.split(begin_mark, 1)
        _, after = rest.split(end_mark, 1)
        path.write_text(f'{before}{begin_mark}\n{self.as_markdown()}{end_mark}{after}')
