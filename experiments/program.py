"""The `googlenet` program, with the experiments' networks and recipes and the peers beside its own.

python experiments/program.py train DATA --dialect module_at_conv2 --recipe claims --out RUN
"""

from googlenet.cli import main  # first: the clock of --minutes begins with it
from networks import register
from peer_networks import register as register_peers

if __name__ == "__main__":
    register()
    register_peers()
    main.run()
