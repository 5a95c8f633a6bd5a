from __future__ import annotations

import numpy as np
import pytest
import torch

from tasks.data.batches import to_tensor
from tasks.gan.networks import NETWORKS
from tasks.gan.sampling import discriminator_logits
from tests.contracts.tiny import shape_set
from tests.gan.tiny_networks import grown_pair, tiny_spec


@pytest.mark.parametrize("name", NETWORKS)
def test_each_image_is_scored_under_its_own_label_across_batches(name: str) -> None:
    _, network = grown_pair(tiny_spec(name, dropout=0.5, spectral_norm=name != "vae"))
    network.train()  # as a network that comes from training would be
    images = shape_set(100)  # more than one batch
    logits = discriminator_logits(network, images)
    assert logits.shape == (300,)
    assert logits.dtype == np.float64
    for row in (0, 123, 299):
        with torch.no_grad():
            alone = network(
                to_tensor(images.images[row : row + 1]), torch.tensor([images.labels[row]])
            )
        np.testing.assert_allclose(logits[row], alone.item(), atol=1e-5)
