"""Cosine of tokens behind each of some depths: networks of real attention beside the regimes of mf.transformer.

python scripts/bench_transformers.py prints the table of docs/transformers.md; --quick is for a look.
"""

import argparse

import numpy as np

import meanfield as mf
from meanfield.finite import stream
from meanfield.finite.transformers import walk
from solvers.iterate import NotConverged

COSINE = 0.2


def blocks(tokens: int) -> dict[str, mf.TransformerBlock]:
    block = mf.TransformerBlock
    return {
        "cowsik2024, sigma_w 3": block.cowsik2024(tokens, weight_var=9),
        "cowsik2024, sigma_w 6": block.cowsik2024(tokens, weight_var=36),
        "cowsik2024, qk_var 8": block.cowsik2024(tokens, weight_var=9, qk_var=8),
        "noci2022, relu, scale 1/sqrt(L)": block.noci2022(tokens, depth=12),
        "giorlandino2025, beta 0.5": block.giorlandino2025(tokens, beta=0.5),
        "giorlandino2025, beta 3": block.giorlandino2025(tokens, beta=3),
    }


def by_theory(block: mf.TransformerBlock, regime: str, depth: int) -> str:
    try:
        return f"{mf.transformer(block, regime=regime).trajectory(depth, COSINE).cosine[-1]:.3f}"
    except (ValueError, NotConverged):
        return "refused"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="8 tokens, width 128, 4 networks, 3 blocks deep")
    quick = parser.parse_args().quick
    tokens, width, networks, depth = (8, 128, 4, 3) if quick else (32, 1024, 40, 12)
    print(f"| block of {tokens} tokens | networks | exact | annealed | uniform | rem |")
    print("|---|---|---|---|---|---|")
    for row, (name, block) in enumerate(blocks(tokens).items()):
        found = np.array(
            [
                walk(block, depth=depth, cosine=COSINE, width=width, rng=stream(0, row, i), conditional=True)[-1, :2]
                for i in range(networks)
            ]
        )
        mean = found.mean(axis=0)
        cosine = mean[1] / mean[0]  # of means, as in the theory
        spread = (found[:, 1] - cosine * found[:, 0]) / mean[0]
        theories = [by_theory(block, regime, depth) for regime in ("exact", "annealed", "uniform", "rem")]
        error = spread.std(ddof=1) / np.sqrt(networks)
        print(f"| {name} | {cosine:.3f} ± {error:.3f} | {' | '.join(theories)} |", flush=True)


if __name__ == "__main__":
    main()
