"""Layouts: how other libraries name and shape the weights of a Vision Transformer."""
