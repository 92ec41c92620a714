"""All experiments, in the order in which they are best run: the models of the first are those of others.

python experiments/catalogue.py --data CIFAR10 [--work FOLDER] [--list] [--smoke]
"""

import subprocess
import sys

import auxiliary_heads
import average_pooling
import clusters
import crops
import ensemble
import normalisation
import overfitting
import recipes
import reduced_module
import reference
import sparse_layer
import stem
from common import HERE, Experiment

EXPERIMENTS: dict[str, Experiment] = {
    module.EXPERIMENT.name: module.EXPERIMENT
    for module in (
        reference,
        sparse_layer,
        clusters,
        normalisation,
        auxiliary_heads,
        average_pooling,
        stem,
        recipes,
        overfitting,
        crops,
        ensemble,
        reduced_module,
    )
}


def main() -> None:
    """Run every script with the same options; go on after one that fails, and say so at the end."""
    failed = [
        name
        for name in EXPERIMENTS
        if subprocess.run([sys.executable, str(HERE / f"{name}.py"), *sys.argv[1:]]).returncode
    ]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
