"""The command demo: a page that classifies images, in a browser."""
