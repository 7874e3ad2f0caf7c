"""The picture at the top of README.md: python .github/picture.py. It is what README's first command finds."""

import io
import pathlib

from PIL import Image

import jaxem
from jaxem import plot


data = jaxem.datasets.load("faithful")
selection = jaxem.select(data)
figure = plot.figure((11.0, 4.4))
left, right = figure.subplots(1, 2)
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
plot.criteria(selection, left)
plot.clusters(selection.best, data, right)
buffer = io.BytesIO()
figure.savefig(buffer, dpi=90)
Image.open(buffer).convert("RGB").quantize(128).save(pathlib.Path(__file__).with_name("picture.png"), optimize=True)
