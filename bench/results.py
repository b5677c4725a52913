"""The table that bench/recovery and bench/kubernetes print, and its rows as JSON."""
import json
import statistics


class Results:
    """Rows of the table."""

    def __init__(self):
        self.rows = []

    def add(self, name, values, goal=None, unit="ms", digits=1):
        self.show({"name": name, "value": round(statistics.median(values), digits), "unit": unit, "n": len(values), "goal": goal})

    def skip(self, name, why):
        self.show({"name": name, "skipped": why})

    def show(self, row):
        self.rows.append(row)
        if "skipped" in row:
            print(f"{row['name']:<44} skipped: {row['skipped']}", flush=True)
            return
        goal = row["goal"]
        verdict = "" if goal is None else f"goal {goal:,.4g}" + ("" if row["value"] <= goal else "  MISSED")
        print(f"{row['name']:<44}{row['value']:>10,.{2 if row['unit'] in ('s', 'x') else 1}f} {row['unit']:<4} n={row['n']:<4}{verdict}",
              flush=True)

    def save(self, path):
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in self.rows)
