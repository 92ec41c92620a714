"""The `googlenet` program, with the experiments' networks and recipes beside its own.

python experiments/program.py train DATA --dialect module_at_conv2 --recipe claims --out RUN
"""

from googlenet import cli
from networks import register

if __name__ == "__main__":
    register()
    cli.run()
