"""Frechet and kernel distance as their papers write them."""

from __future__ import annotations

import numpy as np


def frechet(real: np.ndarray, fake: np.ndarray) -> float:
    """``|m1 - m2|^2 + Tr(C1 + C2 - 2 (C1 C2)^(1/2))`` (Heusel et al. 2017, eq. 6).

    The root of the product is the root of the symmetric ``C1^(1/2) C2 C1^(1/2)``.
    """
    real, fake = real.astype(np.float64), fake.astype(np.float64)
    mean = real.mean(axis=0) - fake.mean(axis=0)
    first, second = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    values, vectors = np.linalg.eigh(first)
    root = vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ second @ root), 0, None)).sum()
    return float(mean @ mean + np.trace(first) + np.trace(second) - 2 * cross)


def kernel(x: np.ndarray, y: np.ndarray) -> float:
    """Binkowski et al. 2018: eq. 4 with the kernel ``(x.y / D + 1)^3``, pair by pair."""

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / len(a) + 1) ** 3)

    x, y = x.astype(np.float64), y.astype(np.float64)
    m, n = len(x), len(y)
    within_x = sum(k(x[i], x[j]) for i in range(m) for j in range(m) if i != j)
    within_y = sum(k(y[i], y[j]) for i in range(n) for j in range(n) if i != j)
    across = sum(k(x[i], y[j]) for i in range(m) for j in range(n))
    return within_x / (m * (m - 1)) + within_y / (n * (n - 1)) - 2 * across / (m * n)
