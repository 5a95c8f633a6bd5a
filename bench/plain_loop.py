"""The loop people start from: PyTorch's DCGAN example, as faithfully as one can be to it.

A `DataLoader` over a `Dataset` whose transforms run image by image from PIL, cross-entropy on
logits, two backward passes for the discriminator, and a line printed every step from `.item()`.
Nothing of it is ours but the networks, which both loops share. (pytorch/examples, dcgan/main.py;
the sigmoid and `BCELoss` there are `BCEWithLogitsLoss` here.)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TextIO

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from tasks.contracts.image_set import ImageSet


class PictureData(Dataset[tuple[Tensor, int]]):
    """One image at a time: uint8 to PIL, resized, cropped, to a float tensor in -1..1."""

    def __init__(self, train: ImageSet) -> None:
        size, _, channels = train.image_shape
        self._images, self._labels = train.images, train.labels
        self._transform = transforms.Compose(
            [
                transforms.Resize(size),
                transforms.CenterCrop(size),
                transforms.ToTensor(),
                transforms.Normalize((0.5,) * channels, (0.5,) * channels),
            ]
        )

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        pixels = self._images[row]
        picture = Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)
        return self._transform(picture), int(self._labels[row])


class PlainLoop:
    """The example's two optimisers and its step."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module, device: str = "cpu") -> None:
        self.generator, self.discriminator, self.device = generator, discriminator, device
        self.latent_dim = int(generator.latent_dim)  # type: ignore[arg-type]
        self.criterion = nn.BCEWithLogitsLoss()
        settings = {"lr": 0.0002, "betas": (0.5, 0.999)}
        self.optimizer_d = torch.optim.Adam(discriminator.parameters(), **settings)  # type: ignore[arg-type]
        self.optimizer_g = torch.optim.Adam(generator.parameters(), **settings)  # type: ignore[arg-type]

    def step(self, images: Tensor, labels: Tensor, out: TextIO) -> None:
        """Update the discriminator on real, then on fake, then the generator; print a line."""
        n = len(images)
        self.discriminator.zero_grad()
        target = torch.full((n,), 1.0, device=self.device)
        output = self.discriminator(images, labels)
        loss_real = self.criterion(output, target)
        loss_real.backward()
        d_x = output.mean().item()
        noise = torch.randn(n, self.latent_dim, device=self.device)
        fake = self.generator(noise, labels)
        target.fill_(0.0)
        output = self.discriminator(fake.detach(), labels)
        loss_fake = self.criterion(output, target)
        loss_fake.backward()
        d_g1 = output.mean().item()
        loss_d = loss_real + loss_fake
        self.optimizer_d.step()
        self.generator.zero_grad()
        target.fill_(1.0)
        output = self.discriminator(fake, labels)
        loss_g = self.criterion(output, target)
        loss_g.backward()
        d_g2 = output.mean().item()
        self.optimizer_g.step()
        line = f"Loss_D: {loss_d.item():.4f} Loss_G: {loss_g.item():.4f} "
        print(line + f"D(x): {d_x:.4f} D(G(z)): {d_g1:.4f} / {d_g2:.4f}", file=out)

    def rounds(self, train: ImageSet, batch_size: int, steps: int) -> Iterator[None]:
        """Train for ever over shuffled whole batches, yielding after every `steps` steps."""
        loader = DataLoader(PictureData(train), batch_size, shuffle=True, drop_last=True)
        done = 0
        with open(os.devnull, "w", encoding="utf-8") as out:  # noqa: PTH123
            while True:
                for images, labels in loader:
                    self.step(images.to(self.device), labels.to(self.device), out)
                    done += 1
                    if done % steps == 0:
                        yield
