"""What an installed wheel must do before anything else is tested: learn, save, load, and be small.

Run away from the sources: `python .github/smoke.py`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import chainrule
from chainrule import Adam, Net

LARGEST = 8e6  # bytes of the package on disk; wheels have at most 2 MB

X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
Y = np.array([[0.0], [1.0], [1.0], [0.0]])

net = Net([2, 4, 1], hidden="tanh", loss="log_loss", seed=0)
net.fit(X, Y, epochs=1000, batch_size=None, optimizer=Adam(lr=0.05))
assert (net.predict(X).round() == Y).all()

with tempfile.TemporaryDirectory() as folder:
    net.save(Path(folder, "xor.safetensors"))
    assert (Net.load(Path(folder, "xor.safetensors")).predict(X) == net.predict(X)).all()

package = Path(chainrule.__file__).parent
size = sum(path.stat().st_size for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc")
assert size < LARGEST, size
assert "site-packages" in package.parts, package
print(f"chainrule {chainrule.__version__}, {size / 1e6:.1f} MB installed, {chainrule.build_info()}")
