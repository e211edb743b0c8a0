"""``PYTHONPATH=tests/helpers python -m cuda_host`` prints the traffic of every operation as a table."""

from .traffic import rows, table

print(table(rows()))
