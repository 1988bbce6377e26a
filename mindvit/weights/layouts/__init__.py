"""How others name and shape the weights of a Vision Transformer: an adapter for each layout."""
