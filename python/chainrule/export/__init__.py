"""Nets for other programs: as an ONNX model, and as one file of C.

Not here: chainrule's own files (`chainrule.files`), and objects of other libraries (`chainrule.interop`).
"""

from __future__ import annotations

__all__ = ["c_source", "onnx_model"]
