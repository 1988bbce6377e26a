"""The command benchmark: speed and memory, beside MindSpore's own cells, PyTorch and onnxruntime.

``python -m mindvit benchmark forward --model.name vit_b_16_224 --batch_sizes 8 --compare torch onnx`` measures the
forward pass, and ``python -m mindvit benchmark train --model.name vit_b_16_224 --batch_sizes 8 --compare torch`` the
training step (AdamW, clipping at 1.0, label smoothing 0.1), each in rounds in turn with PyTorch eager and compiled.
``--torch_python PYTHON`` names another interpreter that has PyTorch and timm; ``--output FILE.json`` keeps the figures.
"""
