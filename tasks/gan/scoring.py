"""What a discriminator says of images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from tasks.contracts.image_set import ImageSet
from tasks.data.batches import to_tensor

_BATCH = 256


@torch.inference_mode()
def discriminator_logits(network: nn.Module, images: ImageSet) -> npt.NDArray[np.float64]:
    """Logits ``[N]`` of images under their labels; higher is more real.

    In eval mode, on the network's device, pixels scaled as in training; what is said of an image
    does not depend on its neighbours, for batch norm goes by what it saw in training.
    """
    network.eval()
    device = next(network.parameters()).device
    parts = [
        network(
            to_tensor(np.asarray(images.images[start : start + _BATCH])).to(device),
            torch.from_numpy(images.labels[start : start + _BATCH]).to(device),
        )
        for start in range(0, len(images), _BATCH)
    ]
    result: npt.NDArray[np.float64] = torch.cat(parts).double().cpu().numpy()
    return result
