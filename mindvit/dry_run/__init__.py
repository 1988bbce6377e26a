"""Compiles a network for Ascend on any machine, and reads what MindSpore reports: kernels, memory and collectives."""
