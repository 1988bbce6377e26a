"""Kernels for the CPU in C++, built on the machine that they run on. ``mindvit.ops`` says where they are used."""
